// Text of models: put in place as text nodes only, with visible escapes for all that cannot be seen.

const MOST_MARKS = 4;
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;
const SUSPECT = /[\p{C}\p{Zl}\p{Zp}\p{Mn}\p{Me}]|(?! )\p{Zs}/u;
const MARK = /[\p{Mn}\p{Me}\u200c\u200d]/u;
const JOINER = /[\u200c\u200d]/;

function element(tag, className = "", text = null) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== null) made.append(text);
  return made;
}

function escapeOf(char) {
  const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[char];
  if (named) return named;
  const code = char.codePointAt(0), hex = code.toString(16);
  if (code < 0x100) return "\\x" + hex.padStart(2, "0");
  return code < 0x10000 ? "\\u" + hex.padStart(4, "0") : "\\U" + hex.padStart(8, "0");
}

function isJoinable(char) {
  return char !== undefined && char.codePointAt(0) > 0x7f && !HIDDEN.test(char);
}

// Appends text to a parent. Line breaks stay where they can be shown as such.
function put(parent, text, keepLines = false) {
  if (!SUSPECT.test(text)) {
    parent.append(text);
    return parent;
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
    if (run) parent.append(run);
    run = "";
    parent.append(element("span", "escape", escapeOf(char)));
  });
  if (run) parent.append(run);
  return parent;
}

// Parts of a text, cut where a change or a token begins or ends.
function pieces(text, changed, tokens) {
  const cuts = new Set([0, text.length]);
  for (const [from, to] of changed) cuts.add(from).add(to);
  for (const token of tokens) cuts.add(token.from).add(token.to);
  const ends = [...cuts].sort((one, other) => one - other);
  let change = 0, token = 0;
  return ends.slice(1).map((to, at) => {
    const from = ends[at];
    while (change < changed.length && changed[change][1] <= from) change += 1;
    while (token < tokens.length && tokens[token].to <= from) token += 1;
    const inside = change < changed.length && changed[change][0] <= from;
    return { text: text.slice(from, to), changed: inside, token: token < tokens.length ? tokens[token] : null };
  });
}

function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

function nats(value) {
  return value === null || value === undefined ? "" : String(Number(value.toPrecision(2))).replace("-", "\u2212");
}

function percent(share) {
  const value = 100 * share;
  if (value === 0 || value === 100) return `${value}%`;
  return value < 0.1 ? "<0.1%" : value > 99.9 ? ">99.9%" : `${value.toFixed(1)}%`;
}

function duration(seconds) {
  if (seconds < 0.9995) return `${Math.round(1000 * seconds)} ms`;
  if (seconds < 59.5) return seconds < 9.95 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
