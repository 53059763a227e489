// The plots of the overview: an hour, by minute.

import { drawing, s } from "./dom.js";
import { clock, ms, shortSpan } from "./moments.js";

const LEFT = 52;
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 22;
const HEIGHT = 170;
const MINUTES = 60;

// 1, 2, 5, 10, 20 … that is not less.
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value);
}

function frame(width, hour, marks, y) {
  const slot = (width - LEFT - RIGHT) / MINUTES;
  const x = (i) => LEFT + (MINUTES - hour.length + i) * slot;
  return [slot, x, [
    marks.map(({ value, text }) => [
      s("line", { x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value), class: "grid" }),
      s("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, text)]),
    hour.map((minute, i) => (new Date(minute.at).getUTCMinutes() % 15 === 0
      ? s("text", { x: x(i) + slot / 2, y: HEIGHT - 4, "text-anchor": x(i) > width - 40 ? "end" : "middle" }, clock(minute.at).slice(0, 5)) : null))]];
}

// The scale of counts up to some number.
function scale(highest) {
  const most = roundUp(Math.max(highest, 1));
  const y = (value) => TOP + (1 - value / most) * (HEIGHT - TOP - BOTTOM);
  return [y, [0, most / 2, most].filter(Number.isInteger).map((value) => ({ value, text: value.toLocaleString("en") }))];
}

function bar(left, slot, top, bottom, kind, title) {
  return s("rect", { x: left + 1, width: Math.max(slot - 2, 1), y: top, height: Math.max(bottom - top, 1.5), class: kind }, s("title", null, title));
}

export function plotCounts(width, hour) {
  const [y, marks] = scale(Math.max(...hour.map((m) => m.events + m.dead_letters)));
  const [slot, x, background] = frame(width, hour, marks, y);
  const sum = (name) => hour.reduce((total, m) => total + m[name], 0);
  return drawing(width, HEIGHT, `In the last hour ${sum("events")} events and ${sum("dead_letters")} dead letters; at most ${Math.max(...hour.map((m) => m.events), 0)} events in a minute.`,
    background,
    hour.map((m, i) => {
      const title = `${clock(m.at).slice(0, 5)}: ${m.events >= 10000 ? "10000 or more" : m.events} events, ${m.dead_letters} dead letters`;
      const both = m.events + m.dead_letters;
      return [m.events > 0 ? bar(x(i), slot, y(m.events), y(0), "bar", title) : null,
        m.dead_letters > 0 ? bar(x(i), slot, y(both), y(m.events), "bar-bad", title) : null];
    }));
}

// The last hour by a clock, in milliseconds since 1970, for what the database knows nothing of.
function hourUntil(now) {
  const last = Math.floor(now / 60000);
  return Array.from({ length: MINUTES }, (_, i) => ({ at: new Date((last - MINUTES + 1 + i) * 60000).toISOString() }));
}

// seen: by minute (as its number since 1970), how many answers of each status this page learned of.
export function plotAnswers(width, now, seen) {
  const hour = hourUntil(now);
  const counts = hour.map((m) => {
    const answers = seen.get(ms(m.at) / 60000) ?? {};
    const all = Object.values(answers).reduce((total, count) => total + count, 0);
    return { answers, all, good: answers[200] ?? 0 };
  });
  const [y, marks] = scale(Math.max(...counts.map((m) => m.all)));
  const [slot, x, background] = frame(width, hour, marks, y);
  const sum = (name) => counts.reduce((total, m) => total + m[name], 0);
  return drawing(width, HEIGHT, `Answered 200 while this page was open: ${sum("good")}; anything else: ${sum("all") - sum("good")}.`,
    background,
    counts.map((m, i) => {
      const each = Object.entries(m.answers).filter(([, count]) => count > 0).map(([status, count]) => `${count} answered ${status}`);
      const title = `${clock(hour[i].at).slice(0, 5)}: ${each.join(", ")}`;
      return [m.good > 0 ? bar(x(i), slot, y(m.good), y(0), "bar", title) : null,
        m.all > m.good ? bar(x(i), slot, y(m.all), y(m.good), "bar-bad", title) : null];
    }));
}

// files: the most files of each minute (as its number since 1970) in which this page looked.
export function plotSpool(width, now, files) {
  const hour = hourUntil(now);
  const [y, marks] = scale(Math.max(0, ...files.values()));
  const [slot, x, background] = frame(width, hour, marks, y);
  return drawing(width, HEIGHT, `At most ${Math.max(0, ...files.values())} files in the spool while this page was open.`,
    background,
    hour.map((m, i) => {
      const count = files.get(ms(m.at) / 60000);
      return count > 0 ? bar(x(i), slot, y(count), y(0), "bar-spool", `${clock(m.at).slice(0, 5)}: ${count} file${count === 1 ? "" : "s"}`) : null;
    }));
}

// Logarithmic: a delivery takes milliseconds, a retry minutes, an outage days.
export function plotDelays(width, hour) {
  const timed = hour.filter((m) => m.median !== null);
  const values = timed.flatMap((m) => [m.median, m.p95]);
  const low = 0.1;
  const decade = (value) => Math.log10(Math.max(value, low) / low);
  const highest = Math.max(Math.ceil(decade(Math.max(...values, 10))), 2);
  const y = (value) => TOP + (1 - decade(value) / highest) * (HEIGHT - TOP - BOTTOM);
  const marks = [[0.1, "0.1 s"], [1, "1 s"], [10, "10 s"], [60, "1 min"], [600, "10 min"], [3600, "1 h"], [86400, "1 d"], [2629800, "1 mo"], [31557600, "1 y"]]
    .filter(([value]) => decade(value) <= highest).map(([value, text]) => ({ value, text }));
  const sparse = marks.filter((mark, i) => i === 0 || y(marks[i - 1].value) - y(mark.value) >= 14);
  const [slot, x, background] = frame(width, hour, sparse, y);
  const curve = (name, kind) => {
    const parts = [];
    let open = false;
    hour.forEach((m, i) => {
      if (m[name] === null) {
        open = false;
        return;
      }
      parts.push(`${open ? "L" : "M"}${x(i) + slot / 2} ${y(m[name])}${open ? "" : "h.01"}`);
      open = true;
    });
    return s("path", { d: parts.join(""), class: kind, "stroke-linecap": "round" });
  };
  const last = timed.at(-1);
  return drawing(width, HEIGHT, last ? `In the latest minute with events, half of them were committed within ${shortSpan(last.median)} of happening, 95 % within ${shortSpan(last.p95)}.`
    : "No events in the last hour.",
  background,
  timed.length === 0 ? s("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "No events in the last hour") : null,
  curve("p95", "curve-high"), curve("median", "curve"),
  hour.map((m, i) => (m.median === null ? null : s("circle", { cx: x(i) + slot / 2, cy: y(m.median), r: 3, class: "point" },
    s("title", null, `${clock(m.at).slice(0, 5)}: half within ${shortSpan(m.median)}, 95 % within ${shortSpan(m.p95)}`)))));
}
