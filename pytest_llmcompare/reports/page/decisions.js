// What was decided about each case, as the server last told, and which of them are alike.

const FATES = {
  accept: { sign: "\u2713", word: "accept", said: "to be accepted", colour: "identical" },
  reject: { sign: "\u2715", word: "reject", said: "to be rejected", colour: "drifted" },
  skip: { sign: "\u2192", word: "skip", said: "skipped: it stays pending", colour: "none" },
  accepted: { sign: "\u2713", word: "accepted", said: "accepted: it is the baseline now", colour: "identical" },
  rejected: { sign: "\u2715", word: "rejected", said: "rejected: the baseline stays", colour: "drifted" },
  refused: { sign: "!", word: "refused", said: "refused: nothing was written", colour: "error" },
  left: { sign: "\u2192", word: "left", said: "left for another time", colour: "none" },
};
const DECISIONS = ["accept", "reject", "skip"], SETTLED = [...DECISIONS, "accepted", "rejected"];
const review = { state: data.state, entries: [], lost: false };

function numberOf(item) {
  return item.found.entry;
}

// What was decided about a case or, once the review has ended, what became of it; empty where neither.
function fateOf(item) {
  const { end, decisions } = review.state;
  return (end ? end.became[numberOf(item)] : decisions[numberOf(item)]) || "";
}

function isDecided(item) {
  return Boolean(review.state.decisions[numberOf(item)]);
}

function undecided() {
  return review.entries.filter((item) => !isDecided(item));
}

function areAlike(one, other) {
  return data.alike[numberOf(one)] === data.alike[numberOf(other)];
}

// The case, and the undecided ones that changed in the same way.
function groupOf(item) {
  return review.entries.filter((other) => other === item || (!isDecided(other) && areAlike(item, other)));
}

// The undecided case that comes next, in the order in which equal drifts stand next to each other.
function nextAfter(item) {
  const at = numberOf(item);
  return [...review.entries.slice(at + 1), ...review.entries.slice(0, at)].find((other) => !isDecided(other)) || null;
}

function tally(fates, all) {
  return fates.map((fate) => [fate, all.filter((one) => one === fate).length]).filter(([, number]) => number);
}

function readEntries() {
  for (const item of byHash.values()) review.entries[numberOf(item)] = item;
}
