// A against B over the seeds that both have; and A against the rows nearest to it.

const MOST_NEAR = 24;

/** [n, difference, half, p] of row a minus row b. */
function tested(set, a, b) {
  const [i, j] = [set.rows.indexOf(a), set.rows.indexOf(b)];
  if (i === j) return null;
  const [low, high, sign] = i < j ? [i, j, 1] : [j, i, -1];
  const test = set.tests[(low * (2 * set.rows.length - low - 1)) / 2 + high - low - 1];
  return test && [test[0], sign * test[1], test[2], test[3]];
}

/** p corrected for the number of tests (Holm), by row: of A against every row of its network. */
function corrected(set, a) {
  const family = set.rows.filter((i) => i !== a && rows[i].model === rows[a].model).map((i) => [i, tested(set, a, i)?.[3] ?? null])
    .filter(([, p]) => p !== null).sort((x, y) => x[1] - y[1]);
  let least = 0;
  return new Map(family.map(([i, p], place) => [i, least = Math.max(least, Math.min(1, (family.length - place) * p))]));
}

function verdict(test, holm) {
  if (!test) return "They have no seed in common: they cannot be compared.";
  const [n, difference, half, p] = test;
  const points = `${Math.abs(100 * difference).toFixed(2)} points`;
  const first = difference === 0 ? "A and B are equal" : `A is ${points} ${difference > 0 ? "above" : "below"} B`;
  if (half === null) return `${first} on the one seed they share: n=1 cannot be tested.`;
  if (p === null) return `${first} on each of ${n} seeds: no scatter to test against.`;
  const interval = [difference - half, difference + half].map((end) => `${end < 0 ? "−" : "+"}${Math.abs(100 * end).toFixed(2)}`);
  const written = (value) => (value < 0.001 ? "<0.001" : value.toFixed(3));
  const beside = holm === undefined ? "" : `; corrected for all rows of the network by Holm, ${written(holm)}`;
  const sure = (holm ?? p) < 0.05 ? (difference > 0 ? "A beats B" : "B beats A") : "not shown to differ";
  return `${first} (95 % interval ${interval.join(" to ")}, n=${n}, p=${written(p)}${beside}): ${sure}.`;
}

function setUpCompare() {
  if (!data.pairs.length) { $("compare").hidden = true; return; }
  const own = { set: 0, a: 0, b: 0 };
  const start = () => {
    const all = data.pairs[own.set].rows;
    const repeated = all.filter((i) => rows[i].n > 1);
    const graded = (i) => columns["val/accuracy"]?.mean[i] ?? 0;
    const best = [...(repeated.length > 1 ? repeated : all)].sort((a, b) => graded(b) - graded(a));
    [own.a, own.b] = [best[0], best.slice(1).find((i) => rows[i].model === rows[best[0]].model) ?? best[1]];
  };
  const render = () => {
    const set = data.pairs[own.set];
    $("compare-says").textContent = verdict(tested(set, own.a, own.b), corrected(set, own.a).get(own.b));
    seedTable(own.a, own.b);
    near(set, own.a);
  };
  const renew = () => {
    const set = data.pairs[own.set];
    const options = set.rows.map((i) => [i, oneLine(i)]);
    $("compare-controls").replaceChildren(
      data.pairs.length > 1 ? chooser("compare-data", "data", data.pairs.map((one, i) => [i, String(one.data)]), own.set, (value) => { own.set = value; start(); renew(); }) : "",
      chooser("compare-a", "A", options, own.a, (value) => { own.a = value; render(); }, true),
      chooser("compare-b", "B", options, own.b, (value) => { own.b = value; render(); }, true),
      set.all > set.rows.length ? element("p", { class: "muted small" }, `The ${set.rows.length} best of ${set.all} rows on validation.`) : "",
    );
    render();
  };
  start();
  redraws.push(render);
  renew();
}

function seedTable(a, b) {
  const value = (i, seed) => rows[i].accuracies[rows[i].seeds.indexOf(seed)];
  const common = rows[a].seeds.filter((seed) => rows[b].seeds.includes(seed));
  const cell = (number) => [number === undefined ? "–" : `${(100 * number).toFixed(2)} %`, ""];
  const body = common.map((seed) => {
    const [one, two] = [value(a, seed), value(b, seed)];
    const difference = one === undefined || two === undefined ? "–" : `${one < two ? "−" : "+"}${Math.abs(100 * (one - two)).toFixed(2)}`;
    return { cells: [[`seed ${seed}`, "text"], cell(one), cell(two), [difference, ""]] };
  });
  table($("compare-seeds"), [["", "text"], ["A", ""], ["B", ""], ["A − B, points", ""]], body);
}

/** A minus each of the rows nearest to it, with intervals; those of its own network if it has any. */
function near(set, a) {
  const alike = set.rows.filter((i) => i !== a && rows[i].model === rows[a].model);
  const others = (alike.length ? alike : set.rows.filter((i) => i !== a)).map((i) => [i, tested(set, a, i)])
    .filter(([, test]) => test).sort((x, y) => Math.abs(x[1][1]) - Math.abs(y[1][1])).slice(0, MOST_NEAR)
    .sort((x, y) => y[1][1] - x[1][1]);
  $("compare-chart").hidden = !others.length;
  $("compare-chart-says").textContent = others.length ? `A minus each of the rows nearest to it${alike.length ? ", of the same network" : ""}. Where a bar crosses zero, the seeds do not tell the two apart.` : "";
  if (!others.length) return;
  const narrow = window.innerWidth < 700;
  const names = briefly(others.map(([i]) => i), narrow ? 24 : 60);
  const { ink, muted } = theme();
  const holm = corrected(set, a);
  plot($("compare-chart"), [{
    type: "scatter", mode: "markers", x: others.map(([, test]) => 100 * test[1]), y: others.map((_, place) => place),
    error_x: { type: "data", array: others.map(([, test]) => 100 * (test[2] ?? 0)), color: muted, thickness: 1.4, width: 0 },
    marker: { size: 8, color: others.map(([i, test]) => (test[3] !== null && (holm.get(i) ?? test[3]) < 0.05 ? visible(data.palette[0]) : muted)) },
    hovertext: others.map(([i, test]) => `${wrapped(rows[i].full, 60)}<br>${wrapped(verdict(test, holm.get(i)), 60)}`), hoverinfo: "text",
  }], {
    xaxis: axis(narrow ? "A minus it (points)" : "A minus the row (points of test accuracy)", { zeroline: true, zerolinecolor: ink, zerolinewidth: 1 }),
    yaxis: axis("", { tickvals: others.map((_, place) => place), ticktext: names, showgrid: false, range: [others.length - 0.4, -0.6] }),
    height: 24 * others.length + 80,
  });
}
