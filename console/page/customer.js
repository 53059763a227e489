// One customer, by customer id, user or e-mail: what they may use and why, and all that is known of them.

import { Refusal, ask } from "./api.js";
import { attentionGroups } from "./attention.js";
import { drawn, empty, h, section, table } from "./dom.js";
import { byMode } from "./grouping.js";
import { chip, copyButton, customerLink, eventLink, id, listed, modeChip, nameKind, orderLink, plainMoment, productOf, verdictCard } from "./parts.js";
import { itemRemedies, otherTables, paymentTable } from "./order.js";
import { loosePart, nothingFound } from "./find.js";
import { capital, counted, money } from "./text.js";
import { customerTimeline } from "./timeline.js";
import { nextChange } from "./verdicts.js";

const CUSTOMER_KINDS = ["customer", "user", "email"];
const NEEDS_EVERY_MS = 60000;

/** What needs a person of the customer of a view, and when it was asked for. @type {WeakMap<any, {answer: any, at: number}>} */
const needs = new WeakMap();

function nameTable(names) {
  return section("Addresses and ids", table("Addresses and ids", ["Name", "Value", "First seen", "Last seen"], names.map((n) => h("tr", null,
    h("td", null, capital(nameKind(n.kind))), h("td", null, customerLink(n.kind, n.value), " ", copyButton(n.value, n.value)),
    h("td", { class: "time" }, plainMoment(n.first)), h("td", { class: "time" }, plainMoment(n.last)))), { class: "names" }));
}

function orderTable(orders) {
  return section("Orders", table("Orders", ["Order", "Status", "Product", { title: "Amount", number: true }, "BagelPay’s order", "Newest event"], orders.map((o) => h("tr", null,
    h("td", null, orderLink(o.mode, o.order_id), " ", o.mode === "test" ? modeChip(o.mode) : null), h("td", null, o.status, o.conflict ? [" ", chip("several customers", "warn")] : null),
    h("td", null, productOf(o)), h("td", { class: "number" }, money(o.amount, o.currency)), h("td", null, id(o.provider_order_id)),
    h("td", { class: "time" }, plainMoment(o.updated_at))))));
}

function customerEvents(c) {
  return section("Events", c.events.length < c.most_events ? null : h("p", { class: "dim" }, `The last ${c.most_events}.`),
    table("Events", ["Occurred", "Received", "Event", "Product", { title: "Amount", number: true }, "Payment", "Order"],
      [...c.events].reverse().map((e) => h("tr", null,
        h("td", { class: "time" }, listed(e.occurred_at, c.now)), h("td", { class: "time" }, listed(e.received_at, c.now)),
        h("td", { class: "type" }, eventLink(e.event_id), h("div", { class: "small" }, e.event_type)),
        h("td", null, productOf(e)), h("td", { class: "number" }, money(e.refund_amount ?? e.amount, e.currency)),
        h("td", null, id(e.payment_id)), h("td", null, orderLink(e.mode, e.order_id))))));
}

function verdicts(c) {
  const card = (e) => verdictCard(e, c.now, { heading: "h2", title: e.kind === null ? null : e.product_name ?? e.product_id ?? "Unknown product" },
    h("p", { class: "dim" }, "Order ", orderLink(e.mode, e.order_id)), itemRemedies(c, e, false));
  const { live, test } = byMode(c.items);
  return [h("div", { class: "stack" }, live.map(card)),
    test.length === 0 ? null : section(`Test purchases (${test.length}), which never entitle in live mode`, h("div", { class: "stack" }, test.map(card)))];
}

function renderCustomer(c, view) {
  if (c.missing) return c.missing;
  const { rows, kinds } = needs.get(view)?.answer ?? { rows: [], kinds: [] };
  return [
    c.items.length < c.most_items ? null : h("p", { class: "dim" }, `${counted(c.items.length, "product")}; there may be more. bagelpay.is_entitled() looks at all.`),
    c.items.length === 0 ? empty("Nothing was bought or granted.") : verdicts(c),
    rows.length === 0 ? null : h("section", { class: "needs" }, h("h2", null, "Needs a person"), attentionGroups(rows, kinds)),
    c.items.some((e) => e.kind !== null) ? section("Windows and access", h("div", { class: "sheet" }, drawn(customerTimeline(c)),
      h("p", { class: "legend" }, h("span", { class: "trial" }, "trial"), h("span", { class: "paid" }, "paid time (dashed: does not count)"), h("span", { class: "entitled" }, "access"),
        "C: cancellation, R: refund, D: dispute."))) : null,
    nameTable(c.names), paymentTable(c.purchases, 500, true), otherTables(c, 500), orderTable(c.orders), customerEvents(c), loosePart(c.loose, c.now)];
}

/** Asks what needs a person, now and then, and shows it when it is there: a long list takes the database long. */
async function lookAtNeeds(view) {
  const [kind, value] = view.rest;
  const before = needs.get(view);
  if (before && Date.now() - before.at < NEEDS_EVERY_MS) return;
  needs.set(view, { answer: before?.answer ?? null, at: Date.now() });
  try {
    needs.set(view, { answer: await ask("customer-attention", { kind, value }, view.signal), at: Date.now() });
    view.render();
  } catch (error) {
    // The rest is shown without it.
    if (!view.signal.aborted && !(error instanceof Refusal)) throw error;
  }
}

async function loadCustomer(view) {
  const [kind, value] = view.rest;
  const c = await ask("customer", { kind, value }, view.signal);
  if (c.orders.length === 0) {
    const found = await ask("search", { q: value }, view.signal);
    return { now: found.now, items: [], missing: nothingFound(value, found) };
  }
  lookAtNeeds(view);
  return c;
}

/** @type {import("./view.js").Definition} */
export const customerView = {
  title: (view) => [capital(view.rest[0] === "email" ? "Customer" : view.rest[0] ?? "Customer"), " ", id(view.rest[1] ?? "")],
  problem: ({ rest: [kind, value] }) => (CUSTOMER_KINDS.includes(kind) && (value ?? "").trim() !== "" ? null : "This address names no customer."),
  load: loadCustomer,
  render: renderCustomer,
  changes: (c) => nextChange(c.items, c.now),
  every: 10000,
};
