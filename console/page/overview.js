// How it goes: figures, and the last hour as plots.

import { ask } from "./api.js";
import { address, h, redrawn } from "./dom.js";
import { bytes, clock, ms, shortSpan, stamp } from "./moments.js";
import { plotCounts, plotDelays, plotSpool } from "./plots.js";

const EVERY_MS = 3000;

function figures(title, figure, mood, ...more) {
  return [h("h2", null, title), h("p", { class: `figure ${mood}` }, figure), ...more];
}

function card(title, figure, kind, ...more) {
  return h("section", { class: kind?.wide ? "sheet card wide" : "sheet card" }, figures(title, figure, kind?.mood ?? "", ...more));
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
    h("p", null, h("a", { href: "#/dead-letters" }, count > 0 ? "See why" : "All that was authentic is an event")));
}

function spoolCard(spool) {
  if (!spool.known) return figures("Spool", "not known", "", h("p", { class: "dim" }, spool.why));
  return figures("Spool", spool.files === 0 ? "empty" : `${spool.files} file${spool.files === 1 ? "" : "s"}`, spool.files > 0 ? "bad" : "good",
    h("p", { class: "dim" }, spool.files > 0 ? `${bytes(spool.bytes)}, the oldest for ${shortSpan(spool.oldest)}` : "Nothing waits for the database.",
      spool.corrupt > 0 ? ` ${spool.corrupt} in corrupt/.` : null));
}

export async function overview(view) {
  const minutes = new Map();
  const cards = h("div", { class: "cards" });
  const waiting = h("section", { class: "sheet card" });
  const counts = h("div", { class: "sheet" });
  const delays = h("div", { class: "sheet" });
  const files = new Map();
  const spooled = h("div", { class: "sheet" });
  const spoolPart = h("section", { hidden: true }, h("h2", null, "Files in the spool, while this page is open"), spooled);

  // The spool says most while the database says nothing.
  async function update(since) {
    const [known, spool] = await Promise.allSettled([
      ask("overview", { since }, view.signal),
      ask("spool", null, view.signal),
    ]);
    if (view.signal.aborted) return;
    if (spool.status === "fulfilled") {
      const minute = Math.floor(Date.now() / 60000);
      waiting.replaceChildren(...spoolCard(spool.value));
      spoolPart.hidden = !spool.value.known;
      files.set(minute, Math.max(files.get(minute) ?? 0, spool.value.files ?? 0));
      files.delete(minute - 60);
    }
    if (known.status === "rejected") throw known.reason;
    const o = known.value;
    for (const minute of o.minutes) minutes.set(minute.at, minute);
    const hour = [...minutes.values()].filter((m) => ms(m.at) > ms(o.now) - 3600000).sort((a, b) => ms(a.at) - ms(b.at));
    minutes.clear();
    for (const minute of hour) minutes.set(minute.at, minute);
    const perMinute = hour.length > 1 ? hour[hour.length - 2].events : 0;
    cards.replaceChildren(lastCard(o), card("Events in the last full minute", perMinute >= 10000 ? "10000 or more" : String(perMinute), null,
      h("p", { class: "dim" }, o.stored > 0 ? `about ${o.stored.toLocaleString("en")} are stored` : "")), lettersCard(o), waiting);
    counts.replaceChildren(redrawn((width) => plotCounts(width, hour)), h("p", { class: "legend" }, h("span", { class: "paid" }, "events"), h("span", { class: "bad" }, "dead letters")));
    delays.replaceChildren(redrawn((width) => plotDelays(width, hour)), h("p", { class: "legend" }, h("span", { class: "paid" }, "half of them within"), h("span", null, "95 % within")));
    spooled.replaceChildren(redrawn((width) => plotSpool(width, hour, files)));
  }

  cards.append(waiting);
  view.show("Overview", cards,
    h("h2", null, "Events and dead letters a minute"), counts,
    h("h2", null, "From event to commit"), delays, spoolPart);
  await update(null);
  // Of the minutes only those that may still change.
  view.every(EVERY_MS, () => update([...minutes.keys()].at(-2)));
}
