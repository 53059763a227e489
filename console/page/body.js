// The bytes of a body for people: as indented JSON with every digit and escape as it came, or as they are.

import { h, visible } from "./dom.js";

const ROW = 16;

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const LONGEST = 200000;

export function decoded(base64) {
  return Uint8Array.from(window.atob(base64.replace(/\s/g, "")), (c) => c.charCodeAt(0));
}

// JSON text with line breaks and indentation; tokens stay as they are, so that 1.10 stays 1.10.
function* lines(text) {
  let depth = 0;
  let before = "";
  const tokens = text.match(TOKENS) ?? [];
  for (const [i, token] of tokens.entries()) {
    const next = tokens[i + 1];
    if (token === "}" || token === "]") {
      depth = Math.max(depth - 1, 0);
      if (before !== "{" && before !== "[") yield "\n" + "  ".repeat(Math.min(depth, 64));
    } else if (before === "{" || before === "[" || before === ",") {
      yield "\n" + "  ".repeat(Math.min(depth, 64));
    }
    yield next === ":" && token.startsWith('"') ? { key: token } : token === ":" ? ": " : token;
    if (token === "{" || token === "[") depth++;
    before = token;
  }
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

// Where bytes stop being UTF-8, from 0; -1 where they all are.
function notUtf8(bytes) {
  const fits = (count, all) => {
    try {
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, count), { stream: !all });
      return true;
    } catch {
      return false;
    }
  };
  if (fits(bytes.length, true)) return -1;
  let good = 0;
  let bad = bytes.length + 1;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (fits(middle, false)) good = middle;
    else bad = middle;
  }
  // What is good so far may end in a character that has only begun: that is where it goes wrong.
  while (good > 0 && !fits(good, true)) good--;
  return good;
}

const hex = (number, digits) => number.toString(16).padStart(digits, "0");

// The rows around an offset, as hexadecimal numbers and as what they are in ASCII; the byte there stands out.
function dump(bytes, offset) {
  const block = h("pre", { tabindex: "0", role: "region", "aria-label": "Bytes around it" });
  const first = Math.max(Math.floor(offset / ROW) - 1, 0) * ROW;
  for (let at = first; at < Math.min(first + 3 * ROW, bytes.length); at += ROW) {
    const row = [...bytes.subarray(at, at + ROW)];
    block.append(`${hex(at, 6)} `);
    row.forEach((byte, i) => block.append(" ", at + i === offset ? h("span", { class: "wrong" }, hex(byte, 2)) : hex(byte, 2)));
    block.append("   ".repeat(ROW - row.length), "  ", row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join(""), "\n");
  }
  return block;
}

// The bytes of what is no valid event, and where they are none of a text.
export function oddBody(base64, label) {
  const bytes = decoded(base64);
  const offset = notUtf8(bytes);
  return [
    offset === -1 ? null : [h("p", null, `Not UTF-8 at byte ${offset + 1}:`), dump(bytes, offset)],
    body(base64, label),
  ];
}

// A preformatted element for a body in base64; null: none is kept.
export function body(base64, label) {
  if (base64 === null) return h("p", { class: "dim" }, "The body is no longer kept; the event’s fields are.");
  const bytes = decoded(base64);
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, LONGEST));
  const block = h("pre", { tabindex: "0", role: "region", "aria-label": label });
  if (bytes.length <= LONGEST && isJson(text)) {
    for (const part of lines(text)) block.append(part.key ? h("span", { class: "key" }, part.key) : visible(part));
  } else {
    block.append(visible(text));
    if (bytes.length > LONGEST) block.append(`\n… ${bytes.length - LONGEST} more bytes`);
  }
  return block;
}
