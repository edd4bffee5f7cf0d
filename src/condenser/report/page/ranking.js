// Rows by rank, where they cost the same or cost is not the question.

const MOST_RANKED = 80;

function ranking(box, groups) {
  const { mean } = data.numbers[state.y];
  const way = data.quantities[state.y].less ? 1 : -1;
  const best = groups.flatMap(({ rows: mine }) => mine).sort((a, b) => way * (mean[a] - mean[b])).slice(0, MOST_RANKED);
  const place = new Map(best.map((i, at) => [i, at]));
  const narrow = window.innerWidth < 700;
  const traces = groups.map(({ label, color, scale: coded, rows: all }) => {
    const mine = all.filter((i) => place.has(i));
    const paint = coded ? { color: mine.map((i) => coded.values[i]), colorscale: STEPS } : { color };
    return {
      type: "scatter", mode: "markers", name: plain(label), customdata: mine,
      x: mine.map((i) => mean[i] * scale(state.y)), y: mine.map((i) => place.get(i)),
      error_x: errors(state.y, mine, color ?? theme().muted), hoverinfo: "text", hovertext: mine.map((i) => hover(i, [state.y])),
      marker: { ...paint, symbol: mine.map((i) => SHAPES[shapeOf(i)]?.[0] ?? "circle"), size: 9 },
    };
  });
  draw(box, traces, {
    xaxis: axis(axisName(state.y)), height: 22 * best.length + 80,
    yaxis: axis("", {
      tickvals: best.map((_, at) => at), range: [best.length - 0.4, -0.6],
      ticktext: briefly(best, narrow ? 24 : 58),
    }),
  });
}
