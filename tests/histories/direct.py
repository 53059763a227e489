"""Normalised events handed to ingest() directly, many in a call, as the responder would."""

import json

from world import harness  # noqa: F401  (world puts the other tests on the path)


def event(event_id, event_type, at, order_id, **fields):
    """One delivery; `at` is a text with zone. Fields of None are left out."""
    made = {"event_id": event_id, "event_type": event_type, "mode": "live", "occurred_at": at, "customer_id": "c1",
            "product_id": "p1", "metadata": {"order_id": order_id}, **fields}
    return {name: value for name, value in made.items() if value is not None}


def ingest_many(connection, events, at_once=100):
    """ingest() in several calls; returns the outcomes of all."""
    return [outcome for at in range(0, len(events), at_once) for outcome in ingest(connection, events[at:at + at_once])]


def ingest(connection, events):
    """Ingests events in one call, each with its own text as its body; returns their outcomes."""
    bodies = [json.dumps(one, sort_keys=True).encode() for one in events]
    rows = connection.execute("SELECT outcome FROM bagelpay.ingest(%s, %s) ORDER BY ordinal", (json.dumps(events), bodies))
    return [row[0] for row in rows.fetchall()]


def state(connection, without="''"):
    """All rows of state as sorted texts, with a part of them left out (an SQL expression on the order's id)."""
    return connection.execute(f"""
        SELECT what, row FROM (
            SELECT 'order' AS what, order_id, to_jsonb(t) AS row FROM bagelpay.orders AS t
            UNION ALL SELECT 'subscription', order_id, to_jsonb(t) FROM bagelpay.subscriptions AS t
            UNION ALL SELECT 'payment', order_id, to_jsonb(t) FROM bagelpay.payments AS t
            UNION ALL SELECT 'refund', order_id, to_jsonb(t) FROM bagelpay.refunds AS t) AS rows
        CROSS JOIN LATERAL (SELECT replace(row::text, {without}, '')) AS cut (text)
        ORDER BY what, cut.text""").fetchall()
