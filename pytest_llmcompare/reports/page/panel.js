// One case in full: what it was asked, both texts with their differences, the evidence, how to accept it.

const MOST_SHOWN = 20000, AROUND = 2000, MOST_MESSAGES = 200;
const ELSEWHERE = ["verdict", "margin", "movement", "assertions"]; // facts that an opened case shows in other places
const HEAT = [[0.9, ""], [0.7, "p1"], [0.5, "p2"], [0.3, "p3"], [0.1, "p4"], [0, "p5"]];
const panel = part("panel"), page = part("page"), narrow = window.matchMedia("(max-width: 60rem)");
let open = null, shaded = false;

// The tokens in a part of a text, with where each begins and ends in it.
function tokensOf(candidate, from, to) {
  if (!shaded || !candidate || !candidate.tokens || !candidate.logprobs) return [];
  let at = -from;
  const all = candidate.tokens.map((text, index) => {
    at += text.length;
    return { from: at - text.length, to: at, logprob: candidate.logprobs[index], index };
  });
  return all.filter((token) => token.to > 0 && token.from < to - from && token.to > token.from);
}

function shade(node, { logprob, index }) {
  const chance = logprob === null ? null : Math.exp(logprob);
  node.className = `token ${chance === null ? "" : HEAT.find(([least]) => chance >= least)[1]}`.trim();
  node.title = chance === null ? "not known" : `token ${index + 1}: ${nats(logprob)} nats, ${percent(chance)}`;
}

function textBox(text, changed = [], tag = "span", candidate = null) {
  const box = element("div", "text", text ? "" : "(no text)"), isLong = text.length > MOST_SHOWN;
  box.dir = "auto";
  const from = isLong && changed.length ? Math.max(changed[0][0] - AROUND, 0) : 0;
  const to = isLong ? Math.min(from + MOST_SHOWN, text.length) : text.length;
  if (from) box.append(element("span", "escape", `\u2026 ${count(from, "character")} before`), " ");
  for (const piece of text ? pieces(text.slice(from, to), within(changed, from, to), tokensOf(candidate, from, to)) : []) {
    const made = element(piece.changed ? tag : "span", "", safe(piece.text, true));
    if (piece.token) shade(made, piece.token);
    box.append(made);
  }
  if (to < text.length) box.append(" ", element("span", "escape", `\u2026 ${count(text.length - to, "character")} more`));
  if (text.length > 1500) {
    box.classList.add("long");
    box.tabIndex = 0; // so that it can be scrolled without a mouse
  }
  return box;
}

function shading(candidate) {
  const box = checkbox(() => {
    shaded = box.checked;
    show(open);
    part("shade").focus();
  });
  Object.assign(box, { id: "shade", checked: shaded });
  const legend = element("span", "legend", "likely", ...HEAT.slice(1).map(([, heat]) => element("i", heat)), "unlikely");
  const row = element("div", "shading", element("label", "check", box, "shade tokens by probability"), legend);
  const known = candidate.logprobs.map((value, index) => [value, index]).filter(([value]) => value !== null);
  if (known.length) {
    const [least, index] = known.reduce((worst, one) => (one[0] < worst[0] ? one : worst));
    row.append(element("span", "", `least likely: token ${index + 1} `, element("span", "piece", safe(`'${candidate.tokens[index]}'`)), `, ${percent(Math.exp(least))}`));
  }
  return row;
}

const titled = (title, ...children) => [element("h3", "", title), ...children];

function texts({ baseline, candidate, changes }) {
  const isSame = baseline !== null && candidate && baseline === candidate.text, sides = [];
  if (baseline !== null && !isSame) sides.push(element("div", "", ...titled("Baseline", textBox(baseline, changes?.baseline, "del"))));
  const title = isSame ? "Baseline and candidate are the same text" : "Candidate";
  if (candidate) sides.push(element("div", "", ...titled(title, textBox(candidate.text, changes?.candidate, "ins", candidate))));
  const made = element("div", "inside", element("div", changes ? "both" : "", ...sides));
  if (!candidate) made.append(...titled("Candidate", element("p", "", "(no output)")));
  else if (candidate.tokens && candidate.logprobs?.length) made.append(shading(candidate));
  return made;
}

// Text in which lines end at blanks only: not after the hyphen of an option or of a number such as 1e-05.
const unbroken = (text) => text.split(" ").flatMap((word, at) => [at ? " " : "", element("span", "word", safe(word))]);

const facts = (items, kind) => element("dl", kind, ...items.flatMap(([name, value]) => [element("dt", "", safe(name)), element("dd", "", ...value)]));

function command(text) {
  const code = element("code", "", ...unbroken(text)), status = element("span", "unseen");
  status.setAttribute("role", "status");
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      window.getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    copy.textContent = status.textContent = "Copied";
    window.setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });
  return element("div", "command", code, copy, status);
}

function otherModels(item) {
  return item.line.cases.filter((other) => other && other !== item).map((other) => {
    const text = other.record.candidate ? onOneLine(other.record.candidate.text.slice(0, PREVIEW).trim()) : "(no output)";
    return element("li", "", signed(kindOf(other.record), signFor(other.record), ""), linkTo(other, other.record.model), ": ", safe(text));
  });
}

function topBar(item) {
  const at = grid.items.indexOf(item);
  const row = element("div", "bar-top", element("span", "", at < 0 ? "" : `${digits(at + 1)} of ${count(grid.items.length, "case")}`));
  for (const [name, label, act] of [["\u2191", "Previous case (k)", () => step(-1)], ["\u2193", "Next case (j)", () => step(1)], ["\u00d7", "Close (Esc)", close]]) {
    const made = row.appendChild(button(name, act));
    made.title = label;
    made.setAttribute("aria-label", label);
  }
  return row;
}

// The prompt; of a conversation every message with its role, and the tools.
function question({ input, conversation }) {
  if (!conversation) return titled("Prompt", textBox(input));
  const shown = [];
  for (const { role, content, ...further } of conversation.messages.slice(-MOST_MESSAGES)) {
    shown.push(element("h4", "role", safe(role)));
    if (content || !further.tool_calls) shown.push(textBox(content ?? ""));
    if (Object.keys(further).length) shown.push(textBox(JSON.stringify(further, null, 2)));
  }
  const left = conversation.messages.length - MOST_MESSAGES;
  if (left > 0) shown.unshift(element("p", "escape", `\u2026 ${count(left, "message")} before`));
  if (conversation.tools) shown.push(element("h4", "role", "tools"), textBox(JSON.stringify(conversation.tools, null, 2)));
  return titled("Conversation", ...shown);
}

const assertion = ([passed, text]) => element("li", passed ? "" : "broken", signOf(passed ? "\u2713" : "\u2717"), passed ? " holds: " : " failed: ", safe(text));

function show(item) {
  const { record } = item, heading = element("h2", "", safe(`${record.model}: ${rowName(record)}`));
  heading.id = "panel-title";
  const badge = colour(element("p", "badge", element("span", "sign", signFor(record)), wordFor(record)), kindOf(record));
  const parts = [topBar(item), heading, badge, ...added.panel(item)], others = otherModels(item);
  if (record.evidence?.length) parts.push(facts(record.evidence.map(([name, value]) => [name, unbroken(value)]), "evidence"));
  if (record.reason) parts.push(element("p", "reason", safe(record.reason, true)));
  parts.push(texts(record));
  if (record.candidate?.reasoning) parts.push(...titled("Reasoning", textBox(record.candidate.reasoning)));
  if (record.target !== null) parts.push(...titled("Expected answer", textBox(record.target)));
  if (record.assertions) parts.push(...titled(`Assertions: ${record.facts.assertions}`, element("ul", "asserted", ...record.assertions.map(assertion))));
  parts.push(...question(item.line.row));
  if (record.accept) parts.push(...titled("Accept today's output as the baseline", command(record.accept)));
  const measured = columns.filter(({ name, of }) => of === "case" && record.facts[name] !== undefined && !ELSEWHERE.includes(name));
  if (measured.length) parts.push(...titled("Measured", facts(measured.map(({ name }) => [name, [safe(factOf(record.facts[name], true), true)]]), "evidence")));
  if (others.length) parts.push(...titled("Other models on this prompt", element("ul", "others", ...others)));
  panel.replaceChildren(...parts, ...titled("Test", element("code", "", safe(record.test))));
}

function highlight(item, isOpen) {
  if (!item || !item.link) return;
  item.link.classList.toggle("open", isOpen);
  if (isOpen) item.link.setAttribute("aria-current", "true");
  else item.link.removeAttribute("aria-current");
}

function openCase(item) {
  highlight(open, false);
  open = item;
  show(item);
  panel.hidden = false;
  panel.scrollTop = 0;
  document.body.classList.add("paneled");
  page.inert = narrow.matches;
  const link = grid.items.includes(item) ? linkOf(item) : null, box = link && link.getBoundingClientRect();
  highlight(item, true);
  if (link) link.scrollIntoView({ block: box.bottom > 0 && box.top < window.innerHeight ? "nearest" : "center" });
  panel.focus({ preventScroll: true });
  added.moved();
}

function close() {
  const last = open;
  highlight(open, false);
  open = null;
  panel.hidden = true;
  page.inert = false;
  document.body.classList.remove("paneled");
  history.replaceState(null, "", location.pathname + location.search);
  if (last && last.link) last.link.focus();
  added.moved();
}
