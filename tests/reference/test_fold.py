"""The reference's fold against cases worked by hand: orders, payments, the tables of §6."""

import itertools
import random
from datetime import datetime

import pytest

from .bodies import (
    closed, decision, ended, event, failed, moment, paid, raw, refund, renewed, state, text, trial,
    who)
from .extract import parse
from .fold import fold
from .settings import Settings
from .test_reference import SAMPLES
from .times import UTC


def order_status(*events, settings=Settings()):
    return state(*events, settings=settings).order["status"]


# Sorting and membership.

def test_any_order_any_number_of_times():
    events = [trial(0), renewed(7), refund(8, refund_amount=4), ended(9), failed(38, "p2"),
              decision("grant", 8), renewed(7, "p2", amount=11), closed(40, "p2"),
              paid(7, None, order_object={"order_id": "A"}), refund(6, None),
              renewed(8, "p3", order_object={"order_id": "A"})]
    expected = state(*events).tables()
    for seed in range(50):
        shuffled = events + random.Random(seed).choices(events, k=4)
        random.Random(seed).shuffle(shuffled)
        assert state(*shuffled).tables() == expected


def test_sorted_by_second_rank_time_and_id():
    def at(event_type, fraction, event_id):
        body = raw(event_type, 0, event_id).replace(b"00:00:00.000000", b"00:00:00." + fraction)
        return parse(body)

    events = [at("checkout.failed", b"9", "a"), at("checkout.cancel", b"5", "b"),
              at("checkout.completed", b"0", "c"), at("checkout.completed", b"1", "B"),
              at("checkout.completed", b"1", "é"), at("subscription.trialing", b"0", "d"),
              at("subscription.paid", b"0", "e"), at("refund.created", b"0", "f"),
              at("subscription.canceled", b"0", "g"), decision("revoke", 0)]
    found = state(*reversed(events))
    assert [step[0] for step in found.steps] == [one.event_id for one in events]


def test_event_ids_sort_bytewise():
    names = ["\U0001f600", "\uffff", "b", "B", "é"]
    found = state(*(parse(raw("refund.created", 0, event_id=name)) for name in names))
    assert [step[0] for step in found.steps] == ["B", "b", "é", "\uffff", "\U0001f600"]


def test_sorting_applies_the_zone():
    early = parse(raw("checkout.cancel", 0, event_id="a").replace(
        text(0).encode(), b"2025-01-01 07:00:00"))
    late = parse(raw("refund.created", 0, event_id="b"))
    assert state(early, late).order["last_event_id"] == "a"
    found = state(early, late, settings=Settings(provider_timezone="Asia/Shanghai"))
    assert found.order["last_event_id"] == "b"


def test_who_has_no_part():
    assert fold([event("order.shipped"), event("operator.grant"), event(metadata={})], Settings()) == {}
    found = fold([paid(0), event(mode="test"), event(order="o2")], Settings())
    assert set(found) == {("live", "o1"), ("test", "o1"), ("live", "o2")}


# orders.

def test_attributes_are_those_of_selling_events():
    found = state(
        failed(0, "p0", customer={"email": "early@x"}, request_id="r"),
        paid(1, customer={"id": "c"}, product={"product_id": "a", "name": "A"}),
        refund(2, product={"product_id": "b"}, customer={"email": "late@x"}),
        paid(3, "p2", None, product={"product_id": "b"}, metadata={"order_id": "o1", "user_id": 7}))
    order = found.order
    assert (order["product_id"], order["product_name"], order["customer_email"]) == ("b", "A", "early@x")
    assert (order["customer_id"], order["payment_id"], order["amount"]) == ("c", "p2", 10)
    assert (order["user_id"], order["request_id"]) == ("7", "r")
    assert order["last_event_at"] == order["updated_at"] == moment(3)
    assert found.payments["p1"]["updated_at"] == moment(3)


def test_a_grants_attributes():
    found = state(decision("grant", 0, product_id="p", customer_email="e@x"))
    assert (found.order["product_id"], found.order["customer_email"]) == ("p", "e@x")
    assert (found.order["status"], found.order["key_source"]) == ("pending", "metadata")
    found = state(paid(0), decision("grant", 1, product_id="p", customer_email="e@x"))
    assert found.order["product_id"] is None
    found = state(decision("revoke", 0, product_id="p", customer_email="e@x"))
    assert found.order["product_id"] is None


def test_key_source():
    keyless = refund(0, "p1", metadata={})
    assert state(keyless, paid(1)).order["key_source"] == "metadata"
    assert state(keyless, order="payment:p1").order["key_source"] == "payment"
    assert state(decision("clear", 0, order="order:1"), order="order:1").order["key_source"] == "order"


def test_conflict():
    assert not state(paid(0, **who("1")), paid(1, "p2")).order["conflict"]
    assert state(paid(0, **who("1")), paid(1, "p2", **who("2"))).order["conflict"]
    assert not state(paid(0, **who("1")), refund(1, "p9", **who("2"))).order["conflict"]
    assert not state(paid(0, **who("1", "a@x")), paid(1, "p2", **who(None, "a@x"))).order["conflict"]


@pytest.mark.parametrize("events, status", [
    ([ended(0)], "pending"),
    ([trial(0)], "trialing"), ([paid(0), trial(1)], "trialing"),
    ([failed(0)], "failed"), ([closed(0), failed(1)], "failed"), ([trial(0), failed(1)], "trialing"),
    ([closed(0)], "canceled"), ([failed(0), closed(1)], "canceled"), ([trial(0), closed(1)], "trialing"),
    ([closed(0), paid(1)], "paid"), ([paid(0), ended(1)], "paid"),
    ([paid(0), paid(1, "p2"), closed(2, "p1")], "paid"),
    ([paid(0), paid(1, "p2"), closed(2, "p2")], "disputed"),
    ([paid(0), paid(1, "p2"), refund(2, "p1")], "paid"),
    ([paid(0), paid(1, "p2"), refund(2, "p2")], "refunded"),
    ([paid(0), trial(1), refund(2, "p7")], "paid"),
    ([paid(0), refund(1, object="refunded"), trial(2), paid(3)], "refunded"),
    ([paid(0), refund(1, object="refunded"), failed(2, "p2")], "refunded"),
    ([paid(0), closed(1, "p1"), trial(2), decision("dispute_won", 3, payment_id="p1")], "paid"),
])
def test_order_status(events, status):
    assert order_status(*events) == status


# payments.

def test_payment_names():
    number = {"order_id": "A"}
    found = state(paid(0, "p1"), paid(1, None, order_object=number),
                  parse(raw(day=2, event_id="e9")), event("refund.created", 3, payment_id="p7"))
    assert set(found.payments) == {"p1", "order:A", "event:e9"}
    assert found.payments["order:A"]["provider_order_id"] == "A"
    # One without a payment_id belongs to the latest paid one of its provider's order.
    found = state(paid(0, "p1", order_object=number), paid(1, "p2", order_object=number),
                  paid(2, None, 12, order_object=number), failed(3, None, order_object=number))
    assert {name: row["amount"] for name, row in found.payments.items()} == {"p1": 10, "p2": 12}
    found = state(failed(0, "p1", order_object=number), paid(2, None, order_object=number))
    assert {name: row["status"] for name, row in found.payments.items()} == {
        "p1": "failed", "order:A": "paid"}


def test_taking_over():
    number = {"order_id": "A"}
    unnamed = paid(0, None, 7, order_object=number, product={"product_id": "a"})
    found = state(unnamed, failed(1, "p1"), refund(2, "p9", order_object=number, refund_amount=1),
                  paid(3, "p1", None, order_object=number, product={"product_id": "b"}))
    assert set(found.payments) == {"p1"}
    row = found.payments["p1"]
    assert (row["paid_at"], row["amount"], row["product_id"]) == (moment(0), 7, "a")
    assert (row["status"], row["refunded_amount"]) == ("partially_refunded", 1)
    assert {one["payment_id"] for one in found.refunds.values()} == {"p1"}
    # A failed row is taken over as well, and what it said is dropped.
    found = state(failed(0, None, order_object={**number, "amount": 9}),
                  paid(1, "p1", None, order_object=number))
    assert set(found.payments) == {"p1"}
    assert (found.payments["p1"]["paid_at"], found.payments["p1"]["amount"]) == (moment(1), None)
    # A paid payment, and a failed event, take nothing over.
    found = state(paid(0, "p1"), unnamed, paid(1, "p1", order_object=number))
    assert set(found.payments) == {"p1", "order:A"}
    assert set(state(unnamed, failed(1, "p2", order_object=number)).payments) == {"order:A", "p2"}


def test_a_payment_that_only_failed():
    found = state(failed(0, **who("c", "a@x", "p", "u"), order_object={"amount": 9}),
                  failed(1, **who(None, "b@x"), subscription={"units": 3}))
    row = found.payments["p1"]
    assert (row["status"], row["paid_at"], row["kind"]) == ("failed", None, "subscription")
    assert (row["customer_id"], row["customer_email"], row["product_id"]) == ("c", "b@x", "p")
    assert (row["user_id"], row["amount"], row["units"], row["refunded_amount"]) == ("u", 9, 3, 0)
    found = state(failed(0, **who("c", "a@x", "p")), paid(1, order_object={"amount": None}))
    row = found.payments["p1"]
    assert (row["customer_id"], row["customer_email"], row["product_id"]) == (None, None, None)
    assert state(failed(0, **who(None, "a@x"))).payments["p1"]["customer_id"] is None


def test_one_payment_told_twice():
    found = state(paid(0, "p1", amount=10, product={"billing_type": "subscription"}),
                  renewed(1, "p1", amount=None, period_end=text(40)),
                  renewed(2, "p1", amount=12, period_end=None), failed(3, order_object={"amount": 1}))
    row = found.payments["p1"]
    assert (row["paid_at"], row["amount"], row["period_end"]) == (moment(0), 12, moment(40))
    assert (row["status"], len(found.payments)) == ("paid", 1)


@pytest.mark.parametrize("events, kind", [
    ([paid(0)], "one_time"), ([renewed(0)], "subscription"),
    ([paid(0, product={"billing_type": "subscription"})], "subscription"),
    ([paid(0, object="subscription")], "subscription"),
    ([trial(-9), paid(0)], "subscription"), ([renewed(-9, "p0"), paid(0)], "subscription"),
    ([trial(-9), paid(0, product={"billing_type": "single_payment"})], "one_time"),
    ([trial(-9), paid(0, product={"billing_type": "other"})], "subscription"),
    ([paid(0), trial(9)], "one_time"), ([paid(0), trial(9), paid(10)], "one_time"),
    ([paid(0), renewed(9)], "subscription"),
    ([renewed(-9, "p0", members=who("c")), paid(0, **who("d"))], "one_time"),
    ([renewed(-9, "p0", members=who("c")), paid(0, **who("c"))], "subscription"),
])
def test_kind(events, kind):
    assert state(*events).payments["p1"]["kind"] == kind


@pytest.mark.parametrize("events, status", [
    ([paid(0)], "paid"), ([failed(0)], "failed"), ([failed(0), paid(1)], "paid"),
    ([paid(0), failed(1)], "paid"),
    ([paid(0), closed(1, "p1")], "disputed"),
    ([paid(0), closed(1 / 24, "p1")], "paid"),
    ([paid(0), closed(1 / 24 + 1 / 86400, "p1")], "disputed"),
    ([paid(0), closed(1, "p1"), paid(2)], "disputed"),
    ([paid(0), closed(1)], "paid"), ([paid(0), closed(1, "p2")], "paid"),
    ([paid(0, order_object={"order_id": "A"}), closed(1, order_object={"order_id": "A"})], "disputed"),
    ([paid(0, order_object={"order_id": "A"}), closed(1, "p2", order_object={"order_id": "A"})], "paid"),
    ([paid(0), refund(1, object="refunded")], "refunded"),
    ([paid(0), refund(1, object="refunded"), paid(2)], "refunded"),
    ([paid(0), refund(1, object="refunded"), closed(2, "p1")], "refunded"),
    ([paid(0), refund(1, refund_amount=4)], "partially_refunded"),
    ([paid(0), refund(1, refund_amount=4), paid(2)], "partially_refunded"),
    ([paid(0), refund(1, refund_amount=4), closed(2, "p1")], "disputed"),
    ([paid(0), closed(1, "p1"), refund(2, refund_amount=4)], "disputed"),
    ([paid(0), closed(1, "p1"), refund(2, refund_amount=10)], "refunded"),
    ([closed(0, "p1"), paid(1)], "paid"),
    ([paid(0), closed(1, "p1"), decision("dispute_won", 2, payment_id="p1")], "paid"),
    ([paid(0), closed(1, "p1"), decision("dispute_won", 2, payment_id="p2")], "disputed"),
    ([paid(0), closed(1, "p1"), refund(2, refund_amount=4),
      decision("dispute_won", 3, payment_id="p1")], "partially_refunded"),
    ([paid(0), decision("dispute_won", 1, payment_id="p1"), closed(2, "p1")], "disputed"),
    ([paid(0), closed(1, "p1"), decision("dispute_won", 2, payment_id="p1"), closed(3, "p1")],
     "disputed"),
    # Dismissed while it was refunded, a dispute is open still when the amount turns out greater.
    ([paid(0), closed(1, "p1"), refund(2, refund_amount=10),
      decision("dispute_won", 3, payment_id="p1"), paid(4, amount=20)], "disputed"),
    ([paid(0), refund(1, refund_amount=10), paid(2, amount=20)], "partially_refunded"),
])
def test_payment_status(events, status):
    found = state(*events)
    assert found.payments["p1"]["status"] == status
    assert found.order["status"] == status


def test_latest_paid_of_one_moment_is_the_bytewise_last():
    found = state(paid(0, "a"), paid(0, "B"), refund(1, None, object="refunded"))
    assert (found.payments["a"]["status"], found.payments["B"]["status"]) == ("refunded", "paid")


# The seven samples together.

def test_samples():
    events = [parse(path.read_bytes()) for path in sorted(SAMPLES.glob("*.json"))]
    expected = {name: one.tables() for name, one in fold(events, Settings()).items()}
    for shuffled in itertools.islice(itertools.permutations(events), 0, 5040, 97):
        assert {name: one.tables() for name, one in fold(shuffled, Settings()).items()} == expected
    found = fold(events, Settings())
    assert set(found) == {("test", "333"), ("test", "req_20250914_162923")}
    one = found["test", "333"]
    assert [step[1:] for step in one.steps] == [
        ("failed", None), ("failed", None), ("failed", None), ("paid", "active"),
        ("trialing", "trialing"), ("trialing", None)]
    assert {name: row["status"] for name, row in one.payments.items()} == {
        "ch_1966406841422503937": "failed", "ch_1966423205621178370": "paid"}
    assert {item.key: item.row["subscription_status"] for item in one.items.values()} == {
        ("prod_1966354925946605570", "1966380027341860866", "222"): "active",
        ("prod_1966423597650190338", "1966380027341860866", "222"): "trialing"}
    cancellation = one.cancellations["902742f8-8b0c-4e0e-a9f7-eda837b45d17"]
    assert cancellation["ends_at"] == datetime(2025, 9, 12, 19, 12, 45, tzinfo=UTC)
    assert (cancellation["at_period_end"], one.order["conflict"], one.refunds) == (False, False, {})
    assert one.order["amount"] == 0
    other = found["test", "req_20250914_162923"]
    assert other.order["status"] == "paid"
    assert [item.row["subscription_status"] for item in other.items.values()] == ["active"]
