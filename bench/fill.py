"""Databases that already hold many events, as if the load had sent them: the rows that ingest() makes of one order's
two events, copied with other numbers."""

import datetime
import multiprocessing
import subprocess

from contestants import BUILD, TEMPLATES

# Beyond those that the load numbers.
FIRST_NUMBER = 500_000_000_000
MARKS = ("ORDERNUMBER_", "EVENTNUMBER_")
# When the filled events came: evenly over so many days until now.
DAYS = 30
RECEIVED = "RECEIVED_AT_"
# Tables, by who copies them: two processes share the work about evenly.
SHARES = (("events",), ("event_bodies", "orders", "subscriptions", "stored_payments"))
LINES_AT_ONCE = 2000


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
    templates = {table: lines for share in SHARES for table, lines in read_templates(cluster, db, share).items()}
    workers = [multiprocessing.Process(target=copy_share, args=(cluster.dsn(db=db), {t: templates[t] for t in share}, events // 2),
                                       daemon=True)
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
    """What ingest() makes of the two events with marks for numbers: {table: (columns, lines as COPY writes them)}."""
    deliveries = [subprocess.run([BUILD / "bench" / "normalise", path], capture_output=True, check=True, text=True).stdout[1:-1]
                  for path in TEMPLATES]
    read = {}
    with cluster.connect(db, autocommit=False) as connection:
        connection.execute("SELECT bagelpay.ingest(%s, %s)", (f"[{','.join(deliveries)}]", [path.read_bytes() for path in TEMPLATES]))
        for table in tables:
            columns = ", ".join(row[0] for row in connection.execute(
                """SELECT quote_ident(attname) FROM pg_attribute
                WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum""",
                (f"bagelpay.{table}",)))
            with connection.cursor().copy(f"COPY (SELECT {columns} FROM bagelpay.{table}) TO STDOUT") as copy:
                text = b"".join(copy).decode()
            now = connection.execute("SELECT now()::text").fetchone()[0]
            read[table] = columns, text.replace(MARKS[0].lower(), MARKS[0]).replace(now, RECEIVED)
        connection.rollback()
    return read


def as_format(text):
    """A line with marks as a format of names: o and e for the numbers, oh and eh for them within a bytea."""
    text = text.replace("%", "%%").replace(RECEIVED, "%(t)s")
    for mark, name in zip(MARKS, "oe"):
        text = text.replace(mark, f"%({name})s").replace(mark.encode().hex(), f"%({name}h)s")
    return text


def names(order, event, received):
    """What the names of such a format stand for."""
    o, e = f"{order:012}", f"{event:012}"
    return {"o": o, "e": e, "oh": o.encode().hex(), "eh": e.encode().hex(), "t": received.isoformat()}


def copy_share(dsn, templates, orders):
    """Fills some tables, in one transaction each, and makes their indexes when the rows are there."""
    import psycopg  # pylint: disable=import-outside-toplevel  (in the process that uses it)
    for table, (columns, text) in templates.items():
        with psycopg.connect(dsn) as connection:
            constraints = connection.execute(
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'",
                (f"bagelpay.{table}",)).fetchall()
            keys = [name for name, _ in constraints]
            indexes = connection.execute(
                "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'bagelpay' AND tablename = %s AND indexname <> ALL (%s)",
                (table, keys)).fetchall()
            connection.execute(f"TRUNCATE bagelpay.{table}")
            for name, _ in indexes:
                connection.execute(f"DROP INDEX bagelpay.{name}")
            for name in keys:
                connection.execute(f"ALTER TABLE bagelpay.{table} DROP CONSTRAINT {name}")
            copy_lines(connection, f"COPY bagelpay.{table} ({columns}) FROM STDIN (FREEZE)", text, orders)
            for name, definition in constraints:
                connection.execute(f"ALTER TABLE bagelpay.{table} ADD CONSTRAINT {name} {definition}")
            for _, definition in indexes:
                connection.execute(definition)


def copy_lines(connection, statement, text, orders):
    """Each line of the text once for each order."""
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
                pending.append(line % names(order, scatter(FIRST_NUMBER + 2 * index + second), received))
            if len(pending) >= LINES_AT_ONCE:
                copy.write("".join(pending))
                pending.clear()
        copy.write("".join(pending))
