"use strict";
(() => {
  const table = document.getElementById("candidates");
  if (!table) return;
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  document.getElementById("sorting").textContent += " Press a column's name to sort by it.";
  heads.forEach((head, column) => {
    const button = document.createElement("button"), numeric = head.className === "n";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => row.cells[column].dataset.key;
      const compare = (a, b) => numeric ? a - b : a < b ? -1 : a > b ? 1 : 0;
      const order = (a, b) => !key(a) || !key(b) ? !key(a) - !key(b) : (up ? 1 : -1) * compare(key(a), key(b));
      body.append(...[...body.rows].sort(order));
    });
  });
})();
