// The review: decisions are kept in the browser until Done sends them, once.

const FATES = {
  accept: { sign: "\u2713", word: "accept", long: "to be accepted", colour: "identical" },
  reject: { sign: "\u2715", word: "reject", long: "to be rejected", colour: "drifted" },
  skip: { sign: "\u2192", word: "skip", long: "skipped: it stays pending", colour: "none" },
  accepted: { sign: "\u2713", word: "accepted", long: "accepted: it is the baseline now", colour: "identical" },
  rejected: { sign: "\u2715", word: "rejected", long: "rejected: the baseline stays", colour: "drifted" },
  refused: { sign: "!", word: "refused", long: "refused: nothing was written", colour: "error" },
  left: { sign: "\u2192", word: "left", long: "left for another time", colour: "none" },
};
const DECISIONS = ["accept", "reject", "skip"], STORE = "llmcompare-review";
const GONE = "llmcompare has ended, so nothing can be sent to it. Decisions that were not sent are kept in this browser; to go on: llmcompare review --web";
const choices = part("choices"), group = part("group"), trouble = part("trouble"), together = part("together"), jump = part("jump");
const review = { items: [], steps: [], result: null, gone: false, act: null };

const fateOf = (item) => (review.result ? review.result.fates[item.record.entry] : item.decision);
const undecided = (items = review.items) => items.filter((item) => !item.decision);
const areAlike = (one, other) => one.entry.change === other.entry.change;
const isLocked = () => review.gone || review.result !== null;

// As in the terminal: those that changed in the same way together, or as they are sorted.
const inOrder = () => (view.sort ? sorted(review.items, (item) => [item]) : review.items);

// The case, and the undecided ones that changed in the same way.
function groupOf(item) {
  return [item, ...review.items.filter((other) => other !== item && !other.decision && areAlike(item, other))];
}

function tally(fates, all) {
  return fates.map((fate) => [fate, all.filter((one) => one === fate).length]).filter(([, number]) => number);
}

function loadDecisions() {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(STORE)) || {};
  } catch { /* a browser without storage */ }
  for (const item of review.items) item.decision = DECISIONS.includes(kept[item.entry.id]) ? kept[item.entry.id] : "";
}

function saveDecisions() {
  const decided = review.items.filter((item) => item.decision && !review.result).map((item) => [item.entry.id, item.decision]);
  try {
    localStorage.setItem(STORE, JSON.stringify(Object.fromEntries(decided)));
  } catch { /* kept until the page is closed */ }
}

function fateChip(tag, fate, text) {
  return text ? colour(element(tag, "fate", signOf(FATES[fate].sign), text), FATES[fate].colour) : element(tag, "fate");
}

function cellFate(item, link) {
  const fate = fateOf(item);
  link.classList.toggle("settled", Boolean(fate) && fate !== "left" && fate !== "refused");
  item.chip = fateChip("span", fate, fate && fate !== "left" ? FATES[fate].word : "");
  return [item.chip];
}

function panelFate(item) {
  const fate = fateOf(item), label = fateChip("p", fate, fate && FATES[fate].long), { against } = item.entry;
  label.id = "fate";
  const why = element("p", "why-not", safe(review.result ? review.result.why[item.record.entry] : "", true));
  const measure = element("p", "measure", safe(against && `compared with ${against}`));
  const others = review.items.filter((other) => other !== item && areAlike(item, other));
  if (!others.length) return [label, why, measure];
  const list = element("ul", "", ...others.slice(0, 50).map((other) => element(
    "li", "", linkTo(other, `${other.record.table}: ${rowName(other.record)}`), fateOf(other) ? ` (${FATES[fateOf(other)].word})` : "",
  )));
  if (others.length > 50) list.append(element("li", "", `\u2026 ${others.length - 50} more`));
  return [label, why, measure, element("details", "others", element("summary", "", `${count(others.length, "other")} changed in the same way`), list)];
}

function showProgress() {
  const all = review.items.length, left = undecided().length, decisions = review.items.map((item) => item.decision);
  part("left").textContent = left ? `${digits(left)} of ${digits(all)} left` : "All decided";
  const counts = tally(DECISIONS, decisions);
  document.querySelector("#progress .bar").replaceChildren(
    ...[...counts, ["", left]].map(([fate, number]) => shareOf(number, fate && FATES[fate].colour)),
  );
  part("tally").textContent = counts.map(([fate, number]) => `${digits(number)} ${fate}`).join(" \u00b7 ") || "nothing decided yet";
  const acts = tally(["accept", "reject"], decisions).map(([fate, number]) => `${fate} ${digits(number)}`);
  part("done").replaceChildren("Done", element("span", "", acts.length ? `: ${acts.join(", ")}` : ""));
  part("done").classList.toggle("ready", !left);
  document.title = review.result ? "Review: ended" : `Review: ${part("left").textContent}`;
}

function showChoices() {
  choices.hidden = !open;
  part("hint").hidden = Boolean(open) || review.gone;
  part("hint").textContent = undecided().length ? "Open a case to decide about it." : "Done carries that out. Until then, any case can be decided another way.";
  part("undo").disabled = isLocked() || !review.steps.length;
  part("done").disabled = isLocked();
  if (!open) return;
  const alike = groupOf(open).length, many = alike > 1 && group.checked;
  part("alike").hidden = alike < 2;
  part("alike").lastElementChild.textContent = `all ${digits(alike)} alike`;
  for (const choice of choices.querySelectorAll("button")) {
    const { decision } = choice.dataset, verb = decision[0].toUpperCase() + decision.slice(1);
    choice.firstElementChild.textContent = many ? `${verb} ${digits(alike)}` : verb;
    choice.setAttribute("aria-pressed", String(fateOf(open) === decision));
    choice.disabled = isLocked();
  }
}

function refresh() {
  for (const item of review.items) if (item.link) item.chip.replaceWith(...cellFate(item, item.link));
  if (open) show(open);
  showProgress();
  showChoices();
}

function goTo(item) {
  openCase(item);
  history.replaceState(null, "", `#${item.hash}`);
}

// Decides about a case, or about all that are alike; to accept these, they are shown first.
function decide(decision, all) {
  const item = current();
  if (!item || isLocked()) return;
  const alike = all ? groupOf(item) : [item];
  if (decision === "accept" && alike.length > 1) showTogether(alike);
  else settle(decision, item, alike);
}

function settle(decision, item, alike) {
  const chosen = alike.filter((one) => one.decision !== decision);
  if (chosen.length) review.steps.push(chosen.map((one) => [one, one.decision]));
  for (const one of chosen) one.decision = decision;
  saveDecisions();
  refresh();
  const order = inOrder(), at = order.indexOf(item), [next] = undecided([...order.slice(at + 1), ...order.slice(0, at)]);
  if (next && open) goTo(next);
  else if (next) (linkOf(next) || document.body).focus();
  else {
    if (open) close();
    part("done").focus();
  }
}

function showTogether(alike) {
  part("together-title").textContent = `All ${digits(alike.length)} that changed in the same way`;
  part("accept-all").firstElementChild.textContent = `Accept ${digits(alike.length)}`;
  together.querySelector("ul").replaceChildren(...alike.map(({ record }) => {
    const name = element("span", "case", safe(`${record.table}: ${record.model}: ${rowName(record)}`));
    return colour(element("li", "", signOf(signFor(record)), name, ...linesOf(record)), kindOf(record));
  }));
  ask(together, () => { if (!isLocked()) settle("accept", alike[0], alike); });
  part("accept-all").focus();
}

// Opens a dialog; `act` is called if it is answered with yes. At once, because the next key may come before an event would.
function ask(dialog, act) {
  review.act = act;
  dialog.showModal();
}

function answer(dialog, isYes) {
  dialog.close();
  if (isYes) review.act();
}

// Asks where to go: a number as the panel shows it, or a part of a name.
function askWhere() {
  part("place").value = "";
  ask(jump, () => {
    const wanted = part("place").value.trim(), isNamed = ({ record }) => wanted && nameOf(record).includes(wanted);
    const item = /^\d+$/.test(wanted) ? grid.items[Number(wanted) - 1] : following().find(isNamed);
    if (item) goTo(item);
    else if (wanted) tell(`Nothing here is called ${wanted}`);
  });
}

const nameOf = (record) => `${record.table}/${record.model}/${rowName(record)}`;

function stepInOrder(by) {
  const order = inOrder(), next = order[order.indexOf(current()) + by];
  if (next) goTo(next);
}

function sortByMargin() {
  if (!columns.some(({ name }) => name === "margin")) return;
  part("sort").value = view.sort === "margin" ? "" : "margin";
  filter();
  const [first] = undecided(inOrder());
  if (first && open) goTo(first);
}

function undo() {
  if (!review.steps.length || isLocked()) return;
  const step = review.steps.pop();
  for (const [item, before] of step) item.decision = before;
  saveDecisions();
  refresh();
  goTo(step[0][0]);
}

function tell(text) {
  trouble.replaceChildren(safe(text));
  trouble.hidden = !text;
}

function setGone(gone) {
  if (review.gone === gone || review.result) return;
  review.gone = gone;
  tell(gone ? GONE : "");
  showChoices();
}

async function send() {
  const answer = await fetch("decisions", {
    method: "POST", cache: "no-store", headers: { "Content-Type": "application/json" },
    body: JSON.stringify(review.items.map((item) => item.decision || null)),
    referrerPolicy: "same-origin", // some browsers send no Origin if they may send no referrer
  });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

async function finish() {
  part("done").disabled = true;
  try {
    review.result = await send();
  } catch (error) {
    if (error instanceof TypeError) setGone(true);
    else tell(error.message);
    return showChoices();
  }
  saveDecisions();
  return showEnd();
}

function showEnd() {
  const { sentence, faults, written } = review.result;
  const box = element(
    "section", faults.length ? "faulty" : "", element("h2", "", "The review is done"), element("p", "", sentence),
    element("ul", "", ...faults.map((line) => element("li", "fault", safe(line, true))), ...listOf(written)),
    element("p", "soft", "You can go on reading this page, or close it: the command has ended."),
  );
  box.id = "result";
  box.tabIndex = -1;
  part("dock").hidden = true;
  document.body.style.setProperty("--dock", "0px");
  document.querySelector(".rule").remove();
  part("top").append(box);
  if (open) close();
  refresh();
  box.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

// Notices that the command has ended, before the user decides in vain.
async function watchServer() {
  while (!review.result) {
    await new Promise((resolve) => { window.setTimeout(resolve, 2000); });
    await fetch("", { method: "HEAD", cache: "no-store" }).then(() => setGone(false), () => setGone(true));
  }
}

function prepareReview() {
  for (const item of byHash.values()) {
    item.entry = data.review[item.record.entry];
    review.items[item.record.entry] = item;
  }
  loadDecisions();
  added.cell = cellFate;
  added.panel = panelFate;
  added.moved = () => {
    group.checked = false;
    if (!review.gone) tell("");
    showChoices();
  };
  document.querySelector("h1").replaceChildren("Review");
  part("sentence").after(element("p", "rule", "Nothing is written before you press Done. Until then, this browser keeps what you decide."));
  filters.differing = false;
  part("differing").parentElement.hidden = part("next").hidden = part("identity").hidden = true;
  new ResizeObserver(() => {
    if (!part("dock").hidden) document.body.style.setProperty("--dock", `${part("dock").getBoundingClientRect().height}px`);
  }).observe(part("dock"));
}

function listenToDock() {
  const once = (act) => (event) => { if (!event.repeat) act(); };
  for (const decision of DECISIONS) {
    added.keys[decision[0]] = once(() => decide(decision, false));
    added.keys[decision[0].toUpperCase()] = once(() => decide(decision, true));
    choices.querySelector(`[data-decision=${decision}]`).addEventListener("click", () => decide(decision, group.checked));
  }
  Object.assign(added.keys, { u: undo, b: () => stepInOrder(-1), n: () => stepInOrder(1), g: askWhere, m: sortByMargin });
  together.addEventListener("keydown", (event) => { // A again accepts, any other letter goes back
    if (event.repeat || event.key.length > 1 || event.key === " " || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    answer(together, event.key === "A");
  });
  for (const dialog of [together, jump]) {
    dialog.addEventListener("submit", (event) => {
      event.preventDefault();
      answer(dialog, event.submitter.value !== "");
    });
  }
  group.addEventListener("change", showChoices);
  part("undo").addEventListener("click", undo);
  part("done").addEventListener("click", finish);
  window.addEventListener("storage", () => { // the page is open in another tab, too
    if (isLocked()) return;
    review.steps = [];
    loadDecisions();
    refresh();
  });
}

added.prepare = prepareReview;
added.begin = () => {
  listenToDock();
  showProgress();
  showChoices();
  if (!open && undecided().length) goTo(undecided()[0]);
  watchServer();
};
