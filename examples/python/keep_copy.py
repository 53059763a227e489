"""Keeps a copy of all entitlements in another database: see docs/copies.md, which has its tables.

Arguments: the connection string of the database with the schema bagelpay, for a login in bagelpay_reader, and that of
the copy's database.
"""

import select
import sys
import time

import psycopg

LONGEST_WAIT = 5  # seconds

COLUMNS = "order_id, product_id, customer_id, customer_email, user_id, entitled, reason, valid_until"
ENTITLEMENTS = f"SELECT {COLUMNS} FROM bagelpay.entitlements_at(%s, %s) WHERE kind IS NOT NULL"


def bring_up_to_date(source, copy):
    """One round, in one transaction on either side. Returns the seconds until the clock may change something."""
    with source.transaction(), copy.transaction():
        source.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        mode, cursor, clock = copy.execute("SELECT mode, cursor, clock FROM access_cursor FOR UPDATE").fetchone()
        now, = source.execute("SELECT greatest(now(), %s)", (clock,)).fetchone()
        changes = source.execute("SELECT cursor, mode, order_id FROM bagelpay.changes_since(%s)", (cursor,)).fetchall()
        if cursor == "" or any(order is None for _, _, order in changes):
            copy.execute("DELETE FROM access")
            rows = source.execute(ENTITLEMENTS, (now, mode))
        else:
            orders = {order for _, changed_mode, order in changes if changed_mode == mode}
            orders.update(order for order, in source.execute(
                "SELECT order_id FROM bagelpay.entitlement_changes(%s, %s, %s)", (clock, now, mode)))
            copy.execute("DELETE FROM access WHERE order_id = ANY (%s)", (list(orders),))
            rows = source.execute(f"{ENTITLEMENTS} AND order_id = ANY (%s)", (now, mode, list(orders)))
        with copy.cursor().copy(f"COPY access ({COLUMNS}) FROM STDIN") as out:
            for row in rows:
                out.write_row(row)
        if changes:
            cursor = changes[-1][0]
        copy.execute("UPDATE access_cursor SET cursor = %s, clock = %s", (cursor, now))
        wait, = source.execute(
            "SELECT extract(epoch FROM min(at) - clock_timestamp())"
            " FROM bagelpay.entitlement_changes(%s, %s::timestamptz + make_interval(secs => %s), %s)",
            (now, now, LONGEST_WAIT, mode)).fetchone()
        return LONGEST_WAIT if wait is None else max(0, float(wait))


def keep(source_dsn, copy_dsn):
    """Keeps the copy until the process ends."""
    heard = []
    while True:
        try:
            with (psycopg.connect(source_dsn, autocommit=True) as source,
                  psycopg.connect(copy_dsn, autocommit=True) as copy):
                source.add_notify_handler(heard.append)
                source.execute("LISTEN bagelpay_orders")
                while True:
                    heard.clear()
                    wait = bring_up_to_date(source, copy)
                    # Notifications may come with the answers.
                    if not heard:
                        select.select([source], [], [], wait)
        except psycopg.errors.InvalidParameterValue as error:
            print(f"begins again: {error}", file=sys.stderr)
            with psycopg.connect(copy_dsn) as copy:
                copy.execute("UPDATE access_cursor SET cursor = ''")
        except psycopg.OperationalError as error:
            print(f"connects again: {error}", file=sys.stderr)
            time.sleep(1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: keep_copy.py SOURCE COPY (connection strings)")
    keep(*sys.argv[1:])
