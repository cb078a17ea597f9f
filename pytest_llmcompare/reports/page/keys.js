// Keys, filters, links, print, and the file to take along.

const search = part("search"), help = part("help");

function current() {
  if (open) return open;
  return grid.items.find((item) => item.link && item.link === document.activeElement) || null;
}

function step(by) {
  const at = grid.items.indexOf(current());
  go(grid.items[at < 0 ? 0 : Math.min(Math.max(at + by, 0), grid.items.length - 1)]);
}

// The shown cases after the current one, then those before it.
function following() {
  const at = grid.items.indexOf(current()) + 1;
  return [...grid.items.slice(at), ...grid.items.slice(0, at)];
}

const nextDrifted = () => go(following().find(({ record }) => record.verdict === "drifted"));

function go(next) {
  if (!next) return;
  if (open) location.replace(`#${next.hash}`);
  else {
    const link = linkOf(next);
    link.focus();
    link.scrollIntoView({ block: "nearest" });
  }
}

function followHash() {
  const item = byHash.get(location.hash.slice(1));
  if (item) openCase(item);
  else if (open) close();
}

function escapeKey() {
  const menu = part("columns").parentElement;
  if (menu.open && menu.contains(document.activeElement)) {
    menu.open = false;
    menu.firstElementChild.focus();
  } else if (document.activeElement === search && search.value) {
    search.value = "";
    filter();
  } else if (open) close();
  else if (document.activeElement === search) search.blur();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") return escapeKey();
  if (event.target.closest("input[type=search], select, textarea")) return;
  const act = { j: () => step(1), k: () => step(-1), n: nextDrifted, "/": () => search.focus(), "?": () => help.showModal(), ...added.keys }[event.key];
  if (act) {
    event.preventDefault();
    if (event.key === "/" && open && narrow.matches) close();
    act(event);
  }
}

function filter() {
  filters.search = search.value;
  for (const name of ["table", "model", "variant"]) filters[name] = part(name).value;
  view.sort = part("sort").value;
  view.reverse = part("reverse").checked;
  part("reverse").disabled = !view.sort;
  filters.differing = part("differing").checked;
  redraw();
}

function redraw() {
  showGrid();
  highlight(open, true);
}

function onVerdict({ currentTarget }) {
  const { verdict } = currentTarget.dataset, isOn = !filters.verdicts.delete(verdict);
  if (isOn) filters.verdicts.add(verdict);
  currentTarget.setAttribute("aria-pressed", String(isOn));
  filter();
}

// On paper nothing can be opened or scrolled: all rows are made, with whole texts, and all that is folded away is open.
function forPrint(isPrinted) {
  const made = isPrinted ? grid.shown.length : grid.before;
  Object.assign(grid, { whole: isPrinted, before: grid.made });
  redraw();
  makeRows(made - grid.made);
  for (const box of document.querySelectorAll(isPrinted ? "details:not(.menu, [open])" : "details[data-shut]")) {
    box.open = isPrinted;
    box.toggleAttribute("data-shut", isPrinted);
  }
}

function listen() {
  let waiting = 0;
  search.addEventListener("input", () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(filter, rows.length > 500 ? 120 : 0);
  });
  for (const id of ["table", "model", "variant", "sort", "reverse", "differing"]) part(id).addEventListener("change", filter);
  part("next").addEventListener("click", nextDrifted);
  part("csv").addEventListener("click", download);
  part("tools").addEventListener("submit", (event) => event.preventDefault());
  part("help-button").addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", onKey);
  window.addEventListener("hashchange", followHash);
  window.addEventListener("beforeprint", () => forPrint(true));
  window.addEventListener("afterprint", () => forPrint(false));
  narrow.addEventListener("change", () => { page.inert = Boolean(open) && narrow.matches; });
  new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) makeRows(CHUNK);
  }, { rootMargin: "1500px" }).observe(part("more"));
}

// A cell of a CSV file. A text that a spreadsheet would compute gets a quotation mark before it.
function csvCell(value) {
  const text = String(value ?? "");
  return `"${(typeof value !== "number" && /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
}

// The cases that are shown, as a file.
function download() {
  const heads = ["table", "prompt id", "variant", "model", "verdict", "prompt", "baseline", "output", ...columns.map(({ name }) => name)];
  const lines = grid.items.map((item) => {
    const { record, line: { row } } = item, { table, model, baseline, candidate } = record;
    const own = columns.map((column) => valueOf(item, column));
    return [table, row.prompt_id, row.variant, model, kindOf(record), row.input, baseline, candidate?.text, ...own];
  });
  const text = [heads, ...lines].map((cells) => cells.map(csvCell).join(",")).join("\r\n");
  const link = element("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", text, "\r\n"], { type: "text/csv" }));
  link.download = "model-comparison.csv";
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
