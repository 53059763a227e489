// From an order, an event, a customer or a user to who is entitled.

import { Refusal, ask } from "./api.js";
import { address, empty, h, id } from "./dom.js";
import { verdict } from "./words.js";

// How many exact matches give access. If not all of them were judged, nothing is said that the others could make untrue.
function sum({ cut, entitled, exact, live }) {
  if (cut) {
    const known = entitled > 0 ? `at least ${entitled} live ones entitle` : "none of those entitles";
    return `Only ${exact} of the exact matches were looked at: ${known}. bagelpay.is_entitled() looks at all.`;
  }
  if (exact < 2) return null;
  if (live === 0) return `${exact === 2 ? "Both" : `All ${exact}`} are test purchases, which never entitle in live mode.`;
  return entitled > 0 ? `Entitled by ${entitled} of ${live} live matches.` : `Not entitled by any of ${live} live matches.`;
}

export async function find(view) {
  const q = view.parameters.get("q") ?? "";
  const found = await ask("search", { q }, view.signal);
  const { event, exact, items } = found;
  const told = sum(found);
  const list = h("div", { class: "stack" });
  const progress = h("span", { class: "dim small", role: "status" });
  const button = h("button", { type: "button", click: () => more() }, "More");
  const rest = h("div", { class: "more" }, button, progress);
  let shown = 0;

  // Returns the first of what it adds.
  function add(answer) {
    const verdicts = answer.items.map((e) => verdict(e, answer.now, "h2"));
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
    items.length === 0
      ? empty(h("p", null, event ? "The event belongs to no order." : ["Nothing is found by ", id(q), "."]),
        event ? null : [
          h("p", null, "You can search for the id of an order, an event, a customer or a user, for an e-mail address in any case, and for the beginning of these, except of an event’s id."),
          h("p", { class: "dim" }, "Ids of payments and subscriptions, BagelPay’s order ids, and former addresses of customers are not searched.")])
      : [exact === 0 ? h("p", null, "Nothing matches exactly. These begin so:") : null, list, rest]);
}
