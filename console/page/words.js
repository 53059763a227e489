// Who is entitled and why, in words.

import { address, h, id } from "./dom.js";
import { moment } from "./moments.js";

// By reason, why somebody is, or is not.
const YES = {
  paid: "It was bought and paid for; a purchase has no end.",
  partially_refunded: "It was paid for. Some of the money went back, which does not end it.",
  disputed: "The customer disputes the payment, but by the settings a disputed payment counts.",
  trialing: "The trial is running.",
  active: "The subscription is paid for.",
  past_due: "A charge has failed, but what was paid for, or the trial, is not over yet.",
  canceling: "The subscription is canceled, but what was paid for is not over yet.",
  granted: "An operator has granted it.",
};
const NO = {
  revoked: "An operator has revoked it.",
  ambiguous: "Its events name different customers, so nobody knows whose it is. A grant, or an order_key that is unique, mends that.",
  unconfirmed: "By the settings only expected orders entitle, and this one was not expected, or differs from what was.",
  not_yet: "It begins later.",
  expired: "What was paid for, or the trial, is over, and no later payment has come.",
  canceled: "It was canceled, and what was paid for is over.",
  refunded: "The money went back to the customer.",
  partially_refunded: "No payment of it counts any more.",
  disputed: "The customer disputes the payment, and by the settings that takes access away.",
  failed: "The payment has failed, and no other has succeeded.",
  pending: "No payment and no trial have come so far.",
  trialing: "No trial or payment that counts is known.",
};
const PROBLEMS = {
  customer: "another customer", product: "another product", amount: "another amount", currency: "another currency",
  unexpected: "it was not expected", mode: "it was expected in the other mode",
};

export const KINDS = { one_time: "one-time purchase", subscription: "subscription" };

export function why(e) {
  return (e.entitled ? YES : NO)[e.reason] ?? `Its status is ${e.reason}.`;
}

// What differs from what an application expected, in words; null where nothing does.
export function problems(expected) {
  const found = (expected?.mismatches ?? []).filter((name) => name !== "unexpected" || expected.expected);
  return found.length === 0 ? null : found.map((name) => PROBLEMS[name] ?? name).join(", ");
}

export function modeChip(mode) {
  return mode === null ? null : h("span", { class: mode === "test" ? "chip warn" : "chip" }, mode);
}

// From when until when, as one sentence.
function period(e, now) {
  if (!e.valid_from && !e.valid_until) return null;
  const past = e.valid_until && new Date(e.valid_until) <= new Date(now);
  const until = e.valid_until ? moment(e.valid_until, now) : null;
  if (!e.valid_from) return h("p", null, past ? "It ended on " : "Until ", until, ".");
  const from = moment(e.valid_from, now);
  if (past) return h("p", null, "It lasted from ", from, " until ", until, ".");
  if (e.reason === "not_yet") return h("p", null, "It begins on ", from, until ? [" and ends on ", until] : null, ".");
  if (!e.entitled && !until) return h("p", null, "It began on ", from, ".");
  return h("p", null, "Since ", from, until ? [", until ", until] : e.entitled ? ", without end" : null, ".");
}

// One order's verdict. heading: h2 or h3, with a link to the order, or null on its own page.
export function verdict(e, mode, now, heading) {
  return h("section", { class: e.entitled ? "sheet verdict yes" : "sheet verdict" },
    heading ? h(heading, null,
      h("a", { href: address.order(mode, e.order_id), class: "id" }, e.order_id), " ", modeChip(mode)) : null,
    h("p", { class: "answer" }, e.entitled ? "Entitled" : "Not entitled"),
    h("p", null, why(e)),
    period(e, now),
    mode === "test" ? h("p", { class: "dim" }, "A test purchase: it never entitles in live mode.") : null,
    h("p", { class: "dim" }, e.product_name ?? "unknown product", e.product_id ? [" · ", id(e.product_id)] : null,
      " · ", e.units > 1 ? `${e.units} × ` : null, KINDS[e.kind] ?? e.kind,
      e.customer_email ? [" · ", h("span", { class: "id" }, e.customer_email)] : null,
      e.customer_id ? [" · customer ", id(e.customer_id)] : null));
}
