// What several views show: moments, ids, links, verdicts, and what a person can do.

import { serverNow } from "./api.js";
import { h } from "./dom.js";
import { NAME_KINDS, whyMatched } from "./grouping.js";
import { onDatabase } from "./remedies.js";
import { visible } from "./text.js";
import { bothStamps, relative, shortStamp, stamp } from "./time.js";
import { KINDS, answer, period, why } from "./verdicts.js";

export const address = {
  delivery: (event) => "#/delivery/" + encodeURIComponent(event),
  order: (mode, order) => `#/order/${encodeURIComponent(mode)}/${encodeURIComponent(order)}`,
  customer: (kind, value) => `#/customer/${encodeURIComponent(kind)}/${encodeURIComponent(value)}`,
  find: (q) => "#/find?q=" + encodeURIComponent(q),
  letter: (number) => "#/dead-letter/" + encodeURIComponent(number),
};

const time = (at, text) => h("time", { datetime: at, title: bothStamps(at) }, text);

/** How far a moment is from now; it counts on by itself. */
const age = (at) => h("span", { class: "dim", "data-age": at }, ` (${relative(at, serverNow())})`);

/** Brings all ages that are shown up to date. */
export function showAges() {
  for (const element of document.querySelectorAll("[data-age]")) {
    const text = ` (${relative(element.getAttribute("data-age"), serverNow())})`;
    if (element.textContent !== text) element.textContent = text;
  }
}

/** A moment, and how far it is from now; null if there is none. */
export function moment(at) {
  return at ? h("span", null, time(at, stamp(at)), age(at)) : null;
}

/** A moment alone. */
export const plainMoment = (at) => (at ? time(at, stamp(at)) : null);

/** For lists: the day only where it is not today. */
export const listed = (at, now) => time(at, shortStamp(at, now));

/** A sentence of verdicts.js. */
export const told = (parts) => parts.map((part) => (typeof part === "string" ? part : moment(part.at)));

export const chip = (text, mood = "") => h("span", { class: `chip ${mood}` }, text);
export const modeChip = (mode) => (mode === null ? null : chip(mode, mode === "test" ? "muted" : ""));

/** The button that copies a text; main.js listens for all of them. */
export const copyButton = (text, what) => h("button", { type: "button", class: "copy", "data-copy": text, "aria-label": `Copy ${visible(what)}`, title: "Copy" });

/** An id to look at and to copy. */
export const id = (text) => (text ? h("span", { class: "id" }, text) : null);
export const copyable = (text, what = text) => (text ? [id(text), " ", copyButton(text, what)] : null);

const link = (href, text, more) => h("a", { href, class: "id", ...more }, text);
export const orderLink = (mode, order) => (order ? link(mode ? address.order(mode, order) : address.find(order), order) : null);
export const eventLink = (event) => (event ? link(address.delivery(event), event) : null);
export const foundLink = (text) => (text ? link(address.find(text), text) : null);

/** A customer by whatever is known of them: "email", "customer" or "user". */
export const customerLink = (kind, value) => (value ? link(address.customer(kind, value), value) : null);

/** The customer of a row, by e-mail if that is known. */
export const customerOf = (row) => (row.customer_email ? customerLink("email", row.customer_email) : customerLink("customer", row.customer_id));

export const productOf = (row) => row.product_name ?? (row.product_id ? id(row.product_id) : null);

function whatItIs(e) {
  if (e.kind === null) return null;
  return h("p", { class: "dim" }, e.product_name ?? "unknown product", e.product_id ? [" · ", id(e.product_id)] : null,
    " · ", e.units > 1 ? `${e.units} × ` : null, KINDS[e.kind],
    e.customer_email ? [" · ", customerLink("email", e.customer_email)] : null,
    e.customer_id && !e.customer_id.startsWith("email:") ? [" · customer ", customerLink("customer", e.customer_id)] : null,
    e.user_id ? [" · user ", customerLink("user", e.user_id)] : null);
}

/**
 * The verdict on an item.
 * @param {any} e an item of the API
 * @param {string} now
 * @param {{heading?: string, title?: any}} [shown] heading: h2 or h3, with the title, or else a link to the order
 * @param {any[]} more below it
 */
export function verdictCard(e, now, { heading, title } = {}, ...more) {
  const sentence = period(e, now);
  return h("section", { class: `sheet verdict ${e.entitled ? "yes" : ""} ${e.mode === "test" ? "muted" : ""}`,
    "data-key": JSON.stringify([e.mode, e.order_id, e.product_id, e.customer_id, e.customer_email, e.user_id]) },
    heading ? h(heading, null, title ?? orderLink(e.mode, e.order_id), " ", modeChip(e.mode)) : null,
    h("p", { class: "answer" }, answer(e)),
    h("p", { class: "why" }, told(why(e, now))),
    sentence.length > 0 ? h("p", null, told(sentence)) : null,
    e.mode === "test" ? h("p", { class: "dim" }, "A test purchase: it never entitles in live mode.") : null,
    e.names ? h("p", { class: "matched" }, "Found by ", whyMatched(e.names, now), ".") : null,
    whatItIs(e), ...more);
}

let database = "";

/** The name of the database, for commands, once it is known. */
export function setDatabase(name) {
  database = name;
}

/** What is to be done with a remedy: where to paste it. */
function where(remedy) {
  const name = database === "" ? "" : ` ${database}`;
  return /^(SELECT|UPDATE|INSERT) /.test(remedy.text) ? `In psql${name}, as a role that has ${remedy.as}.` : `In a shell, with a login that has ${remedy.as}.`;
}

/** A statement or command, for this database, with its button. */
export function command(what, given) {
  const text = onDatabase(given, database);
  return h("div", { class: "command" }, h("pre", { tabindex: "0", role: "group", "aria-label": what }, text), copyButton(text, what === "Remedy" ? "the remedy" : what));
}

/** One remedy: what it does, and the text to copy. */
export function remedyBlock(remedy) {
  return h("div", { class: "remedy", "data-key": remedy.text },
    h("p", null, h("strong", null, remedy.what), ". ", h("span", { class: "dim" }, where(remedy))),
    command(remedy.what, remedy.text));
}

/**
 * What a person can do, closed at first where it is not the point of the page.
 * @param {import("./remedies.js").Remedy[]} remedies
 * @param {{open?: boolean, title?: string}} [shown]
 */
export function whatYouCanDo(remedies, { open = false, title = "What you can do" } = {}) {
  if (remedies.length === 0) return null;
  return h("details", { class: "do", open },
    h("summary", null, title),
    h("p", { class: "dim" }, "This page cannot write. Read a statement before you run it; the decision is yours."),
    remedies.map(remedyBlock));
}

export const nameKind = (kind) => NAME_KINDS[kind] ?? kind;
