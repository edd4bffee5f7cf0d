// How numbers are written, and what the page was given.

const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.rows;
const $ = (id) => document.getElementById(id);

/** Text as Plotly shows it, its own small markup switched off. */
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

/** Three digits and a prefix: 27.0 k, 1.07 MB. */
function si(value, unit = "") {
  const size = Math.abs(value);
  for (const [power, prefix] of [[1e9, "G"], [1e6, "M"], [1e3, unit === "B" ? "K" : "k"]]) {
    if (size >= 0.9995 * power) return `${three(value / power)} ${prefix}${unit}`;
  }
  return `${Number.isInteger(value) ? value : three(value)} ${unit}`.trim();
}

function three(value) {
  const size = Math.abs(value);
  if (size < 0.995) return String(Number(value.toPrecision(3)));
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

/** A value of the records as people read it: per cent, KB, ms. */
function said(key, value) {
  if (value === null || value === undefined) return "–";
  const { scale, unit } = columns[key];
  return scale > 1 ? `${(scale * value).toFixed(2)} %` : si(value, unit);
}

/** mean ± std of a row, or the mean alone. */
function spread(key, i) {
  const std = columns[key].std[i];
  return std === null ? said(key, mean(key, i)) : `${said(key, mean(key, i))} ± ${said(key, std)}`;
}

/** The axis title: the quantity with its unit. */
function axisName(key) {
  const { name, unit } = columns[key];
  return unit ? `${name} (${unit})` : name;
}

/** Lines of at most so many letters, broken at blanks and commas. */
function wrapped(text, width) {
  const lines = [""];
  for (const word of String(text).split(/(?<=[ ,])/)) {
    if (lines[lines.length - 1].length + word.length > width) lines.push("");
    lines[lines.length - 1] += word;
  }
  return lines.map(plain).join("<br>");
}

/** The full name of a row. */
function oneLine(i) {
  return rows[i].full.replace("\n", ", ");
}

function hover(i, keys) {
  const row = rows[i];
  const width = window.innerWidth < 700 ? 38 : 74;
  const seeds = `${row.n} seed${row.n > 1 ? "s" : ""}`;
  const numbers = keys.map((key) => `${plain(columns[key].name)}: ${spread(key, i)}`);
  const times = keys.some((key) => key.startsWith("latency/")) ? [plain(row.runtime ?? "")] : [];
  return [
    `<b>${wrapped(row.full.split("\n")[0], width)}</b>`,
    ...row.full.split("\n").slice(1).map((line) => wrapped(line, width)),
    ...numbers, ...times, `${seeds}; run ${wrapped(row.run ?? "", width)}`,
    ...(row.command ? [`<i>${wrapped(row.command, width)}</i>`] : []),
  ].join("<br>");
}

/** One line a row, without the network or the stage that most of these rows share. */
function briefly(chosen, most) {
  const common = (key) => {
    const counts = {};
    for (const i of chosen) counts[rows[i][key]] = (counts[rows[i][key]] ?? 0) + 1;
    return Object.keys(counts).find((value) => counts[value] > 0.5 * chosen.length);
  };
  const [model, stage] = [common("model"), common("stage")];
  return chosen.map((i) => {
    const row = rows[i];
    const words = row.full.replace("\n", ", ").split(" ");
    if (words[0] === model && words.length > 2) words.shift();
    if (words[0] === stage && String(row.model) === model && words.length > 1) words.shift();
    return plain(shortened(words.join(" "), most));
  });
}

function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
