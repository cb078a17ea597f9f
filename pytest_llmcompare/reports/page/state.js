// The data, the cases in order, and which of them are shown.

const words = JSON.parse(part("words").textContent), data = JSON.parse(part("data").textContent);
const looks = new Map(words.map((look) => [look.kind, look])); // sign, word and meaning of a verdict
const byHash = new Map(), rows = [];
const filters = { search: "", table: "", model: "", variant: "", verdicts: new Set(), differing: false };
const view = { columns: new Set(), sort: "", reverse: false };
const { columns } = data; // of a row: the target and the table's own; of a case: facts, and what metrics gave
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
        if (record) Object.assign(record, { folder: table.folder, table: table.table });
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

const valueOf = ({ line, record }, { name, of }) => (of === "row" ? line.row.columns : record.facts)[name];

// Whether a line holds what is searched for: anywhere, or as `name: text` in one column.
function holds() {
  const needle = filters.search.trim().toLowerCase(), [, name, text] = /^([^:]+):\s*(.+)$/.exec(needle) || [];
  const column = columns.find((one) => one.name !== "verdict" && one.name.toLowerCase() === name);
  const has = (item) => isShown(item) && String(valueOf(item, column) ?? "").toLowerCase().includes(text);
  if (column) return ({ cases }) => cases.some(has);
  return (line) => !needle || searchable(line).includes(needle);
}

function rowsShown() {
  const isFound = holds(), shown = rows.filter((line) => (!filters.differing || line.row.differs)
    && (!filters.table || line.table.table === filters.table) && (!filters.variant || line.row.variant === filters.variant)
    && isFound(line) && line.cases.some(isShown));
  if (!view.sort) return shown;
  const places = new Map(data.tables.map((table, at) => [table, at])), order = sorted(shown, (line) => line.cases.filter(isShown));
  return order.sort((one, other) => places.get(one.table) - places.get(other.table));
}

// The same in the order of a column: numbers from the largest on, texts by the alphabet, empty ones last. What has several
// cases is sorted by the first of them in that order.
function sorted(list, casesOf) {
  const column = columns.find(({ name }) => name === view.sort), { compare } = new Intl.Collator("en", { numeric: true });
  const known = (value) => value !== undefined && value !== null;
  const inOrder = (one, other) => (typeof one === "number" && typeof other === "number" ? other - one : compare(one, other)) * (view.reverse ? -1 : 1);
  const keyed = list.map((one) => [one, casesOf(one).map((item) => valueOf(item, column)).filter(known).sort(inOrder)[0]]);
  keyed.sort(([, one], [, other]) => known(other) - known(one) || (known(one) ? inOrder(one, other) : 0));
  return keyed.map(([one]) => one);
}
