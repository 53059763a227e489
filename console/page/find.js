// From an order, an event or a customer to who is entitled.

import { Refusal, ask } from "./api.js";
import { address, empty, h, id } from "./dom.js";
import { verdict } from "./words.js";

// By how many orders of exactly this name somebody is entitled. Where not all of them were looked at, nothing is
// said that the others could make untrue.
function sum({ cut, entitled, exact, live }) {
  if (cut && entitled === 0) {
    return `There are more than ${exact} orders of this name, too many to look at all of them here. Those that were looked at do not entitle; bagelpay.is_entitled() knows of all.`;
  }
  if (cut) return `Entitled by at least ${entitled} live orders. There are more than ${exact} orders of this name, and not all were looked at.`;
  if (exact < 2) return null;
  if (live === 0) return `${exact === 2 ? "Both" : `All ${exact}`} orders are test purchases, which never entitle in live mode.`;
  return entitled > 0 ? `Entitled by ${entitled} of ${live} live orders.` : `Not entitled by any of ${live} live orders.`;
}

export async function find(view) {
  const q = view.parameters.get("q") ?? "";
  const found = await ask("search", { q }, view.signal);
  const { event, exact, orders } = found;
  const told = sum(found);
  const list = h("div", { class: "stack" });
  const progress = h("span", { class: "dim small", role: "status" });
  const button = h("button", { type: "button", click: () => more() }, "More");
  const rest = h("div", { class: "more" }, button, progress);
  let shown = 0;

  // Returns the first of what it adds.
  function add(answer) {
    const verdicts = answer.orders.map((o) => verdict(o, o.mode, answer.now, "h2"));
    list.append(...verdicts);
    shown += verdicts.length;
    button.hidden = !answer.more;
    return verdicts[0];
  }

  async function more() {
    button.disabled = true;
    progress.textContent = "";
    try {
      // Who goes on with the keyboard goes on where what is new begins.
      add(await ask("search", { q, skip: shown }, view.signal))?.querySelector("a").focus();
    } catch (error) {
      if (view.signal.aborted) return;
      if (!(error instanceof Refusal)) throw error;
      progress.textContent = `${error.message}.`;
    } finally {
      button.disabled = false;
    }
  }

  add(found);
  view.show(h("span", null, "Results for ", h("span", { class: "id" }, q)),
    event ? h("p", null, "There is an event of this id: ", h("a", { href: address.delivery(event), class: "id" }, event)) : null,
    told ? h("p", null, h("strong", null, told)) : null,
    orders.length === 0
      ? empty(h("p", null, event ? "The event belongs to no order." : ["Nothing is found by ", id(q), "."]),
        event ? null : [
          h("p", null, "Looked for are whole ids of orders, events and customers, whole e-mail addresses in any case, and how those of orders and customers begin."),
          h("p", { class: "dim" }, "Not looked for are ids of payments and subscriptions, the provider’s ids of orders that have one of yours, and what a customer’s address was before it changed.")])
      : [exact === 0 ? h("p", null, "Nothing has exactly this name. These begin so:") : null, list, rest]);
}
