// BagelPay's webhook as people write it with Fastify and node-postgres: the event, its order and its subscription in
// one transaction.
//
// Environment: PORT, SECRET; STORE, the file of the one statement, or without it BEGIN, a statement for each table, and
// COMMIT; POOL, connections to the database, which is libpq's (PGHOST, PGPORT, PGUSER, PGDATABASE).

import { createHmac, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import Fastify from 'fastify'
import pg from 'pg'

const { PORT, SECRET, STORE, POOL } = process.env
const TOLERANCE_S = 300

const pool = new pg.Pool({ max: Number(POOL), query_timeout: 15000 })
// Without a listener, an idle connection that the server closes would end the process.
pool.on('error', (error) => console.error(`database: ${error.message}`))

const app = Fastify()

// The signature covers the exact bytes.
app.removeAllContentTypeParsers()
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => done(null, body))

function isSigned (body, timestamp, signature) {
  // timingSafeEqual() throws on different lengths.
  if (!/^\d{1,12}$/.test(timestamp) || !/^[0-9a-f]{64}$/.test(signature)) return false
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_S) return false
  const expected = createHmac('sha256', SECRET).update(`${timestamp}.`).update(body).digest()
  return timingSafeEqual(expected, Buffer.from(signature, 'hex'))
}

// The provider's times are UTC and have no zone.
const utc = (time) => time && `${time}Z`

// The parameters of the statements. Throws on a body that is no event.
function read (text) {
  const { event_id: eventId, event_type: eventType, object } = JSON.parse(text)
  const { order, customer, product, subscription } = object
  if (!eventId || !eventType) throw new TypeError('no event')
  return {
    event: [eventId, eventType, text],
    order: [object.metadata?.order_id ?? object.request_id, customer.id, customer.email.toLowerCase(),
      product.product_id, object.payment_id, order.amount, order.currency.toUpperCase(), order.status],
    subscription: [subscription?.id, subscription?.status, utc(subscription?.billing_period_start),
      utc(subscription?.billing_period_end)]
  }
}

// Statements with a name are prepared once on each connection.
const one = STORE && { name: 'store', text: readFileSync(STORE, 'utf8') }
const insertEvent = {
  name: 'event',
  text: `INSERT INTO webhook_events (event_id, event_type, body)
    VALUES ($1, $2, $3)
    ON CONFLICT (event_id) DO NOTHING`
}
const upsertOrder = {
  name: 'order',
  text: `INSERT INTO orders (order_id, customer_id, customer_email, product_id, payment_id, amount, currency, status)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (order_id) DO UPDATE
    SET payment_id = excluded.payment_id, amount = excluded.amount, status = excluded.status, updated_at = now()`
}
const upsertSubscription = {
  name: 'subscription',
  text: `INSERT INTO subscriptions (subscription_id, status, period_start, period_end, order_id, customer_id, product_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (subscription_id) DO UPDATE
    SET status = excluded.status, period_start = excluded.period_start, period_end = excluded.period_end, updated_at = now()`
}

async function storeSeparately ({ event, order, subscription }) {
  const client = await pool.connect()
  let failed
  try {
    await client.query('BEGIN')
    const { rowCount } = await client.query({ ...insertEvent, values: event })
    if (rowCount === 1) {
      await client.query({ ...upsertOrder, values: order })
      if (subscription[0]) {
        const [orderId, customerId, , productId] = order
        await client.query({ ...upsertSubscription, values: [...subscription, orderId, customerId, productId] })
      }
    }
    await client.query('COMMIT')
  } catch (error) {
    failed = error
    throw error
  } finally {
    // A connection within a failed transaction is closed, which rolls it back.
    client.release(failed)
  }
}

const store = one
  ? ({ event, order, subscription }) => pool.query({ ...one, values: [...event, ...order, ...subscription] })
  : storeSeparately

app.post('/webhooks/bagelpay', async (request, reply) => {
  const { timestamp, 'bagelpay-signature': signature } = request.headers
  const body = request.body ?? Buffer.alloc(0)
  if (!isSigned(body, timestamp, signature)) return reply.code(401).send({ error: 'Invalid signature' })
  let values
  try {
    values = read(body.toString())
  } catch {
    return reply.code(400).send({ error: 'Invalid request body' })
  }
  try {
    await store(values)
  } catch (error) {
    console.error(`database: ${error.message}`)
    return reply.code(503).send({ error: 'Database unavailable' })
  }
  return { message: 'Success' }
})

app.addHook('onClose', () => pool.end())
process.once('SIGTERM', () => app.close())

await app.listen({ host: '127.0.0.1', port: Number(PORT) })
