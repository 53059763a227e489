// What the responder answered, in words.

const REFUSED = {
  wrong: "with a signature of another secret: is the secret that of this webhook?",
  too_old: "that were signed too long ago: is this server’s clock right?",
  missing: "without a signature: not from BagelPay, unless the web server drops it.",
  malformed: "with something that is not a signature.",
  mode: "with the secret of another mode; each is a dead letter.",
};

// Why deliveries were answered 401, a sentence for each reason there was.
export function notAuthentic(reasons) {
  return Object.entries(REFUSED).filter(([name]) => reasons?.[name] > 0).map(([name, text]) => `${reasons[name].toLocaleString("en")} ${text}`);
}

// How many deliveries were answered with each status and stored nowhere, in words; empty if there are none. Left out are
// dead letters (400, and 401 because of the mode) and GET requests (405), which deliver nothing.
export function notTaken(answers, reasons) {
  const left = { ...answers };
  if (left["401"] > 0) left["401"] -= reasons?.mode ?? 0;
  return Object.entries(left).filter(([status, count]) => !["200", "400", "405"].includes(status) && count > 0)
    .map(([status, count]) => `${count.toLocaleString("en")} answered ${status}`).join(", ");
}

// How many of each status came between two counts; a responder that was started anew counts from zero.
export function since(before, counts) {
  const anew = Object.entries(before).some(([status, count]) => (counts[status] ?? 0) < count);
  return Object.fromEntries(Object.entries(counts).map(([status, count]) => [status, count - (anew ? 0 : before[status] ?? 0)]));
}
