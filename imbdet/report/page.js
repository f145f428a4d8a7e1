"use strict";

const root = document.documentElement;
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
// A finger that drags wants to scroll.
const dragmode = matchMedia("(pointer: coarse)").matches ? false : "zoom";
const config = { responsive: true, displaylogo: false, displayModeBar: false };

/* Plots: drawn when their tab is opened, anew when the colours change. */

const isDark = () => (root.dataset.theme || (systemIsDark.matches ? "dark" : "light")) === "dark";

function color(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function paint(trace) {
  if (trace.meta === undefined) return trace;
  const own = color(`series-${trace.meta % 6}`);
  trace.line = { ...trace.line, color: own };
  trace.marker = { ...trace.marker, color: own };
  return trace;
}

function dress(layout) {
  const line = color("line");
  const axis = {
    gridcolor: line, zerolinecolor: line, linecolor: color("muted"), automargin: true,
    title: { standoff: 8 }, exponentformat: "none", separatethousands: true,
  };
  const template = {
    layout: {
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("ink") },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 52, r: 10, t: 12, b: 44 },
      xaxis: axis,
      yaxis: axis,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      hoverlabel: { bgcolor: color("paper"), bordercolor: line, font: { color: color("ink") } },
      bargap: 0.25,
      // Long names below an axis leave room for the plot.
      minreducedheight: 170,
    },
  };
  // From near the paper, so that what is rare is faint.
  const scale = { colorscale: [0, 0.5, 1].map((at, i) => [at, color(`scale-${i}`)]) };
  const coloraxis = layout.coloraxis && { ...layout.coloraxis, ...scale };
  return { ...layout, template, coloraxis, dragmode };
}

function draw(plot) {
  const canvas = plot.querySelector(".canvas");
  if (canvas.data) {
    Plotly.Plots.resize(canvas); // the window may have changed while it was hidden
    return;
  }
  const { data, layout, frames } = JSON.parse(plot.querySelector("script").textContent);
  Plotly.newPlot(canvas, { data: data.map(paint), layout: dress(layout), frames, config })
    .then(() => showStage(plot));
}

function drawOpenTab() {
  document.querySelectorAll("[role=tabpanel]:not([hidden]) .plot").forEach(draw);
}

function redraw() {
  document.querySelectorAll(".canvas").forEach((canvas) => canvas.data && Plotly.purge(canvas));
  drawOpenTab();
}

/* Stages of the training: a slider for all plots of its section. */

function showStage(plot) {
  const slider = plot.closest("section").querySelector(".stages");
  const canvas = plot.querySelector(".canvas");
  const frames = canvas._transitionData?._frames ?? [];
  if (!slider || !frames.length || !canvas.data) return;
  const immediate = { duration: 0, redraw: true };
  const options = { mode: "immediate", frame: immediate, transition: { duration: 0 } };
  Plotly.animate(canvas, [frames[slider.value].name], options);
}

document.querySelectorAll(".stages").forEach((slider) => {
  const names = JSON.parse(slider.dataset.names);
  slider.addEventListener("input", () => {
    slider.nextElementSibling.value = names[slider.value];
    slider.closest("section").querySelectorAll(".plot").forEach(showStage);
  });
});

/* Tabs, by mouse, keys or the address. */

const tabs = [...document.querySelectorAll("[role=tab]")];

function open(tab) {
  for (const other of tabs) {
    const isOpen = other === tab;
    other.setAttribute("aria-selected", isOpen);
    other.tabIndex = isOpen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !isOpen;
  }
  drawOpenTab();
}

function openAddress() {
  const name = location.hash.slice(1);
  open(tabs.find((tab) => tab.getAttribute("aria-controls") === name) ?? tabs[0]);
}

function go(tab) {
  history.replaceState(null, "", `#${tab.getAttribute("aria-controls")}`);
  open(tab);
  tab.focus();
  tab.scrollIntoView({ block: "nearest", inline: "nearest" });
}

tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => go(tab));
  tab.addEventListener("keydown", (event) => {
    const last = tabs.length - 1;
    const places = {
      ArrowRight: index === last ? 0 : index + 1,
      ArrowLeft: index === 0 ? last : index - 1,
      Home: 0,
      End: last,
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    go(tabs[places[event.key]]);
  });
});

/* Tables: a click on a header sorts, a second one turns the order round; unknown values are last. */

function compare(first, second) {
  const values = [first, second].map((cell) => cell.dataset.value);
  if (values.includes(undefined)) {
    return first.textContent.localeCompare(second.textContent, "en", { numeric: true });
  }
  return Number(values[0]) - Number(values[1]);
}

const isUnknown = (cell) => Number.isNaN(Number(cell.dataset.value ?? 0));

function sort(header) {
  const body = header.closest("table").tBodies[0];
  const column = header.cellIndex;
  const order = header.ariaSort === "ascending" ? "descending" : "ascending";
  const sign = order === "ascending" ? 1 : -1;
  for (const other of header.parentElement.cells) other.ariaSort = "none";
  header.ariaSort = order;
  const rows = [...body.rows].sort((a, b) => {
    const [first, second] = [a.cells[column], b.cells[column]];
    const unknown = isUnknown(first) - isUnknown(second);
    return unknown || sign * compare(first, second);
  });
  body.append(...rows);
}

document.querySelectorAll("th button").forEach((button) => {
  button.addEventListener("click", () => sort(button.parentElement));
});

/* Pictures: a click or Enter opens one at its full size; arrow keys go on, Escape closes. */

const viewer = document.getElementById("viewer");
const pictures = [...document.querySelectorAll(".zoom")];
let shown = 0;

function show(index) {
  shown = (index + pictures.length) % pictures.length;
  const { src, alt } = pictures[shown].firstElementChild;
  Object.assign(viewer.querySelector("img"), { src, alt });
  viewer.querySelector("p").textContent = `${alt} (${shown + 1} of ${pictures.length})`;
  if (!viewer.open) viewer.showModal();
  viewer.querySelector("div").scrollTo(0, 0);
  viewer.querySelector("div").focus();
}

pictures.forEach((button, index) => button.addEventListener("click", () => show(index)));
viewer.querySelectorAll("[data-step]").forEach((button) => {
  button.addEventListener("click", () => show(shown + Number(button.dataset.step)));
});
viewer.querySelector(".close").addEventListener("click", () => viewer.close());
viewer.addEventListener("close", () => pictures[shown].focus());
viewer.addEventListener("keydown", (event) => {
  const area = viewer.querySelector("div");
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  // Where the picture is wider than the window, the arrows scroll it first.
  const room = step > 0 ? area.scrollWidth - area.clientWidth - area.scrollLeft : area.scrollLeft;
  if (!step || room > 1) return;
  event.preventDefault();
  show(shown + step);
});

/* Light and dark: the system's choice until the reader makes another. */

document.getElementById("theme").addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  redraw();
});
systemIsDark.addEventListener("change", redraw);
addEventListener("hashchange", openAddress);
openAddress();
