// What the list of deliveries is narrowed by: a form that stays while the list changes.

import { h } from "./dom.js";

const TYPES = ["checkout.completed", "checkout.failed", "checkout.cancel", "subscription.trialing", "subscription.paid",
  "subscription.canceled", "refund.created", "operator.grant", "operator.revoke", "operator.clear", "operator.dispute_won"];
// Long enough for the next key of whoever types a date, or goes through a choice with the arrows.
const PAUSE_MS = 500;

export const NAMES = ["mode", "type", "outcome", "order", "event", "warned", "since", "before_at"];

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

function time(name, label, given) {
  return h("label", null, label, h("input", { type: "datetime-local", name, value: given ? given.slice(0, 16) : "" }));
}

// What the form says, as the parameters of the address; null while a time is not complete.
function chosen(form) {
  const values = {};
  for (const name of NAMES) {
    const field = form.elements[name];
    if (field.validity.badInput) return null;
    const value = field.type === "checkbox" ? (field.checked ? field.value : "") : field.value.trim();
    if (value !== "") values[name] = field.type === "datetime-local" ? `${value}:00Z` : value;
  }
  return values;
}

// The form, and a function that takes an event type that was seen, to be offered. changed(values) is called when
// whoever fills it in pauses.
export function filters(given, changed) {
  const types = new Set(TYPES);
  const offered = h("datalist", { id: "types" }, TYPES.map((type) => h("option", { value: type })));
  const none = h("button", { type: "button", hidden: !NAMES.some((name) => given[name]) }, "No filters");
  let last = JSON.stringify(given);
  let timer = null;

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
    submit: (event) => { event.preventDefault(); act(); } },
  choice("mode", "Mode", [["live"], ["test"]], given.mode),
  text("type", "Type", given.type, { list: "types", class: "wide", placeholder: "any" }), offered,
  choice("outcome", "Outcome", [["applied"], ["ignored"], ["unmatched"], ["dead_letter", "dead letter"]], given.outcome),
  text("order", "Order", given.order), text("event", "Event", given.event),
  time("since", "From (UTC)", given.since), time("before_at", "Before (UTC)", given.before_at),
  h("label", { class: "check" }, h("input", { type: "checkbox", name: "warned", value: "true", checked: given.warned === "true" }), "with warnings"),
  none);
  none.addEventListener("click", () => {
    for (const name of NAMES) {
      if (form.elements[name].type === "checkbox") form.elements[name].checked = false;
      else form.elements[name].value = "";
    }
    form.elements[NAMES[0]].focus();
    act();
  });

  function offer(type) {
    if (type === null || types.has(type)) return;
    types.add(type);
    offered.append(h("option", { value: type }));
  }
  return { form, offer };
}
