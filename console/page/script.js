// From the address to a view. Whatever a view does ends when another is shown.

import { Refusal } from "./api.js";
import { deadLetters } from "./dead_letters.js";
import { deliveries } from "./deliveries.js";
import { deadLetter, delivery } from "./delivery.js";
import { empty, h } from "./dom.js";
import { find } from "./find.js";
import { order } from "./order.js";
import { overview } from "./overview.js";

const VIEWS = {
  overview: { show: overview, title: "Overview" },
  deliveries: { show: deliveries, title: "Deliveries" },
  delivery: { show: delivery, title: "Delivery", of: "deliveries" },
  "dead-letters": { show: deadLetters, title: "Dead letters" },
  "dead-letter": { show: deadLetter, title: "Dead letter", of: "dead-letters" },
  order: { show: order, title: "Order" },
  find: { show: find, title: "Results" },
};

const main = document.getElementById("main");
const trouble = document.getElementById("trouble");
let current = null;
// Whether what is complained of is not tried again by itself.
let lasting = false;

function complain(text, lasts = false) {
  lasting = lasts;
  trouble.hidden = text === null;
  if (trouble.textContent !== (text ?? "")) trouble.textContent = text ?? "";
}

function addressOf(name, parameters) {
  const query = new URLSearchParams(parameters ?? {}).toString();
  return `#/${name}${query ? `?${query}` : ""}`;
}

// What a view gets: its parameters, and ways to show itself, and to be called again.
class View {
  constructor(name, parameters, focus) {
    this.name = name;
    this.parameters = parameters;
    this.focus = focus;
    this.shown = false;
    this.controller = new AbortController();
    this.signal = this.controller.signal;
    this.address = addressOf;
  }

  show(title, ...content) {
    if (this.signal.aborted) return;
    this.shown = true;
    const heading = h("h1", { tabindex: "-1" }, title);
    main.replaceChildren(heading, ...content.flat(2).filter(Boolean));
    document.title = `${heading.textContent} · bagelhook`;
    if (this.focus) heading.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }

  // The address of what is shown now, for whoever reloads or keeps it.
  shows(parameters) {
    window.history.replaceState(null, "", addressOf(this.name, parameters));
  }

  // Now, and says what goes wrong: until it is asked for once more, or, where every() tries again, goes well.
  async attempt(call, again) {
    const error = await guarded(this, call);
    if (error !== null) complain(again ? `${error.message}. Trying again.` : `${error.message}.`, !again);
  }

  // Again and again, one after the other, while somebody looks.
  every(pause, update) {
    const turn = async () => {
      if (this.signal.aborted) return;
      const error = document.hidden ? null : await guarded(this, update, true);
      if (error !== null) complain(`${error.message}. Trying again.`);
      window.setTimeout(turn, pause);
    };
    window.setTimeout(turn, pause);
  }

  end() {
    this.controller.abort();
  }
}

// Calls, and returns what went wrong, or null: then there is nothing to complain of any more, unless it is something
// else. Of a view that has ended nothing is said any more.
async function guarded(view, call, update = false) {
  try {
    await call();
    if (!view.signal.aborted && !(update && lasting)) complain(null);
    return null;
  } catch (error) {
    if (view.signal.aborted) return null;
    if (!(error instanceof Refusal)) throw error;
    return error;
  }
}

async function route(focus) {
  const [path, query] = window.location.hash.slice(2).split(/\?(.*)/s, 2);
  const [name, ...rest] = (path || "overview").split("/");
  const known = Object.hasOwn(VIEWS, name) ? VIEWS[name] : null;
  current?.end();
  const view = new View(name, new URLSearchParams(query ?? ""), focus);
  current = view;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.getAttribute("href") === `#/${known?.of ?? name}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const q = document.getElementById("q");
  if (q !== document.activeElement || name === "find") q.value = name === "find" ? view.parameters.get("q") ?? "" : "";
  if (known === null) {
    view.show("There is no such page", h("p", null, h("a", { href: "#/overview" }, "Overview")));
    return;
  }
  let error = null;
  try {
    error = await guarded(view, () => known.show(view, ...rest.map(decodeURIComponent)));
  } catch (malformed) {
    if (!(malformed instanceof URIError)) throw malformed;
    error = new Refusal(400, "This address is not one of the console’s");
  }
  if (error === null) return;
  if (error.status === 404) view.show(known.title, empty("There is no such thing, or not yet."));
  else if (error.status === 400) view.show(known.title, empty(error.message));
  else {
    if (!view.shown) view.show(known.title, empty("It is shown as soon as it can be."));
    complain(`${error.message}. Trying again.`);
    window.setTimeout(() => { if (current === view) route(false); }, 3000);
  }
}

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const q = document.getElementById("q").value.trim();
  if (q !== "") window.location.hash = addressOf("find", { q });
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
// "/" is where the search is, as elsewhere.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
  event.preventDefault();
  document.getElementById("q").focus();
});
window.addEventListener("hashchange", () => route(true));
route(false);
