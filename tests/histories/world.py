"""A database with responders on it, histories delivered to them, and the rows that came of it."""

import functools
import hashlib
import json
import pathlib
import random
import sys
import threading
import time
from dataclasses import dataclass
from datetime import timezone
from decimal import Decimal

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
TABLES = ("orders", "subscriptions", "payments", "refunds")


@dataclass
class Rows:
    """What the database holds of one history: lists of dicts by table, and the operator's events."""

    events: list
    tables: dict
    decisions: list


def read_rows(connection, like, digests):
    """The Rows whose ids are LIKE this, or whose event is named by one of these digests; the connection gives dicts."""
    events = connection.execute(
        """SELECT * FROM bagelpay.events
        WHERE order_id LIKE %(like)s OR event_id LIKE %(like)s OR metadata::text LIKE %(like)s OR event_id = ANY (%(digests)s)""",
        {"like": like, "digests": [f"sha256:{digest}" for digest in digests]}).fetchall()
    tables = {table: connection.execute(
        f"SELECT * FROM bagelpay.{table} WHERE order_id LIKE %s ORDER BY mode, order_id", (like,)).fetchall() for table in TABLES}
    decisions = [OperatorEvent(e["event_id"], e["event_type"], e["mode"], e["order_id"], e["occurred_at"],
                               e["customer_email"], e["product_id"], e["granted_until"], e["note"])
                 for e in events if e["event_id"].startswith("operator:")]
    return Rows(events, tables, decisions)


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
            set_json_loads(functools.partial(json.loads, parse_float=Decimal), connection)
        self.connection = self.connections[0]
        self._zone = None

    def close(self):
        for responder in self.responders:
            responder.close()
        for connection in self.connections:
            connection.close()
        self.cluster.drop_database(self.database)

    def set(self, **settings):
        """Changes settings; the others get their defaults."""
        defaults = {"order_key": ["metadata.order_id", "metadata.orderId"], "provider_timezone": "UTC", "grace": "1 day",
                    "default_period": "31 days", "revoke_on_dispute": True, "unknown_refund": "full", "on_cancel": "end_now",
                    "require_expected_order": False}
        wanted = {**defaults, **settings}
        # Checking a zone's name makes PostgreSQL read all of its zones, which takes longer than a history.
        if wanted["provider_timezone"] != self._zone:
            self.connection.execute("UPDATE bagelpay.settings SET provider_timezone = %(provider_timezone)s", wanted)
            self._zone = wanted["provider_timezone"]
        self.connection.execute("""
            UPDATE bagelpay.settings SET order_key = %(order_key)s, grace = %(grace)s, default_period = %(default_period)s, revoke_on_dispute = %(revoke_on_dispute)s,
                unknown_refund = %(unknown_refund)s, on_cancel = %(on_cancel)s,
                require_expected_order = %(require_expected_order)s""", wanted)

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

    @staticmethod
    def _decide(connection, decision):
        if decision.kind == "grant":
            connection.execute("SELECT bagelpay.grant(%s, %s, %s, %s, 'note', %s)", (
                decision.order_id, decision.customer_email, decision.product_id, decision.until, decision.mode))
        elif decision.kind == "revoke":
            connection.execute("SELECT bagelpay.revoke(%s, 'note', %s)", (decision.order_id, decision.mode))
        else:
            connection.execute("SELECT bagelpay.clear(%s, 'note', %s)", (decision.order_id, decision.mode))

    def read(self, prefix, bodies):
        """The rows of one history. Every id of it holds its prefix, and no other history's does.

        A body may hold the prefix in nothing that is kept: then its event is named by the body's digest.
        """
        return read_rows(self.connection, f"%{prefix}%", [hashlib.sha256(body).hexdigest() for body in bodies])

    def entitlements(self, prefix, mode, moments):
        """entitlements_at() for the orders of one history: {moment: rows}."""
        found = {moment: [] for moment in moments}
        for row in self.connection.execute(
                """SELECT moment, e.* FROM unnest(%s::timestamptz[]) AS moment, bagelpay.entitlements_at(moment, %s) AS e
                WHERE e.order_id LIKE %s ORDER BY moment, e.order_id COLLATE "C" """, (list(moments), mode, f"%{prefix}%")):
            # In UTC: Python takes a moment of an hour that comes twice in a zone for equal to none elsewhere.
            found[row.pop("moment").astimezone(timezone.utc)].append(row)
        return found

    def forget(self):
        """Removes all histories: look-ups by prefix read whole tables."""
        self.connection.execute("""
            TRUNCATE bagelpay.events, bagelpay.event_bodies, bagelpay.dead_letters, bagelpay.orders, bagelpay.subscriptions,
                bagelpay.stored_payments, bagelpay.refunds, bagelpay.expected_orders, bagelpay.mended_orders,
                bagelpay.forgotten_keys""")
