// How it goes: figures, and charts of an hour up to a month.

import { notAuthentic, since } from "./answers.js";
import { ask, serverNow } from "./api.js";
import { barsChart, chartWithCursor, columnName, delaysChart, eventsText } from "./charts.js";
import { h, patch } from "./dom.js";
import { attentionTitle } from "./grouping.js";
import { address, moment, plainMoment, whatYouCanDo } from "./parts.js";
import { redriveAll } from "./remedies.js";
import { bytes, count, counted, money } from "./text.js";
import { ms, shortSpan } from "./time.js";

const OVERVIEW_EVERY_MS = 3000;
const WHOLE_EVERY_MS = 60000;
const DAYS_EVERY_MS = 300000;
const RANGES = { "1h": "1 hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days" };

function card(title, figure, kind, ...more) {
  return h("section", { class: kind?.wide ? "sheet card wide" : "sheet card" },
    h("h2", null, title), h("p", { class: `figure ${kind?.mood ?? ""}` }, figure), ...more);
}

function lastCard(o) {
  if (o.last === null) return card("Last good event", "none yet", { wide: true }, h("p", { class: "dim" }, "Events appear here as they are committed."));
  // Counted on, whatever the database does.
  const age = Math.max((serverNow() - ms(o.last.at)) / 1000, 0);
  return card("Last good event", age < 1 ? "just now" : `${shortSpan(age)} ago`, { wide: true },
    h("p", null, h("a", { href: address.delivery(o.last.id) }, o.last.type), h("span", { class: "dim" }, " at ", plainMoment(o.last.at), o.stored > 0 ? `; about ${count(o.stored)} are stored` : null)));
}

function attentionCard(a) {
  if (a === null) return null;
  const most = [...a.kinds].sort((x, y) => y.count - x.count).slice(0, 3).map((k) => `${attentionTitle(k.kind)}: ${count(k.count)}`);
  return card("Needs a person", count(a.count), { mood: a.count > 0 ? "bad" : "good" },
    h("p", null, h("a", { href: "#/attention" }, a.count > 0 ? "See what, and what to do" : "Nothing now")), most.map((text) => h("p", { class: "dim small" }, text)));
}

function lettersCard(o) {
  const open = o.open_dead_letters;
  return card("Open dead letters", open > 1000 ? "over 1000" : String(open), { mood: open > 0 ? "bad" : "good" },
    h("p", null, h("a", { href: "#/dead-letters" }, open > 0 ? "See why" : "Everything that was correctly signed is an event")));
}

function spoolCard(spool) {
  if (!spool.known) return card("Spool", "not known", null, h("p", { class: "dim" }, spool.why));
  const figure = spool.files > 0 ? counted(spool.files, "file") : spool.corrupt > 0 ? `${spool.corrupt} corrupt` : "empty";
  return card("Spool", figure, { mood: spool.files > 0 || spool.corrupt > 0 ? "bad" : "good" },
    h("p", { class: "dim" }, spool.files > 0 ? `${bytes(spool.bytes)}, the oldest for ${shortSpan(spool.oldest)}` : "Nothing waits for the database."),
    spool.corrupt > 0 ? h("p", { class: "alarm" }, `${spool.corrupt} in corrupt/ cannot be read back; the responder’s log says why.`) : null);
}

/** The last comparison with what BagelPay lists, where the answer has one. */
function verificationCard(o) {
  const v = o.verification ?? null;
  return v === null ? null : card("Last verification", v.differences > 0 ? counted(v.differences, "difference") : "agrees", { mood: v.differences > 0 ? "bad" : "good" },
    h("p", { class: "dim" }, v.mode === "test" ? "in test mode, " : null, moment(v.at)));
}

/** What was not taken, since the responder started. Red while it goes on, or where nothing else ever came. */
function refusalCards(spool, grown) {
  const answered = (status) => spool.answers?.[status] ?? 0;
  const mood = (status) => (grown.has(status) || answered(200) === 0 ? "bad" : "");
  const lines = (texts) => texts.map((text) => h("p", { class: "dim" }, text));
  return [
    answered(401) === 0 ? null : card("Answered 401", count(answered(401)), { mood: mood("401") }, lines(notAuthentic(spool.not_authentic)),
      spool.not_authentic?.mode > 0 ? h("p", null, h("a", { href: "#/dead-letters" }, "Show dead letters")) : null),
    answered(503) === 0 ? null : card("Answered 503", count(answered(503)), { mood: mood("503") },
      lines([`Not committed in time: BagelPay retries${spool.known ? ", and so does the responder with what its spool has" : ""}.`])),
  ];
}

/** What the responder says of itself, while this page is open: the database knows nothing of it. */
class Watch {
  constructor() {
    this.said = null;
    this.files = new Map();
    this.answers = new Map();
    this.grown = new Set();
  }

  note(spool) {
    const minute = Math.floor(serverNow() / 60000);
    if (spool.known) this.files.set(minute, Math.max(this.files.get(minute) ?? 0, spool.files));
    if (spool.answers && this.said?.answers) {
      const sum = this.answers.get(minute) ?? { good: 0, bad: 0, words: {} };
      for (const [status, more] of Object.entries(since(this.said.answers, spool.answers))) {
        sum[status === "200" ? "good" : "bad"] += more;
        if (more > 0) sum.words[status] = (sum.words[status] ?? 0) + more;
        if (more > 0) this.grown.add(status);
      }
      this.answers.set(minute, sum);
    }
    for (const seen of [this.files, this.answers]) for (const old of seen.keys()) if (old <= minute - 60) seen.delete(old);
    // While it does not answer, what it said before is what there is to compare with.
    this.said = { ...spool, answers: spool.answers ?? this.said?.answers };
  }
}

/** All columns of a range, those without events included. */
function allColumns(o, known) {
  const last = Math.floor(ms(o.now) / 1000 / o.width) * o.width;
  return Array.from({ length: o.count }, (_, i) => {
    const at = (last - (o.count - 1 - i) * o.width) * 1000;
    const found = known.get(at) ?? { events: 0, capped: false, dead_letters: 0, median: null, p95: null, timed: 0 };
    return { ...found, at, width: o.width };
  });
}

function countsOf(columns, range, thin) {
  const about = thin > 1 ? "about " : "";
  const sum = (name) => columns.reduce((total, c) => total + c[name], 0);
  return { values: columns.map((c) => c.events), failures: columns.map((c) => c.dead_letters),
    label: `In the last ${RANGES[range]} ${about}${eventsText(sum("events"), columns.some((c) => c.capped))} were committed, and ${counted(sum("dead_letters"), "body", "bodies")} failed as dead letters.`,
    columns: columns.map((c) => ({ at: c.at, width: c.width, label: `${columnName(c.at, c.width)}: ${about}${eventsText(c.events, c.capped)} committed, ${counted(c.dead_letters, "dead letter")}` })) };
}

function delaysOf(columns) {
  const last = columns.findLast((c) => c.median !== null);
  if (!last) return null;
  const words = (c) => (c.median === null ? "no events" : `half within ${shortSpan(c.median)}, 95 % within ${shortSpan(c.p95)}, of the last ${counted(c.timed, "event")}`);
  return { median: columns.map((c) => c.median), p95: columns.map((c) => c.p95), label: `In the latest column with events ${words(last)}.`,
    columns: columns.map((c) => ({ at: c.at, width: c.width, label: `${columnName(c.at, c.width)}: ${words(c)}` })) };
}

const watchedMinutes = () => Array.from({ length: 60 }, (_, i) => Math.floor(serverNow() / 60000) - 59 + i);

function answersOf(watch) {
  if (watch.answers.size === 0) return null;
  const minutes = watchedMinutes().map((minute) => ({ minute, ...(watch.answers.get(minute) ?? { good: 0, bad: 0, words: {} }) }));
  const sum = (name) => minutes.reduce((total, m) => total + m[name], 0);
  const each = (m) => Object.entries(m.words).map(([status, n]) => `${n} answered ${status}`).join(", ") || "nothing";
  return sum("good") + sum("bad") === 0 ? null : { values: minutes.map((m) => m.good), failures: minutes.map((m) => m.bad),
    label: `Answered 200 while this page was open: ${sum("good")}; anything else: ${sum("bad")}.`,
    columns: minutes.map((m) => ({ at: m.minute * 60000, width: 60, label: `${columnName(m.minute * 60000, 60)}: ${each(m)}` })) };
}

function spoolOf(watch) {
  const most = Math.max(0, ...watch.files.values());
  if (most === 0) return null;
  const minutes = watchedMinutes();
  return { values: minutes.map((minute) => watch.files.get(minute) ?? 0), failures: null, kind: "bar-spool", label: `At most ${counted(most, "file")} in the spool while this page was open.`,
    columns: minutes.map((minute) => ({ at: minute * 60000, width: 60, label: `${columnName(minute * 60000, 60)}: ${counted(watch.files.get(minute) ?? 0, "file")}` })) };
}

/** The chart of one currency, null if there was no payment in it. */
function revenueOf(days, currency) {
  const paid = days.map((d) => d.revenue[currency] ?? { paid: "0", refunded: "0", payments: 0 });
  return { values: paid.map((p) => Number(p.paid)), failures: null, label: `Revenue by day in ${currency || "an unknown currency"}.`,
    columns: days.map((d, i) => ({ at: ms(d.day), width: 86400, label: `${d.day} (UTC): ${money(paid[i].paid, currency)} of ${counted(paid[i].payments, "payment")}, of which ${money(paid[i].refunded, currency)} went back` })) };
}

function subscriptionsOf(days) {
  if (days.every((d) => d.subscriptions === 0)) return null;
  return { values: days.map((d) => d.subscriptions), failures: null, kind: "bar-spool", label: `Subscriptions and trials by day; ${count(days.at(-1).subscriptions)} now.`,
    columns: days.map((d) => ({ at: ms(d.day), width: 86400, label: `${d.day} (UTC): ${count(d.subscriptions)} subscriptions and trials` })) };
}

class Overview {
  constructor(view) {
    this.view = view;
    this.range = view.parameters.get("range") ?? "1h";
    this.known = new Map();
    this.o = null;
    this.attention = null;
    this.days = null;
    this.daysAt = -Infinity;
    this.wholeAt = -Infinity;
    this.watch = new Watch();
    this.cards = h("div", { class: "cards" });
    this.counts = chartWithCursor("Received and committed", barsChart, h("span", { class: "paid" }, "events"), h("span", { class: "failed" }, "failures: dead letters"));
    this.delays = chartWithCursor("From event to receipt", delaysChart, h("span", { class: "paid" }, "half of them within"), h("span", null, "95 % within"));
    this.answers = chartWithCursor("Answers, while this page is open", barsChart, h("span", { class: "paid" }, "200"), h("span", { class: "failed" }, "failures: anything else"));
    this.spooled = chartWithCursor("Files in the spool, while this page is open", barsChart);
    this.subscriptions = chartWithCursor("Subscriptions by day", barsChart, "Windows of subscriptions and trials, live, without grace.");
    this.quiet = h("p", { class: "dim", hidden: true }, `No event was received in the last ${RANGES[this.range]}.`);
    this.revenue = h("div");
    this.revenueCharts = new Map();
    this.estimate = h("p", { class: "dim", hidden: true });
    this.remedies = h("div");
  }

  parts() {
    const ranges = h("p", { class: "ranges" }, Object.entries(RANGES).map(([range, text]) =>
      [h("a", { href: `#/overview?range=${range}`, "aria-current": range === this.range ? "true" : null }, text), " "]));
    const parts = [this.cards, ranges, this.quiet, this.counts.part, this.delays.part, this.answers.part, this.spooled.part, this.revenue, this.subscriptions.part, this.estimate, this.remedies];
    for (const part of parts) /** @type {any} */ (part).isMine = true;
    return parts;
  }

  showCards() {
    const { o, watch, attention } = this;
    const own = watch.said === null ? [] : [spoolCard(watch.said), ...refusalCards(watch.said, watch.grown)];
    patch(this.cards, [...(o === null ? [] : [lastCard(o), attentionCard(attention), lettersCard(o),
      verificationCard(o)]), ...own].filter((c) => c !== null));
    patch(this.remedies, [o !== null && o.open_dead_letters > 0 ? whatYouCanDo([redriveAll()]) : null].filter((c) => c !== null));
  }

  showStored(o) {
    this.o = o;
    for (const column of o.columns) this.known.set(ms(column.at), column);
    const columns = allColumns(o, this.known);
    for (const at of this.known.keys()) if (at < columns[0].at) this.known.delete(at);
    const any = columns.some((c) => c.events > 0 || c.dead_letters > 0);
    this.quiet.hidden = any;
    this.counts.update(any ? countsOf(columns, this.range, o.thin) : null);
    this.delays.update(delaysOf(columns));
  }

  showDays({ days, sampled }) {
    for (const currency of new Set(days.flatMap((d) => Object.keys(d.revenue)))) {
      if (!this.revenueCharts.has(currency)) {
        const chart = chartWithCursor(`Revenue by day${currency ? `, ${currency}` : ""}`, barsChart, "Live payments by the day (UTC) on which they were paid; refunds are not taken off.");
        this.revenueCharts.set(currency, chart);
        this.revenue.append(chart.part);
      }
      this.revenueCharts.get(currency).update(revenueOf(days, currency));
    }
    this.subscriptions.update(subscriptionsOf(days));
    this.estimate.hidden = sampled === null;
    if (sampled !== null) this.estimate.textContent = `The subscriptions by day are estimated, from ${count(sampled.read)} of about ${count(sampled.stored)} payments and trials.`;
  }

  /** The spool says most while the database says nothing. */
  async update() {
    // The last two columns each time, all of them every minute: an event from the spool is counted at the time of its receipt.
    const whole = this.o === null || Date.now() - this.wholeAt > WHOLE_EVERY_MS;
    const from = whole ? null : new Date(ms(this.o.now) - 2 * this.o.width * 1000).toISOString();
    const [stored, spool] = await Promise.allSettled([
      ask("overview", { range: this.range, since: from }, this.view.signal), ask("spool", null, this.view.signal)]);
    if (this.view.signal.aborted) return;
    if (spool.status === "fulfilled") this.watch.note(spool.value);
    this.answers.update(answersOf(this.watch));
    this.spooled.update(spoolOf(this.watch));
    if (stored.status === "fulfilled") {
      if (whole) this.wholeAt = Date.now();
      this.showStored(stored.value);
    }
    this.showCards();
    if (stored.status === "rejected") throw stored.reason;
    this.view.current(stored.value.now);
    await this.updateDays();
  }

  async updateDays() {
    if (Date.now() - this.daysAt < DAYS_EVERY_MS) return;
    this.days = await ask("days", null, this.view.signal);
    this.daysAt = Date.now();
    this.showDays(this.days);
  }
}

/** @type {import("./view.js").Definition} */
export const overviewView = {
  title: () => ["Overview"],
  problem: (view) => (Object.hasOwn(RANGES, view.parameters.get("range") ?? "1h") ? null : "A range is 1h, 24h, 7d or 30d."),
  every: OVERVIEW_EVERY_MS,
  start(view) {
    const overview = new Overview(view);
    const update = () => overview.update();
    view.show(overview.parts());
    view.busy();
    document.addEventListener("attention", (event) => {
      overview.attention = /** @type {CustomEvent} */ (event).detail;
      overview.showCards();
    }, { signal: view.signal });
    document.dispatchEvent(new CustomEvent("want-attention"));
    update().catch((error) => view.failed(error));
    view.every(OVERVIEW_EVERY_MS, update);
  },
};
