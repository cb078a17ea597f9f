// The page begins.

readRows();
showHeader();
added.prepare();
showTools();
showGrid();
listen();
followHash();
added.begin();
document.documentElement.dataset.ready = String(Math.round(performance.now())); // ms since the page was asked for
