// From whatever a customer quotes to who is entitled.

import { Refusal, ask } from "./api.js";
import { empty, h, section } from "./dom.js";
import { byMode } from "./grouping.js";
import { address, chip, copyButton, customerLink, eventLink, id, listed, modeChip, verdictCard, whatYouCanDo } from "./parts.js";
import { grantStatement, neverCame, redriveOne, remediesOf } from "./remedies.js";
import { cleaned, isAddress, searchProblem } from "./search_input.js";
import { counted } from "./text.js";
import { nextChange, summary } from "./verdicts.js";

const newest = (rows, more) => (more ? `the newest ${rows.length}; there are more` : rows.length);

/** Events without an order, and dead letters, that carry a name. */
export function loosePart({ events, dead_letters: letters, more_events, more_dead_letters }, now) {
  return [
    letters.length === 0 ? null : section(`Dead letters (${newest(letters, more_dead_letters)})`, h("ul", { class: "stack plain" }, letters.map((d) => h("li", { class: "sheet", "data-key": d.id },
      h("p", null, h("a", { href: address.letter(d.id) }, `Dead letter ${d.id}`), ", received ", listed(d.received_at, now), ": ", chip(d.reason, "bad"), " ", d.detail),
      whatYouCanDo([redriveOne(d.id)]))))),
    events.length === 0 ? null : section(`Events without an order (${newest(events, more_events)})`, h("ul", { class: "stack plain" }, events.map((e) => h("li", { class: "sheet", "data-key": e.event_id },
      eventLink(e.event_id), ` ${e.event_type}, received `, listed(e.received_at, now), ": ", chip(e.outcome, "warn"), " ", e.mode === "test" ? modeChip(e.mode) : null)))),
  ];
}

function expectedPart({ expected, more_expected }) {
  return expected.length === 0 ? null : section(more_expected ? `Expected, but not paid (${expected.length}; there are more)` : "Expected, but not paid", h("ul", { class: "stack plain" }, expected.map((x) => h("li", { class: "sheet" },
    `Your application expected the order `, x.kind === "order" ? id(x.value) : "of ", x.kind === "order" ? null : id(x.value), x.product_id ? [" of ", id(x.product_id)] : null,
    ". No event of it was received: the customer has not paid, or BagelPay’s webhook did not come."))));
}

/** That what follows only begins with what was searched for. */
function begun(found, q) {
  if (!found.begins) return null;
  return h("p", null, found.many ? `Many names begin with “${q.replace(/\*+$/, "")}”, and not all of them may be here: type more.`
    : q.endsWith("*") ? "These begin so:" : "Nothing matches exactly. These begin so:");
}

/** What there is to say and to do when a name is not known. */
export function nothingFound(q, found) {
  const nothing = found.loose.events.length + found.loose.dead_letters.length + found.expected.length === 0;
  const grant = { what: "If they did pay: give access until it is cleared up", as: "bagelpay_app",
    text: grantStatement({ order_id: `support:${new Date().toISOString().slice(0, 10)}:${q}`, customer_email: isAddress(q) ? q : "customer@example.com", product_id: "prod_id", mode: "live" }) };
  return [
    nothing ? null : begun(found, q),
    nothing ? empty(h("p", null, "No results for ", id(q), "."),
      h("p", null, "No order, payment or customer that was received has this name. Either it is mistyped, or BagelPay’s webhook for it never came."),
      h("p", { class: "dim" }, "You can search for order, event, payment, subscription, request, customer and user ids, BagelPay’s order numbers, e-mail addresses (also former ones), and the beginning of these.")) : null,
    expectedPart(found), loosePart(found.loose, found.now),
    whatYouCanDo([...neverCame(), grant], { open: true, title: "If it should be here" })];
}

function itemCards(items, now) {
  return h("div", { class: "stack" }, items.map((e) => verdictCard(e, now, { heading: "h2" }, whatYouCanDo(remediesOf(e, [])))));
}

/** More rows below those that are shown. */
async function more(view, button) {
  button.setAttribute("aria-disabled", "true");
  try {
    const shown = view.data.items.length;
    const answer = await ask("search", { q: view.q, skip: shown }, view.signal);
    view.recovered();
    view.data = { ...view.data, items: [...view.data.items, ...answer.items], more: answer.more };
    view.render();
    // Who goes on with the keyboard goes on where what is new begins.
    /** @type {HTMLElement} */ (document.querySelectorAll(".verdict h2 a")[shown])?.focus();
  } catch (error) {
    if (view.signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    view.failed(error, false);
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

// Once it is there it stays, so that it may know nothing but the view.
const moreButton = (view) => h("div", { class: "more" }, h("button", { type: "button", click: (event) => more(view, event.currentTarget) }, "More"));

/** The customer whom all that was found belongs to, as a link to their page. */
function customerPage(found) {
  const names = new Set(found.items.flatMap((e) => e.names).filter((n) => ["email", "customer", "user"].includes(n.kind)).map((n) => `${n.kind} ${n.value}`));
  const exact = names.size === 1 && !found.begins ? [...names][0] : null;
  if (exact === null) return null;
  const kind = exact.split(" ", 1)[0];
  const value = exact.slice(kind.length + 1);
  return h("p", null, "All that is known of this ", kind === "user" ? "user" : "customer", ": ", customerLink(kind, value), ".");
}

function renderFound(found, view) {
  const { event, items, now } = found;
  const said = found.begins ? null : summary(found);
  if (items.length === 0) {
    return [event ? h("p", null, "There is an event of this id: ", eventLink(event), ". It belongs to no order.") : null, nothingFound(view.q, found)];
  }
  const { live, test } = byMode(items);
  return [
    event ? h("p", null, "There is an event of this id: ", eventLink(event)) : null,
    said ? h("p", null, h("strong", null, said)) : null,
    begun(found, view.q),
    customerPage(found),
    itemCards(live, now),
    test.length === 0 ? null : section(`Test purchases${live.length > 0 ? "" : " only"} (${counted(test.length, "match", "matches")})`, itemCards(test, now)),
    found.more ? moreButton(view) : null,
    expectedPart(found), loosePart(found.loose, now)];
}

const known = (found) => found.event || (!found.begins && found.items.length + found.loose.events.length + found.loose.dead_letters.length + found.expected.length > 0);

/** Exactly what was asked for, if that is known; else what is left of it without what is around it. */
async function search(view) {
  const exact = (view.parameters.get("q") ?? "").trim();
  if (exact !== view.q && searchProblem(exact) === null) {
    const found = await ask("search", { q: exact }, view.signal);
    if (known(found)) {
      view.q = exact;
      view.retitle(...searched(view));
      return found;
    }
  }
  return ask("search", { q: view.q }, view.signal);
}

const searched = (view) => ["Results for ", id(view.q), view.q === "" ? null : copyButton(view.q, "what you searched for")];

/** @type {import("./view.js").Definition} */
export const findView = {
  title: (view) => {
    view.q = cleaned(view.parameters.get("q") ?? "");
    return searched(view);
  },
  problem: (view) => searchProblem(view.q),
  async load(view) {
    const found = await search(view);
    // As many as were shown.
    while (view.data !== null && found.more && found.items.length < view.data.items.length) {
      const next = await ask("search", { q: view.q, skip: found.items.length }, view.signal);
      found.items.push(...next.items);
      found.more = next.more;
    }
    return found;
  },
  render: renderFound,
  changes: (found) => nextChange(found.items, found.now),
  every: 10000,
};

