"""A database with responders on it, histories delivered to them, and the rows that came of it."""

import functools
import json
import pathlib
import random
import re
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal

import psycopg
from psycopg.rows import dict_row

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "e2e"), str(TESTS)]

import fastcgi  # noqa: E402
import harness  # noqa: E402
from reference.fold import OperatorEvent  # noqa: E402

from made import Decision  # noqa: E402

RESPONDERS = 2
CONNECTIONS = 4
TABLES = ("orders", "items", "payments", "trials", "cancellations", "refunds")
# SQLSTATEs by which a decision is refused that names something unknown: raised by the function, or no data found.
REFUSALS = ("P0001", "P0002", "22023", "22P02", "02000")
DEFAULTS = {"order_key": ["metadata.order_id", "metadata.orderId"], "user_key": ["metadata.user_id", "metadata.userId"],
            "provider_timezone": "UTC", "grace": "1 day", "default_period": "31 days", "revoke_on_dispute": True, "unknown_refund": "full",
            "on_cancel": "end_now", "require_expected_order": False, "notify": True}
# Columns with moments, of all tables and functions.
MOMENTS = {"occurred_at", "last_event_at", "updated_at", "trial_start", "trial_end", "billing_period_start", "billing_period_end", "cancel_at",
           "canceled_at", "paid_at", "period_start", "period_end", "starts_at", "ends_at", "granted_until", "valid_from", "valid_until"}
# Tables that World.forget() does not empty: settings, and rows that migrations wrote.
KEPT = ("settings", "products", "product_features")


@dataclass
class Rows:
    """What the database holds of one history: lists of dicts by table, and the operator's events."""

    events: list
    tables: dict
    decisions: list


@functools.lru_cache(100000)
def moment(text):
    """A timestamptz as the reference has it: in UTC, None for NULL."""
    return text and datetime.fromisoformat(text).astimezone(timezone.utc)


@functools.lru_cache(10000)
def ranges(text):
    """A tstzmultirange as the reference has it: a list of (start, end)."""
    return [tuple(moment(bound.strip('"') or None) for bound in bounds) for bounds in re.findall(r"[\[(]([^,]*),([^\])]*)[\])]", text)]


def fetch(connection, query, parameters=None):
    """The rows of a query, as dicts; the connection gives dicts. They come as one JSON text: psycopg converts values slowly."""
    text = connection.execute(f"SELECT coalesce(json_agg(r), '[]')::text AS rows FROM ({query}) AS r", parameters).fetchone()["rows"]
    rows = json.loads(text, parse_float=Decimal)
    for row in rows:
        row.update((name, moment(row[name])) for name in MOMENTS & row.keys())
    return rows


def read_tables(connection, like):
    """The rows of state whose ids are LIKE this, by table; the connection gives dicts."""
    return {table: fetch(connection, f"SELECT * FROM bagelpay.{table} WHERE order_id LIKE %s ORDER BY mode, order_id, {table}::text", (like,))
            for table in TABLES}


def read_rows(connection, like):
    """The Rows whose ids are LIKE this; the connection gives dicts."""
    events = fetch(
        connection, """SELECT * FROM bagelpay.events
        WHERE order_id LIKE %(like)s OR event_id LIKE %(like)s OR metadata::text LIKE %(like)s OR request_id LIKE %(like)s""",
        {"like": like})
    decisions = [OperatorEvent(e["event_id"], e["event_type"], e["mode"], e["order_id"], e["occurred_at"], e["product_id"],
                               e["customer_id"], e["customer_email"], e["payment_id"], e["granted_until"], e["note"])
                 for e in events if e["event_id"].startswith("operator:")]
    return Rows(events, read_tables(connection, like), decisions)


class World:
    """One database for many histories, each with a prefix of its own."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.database = cluster.create_database()
        secret = "whsec_histories"
        self.responders = [harness.Responder(cluster.dsn("bagelhook", self.database), "--threads", CONNECTIONS, secret=secret)
                           for _ in range(RESPONDERS)]
        self.secret = secret
        # Sessions in zones that arithmetic must not depend on.
        self.connections = [cluster.connect(self.database) for _ in range(CONNECTIONS)]
        for connection, zone in zip(self.connections, ("America/New_York", "Asia/Kathmandu", "UTC", "Pacific/Apia")):
            connection.execute("SELECT set_config('TimeZone', %s, false)", (zone,))
            connection.row_factory = dict_row
        self.connection = self.connections[0]
        # Checking a zone's name makes PostgreSQL read all of its zones, which takes longer than a history.
        self.connection.execute("ALTER TABLE bagelpay.settings DISABLE TRIGGER settings_check_zone")
        # Decisions that were refused, as they named something unknown.
        self.refused = 0

    def close(self):
        for responder in self.responders:
            responder.close()
        for connection in self.connections:
            connection.close()
        self.cluster.drop_database(self.database)

    def set(self, **settings):
        """Changes settings; the others get their defaults."""
        columns = ", ".join(f"{name} = %({name})s" for name in DEFAULTS)
        self.connection.execute(f"UPDATE bagelpay.settings SET {columns}", {**DEFAULTS, **settings})

    def set_periods(self, periods):
        """Changes bagelpay.products to these: {product_id: interval}."""
        self.connection.execute("DELETE FROM bagelpay.products")
        for product_id, period in periods.items():
            self.connection.execute("INSERT INTO bagelpay.products (product_id, period) VALUES (%s, %s)", (product_id, period))

    def deliver(self, history, seed):
        """Lets everything arrive, over several connections and responders at once. Every answer has to be a 200."""
        for mode, order_id, *wanted in history.expected:
            self.connection.execute("SELECT bagelpay.expect_order(%s, %s, %s, %s, %s, %s)", (order_id, *wanted, mode))
        failures = []
        threads = [threading.Thread(target=self._deliver_some, args=(i, history.arrivals[i::CONNECTIONS], seed, failures))
                   for i in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures[0]

    def _deliver_some(self, number, arrivals, seed, failures):
        chance = random.Random(f"{seed} {number}")
        try:
            for arrival in arrivals:
                if isinstance(arrival, Decision):
                    self._decide(self.connections[number], arrival)
                    continue
                timestamp = str(int(time.time()))
                answer = fastcgi.request(
                    str(chance.choice(self.responders).socket_path),
                    fastcgi.post_params(len(arrival), harness.sign(self.secret, arrival, timestamp), timestamp), arrival)
                if answer.status != 200:
                    failures.append(f"{answer} to {arrival!r}")
        except Exception as error:  # pylint: disable=broad-except
            failures.append(repr(error))

    def _decide(self, connection, decision):
        one = decision
        calls = {"grant": ("%s, %s, %s, %s, 'note', %s", (one.order_id, one.customer, one.product_id, one.until, one.mode)),
                 "revoke": ("%s, 'note', %s, %s, %s", (one.order_id, one.mode, one.product_id, one.customer)),
                 "clear": ("%s, 'note', %s, %s, %s", (one.order_id, one.mode, one.product_id, one.customer)),
                 "dispute_won": ("%s, 'note', %s, %s", (one.payment_id, one.mode, one.order_id))}
        arguments, values = calls[decision.kind]
        try:
            connection.execute(f"SELECT bagelpay.{decision.kind}({arguments})", values)
        except psycopg.Error as error:
            if error.sqlstate not in REFUSALS:
                raise
            self.refused += 1

    def read(self, prefix):
        """The rows of one history. Every id of it holds its prefix, and no other history's does."""
        return read_rows(self.connection, f"%{prefix}%")

    def tables(self, prefix):
        """The rows of state of one history, by table."""
        return read_tables(self.connection, f"%{prefix}%")

    def checks(self, prefix):
        """The rows of order_checks of one history."""
        return fetch(self.connection, "SELECT * FROM bagelpay.order_checks WHERE order_id LIKE %s", (f"%{prefix}%",))

    def explain(self, names):
        """The steps that explain() lists of orders, by (mode, order_id)."""
        found = {name: [] for name in names}
        for row in fetch(self.connection, """SELECT n.mode, n.order_id, e.event_id, e.order_status
                FROM unnest(%s::text[], %s::text[]) AS n (mode, order_id), bagelpay.explain(n.order_id, n.mode) AS e
                ORDER BY e.position""", _columns(names, 2)):
            found[row["mode"], row["order_id"]].append((row["event_id"], row["order_status"]))
        return found

    def rebuild(self, names):
        """The orders, by (mode, order_id), whose state rebuild() changed."""
        return self.connection.execute("""SELECT mode, order_id FROM unnest(%s::text[], %s::text[]) AS n (mode, order_id)
            WHERE bagelpay.rebuild(order_id, mode) <> 0""", _columns(names, 2)).fetchall()

    def ask(self, function, questions, mode):
        """The answers of is_entitled() or is_user_entitled() to questions: (who, product, moment)."""
        return [row["answer"] for row in self.connection.execute(
            f"""SELECT bagelpay.{function}(who, product, %s, at) AS answer
            FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) WITH ORDINALITY AS q (who, product, at, number) ORDER BY number""",
            (mode, *_columns(questions, 3)))]

    def entitlements(self, prefix, mode, moments):
        """entitlements_at() for the orders of one history: a list of rows for each moment."""
        found = [[] for _ in moments]
        for row in fetch(
                self.connection, """SELECT m.number, e.* FROM unnest(%s::timestamptz[]) WITH ORDINALITY AS m (moment, number),
                bagelpay.entitlements_at(m.moment, %s) AS e WHERE e.order_id LIKE %s""", (moments, mode, f"%{prefix}%")):
            row["periods"] = ranges(row["periods"])
            found[row.pop("number") - 1].append(row)
        return found

    def forget(self):
        """Removes all histories: look-ups by prefix read whole tables."""
        tables = [row["name"] for row in self.connection.execute("""
            SELECT format('%%I.%%I', n.nspname, c.relname) AS name FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname IN ('bagelpay', 'bagelpay_internal') AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> ALL (%s)
                AND c.relname !~ 'version|schema|migration'""", (list(KEPT),))]
        self.connection.execute(f"TRUNCATE {', '.join(tables)}")


def _columns(rows, count):
    """Rows of `count` values as lists, for unnest()."""
    return [[row[i] for row in rows] for i in range(count)]
