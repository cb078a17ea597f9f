// One case in full: what it was asked, both texts with their differences, the evidence, how to accept it.

const MOST_SHOWN = 20000, AROUND = 2000;
const HEAT = [[0.9, ""], [0.7, "p1"], [0.5, "p2"], [0.3, "p3"], [0.1, "p4"], [0, "p5"]];
const panel = document.getElementById("panel"), page = document.getElementById("page");
const narrow = window.matchMedia("(max-width: 60rem)");
let open = null, shaded = false;

function title(text) {
  return element("h3", "", text);
}

function tokensOf(candidate, from, to) {
  if (!shaded || !candidate.tokens || !candidate.logprobs) return [];
  let at = 0;
  const all = candidate.tokens.map((text, index) => {
    const token = { from: at - from, to: at + text.length - from, logprob: candidate.logprobs[index], index };
    at += text.length;
    return token;
  });
  return all.filter((token) => token.to > 0 && token.from < to - from && token.to > token.from);
}

function textBox(text, changed, tag, candidate) {
  const box = element("div", "text");
  box.dir = "auto";
  if (!text) return put(box, "(no text)");
  const first = changed.length ? changed[0][0] : 0;
  const from = text.length > MOST_SHOWN ? Math.max(first - AROUND, 0) : 0;
  const to = text.length > MOST_SHOWN ? Math.min(from + MOST_SHOWN, text.length) : text.length;
  if (from) box.append(element("span", "escape", `\u2026 ${count(from, "character")} before`), " ");
  const near = changed.filter(([start, end]) => end > from && start < to)
    .map(([start, end]) => [Math.max(start, from) - from, Math.min(end, to) - from]);
  for (const piece of pieces(text.slice(from, to), near, candidate ? tokensOf(candidate, from, to) : [])) {
    const made = element(piece.changed ? tag : "span");
    if (piece.token) {
      const chance = piece.token.logprob === null ? null : Math.exp(piece.token.logprob);
      const heat = chance === null ? "" : HEAT.find(([least]) => chance >= least)[1];
      made.className = `token ${heat}`.trim();
      made.title = chance === null ? "not known" : `token ${piece.token.index + 1}: ${nats(piece.token.logprob)} nats, ${percent(chance)}`;
    }
    box.append(put(made, piece.text, true));
  }
  if (to < text.length) box.append(" ", element("span", "escape", `\u2026 ${count(text.length - to, "character")} more`));
  if (text.length > 1500) {
    box.classList.add("long");
    box.tabIndex = 0; // so that it can be scrolled without a mouse
  }
  return box;
}

function shading(candidate) {
  const row = element("div", "shading"), label = row.appendChild(element("label", "check")), box = element("input");
  box.type = "checkbox";
  box.id = "shade";
  box.checked = shaded;
  box.addEventListener("change", () => {
    shaded = box.checked;
    show(open);
    document.getElementById("shade").focus();
  });
  label.append(box, "shade tokens by probability");
  const legend = row.appendChild(element("span", "legend", "likely"));
  for (const [, heat] of HEAT.slice(1)) legend.append(element("i", heat));
  legend.append("unlikely");
  const known = candidate.logprobs.map((value, index) => [value, index]).filter(([value]) => value !== null);
  if (known.length) {
    const [least, index] = known.reduce((worst, one) => (one[0] < worst[0] ? one : worst));
    const said = row.appendChild(element("span", "", `least likely: token ${index + 1} `));
    said.append(quoted(candidate.tokens[index]), `, ${percent(Math.exp(least))}`);
  }
  return row;
}

function texts(found) {
  const made = element("div", "inside"), both = found.baseline !== null && found.candidate;
  const same = both && found.baseline === found.candidate.text;
  const change = found.changes || { baseline: [], candidate: [] };
  const grid = made.appendChild(element("div", both && !same ? "both" : ""));
  const side = (name, ...args) => {
    const part = grid.appendChild(element("div"));
    part.append(title(name), textBox(...args));
  };
  if (found.baseline !== null && !same) side("Baseline", found.baseline, change.baseline, "del", null);
  if (found.candidate) {
    side(same ? "Baseline and candidate are the same text" : "Candidate", found.candidate.text, change.candidate, "ins", found.candidate);
    if (found.candidate.tokens && found.candidate.logprobs && found.candidate.logprobs.length) made.append(shading(found.candidate));
  } else made.append(title("Candidate"), element("p", "", "(no output)"));
  return made;
}

const UNITS = { tok: "token", char: "character" };

function evidence(judged) {
  const list = element("dl", "evidence");
  const add = (name, ...parts) => {
    const value = element("dd");
    value.append(...parts);
    list.append(element("dt", "", name), value);
  };
  const unit = UNITS[judged.unit] || judged.unit;
  if (judged.position !== null) {
    const beyond = judged.length !== null && judged.position >= judged.length;
    add("first difference", beyond ? `after the baseline's end (${count(judged.length, unit)})`
      : `${unit} ${judged.position + 1}${judged.length === null ? "" : ` of ${judged.length}`}`);
    add("change", quoted(judged.baseline_token), " \u2192 ", quoted(judged.candidate_token));
  }
  if (judged.margin !== null) {
    add("margin there", `${nats(judged.margin)} nats${judged.tolerance === null ? "" : ` (tie: up to ${nats(judged.tolerance)})`}`);
  }
  if (judged.mismatches) add("tokens that differ", `${judged.mismatches} of ${judged.length}, along the baseline`);
  const moved = judged.likelihood;
  if (moved && moved.rms !== null) {
    const noise = moved.rms <= moved.band;
    add("likelihood drift", `${nats(moved.rms)} nats per token, ${noise ? "within" : "beyond"} noise (up to ${nats(moved.band)})`);
    if (!noise) add("worst token", `${nats(moved.worst)} nats at token ${moved.position + 1}`);
  }
  return list.children.length ? list : null;
}

function command(text) {
  const row = element("div", "command"), code = put(row.appendChild(element("code")), text), button = element("button", "", "Copy");
  const said = element("span", "unseen");
  said.setAttribute("role", "status");
  button.type = "button";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      window.getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = said.textContent = "Copied";
    window.setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  row.append(button, said);
  return row;
}

function others(item) {
  const list = element("ul", "others");
  for (const other of item.known.cases) {
    if (!other || other === item) continue;
    const line = list.appendChild(element("li")), link = element("a");
    link.href = `#${other.hash}`;
    put(link, other.found.model);
    const said = other.found.candidate ? other.found.candidate.text.slice(0, PREVIEW).trim() : "(no output)";
    line.append(signed(kindOf(other.found), signOf(other.found), ""), link, ": ");
    put(line, said.replace(/\s*\n\s*/g, " \u23ce "));
  }
  return list.children.length ? list : null;
}

function bar(item) {
  const row = element("div", "bar-top"), at = grid.items.indexOf(item);
  row.append(element("span", "", at < 0 ? "" : `${(at + 1).toLocaleString("en")} of ${count(grid.items.length, "case")}`));
  for (const [name, label, act] of [["\u2191", "Previous case (k)", () => step(-1)], ["\u2193", "Next case (j)", () => step(1)], ["\u00d7", "Close (Esc)", close]]) {
    const button = row.appendChild(element("button", "", name));
    button.type = "button";
    button.title = label;
    button.setAttribute("aria-label", label);
    button.addEventListener("click", act);
  }
  return row;
}

function show(item) {
  const { found } = item, heading = put(element("h2"), `${found.model}: ${rowName(found)}`);
  heading.id = "panel-title";
  const badge = colour(element("p", "badge"), kindOf(found));
  badge.append(element("span", "sign", signOf(found)), wordOf(found));
  const parts = [bar(item), heading, badge, ...added.panel(item)];
  if (found.judgement) {
    parts.push(evidence(found.judgement));
    if (found.judgement.reason) parts.push(put(element("p", "reason"), found.judgement.reason, true));
  }
  parts.push(texts(found));
  if (found.target !== null) parts.push(title("Expected answer"), textBox(found.target, [], "span", null));
  parts.push(title("Prompt"), textBox(item.known.row.input, [], "span", null));
  if (found.accept) parts.push(title("Accept today's output as the baseline"), command(found.accept));
  const rest = others(item);
  if (rest) parts.push(title("Other models on this prompt"), rest);
  parts.push(title("Test"), put(element("code"), found.test));
  panel.replaceChildren(...parts.filter(Boolean));
}

function mark(item, on) {
  if (item && item.link) item.link.classList.toggle("open", on);
  if (item && item.link) on ? item.link.setAttribute("aria-current", "true") : item.link.removeAttribute("aria-current");
}

function isSeen(node) {
  const box = node.getBoundingClientRect();
  return box.bottom > 0 && box.top < window.innerHeight;
}

function openCase(item) {
  mark(open, false);
  open = item;
  show(item);
  panel.hidden = false;
  panel.scrollTop = 0;
  document.body.classList.add("paneled");
  page.inert = narrow.matches;
  const link = grid.items.includes(item) ? linkOf(item) : null;
  mark(item, true);
  if (link) link.scrollIntoView({ block: isSeen(link) ? "nearest" : "center" });
  panel.focus({ preventScroll: true });
  added.moved();
}

function close() {
  const last = open;
  mark(open, false);
  open = null;
  panel.hidden = true;
  page.inert = false;
  document.body.classList.remove("paneled");
  history.replaceState(null, "", location.pathname + location.search);
  if (last && last.link) last.link.focus();
  added.moved();
}
