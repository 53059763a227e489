// One event: its fields, what it changed, and its body.

import { ask } from "./api.js";
import { body } from "./body.js";
import { facts, h, section } from "./dom.js";
import { chip, copyButton, copyable, customerLink, foundLink, id, modeChip, moment, orderLink, plainMoment, whatYouCanDo } from "./parts.js";
import { explained, redriveIgnored } from "./remedies.js";
import { interval, money, times } from "./text.js";
import { ms, span } from "./time.js";

const MOODS = { applied: "good", duplicate: "good", ignored: "", unmatched: "warn" };

function changes(e) {
  if (e.order_id === null) {
    return h("p", null, e.outcome === "ignored" ? "Nothing: events of this type have no part in the state of orders." : "Nothing: it names no order.");
  }
  const notes = e.note ? e.note.split("; ") : [];
  return [
    notes.length === 0 ? h("p", null, "Nothing that is not so already.") : h("ul", null, notes.map((note) => h("li", null, note))),
    h("p", { class: "dim" }, "After it the order is ", h("strong", null, e.order_status),
      e.subscription_status ? [" and its subscription ", h("strong", null, e.subscription_status)] : null, "."),
    e.late ? h("p", null, chip("late", "bad"), " It was received after events that occurred later; the order was folded again.") : null,
  ];
}

function deliveryFacts(e) {
  const late = (ms(e.received_at) - ms(e.occurred_at)) / 1000;
  return facts([
    ["Event", copyable(e.event_id, "the event id")],
    ["Outcome", [chip(e.outcome, MOODS[e.outcome]), " ", modeChip(e.mode)]],
    ["Occurred", moment(e.occurred_at)],
    ["Received", [moment(e.received_at), late >= 1 ? h("span", { class: "dim" }, `, ${span(late)} after it occurred`) : null]],
    ["Delivered", e.deliveries === 1 ? "once" : [times(e.deliveries), ", last ", moment(e.last_delivered_at)]],
    ["Signed", e.signed_timestamp === null ? null : moment(new Date(e.signed_timestamp * 1000).toISOString())],
  ]);
}

/** The fields of an event. */
export function fieldFacts(e) {
  return facts([
    ["Customer", customerLink("email", e.customer_email)], ["Customer id", customerLink("customer", e.customer_id)], ["User", customerLink("user", e.user_id)],
    ["Product", e.product_name], ["Product id", id(e.product_id)],
    ["Amount", money(e.amount, e.currency)], ["Tax", money(e.tax_amount, e.currency)],
    ["Payment", copyable(e.payment_id)], ["BagelPay’s order", copyable(e.provider_order_id)],
    ["Subscription", copyable(e.subscription_id)], ["Interval", interval(e.recurring_interval)],
    ["Trial ends", plainMoment(e.trial_end)], ["Paid period ends", plainMoment(e.billing_period_end)],
    ["Refund", money(e.refund_amount ?? e.refund_running_total, e.currency)],
    ["Metadata", e.metadata && h("code", null, e.metadata)]]);
}

function renderDelivery(e, view) {
  view.retitle(h("span", null, e.event_type), " ", modeChip(e.mode));
  return [
    section("Warnings", e.warnings.length > 0 ? h("ul", { class: "warnings" }, e.warnings.map((w) => h("li", null, w))) : null),
    h("div", { class: "columns" },
      section("What it changed", h("div", { class: "sheet" },
        e.order_id === null ? null : h("p", null, "Order ", orderLink(e.mode, e.order_id), " ", copyButton(e.order_id, "the order id")), changes(e))),
      section("Delivery", h("div", { class: "sheet" }, deliveryFacts(e)))),
    section("Fields", h("div", { class: "sheet" }, fieldFacts(e))),
    e.order_id === null ? null : whatYouCanDo([explained(e.order_id, e.mode)]),
    e.outcome === "ignored" ? whatYouCanDo([redriveIgnored()], { open: true }) : null,
    e.outcome === "unmatched" ? h("p", null, "If you know whose it is, grant access from their page: ", foundLink(e.customer_email ?? e.payment_id)) : null,
    section("Body", body(e.body, "Body")),
  ];
}

/** @type {import("./view.js").Definition} */
export const deliveryView = {
  of: "deliveries",
  title: (view) => ["Event ", id(view.rest[0] ?? "")],
  problem: (view) => (view.rest[0] ? null : "This address names no event."),
  load: (view) => ask("delivery", { event: view.rest[0] }, view.signal),
  render: renderDelivery,
  every: 30000,
  missing: "No event of this id was received.",
};
