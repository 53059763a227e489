// One order: its items, each with the verdict and a time line; its events in the order of the fold; its rows.

import { ask } from "./api.js";
import { address, facts, h, id, redrawn, table } from "./dom.js";
import { interval, moment, money, stamp } from "./moments.js";
import { bars, timeline } from "./timeline.js";
import { KINDS, modeChip, problems, verdict } from "./words.js";

const KEYS = { metadata: "from the merchant’s metadata", linked: "of the payment that its events name", customer: "made of customer and product",
  order: "the provider’s order", payment: "the payment" };

function legend(o, e) {
  const kinds = new Set(bars(o, e).flatMap(([, list]) => list.map((b) => b.kind)));
  return h("p", { class: "legend" },
    o.events.some((x) => x.late) ? h("span", { class: "late" }, "came late") : null,
    kinds.has("trial") ? h("span", { class: "trial" }, "trial") : null,
    kinds.has("paid") || kinds.has("gone") ? h("span", { class: "paid" }, kinds.has("gone") ? "paid time (dashed: taken back)" : "paid time") : null,
    kinds.has("entitled") ? h("span", { class: "entitled" }, "entitled, by what is known now") : null,
    kinds.has("trial") || kinds.has("paid") ? "Grace periods are included." : null);
}

const productOf = (row) => row.product_name ?? (row.product_id && id(row.product_id));
const customerOf = (row) => (row.customer_email ?? row.customer_id) && id(row.customer_email ?? row.customer_id);
const eventLink = (event) => h("a", { href: address.delivery(event), class: "id" }, event);
const windowEnd = (p) => (p.until ? stamp(p.until) : p.began_at && !p.bought_trial ? "no end" : null);
const goodOrBad = (good) => `chip ${good ? "good" : "bad"}`;

function eventRows(o) {
  return o.events.map((e) => h("tr", null,
    h("td", { class: "number" }, e.position),
    h("td", { class: "time" }, stamp(e.occurred_at)),
    h("td", { class: "time" }, stamp(e.received_at), e.late ? [" ", h("span", { class: "chip bad" }, "late")] : null),
    h("td", { class: "type" }, h("a", { href: address.delivery(e.event_id) }, e.event_type)),
    h("td", null, e.order_status, e.subscription_status ? ` / ${e.subscription_status}` : null),
    h("td", { class: "note" }, e.note)));
}

// The rows of one kind, as a table; nothing if there are none.
function part(title, rows, most, columns, row) {
  return rows.length === 0 ? null : [h("h2", null, title), rows.length < most ? null : h("p", { class: "dim" }, `The last ${most}.`),
    table(title, columns, rows.map((r) => h("tr", null, row(r))))];
}

function subscription(e, now) {
  const i = e.item;
  return h("section", null, h("h2", null, "Subscription"), h("div", { class: "sheet" }, facts([
    ["Status", i.subscription_status], ["Product", productOf(e)], ["Id", i.subscription_id && id(i.subscription_id)],
    ["Interval", interval(i.recurring_interval)], ["Units", i.units], ["Amount", i.billing_amount],
    ["Trial ends", moment(i.trial_end, now)], ["Period ends", moment(i.billing_period_end, now)],
    ["Canceled", moment(i.canceled_at, now)], ["Ends", i.cancel_at ? moment(i.cancel_at, now) : i.cancel_at_period_end ? "with its period" : null],
    ["Method", [i.payment_method, i.last4 && `… ${i.last4}`].filter(Boolean).join(" ")]])));
}

export async function order(view, mode, name) {
  const o = await ask("order", { mode, order: name }, view.signal);
  const { now, expected, items } = o;
  const row = o.order;
  const payments = o.purchases.filter((p) => !p.is_trial);
  const trials = o.purchases.filter((p) => p.is_trial);
  const counts = (p) => p.counts || trials.some((t) => t.counts && t.buyer === p.name);
  const first = o.events[0].position;
  // If it takes access away, the verdict says so.
  const mismatch = items.some((e) => e.reason === "unconfirmed") ? null : problems(expected.mismatches);
  view.show(h("span", null, "Order ", h("span", { class: "id" }, row.order_id), " ", modeChip(row.mode)),
    items.length < o.most_items ? null : h("p", { class: "dim" }, `${o.most_items} of its items. Search for a customer to see theirs.`),
    mismatch ? h("p", null, h("span", { class: "chip warn" }, "not as expected"), ` ${mismatch}`) : null,
    items.map((e, i) => [items.length > 1 ? h("h2", null, `Item ${i + 1}`) : null,
      verdict(e, now, null), h("div", { class: "sheet life" }, redrawn(timeline(o, e, now)), legend(o, e))]),
    h("h2", null, "What happened, and what it changed"),
    first > 1 ? h("p", { class: "dim" }, `The last ${o.events.length} of ${o.events.at(-1).position} events. Do purchases share this order’s id? It has to be unique to each.`) : null,
    table("Events", [{ title: "No.", number: true }, "Happened", "Came", "Event", "Order / subscription after it", "What it changed"], eventRows(o)),
    h("div", { class: "columns" },
      h("section", null, h("h2", null, "Order"), h("div", { class: "sheet" }, facts([
        ["Status", row.status], ["Key", KEYS[row.key_source]],
        ["Customer", row.customer_email && id(row.customer_email)], ["Customer id", row.customer_id && id(row.customer_id)],
        ["User", row.user_id && id(row.user_id)],
        ["Product", row.product_name], ["Amount", money(row.amount, row.currency)], ["Tax", money(row.tax_amount, row.currency)],
        ["Provider’s order", row.provider_order_id && id(row.provider_order_id)],
        ["Expected order", expected.expected ? expected.matches ? "matches" : expected.matches === null ? "nothing bought yet" : "does not match" : null],
        ["Conflict", row.conflict ? "its purchases name different customers, who have items of their own" : null],
        ["Newest event", moment(row.updated_at, now)], ["Metadata", row.metadata && h("code", null, row.metadata)]]))),
      items.filter((e) => e.item.subscription_status !== null).map((e) => subscription(e, now))),
    part("Payments", payments, o.most,
      ["Payment", "Kind", "Status", "Product", "Customer", { title: "Amount", number: true }, { title: "Refunded", number: true }, "Paid", "Window ends"], (p) => [
        h("td", null, id(p.name)), h("td", null, KINDS[p.kind]),
        h("td", null, h("span", { class: goodOrBad(counts(p)) }, p.status.replace("_", " ")), " ", counts(p) ? null : "does not count"),
        h("td", null, productOf(p)), h("td", null, customerOf(p)),
        h("td", { class: "number" }, money(p.amount, p.currency)),
        h("td", { class: "number" }, p.refunded_amount === "0" ? null : money(p.refunded_amount, p.currency)),
        h("td", { class: "time" }, p.began_at && stamp(p.began_at)),
        h("td", { class: "time" }, p.bought_trial ? "with its trial" : windowEnd(p))]),
    part("Trials", trials, o.most, ["Began", "Product", "Customer", "Bought by", "Window ends", "Event"], (t) => [
      h("td", { class: "time" }, stamp(t.began_at)), h("td", null, productOf(t)), h("td", null, customerOf(t)),
      h("td", null, t.buyer && id(t.buyer), t.counts ? null : " does not count"), h("td", { class: "time" }, windowEnd(t)), h("td", null, eventLink(t.name))]),
    part("Refunds", o.refunds, o.most, ["When", "Of payment", "Said to be", { title: "Amount", number: true }, "Event"], (r) => [
      h("td", { class: "time" }, stamp(r.occurred_at)), h("td", null, r.payment_id === null ? "none that is known" : id(r.payment_id)),
      h("td", null, r.label), h("td", { class: "number" }, r.amount), h("td", null, eventLink(r.event_id))]),
    part("Cancellations", o.cancellations, o.most, ["When", "Product", "Customer", "Subscription", "Ends", "Event"], (c) => [
      h("td", { class: "time" }, stamp(c.occurred_at)), h("td", null, c.product_id && id(c.product_id)), h("td", null, c.customer_id && id(c.customer_id)),
      h("td", null, (c.subscription_id ?? c.processor_subscription_id) && id(c.subscription_id ?? c.processor_subscription_id)),
      h("td", { class: "time" }, c.at_period_end ? "with its period" : stamp(c.ends_at)), h("td", null, eventLink(c.event_id))]));
}
