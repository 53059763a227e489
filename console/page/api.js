// Asking the console's program. Only paths of this very origin are asked for.

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// How far the server's clock is ahead of this machine's, by its last answer.
let ahead = 0;

export const serverNow = () => Date.now() + ahead;

// Asks for one view; parameters that are null or empty are left out. Throws a Refusal with what to say.
export async function ask(view, parameters, signal) {
  // Not relative: an address that carried a password must not be repeated.
  const url = new URL(`/api/${view}`, window.location.origin);
  for (const [name, value] of Object.entries(parameters ?? {})) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  let answer;
  let content;
  try {
    answer = await fetch(url, { signal, cache: "no-store", redirect: "error", referrerPolicy: "no-referrer" });
    const date = Date.parse(answer.headers.get("Date") ?? "");
    if (!Number.isNaN(date)) ahead = date - Date.now();
    content = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, answer ? `The server answered with status ${answer.status}` : "The console does not answer");
  }
  if (!answer.ok) throw new Refusal(answer.status, content.error ?? `The console answered with status ${answer.status}`);
  return content;
}
