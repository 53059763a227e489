"""Normalised events handed to ingest() directly, many in a call, as the responder would."""

import hashlib
import json

from world import TABLES, harness  # noqa: F401  (world puts the other tests on the path)
from compare import COLUMNS, KEYS


def event(event_id, event_type, at, order_id, **fields):
    """One delivery; `at` is a text with zone. Fields of None are left out, and the metadata if there is no order_id."""
    metadata = None if order_id is None else {"order_id": order_id}
    made = {"event_id": event_id, "event_type": event_type, "mode": "live", "occurred_at": at, "customer_id": "c1",
            "product_id": "p1", "metadata": metadata, **fields, **(fields.get("local_times") or {})}
    return {name: value for name, value in made.items() if value is not None}


def ingest_many(connection, events, at_once=100):
    """ingest() in several calls; returns the outcomes of all."""
    return [outcome for at in range(0, len(events), at_once) for outcome in ingest(connection, events[at:at + at_once])]


def ingest(connection, events):
    """Ingests events in one call, each with its own text as its body; returns their outcomes."""
    bodies = [json.dumps(one, sort_keys=True).encode() for one in events]
    deliveries = [{**one, "digest": "\\x" + hashlib.sha256(body).hexdigest()} for one, body in zip(events, bodies)]
    rows = connection.execute("SELECT outcome FROM bagelpay.ingest(%s, %s) ORDER BY ordinal", (json.dumps(deliveries), bodies))
    return [row[0] for row in rows.fetchall()]


def _states():
    """A query for all rows of state: what, mode, order_id, row; a row has the promised columns."""
    return " UNION ALL ".join(
        f"SELECT '{table}' AS what, mode, order_id, jsonb_build_array(order_id, {', '.join(KEYS[table] + COLUMNS[table])})::text AS row FROM bagelpay.{table}"
        for table in TABLES)


def state(connection, without="''"):
    """All rows of state as sorted texts, with a part of them left out (an SQL expression on the order's id)."""
    return connection.execute(f"""
        SELECT what, cut.text FROM ({_states()}) AS rows CROSS JOIN LATERAL (SELECT replace(row, {without}, '')) AS cut (text)
        ORDER BY what, cut.text""").fetchall()


def distinct_states(connection):
    """How many different states the orders have, their ids apart, and of how many orders."""
    return connection.execute(f"""
        SELECT count(DISTINCT state), count(*) FROM (
            SELECT string_agg(what || ' ' || replace(row, order_id, 'n'), '; ' ORDER BY what, replace(row, order_id, 'n') COLLATE "C") AS state
            FROM ({_states()}) AS rows GROUP BY mode, order_id) AS s""").fetchone()
