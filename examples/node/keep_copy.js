// Keeps a copy of all entitlements in another database: see docs/copies.md, which has its tables.
//
// Arguments: the connection URI of the database with the schema bagelpay, for a login in bagelpay_reader, and that of
// the copy's database.

import pg from 'pg'

const LONGEST_WAIT = 5 // seconds

const COLUMNS = 'order_id, product_id, customer_id, customer_email, user_id, entitled, reason, valid_until'
const ENTITLEMENTS = `SELECT ${COLUMNS} FROM bagelpay.entitlements_at($1, $2) WHERE kind IS NOT NULL`

// Rows and moments go from one database to the other as text: a Date has no microseconds.
const asJson = (statement) => `SELECT coalesce(json_agg(e), '[]')::text AS rows FROM (${statement}) AS e`

// One round, in one transaction on either side. Returns the seconds until the clock may change something.
async function bringUpToDate (source, copy) {
  await source.query('BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY')
  await copy.query('BEGIN')
  const { rows: [{ mode, cursor, clock }] } = await copy.query(
    'SELECT mode, cursor, clock::text FROM access_cursor FOR UPDATE')
  const { rows: [{ now }] } = await source.query('SELECT greatest(now(), $1)::text AS now', [clock])
  const { rows: changes } = await source.query(
    'SELECT cursor, mode, order_id FROM bagelpay.changes_since($1)', [cursor])
  let entitlements
  if (cursor === '' || changes.some((change) => change.order_id === null)) {
    await copy.query('DELETE FROM access')
    entitlements = await source.query(asJson(ENTITLEMENTS), [now, mode])
  } else {
    const due = await source.query(
      'SELECT order_id FROM bagelpay.entitlement_changes($1, $2, $3)', [clock, now, mode])
    const orders = [...changes.filter((change) => change.mode === mode), ...due.rows].map((row) => row.order_id)
    await copy.query('DELETE FROM access WHERE order_id = ANY ($1)', [orders])
    entitlements = await source.query(asJson(`${ENTITLEMENTS} AND order_id = ANY ($3)`), [now, mode, orders])
  }
  await copy.query(
    `INSERT INTO access (${COLUMNS}) SELECT ${COLUMNS} FROM json_populate_recordset(NULL::access, $1)`,
    [entitlements.rows[0].rows])
  await copy.query('UPDATE access_cursor SET cursor = $1, clock = $2', [changes.at(-1)?.cursor ?? cursor, now])
  const { rows: [{ wait }] } = await source.query(
    `SELECT extract(epoch FROM min(at) - clock_timestamp()) AS wait
    FROM bagelpay.entitlement_changes($1, $1::timestamptz + make_interval(secs => $2), $3)`, [now, LONGEST_WAIT, mode])
  await copy.query('COMMIT')
  await source.query('COMMIT')
  return wait === null ? LONGEST_WAIT : Math.max(0, Number(wait))
}

// Keeps the copy until a connection is lost, or another error.
async function follow (source, copy) {
  let heard
  let wakeUp = () => {}
  const hear = () => {
    heard = true
    wakeUp()
  }
  source.on('notification', hear)
  // After a connection is lost, the next query fails.
  source.on('error', hear)
  copy.on('error', hear)
  await source.connect()
  await copy.connect()
  await source.query('LISTEN bagelpay_orders')
  while (true) {
    heard = false
    const wait = await bringUpToDate(source, copy)
    // Notifications may come with the answers.
    if (heard) continue
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, wait * 1000)
      wakeUp = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

// Keeps the copy until the process ends.
async function keep (sourceUri, copyUri) {
  while (true) {
    const source = new pg.Client(sourceUri)
    const copy = new pg.Client(copyUri)
    // Closing the connections ends their transactions.
    const error = await follow(source, copy).catch((error) => error)
    await Promise.allSettled([source.end(), copy.end()])
    if (error.code === '22023') {
      console.error(`begins again: ${error.message}`)
      const again = new pg.Client(copyUri)
      await again.connect()
      await again.query("UPDATE access_cursor SET cursor = ''")
      await again.end()
    } else if (error instanceof pg.DatabaseError && !/^(08|40|53|57)/.test(error.code)) {
      throw error
    } else {
      console.error(`connects again: ${error.message}`)
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }
}

if (process.argv.length !== 4) {
  console.error('usage: node keep_copy.js SOURCE COPY (connection URIs)')
  process.exit(2)
}
await keep(...process.argv.slice(2))
