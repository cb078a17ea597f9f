// What stands above the results: the outcome, a card per model, notes.

function colour(node, kind) {
  node.style.setProperty("--c", `var(--${kind})`);
  return node;
}

function signed(kind, sign, text) {
  const made = element("span");
  const mark = colour(element("span", "sign", sign), kind);
  mark.setAttribute("aria-hidden", "true");
  made.append(mark, ` ${text}`);
  return made;
}

function cardOf(model) {
  const card = element("li"), title = element("h3"), bar = element("div", "bar"), counts = element("div", "counts");
  put(title.appendChild(element("span")), model.model);
  title.append(element("small", "", count(model.cases, "case")));
  bar.setAttribute("aria-hidden", "true");
  for (const { kind, sign, word } of words) {
    const number = { none: model.not_compared, accepted: model.accepted, ...model.verdicts }[kind];
    if (!number) continue;
    if (kind !== "accepted") colour(bar.appendChild(element("i")), kind).style.flex = String(number);
    counts.append(signed(kind, sign, `${number.toLocaleString("en")} ${word}`));
  }
  card.append(title, bar, counts);
  const facts = [];
  if (model.drift_rate !== null) facts.push(`drift rate ${percent(model.drift_rate)}`);
  if (model.tokens) facts.push(count(model.tokens, "token"));
  if (model.seconds) facts.push(duration(model.seconds));
  card.append(element("p", "facts", facts.join(" \u00b7 ")));
  return card;
}

function gateTile(gate) {
  const tile = element("li", gate.passed ? "ok" : "bad");
  const title = tile.appendChild(element("h3"));
  put(title.appendChild(element("span")), gate.metric);
  title.append(element("small", "", gate.passed ? "ok" : "FAILED"));
  const value = tile.appendChild(element("p", "value", gate.shown));
  value.append(" ", element("small", "", `wanted ${gate.wanted}`));
  const part = gate.cases === gate.total ? "" : `${gate.cases.toLocaleString("en")} of `;
  put(tile.appendChild(element("p", "facts")), `${gate.table}/${gate.model}, over ${part}${count(gate.total, "case")}`);
  if (gate.why) put(tile.appendChild(element("p", "facts")), gate.why, true);
  return tile;
}

// Faults and gates are not in a report that an earlier version saved.
function showFaults() {
  const faults = data.faults || [], gates = [...(data.gates || [])].sort((one, other) => one.passed - other.passed);
  const failed = document.getElementById("failed"), tiles = document.getElementById("gates");
  for (const fault of faults) put(failed.querySelector("ul").appendChild(element("li")), fault, true);
  for (const gate of gates) tiles.querySelector("ul").append(gateTile(gate));
  failed.hidden = !faults.length;
  tiles.hidden = !gates.length;
}

function listed(title, lines, open) {
  if (!lines.length) return;
  const box = document.getElementById("further").appendChild(element("details"));
  box.open = open;
  box.append(element("summary", "", title));
  const list = box.appendChild(element("ul"));
  for (const line of lines) put(list.appendChild(element("li")), line, true);
}

function showHeader() {
  const outcome = document.getElementById("outcome");
  outcome.className = data.outcome;
  outcome.append(data.outcome);
  put(document.getElementById("sentence"), data.sentence);
  showFaults();
  const cards = document.getElementById("cards");
  for (const model of data.models) cards.append(cardOf(model));
  document.getElementById("models").hidden = !data.models.length;
  document.getElementById("results").hidden = !data.tables.length;
  listed("Drift budget", data.budgets.map((check) => check.text), data.budgets.some((check) => check.failed));
  const notes = data.notes.filter((note) => !(data.faults || []).includes(note));
  listed(count(notes.length, "note"), notes, notes.length < 4);
  listed("Models against each other", data.pairs, false);
  const gone = data.obsolete.map((one) => `${one.table}/${one.model}/${rowName(one)}`);
  listed(count(gone.length, "obsolete baseline"), gone, false);
  document.title = `${data.outcome}: ${data.sentence}`;
}
