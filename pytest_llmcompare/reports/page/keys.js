// Keys, filters, links.

const search = part("search"), help = part("help");

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
  filters.model = part("model").value;
  filters.differing = part("differing").checked;
  showGrid();
  highlight(open, true);
}

function onVerdict({ currentTarget }) {
  const { verdict } = currentTarget.dataset, isOn = !filters.verdicts.delete(verdict);
  if (isOn) filters.verdicts.add(verdict);
  currentTarget.setAttribute("aria-pressed", String(isOn));
  filter();
}

function listen() {
  let waiting = 0;
  search.addEventListener("input", () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(filter, rows.length > 500 ? 120 : 0);
  });
  part("model").addEventListener("change", filter);
  part("differing").addEventListener("change", filter);
  part("tools").addEventListener("submit", (event) => event.preventDefault());
  part("help-button").addEventListener("click", () => help.showModal());
  document.addEventListener("keydown", onKey);
  window.addEventListener("hashchange", followHash);
  window.addEventListener("beforeprint", () => makeRows(grid.shown.length));
  narrow.addEventListener("change", () => { page.inert = Boolean(open) && narrow.matches; });
  new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) makeRows(CHUNK);
  }, { rootMargin: "1500px" }).observe(part("more"));
}
