// Text from outside, made safe to read: what is not seen is shown, what is endless is cut.

// Characters that are not seen, that look like a space and are none, or that turn around how others are seen.
const UNSEEN = /(?![\t\n ])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Z}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/**
 * The text with each unseen character as its escape.
 * @param {unknown} text
 */
export function visible(text) {
  return String(text).replace(UNSEEN, (c) => {
    const digits = (c.codePointAt(0) ?? 0).toString(16);
    return digits.length > 4 ? `\\u{${digits}}` : `\\u${digits.padStart(4, "0")}`;
  });
}

// Longer text would keep the browser busy, and nobody reads it. A body has it all.
const LONGEST_TEXT = 10000;

/**
 * The beginning of an endless text, and how much more there is.
 * @param {string} text
 */
export function bounded(text) {
  if (text.length <= LONGEST_TEXT) return text;
  const cut = text.slice(0, LONGEST_TEXT).replace(/[\ud800-\udbff]$/, "");
  return `${cut} … ${count(text.length - cut.length)} more characters`;
}

/**
 * A number with its thousands apart.
 * @param {number} number
 */
export const count = (number) => number.toLocaleString("en");

/**
 * "1 file", "2 files".
 * @param {number} number
 * @param {string} one
 * @param {string} [several]
 */
export const counted = (number, one, several = `${one}s`) => `${count(number)} ${number === 1 ? one : several}`;

/**
 * "once", "twice", "3 times".
 * @param {number} number
 */
export const times = (number) => (number === 1 ? "once" : number === 2 ? "twice" : `${count(number)} times`);

/**
 * @param {string} text
 */
export const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

/**
 * Amounts come as text, with all their digits.
 * @param {string | null | undefined} amount
 * @param {string | null | undefined} currency
 */
export function money(amount, currency) {
  return amount === null || amount === undefined ? null : [amount, currency].filter(Boolean).join(" ");
}

/**
 * A length of time as PostgreSQL writes it: 3 mons, 1 year.
 * @param {string | null | undefined} text
 */
export const interval = (text) => text?.replace("mon", "month");

/**
 * @param {number} number
 */
export function bytes(number) {
  if (number < 1024) return counted(number, "byte");
  return number < 1048576 ? `${(number / 1024).toFixed(1)} KiB` : `${(number / 1048576).toFixed(1)} MiB`;
}
