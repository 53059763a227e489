// The bytes of a body for people: as indented JSON with every digit and escape as it came, or as they are.

import { h, visible } from "./dom.js";

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

// A preformatted element for a body in base64; null: none is kept.
export function body(base64, label) {
  if (base64 === null) return h("p", { class: "dim" }, "The body is no longer kept; the event’s fields are.");
  const bytes = decoded(base64);
  const text = new TextDecoder("utf-8").decode(bytes.subarray(0, LONGEST));
  const block = h("pre", { tabindex: "0", role: "region", "aria-label": label });
  if (bytes.length <= LONGEST && isJson(text)) {
    for (const part of lines(text)) block.append(part.key ? h("span", { class: "key" }, part.key) : visible(part));
  } else {
    block.append(visible(text));
    if (bytes.length > LONGEST) block.append(`\n… ${bytes.length - LONGEST} more bytes`);
  }
  return block;
}
