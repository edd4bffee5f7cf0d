// Accuracy over cost: the figure, its legend, the front as a table, one row in full.

const hidden = new Set();
const first = { y: "" };
let shownState = {};

function setUpCurve() {
  const figure = data.figures.curve;
  if (!figure) { $("curve").hidden = true; return; }
  first.y = figure.choices.y.first;
  if (sameSize(figure)) figure.choices.x.first = RANK;
  shownState = section("curve", figure, (state) => drawCurve(figure, state), () => hidden.clear());
  const best = frontOf(figure, shownState);
  choose(best.length ? best[Math.floor(best.length / 2)] : 0);
}

function drawCurve(figure, state) {
  shownState = state;
  const [panel] = figure.panels;
  const box = $("curve-chart");
  const every = resolved(figure, panel, state).filter(({ kind }) => kind === "points");
  drawPanel(box, figure, panel, state, { hidden, height: window.innerWidth < 860 ? 420 : 520 });
  box.removeAllListeners?.("plotly_click");
  box.on("plotly_click", ({ points }) => choose(points[0].customdata));
  const here = every.flatMap(({ rows: own }) => own);
  $("curve-says").textContent = explained(figure, here, state);
  const names = [...new Set(every.map(({ name }) => name))];
  const entries = names.map((name) => every.find((mark) => mark.name === name)).filter(({ rows: own }) => own.length)
    .map(({ name, color, marker }) => ({ key: name, label: name, color, shape: state.colour === "stage" || state.colour === "method" ? marker : "o" }));
  const stages = ["stage", "method"].includes(state.colour) ? [] : [...new Set(here.map((i) => rows[i].stage))]
    .map((stage) => ({ label: stage, shape: data.looks[stage][1], color: theme().ink }));
  const head = figure.choices.colour.options.find(([key]) => key === state.colour)[1];
  legend($("curve-legend"), [{ head, entries }, ...(stages.length > 1 ? [{ head: "shape: stage", entries: stages }] : [])], hidden, () => drawCurve(figure, state));
  frontTable(frontOf(figure, state), state);
}

function frontOf(figure, state) {
  const mark = figure.panels[0].marks.find(({ kind }) => kind === "step");
  return state.x === RANK ? [] : rowsOf(figure, mark, state, [state.x, state.y]);
}

/** Whether most rows share one x: then a rank says more. */
function sameSize(figure) {
  const { x, data: set } = figure.choices;
  if (x.first === RANK) return true;
  const here = rows.map((_, i) => i).filter((i) => (set.first || "") === "" || figure.filters.data[i] === set.first).filter((i) => mean(x.first, i) !== null);
  const counts = {};
  for (const i of here) counts[mean(x.first, i)] = (counts[mean(x.first, i)] ?? 0) + 1;
  return here.length > 3 && Math.max(...Object.values(counts)) > 0.6 * here.length;
}

function explained(figure, here, state) {
  const missing = rows.filter((_, i) => among(figure, i, state)).length - new Set(here).size;
  const kinds = new Set(here.map((i) => rows[i].runtime).filter((runtime) => runtime));
  const cost = columns[state.x]?.cost;
  return [
    columns[state.y].less ? "Lower is better." : "Higher is better.",
    state.x === RANK ? "Every row, the best first." : "",
    cost ? "Cheaper is to the left; the line is the Pareto front, chosen on validation." : "",
    { std: "Bars are the sample's standard deviation over seeds.", half: "Bars are 95 % intervals of the mean.", none: "" }[state.bars],
    missing ? `${missing} rows did not measure both.` : "",
    state.x.startsWith("latency/") && kinds.size > 1 ? `Times were taken in ${[...kinds].join(" and ")}: compare within one.` : "",
  ].filter(Boolean).join(" ");
}

function frontTable(best, state) {
  $("front-box").hidden = !best.length;
  if (!best.length) return;
  const heads = [["row", "text"], [columns[state.x].name, ""], [columns[state.y].name, ""]];
  table($("front"), heads, best.map((i) => ({ of: i, cells: [[oneLine(i), "text name"], [spread(state.x, i), ""], [spread(state.y, i), ""]] })), choose);
}

/** Show one row in full, with the command that redoes it. */
function choose(i) {
  if (i === undefined || i === null || !shownState.y) return;
  const row = rows[i];
  const keys = [...new Set([shownState.y, "test/accuracy", "test/accuracy_last", "val/accuracy", ...Object.keys(columns).filter((key) => columns[key].cost)])]
    .filter((key) => key in columns && mean(key, i) !== null);
  const list = element("dl");
  for (const key of keys) {
    list.append(element("dt", {}, columns[key].name), element("dd", {}, spread(key, i)));
    const half = columns[key].half[i];
    if (key === "test/accuracy" && half) list.append(element("dt", {}, "its 95 % interval"), element("dd", {}, `± ${said(key, half)}`));
  }
  list.append(element("dt", {}, "seeds"), element("dd", {}, row.seeds.join(", ")), element("dt", {}, "run"), element("dd", {}, row.run ?? "–"));
  const command = row.command ?? "the record does not say";
  const copy = element("button", { type: "button", onclick: () => navigator.clipboard?.writeText(command).then(() => { copy.textContent = "copied"; }) }, "copy the command");
  $("chosen").replaceChildren(element("h3", {}, oneLine(i)), list, element("pre", {}, command), row.command ? copy : null);
}
