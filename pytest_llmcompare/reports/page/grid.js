// Prompts beside models. Rows are made as they come into sight, so that thousands of them are no burden.

const CHUNK = 100, PREVIEW = 260, MOST_OF_COLUMN = 400, SHORT = 40;
const grid = { shown: [], items: [], made: 0, table: null, body: null, whole: false, before: 0 }; // whole: no text is cut, for print

// As much of a text as a cell has room for: from its beginning, or from shortly before it differs from the other text.
function preview(text, changed, tag) {
  if (!text) return ["(no text)"];
  const first = changed.length && !grid.whole ? changed[0][0] : 0;
  const start = first > 110 ? first - 40 : 0, end = start + (grid.whole ? MOST_SHOWN : PREVIEW);
  const made = pieces(text.slice(start, end), within(changed, start, end), []).map((piece, at) => {
    const line = onOneLine(piece.text);
    return element(piece.changed ? tag : "span", "", safe(at ? line : line.trimStart()));
  });
  return [start ? "\u2026" : "", ...made, text.length > end ? "\u2026" : ""];
}

// Both texts of a case with the words that differ, its evidence, assertions that failed.
function linesOf(record) {
  const { changes, candidate } = record, texts = [[`${wordFor(record)}: `, ...(candidate ? preview(candidate.text, changes?.candidate || [], "ins") : ["(no output)"])]];
  if (changes) texts.unshift(["baseline: ", ...preview(record.baseline, changes.baseline, "del")]);
  const lines = texts.map(([unseen, ...text]) => {
    const output = element("span", "output", element("span", "unseen", unseen), ...text);
    output.dir = "auto";
    return output;
  });
  if (record.why) lines.push(element("span", "why", safe(record.why)));
  for (const line of record.broken || []) lines.push(element("span", "why broken", element("strong", "", "\u2717 "), safe(line)));
  return lines;
}

function cellOf(item) {
  const { record } = item, kind = kindOf(record), sign = signOf(signFor(record));
  sign.title = wordFor(record);
  const link = colour(element("a", "cell", sign, ...linesOf(record)), kind);
  link.href = `#${item.hash}`;
  link.classList.toggle("loud", looks.get(kind).loud);
  const lines = chosen("case").filter(({ name }) => record.facts[name] !== undefined).map(({ name }) => `${name} ${factOf(record.facts[name])}`);
  const short = lines.filter((line) => line.length <= SHORT).join(" \u00b7 ");
  for (const line of [short, ...lines.filter((one) => one.length > SHORT)]) if (line) link.append(element("span", "why", safe(line)));
  link.append(...added.cell(item, link), element("span", "name", safe(record.model)));
  item.link = link;
  return element("td", "", link);
}

const chosen = (of) => columns.filter((column) => column.of === of && view.columns.has(column.name));
const factOf = (value, whole = false) => (typeof value !== "number" ? (whole ? value : cut(value)) : Number.isInteger(value) ? digits(value) : nats(value, 4));
const cut = (text) => onOneLine(grid.whole ? text : text.slice(0, MOST_OF_COLUMN));

function rowOf(line) {
  const prompt = element("span", "prompt", safe(cut(line.row.input)));
  prompt.dir = "auto";
  const head = element("th", "", safe(rowName(line.row)), prompt);
  head.scope = "row";
  const cases = line.cases.filter((item) => !filters.model || (item && item.record.model === filters.model));
  const own = chosen("row").map(({ name }) => {
    const cell = element("td", "own", element("span", "name", safe(name)), element("span", "output", safe(cut(line.row.columns[name] ?? ""))));
    cell.dir = "auto";
    return cell;
  });
  return element("tr", "", head, ...own, ...cases.map((item) => (item ? cellOf(item) : element("td"))));
}

function beginTable(table) {
  const models = table.models.filter((name) => !filters.model || name === filters.model), title = element("h3", "", safe(table.table));
  if (table.folder !== ".") title.append(element("small", "", safe(` in ${table.folder}`)));
  const heads = ["prompt", ...chosen("row").map(({ name }) => name), ...models].map((name) => {
    const head = element("th", "", safe(name));
    head.scope = "col";
    return head;
  });
  grid.table = table;
  grid.body = element("tbody");
  const made = element("table", heads.length > 5 ? "wide" : "", element("thead", "", element("tr", "", ...heads)), grid.body);
  made.setAttribute("aria-label", table.table);
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

// A list to choose from; hidden if there is no choice.
function offer(id, names, least = 2) {
  for (const name of names) {
    const option = element("option", "", safe(name));
    option.value = name;
    part(id).append(option);
  }
  part(id).parentElement.hidden = names.length < least;
}

function showTools() {
  const kinds = new Map(), own = columns.filter(({ name }) => name !== "verdict");
  offer("table", [...new Set(data.tables.map(({ table }) => table))]);
  offer("model", [...new Set(data.tables.flatMap(({ models }) => models))]);
  offer("variant", [...new Set(rows.map(({ row }) => row.variant).filter(Boolean))], 1);
  offer("sort", columns.map(({ name }) => name), 1);
  for (const { name } of own) {
    const box = checkbox(() => {
      if (!view.columns.delete(name)) view.columns.add(name);
      showGrid();
    });
    box.value = name;
    part("columns").append(element("label", "check", box, " ", safe(name)));
  }
  part("columns").parentElement.hidden = !own.length;
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
