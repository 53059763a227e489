"""A database with responders on it, histories delivered to them, and the rows that came of it."""

import functools
import json
import pathlib
import random
import sys
import threading
import time
from dataclasses import dataclass
from datetime import timezone
from decimal import Decimal

import psycopg
from psycopg.adapt import Loader
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

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
# Tables that World.forget() does not empty: settings, and rows that migrations wrote.
KEPT = ("settings", "products", "product_features")


@dataclass
class Rows:
    """What the database holds of one history: lists of dicts by table, and the operator's events."""

    events: list
    tables: dict
    decisions: list


def read_rows(connection, like):
    """The Rows whose ids are LIKE this; the connection gives dicts."""
    events = connection.execute(
        """SELECT * FROM bagelpay.events
        WHERE order_id LIKE %(like)s OR event_id LIKE %(like)s OR metadata::text LIKE %(like)s OR request_id LIKE %(like)s""",
        {"like": like}).fetchall()
    tables = {table: connection.execute(
        f"SELECT * FROM bagelpay.{table} WHERE order_id LIKE %s ORDER BY mode, order_id, {table}::text", (like,)).fetchall()
        for table in TABLES}
    decisions = [OperatorEvent(e["event_id"], e["event_type"], e["mode"], e["order_id"], e["occurred_at"], e["product_id"],
                               e["customer_id"], e["customer_email"], e["payment_id"], e["granted_until"], e["note"])
                 for e in events if e["event_id"].startswith("operator:")]
    return Rows(events, tables, decisions)


class _Interval(Loader):
    """Intervals as PostgreSQL writes them: Python's have no months."""

    def load(self, data):
        return bytes(data).decode()


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
            connection.adapters.register_loader("interval", _Interval)
            set_json_loads(functools.partial(json.loads, parse_float=Decimal), connection)
        self.connection = self.connections[0]
        self._zone = None
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
        wanted = {**DEFAULTS, **settings}
        # Checking a zone's name makes PostgreSQL read all of its zones, which takes longer than a history.
        if wanted["provider_timezone"] != self._zone:
            self.connection.execute("UPDATE bagelpay.settings SET provider_timezone = %(provider_timezone)s", wanted)
            self._zone = wanted["provider_timezone"]
        others = ", ".join(f"{name} = %({name})s" for name in DEFAULTS if name != "provider_timezone")
        self.connection.execute(f"UPDATE bagelpay.settings SET {others}", wanted)

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

    def checks(self, prefix):
        """The rows of order_checks of one history."""
        return self.connection.execute("SELECT * FROM bagelpay.order_checks WHERE order_id LIKE %s", (f"%{prefix}%",)).fetchall()

    def explain(self, mode, order_id):
        """What explain() says of an order."""
        return self.connection.execute("SELECT * FROM bagelpay.explain(%s, %s) ORDER BY position", (order_id, mode)).fetchall()

    def ask(self, function, who, product, mode, at):
        """is_entitled() or is_user_entitled()."""
        return self.connection.execute(f"SELECT bagelpay.{function}(%s, %s, %s, %s) AS answer", (who, product, mode, at)).fetchone()["answer"]

    def entitlements(self, prefix, mode, moments):
        """entitlements_at() for the orders of one history: {moment: rows}."""
        found = {moment: [] for moment in moments}
        for row in self.connection.execute(
                """SELECT moment, e.* FROM unnest(%s::timestamptz[]) AS moment, bagelpay.entitlements_at(moment, %s) AS e
                WHERE e.order_id LIKE %s""", (list(moments), mode, f"%{prefix}%")):
            # In UTC: Python takes a moment of an hour that comes twice in a zone for equal to none elsewhere.
            found[row.pop("moment").astimezone(timezone.utc)].append(row)
        return found

    def forget(self):
        """Removes all histories: look-ups by prefix read whole tables."""
        tables = [row["name"] for row in self.connection.execute("""
            SELECT format('%%I.%%I', n.nspname, c.relname) AS name FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = 'bagelpay' AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> ALL (%s)
                AND c.relname !~ 'version|schema|migration'""", (list(KEPT),))]
        self.connection.execute(f"TRUNCATE {', '.join(tables)}")
