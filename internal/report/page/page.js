"use strict";
(function () {
  var root = document.documentElement;
  var all = function (selector, from) { return Array.from((from || document).querySelectorAll(selector)); };

  // Colours: the system's, until the reader chooses. A page opened as a file may have no storage.
  var theme = document.getElementById("theme");
  var system = matchMedia("(prefers-color-scheme: dark)");
  var stored = function () { try { return localStorage.getItem("mirrorform-theme"); } catch (e) { return null; } };
  function paint() {
    var dark = (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
    theme.setAttribute("aria-pressed", String(dark));
    return dark;
  }
  if (stored() === "light" || stored() === "dark") root.dataset.theme = stored();
  paint();
  theme.hidden = false;
  system.addEventListener("change", paint);
  theme.addEventListener("click", function () {
    root.dataset.theme = paint() ? "light" : "dark";
    try { localStorage.setItem("mirrorform-theme", root.dataset.theme); } catch (e) { /* the choice lasts until the page is closed */ }
    paint();
  });

  // Sorting: a button in each column's header. Empty cells come last in both directions.
  var collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  function value(row, column) {
    var cell = row.cells[column];
    return "v" in cell.dataset ? cell.dataset.v : cell.textContent.trim();
  }
  function sort(table, column, direction) {
    all("thead th", table).forEach(function (th, i) { th.setAttribute("aria-sort", i === column ? direction : "none"); });
    var body = table.tBodies[0];
    var sign = direction === "ascending" ? 1 : -1;
    var rows = Array.from(body.rows).map(function (row) { return { row: row, v: value(row, column) }; });
    var numbers = rows.every(function (r) { return r.v === "" || !isNaN(r.v); });
    rows.sort(function (a, b) {
      if (a.v === "" || b.v === "") return (a.v === "") - (b.v === "");
      return sign * (numbers ? a.v - b.v : collator.compare(a.v, b.v));
    });
    rows.forEach(function (r) { body.append(r.row); });
  }
  all("table.sortable").forEach(function (table) {
    all("thead th", table).forEach(function (th, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append.apply(button, Array.from(th.childNodes));
      th.append(button);
      th.setAttribute("aria-sort", "none");
      button.addEventListener("click", function () {
        sort(table, column, th.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
      });
    });
  });

  // Filtering: hides everything about the other hosts, in all sections.
  var form = document.getElementById("filter");
  var rows = all("#host-table tbody tr");
  var field = function (id) { var e = document.getElementById(id); return e ? e.value : ""; };
  function filter() {
    var words = field("f-text").toLowerCase().split(/\s+/).filter(Boolean);
    var outcome = field("f-outcome");
    var label = field("f-label");
    var shown = new Set();
    rows.forEach(function (row) {
      var d = row.dataset;
      if ((!outcome || d.outcome === outcome) && (!label || d.labels.split("\n").includes(label)) &&
        words.every(function (w) { return d.text.includes(w); })) shown.add(d.h);
    });
    all("[data-h]").forEach(function (e) { e.hidden = !shown.has(e.dataset.h); });
    document.getElementById("shown").textContent = shown.size + " of " + rows.length + (rows.length === 1 ? " host" : " hosts");
  }
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", function (e) { e.preventDefault(); });
  form.addEventListener("reset", function () { setTimeout(filter); });
  filter();

  // Links open the closed sections around their target.
  function reveal() {
    var target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    if (target.hidden) { form.reset(); filter(); }
    for (var e = target; e; e = e.parentElement) if (e.localName === "details") e.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", reveal);
  reveal();

  all("[data-open]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      all("#changes details").forEach(function (d) { d.open = button.dataset.open === "true"; });
    });
  });
  // Open everything for printing.
  addEventListener("beforeprint", function () {
    all("details:not([open])").forEach(function (d) { d.open = true; d.dataset.closed = ""; });
  });
  addEventListener("afterprint", function () {
    all("details[data-closed]").forEach(function (d) { d.open = false; delete d.dataset.closed; });
  });
})();
