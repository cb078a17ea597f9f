// Above the results: the outcome, a card per model, thresholds, notes.

const signed = (kind, sign, text) => element("span", "", signOf(sign, kind), ` ${text}`);
const titleOf = (name, small) => element("h3", "", element("span", "", safe(name)), element("small", "", small));

function cardOf(model) {
  const bar = element("div", "bar"), counts = element("div", "counts");
  bar.setAttribute("aria-hidden", "true");
  for (const { verdict, sign, word } of words.verdicts) {
    const number = verdict === "none" ? model.not_compared : model.verdicts[verdict];
    if (!number) continue;
    bar.append(shareOf(number, verdict));
    counts.append(signed(verdict, sign, `${digits(number)} ${word}`));
  }
  if (model.accepted) counts.append(signed("accepted", words.accepted, `${digits(model.accepted)} accepted`));
  const facts = [];
  if (model.drift_rate !== null) facts.push(`drift rate ${percent(model.drift_rate)}`);
  if (model.tokens) facts.push(count(model.tokens, "token"));
  if (model.seconds) facts.push(duration(model.seconds));
  return element("li", "", titleOf(model.model, count(model.cases, "case")), bar, counts, element("p", "facts", facts.join(" \u00b7 ")));
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

function budgetLine(check) {
  const { count: drifted, total, low, high } = check.drifted;
  if (!total) return `no case was compared with a baseline, so the drift budget of ${check.percent}% was not checked`;
  const span = `95% interval ${percent(low)} to ${percent(high)}`;
  return `${check.model}: ${drifted} of ${count(total, "case")} drifted (${span}), ${check.failed ? "over" : "within"} the drift budget of ${check.percent}%`;
}

function pairLine(pair) {
  const line = `${pair.first} / ${pair.second}: ${pair.agreement.count} of ${count(pair.agreement.total, "text")} alike`;
  if (!pair.targets) return line;
  const better = { better: `${pair.second} is better`, worse: `${pair.first} is better` }[pair.targets.finding];
  return `${line}; on targets: ${better || pair.targets.finding} (McNemar p ${pair.targets.p_value.toFixed(3)})`;
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
  fill("failed", listOf(faults));
  fill("gates", [...gates].sort((one, other) => one.passed - other.passed).map(gateTile));
  fill("models", data.models.map(cardOf));
  part("results").hidden = !data.tables.length;
  addDetails("Drift budget", data.budgets.map(budgetLine), data.budgets.some((check) => check.failed));
  const notes = data.notes.filter((note) => !faults.includes(note));
  addDetails(count(notes.length, "note"), notes, notes.length < 4);
  addDetails("Models against each other", data.pairs.map(pairLine), false);
  const obsolete = data.obsolete.map((one) => `${one.table}/${one.model}/${rowName(one)}`);
  addDetails(count(obsolete.length, "obsolete baseline"), obsolete, false);
  document.title = `${data.outcome}: ${data.sentence}`;
}
