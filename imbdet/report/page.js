"use strict";

const root = document.documentElement;
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme || (systemIsDark.matches ? "dark" : "light")) === "dark";

/* Stages of the training: a slider shows one of the drawings of its section. */

document.querySelectorAll(".stages").forEach((slider) => {
  const names = JSON.parse(slider.dataset.names);
  const frames = [...slider.closest("section").querySelectorAll(".frames > *")];
  slider.addEventListener("input", () => {
    slider.nextElementSibling.value = names[slider.value];
    frames.forEach((frame, index) => { frame.hidden = index !== Number(slider.value); });
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
let pictures = [];
let shown = 0;

function show(index) {
  shown = (index + pictures.length) % pictures.length;
  const { src, alt, className } = pictures[shown].firstElementChild;
  Object.assign(viewer.querySelector("img"), { src, alt, className });
  viewer.querySelector("p").textContent = `${alt} (${shown + 1} of ${pictures.length})`;
  if (!viewer.open) viewer.showModal();
  viewer.querySelector("div").scrollTo(0, 0);
  viewer.querySelector("div").focus();
}

document.querySelectorAll(".zoom").forEach((button) => {
  button.addEventListener("click", () => {
    // Those of the open tab, and of several stages the one that is shown.
    const isVisible = (other) => other.offsetParent !== null;
    pictures = [...document.querySelectorAll(".zoom")].filter(isVisible);
    show(pictures.indexOf(button));
  });
});
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
});
addEventListener("hashchange", openAddress);
openAddress();
