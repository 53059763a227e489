// The charts of the overview. A cursor goes over the columns of each, by mouse, touch or arrow keys, and says what is there.

import { drawn, drawing, h, patch, s, write } from "./dom.js";
import { columnAt, roundUp } from "./geometry.js";
import { count, counted } from "./text.js";
import { clock, day, shortSpan, stamp } from "./time.js";

const CHART_LEFT = 56;
const CHART_RIGHT = 8;
const TOP = 10;
const BOTTOM = 22;
const CHART_HEIGHT = 150;
const STRIP = 20;

/** @typedef {{at: number, width: number, label: string}} Column Its moment in milliseconds, its length in seconds, and its text. */

const slotOf = (width, columns) => (width - CHART_LEFT - CHART_RIGHT) / columns;

function axisLabels(columns, width, height) {
  const slot = slotOf(width, columns.length);
  const every = Math.ceil(columns.length / Math.max(Math.floor((width - CHART_LEFT) / 80), 2));
  return columns.map(({ at, width: seconds }, i) => ((columns.length - 1 - i) % every !== 0 ? null
    : s("text", { x: CHART_LEFT + (i + 0.5) * slot, y: height - 4, "text-anchor": i >= columns.length - every / 2 - 1 ? "end" : i === 0 ? "start" : "middle" },
      seconds >= 7200 ? day(at).slice(5) : clock(at).slice(0, 5))));
}

function scaleMarks(marks, y, width) {
  return marks.map(({ value, text }) => [
    s("line", { x1: CHART_LEFT, x2: width - CHART_RIGHT, y1: y(value), y2: y(value), class: "grid" }),
    s("text", { x: CHART_LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, text)]);
}

function cursorAt(index, columns, width, height) {
  const slot = slotOf(width, columns);
  return index < 0 ? null : s("rect", { x: CHART_LEFT + index * slot, y: TOP, width: slot, height: height - TOP - BOTTOM, class: "cursor" });
}

/**
 * Bars of counts, and below them a strip in which each column with a failure has a mark of the same size, however few.
 * @param {{columns: Column[], values: number[], failures: number[] | null, label: string, kind?: string}} chart
 */
export const barsChart = (chart) => (/** @type {number} */ width, /** @type {number} */ cursor) => {
  const { columns, values, failures, label, kind = "bar" } = chart;
  const height = CHART_HEIGHT + (failures ? STRIP : 0);
  const base = CHART_HEIGHT - BOTTOM;
  const most = roundUp(Math.max(1, ...values));
  const y = (value) => TOP + (1 - value / most) * (base - TOP);
  const slot = slotOf(width, columns.length);
  const marks = [0, most / 2, most].filter(Number.isInteger).map((value) => ({ value, text: count(value) }));
  const strip = failures?.some((n) => n > 0) ?? false;
  // In groups, so that what stays the same stays the same element.
  return drawing(width, height, label, s("g", null, scaleMarks(marks, y, width)), s("g", null, cursorAt(cursor, columns.length, width, height)),
    s("g", null, values.map((value, i) => (value > 0 ? s("rect", { x: CHART_LEFT + i * slot + 0.5, width: Math.max(slot - 1, 1), y: Math.min(y(value), base - 1.5), height: Math.max(base - y(value), 1.5), class: kind }) : null))),
    failures ? s("text", { x: CHART_LEFT - 8, y: base + 17, "text-anchor": "end", class: strip ? "strong" : "" }, "Failures") : null,
    (failures ?? []).map((n, i) => (n > 0 ? failureMark(CHART_LEFT + (i + 0.5) * slot, base + 5) : null)),
    s("g", null, axisLabels(columns, width, height)));
};

// A shape, so that it does not depend on its colour; never smaller than can be seen.
const failureMark = (x, y) => s("path", { d: `M${x - 6} ${y + 13}l6 -13l6 13z`, class: "failure" });

const DELAYS = [[0.1, "0.1 s"], [1, "1 s"], [10, "10 s"], [60, "1 min"], [600, "10 min"], [3600, "1 h"], [86400, "1 d"], [2629800, "1 mo"], [31557600, "1 y"]];

/**
 * From event to receipt, on a logarithmic scale: a delivery takes milliseconds, a retry minutes, an outage days.
 * @param {{columns: Column[], median: (number | null)[], p95: (number | null)[], label: string}} chart
 */
export const delaysChart = ({ columns, median, p95, label }) => (/** @type {number} */ width, /** @type {number} */ cursor) => {
  const decade = (value) => Math.log10(Math.max(value, 0.1) / 0.1);
  const highest = Math.max(Math.ceil(decade(Math.max(10, ...p95.map((v) => v ?? 0)))), 2);
  const y = (value) => TOP + (1 - decade(value) / highest) * (CHART_HEIGHT - TOP - BOTTOM);
  const slot = slotOf(width, columns.length);
  const marks = DELAYS.filter(([value]) => decade(value) <= highest).map(([value, text]) => ({ value, text }));
  const sparse = marks.filter((mark, i) => i === 0 || y(marks[i - 1].value) - y(mark.value) >= 14);
  const points = (values, kind, mark) => values.map((value, i) => (value === null ? null : mark(CHART_LEFT + (i + 0.5) * slot, y(value), kind)));
  return drawing(width, CHART_HEIGHT, label, scaleMarks(sparse, y, width), cursorAt(cursor, columns.length, width, CHART_HEIGHT),
    points(p95, "curve-high", (x, at, kind) => s("line", { x1: x - 4, x2: x + 4, y1: at, y2: at, class: kind })),
    points(median, "point", (x, at, kind) => s("circle", { cx: x, cy: at, r: 3, class: kind })), axisLabels(columns, width, CHART_HEIGHT));
};

/**
 * A chart with its cursor: a slider whose value is the text of a column. update(chart) draws it anew; it stays hidden
 * while there is no chart.
 * @param {string} title
 * @param {(chart: any) => (width: number, cursor: number) => Node} draw
 * @param {any[]} legend
 */
export function chartWithCursor(title, draw, ...legend) {
  let chart = null;
  let cursor = -1;
  const readout = h("p", { class: "readout small" });
  const place = drawn((width) => draw(chart)(width, cursor));
  const slider = h("div", { class: "chart", role: "slider", tabindex: "0", "aria-label": title, "aria-orientation": "horizontal" }, place);
  const part = h("section", { hidden: true }, h("h2", null, title), h("div", { class: "sheet" }, slider, readout, h("p", { class: "legend" }, legend)));

  function show() {
    if (chart === null) return;
    const at = cursor < 0 ? chart.columns.length - 1 : cursor;
    const text = chart.columns[at].label;
    for (const [name, value] of [["min", 0], ["max", chart.columns.length - 1], ["now", at]]) slider.setAttribute(`aria-value${name}`, String(value));
    slider.setAttribute("aria-valuetext", text);
    write(readout, cursor < 0 ? "Point at a column, or use the arrow keys, to read it." : text);
    if (place.clientWidth > 0) patch(place, [draw(chart)(Math.max(place.clientWidth, 280), cursor)]);
  }
  function move(to) {
    if (chart === null) return;
    cursor = Math.min(Math.max(to, 0), chart.columns.length - 1);
    show();
  }
  const point = (event) => {
    const box = slider.getBoundingClientRect();
    move(columnAt(event.clientX - box.left, CHART_LEFT, box.width - CHART_RIGHT, chart?.columns.length ?? 1));
  };
  slider.addEventListener("pointermove", point);
  slider.addEventListener("pointerdown", point);
  slider.addEventListener("keydown", (event) => {
    const from = cursor < 0 ? chart.columns.length : cursor;
    const to = { ArrowLeft: from - 1, ArrowDown: from - 1, ArrowRight: from + 1, ArrowUp: from + 1, Home: 0, End: Infinity, PageUp: from + 10, PageDown: from - 10 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    move(to);
  });
  const update = (given) => {
    chart = given;
    part.hidden = given === null;
    if (given !== null && cursor >= given.columns.length) cursor = -1;
    show();
  };
  return { part, update };
}

/** @type {(at: number, seconds: number) => string} */
export const columnName = (at, seconds) => `${stamp(at)}, ${seconds < 3600 ? `${seconds / 60} min` : shortSpan(seconds)}`;

/** @type {(n: number, capped: boolean) => string} */
export const eventsText = (n, capped) => (capped ? `${count(n)} or more events` : counted(n, "event"));
