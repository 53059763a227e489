// An item's life as a drawing: when its events happened, when they came, and what follows from them.

import { drawing, s } from "./dom.js";
import { day, ms, stamp } from "./moments.js";

const LEFT = 92;
const RIGHT = 16;
const ROW = 34;

// The bars of an item: what they are about, and from when until when (null: without end).
export function bars(o, e) {
  const own = o.purchases.filter((p) => p.item_key !== null && p.item_key === e.item.item_key && !p.bought_trial);
  const of = (isTrial, kind) => own.filter((p) => p.is_trial === isTrial).map((p) => ({ from: p.began_at, to: p.until, kind: p.counts ? kind : "gone" }));
  return [["Trial", of(true, "trial")], ["Paid time", of(false, "paid")], ["Entitled", e.access.map(([from, to]) => ({ from, to, kind: "entitled" }))]]
    .filter(([name, list]) => list.length > 0 || name === "Entitled");
}

// Returns whether an event may be of an item: it names no other product or customer, and is no decision on other items.
function concerns(event, e) {
  return ["product_id", "customer_id"].every((name) => event[name] === null || e[name] === null || event[name] === e[name])
    && (!/^operator\.(grant|revoke|clear)$/.test(event.event_type) || e.decisions.some((d) => d.at === event.occurred_at));
}

function ticks(from, to, count) {
  const dayMs = 86400000;
  const steps = [3600000, 6 * 3600000, dayMs, 2 * dayMs, 7 * dayMs, 14 * dayMs, 30 * dayMs, 61 * dayMs, 91 * dayMs, 182 * dayMs, 365 * dayMs, 730 * dayMs, 3650 * dayMs];
  const step = steps.find((length) => (to - from) / length <= count) ?? 36500 * dayMs;
  const first = Math.ceil(from / step) * step;
  const found = [];
  for (let at = first; at <= to; at += step) found.push({ at, text: step < dayMs ? stamp(at).slice(5, 16) : day(at) });
  return found;
}

// Dots that would cover each other go to lanes above each other; of too many some do.
function lanes(events, x, most) {
  const ends = Array(most).fill(-Infinity);
  return events.map((event) => {
    const at = x(event);
    let lane = ends.findIndex((end) => at - end >= 17);
    if (lane < 0) lane = ends.indexOf(Math.min(...ends));
    ends[lane] = at;
    return lane;
  });
}

export function timeline(o, e, now) {
  const rows = bars(o, e);
  const events = o.items.length > 1 ? o.events.filter((event) => concerns(event, e)) : o.events;
  return (width) => {
    const moments = [ms(now), ...events.flatMap((event) => [ms(event.occurred_at), ms(event.received_at)]),
      ...rows.flatMap(([, list]) => list.flatMap((b) => [ms(b.from), b.to ? ms(b.to) : ms(now)]))];
    let from = Math.min(...moments);
    let to = Math.max(...moments);
    const pad = Math.max((to - from) * 0.03, 3600000);
    from -= pad;
    to += pad;
    const x = (at) => LEFT + (at - from) / (to - from) * (width - LEFT - RIGHT);

    const byArrival = [...events].sort((a, b) => ms(a.received_at) - ms(b.received_at));
    const happenedLanes = lanes(events, (event) => x(ms(event.occurred_at)), 4);
    const arrivedLanes = lanes(byArrival, (event) => x(ms(event.received_at)), 4);
    const happenedHeight = 18 * (Math.max(0, ...happenedLanes) + 1);
    const arrivedHeight = 18 * (Math.max(0, ...arrivedLanes) + 1);
    const top = 30;
    const happenedAt = top + happenedHeight;
    const arrivedAt = happenedAt + 46;
    const barsAt = arrivedAt + arrivedHeight + 18;
    const height = barsAt + rows.length * ROW + 4;

    const place = new Map();
    events.forEach((event, i) => place.set(event.event_id, { x1: x(ms(event.occurred_at)), y1: happenedAt - 9 - 18 * happenedLanes[i] }));
    byArrival.forEach((event, i) => Object.assign(place.get(event.event_id), { x2: x(ms(event.received_at)), y2: arrivedAt + 9 + 18 * arrivedLanes[i] }));
    const dot = (event, cx, cy) => [
      s("circle", { cx, cy, r: 8, class: event.late ? "dot-late" : "dot" },
        s("title", null, `${event.position}. ${event.event_type}, happened ${stamp(event.occurred_at)}, came ${stamp(event.received_at)}${event.late ? ", late" : ""}`)),
      // Longer numbers do not fit.
      event.position < 1000 ? s("text", { x: cx, y: cy + 3.5, "text-anchor": "middle", class: "dot-number" }, event.position) : null];

    const late = events.filter((event) => event.late).length;
    const label = `Time line of ${events.length} events, ${late === 0 ? "none of them late" : `${late} of them late`}; the table below says the same.`;
    return drawing(width, height, label,
      ticks(from, to, Math.max((width - LEFT) / 110, 2)).map(({ at, text }) => [
        s("line", { x1: x(at), x2: x(at), y1: 18, y2: height, class: "grid" }),
        s("text", { x: x(at), y: 12, "text-anchor": x(at) > width - 60 ? "end" : "middle" }, text)]),
      s("text", { x: 0, y: happenedAt - 5, class: "strong" }, "Happened"),
      s("text", { x: 0, y: arrivedAt + 13, class: "strong" }, "Came"),
      events.map((event) => s("line", { ...place.get(event.event_id), class: event.late ? "link-late" : "link" })),
      events.map((event) => dot(event, place.get(event.event_id).x1, place.get(event.event_id).y1)),
      events.map((event) => dot(event, place.get(event.event_id).x2, place.get(event.event_id).y2)),
      rows.map(([name, list], i) => {
        const y = barsAt + i * ROW;
        return [
          s("text", { x: 0, y: y + 16, class: "strong" }, name),
          s("line", { x1: LEFT, x2: width - RIGHT, y1: y + 12, y2: y + 12, class: "axis" }),
          list.map((b) => s("rect", {
            x: x(ms(b.from)), y: y + (b.kind === "gone" ? 5 : 4), height: b.kind === "gone" ? 14 : 16, rx: 3, class: b.kind,
            width: Math.max((b.to ? Math.min(x(ms(b.to)), width) : width) - x(ms(b.from)), 2),
          }, s("title", null, `${name}: ${stamp(b.from)} to ${b.to ? stamp(b.to) : "no end"}${b.kind === "gone" ? ", taken back" : ""}`)))];
      }),
      s("line", { x1: x(ms(now)), x2: x(ms(now)), y1: 18, y2: height, class: "now" }),
      s("text", { x: x(ms(now)) + (x(ms(now)) > width - 50 ? -5 : 5), y: height - 4, "text-anchor": x(ms(now)) > width - 50 ? "end" : "start", class: "now-label" }, "now"));
  };
}
