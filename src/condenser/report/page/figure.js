// Draws a description (figures/description.py): the same choices, panels and marks as on paper.

const redraws = [];
const columns = data.columns;
const mean = (key, i) => columns[key].mean[i];
const at = (key, i) => columns[key].mean[i] * columns[key].scale;
const RANK = "rank";
const MOST_RANKED = 80;

/** Whether this is chosen: one of what is asked for is one of what is chosen. */
function fits(when, state) {
  return Object.entries(when ?? {}).every(([key, value]) => [value].flat().some((one) => [state[key]].flat().includes(one)));
}

function quantity(axis, state) {
  return axis.quantity?.startsWith("$") ? state[axis.quantity.slice(1)] : axis.quantity;
}

/** The rows of a mark that are chosen and have a number in each of these columns. */
function rowsOf(figure, mark, state, keys) {
  let found = mark.rows;
  for (const key of mark.by ?? []) found = found?.[state[key]];
  return (found ?? []).filter((i) => among(figure, i, state) && keys.every((key) => !columns[key] || mean(key, i) !== null));
}

function among(figure, i, state) {
  return Object.entries(figure.filters ?? {}).every(([key, own]) => state[key] === "" || own[i] === state[key]);
}

/** What a panel shows: its marks with their rows and colours, those that are hidden left out. */
function resolved(figure, panel, state, hidden = new Set()) {
  const keys = [quantity(panel.x, state), quantity(panel.y, state)];
  return (panel.marks ?? []).filter((mark) => fits(mark.when, state) && !hidden.has(mark.name)).map((mark) => {
    const several = Object.keys(mark.when ?? {}).find((key) => Array.isArray(state[key]));
    const place = several ? state[several].indexOf(mark.when[several]) : 0;
    const rows = mark.kind === "cells" ? mark.rows : rowsOf(figure, mark, state, keys);
    return { ...mark, rows, names: panel.y.names, color: visible(mark.color ?? data.palette[place]) };
  });
}

/** Draw one panel; gives its marks. */
function drawPanel(box, figure, panel, state, { hidden, height } = {}) {
  const [x, y] = [quantity(panel.x, state), quantity(panel.y, state)];
  const marks = resolved(figure, panel, state, hidden);
  if (x === RANK) return ranked(box, marks, y, state);
  const traces = marks.filter(({ kind }) => kind !== "level").flatMap((mark) => trace(mark, x, y, state, marks));
  const all = marks.flatMap(({ kind, rows }) => (kind === "points" ? rows : []));
  const names = panel.y.names?.length ?? 0;
  plot(box, traces, {
    xaxis: axisOf(panel.x, x, all, state.log !== false, marks[0]?.kind === "bars"), yaxis: axisOf(panel.y, y, all),
    shapes: marks.filter(({ kind }) => kind === "level").flatMap(({ rows, color }) => rows.map((i) => ({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: at(y, i), y1: at(y, i), line: { color, width: 1, dash: "dot" },
    }))),
    bargap: 0.28, height: height ?? (names ? (marks[0].kind === "cells" ? Math.max(340, 54 * names + 110) : 26 * names + 90) : 380),
  });
  return marks;
}

function trace(mark, x, y, state, marks) {
  const { kind, name = "", rows, color, dash, text = [] } = mark;
  if (kind === "cells") return cells(mark, state);
  const base = { type: "scatter", name: plain(name) };
  const xs = mark.x ?? rows.map((i) => at(x, i));
  const ys = mark.y ?? (y ? rows.map((i) => at(y, i)) : []);
  if (kind === "points") {
    return { ...base, mode: "markers", x: xs, y: ys, customdata: rows, error_x: errors(x, rows, color, state), error_y: errors(y, rows, color, state),
      marker: { color, symbol: SHAPES[mark.marker]?.[0] ?? "circle", size: rows.length > 60 ? 8 : 10, line: { color: theme().paper, width: 1 } },
      hovertext: rows.map((i) => hover(i, [x, y])), hoverinfo: "text" };
  }
  if (kind === "step") {
    const most = Math.max(...marks.flatMap((one) => (one.kind === "points" ? one.rows.map((i) => at(x, i)) : [])));
    return rows.length ? { ...base, mode: "lines", hoverinfo: "skip", x: [...xs, most * (state.log ? 1.1 : 1.02)], y: [...ys, ys[ys.length - 1]], line: { color, width: 1.4, shape: "hv" } } : [];
  }
  if (kind === "line") {
    const told = mark.x ? { hovertemplate: `${wrapped(name, 60).replace(/%/g, "&#37;")}<br>${plain(text[0] ?? "")}, step %{x}: %{y:.4~g}<extra></extra>` } : { hoverinfo: "skip" };
    return { ...base, mode: mark.x && xs.length <= 30 ? "lines+markers" : "lines", x: xs, y: ys, line: { color, width: 1.5, dash: dash ? "dash" : "solid" }, marker: { size: 5 }, ...told };
  }
  const names = mark.names.map(plain);
  return { ...base, type: "bar", orientation: "h", x: xs, y: xs.map((_, k) => k), marker: { color }, text: text.map(plain), textposition: "auto", insidetextanchor: "end",
    cliponaxis: false, hovertext: names.map((own, i) => `${own}: ${plain(text[i])}`), hoverinfo: "text" };
}

function cells({ rows, quantity: of }, state) {
  const key = quantity({ quantity: of }, state);
  const { scale, std, less, unit } = columns[key];
  const write = (value) => (scale > 1 ? value.toFixed(2) : three(value));
  const has = (i) => i !== null && mean(key, i) !== null;
  const spread = (i) => (std[i] !== null && rows[0].length < 8 ? `<br>± ${write(std[i] * scale)}` : "");
  return { type: "heatmap", z: rows.map((line) => line.map((i) => (has(i) ? at(key, i) : null))), colorscale: data.shades.map((own, k, all) => [k / (all.length - 1), own]),
    reversescale: less === true, text: rows.map((line) => line.map((i) => (has(i) ? write(at(key, i)) + spread(i) : ""))), texttemplate: "%{text}", textfont: { size: 12 }, xgap: 2, ygap: 2,
    hovertext: rows.map((line) => line.map((i) => (i === null ? "not run" : hover(i, [...new Set([key, first.y])])))), hoverinfo: "text",
    colorbar: { thickness: 12, outlinewidth: 0, ticksuffix: unit === "%" ? " %" : "" } };
}

function errors(key, rows, color, state) {
  if (!["std", "half"].includes(state.bars)) return undefined;
  const widths = rows.map((i) => (columns[key][state.bars][i] ?? 0) * columns[key].scale);
  return widths.some((width) => width > 0) ? { type: "data", array: widths, color, thickness: 1.1, width: rows.length > 40 ? 0 : 3 } : undefined;
}

/** Rows by rank, where they cost the same or cost is not the question. */
function ranked(box, marks, y, state) {
  const points = marks.filter(({ kind }) => kind === "points");
  const way = columns[y].less ? 1 : -1;
  const best = points.flatMap(({ rows }) => rows).sort((a, b) => way * (mean(y, a) - mean(y, b))).slice(0, MOST_RANKED);
  const place = new Map(best.map((i, k) => [i, k]));
  const traces = points.map((mark) => {
    const own = mark.rows.filter((i) => place.has(i));
    const found = trace({ ...mark, rows: own, y: own.map((i) => place.get(i)) }, y, y, state, marks);
    return { ...found, error_y: undefined, hovertext: own.map((i) => hover(i, [y])) };
  });
  plot(box, traces, {
    xaxis: axis(axisName(y)), height: 22 * best.length + 80,
    yaxis: axis("", { tickvals: best.map((_, k) => k), ticktext: briefly(best, window.innerWidth < 700 ? 24 : 58), range: [best.length - 0.4, -0.6] }),
  });
  return marks;
}

function axisOf(own, key, all, log = false, bars = false) {
  if (own.names) {
    const names = own.names.map(plain);
    return axis(own.title ?? "", { tickvals: names.map((_, k) => k), ticktext: names, showgrid: false, ...(own.down ? { autorange: "reversed" } : {}) });
  }
  if (!key) return axis(own.title ?? "", own.percent ? { range: [0, 100] } : bars ? { tickformat: "~s", rangemode: "tozero" } : {});
  const values = all.map((i) => at(key, i));
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return quantityAxis(key, log && columns[key].cost && values.length > 0 && least > 0, least, most);
}

/** A section: its choosers, and its charts drawn again when one changes. */
function section(name, figure, draw, changed = () => {}) {
  const state = Object.fromEntries(Object.entries(figure.choices).map(([key, choice]) => [key, Array.isArray(choice.first) ? [...choice.first] : choice.first ?? ""]));
  const choose = (key, place) => (value) => {
    if (place === undefined) state[key] = value;
    else state[key][place] = value;
    changed(key, state);
    renew();
  };
  function renew() {
    $(`${name}-controls`).replaceChildren(...Object.entries(figure.choices).flatMap(([key, { labels, options, wide }]) => {
      if (!options) return key === "log" && !columns[state.x]?.cost ? [] : [toggle(`${name}-${key}`, labels[0], state[key], choose(key))];
      const known = options.filter(([, , when]) => fits(when, state));
      if (!Array.isArray(state[key]) && !known.some(([value]) => value === state[key])) [[state[key]]] = known;
      if (known.length < 2) return [];
      return labels.map((label, place) => (labels.length > 1
        ? chooser(`${name}-${key}-${place}`, label, known.slice(place ? 0 : 1), state[key][place], choose(key, place), wide)
        : chooser(`${name}-${key}`, label, known, state[key], choose(key), wide)));
    }));
    draw(state);
  }
  redraws.push(() => draw(state));
  renew();
  return state;
}
