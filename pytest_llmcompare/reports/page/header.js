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
  for (const { verdict, sign, word } of words.verdicts) {
    const number = verdict === "none" ? model.not_compared : model.verdicts[verdict];
    if (!number) continue;
    colour(bar.appendChild(element("i")), verdict).style.flex = String(number);
    counts.append(signed(verdict, sign, `${number.toLocaleString("en")} ${word}`));
  }
  if (model.accepted) counts.append(signed("accepted", words.accepted, `${model.accepted.toLocaleString("en")} accepted`));
  card.append(title, bar, counts);
  const facts = [];
  if (model.drift_rate !== null) facts.push(`drift rate ${percent(model.drift_rate)}`);
  if (model.tokens) facts.push(count(model.tokens, "token"));
  if (model.seconds) facts.push(duration(model.seconds));
  card.append(element("p", "facts", facts.join(" \u00b7 ")));
  return card;
}

function budgetLine(check) {
  const { count: drifted, total, low, high } = check.drifted;
  if (!total) return `no case was compared with a baseline, so the drift budget of ${check.percent}% was not checked`;
  const span = `95% interval ${percent(low)} to ${percent(high)}`;
  return `${check.model}: ${drifted} of ${count(total, "case")} drifted (${span}), ${check.failed ? "over" : "within"} the drift budget of ${check.percent}%`;
}

function pairLine(pair) {
  const { count: equal, total } = pair.agreement;
  const line = `${pair.first} / ${pair.second}: ${equal} of ${count(total, "text")} alike`;
  if (!pair.targets) return line;
  const better = { better: `${pair.second} is better`, worse: `${pair.first} is better` }[pair.targets.finding];
  return `${line}; on targets: ${better || pair.targets.finding} (McNemar p ${pair.targets.p_value.toFixed(3)})`;
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
  const cards = document.getElementById("cards");
  for (const model of data.models) cards.append(cardOf(model));
  document.getElementById("models").hidden = !data.models.length;
  listed("Drift budget", data.budgets.map(budgetLine), data.budgets.some((check) => check.failed));
  listed(count(data.notes.length, "note"), data.notes, data.notes.length < 4);
  listed("Models against each other", data.pairs.map(pairLine), false);
  const gone = data.obsolete.map((one) => `${one.table}/${one.model}/${rowName(one)}`);
  listed(count(gone.length, "obsolete baseline"), gone, false);
  document.title = `${data.outcome}: ${data.sentence}`;
}
