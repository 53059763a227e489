// The list of what was received, newest first, which keeps itself up to date.

import { notAuthentic, notTaken } from "./answers.js";
import { Refusal, ask } from "./api.js";
import { COLUMNS, EXPORT_COLUMNS, MOST_ROWS, PAGE_ROWS, Search } from "./delivery_rows.js";
import { empty, h, patch, table, write } from "./dom.js";
import { FILTERS, filterProblem, filters } from "./filters.js";
import { hidden, newOnes } from "./grouping.js";
import { whatYouCanDo } from "./parts.js";
import { neverCame } from "./remedies.js";
import { toCsv, toJson } from "./table_text.js";
import { count } from "./text.js";
import { givenMs, ms, stamp, zoneName } from "./time.js";

const LIST_EVERY_MS = 2000;
// What was committed after others that began later is still found when it is not older than this.
const OVERLAP_MS = 10000;
// Looking through what a filter holds back takes the database longer: not every time.
const WHOLE_EVERY = 5;
// How often the search for rare rows goes on by itself, with nothing found on the way.
const MOST_EMPTY_PAGES = 20;
const MOST_EXPORTED = 10000;

class Listing {
  constructor(view, given) {
    this.view = view;
    this.search = new Search(given);
    this.answered = {};
    this.turn = Promise.resolve();
    this.body = h("tbody");
    this.list = table("Deliveries", COLUMNS, [], { class: "list" });
    this.list.querySelector("tbody").replaceWith(this.body);
    this.nothing = empty();
    this.besides = h("p", { class: "dim small", hidden: true });
    this.letters = h("p", { class: "dim", hidden: true });
    this.newer = h("button", { type: "button", class: "newer", hidden: true, click: () => this.back() });
    this.more = h("button", { type: "button", hidden: true, click: () => this.attempt(() => this.inTurn((s) => this.further(s, true))) });
    this.progress = h("span", { class: "dim small", role: "status" });
    this.files = h("p", { class: "export" }, "Export these as ",
      ["CSV", "JSON"].map((kind) => [h("button", { type: "button", click: () => this.attempt(() => this.save(kind)) }, kind), " "]));
    this.remedies = h("div");
    const offer = () => patch(this.remedies, [whatYouCanDo(neverCame())]);
    offer();
    // The commands name the database, once that is known.
    document.addEventListener("attention", offer, { signal: view.signal });
    this.list.hidden = this.nothing.hidden = this.files.hidden = true;
    this.form = filters(given, (values) => this.change(values));
    view.signal.addEventListener("abort", () => this.search.controller.abort());
  }

  parts() {
    const parts = [this.form.form, this.besides, this.letters, this.newer, this.nothing, this.list, h("div", { class: "more" }, this.more, this.progress), this.files, this.remedies];
    // They are not to be patched, but to stay.
    for (const part of parts) /** @type {any} */ (part).isMine = true;
    return parts;
  }

  /** One attempt, by hand: an error is shown, and is not retried. */
  async attempt(call) {
    try {
      await call();
      this.view.recovered();
    } catch (error) {
      this.view.failed(error, false);
    }
  }

  /** One question after the other, so that no answer overwrites that to a later question. */
  inTurn(call) {
    const current = this.search;
    const done = this.turn.then(async () => {
      try {
        if (this.search === current) await call(current);
      } catch (error) {
        // Errors of a search that a newer one has replaced are ignored.
        if (this.search === current) throw error;
      }
    });
    this.turn = done.catch(() => {});
    return done;
  }

  change(values) {
    this.view.shows("deliveries", values);
    this.search.controller.abort();
    this.search = new Search(values);
    return this.begin();
  }

  /** The first page; where it fails, update() tries again. */
  async begin() {
    try {
      await this.inTurn((s) => this.first(s));
    } catch (error) {
      this.view.failed(error);
    }
  }

  /** Whether rows may move: nobody points at them, has the focus there, or went on to older ones. */
  get held() {
    return this.search.older || this.body.matches(":hover") || this.body.contains(document.activeElement);
  }

  saidOfNothing(current) {
    const problem = filterProblem(current.given);
    if (problem !== null) return problem;
    if (current.next !== null) return `Nothing since ${stamp(current.next.at)}; looked through ${count(current.looked)} events.`;
    return current.filtered ? "No results for these filters. They match exactly; the search above also finds beginnings." : "Nothing has been received yet. Deliveries appear here by themselves.";
  }

  sayNothing(current) {
    this.nothing.hidden = current.rows.size > 0 || (current.now === null && filterProblem(current.given) === null);
    if (this.nothing.hidden) return;
    const refusals = current.filtered ? [] : notAuthentic({ ...this.answered.not_authentic, mode: 0 });
    patch(this.nothing, [...h("div", null, this.saidOfNothing(current),
      refusals.length > 0 ? h("div", { class: "refusals" }, "Since the responder started, it answered 401 to what is in no list:",
        h("ul", null, refusals.map((text) => h("li", null, text)))) : null).childNodes]);
  }

  say(current) {
    const { rows, next, pending } = current;
    this.list.hidden = rows.size === 0;
    this.files.hidden = rows.size === 0;
    this.sayNothing(current);
    const besides = notTaken(this.answered.answers, this.answered.not_authentic);
    this.besides.hidden = rows.size === 0 || current.filtered || besides === "";
    if (!this.besides.hidden) {
      patch(this.besides, [...h("p", null, `Besides these, since the responder started: ${besides}. `, h("a", { href: "#/overview" }, "See why")).childNodes]);
    }
    const left = hidden(current.letters);
    this.letters.hidden = left === null;
    if (left !== null) patch(this.letters, [...h("p", null, `${left} `, h("a", { href: "#/dead-letters" }, "Show dead letters")).childNodes]);
    this.more.hidden = next === null || current.full;
    write(this.more, rows.size === 0 ? "Look further back" : "Older");
    this.newer.hidden = pending.size === 0;
    write(this.newer, `${current.gap ? "More than " : ""}${newOnes(pending.size)}`);
  }

  placeRows(current, answer, fresh) {
    current.now = answer.now;
    current.letters = answer.hidden_letters;
    this.view.current(answer.now);
    for (const r of answer.rows) this.form.offer(r.type);
    current.take(answer.rows, answer.now, fresh);
    current.place(this.body);
    this.say(current);
  }

  /** The newest, in place of whatever is shown. */
  async first(current) {
    if (!current.filtered) await this.lookAtAnswers();
    if (filterProblem(current.given) !== null) {
      current.begin();
      this.body.replaceChildren();
      this.say(current);
      return;
    }
    const answer = await current.ask();
    current.begin();
    this.body.replaceChildren();
    this.goOn(current, answer);
    if (answer.rows.length === 0) await this.further(current, false);
  }

  goOn(current, answer) {
    current.next = answer.next;
    current.looked += answer.looked ?? 0;
    const letters = current.letters;
    this.placeRows(current, answer, false);
    // Only the first page's answer counts the dead letters of the whole period.
    if (current.rows.size > answer.rows.length) current.letters = letters;
  }

  /** The next page; where a filter lets little through, the next ones, too, until there is something. */
  async further(current, byHand) {
    if (byHand && current.rows.size > 0) current.older = true;
    // Not disabled, which would take the focus away.
    this.more.setAttribute("aria-disabled", "true");
    let found = true;
    try {
      for (let pages = 0; current.next !== null && !current.full && pages < MOST_EMPTY_PAGES; pages++) {
        write(this.progress, `Looking at what was received before ${stamp(current.next.at)} …`);
        const answer = await current.ask({ before_at: current.next.at, before_id: current.next.id });
        this.goOn(current, answer);
        found = answer.rows.length > 0;
        if (found) break;
      }
    } finally {
      write(this.progress, current.full ? `These are ${count(MOST_ROWS)}. Filters show what is older.`
        : found || current.rows.size === 0 ? "" : current.next === null ? "Nothing more." : `Nothing more since ${stamp(current.next.at)}.`);
      this.more.removeAttribute("aria-disabled");
    }
  }

  /** Why what was sent is not here; whether the responder says is not what this view depends on. */
  async lookAtAnswers() {
    try {
      this.answered = await ask("spool", null, this.view.signal);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  }

  /** What was received since, and what was delivered again: an event stays where it first came, and its count changes. */
  async update(current) {
    if (filterProblem(current.given) !== null) return;
    if (current.now === null) {
      await this.first(current);
      return;
    }
    if (!current.filtered) await this.lookAtAnswers();
    const whole = !current.filtered || current.turns++ % WHOLE_EVERY === 0;
    const recent = new Date(ms(current.now) - OVERLAP_MS).toISOString();
    const since = current.given.since && givenMs(current.given.since) > ms(recent) ? current.given.since : recent;
    const answer = await current.ask(whole ? null : { since });
    if (!whole) answer.hidden_letters = current.letters;
    if (!current.older && current.rows.size > 0 && current.leavesGap(answer)) {
      if (!this.held) {
        await this.first(current);
        return;
      }
      current.gap = true;
    }
    this.merge(current, answer);
    if (whole) await this.lookFurtherDown(current);
  }

  /** Shows new rows. If that would move the row under the pointer or the focus, it only counts them. */
  merge(current, answer) {
    if (this.held) {
      if (current.older) current.gap ||= current.leavesGap(answer);
      for (const r of answer.rows) if (!current.rows.has(r.id)) current.pending.set(r.id, r);
      this.placeRows(current, { ...answer, rows: answer.rows.filter((r) => current.rows.has(r.id)) }, false);
    } else {
      this.placeRows(current, { ...answer, rows: [...current.pending.values(), ...answer.rows] }, current.rows.size > 0);
    }
  }

  /** Of what is shown below the first page one page at a time. */
  async lookFurtherDown(current) {
    const pages = Math.ceil(current.rows.size / PAGE_ROWS);
    if (pages < 2) return;
    current.page = (current.page % (pages - 1)) + 1;
    const { row: last } = current.sorted()[current.page * PAGE_ROWS - 1];
    const answer = await current.ask({ before_at: last.at, before_id: last.id });
    // An event from the spool appears late, below others: its time is that of its receipt.
    this.merge(current, { ...answer, hidden_letters: current.letters });
  }

  async back() {
    await this.attempt(() => this.inTurn((s) => this.first(s)));
    this.list.focus();
    window.scrollTo(0, 0);
  }

  /** All rows of the filter, up to a limit, as a file. */
  async save(kind) {
    const rows = [];
    // Whatever is looked for meanwhile.
    const { search } = this;
    let cursor = null;
    do {
      write(this.progress, `${count(rows.length)} rows so far …`);
      const page = await search.ask(cursor === null ? null : { before_at: cursor.at, before_id: cursor.id });
      rows.push(...page.rows);
      cursor = page.next;
    } while (cursor !== null && rows.length < MOST_EXPORTED);
    write(this.progress, cursor === null ? `${count(rows.length)} rows.` : `The newest ${count(rows.length)} rows. Filters show what is older.`);
    const text = kind === "CSV" ? toCsv(EXPORT_COLUMNS, rows) : toJson(EXPORT_COLUMNS, rows);
    const url = URL.createObjectURL(new Blob([text], { type: kind === "CSV" ? "text/csv" : "application/json" }));
    h("a", { href: url, download: `deliveries.${kind.toLowerCase()}` }).click();
    window.setTimeout(() => URL.revokeObjectURL(url), 60000);
  }
}

/** Restores the list that was left, or begins one. */
function start(view) {
  const given = {};
  for (const name of FILTERS) if (view.parameters.get(name)) given[name] = view.parameters.get(name);
  const listing = new Listing(view, given);
  const left = view.kept;
  if (left && JSON.stringify(left.given) === JSON.stringify(given)) {
    listing.search = left;
    left.controller = new AbortController();
    left.place(listing.body);
    listing.say(left);
    // Only now, so that there is something to scroll to.
    view.show(listing.parts());
    view.current(left.now);
  } else {
    view.show(listing.parts());
    view.busy();
    listing.begin();
  }
  view.signal.addEventListener("abort", () => view.keep(listing.search.rows.size > 0 ? listing.search : null));
  view.every(LIST_EVERY_MS, () => listing.inTurn((s) => listing.update(s)));
}

/** @type {import("./view.js").Definition} */
export const deliveriesView = {
  title: () => ["Deliveries", h("span", { class: "dim small" }, ` times in ${zoneName(Date.now())}`)],
  every: LIST_EVERY_MS,
  start,
};
