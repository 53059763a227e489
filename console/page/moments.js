// Times and amounts in words. The server's times are ISO 8601 in UTC.

import { h } from "./dom.js";

const two = (number) => String(number).padStart(2, "0");

export const ms = (iso) => new Date(iso).getTime();

export function day(iso) {
  const at = new Date(iso);
  return `${at.getUTCFullYear()}-${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
}

export function clock(iso) {
  const at = new Date(iso);
  return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
}

export const stamp = (iso) => `${day(iso)} ${clock(iso)}`;

// "3 minutes", of seconds; the larger units only.
export function span(seconds) {
  const units = [["year", 31557600], ["month", 2629800], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  for (const [name, length] of units) {
    const count = Math.floor(seconds / length);
    if (count >= 2 || (count === 1 && name !== "month")) return `${count} ${name}${count === 1 ? "" : "s"}`;
  }
  return "less than a second";
}

// Short, for axes and figures.
export function shortSpan(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  if (seconds < 63115200) return `${Math.round(seconds / 86400)} d`;
  return `${Math.round(seconds / 31557600)} y`;
}

export function relative(iso, now) {
  const seconds = (ms(now) - ms(iso)) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
}

// A moment, and how far it is from now.
export function moment(iso, now) {
  if (!iso) return null;
  return h("span", null, h("time", { datetime: iso }, stamp(iso)), now ? h("span", { class: "dim" }, ` (${relative(iso, now)})`) : null);
}

// For lists: the day only where it is not today.
export function listed(iso, now) {
  const whole = h("time", { datetime: iso, title: stamp(iso) });
  if (day(iso) !== day(now)) whole.append(h("span", { class: "dim" }, day(iso) + " "));
  whole.append(clock(iso));
  return whole;
}

export function money(amount, currency) {
  return amount === null || amount === undefined ? null : [amount, currency].filter(Boolean).join(" ");
}

// A length of time as PostgreSQL writes it: 3 mons, 1 year.
export const interval = (text) => text?.replace("mon", "month");

export function bytes(count) {
  if (count < 1024) return `${count} bytes`;
  return count < 1048576 ? `${(count / 1024).toFixed(1)} KiB` : `${(count / 1048576).toFixed(1)} MiB`;
}
