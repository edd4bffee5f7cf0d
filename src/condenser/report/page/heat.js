// Two settings crossed: a cell is a row.

function setUpHeat() {
  if (!data.maps.length || !data.y) { $("heat").hidden = true; return; }
  const own = { map: 0, key: data.y };
  const render = () => {
    const { x, y, xs, ys, cells } = data.maps[own.map];
    const { mean, std } = data.numbers[own.key];
    const at = (i) => (i === null || mean[i] === null ? null : mean[i] * scale(own.key));
    const values = cells.map((line) => line.map(at));
    const fraction = data.quantities[own.key].fraction;
    const cell = (i) => (at(i) === null ? "" : fraction ? at(i).toFixed(2) : three(at(i)));
    const scatterOf = (i) => (i !== null && std[i] !== null && xs.length < 8 ? `<br>± ${fraction ? (100 * std[i]).toFixed(2) : three(std[i])}` : "");
    $("heat-title").textContent = `${x} × ${y}`;
    draw($("heat-chart"), [{
      type: "heatmap", x: xs.map(String), y: ys.map(String), z: values, colorscale: STEPS, reversescale: data.quantities[own.key].less,
      text: cells.map((line) => line.map((i) => cell(i) + scatterOf(i))), texttemplate: "%{text}", textfont: { size: 12 }, xgap: 2, ygap: 2,
      hovertext: cells.map((line) => line.map((i) => (i === null ? "not run" : hover(i, [own.key])))), hoverinfo: "text",
      colorbar: { thickness: 12, outlinewidth: 0, ticksuffix: fraction ? " %" : "" },
    }], { xaxis: axis(x, { type: "category", showgrid: false }), yaxis: axis(y, { type: "category", showgrid: false }), height: Math.max(340, 54 * ys.length + 110) });
  };
  $("heat-controls").replaceChildren(
    data.maps.length > 1 ? chooser("heat-map", "of", data.maps.map(({ title }, i) => [i, title]), 0, (value) => { own.map = Number(value); render(); }, true) : "",
    chooser("heat-y", "colour", data.ys.map((key) => [key, data.quantities[key].name]), own.key, (value) => { own.key = value; render(); }),
  );
  chart(render);
}
