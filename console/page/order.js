// One order: its items, each with the verdict and a timeline; its events in the order of the fold; its rows.

import { ask } from "./api.js";
import { drawn, facts, h, section, table } from "./dom.js";
import { windows, touches } from "./geometry.js";
import { chip, copyable, copyButton, customerLink, customerOf, eventLink, foundLink, id, modeChip, moment, plainMoment, productOf, verdictCard, whatYouCanDo } from "./parts.js";
import { remediesOf } from "./remedies.js";
import { interval, money } from "./text.js";
import { timeline } from "./timeline.js";
import { KINDS, nextChange, problems } from "./verdicts.js";

const KEYS = { metadata: "from the merchant’s metadata", linked: "of the payment that its events name", customer: "made of customer and product",
  order: "BagelPay’s order", payment: "the payment" };

function lineLegend(o, e) {
  const kinds = new Set(windows(o.purchases, e).flatMap(([, list]) => list.map((b) => b.kind)));
  const touched = new Set(touches(o, e).map((t) => t.kind));
  return h("p", { class: "legend" },
    o.events.some((x) => x.late) ? h("span", { class: "late" }, "received late") : null,
    kinds.has("trial") ? h("span", { class: "trial" }, "trial") : null,
    kinds.has("paid") || kinds.has("gone") ? h("span", { class: "paid" }, kinds.has("gone") ? "paid time (dashed: does not count)" : "paid time") : null,
    kinds.has("entitled") ? h("span", { class: "entitled" }, "access, by what is known now") : null,
    touched.has("cancellation") ? "C: cancellation" : null, touched.has("refund") ? "R: refund" : null, touched.has("dispute") ? "D: dispute" : null,
    kinds.has("trial") || kinds.has("paid") ? "Grace periods are included." : null);
}

const windowEnd = (p) => (p.until ? plainMoment(p.until) : p.began_at && !p.bought_trial ? "no end" : null);
const goodOrBad = (good) => (good ? "good" : "bad");

function eventTable(o) {
  const first = o.events[0].position;
  return section("What occurred, and what it changed",
    first > 1 ? h("p", { class: "dim" }, `The last ${o.events.length} of ${o.events.at(-1).position} events. Do purchases share this order’s id? It has to be unique to each.`) : null,
    table("Events", [{ title: "No.", number: true }, "Occurred", "Received", "Event", "Order / subscription after it", "What it changed"],
      o.events.map((e) => h("tr", null,
        h("td", { class: "number" }, e.position),
        h("td", { class: "time" }, plainMoment(e.occurred_at)),
        h("td", { class: "time" }, plainMoment(e.received_at), e.late ? [" ", chip("late", "bad")] : null),
        h("td", { class: "type" }, eventLinkByType(e)),
        h("td", null, e.order_status, e.subscription_status ? ` / ${e.subscription_status}` : null),
        h("td", { class: "note" }, e.note)))));
}

const eventLinkByType = (e) => {
  const link = eventLink(e.event_id);
  link.textContent = e.event_type;
  link.className = "";
  return link;
};

/** The rows of one kind, as a table; nothing if there are none. */
function part(title, rows, most, columns, row) {
  return rows.length === 0 ? null : section(title, rows.length < most ? null : h("p", { class: "dim" }, `The last ${most}.`),
    table(title, columns, rows.map((r) => h("tr", null, row(r)))));
}

function subscriptionFacts(e) {
  const i = e.item;
  return section("Subscription", h("div", { class: "sheet" }, facts([
    ["Status", i.subscription_status], ["Product", productOf(e)], ["Id", copyable(i.subscription_id)],
    ["Interval", interval(i.recurring_interval)], ["Units", i.units], ["Amount", i.billing_amount],
    ["Trial ends", moment(i.trial_end)], ["Period ends", moment(i.billing_period_end)],
    ["Canceled", moment(i.canceled_at)], ["Ends", i.cancel_at ? moment(i.cancel_at) : i.cancel_at_period_end ? "with its period" : null],
    ["Method", [i.payment_method, i.last4 && `… ${i.last4}`].filter(Boolean).join(" ")]])));
}

function orderFacts(row, expected) {
  return section("Order", h("div", { class: "sheet" }, facts([
    ["Status", row.status], ["Key", KEYS[row.key_source]],
    ["Customer", customerLink("email", row.customer_email)], ["Customer id", customerLink("customer", row.customer_id)],
    ["User", customerLink("user", row.user_id)],
    ["Product", row.product_name], ["Amount", money(row.amount, row.currency)], ["Tax", money(row.tax_amount, row.currency)],
    ["BagelPay’s order", copyable(row.provider_order_id)],
    ["Expected order", expected.expected ? expected.matches ? "matches" : expected.matches === null ? "nothing bought yet" : "does not match" : null],
    ["Conflict", row.conflict ? "its purchases name different customers, who have items of their own" : null],
    ["Newest event", moment(row.updated_at)], ["Metadata", row.metadata && h("code", null, row.metadata)]])));
}

/** Payments of an order or a customer. @param {any[]} purchases @param {number} most @param {boolean} [withOrders] */
export function paymentTable(purchases, most, withOrders = false) {
  const trials = purchases.filter((p) => p.is_trial);
  const counts = (p) => p.counts || trials.some((t) => t.counts && t.buyer === p.name && t.order_id === p.order_id);
  return part("Payments", purchases.filter((p) => !p.is_trial), most,
    ["Payment", "Kind", "Status", "Product", withOrders ? "Order" : "Customer", { title: "Amount", number: true }, { title: "Refunded", number: true }, "Paid", "Window ends"], (p) => [
      h("td", null, copyable(p.name)), h("td", null, KINDS[p.kind]),
      h("td", null, chip(p.status.replace("_", " "), goodOrBad(counts(p))), counts(p) ? null : " does not count"),
      h("td", null, productOf(p)), h("td", null, withOrders ? foundLink(p.order_id) : customerOf(p)),
      h("td", { class: "number" }, money(p.amount, p.currency)),
      h("td", { class: "number" }, p.refunded_amount === "0" ? null : money(p.refunded_amount, p.currency)),
      h("td", { class: "time" }, plainMoment(p.began_at)),
      h("td", { class: "time" }, p.bought_trial ? "with its trial" : windowEnd(p))]);
}

/** Trials, refunds and cancellations. */
export function otherTables(o, most) {
  return [
    part("Trials", o.purchases.filter((p) => p.is_trial), most, ["Began", "Product", "Customer", "Bought by", "Window ends", "Event"], (t) => [
      h("td", { class: "time" }, plainMoment(t.began_at)), h("td", null, productOf(t)), h("td", null, customerOf(t)),
      h("td", null, id(t.buyer), t.counts ? null : " does not count"), h("td", { class: "time" }, windowEnd(t)), h("td", null, eventLink(t.name))]),
    part("Refunds", o.refunds, most, ["When", "Of payment", "Said to be", { title: "Amount", number: true }, "Event"], (r) => [
      h("td", { class: "time" }, plainMoment(r.occurred_at)), h("td", null, r.payment_id === null ? "none that is known" : id(r.payment_id)),
      h("td", null, r.label), h("td", { class: "number" }, r.amount), h("td", null, eventLink(r.event_id))]),
    part("Cancellations", o.cancellations, most, ["When", "Product", "Customer", "Subscription", "Ends", "Event"], (c) => [
      h("td", { class: "time" }, plainMoment(c.occurred_at)), h("td", null, id(c.product_id)), h("td", null, customerLink("customer", c.customer_id)),
      h("td", null, id(c.subscription_id ?? c.processor_subscription_id)),
      h("td", { class: "time" }, c.at_period_end ? "with its period" : plainMoment(c.ends_at)), h("td", null, eventLink(c.event_id))])];
}

/** What can be done about an item, with its disputed payments. */
export function itemRemedies(o, e, open) {
  const disputed = o.purchases.filter((p) => p.item_key !== null && p.item_key === e.item.item_key && p.order_id === e.order_id && p.status === "disputed");
  return whatYouCanDo(remediesOf(e, disputed), { open });
}

function renderOrder(o, view) {
  const { now, expected, items } = o;
  const row = o.order;
  // If it takes access away, the verdict says so.
  const mismatch = items.some((e) => e.reason === "unconfirmed") ? null : problems(expected.mismatches);
  view.retitle("Order ", id(row.order_id), " ", modeChip(row.mode), copyButton(row.order_id, "the order id"));
  return [
    items.length < o.most_items ? null : h("p", { class: "dim" }, `${o.most_items} of its items. Search for a customer to see theirs.`),
    mismatch ? h("p", null, chip("not as expected", "warn"), ` ${mismatch}`) : null,
    items.map((e, i) => [items.length > 1 ? h("h2", null, `Item ${i + 1}`) : null,
      verdictCard(e, now, {}, itemRemedies(o, e, !e.entitled)), h("div", { class: "sheet life" }, drawn(timeline(o, e, now)), lineLegend(o, e))]),
    eventTable(o),
    h("div", { class: "columns" }, orderFacts(row, expected), items.filter((e) => e.item.subscription_status !== null).map(subscriptionFacts)),
    paymentTable(o.purchases, o.most), otherTables(o, o.most),
  ];
}

/** @type {import("./view.js").Definition} */
export const orderView = {
  title: (view) => ["Order ", id(view.rest[1] ?? ""), " ", modeChip(view.rest[0] ?? null)],
  problem: ({ rest: [mode, name] }) => (["live", "test"].includes(mode) && name ? null : "This address names no order: it has a mode, live or test, and an order id."),
  load: (view) => ask("order", { mode: view.rest[0], order: view.rest[1] }, view.signal),
  render: renderOrder,
  changes: (o) => nextChange(o.items, o.now),
  every: 10000,
  missing: "There is no such order, or not yet. Is it one of the other mode?",
};
