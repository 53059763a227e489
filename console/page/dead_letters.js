// Dead letters: the list, and one of them with the event that it conflicts with.

import { ask } from "./api.js";
import { bodyText, oddBody } from "./body.js";
import { empty, facts, h, section, table } from "./dom.js";
import { isJson, differences } from "./json_text.js";
import { address, chip, copyable, customerLink, eventLink, foundLink, id, listed, moment, whatYouCanDo } from "./parts.js";
import { dismissal, redriveAll, redriveOne } from "./remedies.js";
import { bytes, count, times } from "./text.js";

const LETTER_REASONS = {
  invalid: "It is correctly signed, but not a valid event.", conflict: "Another event with the same event id was stored before.",
  database: "PostgreSQL rejects its content.", mode: "The secret that it is signed with does not cover its mode.",
};

function letterRow(d, now) {
  return h("tr", { "data-key": d.id },
    h("td", { class: "number" }, h("a", { href: address.letter(d.id), "aria-label": `Dead letter ${d.id}` }, d.id)),
    h("td", { class: "time" }, listed(d.received_at, now), d.deliveries > 1 ? h("span", { class: "dim small" }, ` delivered ${times(d.deliveries)}`) : null),
    h("td", null, chip(d.reason, "bad"), " ", h("span", { class: "small" }, d.detail)),
    h("td", null, customerLink("email", d.customer_email)),
    h("td", null, foundLink(d.order_id)),
    h("td", null, d.event_id === null ? null : d.reason === "conflict" ? eventLink(d.event_id) : id(d.event_id)),
    h("td", null, d.resolved_at ? chip("resolved", "good") : null));
}

const openOnly = (view) => view.parameters.get("resolved") !== "true";

const lettersAddress = (parameters) => {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value)).toString();
  return `#/dead-letters${query ? `?${query}` : ""}`;
};

/** The search form. A refresh keeps the form and the text in it, so the form depends on the view alone. */
function letterSearch(view) {
  return h("form", { class: "filters", role: "search", "aria-label": "Search dead letters", submit: (event) => {
    event.preventDefault();
    window.location.hash = lettersAddress({ q: event.target.elements.letters.value.trim(), resolved: openOnly(view) ? "" : "true" });
  } },
  h("label", null, "E-mail, order, event or reason contains", h("input", { type: "search", name: "letters", class: "wide", maxlength: "200", value: view.parameters.get("q") ?? "", autocomplete: "off" })),
  h("button", { type: "submit" }, "Search"));
}

function nothingSaid(view) {
  const q = view.parameters.get("q");
  if (q) return empty("No results for ", id(q), openOnly(view) ? " among open dead letters." : ".");
  if (view.parameters.get("before")) return empty("No older ones.");
  return empty(openOnly(view) ? "None is open. Everything that was correctly signed is an event." : "There has never been one.");
}

function renderLetters({ now, rows, next, looked }, view) {
  const q = view.parameters.get("q") ?? "";
  const open = rows.filter((d) => !d.resolved_at && d.reason !== "conflict");
  const resolved = openOnly(view) ? "" : "true";
  return [
    h("p", null, "Correctly signed bodies that are not a valid event. Each is kept with all its bytes, and can be tried again."),
    letterSearch(view),
    rows.length === 0 ? nothingSaid(view)
      : table("Dead letters", [{ title: "No.", number: true }, "Received", "Why", "E-mail", "Order", "Event", "State"], rows.map((d) => letterRow(d, now)), { class: "letters" }),
    looked === null ? null : h("p", { class: "dim" }, `Looked through ${count(looked)} dead letters; there are older ones.`),
    h("p", { class: "more" },
      h("a", { href: lettersAddress({ q, resolved: openOnly(view) ? "true" : "" }) }, openOnly(view) ? "Show those that were resolved, too" : "Show only those that are open"),
      next === null ? null : h("a", { href: lettersAddress({ q, resolved, before: String(next) }) }, "Older")),
    whatYouCanDo(open.length === 0 ? [] : open.length === 1 ? [redriveOne(open[0].id)] : [redriveAll(), redriveOne(open[0].id)]),
  ];
}

/** @type {import("./view.js").Definition} */
export const deadLettersView = {
  title: (view) => (view.parameters.get("q") ? ["Dead letters with ", id(view.parameters.get("q"))] : ["Dead letters"]),
  problem: (view) => (/^\d{0,18}$/.test(view.parameters.get("before") ?? "") ? null : "This address names no page of dead letters."),
  load: (view) => ask("dead-letters", { resolved: openOnly(view) ? null : "true", before: view.parameters.get("before"), q: view.parameters.get("q") }, view.signal),
  render: renderLetters,
  every: 3000,
};

/** The fields in which a letter and the stored event differ, side by side. */
function sideBySide(d) {
  if (!d.other) return null;
  if (d.other.body === null) return h("p", { class: "dim" }, "The stored event’s body is no longer kept, so that they cannot be compared.");
  const [one, other] = [bodyText(d.body), bodyText(d.other.body)];
  if (!isJson(one) || !isJson(other)) return h("p", { class: "dim" }, "They cannot be compared: one of them is not JSON.");
  const found = differences(one, other);
  const cell = (text) => h("td", null, text === null ? h("span", { class: "dim" }, "none") : h("code", null, text));
  return [h("p", null, "The stored event is ", eventLink(d.event_id), ", received ", moment(d.other.received_at), ". ",
    d.reason === "conflict" ? "It stays; this letter changed nothing." : null),
  found.length === 0 ? h("p", null, "Their fields do not differ.")
    : table("Differences", ["Field", "This dead letter", "The stored event"], found.map((f) => h("tr", null, h("td", null, id(f.path)), cell(f.one), cell(f.other))))];
}

function renderLetter(d) {
  return [
    h("div", { class: "sheet" }, facts([
      ["Why", LETTER_REASONS[d.reason] ?? d.reason], ["Where", d.detail && h("code", null, d.detail)],
      ["Event", d.event_id && (d.other ? eventLink(d.event_id) : copyable(d.event_id, "the event id"))], ["Order", foundLink(d.order_id)],
      ["Customer", customerLink("email", d.customer_email)],
      ["Received", [moment(d.received_at), d.deliveries > 1 ? `, delivered ${times(d.deliveries)}` : null]],
      ["Size", bytes(d.bytes)], ["SHA-256", copyable(d.sha256, "the SHA-256")],
      ["Resolved", moment(d.resolved_at)]])),
    section("Compared with the stored event", sideBySide(d)),
    d.resolved_at ? null : [
      d.reason === "conflict" ? h("p", null, "Trying it again changes nothing while the other event is stored. If the difference does not matter, take it off the list of ", h("a", { href: "#/attention" }, "Attention"), ".") : null,
      whatYouCanDo([...(d.reason === "conflict" ? [] : [redriveOne(d.id)]), dismissal(d.attention_id)], { open: true })],
    section("Bytes", oddBody(d.body, "Bytes")),
  ];
}

/** @type {import("./view.js").Definition} */
export const deadLetterView = {
  of: "dead-letters",
  title: (view) => ["Dead letter ", view.rest[0] ?? ""],
  problem: (view) => (/^\d{1,18}$/.test(view.rest[0] ?? "") ? null : "A dead letter has a number."),
  load: (view) => ask("dead-letter", { id: view.rest[0] }, view.signal),
  render: renderLetter,
  every: 10000,
  missing: "There is no dead letter of this number.",
};

