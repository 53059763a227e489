// One order: the verdict, its time line, its events in the order of the fold, its rows.

import { ask } from "./api.js";
import { address, facts, h, id, redrawn, table } from "./dom.js";
import { moment, money, stamp } from "./moments.js";
import { bars, timeline } from "./timeline.js";
import { modeChip, problems, verdict } from "./words.js";

const KEYS = { metadata: "from the merchant’s metadata", customer: "made of customer and product", order: "the provider’s order", payment: "the payment" };

function legend(o, now) {
  const kinds = new Set(bars(o, now).flatMap(([, list]) => list.map((b) => b.kind)));
  return h("p", { class: "legend" },
    o.events.some((e) => e.late) ? h("span", { class: "late" }, "came late") : null,
    kinds.has("trial") ? h("span", { class: "trial" }, "trial") : null,
    kinds.has("paid") || kinds.has("gone") ? h("span", { class: "paid" }, kinds.has("gone") ? "paid time (dashed: taken back)" : "paid time") : null,
    kinds.has("entitled") ? h("span", { class: "entitled" }, "entitled, grace included, by what is known now") : null);
}

function eventRows(o) {
  return o.events.map((e) => h("tr", null,
    o.large ? null : h("td", { class: "number" }, e.position),
    h("td", { class: "time" }, stamp(e.occurred_at)),
    h("td", { class: "time" }, stamp(e.received_at), e.late ? [" ", h("span", { class: "chip bad" }, "late")] : null),
    h("td", { class: "type" }, h("a", { href: address.delivery(e.event_id) }, e.event_type)),
    o.large ? null : h("td", null, e.order_status, e.subscription_status ? ` / ${e.subscription_status}` : null),
    h("td", { class: "note" }, e.note)));
}

function onlyLast(rows, most) {
  return rows.length < most ? null : h("p", { class: "dim" }, `The last ${most}.`);
}

export async function order(view, mode, name) {
  const o = await ask("order", { mode, order: name }, view.signal);
  const { now } = o;
  const row = o.order;
  const sub = o.subscription;
  // Where it takes access away, the verdict says so.
  const mismatch = o.entitlement.reason === "unconfirmed" ? null : problems(o.expected?.mismatches);
  view.show(h("span", null, "Order ", h("span", { class: "id" }, row.order_id), " ", modeChip(row.mode)),
    verdict(o.entitlement, row.mode, now, null),
    mismatch ? h("p", null, h("span", { class: "chip warn" }, "not as expected"), ` ${mismatch}`) : null,
    h("h2", null, "Its life"),
    h("div", { class: "sheet" }, redrawn(timeline(o, now)), legend(o, now)),
    h("h2", null, "What happened, and what it changed"),
    o.large ? h("p", { class: "dim" }, `The last ${o.events.length} events. There are too many to work out here what each changed; bagelpay.explain() says it, `
      + "and takes its time. Do purchases share this order’s id? It has to be unique to each.") : null,
    table("Events", o.large ? ["Happened", "Came", "Event", "Notes"]
      : [{ title: "No.", number: true }, "Happened", "Came", "Event", "Order / subscription after it", "What it changed"], eventRows(o)),
    h("div", { class: "columns" },
      h("section", null, h("h2", null, "Order"), h("div", { class: "sheet" }, facts([
        ["Status", row.status], ["Key", KEYS[row.key_source]],
        ["Customer", row.customer_email && id(row.customer_email)], ["Customer id", row.customer_id && id(row.customer_id)],
        ["Product", row.product_name], ["Amount", money(row.amount, row.currency)], ["Tax", money(row.tax_amount, row.currency)],
        ["Provider’s order", row.provider_order_id && id(row.provider_order_id)],
        ["Operator’s decision", row.decision && h("span", null, row.decision, row.decision !== "grant" ? null
          : row.granted_until ? [" until ", moment(row.granted_until, now)] : ", without end")],
        ["Conflict", row.conflict ? "its events name different customers" : null],
        ["Newest event", moment(row.updated_at, now)], ["Metadata", row.metadata && h("code", null, row.metadata)]]))),
      sub === null ? null : h("section", null, h("h2", null, "Subscription"), h("div", { class: "sheet" }, facts([
        ["Status", sub.status], ["Id", sub.subscription_id && id(sub.subscription_id)],
        ["Interval", sub.recurring_interval], ["Units", sub.units], ["Amount", money(sub.billing_amount, row.currency)],
        ["Trial ends", moment(o.trial?.to_at ?? sub.trial_end, now)], ["Period ends", moment(sub.billing_period_end, now)],
        ["Canceled", moment(sub.canceled_at, now)], ["Ends", moment(sub.ends_at, now)],
        ["Method", [sub.payment_method, sub.last4 && `… ${sub.last4}`].filter(Boolean).join(" ")]])))),
    o.payments.length === 0 ? null : [h("h2", null, "Payments"), onlyLast(o.payments, o.most),
      table("Payments", ["Payment", "Status", { title: "Amount", number: true }, { title: "Refunded", number: true }, "Paid", "Pays until"],
        o.payments.map((p) => h("tr", null,
          h("td", null, id(p.payment_id)),
          h("td", null, h("span", { class: `chip ${p.paid_at === null || !p.counts ? "bad" : "good"}` }, p.status.replace("_", " "))),
          h("td", { class: "number" }, money(p.amount, p.currency)),
          h("td", { class: "number" }, p.refunded_amount === "0" ? null : money(p.refunded_amount, p.currency)),
          h("td", { class: "time" }, p.paid_at && stamp(p.paid_at)),
          h("td", { class: "time" }, p.paid_until ? stamp(p.paid_until) : p.paid_at ? "no end" : null))))],
    o.refunds.length === 0 ? null : [h("h2", null, "Refunds"), onlyLast(o.refunds, o.most),
      table("Refunds", ["When", "Of payment", "Said to be", { title: "Amount", number: true }, "Event"],
        o.refunds.map((r) => h("tr", null,
          h("td", { class: "time" }, stamp(r.occurred_at)), h("td", null, r.payment_id === null ? "none that is known" : id(r.payment_id)),
          h("td", null, r.label), h("td", { class: "number" }, r.amount),
          h("td", null, h("a", { href: address.delivery(r.event_id), class: "id" }, r.event_id)))))]);
}
