// Who is entitled and why, in words.

import { address, h, id } from "./dom.js";
import { moment, ms } from "./moments.js";

const MISMATCHES = {
  customer: "another customer", product: "another product", amount: "another amount", currency: "another currency",
};

export const KINDS = { one_time: "one-time purchase", subscription: "subscription" };

// The differences from the expected order, in words; null if nothing does, or nothing was expected.
export function problems(mismatches) {
  const found = (mismatches ?? []).filter((name) => name !== "unexpected");
  if (found.length === 0) return null;
  return found.includes("mode") ? "it was expected in the other mode" : `it has ${found.map((name) => MISMATCHES[name] ?? name).join(", ")}`;
}

const over = (iso, now) => iso !== null && ms(iso) <= ms(now);
const later = (a, b) => a !== null && (b === null || ms(a) > ms(b));
const same = (a, b) => a !== null && b !== null && ms(a) === ms(b);
const decided = (e, decision, now) => e.decisions.findLast((d) => d.decision === decision && !over(d.until, now));

// The grant that was the last decision, if its end has passed.
function lapsed(e, now) {
  const last = e.decisions.at(-1);
  return last?.decision === "grant" && over(last.until, now) ? last : null;
}

// What the time of a subscription that is not canceled rests on, and until when that lasts without grace.
function basis(e) {
  const trial = e.paid_at === null || (e.status === "trialing" && !later(e.paid_until, e.trial_until));
  return { trial, end: (trial ? e.trial_until : e.paid_until) ?? e.valid_until };
}

// By reason, why somebody is entitled: text, and moments as when() shows them.
const YES = {
  paid: () => "It was bought and paid for; a purchase has no end.",
  partially_refunded: () => "It was paid for. Some of the money went back, which does not end it.",
  disputed: () => "The customer disputes the payment, but by the settings a disputed payment counts.",
  granted: (e, when, now) => ["An operator granted it on ", when(decided(e, "grant", now).at), "."],
  trialing: running,
  active: running,
  past_due: (e, when, now) => ["A charge has failed. ", running(e, when, now)],
  canceling(e, when) {
    if (same(e.paid_until, e.valid_until)) return ["It is canceled, but what was paid for lasts until ", when(e.valid_until), "."];
    if (e.paid_at === null && same(e.trial_until, e.valid_until)) return ["The trial is canceled, but runs to its end on ", when(e.valid_until), "."];
    return ["It is canceled, and ends on ", when(e.valid_until), "."];
  },
};

function running(e, when, now) {
  const { trial, end } = basis(e);
  if (!over(end, now)) return [trial ? "The trial runs until " : "It is paid for until ", when(end), "."];
  return [trial ? "The trial ended on " : "What was paid for ended on ", when(end), trial ? ", and no payment has come" : ", and no later payment has come",
    ", but the grace period lasts until ", when(e.valid_until), "."];
}

// And why nobody is.
const NO = {
  revoked: (e, when, now) => ["An operator revoked it on ", when(decided(e, "revoke", now).at), "."],
  unconfirmed: (e) => ["By the settings only expected orders entitle, and this one ",
    problems(e.mismatches) === null ? "was not expected." : ["is not as expected: ", problems(e.mismatches), "."]],
  not_yet: () => "It begins later.",
  expired(e, when) {
    const { trial, end } = basis(e);
    return [e.status === "past_due" ? "A charge has failed. " : null, trial ? "The trial ended on " : "What was paid for ended on ", when(end),
      trial ? ", and no payment has come." : ", and no later payment has come."];
  },
  canceled,
  refunded: (e, when) => ["The money went back to the customer", e.taken_back_at ? [" on ", when(e.taken_back_at)] : null, "."],
  disputed: (e, when) => ["The customer disputed the payment", e.taken_back_at ? [" on ", when(e.taken_back_at)] : null,
    ", and by the settings that takes access away."],
  failed: () => "The payment has failed, and no other has succeeded.",
  pending: () => "No payment and no trial have come so far.",
};

function canceled(e, when) {
  const end = e.valid_until;
  if (e.kind !== "subscription") return "The checkout was canceled, and nothing has been paid.";
  if (end === null) return "The subscription was canceled as it began.";
  if (e.paid_at === null) {
    if (later(e.trial_until, end)) return ["The trial was canceled, which ended it on ", when(end), "; it would have run until ", when(e.trial_until), "."];
    return [same(e.trial_until, end) ? "The trial was canceled, and ended on " : "It was canceled before anything was paid, and ended on ", when(end), "."];
  }
  if (same(e.paid_until, end)) return ["It was canceled, and what was paid for ended on ", when(end), "."];
  if (later(e.paid_until, end)) {
    return ["It was canceled, which by the settings ended it on ", when(end), ", although it was paid for until ", when(e.paid_until), "."];
  }
  return ["It was canceled, and ended on ", when(end), "."];
}

// Why somebody is, or is not, entitled, as what a paragraph is made of.
function why(e, now) {
  const tell = Object.entries(e.entitled ? YES : NO).find(([reason]) => reason === e.reason)?.[1];
  const when = (iso) => moment(iso, now);
  const told = tell ? tell(e, when, now) : `Nothing of it was bought; the order is ${e.reason}.`;
  const grant = lapsed(e, now);
  return e.entitled || !grant ? told : ["An operator’s grant of ", when(grant.at), " ended on ", when(grant.until), ". ", told];
}

export function modeChip(mode) {
  return mode === null ? null : h("span", { class: mode === "test" ? "chip warn" : "chip" }, mode);
}

// From when until when, as one sentence.
function period(e, now) {
  const current = e.access.find(([from, to]) => over(from, now) && !over(to, now));
  const from = e.valid_from && moment(current?.[0] ?? e.valid_from, now);
  const until = e.valid_until && moment(e.valid_until, now);
  const grace = ["trialing", "active", "past_due", "expired"].includes(e.reason) && later(e.valid_until, basis(e).end) ? ", grace period included" : null;
  if (e.reason === "granted") return h("p", null, until ? ["Until ", until] : "Without end", ".");
  if (e.entitled) return h("p", null, "Since ", from, until ? [", until ", until, grace] : ", without end", ".");
  if (e.reason === "not_yet") return h("p", null, "It begins on ", from, until ? [" and ends on ", until] : null, ".");
  if (until) return h("p", null, lapsed(e, now) ? "Without the grant it lasted from " : "It lasted from ", from, " until ", until, grace, ".");
  // What takes everything away, whatever was paid for or tried.
  if (e.paid_at) return h("p", null, "It was first paid for on ", moment(e.paid_at, now), ".");
  return e.trial_until && from ? h("p", null, "Its trial began on ", from, ".") : null;
}

// The verdict on an item, as the API has it. heading: h2 or h3, with a link to the order, or null on the order's own page.
export function verdict(e, now, heading) {
  return h("section", { class: e.entitled ? "sheet verdict yes" : "sheet verdict" },
    heading ? h(heading, null,
      h("a", { href: address.order(e.mode, e.order_id), class: "id" }, e.order_id), " ", modeChip(e.mode)) : null,
    h("p", { class: "answer" }, e.entitled ? "Entitled" : "Not entitled"),
    h("p", { class: "why" }, why(e, now)),
    period(e, now),
    e.mode === "test" ? h("p", { class: "dim" }, "A test purchase: it never entitles in live mode.") : null,
    e.kind === null ? null : h("p", { class: "dim" }, e.product_name ?? "unknown product", e.product_id ? [" · ", id(e.product_id)] : null,
      " · ", e.units > 1 ? `${e.units} × ` : null, KINDS[e.kind],
      e.customer_email ? [" · ", h("span", { class: "id" }, e.customer_email)] : null,
      e.customer_id ? [" · customer ", id(e.customer_id)] : null,
      e.user_id ? [" · user ", id(e.user_id)] : null));
}
