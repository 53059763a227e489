// The list of what came, newest first, which keeps itself up to date.

import { notAuthentic, notTaken } from "./answers.js";
import { Refusal, ask } from "./api.js";
import { address, empty, h, patch, table } from "./dom.js";
import { NAMES, filters } from "./filters.js";
import { listed, ms, stamp } from "./moments.js";
import { modeChip } from "./words.js";

const EVERY_MS = 2000;
// What was committed after others that began later is still found when it is not older than this.
const OVERLAP_MS = 10000;
// Looking through what a filter holds back takes the database longer: not every time.
const WHOLE_EVERY = 5;
const PAGE_ROWS = 50;
const MOST_ROWS = 1000;
// How often the search for rare rows goes on by itself, with nothing found on the way.
const MOST_EMPTY_PAGES = 20;

const OUTCOMES = { applied: "good", duplicate: "good", ignored: "", unmatched: "warn", dead_letter: "bad" };

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
    h("td", null, outcomeChip(r.outcome), r.resolved ? [" ", h("span", { class: "chip good" }, "resolved")] : null,
      r.deliveries > 1 ? h("span", { class: "dim small" }, ` came ${r.deliveries} times`) : null),
    h("td", { class: "small" }, r.detail, r.warnings.length > 0 ? h("span", { class: "chip warn" }, r.warnings.length === 1 ? "1 warning" : `${r.warnings.length} warnings`) : null),
    h("td", null, h("a", { href: link, class: "id" }, r.id)));
}

// Newest first; among those of one moment, as the server has them.
function newestFirst(a, b) {
  if (a.at !== b.at) return ms(b.at) - ms(a.at) || (a.at < b.at ? 1 : -1);
  return a.id < b.id ? 1 : -1;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// What is looked for, and what was found of it.
class Search {
  constructor(given) {
    this.given = given;
    this.controller = new AbortController();
    this.turns = 0;
    this.begin();
  }

  begin() {
    this.rows = new Map();
    this.now = null;
    this.next = null;
    this.looked = 0;
    this.refused = null;
    // Whoever went on to older ones is not to lose them to newer ones: those are only counted.
    this.held = false;
    this.unseen = new Set();
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
}

// A whole page of which nothing was known: there may be more between it and what was.
function leavesGap(answer, known) {
  return answer.rows.length === PAGE_ROWS && answer.next !== null && !answer.rows.some((r) => known(r.id));
}

export async function deliveries(view) {
  const given = {};
  for (const name of NAMES) if (view.parameters.get(name)) given[name] = view.parameters.get(name);
  const body = h("tbody");
  const list = table("Deliveries", ["Came", "Type", "Mode", "Order", "Outcome", "Notes", "Event"], [], { class: "list" });
  list.querySelector("tbody").replaceWith(body);
  list.hidden = true;
  const nothing = empty();
  nothing.hidden = true;
  const besides = h("p", { class: "dim small", hidden: true });
  const newer = h("button", { type: "button", class: "newer", hidden: true, click: () => back() });
  const more = h("button", { type: "button", hidden: true, click: () => view.attempt(() => inTurn(further, true)) });
  const progress = h("span", { class: "dim small", role: "status" });
  const form = filters(given, (values) => {
    view.shows(values);
    search.controller.abort();
    search = new Search(values);
    return view.attempt(() => inTurn(first), true);
  });
  let search = new Search(given);
  let answered = {};
  let turn = Promise.resolve();
  view.signal.addEventListener("abort", () => search.controller.abort());
  view.show("Deliveries", form.form, besides, newer, nothing, list, h("div", { class: "more" }, more, progress));

  // One question after the other, so that no answer overwrites that to a later question. Of a search that another
  // one has taken the place of nothing is heard any more.
  function inTurn(call, ...rest) {
    const current = search;
    const done = turn.then(async () => {
      try {
        if (search === current) await call(current, ...rest);
      } catch (error) {
        if (search === current) throw error;
      }
    });
    turn = done.catch(() => {});
    return done;
  }

  function say(current) {
    const { rows, next } = current;
    list.hidden = rows.size === 0;
    nothing.hidden = rows.size > 0 || (current.now === null && current.refused === null);
    if (!nothing.hidden) {
      const refusals = current.filtered ? [] : notAuthentic(answered.not_authentic);
      patch(nothing, [...h("div", null,
        current.refused !== null ? current.refused
          : next !== null ? `Nothing since ${stamp(next.at)}; looked through ${current.looked.toLocaleString("en")} events.`
            : current.filtered ? "Nothing that came fits these filters." : "Nothing has come yet. Deliveries appear here by themselves.",
        refusals.length > 0 ? h("div", { class: "refusals" }, "Since the responder started, it answered 401 to what is in no list:",
          h("ul", null, refusals.map((text) => h("li", null, text)))) : null).childNodes]);
    }
    besides.hidden = rows.size === 0 || current.filtered || notTaken(answered.answers) === "";
    if (!besides.hidden) {
      patch(besides, [...h("p", null, `Besides these, since the responder started: ${notTaken(answered.answers)}. `,
        h("a", { href: "#/overview" }, "See why")).childNodes]);
    }
    more.hidden = next === null || current.full;
    write(more, rows.size === 0 ? "Look further back" : "Older");
    newer.hidden = !current.held || (current.unseen.size === 0 && !current.gap);
    write(newer, `Show ${current.gap ? "more than " : ""}${current.unseen.size} new ${current.unseen.size === 1 ? "one" : "ones"}`);
  }

  // Rows keep their elements, so that whoever has the focus there keeps it.
  function place(current, answer, fresh) {
    const { rows } = current;
    current.now = answer.now;
    for (const r of answer.rows) {
      const known = rows.get(r.id);
      form.offer(r.type);
      if (!known) rows.set(r.id, { row: r, element: row(r, answer.now, fresh) });
      else if (JSON.stringify(known.row) !== JSON.stringify(r)) {
        known.row = r;
        patch(known.element, [...row(r, answer.now).childNodes]);
      }
    }
    const sorted = current.sorted();
    for (const gone of sorted.splice(MOST_ROWS)) {
      rows.delete(gone.row.id);
      gone.element.remove();
    }
    sorted.forEach(({ element }, i) => {
      if (body.children[i] !== element) body.insertBefore(element, body.children[i] ?? null);
    });
    say(current);
  }

  // The newest, in place of whatever is shown.
  async function first(current) {
    let answer = null;
    if (!current.filtered) await lookAtAnswers();
    try {
      answer = await current.ask();
    } catch (error) {
      if (search !== current) return;
      current.begin();
      body.replaceChildren();
      // It would be refused again.
      if (error.status === 400) current.refused = error.message;
      say(current);
      if (error.status !== 400) throw error;
      return;
    }
    current.begin();
    body.replaceChildren();
    await goOn(current, answer);
    if (answer.rows.length === 0) await further(current);
  }

  async function goOn(current, answer) {
    current.next = answer.next;
    current.looked += answer.looked ?? 0;
    place(current, answer, false);
  }

  // The next page; where a filter lets little through, the next ones, too, until there is something.
  async function further(current, byHand) {
    if (byHand && current.rows.size > 0) current.held = true;
    // Not disabled, which would take the focus away.
    more.setAttribute("aria-disabled", "true");
    let found = true;
    try {
      for (let pages = 0; current.next !== null && !current.full && pages < MOST_EMPTY_PAGES; pages++) {
        progress.textContent = `Looking at what came before ${stamp(current.next.at)} …`;
        const answer = await current.ask({ before_at: current.next.at, before_id: current.next.id });
        await goOn(current, answer);
        found = answer.rows.length > 0;
        if (found) break;
      }
    } finally {
      progress.textContent = current.full ? "Filters show what is older."
        : found || current.rows.size === 0 ? "" : current.next === null ? "Nothing more." : `Nothing more since ${stamp(current.next.at)}.`;
      more.removeAttribute("aria-disabled");
    }
  }

  // Why what came is not here; whether the responder says is not what this view depends on.
  async function lookAtAnswers() {
    try {
      answered = await ask("spool", null, view.signal);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
    }
  }

  // What came since, and what came again: an event stays where it first came, and its count changes.
  async function update(current) {
    if (current.refused !== null) return;
    if (current.now === null) {
      await first(current);
      return;
    }
    if (!current.filtered) await lookAtAnswers();
    const whole = !current.filtered || current.turns++ % WHOLE_EVERY === 0;
    const recent = new Date(ms(current.now) - OVERLAP_MS).toISOString();
    const since = current.given.since && ms(current.given.since) > ms(recent) ? current.given.since : recent;
    const answer = await current.ask(whole ? null : { since });
    if (current.held) {
      const { rows, unseen } = current;
      current.gap ||= leavesGap(answer, (id) => rows.has(id) || unseen.has(id));
      for (const r of answer.rows) if (!rows.has(r.id)) unseen.add(r.id);
      place(current, { ...answer, rows: answer.rows.filter((r) => rows.has(r.id)) }, false);
    } else if (current.rows.size > 0 && leavesGap(answer, (id) => current.rows.has(id))) {
      await first(current);
      return;
    } else {
      place(current, answer, true);
    }
    if (whole) await lookFurtherDown(current);
  }

  // Of what is shown below the first page one page at a time.
  async function lookFurtherDown(current) {
    const pages = Math.ceil(current.rows.size / PAGE_ROWS);
    if (pages < 2) return;
    current.page = (current.page % (pages - 1)) + 1;
    const { row: last } = current.sorted()[current.page * PAGE_ROWS - 1];
    const answer = await current.ask({ before_at: last.at, before_id: last.id });
    place(current, { ...answer, rows: answer.rows.filter((r) => current.rows.has(r.id)) }, false);
  }

  async function back() {
    await view.attempt(() => inTurn(first), true);
    list.focus();
    window.scrollTo(0, 0);
  }

  view.attempt(() => inTurn(first), true);
  view.every(EVERY_MS, () => inTurn(update));
}
