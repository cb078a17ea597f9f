// Keys, filters, links.

const search = document.getElementById("search"), help = document.getElementById("help");

function current() {
  if (open) return open;
  return grid.items.find((item) => item.link && item.link === document.activeElement) || null;
}

function step(by) {
  const at = grid.items.indexOf(current());
  const next = grid.items[at < 0 ? 0 : Math.min(Math.max(at + by, 0), grid.items.length - 1)];
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
  if (document.activeElement === search && search.value) {
    search.value = "";
    filter();
  } else if (open) close();
  else if (document.activeElement === search) search.blur();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (event.key === "Escape") return escapeKey();
  if (event.target.closest("input[type=search], select, textarea")) return;
  const act = { j: () => step(1), k: () => step(-1), "/": () => search.focus(), "?": () => help.showModal(), ...added.keys }[event.key];
  if (act) {
    event.preventDefault();
    if (event.key === "/" && open && narrow.matches) close();
    act(event);
  }
}

function filter() {
  filters.search = search.value;
  filters.model = document.getElementById("model").value;
  filters.differing = document.getElementById("differing").checked;
  showGrid();
  mark(open, true);
}

function onVerdict(event) {
  const button = event.target.closest("button");
  if (!button) return;
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  on ? filters.verdicts.add(button.dataset.verdict) : filters.verdicts.delete(button.dataset.verdict);
  filter();
}

function listen() {
  let waiting = 0;
  search.addEventListener("input", () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(filter, rows.length > 500 ? 120 : 0);
  });
  document.getElementById("model").addEventListener("change", filter);
  document.getElementById("differing").addEventListener("change", filter);
  document.getElementById("verdicts").addEventListener("click", onVerdict);
  document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("help-button").addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", onKey);
  window.addEventListener("hashchange", followHash);
  window.addEventListener("beforeprint", () => makeRows(grid.shown.length));
  narrow.addEventListener("change", () => { page.inert = Boolean(open) && narrow.matches; });
  new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) makeRows(CHUNK);
  }, { rootMargin: "1500px" }).observe(document.getElementById("more"));
}
