// What goes to the server and comes from it; then the review begins.

const LOST = "llmcompare answers no more: it was ended, or its terminal was closed. "
  + "What it had not carried out is still pending: llmcompare review --web";
let turn = Promise.resolve(); // keys that are pressed ahead act one after the other

async function ask(what, body) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    referrerPolicy: "same-origin" }; // some browsers tell no origin where they may tell no referrer
  const answer = await fetch(what, { cache: "no-store", ...(body === undefined ? {} : post) });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

function tell(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
}

function lose(lost) {
  if (review.lost === lost) return;
  review.lost = lost;
  tell(lost ? LOST : "");
  showChoices();
}

function inTurn(act) {
  turn = turn.then(async () => {
    if (review.state.end || review.lost) return;
    try {
      await act();
    } catch (error) {
      tell(error instanceof TypeError ? LOST : error.message);
    }
  });
}

function goTo(item) {
  openCase(item);
  history.replaceState(null, "", `#${item.hash}`);
}

function decide(decision, wholeGroup) {
  inTurn(async () => {
    const item = current();
    if (!item) return;
    const opened = open === item;
    take(await ask("decide", { entry: numberOf(item), decision, group: wholeGroup }));
    tell("");
    const next = nextAfter(item);
    if (next && opened) goTo(next);
    else if (next) (linkOf(next) || document.body).focus();
    else {
      if (open) close();
      part("done").focus();
    }
  });
}

function undo() {
  inTurn(async () => {
    if (!review.state.undo) return;
    const before = review.entries.map(fateOf);
    take(await ask("undo", {}));
    const back = review.entries.find((item, at) => before[at] !== fateOf(item));
    if (back) goTo(back);
  });
}

function finish() {
  inTurn(async () => {
    part("done").disabled = true;
    tell("");
    try {
      take(await ask("done", {}));
    } finally {
      part("done").disabled = false;
    }
  });
}

function pause(milliseconds) {
  return new Promise((resolve) => { window.setTimeout(resolve, milliseconds); });
}

async function watch() {
  for (let missed = 0; !review.state.end;) {
    try {
      take(await ask(`state?after=${review.state.version}`));
      missed = 0;
      lose(false);
    } catch {
      missed += 1;
      if (missed > 2) lose(true);
      await pause(missed > 2 ? 3000 : 300);
    }
  }
}

function listenToDock() {
  for (const decision of DECISIONS) {
    const once = (act) => (event) => { if (!event.repeat) act(); };
    added.keys[decision[0]] = once(() => decide(decision, false));
    added.keys[decision[0].toUpperCase()] = once(() => decide(decision, true));
    choices.querySelector(`[data-decision=${decision}]`).addEventListener("click", () => decide(decision, group.checked));
  }
  added.keys.u = undo;
  group.addEventListener("change", showChoices);
  part("undo").addEventListener("click", undo);
  part("done").addEventListener("click", finish);
}

readRows();
readEntries();
showHeader();
prepareDock();
showTools();
showGrid();
listen();
listenToDock();
showProgress();
showChoices();
followHash();
if (!open && undecided().length) goTo(undecided()[0]);
watch();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
