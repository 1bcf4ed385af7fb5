"use strict";
// Sort a table by the column whose heading is pressed: numbers, then words, then what is empty, in either direction.
function value(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = parseFloat(text.replace(/,/g, ""));
  const kind = text === "" || text === "–" ? 2 : Number.isNaN(number) ? 1 : 0;
  return { kind, number, text };
}
function compare(a, b) {
  return a.kind === 0 ? a.number - b.number : a.text.localeCompare(b.text);
}
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.querySelectorAll("thead tr:last-child th")];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down === 1 ? "ascending" : "descending");
      const rows = [...body.rows].map((row) => [value(row, column), row]);
      rows.sort(([a], [b]) => a.kind - b.kind || down * compare(a, b));
      body.append(...rows.map(([, row]) => row));
    });
  });
}
