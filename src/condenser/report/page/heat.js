// Two settings crossed: a cell is a row.

function setUpHeat() {
  if (!data.maps.length || !data.y) { $("heat").hidden = true; return; }
  const own = { map: 0, key: data.ys.includes("val/accuracy") ? "val/accuracy" : data.y };
  const axes = ({ x, y }) => `${x} × ${y}`;
  const render = () => {
    const { x, y, xs, ys, cells } = data.maps[own.map];
    const { mean, std } = data.numbers[own.key];
    const at = (i) => (i === null || mean[i] === null ? null : mean[i] * scale(own.key));
    const values = cells.map((line) => line.map(at));
    const fraction = data.quantities[own.key].fraction;
    const cell = (i) => (at(i) === null ? "" : fraction ? at(i).toFixed(2) : three(at(i)));
    const scatterOf = (i) => (i !== null && std[i] !== null && xs.length < 8 ? `<br>± ${fraction ? (100 * std[i]).toFixed(2) : three(std[i])}` : "");
    $("heat-title").textContent = axes(data.maps[own.map]);
    draw($("heat-chart"), [{
      type: "heatmap", x: xs.map(String), y: ys.map(String), z: values, colorscale: STEPS, reversescale: data.quantities[own.key].less,
      text: cells.map((line) => line.map((i) => cell(i) + scatterOf(i))), texttemplate: "%{text}", textfont: { size: 12 }, xgap: 2, ygap: 2,
      hovertext: cells.map((line) => line.map((i) => (i === null ? "not run" : hover(i, [...new Set([own.key, data.y])])))), hoverinfo: "text",
      colorbar: { thickness: 12, outlinewidth: 0, ticksuffix: fraction ? " %" : "" },
    }], { xaxis: axis(x, { type: "category", showgrid: false }), yaxis: axis(y, { type: "category", showgrid: false }), height: Math.max(340, 54 * ys.length + 110) });
  };
  const firsts = data.maps.map((one, i) => [i, axes(one)]).filter(([i, said]) => data.maps.findIndex((one) => axes(one) === said) === i);
  const choose = (value) => { own.map = Number(value); renew(); render(); };
  const renew = () => {
    const alike = data.maps.map((one, i) => [i, one.title, axes(one)]).filter(([, , said]) => said === axes(data.maps[own.map]));
    const first = alike[0][0];
    $("heat-controls").replaceChildren(
      firsts.length > 1 ? chooser("heat-axes", "x axis × y axis", firsts, first, choose) : "",
      alike.length > 1 ? chooser("heat-map", "of", alike, own.map, choose, true) : "",
      chooser("heat-y", "colour", data.ys.map((key) => [key, data.quantities[key].name]), own.key, (value) => { own.key = value; render(); }),
    );
  };
  renew();
  chart(render);
}
