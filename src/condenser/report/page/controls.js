// What people choose by: selects, switches, legends.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A labelled select; options are [value, words]. */
function chooser(id, label, options, value, changed, wide = false) {
  const select = element("select", { id, onchange: () => changed(options[select.selectedIndex][0]) });
  for (const [own, words] of options) {
    select.append(element("option", { value: own, selected: own === value }, words));
  }
  return element("label", { class: wide ? "wide" : false }, label, select);
}

function toggle(id, label, checked, changed) {
  const box = element("input", { id, type: "checkbox", checked, onchange: () => changed(box.checked) });
  return element("label", { class: "check" }, box, label);
}

/** The marks of the stages, in a square of 12: the same as Plotly draws. */
const SHAPES = {
  s: ["square", "M2 2H10V10H2Z"], o: ["circle", "M6 1.6A4.4 4.4 0 1 1 5.99 1.6Z"],
  D: ["diamond", "M6 0L12 6L6 12L0 6Z"], d: ["diamond-tall", "M6 0L9.5 6L6 12L2.5 6Z"],
  v: ["triangle-down", "M0.5 2H11.5L6 11Z"], "^": ["triangle-up", "M0.5 10H11.5L6 1Z"],
  "<": ["triangle-left", "M10 0.5V11.5L1 6Z"], ">": ["triangle-right", "M2 0.5V11.5L11 6Z"],
  h: ["hexagon", "M6 0.5L11 3.3V8.7L6 11.5L1 8.7V3.3Z"], p: ["pentagon", "M6 0.5L11.5 4.6L9.4 11H2.6L0.5 4.6Z"],
  P: ["cross", "M4 1H8V4H11V8H8V11H4V8H1V4H4Z"], X: ["x", "M3 1L6 4L9 1L11 3L8 6L11 9L9 11L6 8L3 11L1 9L4 6L1 3Z"],
  "*": ["star", "M6 0L7.6 4.2L12 4.4L8.6 7.2L9.8 11.6L6 9.1L2.2 11.6L3.4 7.2L0 4.4L4.4 4.2Z"],
};

function mark(shape, color) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", (SHAPES[shape] ?? SHAPES.o)[1]);
  path.setAttribute("fill", color);
  svg.append(path);
  return svg;
}

/** A button an entry that shows and hides it; entries without a key are there to be read. */
function legend(box, groups, hidden, changed) {
  box.replaceChildren();
  for (const { head, entries } of groups) {
    if (head) box.append(element("p", {}, head));
    for (const { key, label, shape, color } of entries) {
      const flip = () => {
        if (!hidden.delete(key)) hidden.add(key);
        changed();
      };
      const state = key === undefined ? { disabled: true } : { "aria-pressed": String(!hidden.has(key)) };
      box.append(element("button", { type: "button", ...state, onclick: flip }, mark(shape, color), element("span", {}, label)));
    }
  }
}

function table(box, heads, body, clicked) {
  const row = (cells, tag) => element("tr", {}, ...cells.map(([text, kind]) => element(tag, { class: kind || false }, text)));
  const lines = body.map(({ cells, of }) => {
    const line = row(cells, "td");
    if (clicked) line.addEventListener("click", () => clicked(of));
    return line;
  });
  box.replaceChildren(element("thead", {}, row(heads, "th")), element("tbody", {}, ...lines));
}
