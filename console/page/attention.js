// The attention page. Each row says what happened, to whom and since when, and has a remedy to copy.

import { ask } from "./api.js";
import { empty, h } from "./dom.js";
import { attentionTitle, byKind } from "./grouping.js";
import { chip, command, customerLink, eventLink, foundLink, id, modeChip, moment, orderLink, remedyBlock, setDatabase } from "./parts.js";
import { dismissal } from "./remedies.js";
import { capital, count } from "./text.js";

/**
 * Asks for the list, and tells the document's listeners of "attention".
 * @param {AbortSignal} signal
 */
export async function askAttention(signal) {
  const answer = await ask("attention", null, signal);
  setDatabase(answer.database);
  document.dispatchEvent(new CustomEvent("attention", { detail: answer }));
  return answer;
}

const joined = (parts) => parts.filter((part) => part !== null).flatMap((part, i) => (i === 0 ? [part] : [" · ", part]));

function whoItIs(row) {
  return joined([
    row.customer_email ? customerLink("email", row.customer_email) : null,
    row.order_id ? ["order ", orderLink(row.mode, row.order_id)] : null,
    row.payment_id ? ["payment ", foundLink(row.payment_id)] : null,
    row.event_id ? ["event ", row.kind === "dead_letter" ? foundLink(row.event_id) : eventLink(row.event_id)] : null]);
}

/** One row, with its remedy. @param {any} row */
export function attentionRow(row) {
  const letter = row.kind === "dead_letter" ? /--id (\d+)/.exec(row.remedy)?.[1] : null;
  return h("li", { class: "sheet", "data-key": row.id },
    h("p", null, h("strong", null, capital(row.detail ?? "")), " ", modeChip(row.mode)),
    h("p", null, whoItIs(row)),
    h("p", { class: "dim" }, "Since ", moment(row.since), ".", letter ? [" ", h("a", { href: `#/dead-letter/${letter}` }, "Show it")] : null),
    command("Remedy", row.remedy),
    row.dismissed_at ? h("p", { class: "dim" }, "Dismissed by ", id(row.dismissed_by), " on ", moment(row.dismissed_at), row.note ? [": ", row.note] : null, ".")
      : /bagelpay\.dismiss\(/.test(row.remedy) ? null : h("details", null, h("summary", null, "If it needs no action"), remedyBlock(dismissal(row.id))));
}

/** The rows of each kind below its name. */
export function attentionGroups(rows, kinds = []) {
  const all = new Map(kinds.map((kind) => [kind.kind, kind.count]));
  return byKind(rows).map(([kind, list]) => h("section", { class: "kind", "data-key": kind },
    h("h2", null, attentionTitle(kind), " ", chip(count(all.get(kind) ?? list.length), "bad")),
    (all.get(kind) ?? 0) > list.length ? h("p", { class: "dim" }, `The newest ${list.length}. SELECT * FROM bagelpay.attention has all of them.`) : null,
    h("ul", { class: "stack plain" }, list.map(attentionRow))));
}

function renderAttention({ rows, kinds, dismissed }) {
  return [
    rows.length === 0 ? empty("Nothing needs a person now.")
      : h("p", null, "Each row has a remedy. Read it before you run it: where it grants or ends access, the decision is yours."),
    attentionGroups(rows, kinds),
    dismissed.length === 0 ? null : h("details", { class: "dismissed" }, h("summary", null, `${count(dismissed.length)} dismissed`),
      h("ul", { class: "stack plain muted" }, dismissed.map(attentionRow))),
  ];
}

/** @type {import("./view.js").Definition} */
export const attentionView = {
  title: () => ["Attention"],
  load: (view) => askAttention(view.signal),
  render: renderAttention,
  every: 15000,
};
