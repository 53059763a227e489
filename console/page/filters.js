// What the list of deliveries is narrowed by: a form that stays while the list changes.

import { h } from "./dom.js";
import { fieldMoment, fieldValue, givenMs, isMoment } from "./time.js";

const TYPES = ["checkout.completed", "checkout.failed", "checkout.cancel", "subscription.trialing", "subscription.paid",
  "subscription.canceled", "refund.created", "operator.grant", "operator.revoke", "operator.clear", "operator.dispute_won"];
// Long enough for the next key of whoever types a date, or goes through a choice with the arrows.
const PAUSE_MS = 500;

export const FILTERS = ["mode", "type", "outcome", "order", "event", "warned", "since", "before_at"];
const OUTCOME_NAMES = { applied: "applied", ignored: "ignored", unmatched: "unmatched", dead_letter: "dead letter" };

/**
 * Returns what is wrong with the filters, as a sentence, or null.
 * @param {Record<string, string>} given
 */
export function filterProblem(given) {
  if (given.mode && !["live", "test"].includes(given.mode)) return `There is no mode “${given.mode}”: it is live or test.`;
  if (given.outcome && !Object.hasOwn(OUTCOME_NAMES, given.outcome)) return `There is no outcome “${given.outcome}”.`;
  if (given.warned && given.warned !== "true") return `“${given.warned}” says neither with nor without warnings.`;
  for (const name of ["since", "before_at"]) if (given[name] && !isMoment(given[name])) return `“${given[name]}” is no time. Use one like 2026-05-12T07:30:00Z.`;
  if (given.since && given.before_at && givenMs(given.since) >= givenMs(given.before_at)) return "The first time is not before the second one.";
  return null;
}

function choice(name, label, values, given) {
  const known = !given || values.some(([value]) => value === given);
  return h("label", null, label, h("select", { name },
    h("option", { value: "" }, "any"),
    [...values, ...(known ? [] : [[given]])].map(([value, text]) => h("option", { value, selected: given === value }, text ?? value))));
}

function text(name, label, given, more) {
  return h("label", null, label,
    h("input", { type: "text", name, value: given, maxlength: "500", autocomplete: "off", spellcheck: "false", ...more }));
}

function timeField(name, label, given) {
  const value = given && isMoment(given) ? fieldValue(given) : "";
  // Without a step, the browser takes no seconds but 0.
  return h("label", null, label, h("input", { type: "datetime-local", name, step: value.endsWith(":00") || value === "" ? null : "1", value }));
}

/**
 * What the form says, as the parameters of the address; null while a time is not complete.
 * @returns {Record<string, string> | null}
 */
function chosen(form) {
  /** @type {Record<string, string>} */
  const values = {};
  for (const name of FILTERS) {
    const field = form.elements[name];
    if (field.validity.badInput) return null;
    const value = field.type === "checkbox" ? (field.checked ? field.value : "") : field.value.trim();
    if (value !== "") values[name] = field.type === "datetime-local" ? fieldMoment(value) : value;
  }
  return values;
}

function fields(given, offered) {
  return [
    choice("mode", "Mode", [["live"], ["test"]], given.mode),
    text("type", "Type (exact)", given.type, { list: "types", class: "wide", placeholder: "any" }), offered,
    choice("outcome", "Outcome", Object.entries(OUTCOME_NAMES), given.outcome),
    text("order", "Order (exact id)", given.order), text("event", "Event (exact id)", given.event),
    timeField("since", "From (UTC)", given.since), timeField("before_at", "Before (UTC)", given.before_at),
    h("label", { class: "check" }, h("input", { type: "checkbox", name: "warned", value: "true", checked: given.warned === "true" }), "with warnings"),
  ];
}

function clear(form) {
  for (const name of FILTERS) {
    if (form.elements[name].type === "checkbox") form.elements[name].checked = false;
    else form.elements[name].value = "";
  }
  form.elements[FILTERS[0]].focus();
}

/**
 * The form, and a function that takes an event type that was seen, to be offered. changed(values) is called when whoever
 * fills it in pauses.
 * @param {Record<string, string>} given
 * @param {(values: Record<string, string>) => void} changed
 */
export function filters(given, changed) {
  const types = new Set(TYPES);
  const offered = h("datalist", { id: "types" }, TYPES.map((type) => h("option", { value: type })));
  const none = h("button", { type: "button", hidden: !FILTERS.some((name) => given[name]) }, "No filters");
  let last = JSON.stringify(given);
  let timer = 0;

  function act() {
    window.clearTimeout(timer);
    const values = chosen(form);
    if (values === null || JSON.stringify(values) === last) return;
    last = JSON.stringify(values);
    none.hidden = Object.keys(values).length === 0;
    changed(values);
  }
  function later() {
    window.clearTimeout(timer);
    timer = window.setTimeout(act, PAUSE_MS);
  }
  // A text is complete when it is left, or Enter is pressed, or it is one of those that are offered.
  function typed({ target }) {
    if (target.type !== "text" || (target.name === "type" && types.has(target.value))) later();
  }
  const form = h("form", { class: "filters", "aria-label": "Filters", input: typed, change: later,
    submit: (event) => { event.preventDefault(); act(); } }, fields(given, offered), none);
  none.addEventListener("click", () => { clear(form); act(); });

  function offer(type) {
    if (type === null || types.has(type)) return;
    types.add(type);
    offered.append(h("option", { value: type }));
  }
  return { form, offer };
}
