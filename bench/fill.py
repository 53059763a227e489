"""Databases that already hold many events, as if the load had sent them: the rows that ingest() makes of one order's
two events, copied with other numbers."""

import array
import datetime
import json
import multiprocessing
import subprocess

from contestants import BUILD, TEMPLATES

# Beyond those that the load numbers.
FIRST_NUMBER = 500_000_000_000
MARKS = ("ORDERNUMBER_", "EVENTNUMBER_")
# When the filled events came: evenly over so many days until now.
DAYS = 30
RECEIVED = "RECEIVED_AT_"
ITEM_KEY = "ITEM_KEY_"
# Tables, by who copies them: two processes share the work about evenly.
SHARES = (
    ("bagelpay.events",), ("bagelpay.event_bodies", "bagelpay.orders", "bagelpay_internal.purchases", "bagelpay_internal.stored_items"))
ORDERS_AT_ONCE = 2000
# The columns of a purchase that bagelpay_internal.item_key() reads.
ITEM_COLUMNS = ("mode", "order_id", "product_id", "customer_id", "user_id")


def scatter(number):
    """The same as in events.c."""
    return number * 618033988751 % 10**12


def order_number(index):
    """The number in the ids of the filled order of this index."""
    return scatter(FIRST_NUMBER + index)


def fill(cluster, db, events):
    """Fills a migrated database without events; the cluster is restarted, so that nobody may be connected."""
    if events == 0:
        return
    # Rows that come with the table's own file are not logged with this.
    cluster.stop()
    cluster.start(wal_level="minimal", max_wal_senders="0", max_wal_size="32GB", maintenance_work_mem="1GB",
                  shared_buffers="4GB")
    templates, item = read_templates(cluster, db, [table for share in SHARES for table in share])
    workers = [multiprocessing.Process(target=copy_share, daemon=True,
                                       args=(cluster.dsn(db=db), {t: templates[t] for t in share}, item, events // 2))
               for share in SHARES]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        if worker.exitcode != 0:
            raise RuntimeError("filling failed")
    with cluster.connect(db) as connection:
        # Or autovacuum would do it while something is measured.
        connection.execute("VACUUM (ANALYZE)")
    cluster.stop()
    cluster.start()


def read_templates(cluster, db, tables):
    """What ingest() makes of the two events with marks for numbers: {table: (columns, lines as COPY writes them)}, and the
    purchase's item, as JSON."""
    deliveries = [subprocess.run([BUILD / "bench" / "normalise", path], capture_output=True, check=True, text=True).stdout[1:-1]
                  for path in TEMPLATES]
    read = {}
    with cluster.connect(db, autocommit=False) as connection:
        connection.execute("SELECT bagelpay.ingest(%s, %s)", (f"[{','.join(deliveries)}]", [path.read_bytes() for path in TEMPLATES]))
        (key, *item), = connection.execute(f"SELECT item_key, {', '.join(ITEM_COLUMNS)} FROM bagelpay_internal.purchases").fetchall()
        (now,), = connection.execute("SELECT now()::text").fetchall()
        for table in tables:
            columns = ", ".join(row[0] for row in connection.execute(
                """SELECT quote_ident(attname) FROM pg_attribute
                WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum""", (table,)))
            with connection.cursor().copy(f"COPY (SELECT {columns} FROM {table}) TO STDOUT") as copy:
                text = b"".join(copy).decode()
            read[table] = columns, text.replace(MARKS[0].lower(), MARKS[0]).replace(now, RECEIVED).replace(str(key), ITEM_KEY)
        connection.rollback()
    return read, json.dumps(dict(zip(ITEM_COLUMNS, item)))


def as_format(text):
    """A line with marks as a format of names: o and e for the numbers, oh and eh for them within a bytea."""
    text = text.replace("%", "%%").replace(RECEIVED, "%(t)s").replace(ITEM_KEY, "%(k)s")
    for mark, name in zip(MARKS, "oe"):
        text = text.replace(mark, f"%({name})s").replace(mark.encode().hex(), f"%({name}h)s")
    return text


def names(order, event, received, item_key):
    """What the names of such a format stand for."""
    o, e = f"{order:012}", f"{event:012}"
    return {"o": o, "e": e, "oh": o.encode().hex(), "eh": e.encode().hex(), "t": received.isoformat(), "k": item_key}


def copy_share(dsn, templates, item, orders):
    """Fills some tables, in one transaction each, and makes their indexes when the rows are there."""
    import psycopg  # pylint: disable=import-outside-toplevel  (in the process that uses it)
    keys = []
    if any(ITEM_KEY in text for _, text in templates.values()):
        with psycopg.connect(dsn) as connection:
            keys = item_keys(connection, item, orders)
    for table, (columns, text) in templates.items():
        schema = table.partition(".")[0]
        with psycopg.connect(dsn) as connection:
            constraints = connection.execute(
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'",
                (table,)).fetchall()
            primary = [name for name, _ in constraints]
            indexes = connection.execute(
                "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname || '.' || tablename = %s AND indexname <> ALL (%s)",
                (table, primary)).fetchall()
            connection.execute(f"TRUNCATE {table}")
            for name, _ in indexes:
                connection.execute(f"DROP INDEX {schema}.{name}")
            for name in primary:
                connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            copy_lines(connection, f"COPY {table} ({columns}) FROM STDIN (FREEZE)", text, orders, keys)
            for name, definition in constraints:
                connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
            for _, definition in indexes:
                connection.execute(definition)


def item_keys(connection, item, orders):
    """The item_key of each filled order's one item."""
    keys = array.array("q")
    for first in range(0, orders, ORDERS_AT_ONCE):
        numbers = [order_number(index) for index in range(first, min(first + ORDERS_AT_ONCE, orders))]
        keys.extend(key for key, in connection.execute(
            """SELECT bagelpay_internal.item_key(json_populate_record(NULL::bagelpay_internal.purchases, replace(%s, %s, lpad(n::text, 12, '0'))::json))
            FROM unnest(%s::bigint[]) WITH ORDINALITY AS u (n, position) ORDER BY position""", (item, MARKS[0], numbers)))
    return keys


def copy_lines(connection, statement, text, orders, keys):
    """Each line of the text once for each order. keys are the orders' item keys, where the text has such."""
    # Lines that speak of the second event, the payment, get that one's number.
    payment = "evt_paid_"
    lines = [(as_format(line), int(payment in line or payment.encode().hex() in line)) for line in text.splitlines(keepends=True)]
    with connection.cursor().copy(statement) as copy:
        pending = []
        now = datetime.datetime.now(datetime.timezone.utc)
        for index in range(orders):
            order = order_number(index)
            received = now - datetime.timedelta(days=DAYS) * (1 - index / orders)
            for line, second in lines:
                event = scatter(FIRST_NUMBER + 2 * index + second)
                pending.append(line % names(order, event, received, keys[index] if keys else None))
            if len(pending) >= ORDERS_AT_ONCE:
                copy.write("".join(pending))
                pending.clear()
        copy.write("".join(pending))
