// The figures beside the trade-off: a map of two settings, layers, training.

function setUpHeat() {
  const figure = data.figures.heat;
  if (!figure) { $("heat").hidden = true; return; }
  section("heat", figure, (state) => {
    $("heat-title").textContent = state.axes;
    drawPanel($("heat-chart"), figure, figure.panels.find(({ when }) => fits(when, state)), state);
  });
}

function setUpLayers() {
  const figure = data.figures.layers;
  if (!figure) { $("layers").hidden = true; return; }
  section("layers", figure, (state) => {
    const panels = figure.panels.filter(({ when }) => fits(when, state));
    const boxes = panels.map((_, place) => element("div", { class: "chart", id: `layers-${place}` }));
    $("layers-charts").replaceChildren(...boxes);
    panels.forEach((panel, place) => drawPanel(boxes[place], figure, panel, state));
  });
}

function setUpBehaviour() {
  const figure = data.figures.behaviour;
  if (!figure) { $("behaviour").hidden = true; return; }
  $("behaviour-says").textContent = "A point is a row of the table. Of leakage ½ is none. What each number does not say: docs/how-to/behaviour.md";
  const boxes = figure.panels.map((_, place) => element("div", { class: "chart", id: `behaviour-${place}` }));
  $("behaviour-charts").replaceChildren(...boxes);
  const draw = () => figure.panels.forEach((panel, place) => drawPanel(boxes[place], figure, panel, {}, { height: 300 }));
  redraws.push(draw);
  draw();
  $("behaviour-sheets").replaceChildren(...data.sheets.map(({ row, says, source }) => element("details", {},
    element("summary", {}, `${rows[row].full.replace(/\n/g, ", ")}: ${says}`), element("img", { src: source, alt: says }))));
}

function setUpTraining() {
  const figure = data.figures.training;
  if (!figure) { $("training").hidden = true; return; }
  section("training", figure, (state) => {
    drawPanel($("training-chart"), figure, figure.panels.find(({ when }) => fits(when, state)), state);
  });
}
