// Above the results: the outcome, a card per model, thresholds, notes.

const signed = (kind, sign, text) => element("span", "", signOf(sign, kind), ` ${text}`);
const titleOf = (name, small) => element("h3", "", element("span", "", safe(name)), element("small", "", small));

function cardOf(model) {
  const bar = element("div", "bar"), counts = element("div", "counts");
  bar.setAttribute("aria-hidden", "true");
  for (const { kind, sign, word } of words) {
    const number = { none: model.not_compared, accepted: model.accepted, ...model.verdicts }[kind];
    if (!number) continue;
    if (kind !== "accepted") bar.append(shareOf(number, kind));
    counts.append(signed(kind, sign, `${digits(number)} ${word}`));
  }
  const told = [];
  if (model.drift_rate !== null) told.push(`drift rate ${percent(model.drift_rate)}`);
  if (model.tokens) told.push(count(model.tokens, "token"));
  if (model.seconds) told.push(duration(model.seconds));
  if (model.level) told.push(`level ${model.level}`);
  return element("li", "", titleOf(model.model, count(model.cases, "case")), bar, counts, element("p", "facts", told.join(" \u00b7 ")));
}

function gateTile(gate) {
  const share = gate.cases === gate.total ? "" : `${digits(gate.cases)} of `;
  return element(
    "li", gate.passed ? "ok" : "bad", titleOf(gate.metric, gate.passed ? "ok" : "FAILED"),
    element("p", "value", gate.shown, " ", element("small", "", `wanted ${gate.wanted}`)),
    element("p", "facts", safe(`${gate.table}/${gate.model}, over ${share}${count(gate.total, "case")}`)),
    ...(gate.why ? [element("p", "facts", safe(gate.why, true))] : []),
  );
}

function verdictTile({ table, model, finding, text }) {
  return element("li", { changed: "bad", unchanged: "ok" }[finding] || "unsure", titleOf(`${table}/${model}`, finding), element("p", "facts", safe(text, true)));
}

const listOf = (lines) => lines.map((line) => element("li", "", safe(line, true)));

function addDetails(title, lines, isOpen) {
  if (!lines.length) return;
  const box = element("details", "", element("summary", "", title), element("ul", "", ...listOf(lines)));
  box.open = isOpen;
  part("further").append(box);
}

function fill(id, children) {
  part(id).querySelector("ul").append(...children);
  part(id).hidden = !children.length;
}

function showHeader() {
  const faults = data.faults || [], gates = data.gates || []; // reports that an earlier version saved have neither
  part("outcome").className = data.outcome;
  part("outcome").append(data.outcome);
  part("sentence").append(safe(data.sentence));
  part("texts").append(safe([data.texts, data.assertions].filter(Boolean).join(". ")));
  fill("failed", listOf(faults));
  part("charts").hidden = !part("charts").children.length;
  part("identity").append(facts(data.identity_items, "identity"));
  part("identity").firstElementChild.append(safe(data.identity_items.slice(0, 3).map(([, fact]) => ` \u00b7 ${fact}`).join("")));
  fill("changes", (data.model_verdicts || []).map(verdictTile));
  fill("gates", [...gates].sort((one, other) => one.passed - other.passed).map(gateTile));
  fill("models", data.models.map(cardOf));
  part("results").hidden = !data.tables.length;
  addDetails("Drift budget", data.budgets.map((check) => check.text), data.budgets.some((check) => check.failed));
  const notes = data.notes.filter((note) => !faults.includes(note));
  addDetails(count(notes.length, "note"), notes, notes.length < 4);
  addDetails("Models against each other", data.pairs, true);
  const obsolete = data.obsolete.map((one) => `${one.table}/${one.model}/${rowName(one)}`);
  addDetails(count(obsolete.length, "obsolete baseline"), obsolete, false);
  document.title = `${data.outcome}: ${data.sentence}`;
}
