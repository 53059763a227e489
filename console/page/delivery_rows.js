// The rows of the list of deliveries: what is in them, which are shown, and which wait until nobody would be disturbed.

import { ask } from "./api.js";
import { h } from "./dom.js";
import { newestFirst, unusual } from "./grouping.js";
import { address, chip, customerLink, id, listed, orderLink } from "./parts.js";
import { money, times, visible } from "./text.js";
import { day, zoneName } from "./time.js";

export const PAGE_ROWS = 50;
export const MOST_ROWS = 1000;
export const COLUMNS = ["Received", "Type", "Customer", "Product", { title: "Amount", number: true }, "Order", { title: h("span", { class: "unseen" }, "Status") }];

const letterNumber = (r) => r.id.replace("dead:", "");
const rowAddress = (r) => (r.kind === "event" ? address.delivery(r.id) : address.letter(letterNumber(r)));

/** The cells of a row. */
function cells(r, now) {
  const status = unusual(r);
  const customer = r.email ? customerLink("email", r.email) : customerLink("customer", r.customer_id);
  return [
    h("td", { class: "time" }, h("a", { href: rowAddress(r), title: r.id }, listed(r.at, now))),
    h("td", { class: "type" }, r.type ?? h("span", { class: "dim" }, r.detail ?? "no valid event")),
    h("td", null, customer),
    h("td", null, r.product ?? id(r.product_id)),
    h("td", { class: "number" }, money(r.amount, r.currency)),
    h("td", null, orderLink(r.mode, r.order)),
    h("td", { class: "status" }, status.map(({ text, mood }) => [chip(text, mood), " "]),
      r.deliveries > 1 ? h("span", { class: "dim small" }, `delivered ${times(r.deliveries)}`) : null),
  ];
}

const rowElement = (r, now, fresh) => h("tr", { class: fresh && "new", title: visible([r.type, r.email, r.product, r.order].filter(Boolean).join(" · ")) }, cells(r, now));

/** What is looked for, and what was found of it. */
export class Search {
  /** @param {Record<string, string>} given */
  constructor(given) {
    this.given = given;
    this.controller = new AbortController();
    this.turns = 0;
    this.begin();
  }

  begin() {
    /** @type {Map<string, {row: any, element: HTMLElement}>} */
    this.rows = new Map();
    /** What came meanwhile, and is not shown yet. @type {Map<string, any>} */
    this.pending = new Map();
    this.now = null;
    this.next = null;
    this.looked = 0;
    this.letters = 0;
    // Whoever went on to older ones is not to lose them to newer ones: those are only counted.
    this.older = false;
    this.gap = false;
    // The page below the first one that was asked for anew last.
    this.page = 0;
  }

  get filtered() {
    return Object.keys(this.given).length > 0;
  }

  get full() {
    return this.rows.size >= MOST_ROWS;
  }

  sorted() {
    return [...this.rows.values()].sort((a, b) => newestFirst(a.row, b.row));
  }

  ask(more) {
    return ask("deliveries", { ...this.given, ...more }, this.controller.signal);
  }

  known(name) {
    return this.rows.has(name) || this.pending.has(name);
  }

  /** A whole page of which nothing was known: there may be more between it and what was. */
  leavesGap(answer) {
    return answer.rows.length === PAGE_ROWS && answer.next !== null && !answer.rows.some((r) => this.known(r.id));
  }

  /** Takes rows. Those that are shown keep their elements, so that whoever has the focus there keeps it. */
  take(rows, now, fresh) {
    for (const r of rows) {
      const known = this.rows.get(r.id);
      this.pending.delete(r.id);
      if (!known) this.rows.set(r.id, { row: r, element: rowElement(r, now, fresh) });
      else if (JSON.stringify(known.row) !== JSON.stringify(r)) this.change(known, r, now);
    }
  }

  change(known, r, now) {
    const focused = known.element.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    known.row = r;
    known.element.replaceChildren(...cells(r, now));
    if (focused !== null) {
      const again = [...known.element.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused);
      again?.focus({ preventScroll: true });
    }
  }

  /** Moments are written for a zone and a day. When these have changed, all rows are written anew. */
  rewrite() {
    const written = `${zoneName(this.now)} ${day(this.now)}`;
    if (this.written !== undefined && this.written !== written) {
      for (const known of this.rows.values()) this.change(known, known.row, this.now);
    }
    this.written = written;
  }

  /** Puts the rows into a body, in order; those beyond the most go. */
  place(body) {
    if (this.now !== null) this.rewrite();
    const sorted = this.sorted();
    for (const gone of sorted.splice(MOST_ROWS)) {
      this.rows.delete(gone.row.id);
      gone.element.remove();
    }
    sorted.forEach(({ element }, i) => {
      if (body.children[i] !== element) body.insertBefore(element, body.children[i] ?? null);
    });
  }
}

export const EXPORT_COLUMNS = ["kind", "id", "at", "type", "mode", "outcome", "customer_id", "email", "product_id", "product", "amount", "currency", "order",
  "deliveries", "warnings", "detail", "resolved"];
