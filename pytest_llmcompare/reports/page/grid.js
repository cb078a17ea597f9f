// Prompts beside models. Rows are made as they come into sight, so that thousands of them are no burden.

const CHUNK = 100, PREVIEW = 260;
const grid = { shown: [], made: 0, table: null, body: null };

// As much of a text as a cell has room for: from its beginning, or from shortly before it parts from its baseline.
function preview(parent, found) {
  const { text } = found.candidate;
  if (!text) return parent.append("(no text)");
  const changed = found.changes ? found.changes.candidate : [], first = changed.length ? changed[0][0] : 0;
  const start = first > 110 ? first - 40 : 0, end = start + PREVIEW;
  if (start) parent.append("\u2026");
  const near = changed.filter(([from, to]) => to > start && from < end)
    .map(([from, to]) => [Math.max(from, start) - start, Math.min(to, end) - start]);
  pieces(text.slice(start, end), near, []).forEach((piece, at) => {
    const shown = piece.text.replace(/\s*\n\s*/g, " \u23ce ");
    put(parent.appendChild(element(piece.changed ? "ins" : "span")), at ? shown : shown.trimStart());
  });
  return text.length > end ? parent.append("\u2026") : undefined;
}

function cellOf(item) {
  const made = element("td"), { found } = item;
  const link = made.appendChild(colour(element("a", "cell"), kindOf(found)));
  link.href = `#${item.hash}`;
  link.classList.toggle("loud", lookOf.get(kindOf(found)).loud);
  const sign = link.appendChild(element("span", "sign", signOf(found)));
  sign.setAttribute("aria-hidden", "true");
  sign.title = wordOf(found);
  const said = link.appendChild(element("span", "said"));
  said.append(element("span", "unseen", `${wordOf(found)}: `));
  said.dir = "auto";
  if (found.candidate) preview(said, found);
  else said.append("(no output)");
  if (found.why) put(link.appendChild(element("span", "why")), found.why);
  link.append(...added.cell(item, link), put(element("span", "name"), found.model));
  item.link = link;
  return made;
}

function rowOf(known) {
  const made = element("tr"), head = made.appendChild(element("th"));
  head.scope = "row";
  put(head, rowName(known.row));
  const prompt = head.appendChild(element("span", "prompt"));
  prompt.dir = "auto";
  put(prompt, known.row.input.slice(0, 400).replace(/\s*\n\s*/g, " \u23ce "));
  for (const item of known.cases) {
    if (filters.model && item && item.found.model !== filters.model) continue;
    if (filters.model && !item) continue;
    made.append(item ? cellOf(item) : element("td"));
  }
  return made;
}

function beginTable(table) {
  const box = element("section", "table"), models = table.models.filter((name) => !filters.model || name === filters.model);
  const title = box.appendChild(element("h3"));
  put(title, table.table);
  if (table.folder !== ".") put(title.appendChild(element("small")), ` in ${table.folder}`);
  const made = box.appendChild(element("div", "scroll")).appendChild(element("table"));
  if (models.length > 4) made.className = "wide";
  const head = made.createTHead().insertRow();
  for (const name of ["prompt", ...models]) {
    const cell = head.appendChild(element("th"));
    cell.scope = "col";
    put(cell, name);
  }
  grid.table = table;
  grid.body = made.createTBody();
  document.getElementById("tables").append(box);
}

function makeRows(number) {
  const until = Math.min(grid.made + number, grid.shown.length);
  for (; grid.made < until; grid.made += 1) {
    const known = grid.shown[grid.made];
    if (known.table !== grid.table) beginTable(known.table);
    grid.body.append(rowOf(known));
  }
}

function showGrid() {
  for (const known of grid.shown) for (const item of known.cases) if (item) item.link = null;
  grid.shown = rowsShown();
  grid.made = 0;
  grid.table = null;
  grid.items = grid.shown.flatMap((known) => known.cases.filter(isShown));
  document.getElementById("tables").replaceChildren();
  makeRows(CHUNK);
  const all = rows.length, some = grid.shown.length;
  document.getElementById("count").textContent = some === all
    ? `${count(all, "prompt")}, ${count(grid.items.length, "case")}`
    : `${some.toLocaleString("en")} of ${count(all, "prompt")}, ${count(grid.items.length, "case")}`;
  if (!some) document.getElementById("tables").append(element("p", "empty", "Nothing here. Take a filter away."));
}

// The link of a case, its row made first where nobody has seen it yet.
function linkOf(item) {
  while (!item.link && grid.made < grid.shown.length) makeRows(CHUNK);
  return item.link;
}

function showTools() {
  const model = document.getElementById("model"), names = [...new Set(data.tables.flatMap((table) => table.models))];
  for (const name of names) {
    const option = put(element("option"), name);
    option.value = name;
    model.append(option);
  }
  model.parentElement.hidden = names.length < 2;
  const kinds = new Map();
  for (const { found } of byHash.values()) kinds.set(kindOf(found), (kinds.get(kindOf(found)) || 0) + 1);
  for (const { kind, sign, word, meaning } of words.filter((look) => kinds.has(look.kind))) {
    const button = document.querySelector("#verdicts > div").appendChild(colour(element("button"), kind));
    const mark = button.appendChild(element("span", "sign", sign));
    mark.setAttribute("aria-hidden", "true");
    button.type = "button";
    button.title = meaning;
    button.dataset.verdict = kind;
    button.setAttribute("aria-pressed", "false");
    button.append(`${kinds.get(kind).toLocaleString("en")} ${word}`);
  }
  document.getElementById("verdicts").hidden = kinds.size < 2;
  document.getElementById("differing").checked = filters.differing;
}
