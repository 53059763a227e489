// What belongs together, and how it is called: matches, attention, deliveries.

import { count, counted } from "./text.js";
import { dayInWords, ms } from "./time.js";

/** The name of each kind of name. */
export const NAME_KINDS = {
  order: "order", event: "event", payment: "payment", provider_order: "BagelPay’s order number", subscription: "subscription",
  processor_subscription: "the card processor’s subscription", request: "request", user: "user", customer: "customer", email: "e-mail address",
};

/**
 * Why an item matched: "payment ch_1; former e-mail address a@example.com until 12 May".
 * @param {{kind: string, value: string, until?: string | null, former?: boolean}[]} names
 * @param {string} now
 */
export function whyMatched(names, now) {
  return names.map(({ kind, value, until, former }) => {
    const name = NAME_KINDS[kind] ?? kind;
    if (!former) return `${name} ${value}`;
    return `former ${name} ${value}${until ? `, until ${dayInWords(until, now)}` : ""}`;
  }).join("; ");
}

/**
 * Live items, and test ones, which never entitle in live mode.
 * @template {{mode: string}} T
 * @param {T[]} items
 */
export const byMode = (items) => ({ live: items.filter((e) => e.mode !== "test"), test: items.filter((e) => e.mode === "test") });

/** What each kind of attention is about. A kind that is not here shows under its own name. */
const ATTENTION = {
  conflict: "Several customers under one order id", reused_key: "An order id that is used for everything", unconfirmed: "Paid, but not as expected",
  unmatched: "Events that name no order", open_dispute: "Open disputes", possible_dispute: "Possible disputes",
  paid_but_revoked: "Paid for, but revoked", payment_mismatch: "Events of one payment that do not agree",
  refund_without_payment: "Refunds of an unknown payment", double_subscription: "Two subscriptions at once",
  no_period: "Subscriptions without a period", no_product: "Purchases without a product", no_customer: "Purchases without a customer",
  unknown_billing_type: "Payments that may be subscriptions", ignored_type: "Events of an unknown type", dead_letter: "Open dead letters",
  wrong_zone: "Times in another zone", drift: "Differences from what BagelPay lists",
};

/** @param {string} kind */
export const attentionTitle = (kind) => ATTENTION[kind] ?? kind.replaceAll("_", " ");

/**
 * The rows by kind, the kind with the newest row first.
 * @template {{kind: string, since: string | null}} T
 * @param {T[]} rows
 * @returns {[string, T[]][]}
 */
export function byKind(rows) {
  /** @type {Map<string, T[]>} */
  const groups = new Map();
  for (const row of rows) groups.set(row.kind, [...(groups.get(row.kind) ?? []), row]);
  return [...groups];
}

/**
 * What is unusual about a delivery, to be said in the list; an applied event that came once is not.
 * @param {any} r
 * @returns {{text: string, mood: string}[]}
 */
export function unusual(r) {
  const found = [];
  if (r.outcome !== "applied") found.push({ text: r.outcome.replace("_", " "), mood: { dead_letter: "bad", unmatched: "warn" }[r.outcome] ?? "" });
  if (r.resolved) found.push({ text: "resolved", mood: "good" });
  if (r.warnings.length > 0) found.push({ text: counted(r.warnings.length, "warning"), mood: "warn" });
  if (r.mode === "test") found.push({ text: "test", mood: "" });
  return found;
}

/** Newest first; among those of one moment, as the server has them. */
export function newestFirst(a, b) {
  if (a.at !== b.at) return ms(b.at) - ms(a.at) || (a.at < b.at ? 1 : -1);
  return a.id < b.id ? 1 : -1;
}

/**
 * What a filter leaves out, as a sentence; null if nothing.
 * @param {number} letters
 */
export function hidden(letters) {
  if (letters === 0) return null;
  return letters > 1000 ? "More than 1,000 dead letters are not shown." : `${counted(letters, "dead letter")} ${letters === 1 ? "is" : "are"} not shown.`;
}

/** @param {number} number */
export const newOnes = (number) => `${count(number)} new`;
