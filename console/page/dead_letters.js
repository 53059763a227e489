// Correctly signed bodies that are not a valid event.

import { ask } from "./api.js";
import { address, empty, found, h, id, patch, table } from "./dom.js";
import { bytes, listed } from "./moments.js";

const EVERY_MS = 3000;

function row(d, now) {
  return h("tr", null,
    h("td", { class: "number" }, h("a", { href: address.letter(d.id), "aria-label": `Dead letter ${d.id}` }, d.id)),
    h("td", { class: "time" }, listed(d.received_at, now), d.deliveries > 1 ? h("span", { class: "dim small" }, ` and ${d.deliveries - 1} more`) : null),
    h("td", null, h("span", { class: "chip bad" }, d.reason), " ", h("span", { class: "small" }, d.detail)),
    h("td", { class: "small" }, d.event_id === null ? null : h("div", null, "Event ", id(d.event_id)),
      d.order_id === null ? null : h("div", null, "Order ", found(d.order_id)), d.customer_email === null ? null : h("div", null, found(d.customer_email))),
    h("td", { class: "number" }, bytes(d.bytes)),
    h("td", null, d.resolved_at ? h("span", { class: "chip good" }, "resolved") : h("code", null, `bagelhook redrive --id ${d.id}`)));
}

export async function deadLetters(view) {
  const resolved = view.parameters.get("resolved");
  const before = view.parameters.get("before");
  const other = resolved ? ["Only those that are open", {}] : ["Those that were resolved, too", { resolved: "true" }];

  // The address of older ones follows from what is shown, as some may have been resolved meanwhile.
  const content = ({ now, rows, next }) => [
    rows.length === 0
      ? empty(before ? "No older ones." : resolved ? "There has never been one." : "None is open. Everything that was correctly signed is an event.")
      : table("Dead letters", [{ title: "No.", number: true }, "Came", "Why", "Of", { title: "Size", number: true }, "To try it again"],
        rows.map((d) => row(d, now))),
    h("p", { hidden: rows.filter((d) => !d.resolved_at).length < 2 }, "All of them: ", h("code", null, "bagelhook redrive --all"), ", as a role that has bagelpay_owner."),
    h("div", { class: "more" },
      h("a", { href: view.address("dead-letters", other[1]) }, other[0]),
      next === null ? null : h("a", { href: view.address("dead-letters", { ...(resolved && { resolved }), before: next }) }, "Older")),
  ];

  const place = h("div");
  const load = async () => patch(place, content(await ask("dead-letters", { resolved, before }, view.signal)));
  await load();
  view.show("Dead letters",
    h("p", null, "Correctly signed bodies that are not a valid event. Each is kept with all its bytes, and can be tried again."),
    place);
  view.every(EVERY_MS, load);
}
