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

function setUpTraining() {
  const figure = data.figures.training;
  if (!figure) { $("training").hidden = true; return; }
  section("training", figure, (state) => {
    drawPanel($("training-chart"), figure, figure.panels.find(({ when }) => fits(when, state)), state);
  });
}
