// Statements and commands to copy. Nothing here runs them: the page cannot write.

/**
 * A literal of SQL. One with characters that are not seen has them as escapes, so that no paste changes its meaning.
 * @param {string | null | undefined} text
 */
export function literal(text) {
  if (text === null || text === undefined) return "NULL";
  const quoted = text.replaceAll("'", "''");
  if (!/[\p{C}\p{Z}\\]/u.test(quoted.replaceAll(" ", ""))) return `'${quoted}'`;
  return `U&'${quoted.replace(/(?! )[\p{C}\p{Z}\\]/gu, (c) => {
    const digits = (c.codePointAt(0) ?? 0).toString(16);
    return c === "\\" ? "\\\\" : digits.length > 4 ? `\\+${digits.padStart(6, "0")}` : `\\${digits.padStart(4, "0")}`;
  })}'`;
}

const call = (/** @type {string} */ name, /** @type {(string | null)[]} */ ...values) =>
  `SELECT * FROM bagelpay.${name}(${values.map((value) => literal(value)).join(", ")});`;

/** @typedef {{what: string, text: string, as: string}} Remedy What it does, the text to copy, and the role it needs. */

/** @type {(what: string, text: string) => Remedy} */
const byApp = (what, text) => ({ what, text, as: "bagelpay_app" });
/** @type {(what: string, text: string) => Remedy} */
const byOwner = (what, text) => ({ what, text, as: "bagelpay_owner" });

const NOTE = "why";

/**
 * A month of access. What has no order yet gets one of its own; a customer or product that is not known is to be filled in.
 * @param {{order_id: string | null, customer_email: string | null, product_id: string | null, mode: string}} e
 */
export function grantStatement(e) {
  return `SELECT * FROM bagelpay.grant(${literal(e.order_id)}, ${literal(e.customer_email ?? "customer@example.com")}, ${literal(e.product_id ?? "prod_id")}, `
    + `now() + interval '1 month', ${literal(NOTE)}, ${literal(e.mode)});`;
}

/**
 * What a person can decide of an item: the most likely first.
 * @param {any} e an item of the API
 * @param {any[]} disputed its disputed payments
 * @returns {Remedy[]}
 */
export function remediesOf(e, disputed = []) {
  const who = e.customer_id ?? e.customer_email;
  const of = [NOTE, e.mode, e.product_id, who];
  const has = e.decisions.length > 0;
  return [
    ...disputed.map((p) => byApp(`Once the dispute of ${p.name} is won: count the payment again`, call("dispute_won", p.name, "won", e.mode, e.order_id))),
    e.reason === "revoked" ? byApp("Take the revocation back", call("clear", e.order_id, ...of)) : null,
    e.entitled && e.reason !== "granted" ? null : byApp(e.reason === "granted" ? "Grant another month from now" : "Grant a month of access", grantStatement(e)),
    has && e.reason !== "revoked" ? byApp("Remove the override, so that the payments decide", call("clear", e.order_id, ...of)) : null,
    e.entitled ? byApp("End the access now", call("revoke", e.order_id, ...of)) : null,
  ].filter((remedy) => remedy !== null);
}

/** @type {() => Remedy[]} */
export function neverCame() {
  return [
    { what: "Compare with what BagelPay lists", text: "bagelhook-verify", as: "bagelpay_reader" },
    byOwner("Take a body that BagelPay's support sent you", "bagelhook import body.json"),
  ];
}

/** @type {(order: string, mode: string) => Remedy} */
export const explained = (order, mode) => ({ what: "Show what each event of its order changed", text: call("explain", order, mode), as: "bagelpay_reader" });

/** @type {(number: number | string) => Remedy} */
export const redriveOne = (number) => byOwner("Try it again", `bagelhook redrive --id ${Number(number)}`);

/** @type {() => Remedy} */
export const redriveAll = () => byOwner("Try all open ones again", "bagelhook redrive --all");

/** @type {() => Remedy} */
export const redriveIgnored = () => byOwner("After an upgrade that knows the type: apply it", "bagelhook redrive --ignored");

/**
 * A command with the database that it is for; a statement as it is. Without a name, or with one that a shell might read
 * as more than a name, the command is as it is.
 * @param {string} text
 * @param {string} database
 */
export function onDatabase(text, database) {
  return /^bagelhook(-verify)? /.test(`${text} `) && /^[\w.-]+$/.test(database) ? `${text} --database dbname=${database}` : text;
}

/** @type {(id: string) => Remedy} */
export const dismissal = (id) => byApp("Take it off the list", call("dismiss", id, "checked"));
