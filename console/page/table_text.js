// Rows as CSV and JSON, for a file.

/** @param {unknown} value */
function cell(value) {
  const text = value === null || value === undefined ? "" : Array.isArray(value) ? value.join("; ") : String(value);
  // Spreadsheets run what begins like a formula; a quote in front keeps it text.
  const safe = /^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?$/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/**
 * RFC 4180, with a header.
 * @param {string[]} columns
 * @param {Record<string, unknown>[]} rows
 */
export function toCsv(columns, rows) {
  return [columns.join(","), ...rows.map((row) => columns.map((name) => cell(row[name])).join(","))].map((line) => `${line}\r\n`).join("");
}

/**
 * @param {string[]} columns
 * @param {Record<string, unknown>[]} rows
 */
export function toJson(columns, rows) {
  return `${JSON.stringify(rows.map((row) => Object.fromEntries(columns.map((name) => [name, row[name] ?? null]))), null, 1)}\n`;
}
