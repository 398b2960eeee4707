"use strict";
// Draws each figure from the JSON that stands beside its place. The page is whole without this:
// the table holds every number.
const config = {
  responsive: true,
  displaylogo: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
};
for (const source of document.querySelectorAll("script[data-figure]")) {
  const { data, layout } = JSON.parse(source.textContent);
  Plotly.newPlot(source.previousElementSibling, data, layout, config);
}
