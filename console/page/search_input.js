// What people paste into the search, and what it is taken as.

const AROUND = "[\\s\\u00a0\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2069\\ufeff<>()\\[\\]{},;:!?\"'`´“”„‘’‚«»]+";
const BEFORE = new RegExp(`^${AROUND}`);
const BEHIND = new RegExp(`(?:${AROUND}|\\.)+$`);
const LONGEST_NAME = 500;
const SHORTEST_BEGINNING = 3;

/** @param {string} text */
function unquoted(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The name in a text as it is pasted: of `Ann <ann@example.com>,` or `mailto:ann@example.com?subject=x` the address, of
 * anything else what is left without the white space, brackets, quotes and punctuation around it.
 * @param {string} text
 */
export function cleaned(text) {
  let name = text;
  const inBrackets = /<\s*(?:mailto:)?\s*([^<>\s]+@[^<>\s]+?)\s*>/i.exec(name);
  if (inBrackets !== null) name = inBrackets[1];
  name = name.replace(BEFORE, "");
  if (/^mailto:/i.test(name)) name = unquoted(name.replace(/^mailto:/i, "").replace(/\?.*$/s, ""));
  return name.replace(BEFORE, "").replace(BEHIND, "");
}

/** @param {string} name */
export const isAddress = (name) => /^[^@\s]+@[^@\s]+$/.test(name);

/**
 * Why a cleaned name cannot be searched for, as a sentence; null if it can.
 * @param {string} name
 */
export function searchProblem(name) {
  if (name === "") return "Type an order, event, payment or customer id, or an e-mail address.";
  if (name.length > LONGEST_NAME) return `This is longer than any id: ${name.length} characters. Paste the id or the address alone.`;
  if (name.endsWith("*") && name.replace(/\*+$/, "").length < SHORTEST_BEGINNING) return `Type at least ${SHORTEST_BEGINNING} characters before the *.`;
  return null;
}
