// Training curves of one row, and of another beside it.

function setUpTraining() {
  const known = Object.keys(data.curves).map(Number);
  if (!known.length) { $("training").hidden = true; return; }
  const metrics = [...new Set(known.flatMap((i) => data.curves[i].flatMap(({ metrics: own }) => Object.keys(own))))].sort();
  const own = { a: known[known.length - 1], b: "", metric: metrics.includes("val/accuracy") ? "val/accuracy" : metrics[0] };
  const render = () => {
    const fraction = own.metric.endsWith("accuracy");
    const traces = [own.a, own.b].filter((i) => i !== "").flatMap((i, place) => data.curves[i].filter(({ metrics: m }) => own.metric in m).map(({ seed, metrics: m }) => ({
      type: "scatter", mode: m[own.metric][0].length > 30 ? "lines" : "lines+markers", x: m[own.metric][0], y: m[own.metric][1].map((value) => (fraction ? 100 * value : value)),
      line: { color: visible(OKABE[place]), width: 1.6 }, marker: { size: 5 }, name: plain(`seed ${seed}`),
      hovertemplate: `${wrapped(rows[i].full, 60).replace(/%/g, "&#37;")}<br>seed ${plain(seed)}, step %{x}: %{y:.4~g}<extra></extra>`,
    })));
    draw($("training-chart"), traces, { xaxis: axis("optimiser steps"), yaxis: axis(fraction ? `${own.metric} (%)` : own.metric), height: 380 });
  };
  const names = known.map((i) => [i, rows[i].full.replace("\n", ", ")]);
  const number = (value) => (value === "" ? "" : Number(value));
  $("training-controls").replaceChildren(
    chooser("training-a", "A", names, own.a, (value) => { own.a = number(value); render(); }, true),
    chooser("training-b", "B", [["", "nothing beside it"], ...names], own.b, (value) => { own.b = number(value); render(); }, true),
    chooser("training-metric", "what", metrics.map((name) => [name, name]), own.metric, (value) => { own.metric = value; render(); }),
  );
  chart(render);
}
