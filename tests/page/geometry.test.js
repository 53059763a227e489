import assert from "node:assert/strict";
import test from "node:test";

import { columnAt, concerns, extent, placer, roundUp, stacked, ticks, touches, windows } from "../../console/page/geometry.js";

const DAY = 86400000;
const from = Date.UTC(2025, 10, 15);

test("nothing leaves the drawing", () => {
  const x = placer(0, 100, 10, 110);
  assert.deepEqual([0, 50, 100, -5, 1e9].map(x), [10, 60, 110, 10, 110]);
  assert.deepEqual(extent([5e9], 1e10), { from: 5e9 - 1.5e8, to: 1e10 + 1.5e8 });
});

test("ticks are months from three months on, and begin with their year", () => {
  assert.deepEqual(ticks(from, from + 130 * DAY, 10).map((t) => t.text), ["Dec 2025", "2026", "Feb", "Mar"]);
  assert.deepEqual(ticks(from, from + 130 * DAY, 10).map((t) => new Date(t.at).getUTCDate()), [1, 1, 1, 1]);
  assert.ok(ticks(from, from + 4000 * DAY, 8).length <= 8);
  assert.deepEqual(ticks(from, from + 3 * DAY, 5).map((t) => t.text), ["15 Nov", "16 Nov", "17 Nov", "18 Nov"]);
  assert.deepEqual(ticks(from, from + 7200000, 5).map((t) => t.text), ["00:00", "01:00", "02:00"]);
});

test("dots that would cover each other are stacked, and those too many become a number", () => {
  assert.deepEqual(stacked([0, 20, 25], { apart: 17, most: 4 }).dots.map((d) => d.lane), [0, 0, 1]);
  const crowd = stacked(Array(25).fill(50), { apart: 17, most: 4 });
  assert.equal(crowd.dots.length, 4);
  assert.deepEqual(crowd.clusters.map((c) => c.members.length), [21]);
  assert.equal(crowd.height, 5);
  assert.deepEqual(stacked(Array(5).fill(50), { apart: 17, most: 4 }).clusters, []);
  assert.equal(stacked([], { apart: 17, most: 4 }).height, 0);
});

const item = { order_id: "o", product_id: "p", customer_id: "c", mode: "live", item: { item_key: 7 }, access: [["2026-01-01T00:00:00Z", null]], decisions: [] };
const payment = (name, more) => ({ name, order_id: "o", item_key: 7, is_trial: false, counts: true, began_at: "2026-01-01T00:00:00Z", until: null, bought_trial: false, disputed_at: null, ...more });

test("the windows of an item: its own purchases, and those that do not count", () => {
  const rows = windows([payment("a"), payment("b", { counts: false }), payment("c", { item_key: 8 }), payment("d", { is_trial: true }), payment("e", { bought_trial: true })], item);
  assert.deepEqual(rows.map(([name, bars]) => [name, bars.map((b) => b.kind)]), [["Trial", ["trial"]], ["Paid time", ["paid", "gone"]], ["Access", ["entitled"]]]);
  assert.deepEqual(windows([], item).map(([name]) => name), ["Access"]);
});

test("cancellations, refunds and disputes of an item, and of no other", () => {
  const o = { purchases: [payment("a", { disputed_at: "2026-01-03T00:00:00Z" }), payment("c", { item_key: 8, disputed_at: "2026-01-03T00:00:00Z" })],
    refunds: [{ payment_id: "a", occurred_at: "2026-01-04T00:00:00Z", amount: "5" }, { payment_id: "c", occurred_at: "2026-01-04T00:00:00Z", amount: "5" }],
    cancellations: [{ product_id: "p", customer_id: null, occurred_at: "2026-01-02T00:00:00Z", at_period_end: true }, { product_id: "q", customer_id: null, occurred_at: "2026-01-02T00:00:00Z" }] };
  assert.deepEqual(touches(o, item).map((t) => t.text), ["canceled at the period’s end", "dispute of a", "refund of 5"]);
});

test("which events concern an item", () => {
  const event = { event_type: "checkout.completed", product_id: null, customer_id: "c", occurred_at: "2026-01-01T00:00:00Z" };
  assert.ok(concerns(event, item));
  assert.ok(!concerns({ ...event, customer_id: "d" }, item));
  assert.ok(!concerns({ ...event, event_type: "operator.grant" }, item));
  assert.ok(concerns({ ...event, event_type: "operator.grant" }, { ...item, decisions: [{ at: event.occurred_at }] }));
});

test("columns", () => {
  assert.deepEqual([0, 1, 3, 11, 20, 99].map(roundUp), [1, 1, 5, 20, 20, 100]);
  assert.deepEqual([-5, 0, 49, 50, 100, 500].map((x) => columnAt(x, 0, 100, 10)), [0, 0, 4, 5, 9, 9]);
});
