// What the responder answered, in words.

const REFUSED = {
  wrong: "with a signature that the secret does not make: is it the webhook’s?",
  too_old: "that were signed too long ago: is this server’s clock right?",
  missing: "without a signature: not from BagelPay, unless the web server drops it.",
  malformed: "with what is no signature.",
};

// Why deliveries were answered 401, a sentence for each reason there was.
export function notAuthentic(reasons) {
  return Object.entries(REFUSED).filter(([name]) => reasons?.[name] > 0).map(([name, text]) => `${reasons[name].toLocaleString("en")} ${text}`);
}

// What is in no table, as nothing was committed: counts by status, in words; empty where there is none. 400 is a dead
// letter, if it was authentic, and who asks by GET (405) delivers nothing.
export function notTaken(answers) {
  return Object.entries(answers ?? {}).filter(([status, count]) => !["200", "400", "405"].includes(status) && count > 0)
    .map(([status, count]) => `${count.toLocaleString("en")} answered ${status}`).join(", ");
}

// How many of each status came between two counts; a responder that was started anew counts from zero.
export function since(before, counts) {
  const anew = Object.entries(before).some(([status, count]) => (counts[status] ?? 0) < count);
  return Object.fromEntries(Object.entries(counts).map(([status, count]) => [status, count - (anew ? 0 : before[status] ?? 0)]));
}
