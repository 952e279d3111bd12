"use strict";
(() => {
  const table = document.getElementById("images-table");
  const tools = document.getElementById("tools");
  const status = document.getElementById("status");
  const search = document.getElementById("search");
  const boxes = [...tools.querySelectorAll("input[name=verdict]")];
  const bodies = [...table.tBodies];
  const headings = [...table.tHead.rows[0].cells];
  const compareText = new Intl.Collator(undefined, { numeric: true }).compare;

  // what is searched: the file, the claims, the remarks and the facts, but no labels
  const texts = [];
  const textOf = (index) => {
    if (texts[index] === undefined) {
      const parts = bodies[index].querySelectorAll(".path, .claimed, .remarks, dd");
      texts[index] = Array.from(parts, (part) => part.textContent).join("\n").toLowerCase();
    }
    return texts[index];
  };

  const filter = () => {
    const wanted = search.value.trim().toLowerCase();
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let count = 0;
    bodies.forEach((body, index) => {
      const shown = verdicts.has(body.dataset.verdict) && (!wanted || textOf(index).includes(wanted));
      body.hidden = !shown;
      count += shown;
    });
    const all = bodies.length.toLocaleString("en-GB");
    status.textContent = count === bodies.length ? `All ${all} rows are shown.`
      : `${count.toLocaleString("en-GB")} of ${all} rows are shown.`;
  };

  const keyOf = (body, column, numeric) => {
    const cell = body.rows[0].cells[column];
    if (!numeric) return cell.textContent.trim();
    return cell.dataset.key === undefined ? "" : Number(cell.dataset.key);
  };

  const sort = (column) => {
    const heading = headings[column];
    const numeric = heading.dataset.kind === "number";
    // scores are looked at from the top, everything else from its beginning
    const first = heading.matches(".score, .lr") ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = heading.getAttribute("aria-sort") === first ? other : first;
    headings.forEach((each) => each.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const keyed = bodies.map((body, index) => ({ body, index, key: keyOf(body, column, numeric) }));
    keyed.sort((a, b) => {
      if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "") || a.index - b.index;
      return sign * (numeric ? a.key - b.key : compareText(a.key, b.key)) || a.index - b.index;
    });
    table.append(...keyed.map((row) => row.body));
  };

  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(column));
    heading.append(button);
  });
  headings[0].setAttribute("aria-sort", "ascending");

  const setDetails = (open) => {
    for (const body of bodies) if (!body.hidden) body.querySelector("details").open = open;
  };
  document.getElementById("open").addEventListener("click", () => setDetails(true));
  document.getElementById("close").addEventListener("click", () => setDetails(false));
  search.addEventListener("input", filter);
  boxes.forEach((box) => box.addEventListener("change", filter));
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.hidden = false;
  filter();
})();
