// All rows, to be sorted by any column and filtered by words.

function setUpTable() {
  const { heads, text, cells, numbers } = data.table;
  const own = { by: -1, down: true, words: [] };
  const full = rows.map((row, i) => [row.full, row.data, row.run, row.command, ...cells.map((column) => column[i])].join(" ").toLowerCase());
  const lines = rows.map((_, i) => element("tr", { onclick: () => { choose(i); $("chosen").scrollIntoView({ behavior: "smooth", block: "center" }); } },
    ...cells.map((column, place) => element("td", { class: text[place] ? (heads[place] === "stage" ? "text name" : "text") : false }, column[i]))));
  const body = element("tbody");
  const count = element("span", { class: "muted small", id: "table-count" });
  const marks = heads.map((head, place) => element("th", { class: text[place] ? "text" : false, "aria-sort": "none" },
    element("button", { type: "button", onclick: () => sort(place) }, head || "front")));
  function sort(place) {
    own.down = own.by === place ? !own.down : !text[place];
    own.by = place;
    render();
  }
  function value(i) {
    return text[own.by] || !numbers[own.by].length ? cells[own.by][i] : numbers[own.by][i];
  }
  function order(a, b) {
    const [one, two] = [value(a), value(b)];
    const empty = (own) => own === null || own === "";
    if (empty(one) || empty(two)) return empty(one) - empty(two); // what is not there stands last
    const way = typeof one === "string" ? one.localeCompare(two, undefined, { numeric: true }) : one - two;
    return own.down ? -way : way;
  }
  function render() {
    const kept = rows.map((_, i) => i).filter((i) => own.words.every((word) => full[i].includes(word)));
    if (own.by >= 0) kept.sort(order);
    body.replaceChildren(...kept.map((i) => lines[i]));
    count.textContent = kept.length === rows.length ? `${rows.length} rows` : `${kept.length} of ${rows.length} rows`;
    marks.forEach((mark, place) => mark.setAttribute("aria-sort", place !== own.by ? "none" : own.down ? "descending" : "ascending"));
    marks.forEach((mark, place) => { mark.firstChild.textContent = (heads[place] || "front") + (place !== own.by ? "" : own.down ? " ↓" : " ↑"); });
  }
  const search = element("input", { id: "filter", type: "search", placeholder: "words that a row must have", "aria-label": "filter",
    oninput: () => { own.words = search.value.toLowerCase().split(/\s+/).filter(Boolean); render(); } });
  $("table-controls").replaceChildren(search, count);
  $("rows").replaceChildren(element("thead", {}, element("tr", {}, ...marks)), body);
  $("reading").replaceChildren(...data.reading.map((line) => element("li", {}, line)));
  render();
}
