// The list of what came, newest first, which keeps itself up to date.

import { ask } from "./api.js";
import { address, empty, h, table } from "./dom.js";
import { listed, ms } from "./moments.js";
import { modeChip } from "./words.js";

const TYPES = ["checkout.completed", "checkout.failed", "checkout.cancel", "subscription.trialing", "subscription.paid",
  "subscription.canceled", "refund.created", "operator.grant", "operator.revoke", "operator.clear"];
const EVERY_MS = 2000;
// What was committed after others that began later is still found when it is not older than this.
const OVERLAP_MS = 10000;
const MOST_ROWS = 1000;
// How often the search for rare rows goes on by itself, with nothing found on the way.
const MOST_EMPTY_PAGES = 20;

const OUTCOMES = { applied: "good", duplicate: "good", ignored: "", unmatched: "warn", dead_letter: "bad" };
const NAMES = ["mode", "type", "outcome", "order", "event", "warned", "since", "before_at"];

export function outcomeChip(outcome) {
  return h("span", { class: `chip ${OUTCOMES[outcome] ?? ""}` }, outcome.replace("_", " "));
}

function row(r, now, fresh) {
  const link = r.kind === "event" ? address.delivery(r.id) : address.letter(r.id.replace("dead:", ""));
  return h("tr", { class: fresh && "new" },
    h("td", { class: "time" }, h("a", { href: link }, listed(r.at, now))),
    h("td", { class: "type" }, r.type ?? h("span", { class: "dim" }, "no valid event")),
    h("td", null, modeChip(r.mode)),
    h("td", null, r.order === null ? null : h("a", { href: address.order(r.mode, r.order), class: "id" }, r.order)),
    h("td", null, outcomeChip(r.outcome), r.deliveries > 1 ? h("span", { class: "dim small" }, ` came ${r.deliveries} times`) : null),
    h("td", { class: "small" }, r.detail, r.warnings.length > 0 ? h("span", { class: "chip warn" }, r.warnings.length === 1 ? "1 warning" : `${r.warnings.length} warnings`) : null),
    h("td", null, h("a", { href: link, class: "id" }, r.id)));
}

function choice(name, label, values, given) {
  return h("label", null, label, h("select", { name },
    h("option", { value: "" }, "any"),
    values.map(([value, text]) => h("option", { value, selected: given === value }, text ?? value))));
}

function filters(given, changed) {
  const text = (name, label) => h("label", null, label,
    h("input", { type: "text", name, value: given[name], maxlength: "500", autocomplete: "off", spellcheck: "false" }));
  const time = (name, label) => h("label", null, label,
    h("input", { type: "datetime-local", name, value: given[name] ? given[name].slice(0, 16) : "" }));
  const form = h("form", { class: "filters", "aria-label": "Filters", submit: (event) => event.preventDefault(), change: () => changed(form) },
    choice("mode", "Mode", [["live"], ["test"]], given.mode),
    choice("type", "Type", TYPES.map((type) => [type]), given.type),
    choice("outcome", "Outcome", [["applied"], ["ignored"], ["unmatched"], ["dead_letter", "dead letter"]], given.outcome),
    text("order", "Order"), text("event", "Event"),
    time("since", "From (UTC)"), time("before_at", "Before (UTC)"),
    h("label", { class: "check" }, h("input", { type: "checkbox", name: "warned", value: "true", checked: given.warned === "true" }), "with warnings"));
  return form;
}

// What the form says, as the parameters of the address.
function chosen(form) {
  const values = {};
  for (const name of NAMES) {
    const field = form.elements[name];
    const value = field.type === "checkbox" ? (field.checked ? field.value : "") : field.value.trim();
    if (value !== "") values[name] = field.type === "datetime-local" ? `${value}:00Z` : value;
  }
  return values;
}

export async function deliveries(view) {
  const given = Object.fromEntries(NAMES.map((name) => [name, view.parameters.get(name)]));
  const rows = new Map();
  const body = h("tbody");
  const list = table("Deliveries", ["Came", "Type", "Mode", "Order", "Outcome", "Notes", "Event"], [], { class: "list" });
  list.querySelector("tbody").replaceWith(body);
  const nothing = empty();
  const more = h("button", { type: "button", click: () => older() }, "Older");
  const progress = h("span", { class: "dim small", role: "status" });
  let next = null;
  let now = null;

  const shown = NAMES.some((name) => given[name]);
  view.show("Deliveries",
    filters(given, (form) => view.go("deliveries", chosen(form))),
    nothing, list, h("div", { class: "more" }, more, progress));

  // Rows keep their elements, so that whoever has the focus there keeps it.
  function place(answer, fresh) {
    now = answer.now;
    for (const r of answer.rows) {
      const known = rows.get(r.id);
      const same = known && JSON.stringify(known.row) === JSON.stringify(r);
      if (!same) {
        const element = row(r, now, fresh && !known);
        known?.element.replaceWith(element);
        rows.set(r.id, { row: r, element });
      }
    }
    const sorted = [...rows.values()].sort((a, b) => ms(b.row.at) - ms(a.row.at) || (a.row.at < b.row.at ? 1 : a.row.at > b.row.at ? -1 : a.row.id < b.row.id ? 1 : -1));
    for (const gone of sorted.splice(MOST_ROWS)) {
      rows.delete(gone.row.id);
      gone.element.remove();
    }
    sorted.forEach(({ element }, i) => {
      if (body.children[i] !== element) body.insertBefore(element, body.children[i] ?? null);
    });
    list.hidden = rows.size === 0;
    nothing.hidden = rows.size > 0;
    nothing.replaceChildren(shown ? "Nothing that came fits these filters." : "Nothing has come yet. Deliveries appear here by themselves.");
    more.hidden = next === null || rows.size >= MOST_ROWS;
  }

  async function first() {
    const answer = await ask("deliveries", given, view.signal);
    rows.clear();
    body.replaceChildren();
    next = answer.next;
    place(answer, false);
    if (answer.rows.length === 0 && next !== null) await older();
  }

  // The next page; where a filter lets little through, the next ones, too, until there is something.
  async function older() {
    more.disabled = true;
    for (let pages = 0; next !== null && pages < MOST_EMPTY_PAGES; pages++) {
      progress.textContent = `Looking at what came before ${next.at.slice(0, 19).replace("T", " ")} …`;
      const answer = await ask("deliveries", { ...given, before_at: next.at, before_id: next.id }, view.signal);
      next = answer.next;
      place(answer, false);
      if (answer.rows.length > 0) break;
    }
    progress.textContent = next === null ? "" : rows.size >= MOST_ROWS ? "Filters show what is older." : "";
    more.disabled = false;
  }

  async function update() {
    const since = new Date(ms(now) - OVERLAP_MS).toISOString();
    const from = given.since && given.since > since ? given.since : since;
    const answer = await ask("deliveries", { ...given, since: from }, view.signal);
    // More than a page since the last time: begin anew rather than leave a gap.
    if (answer.next !== null && answer.rows.length > 0 && !answer.rows.some((r) => rows.has(r.id))) await first();
    else place(answer, true);
  }

  await first();
  if (!given.before_at) view.every(EVERY_MS, update);
}
