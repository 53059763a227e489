// How it goes: figures, and the last hour as plots.

import { notAuthentic, since } from "./answers.js";
import { ask, serverNow } from "./api.js";
import { address, h, patch, redrawable } from "./dom.js";
import { bytes, clock, ms, shortSpan, stamp } from "./moments.js";
import { plotAnswers, plotCounts, plotDelays, plotSpool } from "./plots.js";

const EVERY_MS = 3000;

function card(title, figure, kind, ...more) {
  return h("section", { class: kind?.wide ? "sheet card wide" : "sheet card" },
    h("h2", null, title), h("p", { class: `figure ${kind?.mood ?? ""}` }, figure), ...more);
}

function lastCard(o) {
  if (o.last === null) return card("Last good event", "none yet", { wide: true }, h("p", { class: "dim" }, "Events appear here as they are committed."));
  const age = Math.max((ms(o.now) - ms(o.last.at)) / 1000, 0);
  return card("Last good event", age < 1 ? "just now" : `${shortSpan(age)} ago`, { wide: true },
    h("p", null, h("a", { href: address.delivery(o.last.id) }, o.last.type), h("span", { class: "dim" }, ` at ${age < 86400 ? clock(o.last.at) : stamp(o.last.at)}`)));
}

function lettersCard(o) {
  const count = o.open_dead_letters;
  return card("Open dead letters", count > 1000 ? "over 1000" : String(count), { mood: count > 0 ? "bad" : "good" },
    h("p", null, h("a", { href: "#/dead-letters" }, count > 0 ? "See why" : "Everything that was correctly signed is an event")));
}

function spoolCard(spool) {
  if (!spool.known) return card("Spool", "not known", null, h("p", { class: "dim" }, spool.why));
  const figure = spool.files > 0 ? `${spool.files} file${spool.files === 1 ? "" : "s"}` : spool.corrupt > 0 ? `${spool.corrupt} corrupt` : "empty";
  return card("Spool", figure, { mood: spool.files > 0 || spool.corrupt > 0 ? "bad" : "good" },
    h("p", { class: "dim" }, spool.files > 0 ? `${bytes(spool.bytes)}, the oldest for ${shortSpan(spool.oldest)}` : "Nothing waits for the database."),
    spool.corrupt > 0 ? h("p", { class: "alarm" }, `${spool.corrupt} in corrupt/ cannot be read back; the responder’s log says why.`) : null);
}

// What was not taken, since the responder started. Red while it goes on, or where nothing else ever came.
function refusalCards(spool, grown) {
  const count = (status) => spool.answers?.[status] ?? 0;
  const mood = (status) => (grown.has(status) || count(200) === 0 ? "bad" : "");
  const lines = (texts) => texts.map((text) => h("p", { class: "dim" }, text));
  return [
    count(401) === 0 ? null : card("Answered 401", count(401).toLocaleString("en"), { mood: mood("401") }, lines(notAuthentic(spool.not_authentic))),
    count(503) === 0 ? null : card("Answered 503", count(503).toLocaleString("en"), { mood: mood("503") },
      lines([`Not committed in time: BagelPay tries again${spool.known ? ", and so does the responder with what its spool has" : ""}.`])),
  ].filter(Boolean);
}

// What the responder says of itself, while this page is open: the database knows nothing of it.
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
      const sum = this.answers.get(minute) ?? {};
      for (const [status, more] of Object.entries(since(this.said.answers, spool.answers))) {
        sum[status] = (sum[status] ?? 0) + more;
        if (more > 0) this.grown.add(status);
      }
      this.answers.set(minute, sum);
    }
    for (const seen of [this.files, this.answers]) for (const old of seen.keys()) if (old <= minute - 60) seen.delete(old);
    // While it does not answer, what it said before is what there is to compare with.
    this.said = { ...spool, answers: spool.answers ?? this.said?.answers };
  }
}

export async function overview(view) {
  const minutes = new Map();
  const watch = new Watch();
  let hour = [];
  let known = null;
  const cards = h("div", { class: "cards" });
  const counts = redrawable((width) => plotCounts(width, hour));
  const delays = redrawable((width) => plotDelays(width, hour));
  const answers = redrawable((width) => plotAnswers(width, serverNow(), watch.answers));
  const spooled = redrawable((width) => plotSpool(width, serverNow(), watch.files));
  const sheet = (plot, ...legend) => h("div", { class: "sheet" }, plot.place, legend.length > 0 ? h("p", { class: "legend" }, legend) : null);
  const answersPart = h("section", { hidden: true }, h("h2", null, "Answers a minute, while this page is open"),
    sheet(answers, h("span", { class: "paid" }, "200"), h("span", { class: "bad" }, "anything else")));
  const spoolPart = h("section", { hidden: true }, h("h2", null, "Files in the spool, while this page is open"), sheet(spooled));

  function showCards() {
    const own = watch.said === null ? [] : [spoolCard(watch.said), ...refusalCards(watch.said, watch.grown)];
    const perMinute = hour.length > 1 ? hour[hour.length - 2].events : 0;
    patch(cards, known === null ? own : [lastCard(known),
      card("Events in the last full minute", perMinute >= 10000 ? "10000 or more" : String(perMinute), null,
        h("p", { class: "dim" }, known.stored > 0 ? `about ${known.stored.toLocaleString("en")} are stored` : "")),
      lettersCard(known), ...own]);
  }

  function showWatched(spool) {
    watch.note(spool);
    answersPart.hidden = !watch.said.answers;
    spoolPart.hidden = !spool.known && watch.files.size === 0;
    answers.redraw();
    spooled.redraw();
  }

  function showKnown(o) {
    known = o;
    for (const minute of o.minutes) minutes.set(minute.at, minute);
    hour = [...minutes.values()].filter((m) => ms(m.at) > ms(o.now) - 3600000).sort((a, b) => ms(a.at) - ms(b.at));
    minutes.clear();
    for (const minute of hour) minutes.set(minute.at, minute);
    counts.redraw();
    delays.redraw();
  }

  // The spool says most while the database says nothing.
  async function update(from) {
    const [stored, spool] = await Promise.allSettled([
      ask("overview", { since: from }, view.signal),
      ask("spool", null, view.signal),
    ]);
    if (view.signal.aborted) return;
    if (spool.status === "fulfilled") showWatched(spool.value);
    if (stored.status === "fulfilled") showKnown(stored.value);
    showCards();
    if (stored.status === "rejected") throw stored.reason;
  }

  view.show("Overview", cards,
    h("h2", null, "Events and dead letters a minute"), sheet(counts, h("span", { class: "paid" }, "events"), h("span", { class: "bad" }, "dead letters")),
    h("h2", null, "From event to commit"), sheet(delays, h("span", { class: "paid" }, "half of them within"), h("span", null, "95 % within")),
    answersPart, spoolPart);
  view.attempt(() => update(null), true);
  // Of the minutes only those that may still change.
  view.every(EVERY_MS, () => update([...minutes.keys()].at(-2)));
}
