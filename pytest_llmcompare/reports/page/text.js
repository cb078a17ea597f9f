// Elements and texts. What models write is put in place as text only, with visible escapes for all that cannot be seen.

const MOST_MARKS = 4;
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;
const SUSPECT = /[\p{C}\p{Zl}\p{Zp}\p{Mn}\p{Me}]|(?! )\p{Zs}/u;
const MARK = /[\p{Mn}\p{Me}\u200c\u200d]/u;
const JOINER = /[\u200c\u200d]/;

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

function isJoinable(char) {
  return char !== undefined && char.codePointAt(0) > 0x7f && !HIDDEN.test(char);
}

// A text of a model, as nodes. Line breaks stay if asked for.
function safe(text, keepLines = false) {
  const made = document.createDocumentFragment();
  if (!SUSPECT.test(text)) {
    made.append(text);
    return made;
  }
  const chars = Array.from(text);
  let run = "", marks = 0;
  chars.forEach((char, at) => {
    const joins = JOINER.test(char) && isJoinable(chars[at - 1]) && isJoinable(chars[at + 1]);
    marks = joins || (MARK.test(char) && !JOINER.test(char)) ? marks + 1 : 0;
    if ((joins || !HIDDEN.test(char) || (keepLines && char === "\n")) && marks <= MOST_MARKS) {
      run += char;
      return;
    }
    made.append(run, element("span", "escape", escapeOf(char)));
    run = "";
  });
  made.append(run);
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
