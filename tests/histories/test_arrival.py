"""Every order of arrival of seven events of one order, at once and one at a time, leaves the rows of the reference."""

import itertools
import os
from datetime import datetime
from decimal import Decimal

import pytest

import direct
from world import read_rows  # noqa: F401  (world puts the other tests on the path)
import compare
from psycopg.rows import dict_row
from reference import extract, fold, readers
from reference.settings import Settings

SUBSCRIPTION = {"billing_type": "subscription", "subscription_id": "s1"}
# An event: its type, its time, whether it has the merchant's key, its fields. `{n}` is the order's id.
LIVES = {
    # Two events of one second, a refund of the same moment as a payment, a re-subscription.
    "renewals": (
        ("subscription.trialing", "2025-01-01 00:00:00+00", True, {"amount": "0", "trial_end": "2025-01-08 00:00:00+00"}),
        ("checkout.failed", "2025-01-08 00:00:00+00", True, {"payment_id": "{n}ch1", "amount": "10"}),
        ("subscription.paid", "2025-01-08 00:00:00+00", True, {"payment_id": "{n}ch1", "amount": "10", "recurring_interval": "1 month"}),
        ("subscription.paid", "2025-02-08 00:00:00+00", True, {"payment_id": "{n}ch2", "amount": "10", "customer_email": "new@example.com"}),
        ("refund.created", "2025-02-08 00:00:00+00", True, {"payment_id": "{n}ch1", "refund_amount": "4"}),
        ("subscription.canceled", "2025-02-09 00:00:00+00", True, {"cancel_at_period_end": True}),
        ("subscription.paid", "2025-03-08 00:00:00+00", True, {"payment_id": "{n}ch3", "customer_id": None, "units": 3}),
    ),
    # Only two of them have metadata; a payment has no name of its own at first, and two tell one refund.
    "linked": (
        ("checkout.completed", "2025-01-01 00:00:00+00", True, {"provider_order_id": "{n}ORD1", "amount": "20"}),
        ("checkout.completed", "2025-01-01 00:00:05+00", False, {"provider_order_id": "{n}ORD1", "payment_id": "{n}ch1", "amount": "20"}),
        ("refund.created", "2025-01-03 00:00:00+00", False, {"payment_id": "{n}ch1", "provider_order_id": "{n}ORD1", "refund_id": "re", "refund_amount": "8"}),
        ("refund.created", "2025-01-04 00:00:00+00", False, {"payment_id": "{n}ch2", "refund_id": "re", "refund_amount": "9"}),
        ("checkout.failed", "2025-01-05 00:00:00+00", True, {"payment_id": "{n}ch2", "provider_order_id": "{n}ORD2"}),
        ("subscription.paid", "2025-01-05 00:00:00+00", False, {"payment_id": "{n}ch2", "recurring_interval": "7 days", **SUBSCRIPTION}),
        ("checkout.cancel", "2025-01-06 00:00:00+00", False, {"provider_order_id": "{n}ORD2", "payment_id": "{n}ch2"}),
    ),
    # Another product of the same subscription, a renewal that does not name it, a customer known by the e-mail only.
    "plan change": (
        ("checkout.completed", "2025-01-01 00:00:00+00", True, {"payment_id": "{n}ch1", "amount": "0", "billing_type": "subscription",
                                                               "customer_email": "a@example.com"}),
        ("subscription.trialing", "2025-01-01 00:00:02+00", True, {"payment_id": "{n}ch1", "trial_end": "2025-01-08 00:00:00+00", **SUBSCRIPTION}),
        ("subscription.paid", "2025-01-08 00:00:00+00", True, {"payment_id": "{n}ch2", "amount": "10", "processor_subscription_id": "x1",
                                                              "billing_period_end": "2025-02-08 00:00:00+00", **SUBSCRIPTION}),
        ("subscription.paid", "2025-01-20 00:00:00+00", True, {"payment_id": "{n}ch3", "product_id": "p2", "amount": "30", "customer_id": None,
                                                              "customer_email": "a@example.com", **SUBSCRIPTION}),
        ("subscription.canceled", "2025-01-25 00:00:00+00", True, {"processor_subscription_id": "x1", "product_id": None, "customer_id": None}),
        ("subscription.paid", "2025-01-25 00:00:00+00", True, {"payment_id": "{n}ch4", "product_id": None, "customer_id": None,
                                                              "processor_subscription_id": "x1"}),
        ("refund.created", "2025-01-26 00:00:00+00", True, {"product_id": "p2", "refund_label": "full"}),
    ),
}
TIMES = ("occurred_at", "trial_end", "billing_period_end")
# All 5,040 with BAGELHOOK_ARRIVALS=all; usually each 23rd, which ends in every order of the last ones.
PERMUTATIONS = tuple(itertools.permutations(range(7)))[::1 if os.environ.get("BAGELHOOK_ARRIVALS") == "all" else 23]


def seven(life, number):
    """The seven events of order `number`; their ids sort like their numbers."""
    name = f"n{number:04}"
    return [direct.event(f"{name}e{i}", kind, at, name if has_key else None,
                         **{field: value.replace("{n}", name) if isinstance(value, str) else value for field, value in fields.items()})
            for i, (kind, at, has_key, fields) in enumerate(LIVES[life])]


def referred(one):
    """The reference's event of a delivery."""
    fields = {**one, "metadata_tokens": one.get("metadata"), "occurred_path": "created_at"}
    for name in TIMES:
        if name in fields:
            fields[name] = datetime.fromisoformat(fields[name] + ":00")
    for name in ("amount", "refund_amount"):
        if name in fields:
            fields[name] = Decimal(fields[name])
    if "recurring_interval" in fields:
        fields["recurring_interval"] = readers.read_interval(fields["recurring_interval"])
    return extract.Event(**fields)


def check(connection, life):
    """All orders are in one state, which is the reference's."""
    assert direct.distinct_states(connection) == (1, len(PERMUTATIONS))
    assert connection.execute("SELECT bagelpay.rebuild()").fetchone() == (0,)
    states = fold.fold([referred(one) for one in seven(life, 0)], Settings())
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = read_rows(cursor, "n0000%")
    assert compare.compare_tables(rows, states) == []


@pytest.fixture
def connection(world):
    world.forget()
    world.set()
    with world.cluster.connect(world.database) as one:
        yield one
    world.forget()


@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("copies", (1, 2), ids=("once", "with duplicates"))
def test_all_orders_of_arrival(connection, life, copies):
    """The n-th order gets its events in the n-th permutation, each in a transaction of its own."""
    orders = [seven(life, number) for number in range(len(PERMUTATIONS))]
    for position in range(7):
        arriving = [orders[number][order[position]] for number, order in enumerate(PERMUTATIONS)]
        assert set(direct.ingest_many(connection, arriving)) == {"applied"}
        for _ in range(copies - 1):
            assert set(direct.ingest_many(connection, arriving)) == {"duplicate"}
    check(connection, life)


@pytest.mark.parametrize("life", LIVES)
def test_all_orders_within_one_batch(connection, life):
    """In one call, too, the order within it does not matter."""
    for number, order in enumerate(PERMUTATIONS):
        events = seven(life, number)
        direct.ingest(connection, [events[i] for i in order])
    check(connection, life)
