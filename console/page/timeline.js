// An item's life as a drawing: when its events occurred, when they were received, and what follows from them.

import { drawing, s } from "./dom.js";
import { concerns, extent, placer, stacked, ticks, touches, windows } from "./geometry.js";
import { counted } from "./text.js";
import { ms, stamp } from "./time.js";

const LINE_LEFT = 92;
const LINE_RIGHT = 18;
const BAR_ROW = 34;
const DOT = 18;
const STACK = { apart: 17, most: 4 };
const TOUCH_LETTERS = { cancellation: "C", refund: "R", dispute: "D", failure: "F" };

/** The moments of bars, and now where they have no end. */
const momentsOf = (rows, now) => rows.flatMap(([, bars]) => bars.flatMap((b) => [ms(b.from), b.to ? ms(b.to) : now]));

function axis(x, span, width, height) {
  return ticks(span.from, span.to, Math.max((width - LINE_LEFT) / 90, 2)).map(({ at, text }) => {
    const place = x(at);
    const anchor = place > width - LINE_RIGHT - 24 ? "end" : place < LINE_LEFT + 24 ? "start" : "middle";
    return [s("line", { x1: place, x2: place, y1: 18, y2: height, class: "grid" }), s("text", { x: place, y: 12, "text-anchor": anchor }, text)];
  });
}

function nowLine(x, now, width, height) {
  const place = x(now);
  const left = place > width - 60;
  return [s("line", { x1: place, x2: place, y1: 18, y2: height, class: "now" }),
    s("text", { x: place + (left ? -5 : 5), y: height - 4, "text-anchor": left ? "end" : "start", class: "now-label" }, "now")];
}

function barRow([name, bars], y, x, width, label = name) {
  return [
    s("text", { x: 0, y: y + 16, class: "strong" }, label.length > 13 ? `${label.slice(0, 12)}…` : label, s("title", null, label)),
    s("line", { x1: LINE_LEFT, x2: width - LINE_RIGHT, y1: y + 12, y2: y + 12, class: "axis" }),
    bars.map((b) => {
      const left = x(ms(b.from));
      const right = b.to ? x(ms(b.to)) : width - LINE_RIGHT;
      const gone = b.kind === "gone";
      return [s("rect", { x: left, y: y + (gone ? 5 : 4), height: gone ? 14 : 16, rx: 3, class: b.kind, width: Math.max(right - left, 2) },
        s("title", null, `${name}${b.name ? ` ${b.name}` : ""}: ${stamp(b.from)} to ${b.to ? stamp(b.to) : "no end"}${gone ? ", does not count" : ""}`)),
      b.to ? null : s("path", { d: `M${right} ${y + 4}l8 8l-8 8z`, class: b.kind })];
    })];
}

/** What cancels, refunds or disputes, as marks across the bars. */
function touchMarks(list, x, top, bottom) {
  const { dots } = stacked(list.map((t) => x(ms(t.at))), { apart: 15, most: 99 });
  return dots.map(({ index, place, lane }) => {
    const touch = list[index];
    return [s("line", { x1: place, x2: place, y1: top, y2: bottom, class: "touch" }),
      s("circle", { cx: place, cy: top + 16 * lane, r: 7.5, class: "touch-mark" }, s("title", null, `${touch.text}, ${stamp(touch.at)}`)),
      s("text", { x: place, y: top + 16 * lane + 3.5, "text-anchor": "middle", class: "dot-number" }, TOUCH_LETTERS[touch.kind])];
  });
}

/** One row of dots: those of the events that are stacked, and a number for the others. Both rows stack upwards. */
function dotRow(events, key, x, base) {
  const sorted = [...events].sort((a, b) => ms(a[key]) - ms(b[key]));
  const { dots, clusters } = stacked(sorted.map((event) => x(ms(event[key]))), STACK);
  const places = new Map();
  for (const { index, place, lane } of dots) places.set(sorted[index].event_id, { x: place, y: base - 9 - DOT * lane });
  const drawnDots = dots.map(({ index }) => {
    const event = sorted[index];
    const at = places.get(event.event_id);
    return [s("circle", { cx: at.x, cy: at.y, r: 8, class: event.late ? "dot-late" : "dot" },
      s("title", null, `${event.position}. ${event.event_type}, occurred ${stamp(event.occurred_at)}, received ${stamp(event.received_at)}${event.late ? ", late" : ""}`)),
    // Longer numbers do not fit.
    event.position < 1000 ? s("text", { x: at.x, y: at.y + 3.5, "text-anchor": "middle", class: "dot-number" }, event.position) : null];
  });
  const more = clusters.map(({ place, members }) => s("text", { x: place, y: base - DOT * STACK.most - 4, "text-anchor": "middle", class: "strong cluster" }, `+${members.length}`,
    s("title", null, `${counted(members.length, "more event")} here; the table has all of them`)));
  return { places, marks: [drawnDots, more] };
}

const stackHeight = (events, key, x) => {
  const { height } = stacked(events.map((event) => x(ms(event[key]))).sort((a, b) => a - b), STACK);
  return DOT * Math.max(height, 1);
};

function describe(events, list) {
  const late = events.filter((event) => event.late).length;
  const touched = list.length === 0 ? "" : ` ${list.map((t) => `${t.text} on ${stamp(t.at)}`).join("; ")}.`;
  return `Timeline of ${counted(events.length, "event")}, ${late === 0 ? "none of them late" : `${late} of them late`}; the table below says the same.${touched}`;
}

/**
 * The drawing of an item of an order: (width) => element.
 * @param {any} o an order of the API
 * @param {any} e the item
 * @param {string} now
 */
export function timeline(o, e, now) {
  const rows = windows(o.purchases, e);
  const list = touches(o, e);
  const events = o.items.length > 1 ? o.events.filter((event) => concerns(event, e)) : o.events;
  return (/** @type {number} */ width) => {
    const span = extent([...events.flatMap((event) => [ms(event.occurred_at), ms(event.received_at)]), ...momentsOf(rows, ms(now))], ms(now));
    const x = placer(span.from, span.to, LINE_LEFT, width - LINE_RIGHT);
    const occurredAt = 30 + stackHeight(events, "occurred_at", x);
    const receivedAt = occurredAt + 26 + stackHeight(events, "received_at", x);
    const touchRows = Math.min(list.length, 1) * 20;
    const barsAt = receivedAt + 14 + touchRows;
    const height = barsAt + rows.length * BAR_ROW + 4;
    const occurred = dotRow(events, "occurred_at", x, occurredAt);
    const received = dotRow(events, "received_at", x, receivedAt);
    const links = events.map((event) => {
      const [a, b] = [occurred.places.get(event.event_id), received.places.get(event.event_id)];
      return a && b ? s("line", { x1: a.x, y1: a.y, x2: b.x, y2: b.y, class: event.late ? "link-late" : "link" }) : null;
    });
    return drawing(width, height, describe(events, list), axis(x, span, width, height),
      s("text", { x: 0, y: occurredAt - 5, class: "strong" }, "Occurred"), s("text", { x: 0, y: receivedAt - 5, class: "strong" }, "Received"),
      links, occurred.marks, received.marks, rows.map((row, i) => barRow(row, barsAt + i * BAR_ROW, x, width)),
      touchMarks(list, x, barsAt - 12, height - 8), nowLine(x, ms(now), width, height));
  };
}

/**
 * The windows and the access of all items of a customer on one line: (width) => element.
 * @param {any} c a customer of the API
 */
export function customerTimeline(c) {
  const now = ms(c.now);
  const rows = c.items.filter((e) => e.kind !== null).map((e) => {
    const all = windows(c.purchases, e);
    return { name: e.product_name ?? e.product_id ?? e.order_id, bars: all.filter(([name]) => name !== "Access").flatMap(([, bars]) => bars),
      access: all.find(([name]) => name === "Access")?.[1] ?? [], list: touches(c, e) };
  });
  const all = rows.flatMap((row) => [["Paid time", row.bars], ["Access", row.access]]);
  return (/** @type {number} */ width) => {
    const span = extent(momentsOf(all, now), now);
    const x = placer(span.from, span.to, LINE_LEFT, width - LINE_RIGHT);
    const pitch = 2 * BAR_ROW - 4;
    const height = 40 + rows.length * pitch + 16;
    const label = `Windows and access of ${counted(rows.length, "product")}; the verdicts above say the same. ${rows.flatMap((row) => row.list.map((t) => `${row.name}: ${t.text} on ${stamp(t.at)}`)).join("; ")}`;
    return drawing(width, height, label, axis(x, span, width, height), rows.map((row, i) => {
      const y = 36 + i * pitch;
      return [barRow(["Paid time", row.bars], y, x, width, row.name), barRow(["Access", row.access], y + 24, x, width, "access"),
        touchMarks(row.list, x, y - 6, y + 44)];
    }), nowLine(x, now, width, height));
  };
}
