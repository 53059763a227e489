// Moments as text, in UTC or in this machine's zone, always with the zone. The server's times are ISO 8601 in UTC.

/** @typedef {string | number} Moment An ISO 8601 text, or milliseconds since 1970. */

const two = (/** @type {number} */ number) => String(number).padStart(2, "0");

let local = false;

/**
 * Shows moments in this machine's zone from now on, or in UTC.
 * @param {boolean} yes
 */
export function showLocal(yes) {
  local = yes;
}

export const showsLocal = () => local;

/**
 * Milliseconds since 1970.
 * @param {Moment} at
 */
export const ms = (at) => new Date(at).getTime();

/**
 * The date as if it were UTC, shifted by the zone that is shown, and that zone's name: "UTC", "UTC+1", "UTC+5:30".
 * @param {Moment} at
 * @param {boolean} [inLocal]
 * @returns {[Date, string]}
 */
function shifted(at, inLocal = local) {
  const date = new Date(at);
  const minutes = inLocal ? -date.getTimezoneOffset() : 0;
  const size = Math.abs(minutes);
  const name = minutes === 0 ? "UTC" : `UTC${minutes < 0 ? "−" : "+"}${Math.floor(size / 60)}${size % 60 ? `:${two(size % 60)}` : ""}`;
  return [new Date(date.getTime() + minutes * 60000), name];
}

const dayText = (/** @type {Date} */ d) => `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`;
const clockText = (/** @type {Date} */ d) => `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;

/** @param {Moment} at */
export const zoneName = (at) => shifted(at)[1];

/** @param {Moment} at */
export const day = (at) => dayText(shifted(at)[0]);

/** Without the zone, for columns and axes that name it. @param {Moment} at */
export const clock = (at) => clockText(shifted(at)[0]);

/**
 * "2026-05-12 07:27:55 UTC".
 * @param {Moment} at
 */
export function stamp(at) {
  const [date, zone] = shifted(at);
  return `${dayText(date)} ${clockText(date)} ${zone}`;
}

/**
 * "07:27:55 UTC", with the day where it is not that of now.
 * @param {Moment} at
 * @param {Moment} now
 */
export function shortStamp(at, now) {
  return day(at) === day(now) ? `${clock(at)} ${zoneName(at)}` : stamp(at);
}

/**
 * In UTC and in this machine's zone.
 * @param {Moment} at
 */
export function bothStamps(at) {
  const [utc] = shifted(at, false);
  const [here, zone] = shifted(at, true);
  const both = `${dayText(utc)} ${clockText(utc)} UTC`;
  return zone === "UTC" ? both : `${both} = ${dayText(here)} ${clockText(here)} ${zone}`;
}

const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/**
 * "12 May", or "12 May 2025" if it is not this year.
 * @param {Moment} at
 * @param {Moment} now
 */
export function dayInWords(at, now) {
  const [date] = shifted(at);
  const year = date.getUTCFullYear() === shifted(now)[0].getUTCFullYear() ? "" : ` ${date.getUTCFullYear()}`;
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}${year}`;
}

/**
 * "May", or in January "2026".
 * @param {Moment} at the first moment of a month, in UTC
 */
export function monthLabel(at) {
  const date = new Date(at);
  return date.getUTCMonth() === 0 ? String(date.getUTCFullYear()) : MONTHS[date.getUTCMonth()].slice(0, 3);
}

const UNITS = /** @type {const} */ ([["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]]);

/**
 * "3 minutes": the larger units only.
 * @param {number} seconds
 */
export function span(seconds) {
  for (const [name, length] of UNITS) {
    const number = Math.floor(seconds / length);
    if (number >= 2 || (number === 1 && name !== "month")) return `${number} ${name}${number === 1 ? "" : "s"}`;
  }
  return "less than a second";
}

/**
 * Short, for axes and figures.
 * @param {number} seconds
 */
export function shortSpan(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  if (seconds < 63115200) return `${Math.round(seconds / 86400)} d`;
  return `${Math.round(seconds / 31557600)} y`;
}

/**
 * "3 minutes ago", "in 2 days".
 * @param {Moment} at
 * @param {Moment} now
 */
export function relative(at, now) {
  const seconds = (ms(now) - ms(at)) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
}

const MOMENT = /^(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d{1,6})?)?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?$/;

/**
 * Whether a text is a moment that the database will read.
 * @param {string} text
 */
export function isMoment(text) {
  const found = MOMENT.exec(text);
  if (found === null) return false;
  const [, year, month, date, hours, minutes, seconds] = found.map(Number);
  return year > 0 && month >= 1 && month <= 12 && date >= 1 && date <= new Date(Date.UTC(year, month, 0)).getUTCDate()
    && !(hours > 23) && !(minutes > 59) && !(seconds > 59);
}

const OFFSET = /(Z|[+-]\d{2}(?::?\d{2})?)$/;

/**
 * Milliseconds since 1970 of a text that isMoment(), as the database reads it: without a zone it is in UTC.
 * @param {string} text
 */
export function givenMs(text) {
  const date = text.slice(0, 10);
  const rest = text.slice(10);
  const offset = OFFSET.exec(rest)?.[1] ?? "Z";
  const time = rest.replace(OFFSET, "").slice(1) || "00:00";
  return ms(`${date}T${time}${offset.replace(/^([+-]\d{2}):?(\d{2})?$/, (_, hours, minutes) => `${hours}:${minutes ?? "00"}`)}`);
}

/** The value of a field of date and time, in UTC, for a text that isMoment(). @param {string} text */
export const fieldValue = (text) => new Date(givenMs(text)).toISOString().slice(0, 19);

/** The moment that a field of date and time has; it leaves out seconds that are 0. @param {string} value */
export const fieldMoment = (value) => (value.length === 16 ? `${value}:00Z` : `${value}Z`);
