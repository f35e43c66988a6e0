"use strict";
// Sort and filter of plain tables; without script the tables are whole and in order.
const value = (row, i) => row.cells[i].textContent.trim();

function sort(table, i, down) {
  const rows = [...table.tBodies[0].rows];
  const numeric = table.tHead.rows[0].cells[i].dataset.kind === "number";
  const key = (row) => (numeric ? parseFloat(value(row, i)) : value(row, i));
  const empty = (k) => (numeric ? Number.isNaN(k) : k === "");
  rows.map((row) => [key(row), row]).sort(([a], [b]) => {
    if (empty(a) || empty(b)) return empty(a) - empty(b); // nothing goes last, either way
    return (numeric ? a - b : a.localeCompare(b)) * (down ? -1 : 1);
  }).forEach(([, row]) => table.tBodies[0].append(row));
}

document.querySelectorAll("table.sortable th button").forEach((button) => {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const down = head.getAttribute("aria-sort") === "ascending";
    head.parentNode.querySelectorAll("th").forEach((th) => th.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    sort(head.closest("table"), head.cellIndex, down);
  });
});

// A table that is wider than its place says that it goes on; so does one that comes into sight later.
function mark() {
  document.querySelectorAll(".wide, .rows").forEach((box) => {
    box.classList.toggle("scrolls", box.scrollWidth > box.clientWidth + 1);
  });
}
addEventListener("resize", mark);
document.addEventListener("toggle", mark, true);
mark();

const form = document.getElementById("filter");
const table = document.getElementById("every-row");

function filter() {
  const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
  const wanted = [...form.querySelectorAll("select")].filter((s) => s.value);
  let n = 0;
  for (const row of table.tBodies[0].rows) {
    const text = row.textContent.toLowerCase();
    const keep = words.every((w) => text.includes(w))
      && wanted.every((s) => value(row, +s.dataset.column) === s.value);
    row.hidden = !keep;
    n += keep;
  }
  document.getElementById("count").textContent = `${n} of ${table.tBodies[0].rows.length} rows`;
}

// The rows that the filters leave, in the order on the screen, as a CSV file.
function save() {
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const cells = (row) => [...row.cells].slice(0, -1).map((c) => quoted(c.textContent.trim())).join(",");
  const rows = [table.tHead.rows[0], ...[...table.tBodies[0].rows].filter((row) => !row.hidden)];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([rows.map(cells).join("\n") + "\n"], { type: "text/csv" }));
  link.download = "rows.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A link to something inside a closed part opens that part.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (target) target.scrollIntoView();
}
window.addEventListener("hashchange", reveal);

if (form) {
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("reset", () => setTimeout(filter));
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("save").addEventListener("click", save);
  document.querySelectorAll("a[data-show]").forEach((link) => link.addEventListener("click", () => {
    form.reset();
    for (const pair of link.dataset.show.split(";").filter(Boolean)) {
      const [name, wanted] = pair.split("=");
      form.elements[name].value = wanted;
    }
    filter();
  }));
  filter();
}
