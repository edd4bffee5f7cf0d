// Bars of every layer: rate, bits, bytes.

function setUpLayers() {
  const known = Object.keys(data.layers).map(Number);
  if (!known.length) { $("layers").hidden = true; return; }
  let chosen = known[known.length - 1];
  const render = () => {
    const found = data.layers[chosen];
    const boxes = Object.keys(data.layer_words).filter((metric) => metric in found).map((metric) => {
      const box = element("div", { class: "chart", id: `layers-${metric}` });
      return [metric, box];
    });
    $("layers-charts").replaceChildren(...boxes.map(([, box]) => box));
    boxes.forEach(([metric, box], place) => bars(box, metric, found[metric], OKABE[place]));
  };
  $("layers-controls").replaceChildren(
    chooser("layers-row", "row", known.map((i) => [i, rows[i].full.replace("\n", ", ")]), chosen, (value) => { chosen = Number(value); render(); }, true));
  chart(render);
}

function bars(box, metric, values, color) {
  const [words, unit] = data.layer_words[metric];
  const factor = unit === "%" ? 100 : 1;
  const names = Object.keys(values);
  const lengths = names.map((name) => values[name] * factor);
  const write = (value) => (unit === "%" ? `${value.toFixed(1)} %` : unit === "B" ? si(value, "B") : three(value));
  draw(box, [{
    type: "bar", orientation: "h", x: lengths, y: names.map(plain), marker: { color: visible(color) },
    text: lengths.map(write), textposition: "auto", insidetextanchor: "end", cliponaxis: false,
    hovertext: names.map((name, i) => `${plain(name)}: ${write(lengths[i])}`), hoverinfo: "text",
  }], {
    xaxis: axis(unit ? `${words} (${unit})` : words, unit === "%" ? { range: [0, 100] } : { tickformat: "~s", rangemode: "tozero" }),
    yaxis: axis("", { autorange: "reversed", showgrid: false, type: "category" }), height: 26 * names.length + 90, bargap: 0.28,
  });
}
