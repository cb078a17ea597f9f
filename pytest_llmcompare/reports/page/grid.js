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

function quoted(token) {
  return put(element("span", "piece"), `'${token}'`);
}

function reasonOf(found) {
  const judged = found.judgement, made = element("span", "why");
  if (!judged) return null;
  if (found.verdict === "drifted" || found.verdict === "near_tie") {
    if (!judged.baseline_token && !judged.candidate_token) return null;
    made.append(quoted(judged.baseline_token), " \u2192 ", quoted(judged.candidate_token));
    if (judged.margin !== null) made.append(`, margin ${nats(judged.margin)}`);
  } else if (found.verdict === "shifted" && judged.likelihood) {
    made.append(`${nats(judged.likelihood.rms)} nats per token`);
  } else if (judged.reason) put(made, judged.reason.split("\n")[0].slice(0, 160));
  else return null;
  return made;
}

function cellOf(item) {
  const made = element("td"), { found } = item;
  const link = made.appendChild(colour(element("a", "cell"), kindOf(found)));
  link.href = `#${item.hash}`;
  if (!["identical", "near_tie", "none", "accepted"].includes(kindOf(found))) link.classList.add("loud");
  const sign = link.appendChild(element("span", "sign", signOf(found)));
  sign.setAttribute("aria-hidden", "true");
  sign.title = wordOf(found);
  const said = link.appendChild(element("span", "said"));
  said.append(element("span", "unseen", `${wordOf(found)}: `));
  said.dir = "auto";
  if (found.candidate) preview(said, found);
  else said.append("(no output)");
  const why = reasonOf(found);
  if (why) link.append(why);
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
  const all = [...words.verdicts, { verdict: "accepted", sign: words.accepted, word: "accepted", meaning: "now the baseline" }];
  for (const { verdict, sign, word, meaning } of all.filter((one) => kinds.has(one.verdict))) {
    const button = document.querySelector("#verdicts > div").appendChild(colour(element("button"), verdict));
    const mark = button.appendChild(element("span", "sign", sign));
    mark.setAttribute("aria-hidden", "true");
    button.type = "button";
    button.title = meaning;
    button.dataset.verdict = verdict;
    button.setAttribute("aria-pressed", "false");
    button.append(`${kinds.get(verdict).toLocaleString("en")} ${word}`);
  }
  document.getElementById("verdicts").hidden = kinds.size < 2;
  document.getElementById("differing").checked = filters.differing;
}
