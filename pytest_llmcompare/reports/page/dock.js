// The dock at the lower edge, and what the panel and the cells say of a decision.

const part = (id) => document.getElementById(id);
const choices = part("choices"), group = part("group"), trouble = part("trouble");

function showFate(node, fate, text) {
  node.replaceChildren();
  if (!fate) return node;
  colour(node, FATES[fate].colour);
  const sign = element("span", "sign", FATES[fate].sign);
  sign.setAttribute("aria-hidden", "true");
  node.append(sign, text);
  return node;
}

function cellFate(item, link) {
  const fate = fateOf(item);
  link.classList.toggle("settled", SETTLED.includes(fate));
  item.chip = showFate(element("span", "fate"), fate === "left" ? "" : fate, fate && FATES[fate].word);
  return [item.chip];
}

function refreshCell(item) {
  if (!item.link) return;
  const old = item.chip;
  old.replaceWith(...cellFate(item, item.link));
}

function panelFate(item) {
  const fate = fateOf(item), said = element("p", "fate"), why = element("p", "why-not");
  const against = data.against[numberOf(item)], measure = element("p", "measure");
  if (against) put(measure, `compared with ${against}`);
  said.id = "fate";
  showFate(said, fate, fate && FATES[fate].said);
  if (review.state.end) put(why, review.state.end.why[numberOf(item)], true);
  const others = review.entries.filter((other) => other !== item && areAlike(item, other));
  if (!others.length) return [said, why, measure];
  const box = element("details", "others"), list = element("ul");
  box.append(element("summary", "", `${count(others.length, "other")} changed in the same way`), list);
  for (const other of others.slice(0, 50)) {
    const link = list.appendChild(element("li")).appendChild(element("a"));
    link.href = `#${other.hash}`;
    put(link, `${other.found.table}: ${rowName(other.found)}`);
    if (fateOf(other)) link.after(` (${FATES[fateOf(other)].word})`);
  }
  if (others.length > 50) list.append(element("li", "", `\u2026 ${others.length - 50} more`));
  return [said, why, measure, box];
}

function showProgress() {
  const all = review.entries.length, { decisions } = review.state, left = undecided().length;
  part("left").textContent = left ? `${left.toLocaleString("en")} of ${all.toLocaleString("en")} left` : "All decided";
  const counts = tally(DECISIONS, decisions), bar = document.querySelector("#progress .bar");
  bar.replaceChildren(...[...counts, ["", left]].filter(([, number]) => number).map(([fate, number]) => {
    const made = element("i");
    made.style.flex = String(number);
    return fate ? colour(made, FATES[fate].colour) : made;
  }));
  part("tally").textContent = counts.map(([fate, number]) => `${number.toLocaleString("en")} ${fate}`).join(" \u00b7 ") || "nothing decided yet";
  const acts = tally(["accept", "reject"], decisions).map(([fate, number]) => `${fate} ${number.toLocaleString("en")}`);
  part("done").replaceChildren("Done", element("span", "", acts.length ? `: ${acts.join(", ")}` : ""));
  part("done").classList.toggle("ready", !left);
  document.title = review.state.end ? "Review: ended" : `Review: ${part("left").textContent}`;
}

function showChoices() {
  choices.hidden = !open;
  part("hint").hidden = Boolean(open) || review.lost;
  part("hint").textContent = undecided().length ? "Open a case to decide about it." : "Done carries that out. Until then, any case can be decided another way.";
  part("undo").disabled = review.lost || !review.state.undo;
  part("done").disabled = review.lost;
  if (!open) return;
  const alike = groupOf(open).length, many = alike > 1 && group.checked;
  part("alike").hidden = alike < 2;
  part("alike").lastElementChild.textContent = `all ${alike.toLocaleString("en")} alike`;
  for (const button of choices.querySelectorAll("button")) {
    const { decision } = button.dataset, verb = decision[0].toUpperCase() + decision.slice(1);
    button.firstElementChild.textContent = many ? `${verb} ${alike.toLocaleString("en")}` : verb;
    button.setAttribute("aria-pressed", String(fateOf(open) === decision));
    button.disabled = review.lost;
  }
}

function showEnd() {
  const { end } = review.state, box = element("section", end.faults.length ? "faulty" : "");
  box.id = "became";
  box.tabIndex = -1;
  box.append(element("h2", "", end.by === "page" ? "The review is done" : "The review was ended in its terminal"));
  const said = Object.fromEntries(tally(["accepted", "rejected", "refused", "left"], end.became));
  const words = ["accepted", "rejected"].map((fate) => `${(said[fate] || 0).toLocaleString("en")} ${fate}`);
  if (said.refused) words.push(`${said.refused.toLocaleString("en")} refused`);
  if (said.left) words.push(`${said.left.toLocaleString("en")} left for another time`);
  box.append(element("p", "", `${words.join(", ")}.`));
  const list = box.appendChild(element("ul"));
  for (const line of end.faults) put(list.appendChild(element("li", "fault")), line, true);
  for (const line of end.written) put(list.appendChild(element("li")), line, true);
  box.append(element("p", "soft", "You can go on reading this page, or close it: the command has ended."));
  part("dock").hidden = true;
  document.body.style.setProperty("--dock", "0px");
  document.querySelector(".rule").remove();
  part("top").append(box);
  if (open) close();
  box.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

// Takes in what the server tells, unless something newer is there already.
function take(state) {
  if (state.version <= review.state.version) return;
  const before = new Map(review.entries.map((item) => [item, fateOf(item)]));
  review.state = state;
  const changed = review.entries.filter((item) => before.get(item) !== fateOf(item));
  changed.forEach(refreshCell);
  showProgress();
  if (state.end) showEnd();
  else {
    if (open && changed.some((item) => areAlike(item, open))) show(open);
    showChoices();
  }
}

function prepareDock() {
  added.cell = cellFate;
  added.panel = panelFate;
  added.moved = () => {
    group.checked = false;
    showChoices();
  };
  document.querySelector("h1").replaceChildren("Review");
  const rule = "Nothing is written before you press Done or end the command in its terminal. Then all that was decided is carried out.";
  part("sentence").after(element("p", "rule", rule));
  filters.differing = false;
  part("differing").parentElement.hidden = true;
  new ResizeObserver(() => {
    if (!part("dock").hidden) document.body.style.setProperty("--dock", `${part("dock").getBoundingClientRect().height}px`);
  }).observe(part("dock"));
}
