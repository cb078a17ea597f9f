// Elements and texts. What models write is put in place as text only, with visible escapes for all that cannot be seen.

// Characters that cannot be seen, but for joiners between letters that need them; and marks after the fourth in a row,
// because more would climb over lines.
const UNSEEN = /(?!(?<=[^\x00-\x7f\p{C}\p{Z}])[\u200c\u200d](?=[^\x00-\x7f\p{C}\p{Z}]))(?:\p{C}|(?! )\p{Z})|(?<=[\p{Mn}\p{Me}\u200c\u200d]{4})[\p{Mn}\p{Me}\u200c\u200d]/gu;

const part = (id) => document.getElementById(id);
const digits = (number) => number.toLocaleString("en");
const count = (number, noun) => `${digits(number)} ${noun}${number === 1 ? "" : "s"}`;
const onOneLine = (text) => text.replace(/\s*\n\s*/g, " \u23ce ");

// An element with its children: elements, and texts of our own.
function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function button(label, act) {
  const made = element("button", "", label);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function checkbox(act) {
  const box = element("input");
  box.type = "checkbox";
  box.addEventListener("change", act);
  return box;
}

function colour(node, kind) {
  node.style.setProperty("--c", `var(--${kind})`);
  return node;
}

// A sign beside a word that says the same.
function signOf(sign, kind = "") {
  const made = element("span", "sign", sign);
  made.setAttribute("aria-hidden", "true");
  return kind ? colour(made, kind) : made;
}

// A part of a bar as wide as its share.
function shareOf(number, kind) {
  const made = element("i");
  made.style.flex = String(number);
  return kind ? colour(made, kind) : made;
}

function linkTo(item, text) {
  const made = element("a", "", safe(text));
  made.href = `#${item.hash}`;
  return made;
}

function escapeOf(char) {
  const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[char];
  if (named) return named;
  const code = char.codePointAt(0), hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}

// A text of a model, as nodes. Line breaks stay if asked for.
function safe(text, keepLines = false) {
  const made = document.createDocumentFragment();
  let from = 0;
  for (const { 0: char, index } of text.matchAll(UNSEEN)) {
    if (keepLines && char === "\n") continue;
    made.append(text.slice(from, index), element("span", "escape", escapeOf(char)));
    from = index + char.length;
  }
  made.append(text.slice(from));
  return made;
}

// Parts of a text, cut where a change or a token begins or ends.
function pieces(text, changed, tokens) {
  const ends = [...new Set([0, text.length, ...changed.flat(), ...tokens.flatMap((one) => [one.from, one.to])])];
  ends.sort((one, other) => one - other);
  let change = 0, token = 0;
  return ends.slice(1).map((to, at) => {
    const from = ends[at];
    while (change < changed.length && changed[change][1] <= from) change += 1;
    while (token < tokens.length && tokens[token].to <= from) token += 1;
    return { text: text.slice(from, to), changed: change < changed.length && changed[change][0] <= from, token: tokens[token] };
  });
}

// The ranges that touch a part of a text, counted from the beginning of that part.
function within(ranges, start, end) {
  return ranges.filter(([from, to]) => to > start && from < end)
    .map(([from, to]) => [Math.max(from, start) - start, Math.min(to, end) - start]);
}

// A measurement, by default with two significant digits as in the other reports.
function nats(value, most = 2) {
  return value === null || value === undefined ? "" : String(Number(value.toPrecision(most))).replace("-", "\u2212");
}

function percent(share) {
  const value = 100 * share;
  if (value === 0 || value === 100) return `${value}%`;
  return value < 0.1 ? "<0.1%" : value > 99.9 ? ">99.9%" : `${value.toFixed(1)}%`;
}
