// The bytes of a body for people: as indented JSON with every digit and escape as it came, or as they are.

import { h } from "./dom.js";
import { indented, isJson, notUtf8 } from "./json_text.js";
import { copyButton } from "./parts.js";
import { count, visible } from "./text.js";

const DUMP_ROW = 16;
const LONGEST_BODY = 200000;

/** @param {string} base64 */
export function decoded(base64) {
  return Uint8Array.from(window.atob(base64.replace(/\s/g, "")), (c) => c.charCodeAt(0));
}

/** The body as text, whatever its bytes. @param {string} base64 */
export const bodyText = (base64) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(decoded(base64));

const hex = (/** @type {number} */ number, /** @type {number} */ digits) => number.toString(16).padStart(digits, "0");

/** The rows around an offset, as hexadecimal numbers and as what they are in ASCII; the byte there stands out. */
function dump(octets, offset) {
  const block = h("pre", { tabindex: "0", role: "group", "aria-label": "Bytes around it" });
  const first = Math.max(Math.floor(offset / DUMP_ROW) - 1, 0) * DUMP_ROW;
  for (let at = first; at < Math.min(first + 3 * DUMP_ROW, octets.length); at += DUMP_ROW) {
    const row = [...octets.subarray(at, at + DUMP_ROW)];
    block.append(`${hex(at, 6)} `);
    row.forEach((byte, i) => block.append(" ", at + i === offset ? h("span", { class: "wrong" }, hex(byte, 2)) : hex(byte, 2)));
    block.append("   ".repeat(DUMP_ROW - row.length), "  ", row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join(""), "\n");
  }
  return block;
}

/** The bytes of what is no valid event, and where they are none of a text. */
export function oddBody(base64, label) {
  const octets = decoded(base64);
  const offset = notUtf8(octets);
  return [
    offset === -1 ? null : [h("p", null, `Not UTF-8 at byte ${offset + 1}:`), dump(octets, offset)],
    body(base64, label),
  ];
}

/**
 * A preformatted element for a body in base64, with a button to copy it; null: none is kept.
 * @param {string | null} base64
 * @param {string} label
 */
export function body(base64, label) {
  if (base64 === null) return h("p", { class: "dim" }, "The body is no longer kept; the event’s fields are.");
  const octets = decoded(base64);
  const whole = bodyText(base64);
  const text = whole.slice(0, LONGEST_BODY);
  const block = h("pre", { tabindex: "0", role: "group", "aria-label": label });
  if (text.length === whole.length && isJson(text)) {
    for (const part of indented(text)) block.append(part.isKey ? h("span", { class: "key" }, part.text) : visible(part.text));
  } else {
    block.append(visible(text));
    if (text.length < whole.length) block.append(`\n… ${count(whole.length - text.length)} more characters`);
  }
  return h("div", { class: "command" }, block, octets.length > 0 ? copyButton(whole, `the ${label.toLowerCase()}`) : null);
}
