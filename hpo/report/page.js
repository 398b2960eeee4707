"use strict";
// Draws each figure from the JSON next to it, when it is about to be seen. The page is complete
// without this: the tables hold every number.
const axis = {
  automargin: true, zeroline: false, gridcolor: "#E4E4E4", linecolor: "#888888", showline: true,
  ticks: "outside", tickcolor: "#888888", title: { standoff: 8 },
};
const look = {
  layout: {
    font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 13, color: "#333333" },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 16, r: 16, t: 28, b: 16 },
    hoverlabel: { align: "left", font: { size: 13 } },
    legend: { orientation: "h", x: 0, y: 0, yref: "container", yanchor: "bottom" },
    xaxis: axis,
    yaxis: axis,
  },
};
// The colors of hpo/plots/axes.py, and lighter ones: on a dark page each has a contrast of 4.5 : 1.
const lighter = {
  "rgba(0,114,178,": "rgba(86,180,233,", "rgba(213,94,0,": "rgba(240,128,60,",
  "rgba(0,158,115,": "rgba(45,190,148,", "rgba(184,134,11,": "rgba(217,165,49,",
  "rgba(204,121,167,": "rgba(226,154,196,", "rgba(47,151,211,": "rgba(140,203,240,",
  "#888888": "#A3ACB8",
};
const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
const readable = (text) => isDark
  ? Object.entries(lighter).reduce((found, [from, to]) => found.replaceAll(from, to), text)
  : text;
const isTouch = matchMedia("(pointer: coarse)").matches;
const draw = (source) => {
  const { data, layout } = JSON.parse(readable(source.textContent));
  const isSmall = source.closest(".small-multiples") !== null;
  return Plotly.newPlot(source.previousElementSibling, data, {
    ...layout,
    template: look,
    autosize: true,
    // a finger that drags scrolls the page instead of zooming
    dragmode: isTouch ? false : "zoom",
  }, {
    responsive: true,
    displaylogo: false,
    displayModeBar: isSmall || isTouch ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
    // by default plotly.js offers to upload the figure to a server of its vendor
    showSendToCloud: false,
    plotlyServerURL: "",
  });
};
for (const heading of document.querySelectorAll("section > h2")) {
  const link = document.createElement("a");
  link.href = "#" + heading.id;
  link.textContent = heading.textContent;
  document.querySelector("nav").append(link);
}
// A figure is drawn once it is less than a screen away; for printing, all are.
const sources = new Map(Array.from(
  document.querySelectorAll("script[data-figure]"), (source) => [source.parentElement, source],
));
const drawOnce = (place) => {
  const source = sources.get(place);
  sources.delete(place);
  watcher.unobserve(place);
  return source && draw(source);
};
const watcher = new IntersectionObserver(async (entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    await drawOnce(target);
    // Between two figures the page can be scrolled.
    await new Promise((resume) => setTimeout(resume));
  }
}, { rootMargin: "100% 0%" });
for (const place of sources.keys()) watcher.observe(place);
addEventListener("beforeprint", () => [...sources.keys()].forEach(drawOnce));
