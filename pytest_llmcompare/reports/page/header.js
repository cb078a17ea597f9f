// Above the results: the outcome, tiles, findings. Their sentences are made where the report is written.

const signed = (kind, sign, text) => element("span", "", signOf(sign, kind), ` ${text}`);
const listOf = (lines) => lines.map((line) => element("li", "", safe(line, true)));

// A tile of a threshold, of whether a model changed, or of a model with its cases by verdict.
function tileOf({ look = "", title, small, counts = {}, value, wanted, lines }) {
  const made = element("li", look, element("h3", "", element("span", "", safe(title)), element("small", "", safe(small))));
  const kinds = words.filter(({ kind }) => counts[kind]), shares = kinds.filter(({ kind }) => kind !== "accepted");
  if (kinds.length) {
    const bar = element("div", "bar", ...shares.map(({ kind }) => shareOf(counts[kind], kind)));
    bar.setAttribute("aria-hidden", "true");
    made.append(bar, element("div", "counts", ...kinds.map(({ kind, sign, word }) => signed(kind, sign, `${digits(counts[kind])} ${word}`))));
  }
  if (value) made.append(element("p", "value", safe(value), " ", element("small", "", safe(wanted))));
  made.append(...lines.map((line) => element("p", "facts", safe(line, true))));
  return made;
}

function detailsOf({ title, lines, open: isOpen }) {
  const box = element("details", "", element("summary", "", title), element("ul", "", ...listOf(lines)));
  box.open = isOpen;
  return box;
}

// What tells the run from others: a text, a command to copy, links.
function identityOf({ text, command: copied, links = [] }) {
  const parts = copied ? [command(copied)] : [];
  parts.push(...(text ? text.split("\n").map((line) => element("div", "", ...unbroken(line))) : []));
  for (const [name, address] of links) {
    const link = element("a", "", name);
    Object.assign(link, { href: address, rel: "noreferrer" });
    parts.push(link, " ");
  }
  return parts;
}

function fill(id, children) {
  part(id).querySelector("ul").append(...children);
  part(id).hidden = !children.length;
}

function showHeader() {
  const { header } = data;
  part("outcome").className = header.outcome;
  part("outcome").append(header.outcome);
  part("sentence").append(safe(header.sentence));
  part("texts").append(safe(header.texts));
  part("identity").firstElementChild.append(safe(header.run));
  part("identity").append(facts(header.identity.map((item) => [item.name, identityOf(item)]), "identity"));
  part("charts").hidden = !part("charts").children.length;
  part("results").hidden = !data.tables.length;
  part("further").append(...header.details.map(detailsOf));
  fill("failed", listOf(header.faults));
  for (const id of ["changes", "gates", "models"]) fill(id, header[id].map(tileOf));
  document.title = `${header.outcome}: ${header.sentence}`;
}
