// One event, and one dead letter.

import { ask } from "./api.js";
import { body, oddBody } from "./body.js";
import { address, facts, found, h, id } from "./dom.js";
import { bytes, interval, moment, money, span, ms } from "./moments.js";
import { outcomeChip } from "./deliveries.js";
import { modeChip } from "./words.js";

function changes(e) {
  if (e.order_id === null) {
    return h("p", null, e.outcome === "ignored" ? "Nothing: events of this type have no part in the state of orders."
      : "Nothing: it names no order.");
  }
  const notes = e.note ? e.note.split("; ") : [];
  return [
    notes.length === 0 ? h("p", null, "Nothing that is not so already.") : h("ul", null, notes.map((note) => h("li", null, note))),
    h("p", { class: "dim" }, "After it the order is ", h("strong", null, e.order_status),
      e.subscription_status ? [" and its subscription ", h("strong", null, e.subscription_status)] : null, "."),
    e.late ? h("p", null, h("span", { class: "chip bad" }, "late"), " It came after events that happened later; the order was worked out again.") : null,
  ];
}

export async function delivery(view, event) {
  const e = await ask("delivery", { event }, view.signal);
  const now = new Date().toISOString();
  const late = (ms(e.received_at) - ms(e.occurred_at)) / 1000;
  view.show(h("span", null, e.event_type),
    h("p", null, id(e.event_id)),
    e.warnings.length > 0 ? [h("h2", null, "Warnings"), h("ul", { class: "warnings" }, e.warnings.map((w) => h("li", null, w)))] : null,
    h("div", { class: "columns" },
      h("section", null, h("h2", null, "What it changed"), h("div", { class: "sheet" },
        e.order_id === null ? null : h("p", null, "Order ", h("a", { href: address.order(e.mode, e.order_id), class: "id" }, e.order_id)),
        changes(e))),
      h("section", null, h("h2", null, "Delivery"), h("div", { class: "sheet" }, facts([
        ["Outcome", h("span", null, outcomeChip(e.outcome), " ", modeChip(e.mode))],
        ["Happened", moment(e.occurred_at, now)],
        ["Committed", h("span", null, moment(e.received_at, now), late >= 1 ? h("span", { class: "dim" }, `, ${span(late)} after it happened`) : null)],
        ["Came", e.deliveries === 1 ? "once" : h("span", null, `${e.deliveries} times, last `, moment(e.last_delivered_at, now))],
        ["Signed", e.signed_timestamp === null ? null : moment(new Date(e.signed_timestamp * 1000).toISOString(), now)],
      ])))),
    h("h2", null, "Fields"),
    h("div", { class: "sheet" }, facts([
      ["Customer", e.customer_email && id(e.customer_email)], ["Customer id", e.customer_id && id(e.customer_id)],
      ["User", e.user_id && id(e.user_id)],
      ["Product", e.product_name], ["Product id", e.product_id && id(e.product_id)],
      ["Amount", money(e.amount, e.currency)], ["Tax", money(e.tax_amount, e.currency)],
      ["Payment", e.payment_id && id(e.payment_id)], ["Provider’s order", e.provider_order_id && id(e.provider_order_id)],
      ["Subscription", e.subscription_id && id(e.subscription_id)],
      ["Interval", interval(e.recurring_interval)], ["Trial ends", moment(e.trial_end, now)], ["Paid period ends", moment(e.billing_period_end, now)],
      ["Refund", money(e.refund_amount ?? e.refund_running_total, e.currency)],
      ["Metadata", e.metadata && h("code", null, e.metadata)]])),
    h("h2", null, "Body"), body(e.body, "Body"));
}

const REASONS = {
  invalid: "It is correctly signed, but not a valid event.", conflict: "Another event with the same event id was stored before.",
  database: "PostgreSQL rejects its content.", mode: "The secret that it is signed with does not cover its mode.",
};

export async function deadLetter(view, number) {
  const d = await ask("dead-letter", { id: number }, view.signal);
  const now = new Date().toISOString();
  view.show(`Dead letter ${d.id}`,
    h("div", { class: "sheet" }, facts([
      ["Why", REASONS[d.reason] ?? d.reason], ["Where", d.detail && h("code", null, d.detail)],
      ["Event", d.event_id && id(d.event_id)], ["Order", d.order_id && found(d.order_id)],
      ["Customer", d.customer_email && found(d.customer_email)],
      ["Came", h("span", null, moment(d.received_at, now), d.deliveries > 1 ? `, ${d.deliveries} times` : null)],
      ["Size", bytes(d.bytes)], ["SHA-256", id(d.sha256)],
      ["Resolved", moment(d.resolved_at, now)]])),
    d.resolved_at ? null : [h("h2", null, "To try it again"),
      h("p", null, "When bagelhook, the schema or what it conflicts with has changed, as a role that has bagelpay_owner:"),
      h("pre", { tabindex: "0", role: "region", "aria-label": "Command" }, `bagelhook redrive --id ${d.id}`)],
    h("h2", null, "Bytes"), oddBody(d.body, "Bytes"));
}
