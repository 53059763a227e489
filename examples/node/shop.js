// A shop's handlers: announce an order before the checkout, and ask for access and a feature.
//
// Environment: libpq's variables (PGHOST, PGDATABASE, PGUSER, …) for a login in bagelpay_app; PORT; MODE, live or test.

import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import pg from 'pg'

const { PORT, MODE = 'live' } = process.env

const EXPECT_ORDER = `
  SELECT count(*)
  FROM bagelpay.expect_order(
    order_id => $3, customer_email => $1,
    product_id => 'prod_club', amount => '10.00', currency => 'USD', mode => $2)`
const IS_ENTITLED = "SELECT bagelpay.is_entitled(customer => $1, product => 'prod_club', mode => $2)"
const HAS_FEATURE = "SELECT bagelpay.has_feature(customer => $1, feature => 'export', mode => $2)"

const pool = new pg.Pool({ connectionTimeoutMillis: 5000 })
// Without a listener, an idle connection that the server closes would end the process.
pool.on('error', (error) => console.error(`database: ${error.message}`))

// Returns the value that a statement selects.
async function ask (text, ...values) {
  const { rows: [[value]] } = await pool.query({ text, values, rowMode: 'array' })
  return value
}

async function access (statement, customer) {
  const access = await ask(statement, customer, MODE)
  return [access ? 200 : 403, { access }]
}

const handlers = {
  'GET /club': (customer) => access(IS_ENTITLED, customer),
  'GET /export': (customer) => access(HAS_FEATURE, customer),
  'POST /checkout': async (customer) => {
    const orderId = `order_${randomUUID()}`
    await ask(EXPECT_ORDER, customer, MODE, orderId)
    // Now create the checkout at BagelPay, with this id as metadata.order_id, and send the customer there.
    return [200, { order_id: orderId }]
  }
}

createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost')
  let status = 404
  let content = { error: 'not found' }
  try {
    // In your shop, the session says who the customer is.
    const handle = handlers[`${request.method} ${pathname}`]
    if (handle) [status, content] = await handle(searchParams.get('customer'))
  } catch (error) {
    console.error(`database: ${error.message}`);
    [status, content] = [503, { error: 'try again' }]
  }
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(content))
}).listen(Number(PORT), '127.0.0.1')
