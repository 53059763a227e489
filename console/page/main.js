// From the address to a view, and what is there in all of them: the search, the zone, copying, the number that needs a person.

import { Refusal } from "./api.js";
import { askAttention, attentionView } from "./attention.js";
import { customerView } from "./customer.js";
import { deadLetterView, deadLettersView } from "./dead_letters.js";
import { deliveriesView } from "./deliveries.js";
import { deliveryView } from "./delivery.js";
import { write } from "./dom.js";
import { findView } from "./find.js";
import { orderView } from "./order.js";
import { overviewView } from "./overview.js";
import { address } from "./parts.js";
import { cleaned } from "./search_input.js";
import { showLocal, showsLocal, zoneName } from "./time.js";
import { View, setAttentionCount } from "./view.js";

const ATTENTION_EVERY_MS = 60000;
const KEPT_VIEWS = 20;

/** @type {Record<string, import("./view.js").Definition>} */
const VIEWS = {
  overview: overviewView, attention: attentionView, deliveries: deliveriesView, delivery: deliveryView, "dead-letters": deadLettersView,
  "dead-letter": deadLetterView, order: orderView, customer: customerView, find: findView,
};
/** @type {import("./view.js").Definition} */
const NO_ADDRESS = { title: () => "This address is not one of the console’s", problem: () => "A part of it is not UTF-8.", every: Infinity };
/** @type {import("./view.js").Definition} */
const NO_VIEW = { title: () => ["There is no such page"], problem: () => "The views are above.", every: Infinity };

const field = /** @type {HTMLInputElement} */ (document.getElementById("q"));
/** @type {View | null} */
let current = null;
let currentKey = "";
/** What views left behind, by the entry of the history: {value, scroll}. @type {Map<string, any>} */
const left = new Map();

/** The parts of the address, or null if it is malformed. */
function addressParts() {
  const [path, query] = window.location.hash.slice(2).split(/\?(.*)/s, 2);
  try {
    const [name, ...rest] = (path || "overview").split("/").map(decodeURIComponent);
    return { name, rest, parameters: new URLSearchParams(query ?? "") };
  } catch {
    return null;
  }
}

function leave() {
  if (current === null) return;
  const kept = left.get(currentKey) ?? {};
  left.set(currentKey, { ...kept, scroll: window.scrollY });
  current.end();
  for (const key of [...left.keys()].slice(0, -KEPT_VIEWS)) left.delete(key);
}

function markNavigation(name) {
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function route(focus) {
  leave();
  const found = addressParts();
  const parts = found ?? { name: "", rest: [], parameters: new URLSearchParams() };
  const definition = found === null ? NO_ADDRESS : Object.hasOwn(VIEWS, parts.name) ? VIEWS[parts.name] : NO_VIEW;
  // Each entry of the history has a key of its own, so that Back finds what was left there.
  currentKey = window.history.state?.key ?? crypto.getRandomValues(new Uint32Array(2)).join("-");
  window.history.replaceState({ key: currentKey }, "");
  const key = currentKey;
  const before = left.get(key);
  markNavigation(definition.of ?? parts.name);
  if (field !== document.activeElement || parts.name === "find") field.value = parts.name === "find" ? parts.parameters.get("q") ?? "" : "";
  current = new View(definition, { rest: parts.rest, parameters: parts.parameters, focus, kept: before?.value ?? null, scroll: before?.scroll ?? null,
    keep: (value) => left.set(key, { ...left.get(key), value }) });
  current.begin();
}

// --- what is there in all views ---

document.getElementById("search").addEventListener("submit", (event) => {
  event.preventDefault();
  if (cleaned(field.value) !== "") window.location.hash = address.find(field.value.trim());
});

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});

// "/" is where the search is, as elsewhere.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
  event.preventDefault();
  field.focus();
});

const zone = document.getElementById("zone");

function showZone() {
  const local = showsLocal();
  write(zone, local ? `Local time (${zoneName(Date.now())})` : "UTC");
  zone.setAttribute("aria-label", local ? `Times are in ${zoneName(Date.now())}; show UTC` : "Times are in UTC; show local time");
}

// A browser may refuse to store anything for a page. Then times are in UTC after each load.
function remembered() {
  try {
    return window.localStorage.getItem("zone");
  } catch {
    return null;
  }
}

function remember(name) {
  try {
    window.localStorage.setItem("zone", name);
  } catch {
    // It is chosen again next time.
  }
}

zone.addEventListener("click", () => {
  showLocal(!showsLocal());
  remember(showsLocal() ? "local" : "utc");
  showZone();
  // The list makes its rows once; it is shown anew.
  if (current?.definition.start) route(false);
  else current?.render();
});

/** Without the clipboard's interface, which is for HTTPS and localhost only, by a selection. */
function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

async function copy(button) {
  const text = button.getAttribute("data-copy");
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    done = copyBySelection(text);
    button.focus();
  }
  write(document.getElementById("said"), done ? `${button.getAttribute("aria-label").replace("Copy", "Copied")}` : "This browser does not let the page copy.");
  button.classList.toggle("copied", done);
  window.setTimeout(() => button.classList.remove("copied"), 1500);
}

document.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest?.("[data-copy]");
  if (button) copy(button);
});

// --- how many rows need a person ---

let attention = null;

document.addEventListener("attention", (event) => {
  attention = /** @type {CustomEvent} */ (event).detail;
  setAttentionCount(attention.count);
  write(document.getElementById("attention-count"), attention.count > 0 ? ` ${attention.count}` : "");
});

/** Also in a hidden window, whose title shows the number. */
async function lookAtAttention() {
  try {
    await askAttention(AbortSignal.timeout(30000));
  } catch (error) {
    // The view says it where the database is away.
    if (!(error instanceof Refusal) && error.name !== "TimeoutError" && error.name !== "AbortError") throw error;
  }
  window.setTimeout(lookAtAttention, ATTENTION_EVERY_MS);
}

document.addEventListener("want-attention", () => {
  if (attention !== null) document.dispatchEvent(new CustomEvent("attention", { detail: attention }));
});
showLocal(remembered() === "local");
showZone();
window.history.scrollRestoration = "manual";
window.addEventListener("hashchange", () => route(true));
window.setInterval(() => current?.tick(), 1000);
route(false);
lookAtAttention();
