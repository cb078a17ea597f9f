// The report begins.

readRows();
showHeader();
showTools();
showGrid();
listen();
followHash();
document.documentElement.dataset.ready = String(Math.round(performance.now())); // ms since the page was asked for
