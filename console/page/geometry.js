// Where things are drawn: moments on a time line, dots in stacks, windows as bars, counts as columns.

import { clock, dayInWords, monthLabel, ms } from "./time.js";

const DAY_MS = 86400000;

/**
 * Maps moments in milliseconds to places; moments outside go to the nearest end.
 * @param {number} from
 * @param {number} to
 * @param {number} left
 * @param {number} right
 */
export const placer = (from, to, left, right) => (/** @type {number} */ at) =>
  Math.min(Math.max(left + (at - from) / (to - from) * (right - left), left), right);

/**
 * The span of some moments, with now and a margin around them.
 * @param {number[]} moments
 * @param {number} now
 */
export function extent(moments, now) {
  const from = Math.min(now, ...moments);
  const to = Math.max(now, ...moments);
  const margin = Math.max((to - from) * 0.03, 3600000);
  return { from: from - margin, to: to + margin };
}

/** @param {number} from @param {number} to @param {number} most */
function monthTicks(from, to, most) {
  const months = (to - from) / (30.44 * DAY_MS);
  const step = [1, 2, 3, 6, 12, 24, 60, 120].find((n) => months / n <= most) ?? 1200;
  const first = new Date(from);
  const found = [];
  for (let month = Math.ceil((first.getUTCFullYear() * 12 + first.getUTCMonth() + 1) / step) * step; found.length < 400; month += step) {
    const at = Date.UTC(Math.floor(month / 12), month % 12, 1);
    if (at > to) break;
    const year = new Date(at).getUTCFullYear();
    found.push({ at, text: found.length === 0 && month % 12 !== 0 ? `${monthLabel(at)} ${year}` : monthLabel(at) });
  }
  return found;
}

/**
 * At most so many ticks between two moments, with their labels: hours, days, and from three months on the months.
 * @param {number} from
 * @param {number} to
 * @param {number} most
 */
export function ticks(from, to, most) {
  if (to - from > 90 * DAY_MS) return monthTicks(from, to, most);
  const step = [3600000, 3 * 3600000, 6 * 3600000, DAY_MS, 2 * DAY_MS, 7 * DAY_MS, 14 * DAY_MS, 30 * DAY_MS].find((length) => (to - from) / length <= most) ?? 90 * DAY_MS;
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    found.push({ at, text: step < DAY_MS ? clock(at).slice(0, 5) : dayInWords(at, to).replace(/(\d+ \w{3})\w*/, "$1") });
  }
  return found;
}

/**
 * Stacks dots that would cover each other. Those for which the stack is too high become clusters, with a number.
 * @param {number[]} places in ascending order
 * @param {{apart: number, most: number}} limits
 */
export function stacked(places, { apart, most }) {
  const ends = Array(most).fill(-Infinity);
  /** @type {{index: number, place: number, lane: number}[]} */
  const dots = [];
  /** @type {{place: number, members: number[]}[]} */
  const clusters = [];
  places.forEach((place, index) => {
    const lane = ends.findIndex((end) => place - end >= apart);
    if (lane >= 0) {
      ends[lane] = place;
      dots.push({ index, place, lane });
      return;
    }
    const last = clusters.at(-1);
    if (last && place - last.place < 2 * apart) last.members.push(index);
    else clusters.push({ place, members: [index] });
  });
  // A number takes as much room as a dot.
  const single = clusters.filter((cluster) => cluster.members.length === 1);
  dots.push(...single.map(({ place, members: [index] }) => ({ index, place, lane: most })));
  const numbers = clusters.filter((cluster) => cluster.members.length > 1);
  return { dots, clusters: numbers, height: Math.max(0, ...dots.map((dot) => dot.lane + 1), numbers.length > 0 ? most + 1 : 0) };
}

/** @typedef {{from: string, to: string | null, kind: string, name?: string}} Bar What it is about, and from when until when (null: without end). */

/**
 * The windows of an item: of its trials and payments, and when it gives access.
 * @param {any[]} purchases
 * @param {any} e the item
 * @returns {[string, Bar[]][]}
 */
export function windows(purchases, e) {
  const own = purchases.filter((p) => p.item_key !== null && p.item_key === e.item.item_key && p.order_id === e.order_id && !p.bought_trial);
  const of = (/** @type {boolean} */ isTrial, /** @type {string} */ kind) => own.filter((p) => p.is_trial === isTrial)
    .map((p) => ({ from: p.began_at, to: p.until, kind: p.counts ? kind : "gone", name: p.name }));
  /** @type {[string, Bar[]][]} */
  const rows = [["Trial", of(true, "trial")], ["Paid time", of(false, "paid")],
    ["Access", e.access.map(([from, to]) => ({ from, to, kind: e.mode === "test" ? "test" : "entitled" }))]];
  return rows.filter(([name, list]) => list.length > 0 || name === "Access");
}

/** @typedef {{at: string, kind: "cancellation" | "refund" | "dispute" | "failure", text: string}} Touch */

/**
 * What took, or tried to take, something from the windows of an item.
 * @param {any} o an order or a customer of the API
 * @param {any} e the item
 * @returns {Touch[]}
 */
export function touches(o, e) {
  const own = new Set(o.purchases.filter((p) => p.item_key !== null && p.item_key === e.item.item_key && p.order_id === e.order_id).map((p) => p.name));
  const ofOrder = (/** @type {any} */ row) => (row.order_id ?? e.order_id) === e.order_id;
  return [
    ...o.cancellations.filter((c) => ofOrder(c) && (c.product_id === null || e.product_id === null || c.product_id === e.product_id)
      && (c.customer_id === null || e.customer_id === null || c.customer_id === e.customer_id))
      .map((c) => ({ at: c.occurred_at, kind: /** @type {const} */ ("cancellation"), text: c.at_period_end ? "canceled at the period’s end" : "canceled" })),
    ...o.refunds.filter((r) => ofOrder(r) && own.has(r.payment_id))
      .map((r) => ({ at: r.occurred_at, kind: /** @type {const} */ ("refund"), text: `refund${r.amount === null ? "" : ` of ${r.amount}`}` })),
    ...o.purchases.filter((p) => own.has(p.name) && p.order_id === e.order_id && p.disputed_at)
      .map((p) => ({ at: p.disputed_at, kind: /** @type {const} */ ("dispute"), text: `dispute of ${p.name}` })),
  ].sort((a, b) => ms(a.at) - ms(b.at));
}

/**
 * Whether an event may be of an item: it names no other product or customer, and is no decision on other items.
 * @param {any} event
 * @param {any} e
 */
export function concerns(event, e) {
  return ["product_id", "customer_id"].every((name) => event[name] === null || e[name] === null || event[name] === e[name])
    && (!/^operator\.(grant|revoke|clear)$/.test(event.event_type) || e.decisions.some((d) => d.at === event.occurred_at));
}

/**
 * 1, 2, 5, 10, 20 … that is not less.
 * @param {number} value
 */
export function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value) ?? value;
}

/**
 * Which of so many columns a place is in; the nearest one outside.
 * @param {number} place
 * @param {number} left
 * @param {number} right
 * @param {number} columns
 */
export const columnAt = (place, left, right, columns) =>
  Math.min(Math.max(Math.floor((place - left) / (right - left) * columns), 0), columns - 1);
