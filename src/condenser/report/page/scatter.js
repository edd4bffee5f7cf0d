// Accuracy over cost: every row a point, the front a step line.

const RANK = "rank";
const FEW = 12; // values of a setting that each get a colour of their own
const state = { x: data.x ?? RANK, y: data.y, log: true, bars: "std", data: "", model: "", colour: "stage", hidden: new Set() };

/** Rows of the chosen data set and network that measured both. */
function shown() {
  const has = (key, i) => key === RANK || data.numbers[key].mean[i] !== null;
  return rows.map((_, i) => i).filter((i) => among(i) && has(state.x, i) && has(state.y, i));
}

function among(i) {
  const { data: set, model } = rows[i];
  return String(set) === state.data && (!state.model || String(model) === state.model);
}

/** The groups of points by colour: [{label, color, rows}], or one with a colour scale. */
function coloured(here) {
  const own = data.colours.find(({ key }) => key === state.colour);
  const present = here.filter((i) => own.values[i] !== null);
  const values = [...new Set(present.map((i) => own.values[i]))];
  const numeric = values.length > 0 && values.every((value) => typeof value === "number");
  if (numeric) values.sort((a, b) => a - b);
  const rest = here.filter((i) => own.values[i] === null);
  const without = rest.length ? [{ label: "without", color: theme().muted, rows: rest }] : [];
  if (numeric && values.length > FEW) return [{ label: own.label, scale: own, rows: present }, ...without];
  const groups = values.map((value, place) => {
    const mine = present.filter((i) => own.values[i] === value);
    return { label: own.said?.[mine[0]] || String(value), color: colourOf(own.key, value, place, values.length, numeric), rows: mine };
  });
  return [...groups, ...without];
}

function colourOf(key, value, place, count, numeric) {
  if (key === "stage") return visible(data.looks[value][0]);
  if (numeric) return visible(stepped(count > 1 ? place / (count - 1) : 0));
  const again = Math.floor(place / OKABE.length);
  const color = visible(OKABE[place % OKABE.length]);
  return again ? mixed(color, theme().dark ? "#ffffff" : "#000000", 0.25 * again) : color;
}

function shapeOf(i) {
  return (data.looks[rows[i].stage] ?? ["", "o"])[1];
}

function errors(key, mine, color) {
  if (state.bars === "none") return undefined;
  const widths = mine.map((i) => (data.numbers[key][state.bars][i] ?? 0) * scale(key));
  return widths.some((width) => width > 0)
    ? { type: "data", array: widths, color, thickness: 1.1, width: mine.length > 40 ? 0 : 3 } : undefined;
}

function pointsTrace({ label, color, scale: coded, rows: mine }) {
  const value = (key) => mine.map((i) => data.numbers[key].mean[i] * scale(key));
  const paint = coded ? {
    color: mine.map((i) => coded.values[i]), colorscale: STEPS,
    colorbar: { title: { text: plain(coded.label), side: "right" }, thickness: 12, outlinewidth: 0 },
  } : { color };
  return {
    type: "scatter", mode: "markers", name: plain(label), x: value(state.x), y: value(state.y), customdata: mine,
    error_x: errors(state.x, mine, color ?? theme().muted), error_y: errors(state.y, mine, color ?? theme().muted),
    marker: { ...paint, symbol: mine.map((i) => SHAPES[shapeOf(i)]?.[0] ?? "circle"), size: mine.length > 60 ? 8 : 10, line: { color: theme().paper, width: 1 } },
    hovertext: mine.map((i) => hover(i, [state.x, state.y])), hoverinfo: "text",
  };
}

/** The lines of methods, in the colours of their points. */
function methodTraces(groups) {
  if (state.colour !== "method") return [];
  const colors = Object.fromEntries(groups.map(({ label, color }) => [label, color]));
  const known = (i) => data.numbers[state.x].mean[i] !== null && data.numbers[state.y].mean[i] !== null;
  return data.lines.filter(({ method }) => method in colors).map(({ method, rows: own }) => {
    const mine = own.filter((i) => among(i) && known(i)).sort((a, b) => data.numbers[state.x].mean[a] - data.numbers[state.x].mean[b]);
    return {
      type: "scatter", mode: "lines", hoverinfo: "skip", x: mine.map((i) => data.numbers[state.x].mean[i] * scale(state.x)),
      y: mine.map((i) => data.numbers[state.y].mean[i] * scale(state.y)),
      line: { color: colors[method], width: 1.4, dash: method.endsWith("(control)") ? "dash" : "solid" },
    };
  });
}

function front() {
  return data.quantities[state.x]?.cost ? data.fronts[state.data]?.[state.model]?.[state.x]?.[state.y] ?? [] : [];
}

function frontTrace(best, here) {
  const place = (key, i) => data.numbers[key].mean[i] * scale(key);
  const edge = Math.max(...here.map((i) => place(state.x, i))) * (state.log ? 1.1 : 1.02);
  const last = best[best.length - 1];
  return {
    type: "scatter", mode: "lines", name: "Pareto front", hoverinfo: "skip",
    x: [...best.map((i) => place(state.x, i)), edge], y: [...best, last].map((i) => place(state.y, i)),
    line: { color: theme().muted, width: 1.4, shape: "hv" },
  };
}

function scatter() {
  const here = shown();
  const groups = coloured(here);
  const drawn = groups.filter(({ label }) => !state.hidden.has(label));
  const best = front();
  const box = $("curve-chart");
  if (state.x === RANK) ranking(box, drawn);
  else overCost(box, drawn, here, best);
  box.removeAllListeners?.("plotly_click");
  box.on("plotly_click", ({ points }) => choose(points[0].customdata));
  $("curve-says").textContent = explained(here);
  curveLegend(groups, here);
  frontTable(best);
}

function overCost(box, drawn, here, best) {
  const across = here.map((i) => data.numbers[state.x].mean[i] * scale(state.x));
  const costly = data.quantities[state.x].cost && across.length > 0 && Math.min(...across) > 0;
  const traces = [...(best.length ? [frontTrace(best, here)] : []), ...methodTraces(drawn), ...drawn.map(pointsTrace)];
  draw(box, traces, {
    xaxis: quantityAxis(state.x, state.log && costly, Math.min(...across), Math.max(...across)),
    yaxis: axis(axisName(state.y)), height: window.innerWidth < 860 ? 420 : 520,
  });
}

function explained(here) {
  const missing = rows.filter((_, i) => among(i)).length - here.length;
  const kinds = new Set(here.map((i) => rows[i].runtime).filter((runtime) => runtime));
  const bars = { std: "Bars are the sample's standard deviation over seeds.", half: "Bars are 95 % intervals of the mean.", none: "" }[state.bars];
  return [
    data.quantities[state.y].less ? "Here less is better." : "More is better.",
    state.x === RANK ? "Every row, the best first." : "",
    data.quantities[state.x]?.cost ? "Left is cheaper; the line is what no other row beats in both." : "", bars,
    missing ? `${missing} rows did not measure both.` : "",
    state.x.startsWith("latency/") && kinds.size > 1 ? `Times were taken in ${[...kinds].join(" and ")}: compare within one.` : "",
  ].filter(Boolean).join(" ");
}

function curveLegend(groups, here) {
  const byStage = state.colour === "stage";
  const entries = groups.map(({ label, color, scale: coded, rows: mine }) => (
    { key: label, label, color: coded ? stepped(0.5) : color, shape: byStage ? shapeOf(mine[0]) : "o" }));
  const stages = byStage ? [] : [...new Set(here.map((i) => rows[i].stage))]
    .map((stage) => ({ label: stage, color: theme().ink, shape: (data.looks[stage] ?? ["", "o"])[1] }));
  const own = data.colours.find(({ key }) => key === state.colour);
  const parts = [{ head: own.label, entries }];
  if (stages.length > 1) parts.push({ head: "shape: stage", entries: stages });
  legend($("curve-legend"), parts, state.hidden, scatter);
}

function frontTable(best) {
  $("front-box").hidden = !best.length;
  if (!best.length) return;
  const heads = [["row", "text"], [data.quantities[state.x].name, ""], [data.quantities[state.y].name, ""]];
  const body = best.map((i) => ({ of: i, cells: [[rows[i].full.replace("\n", ", "), "text name"], [spread(state.x, i), ""], [spread(state.y, i), ""]] }));
  table($("front"), heads, body, choose);
}

/** Show one row in full, with the command that redoes it. */
function choose(i) {
  if (i === undefined || i === null || !data.y) return;
  const row = rows[i];
  const facts = [...new Set([state.y, "test/accuracy", "test/accuracy_last", "val/accuracy", ...data.xs])]
    .filter((key) => key in data.numbers && data.numbers[key].mean[i] !== null);
  const list = element("dl");
  const half = data.numbers["test/accuracy"]?.half[i];
  for (const key of facts) {
    list.append(element("dt", {}, data.quantities[key].name), element("dd", {}, spread(key, i)));
    if (key === "test/accuracy" && half) list.append(element("dt", {}, "its 95 % interval"), element("dd", {}, `± ${said(key, half)}`));
  }
  list.append(element("dt", {}, "seeds"), element("dd", {}, row.seeds.join(", ")), element("dt", {}, "run"), element("dd", {}, row.run ?? "–"));
  const command = row.command ?? "the record does not say";
  const copy = element("button", { type: "button", onclick: () => navigator.clipboard?.writeText(command).then(() => { copy.textContent = "copied"; }) }, "copy the command");
  $("chosen").replaceChildren(element("h3", {}, row.full.replace("\n", ", ")), list, element("pre", {}, command), row.command ? copy : null);
}

/** Whether most rows share one x: then a rank says more. */
function sameSize() {
  if (state.x === RANK) return true;
  const here = shown();
  const counts = {};
  for (const i of here) counts[data.numbers[state.x].mean[i]] = (counts[data.numbers[state.x].mean[i]] ?? 0) + 1;
  return here.length > 3 && Math.max(...Object.values(counts)) > 0.6 * here.length;
}

function setUpScatter() {
  if (!data.y) { $("curve").hidden = true; return; }
  const sets = [...new Set(rows.map((row) => String(row.data)))];
  const count = (set) => rows.filter((row) => String(row.data) === set).length;
  state.data = sets.reduce((most, set) => (count(set) > count(most) ? set : most), sets[0]);
  if (data.lines.length > 1) [state.colour, state.model] = ["method", String(data.lines[0].model)];
  if (sameSize()) state.x = RANK;
  const change = (key) => (value) => { state[key] = value; state.hidden.clear(); renew(); };
  const names = (keys) => keys.map((key) => [key, data.quantities[key].name]);
  function renew() {
    const models = [...new Set(rows.filter((row) => String(row.data) === state.data).map((row) => String(row.model)))];
    if (!models.includes(state.model)) state.model = "";
    $("curve-controls").replaceChildren(
      chooser("choose-x", "x axis", [...names(data.xs), [RANK, "nothing: rows by rank"]], state.x, change("x")),
      chooser("choose-y", "y axis", names(data.ys), state.y, change("y")),
      chooser("choose-colour", "colour", data.colours.map(({ key, label }) => [key, label]), state.colour, change("colour")),
      sets.length > 1 ? chooser("choose-data", "data", sets.map((set) => [set, set]), state.data, change("data")) : "",
      models.length > 1 ? chooser("choose-model", "network", [["", "all"], ...models.map((name) => [name, name])], state.model, change("model")) : "",
      chooser("choose-bars", "bars", [["std", "± std"], ["half", "95 % interval"], ["none", "none"]], state.bars, change("bars")),
      data.quantities[state.x]?.cost ? toggle("choose-log", "log scale", state.log, change("log")) : "",
    );
    scatter();
  }
  redraws.push(scatter);
  renew();
  const here = front();
  if (here.length) choose(here[Math.floor(here.length / 2)]);
  else choose(shown()[0]);
}
