// From an order, an event or a customer to who is entitled.

import { ask } from "./api.js";
import { address, empty, h, id } from "./dom.js";
import { verdict } from "./words.js";

export async function find(view) {
  const q = view.parameters.get("q") ?? "";
  const { now, event, more, orders } = await ask("search", { q }, view.signal);
  const exact = orders.filter((o) => !o.vague);
  const live = exact.filter((o) => o.mode === "live");
  const entitled = live.filter((o) => o.entitled);
  let sum = null;
  if (exact.length > 1 && live.length > 0) {
    sum = entitled.length > 0 ? `Entitled by ${entitled.length} of ${live.length} live orders.` : `Not entitled by any of ${live.length} live orders.`;
  }
  view.show(h("span", null, "Results for ", h("span", { class: "id" }, q)),
    event ? h("p", null, "There is an event of this id: ", h("a", { href: address.delivery(event), class: "id" }, event)) : null,
    sum ? h("p", null, h("strong", null, sum)) : null,
    orders.length === 0
      ? empty(h("p", null, event ? "The event belongs to no order." : ["Nothing is known of ", id(q), "."]),
        event ? null : h("p", null, "Whole ids of orders, events and customers are found, whole e-mail addresses in any case, and how those of orders and customers begin."))
      : [exact.length === 0 ? h("p", null, "Nothing has exactly this name. These begin so:") : null,
        h("div", { class: "stack" }, orders.map((o) => verdict(o, o.mode, now, "h2")))],
    more ? h("p", { class: "dim" }, "There are more; these are the ones that changed last.") : null);
}
