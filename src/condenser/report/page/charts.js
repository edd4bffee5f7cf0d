// What all charts share: colours that suit the light, axes, and drawing again when these change.

function theme() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    paper: read("--paper"), raised: read("--raised"), ink: read("--ink"), muted: read("--muted"),
    line: read("--line"), accent: read("--accent"), font: read("--text"),
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
  };
}

/** A colour that stands out on the page: black turns to ink, and in the dark all get lighter. */
function visible(color) {
  const { dark, ink } = theme();
  if (color === "#000000") return ink;
  return dark ? mixed(color, "#ffffff", 0.3) : color;
}

function mixed(a, b, share) {
  const parts = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  const [from, to] = [parts(a), parts(b)];
  const both = from.map((value, i) => Math.round(value + share * (to[i] - value)));
  return `#${both.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
}

function axis(title, more = {}) {
  const { line, muted, ink } = theme();
  return {
    title: { text: plain(title), font: { size: 13, color: ink }, standoff: 12 },
    gridcolor: line, linecolor: line, zeroline: false, automargin: true, tickfont: { color: muted, size: 12 },
    ...more,
  };
}

/** A log or linear axis of a quantity that reaches from least to most. */
function quantityAxis(key, log, least, most) {
  const { name, unit, cost } = columns[key];
  if (!log) return axis(axisName(key), cost ? { tickformat: "~s", ticksuffix: unit === "B" ? "B" : "", rangemode: "tozero" } : {});
  const [low, high] = [Math.log10(least), Math.log10(most)];
  const margin = Math.max(0.05 * (high - low), 0.05);
  const ticks = logTicks(least / 10, most * 10, high - low + 2 * margin);
  return axis(`${name}, log scale`, {
    type: "log", range: [low - margin, high + margin], tickvals: ticks,
    ticktext: ticks.map((value) => si(value, unit).replace(/\.0+(?= |$)/, "").replace(/(\.\d*?)0+(?= |$)/, "$1")),
  });
}

/** Round values, as many as find room: each decade at 1, at 1 3, at 1 2 5, or finer. */
function logTicks(least, most, decades) {
  const room = (window.innerWidth < 700 ? 5 : 11) / decades;
  const steps = [[1, 1.5, 2, 3, 4, 5, 6, 8], [1, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]].find((own) => own.length <= room) ?? [1];
  const found = [];
  for (let power = Math.floor(Math.log10(least)); power <= Math.log10(most); power += 1) {
    found.push(...steps.map((step) => Number((step * 10 ** power).toPrecision(3))));
  }
  return found;
}

function plot(box, traces, layout) {
  const { paper, raised, ink, font, line } = theme();
  const narrow = window.innerWidth < 700;
  return Plotly.react(box, traces, {
    paper_bgcolor: paper, plot_bgcolor: paper, font: { family: font, size: 13, color: ink }, showlegend: false,
    margin: { l: 50, r: 12, t: narrow ? 12 : 38, b: 46 }, hovermode: "closest", dragmode: narrow ? false : "zoom",
    hoverlabel: { bgcolor: raised, bordercolor: line, align: "left", font: { family: font, size: 12, color: ink } },
    ...layout,
  }, { displaylogo: false, responsive: true, displayModeBar: narrow ? false : "hover", modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] });
}

function watch() {
  const again = () => redraws.forEach((render) => render());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  matchMedia("(max-width: 700px)").addEventListener("change", again);
}
