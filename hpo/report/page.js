"use strict";
// Draws each figure from the JSON that stands beside its place. The page is whole without this:
// the table holds every number.
const isTouch = matchMedia("(pointer: coarse)").matches;
for (const source of document.querySelectorAll("script[data-figure]")) {
  const { data, layout } = JSON.parse(source.textContent);
  const isSmall = source.closest(".small-multiples") !== null;
  Plotly.newPlot(source.previousElementSibling, data, {
    ...layout,
    // a finger that drags scrolls the page instead of zooming
    dragmode: isTouch ? false : "zoom",
  }, {
    responsive: true,
    displaylogo: false,
    displayModeBar: isSmall || isTouch ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    // plotly.js offers by default to upload the figure to its maker's server
    showSendToCloud: false,
    plotlyServerURL: "",
  });
}
