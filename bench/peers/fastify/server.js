// BagelPay's webhook as one would write it with Fastify and node-postgres: a transaction for each event.
//
// PORT and SECRET, the database as for libpq (PGHOST, PGPORT, PGUSER, PGDATABASE), POOL connections to it.

import { createHmac, timingSafeEqual } from 'node:crypto'
import Fastify from 'fastify'
import pg from 'pg'

const { PORT, SECRET, POOL = '32' } = process.env
if (!PORT || !SECRET) throw new Error('PORT and SECRET must be set')

// As long as bagelhook waits; then the provider is told to come again.
const DATABASE_TIMEOUT_MS = 15000

const pool = new pg.Pool({
  max: Number(POOL),
  connectionTimeoutMillis: DATABASE_TIMEOUT_MS,
  query_timeout: DATABASE_TIMEOUT_MS
})
// Without a listener, an idle connection that the server closes would end the process.
pool.on('error', (error) => console.error(`database: ${error.message}`))

const app = Fastify({ logger: false })

// The signature is over the exact bytes, whatever type they are said to have.
app.removeAllContentTypeParsers()
app.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => done(null, body))

function isAuthentic (body, timestamp, signature) {
  // timingSafeEqual() throws on different lengths.
  if (!/^\d{1,15}$/.test(timestamp) || !/^[0-9a-f]{64}$/.test(signature)) return false
  const expected = createHmac('sha256', SECRET).update(`${timestamp}.`).update(body).digest()
  return timingSafeEqual(expected, Buffer.from(signature, 'hex'))
}

const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)

// Each of these returns what the database takes, or undefined, which JSON.stringify() leaves out.

const text = (value) => (typeof value === 'string' && value.trim()) || undefined

const id = (value) => Number.isInteger(value) ? String(value) : text(value)

const boolean = (value) => typeof value === 'boolean' ? value : undefined

const currency = (value) => /^[a-z]{3}$/i.test(text(value)) ? text(value).toUpperCase() : undefined

// Text stays text, so that the database sees every digit.
function amount (value) {
  if (typeof value === 'number') return value >= 0 ? value : undefined
  return /^\d+(\.\d+)?$/.test(text(value)) ? text(value) : undefined
}

function units (value) {
  const number = Number(amount(value))
  return Number.isInteger(number) ? number : undefined
}

const INTERVALS = Object.fromEntries(Object.entries({
  '1 day': 'daily day',
  '7 days': 'weekly week',
  '1 month': 'monthly month',
  '3 months': '3months quarter quarterly',
  '6 months': '6months half-yearly semiannual',
  '1 year': 'yearly year annual annually 12months'
}).flatMap(([interval, words]) => words.split(' ').map((word) => [word, interval])))

// An interval in PostgreSQL's words.
function interval (value) {
  const word = text(value)?.toLowerCase()
  const string = Object.hasOwn(INTERVALS, word) ? INTERVALS[word] : word
  return /^(1000|[1-9]\d{0,2}) ?(day|week|month|year)s?$/.test(string) ? string : undefined
}

// Without a zone it is not known yet which moment a time is: the database knows the provider's zone.
function time (value) {
  const string = id(value)
  if (/^[1-9]\d{8,12}$/.test(string)) {
    const number = Number(string)
    return { utc: new Date(number < 1e11 ? number * 1000 : number).toISOString() }
  }
  const match = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(Z|[+-]\d\d(?::?\d\d)?)?$/.exec(string)
  if (match === null) return undefined
  return match[1] ? { utc: string } : { local: string }
}

function modeOf (body) {
  const { object } = body
  const modes = [object.mode, body.mode, object.product?.mode, object.order?.mode, object.subscription?.mode]
  // What says test anywhere must not become a live purchase.
  return ['test', 'live'].find((mode) => modes.includes(mode))
}

function refundLabel (object) {
  const labels = { refunded: 'full', partial_refund: 'partial', partially_refunded: 'partial' }
  return [object.refund?.status, object.order?.status, object.status, object.object]
    .filter((status) => Object.hasOwn(labels, status))
    .map((status) => labels[status])[0]
}

// The one object that bagelpay.ingest() takes, or undefined for what is no event.
function deliveryOf (body) {
  if (!isObject(body) || !isObject(body.object)) return undefined
  const { object } = body
  const { product, order, customer, refund, subscription } = object
  const eventId = id(body.event_id) ?? id(body.id)
  const eventType = text(body.event_type)
  const mode = modeOf(body)
  const occurredAt = time(body.created_at)
  if (!eventId || !eventType || !mode || !occurredAt) return undefined

  // The object is the subscription itself, or has it.
  const itself = object.object === 'subscription' ? object : undefined
  const ofSubscription = (type, name) => type(subscription?.[name]) ?? type(itself?.[name])

  const delivery = {
    event_id: eventId,
    event_type: eventType,
    mode,
    created_at_raw: String(body.created_at),
    local_times: {},
    kind: text(object.object),
    has_subscription: isObject(subscription),
    product_id: id(product?.product_id) ?? id(order?.product_id) ?? id(subscription?.product_id),
    product_name: text(product?.name) ?? text(subscription?.product_name),
    billing_type: text(product?.billing_type),
    customer_id: id(customer?.id),
    customer_email: text(customer?.email)?.toLowerCase(),
    provider_order_id: id(order?.order_id),
    payment_id: id(object.payment_id),
    request_id: id(object.request_id),
    amount: amount(order?.amount),
    tax_amount: amount(order?.tax_amount),
    currency: currency(order?.currency) ?? currency(product?.currency),
    subscription_id: id(subscription?.id) ?? id(subscription?.subscription_id),
    processor_subscription_id: id(itself?.id) ?? id(object.subscription_id),
    cancel_at_period_end: ofSubscription(boolean, 'cancel_at_period_end'),
    recurring_interval: ofSubscription(interval, 'recurring_interval') ?? interval(product?.recurring_interval) ??
      interval(product?.billing_period),
    units: ofSubscription(units, 'units'),
    payment_method: ofSubscription(text, 'payment_method'),
    last4: ofSubscription(text, 'last4'),
    billing_amount: ofSubscription(amount, 'billing_amount'),
    refund_id: id(refund?.id) ?? id(refund?.refund_id) ?? id(object.refund_id),
    refund_amount: amount(refund?.amount) ?? amount(object.refund_amount),
    refund_running_total: amount(order?.refunded_amount) ?? amount(object.refunded_amount),
    refund_label: refundLabel(object),
    metadata: isObject(object.metadata) ? object.metadata : undefined
  }
  const times = { occurred_at: occurredAt }
  for (const name of ['trial_start', 'trial_end', 'billing_period_start', 'billing_period_end', 'cancel_at',
    'canceled_at']) {
    times[name] = ofSubscription(time, name)
  }
  for (const [name, value] of Object.entries(times)) {
    if (value?.utc) delivery[name] = value.utc
    else if (value) delivery.local_times[name] = value.local
  }
  return delivery
}

function parse (bytes) {
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
}

// A schema lets Fastify write the answer faster than JSON.stringify() would.
const answers = {
  200: {
    type: 'object',
    properties: { message: { type: 'string' }, event_id: { type: 'string' }, outcome: { type: 'string' } }
  },
  '4xx': { type: 'object', properties: { error: { type: 'string' } } },
  '5xx': { type: 'object', properties: { error: { type: 'string' } } }
}

app.post('/webhooks/bagelpay', { schema: { response: answers } }, async (request, reply) => {
  const body = request.body ?? Buffer.alloc(0)
  const { timestamp, 'bagelpay-signature': signature } = request.headers
  if (!isAuthentic(body, timestamp, signature)) return reply.code(401).send({ error: 'Invalid signature' })

  const delivery = deliveryOf(parse(body))
  if (!delivery) return reply.code(400).send({ error: 'Invalid request body' })
  delivery.signed_timestamp = Number(timestamp)
  delivery.signature = signature

  try {
    // A name makes it a prepared statement of each connection.
    const { rows } = await pool.query({
      name: 'ingest',
      text: 'SELECT ordinal, event_id, outcome FROM bagelpay.ingest($1, $2)',
      values: [JSON.stringify([delivery]), [body]]
    })
    return { message: 'Success', event_id: rows[0].event_id, outcome: rows[0].outcome }
  } catch (error) {
    console.error(`database: ${error.message}`)
    return reply.code(503).send({ error: 'Database unavailable' })
  }
})

app.addHook('onClose', () => pool.end())
process.once('SIGTERM', () => app.close())

await app.listen({ host: '127.0.0.1', port: Number(PORT) })
