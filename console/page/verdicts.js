// Who is entitled and why, in words. A sentence is a list of texts and moments: the page shows moments in the chosen zone.

import { count } from "./text.js";
import { ms } from "./time.js";

/** @typedef {string | {at: string}} Part */

const MISMATCHES = {
  customer: "another customer", product: "another product", amount: "another amount", currency: "another currency",
};

export const KINDS = { one_time: "one-time purchase", subscription: "subscription" };

/**
 * The differences from the expected order, in words; null if nothing differs, or nothing was expected.
 * @param {string[] | null | undefined} mismatches
 */
export function problems(mismatches) {
  const found = (mismatches ?? []).filter((name) => name !== "unexpected");
  if (found.length === 0) return null;
  return found.includes("mode") ? "it was expected in the other mode" : `it has ${found.map((name) => MISMATCHES[name] ?? name).join(", ")}`;
}

const when = (/** @type {string} */ at) => ({ at });
const over = (iso, now) => iso !== null && ms(iso) <= ms(now);
const later = (a, b) => a !== null && (b === null || ms(a) > ms(b));
const same = (a, b) => a !== null && b !== null && ms(a) === ms(b);
const decided = (e, decision, now) => e.decisions.findLast((d) => d.decision === decision && !over(d.until, now));

/** The grant that was the last decision, if its end has passed. */
export function lapsed(e, now) {
  const last = e.decisions.at(-1);
  return last?.decision === "grant" && over(last.until, now) ? last : null;
}

/** What the time of a subscription that is not canceled rests on, and until when that lasts without grace. */
function basis(e) {
  const trial = e.paid_at === null || (e.status === "trialing" && !later(e.paid_until, e.trial_until));
  return { trial, end: (trial ? e.trial_until : e.paid_until) ?? e.valid_until };
}

function running(e, now) {
  const { trial, end } = basis(e);
  if (!over(end, now)) return [trial ? "The trial runs until " : "It is paid for until ", when(end), "."];
  return [trial ? "The trial ended on " : "What was paid for ended on ", when(end), trial ? ", and no payment has come" : ", and no later payment has come",
    ", but the grace period lasts until ", when(e.valid_until), "."];
}

// By reason, why somebody is entitled.
const YES = {
  paid: () => ["It was bought and paid for; a purchase has no end."],
  partially_refunded: () => ["It was paid for. Some of the money went back, which does not end it."],
  disputed: () => ["The customer disputes the payment, but by the settings a disputed payment counts."],
  granted: (e, now) => ["An operator granted it on ", when(decided(e, "grant", now).at), "."],
  trialing: running,
  active: running,
  past_due: (e, now) => ["A charge has failed. ", ...running(e, now)],
  canceling(e) {
    if (same(e.paid_until, e.valid_until)) return ["It is canceled, but what was paid for lasts until ", when(e.valid_until), "."];
    if (e.paid_at === null && same(e.trial_until, e.valid_until)) return ["The trial is canceled, but runs to its end on ", when(e.valid_until), "."];
    return ["It is canceled, and ends on ", when(e.valid_until), "."];
  },
};

function expired(e) {
  const { trial, end } = basis(e);
  return [e.status === "past_due" ? "A charge has failed. " : "", trial ? "The trial ended on " : "What was paid for ended on ", when(end),
    trial ? ", and no payment has come." : ", and no later payment has come."];
}

function canceled(e) {
  const end = e.valid_until;
  if (e.kind !== "subscription") return ["The checkout was canceled, and nothing has been paid."];
  if (end === null) return ["The subscription was canceled as it began."];
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

const takenBack = (e) => (e.taken_back_at ? [" on ", when(e.taken_back_at)] : []);

// And why nobody is.
const NO = {
  revoked: (e, now) => ["An operator revoked it on ", when(decided(e, "revoke", now).at), "."],
  unconfirmed: (e) => ["By the settings only expected orders entitle, and this one ",
    problems(e.mismatches) === null ? "was not expected." : `is not as expected: ${problems(e.mismatches)}.`],
  not_yet: () => ["It begins later."],
  expired,
  canceled,
  refunded: (e) => ["The money went back to the customer", ...takenBack(e), "."],
  disputed: (e) => ["The customer disputed the payment", ...takenBack(e), ", and by the settings that takes access away."],
  failed: () => ["The payment has failed, and no other has succeeded."],
  pending: () => ["No payment and no trial have come so far."],
};

/**
 * Why somebody is, or is not, entitled.
 * @param {any} e an item of the API
 * @param {string} now
 * @returns {Part[]}
 */
export function why(e, now) {
  const tell = Object.entries(e.entitled ? YES : NO).find(([reason]) => reason === e.reason)?.[1];
  const told = (tell ? tell(e, now) : [`Nothing of it was bought; the order is ${e.reason}.`]).filter((part) => part !== "");
  const grant = lapsed(e, now);
  return e.entitled || !grant ? told : ["An operator’s grant of ", when(grant.at), " ended on ", when(grant.until), ". ", ...told];
}

/** When it begins or began, and when it ends or ended. */
function bounds(e, now) {
  // The window that is open, or the last one that was: what a grant gave after its end is another one.
  const current = e.access.find(([from, to]) => over(from, now) && !over(to, now))
    ?? e.access.findLast(([from]) => over(from, now) && (e.valid_until === null || ms(from) < ms(e.valid_until)));
  const grace = ["trialing", "active", "past_due", "expired"].includes(e.reason) && later(e.valid_until, basis(e).end) ? ", grace period included" : "";
  return { from: e.valid_from && when(current?.[0] ?? e.valid_from), until: e.valid_until && when(e.valid_until), grace };
}

/**
 * From when until when, as one sentence; empty if there is nothing to say.
 * @param {any} e an item of the API
 * @param {string} now
 * @returns {Part[]}
 */
export function period(e, now) {
  const { from, until, grace } = bounds(e, now);
  if (e.reason === "granted") return until ? ["Until ", until, "."] : ["Without end."];
  if (e.entitled) return ["Since ", from, ...(until ? [", until ", until, `${grace}.`] : [", without end."])];
  if (e.reason === "not_yet") return ["It begins on ", from, ...(until ? [" and ends on ", until] : []), "."];
  if (until) return [lapsed(e, now) ? "Without the grant it lasted from " : "It lasted from ", from, " until ", until, `${grace}.`];
  // What takes everything away, whatever was paid for or tried.
  if (e.paid_at) return ["It was first paid for on ", when(e.paid_at), "."];
  return e.trial_until && from ? ["Its trial began on ", from, "."] : [];
}

/** @param {any} e an item of the API */
export function answer(e) {
  if (!e.entitled) return "Not entitled";
  return e.mode === "test" ? "Entitled in test mode only" : "Entitled";
}

/**
 * How many exact matches give access; null if there is one match, which says so itself. If not all matches were judged,
 * nothing is said that the others could make untrue.
 * @param {{cut: boolean, entitled: number, exact: number, live: number}} found
 */
export function summary({ cut, entitled, exact, live }) {
  if (cut) {
    const known = entitled > 0 ? `at least ${entitled} live ones entitle` : "none of those entitles";
    return `Only ${exact} of the exact matches were looked at: ${known}. bagelpay.is_entitled() looks at all.`;
  }
  if (exact < 2) return null;
  if (live === 0) return `${exact === 2 ? "Both" : `All ${exact}`} are test purchases, which never entitle in live mode.`;
  return entitled > 0 ? `Entitled by ${count(entitled)} of ${count(live)} live matches.` : `Not entitled by any of ${count(live)} live matches.`;
}

/**
 * The next moment at which the verdict of an item changes by the clock alone, in milliseconds; Infinity if there is none.
 * @param {any[]} items
 * @param {string} now
 */
export function nextChange(items, now) {
  const moments = items.flatMap((e) => [...e.access.flat(), e.valid_until, ...e.decisions.map((d) => d.until)]);
  return Math.min(Infinity, ...moments.filter((at) => at && ms(at) > ms(now)).map((at) => ms(at)));
}
