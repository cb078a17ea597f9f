// Where two texts differ, word by word, as ranges of characters.

const MOST_WORDS = 1500; // matched per text between the common ends: time grows with their product
const WORD = /\s+|[\p{L}\p{N}\p{M}_]+|[^\s\p{L}\p{N}\p{M}_]/gu;

function commonStart(one, other) {
  const most = Math.min(one.length, other.length);
  let at = 0;
  while (at < most && one[at] === other[at]) at += 1;
  return at;
}

function commonEnd(one, other, start) {
  const most = Math.min(one.length, other.length) - start;
  let at = 0;
  while (at < most && one[one.length - 1 - at] === other[other.length - 1 - at]) at += 1;
  return at;
}

// Which words of each side are not in the longest common sequence of words: two arrays of booleans.
function changedWords(one, other) {
  if (Math.max(one.length, other.length) > MOST_WORDS) return [one.map(() => true), other.map(() => true)];
  const columns = other.length + 1;
  const longest = new Uint16Array((one.length + 1) * columns);
  for (let i = one.length - 1; i >= 0; i -= 1) {
    for (let j = other.length - 1; j >= 0; j -= 1) {
      longest[i * columns + j] = one[i] === other[j]
        ? longest[(i + 1) * columns + j + 1] + 1
        : Math.max(longest[(i + 1) * columns + j], longest[i * columns + j + 1]);
    }
  }
  const left = one.map(() => true), right = other.map(() => true);
  for (let i = 0, j = 0; i < one.length && j < other.length;) {
    if (one[i] === other[j]) {
      left[i] = right[j] = false;
      i += 1;
      j += 1;
    } else if (longest[(i + 1) * columns + j] >= longest[i * columns + j + 1]) i += 1;
    else j += 1;
  }
  return [left, right];
}

function ranges(words, start, changed) {
  const found = [];
  let at = words.slice(0, start).reduce((sum, word) => sum + word.length, 0);
  changed.forEach((differs, index) => {
    const end = at + words[start + index].length;
    const last = found[found.length - 1];
    if (differs && last && last[1] === at) last[1] = end;
    else if (differs) found.push([at, end]);
    at = end;
  });
  return found;
}

function difference(baseline, candidate) {
  const one = baseline.match(WORD) || [], other = candidate.match(WORD) || [];
  const start = commonStart(one, other), end = commonEnd(one, other, start);
  const [left, right] = changedWords(one.slice(start, one.length - end), other.slice(start, other.length - end));
  return { baseline: ranges(one, start, left), candidate: ranges(other, start, right) };
}

// Ranges of a text with what is to be done to them, from changes and tokens together.
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
