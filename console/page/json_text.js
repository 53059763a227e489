// JSON as text: indented with every digit and escape as it came, and compared leaf by leaf.

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const MOST_LEVELS = 64;

/** @param {string} text */
export function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * JSON text with line breaks and indentation. Tokens stay as they are: 1.10 stays 1.10.
 * @param {string} text
 * @returns {Generator<{text: string, isKey: boolean}>}
 */
export function* indented(text) {
  let depth = 0;
  let before = "";
  const tokens = text.match(TOKENS) ?? [];
  const newLine = () => ({ text: "\n" + "  ".repeat(Math.min(depth, MOST_LEVELS)), isKey: false });
  for (const [i, token] of tokens.entries()) {
    if (token === "}" || token === "]") {
      depth = Math.max(depth - 1, 0);
      if (before !== "{" && before !== "[") yield newLine();
    } else if (before === "{" || before === "[" || before === ",") {
      yield newLine();
    }
    yield { text: token === ":" ? ": " : token, isKey: tokens[i + 1] === ":" && token.startsWith('"') };
    if (token === "{" || token === "[") depth++;
    before = token;
  }
}

/**
 * The values of a JSON text by their paths, as they are written: {"object.order.amount": "1.10"}.
 * @param {string} text valid JSON
 */
export function leaves(text) {
  /** @type {Map<string, string>} */
  const found = new Map();
  const tokens = text.match(TOKENS) ?? [];
  let at = 0;
  /** @param {string[]} path */
  const read = (path) => {
    const token = tokens[at++];
    if (token !== "{" && token !== "[") {
      found.set(path.join("."), token);
      return;
    }
    const end = token === "{" ? "}" : "]";
    if (tokens[at] === end) found.set(path.join("."), token + end);
    for (let i = 0; tokens[at] !== end && at < tokens.length; i++) {
      let name = String(i);
      if (token === "{") {
        name = JSON.parse(tokens[at]);
        at += 2;
      }
      read([...path, name]);
      if (tokens[at] === ",") at++;
    }
    at++;
  };
  read([]);
  return found;
}

/**
 * The paths at which two JSON texts differ, each with both values as they are written; null where there is none.
 * @param {string} one
 * @param {string} other
 */
export function differences(one, other) {
  const here = leaves(one);
  const there = leaves(other);
  return [...new Set([...here.keys(), ...there.keys()])]
    .filter((path) => here.get(path) !== there.get(path))
    .map((path) => ({ path, one: here.get(path) ?? null, other: there.get(path) ?? null }));
}

/**
 * Where bytes stop being UTF-8, from 0; -1 if they are UTF-8.
 * @param {Uint8Array} octets
 */
export function notUtf8(octets) {
  const fits = (/** @type {number} */ size, /** @type {boolean} */ all) => {
    try {
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets.subarray(0, size), { stream: !all });
      return true;
    } catch {
      return false;
    }
  };
  if (fits(octets.length, true)) return -1;
  let good = 0;
  let bad = octets.length + 1;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (fits(middle, false)) good = middle;
    else bad = middle;
  }
  // What is good so far may end in a character that has only begun: that is where it goes wrong.
  while (good > 0 && !fits(good, true)) good--;
  return good;
}
