"""Every order of arrival of seven events of one order, at once and one at a time, leaves the same rows."""

import itertools
import os

import pytest

import direct

# One life with ties: two events of one second, a refund of the same moment as a payment, a re-subscription.
SEVEN = (
    ("subscription.trialing", "2025-01-01 00:00:00+00", {"amount": "0", "trial_end": "2025-01-08 00:00:00+00"}),
    ("checkout.failed", "2025-01-08 00:00:00+00", {"payment_id": "ch1", "amount": "10"}),
    ("subscription.paid", "2025-01-08 00:00:00+00", {"payment_id": "ch1", "amount": "10", "recurring_interval": "monthly"}),
    ("subscription.paid", "2025-02-08 00:00:00+00", {"payment_id": "ch2", "amount": "10", "customer_email": "new@example.com"}),
    ("refund.created", "2025-02-08 00:00:00+00", {"payment_id": "ch1", "refund_amount": "4"}),
    ("subscription.canceled", "2025-02-09 00:00:00+00", {"cancel_at_period_end": True}),
    ("subscription.paid", "2025-03-08 00:00:00+00", {"payment_id": "ch3", "customer_email": None, "units": 3}),
)
# All 5,040 with BAGELHOOK_ARRIVALS=all; usually each seventh.
PERMUTATIONS = tuple(itertools.permutations(range(7)))[::1 if os.environ.get("BAGELHOOK_ARRIVALS") == "all" else 7]


def seven(number):
    """The seven events of order `number`; their ids sort like their numbers."""
    return [direct.event(f"n{number:04}e{i}", kind, at, f"n{number:04}", **fields) for i, (kind, at, fields) in enumerate(SEVEN)]


def distinct_states(connection):
    """How many different states the orders have, their numbers and ids apart, and of how many orders."""
    return connection.execute("""
        SELECT count(DISTINCT state), count(*) FROM (
            SELECT o.order_id, replace(bagelpay.state_of(o.mode, o.order_id), o.order_id, 'n') AS state FROM bagelpay.orders AS o
        ) AS s""").fetchone()


@pytest.fixture
def connection(world):
    world.forget()
    world.set()
    with world.cluster.connect(world.database) as one:
        yield one
    world.forget()


@pytest.mark.parametrize("copies", (1, 2), ids=("once", "with duplicates"))
def test_all_orders_of_arrival(connection, copies):
    """The n-th order gets its events in the n-th permutation, each in a transaction of its own."""
    orders = [seven(number) for number in range(len(PERMUTATIONS))]
    for position in range(7):
        arriving = [orders[number][order[position]] for number, order in enumerate(PERMUTATIONS)]
        assert set(direct.ingest_many(connection, arriving)) == {"applied"}
        for _ in range(copies - 1):
            assert set(direct.ingest_many(connection, arriving)) == {"duplicate"}
    assert distinct_states(connection) == (1, len(PERMUTATIONS))
    assert connection.execute("SELECT bagelpay.rebuild()").fetchone() == (0,)
    wanted = connection.execute("""
        SELECT o.status, s.status, s.ends_at, s.units, o.customer_email,
            (SELECT array_agg(p.payment_id || ' ' || p.status || ' ' || p.refunded_amount ORDER BY p.payment_id)
             FROM bagelpay.payments AS p WHERE p.order_id = o.order_id)
        FROM bagelpay.orders AS o JOIN bagelpay.subscriptions AS s USING (mode, order_id) LIMIT 1""").fetchone()
    assert wanted == ("paid", "active", None, 3, "new@example.com", ["ch1 partially_refunded 4", "ch2 paid 0", "ch3 paid 0"])


def test_all_orders_within_one_batch(connection):
    """In one call, too, the order within it does not matter."""
    for number, order in enumerate(PERMUTATIONS):
        events = seven(number)
        direct.ingest(connection, [events[i] for i in order])
    assert distinct_states(connection) == (1, len(PERMUTATIONS))
