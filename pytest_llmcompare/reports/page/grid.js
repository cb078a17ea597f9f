// Prompts beside models. Rows are made as they come into sight, so that thousands of them are no burden.

const CHUNK = 100, PREVIEW = 260;
const grid = { shown: [], items: [], made: 0, table: null, body: null };

// As much of a text as a cell has room for: from its beginning, or from shortly before it differs from its baseline.
function preview(record) {
  const { text } = record.candidate;
  if (!text) return ["(no text)"];
  const changed = record.changes ? record.changes.candidate : [], first = changed.length ? changed[0][0] : 0;
  const start = first > 110 ? first - 40 : 0, end = start + PREVIEW;
  const made = pieces(text.slice(start, end), within(changed, start, end), []).map((piece, at) => {
    const line = onOneLine(piece.text);
    return element(piece.changed ? "ins" : "span", "", safe(at ? line : line.trimStart()));
  });
  return [start ? "\u2026" : "", ...made, text.length > end ? "\u2026" : ""];
}

function cellOf(item) {
  const { record } = item, kind = kindOf(record), sign = signOf(signFor(record));
  sign.title = wordFor(record);
  const text = element("span", "output", element("span", "unseen", `${wordFor(record)}: `), ...(record.candidate ? preview(record) : ["(no output)"]));
  text.dir = "auto";
  const link = colour(element("a", "cell", sign, text), kind);
  link.href = `#${item.hash}`;
  link.classList.toggle("loud", looks.get(kind).loud);
  if (record.why) link.append(element("span", "why", safe(record.why)));
  link.append(...added.cell(item, link), element("span", "name", safe(record.model)));
  item.link = link;
  return element("td", "", link);
}

function rowOf(line) {
  const prompt = element("span", "prompt", safe(onOneLine(line.row.input.slice(0, 400))));
  prompt.dir = "auto";
  const head = element("th", "", safe(rowName(line.row)), prompt);
  head.scope = "row";
  const cases = line.cases.filter((item) => !filters.model || (item && item.record.model === filters.model));
  return element("tr", "", head, ...cases.map((item) => (item ? cellOf(item) : element("td"))));
}

function beginTable(table) {
  const models = table.models.filter((name) => !filters.model || name === filters.model), title = element("h3", "", safe(table.table));
  if (table.folder !== ".") title.append(element("small", "", safe(` in ${table.folder}`)));
  const heads = ["prompt", ...models].map((name) => {
    const head = element("th", "", safe(name));
    head.scope = "col";
    return head;
  });
  grid.table = table;
  grid.body = element("tbody");
  const made = element("table", models.length > 4 ? "wide" : "", element("thead", "", element("tr", "", ...heads)), grid.body);
  part("tables").append(element("section", "table", title, element("div", "scroll", made)));
}

function makeRows(number) {
  const until = Math.min(grid.made + number, grid.shown.length);
  for (; grid.made < until; grid.made += 1) {
    const line = grid.shown[grid.made];
    if (line.table !== grid.table) beginTable(line.table);
    grid.body.append(rowOf(line));
  }
}

function showGrid() {
  for (const line of grid.shown) for (const item of line.cases) if (item) item.link = null;
  const shown = rowsShown(), all = count(rows.length, "prompt");
  Object.assign(grid, { shown, made: 0, table: null, items: shown.flatMap((line) => line.cases.filter(isShown)) });
  part("tables").replaceChildren();
  makeRows(CHUNK);
  part("count").textContent = `${shown.length < rows.length ? `${digits(shown.length)} of ` : ""}${all}, ${count(grid.items.length, "case")}`;
  if (!shown.length) part("tables").append(element("p", "empty", "Nothing here. Take a filter away."));
}

// The link of a case; its row is made first if nobody has seen it yet.
function linkOf(item) {
  while (!item.link && grid.made < grid.shown.length) makeRows(CHUNK);
  return item.link;
}

function showTools() {
  const names = [...new Set(data.tables.flatMap((table) => table.models))], kinds = new Map();
  for (const name of names) {
    const option = element("option", "", safe(name));
    option.value = name;
    part("model").append(option);
  }
  part("model").parentElement.hidden = names.length < 2;
  for (const { record } of byHash.values()) kinds.set(kindOf(record), (kinds.get(kindOf(record)) || 0) + 1);
  for (const { kind, sign, word, meaning } of words.filter((look) => kinds.has(look.kind))) {
    const made = colour(button(signOf(sign), onVerdict), kind);
    made.append(`${digits(kinds.get(kind))} ${word}`);
    made.title = meaning;
    made.dataset.verdict = kind;
    made.setAttribute("aria-pressed", "false");
    document.querySelector("#verdicts > div").append(made);
  }
  part("verdicts").hidden = kinds.size < 2;
  part("differing").checked = filters.differing;
}
