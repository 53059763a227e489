// Asking the console's program. Only paths of this very origin are asked for.

export class Refusal extends Error {
  /** @param {number} status 0: no answer @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// How far the server's clock is ahead of this machine's, by its last answer.
let ahead = 0;

export const serverNow = () => Date.now() + ahead;

const PATIENCE_MS = 20000;
// The server rejects values of this many bytes; no id comes near it.
const TOO_LONG_BYTES = 2048;

/**
 * Asks for one view; parameters that are null or empty are left out. Throws a Refusal with what to say.
 * @param {string} view
 * @param {Record<string, any> | null} parameters
 * @param {AbortSignal} signal
 */
export async function ask(view, parameters, signal) {
  // Not relative: an address that carried a password must not be repeated.
  const url = new URL(`/api/${view}`, window.location.origin);
  for (const [name, value] of Object.entries(parameters ?? {})) {
    if (value === null || value === undefined || value === "") continue;
    const { length } = new TextEncoder().encode(String(value));
    if (length >= TOO_LONG_BYTES) throw new Refusal(400, `This is longer than any id: ${length.toLocaleString("en")} bytes`);
    url.searchParams.set(name, value);
  }
  let answer;
  let content;
  try {
    answer = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]), cache: "no-store", redirect: "error", referrerPolicy: "no-referrer" });
    content = await answer.json();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Refusal(0, answer ? `The server answered with status ${answer.status}` : "The console does not answer");
  }
  const date = Date.parse(content.now ?? answer.headers.get("Date") ?? "");
  if (!Number.isNaN(date)) ahead = date - Date.now();
  if (!answer.ok) throw new Refusal(answer.status, content.error ?? `The console answered with status ${answer.status}`);
  return content;
}
