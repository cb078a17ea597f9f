// The data, the cases in order, and which of them are shown.

const words = JSON.parse(part("words").textContent), data = JSON.parse(part("data").textContent);
const looks = new Map(words.map((look) => [look.kind, look])); // sign, word and meaning of a verdict
const byHash = new Map(), rows = [];
const filters = { search: "", model: "", verdicts: new Set(), differing: false };
// What the review adds: keys and what they do, parts of the panel and of a cell, calls before the page is drawn, when
// another case is opened, and at the end.
const added = { keys: {}, panel: () => [], cell: () => [], prepare: () => {}, moved: () => {}, begin: () => {} };

const kindOf = (record) => (record.accepted ? "accepted" : record.verdict || "none");
const signFor = (record) => looks.get(kindOf(record)).sign;
const wordFor = (record) => `${looks.get(record.verdict || "none").word}${record.accepted ? ", now the baseline" : ""}`;
const rowName = (row) => (row.variant ? `${row.prompt_id}@${row.variant}` : row.prompt_id);

// A link's name of a case; half a character, which no link can hold, is replaced in it.
function hashOf(record) {
  const parts = [record.folder, record.table, record.model, rowName(record)];
  const plain = parts.map((one) => encodeURIComponent(one.replace(/\p{Cs}/gu, "\ufffd"))).join("/");
  let hash = plain;
  for (let number = 2; byHash.has(hash); number += 1) hash = `${plain}~${number}`;
  return hash;
}

function readRows() {
  for (const table of data.tables) {
    for (const row of table.rows) {
      const line = { row, table, cases: [] };
      for (const record of row.cases) {
        const item = record && { record, line, hash: hashOf(record) };
        if (item) byHash.set(item.hash, item);
        line.cases.push(item);
      }
      rows.push(line);
    }
  }
  filters.differing = rows.length > 20 && rows.some((line) => line.row.differs);
}

function searchable(line) {
  if (line.searchable === undefined) {
    const texts = line.cases.filter(Boolean).flatMap(({ record }) => [record.model, record.baseline, record.candidate?.text]);
    line.searchable = [line.table.table, rowName(line.row), line.row.input, ...texts].join("\n").toLowerCase();
  }
  return line.searchable;
}

function isShown(item) {
  if (!item || (filters.model && item.record.model !== filters.model)) return false;
  return !filters.verdicts.size || filters.verdicts.has(kindOf(item.record));
}

function rowsShown() {
  const needle = filters.search.trim().toLowerCase();
  return rows.filter((line) => (!filters.differing || line.row.differs)
    && (!needle || searchable(line).includes(needle)) && line.cases.some(isShown));
}
