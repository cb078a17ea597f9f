// The data, the cases in order, and what of them is to be seen.

const words = JSON.parse(document.getElementById("words").textContent);
const data = JSON.parse(document.getElementById("data").textContent);
const lookOf = new Map(words.map((look) => [look.kind, look]));
const byHash = new Map();
const filters = { search: "", model: "", verdicts: new Set(), differing: false };
const rows = [];
// What the page of a review has more: keys with what they do, parts of the panel and of a cell's link, made of a case,
// and what to do when another case was opened, or none.
const added = { keys: {}, panel: () => [], cell: () => [], moved: () => {} };

function kindOf(found) {
  return found.accepted ? "accepted" : found.verdict || "none";
}

function signOf(found) {
  return lookOf.get(kindOf(found)).sign;
}

function wordOf(found) {
  const { word } = lookOf.get(found.verdict || "none");
  return found.accepted ? `${word}, now the baseline` : word;
}

function rowName(row) {
  return row.variant ? `${row.prompt_id}@${row.variant}` : row.prompt_id;
}

// A link's name of a case; half a character, which no link can hold, is left out of it.
function hashOf(found) {
  const parts = [found.folder, found.table, found.model, rowName(found)];
  const plain = parts.map((part) => encodeURIComponent(part.replace(/\p{Cs}/gu, "\ufffd"))).join("/");
  let hash = plain;
  for (let number = 2; byHash.has(hash); number += 1) hash = `${plain}~${number}`;
  return hash;
}

function readRows() {
  for (const table of data.tables) {
    for (const row of table.rows) {
      const known = { row, table, cases: [] };
      row.cases.forEach((found) => {
        if (found === null) return known.cases.push(null);
        const item = { found, known, hash: hashOf(found) };
        byHash.set(item.hash, item);
        return known.cases.push(item);
      });
      rows.push(known);
    }
  }
  const differing = rows.filter((known) => known.row.differs).length;
  filters.differing = differing > 0 && rows.length > 20;
}

function searchable(known) {
  if (known.searchable === undefined) {
    const parts = [known.table.table, rowName(known.row), known.row.input];
    for (const item of known.cases) {
      if (item) parts.push(item.found.model, item.found.baseline || "", item.found.candidate ? item.found.candidate.text : "");
    }
    known.searchable = parts.join("\n").toLowerCase();
  }
  return known.searchable;
}

function isShown(item) {
  if (!item || (filters.model && item.found.model !== filters.model)) return false;
  return !filters.verdicts.size || filters.verdicts.has(kindOf(item.found));
}

function rowsShown() {
  const needle = filters.search.trim().toLowerCase();
  return rows.filter((known) => (!filters.differing || known.row.differs)
    && (!needle || searchable(known).includes(needle)) && known.cases.some(isShown));
}
