"""The reference's fold against cases worked by hand: every row of the tables of §6."""

import itertools
import json
import random
from datetime import datetime
from decimal import Decimal

import pytest

from .bodies import decision, event, moment, paid, raw, refund, renewed, state, text, trial
from .extract import parse
from .fold import fold
from .settings import Settings
from .test_reference import SAMPLES
from .times import UTC


def failed(day, payment="p1", **members):
    return event("checkout.failed", day, payment_id=payment, **members)


def cancel(day, payment=None, **members):
    if payment is not None:
        members["payment_id"] = payment
    return event("checkout.cancel", day, **members)


def ended(day, **subscription):
    return event("subscription.canceled", day, subscription=subscription)


def statuses(*events, settings=Settings()):
    """(order status, subscription status) after the last of `events`."""
    found = state(*events, settings=settings)
    row = found.subscription
    return found.order["status"], None if row is None else row["status"]


# Sorting and membership.

def test_any_order_any_number_of_times():
    events = [trial(0), renewed(7), refund(8, refund_amount=4), ended(9), failed(38, "p2"),
              decision("grant", 8), renewed(7, "p2", amount=11), cancel(40, "p2")]
    expected = state(*events)
    for seed in range(50):
        shuffled = events + random.Random(seed).choices(events, k=4)
        random.Random(seed).shuffle(shuffled)
        assert state(*shuffled) == expected


def test_ranks_settle_one_moment():
    events = [failed(0), cancel(0, "p1"), paid(0), trial(0), renewed(0), refund(0), ended(0),
              decision("revoke", 0)]
    types = [item.event_type for item in events]
    by_id = {item.event_id: item.event_type for item in events}
    found = state(*reversed(events))
    assert [by_id[step[0]] for step in found.steps] == types


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


def test_attributes_take_the_latest_known():
    found = state(
        paid(0, product={"product_id": "a", "name": "A"}, customer={"email": "a@x", "id": "c"}),
        refund(1, product={"product_id": "b"}, subscription={"units": 3}),
        event("checkout.failed", 2, payment_id="p9", customer={"email": "b@x"}))
    order = found.order
    assert (order["product_id"], order["product_name"], order["customer_email"]) == ("b", "A", "b@x")
    assert (order["customer_id"], order["payment_id"], order["amount"]) == ("c", "p9", 10)
    assert order["last_event_at"] == order["updated_at"] == moment(2)
    assert order["key_source"] == "metadata"
    assert found.subscription["units"] == 3
    assert found.payments["p1"]["updated_at"] == found.subscription["updated_at"] == moment(2)


def test_grant_fills_only_what_is_missing():
    grant = decision("grant", 5, customer_email="G@x", product_id="g")
    found = state(grant)
    assert (found.order["customer_email"], found.order["product_id"]) == ("g@x", "g")
    assert (found.order["status"], found.payments, found.valid_from) == ("pending", {}, None)
    found = state(paid(0, customer={"email": "a@x"}), grant)
    assert (found.order["customer_email"], found.order["product_id"]) == ("a@x", "g")


def test_decisions():
    grant, revoke, clear = decision("grant", 1), decision("revoke", 2), decision("clear", 3)
    assert state(grant).decision is grant
    assert state(revoke, grant).decision is revoke
    assert state(grant, clear, revoke).decision is None


def test_conflict():
    one, none, two = paid(0, customer={"id": "1"}), paid(1), paid(2, customer={"id": "2"})
    assert not state(one, none).conflict
    found = state(one, none, two)
    assert found.conflict and found.order["conflict"]
    assert found.warnings == {
        two.event_id: ["object.customer.id: not the customer of the event before"]}


# Payments.

def test_payment_rows():
    found = state(paid(0, "p1"), paid(1, None, order_object={"order_id": "A"}),
                  paid(2, None, event_id="e9"), event("refund.created", 3, payment_id="p7"))
    assert set(found.payments) == {"p1", "order:A", "event:e9"}
    assert found.payments["order:A"]["provider_order_id"] == "A"
    assert found.payments["p1"]["currency"] == "USD"
    assert found.payments["p1"]["refunded_amount"] == 0


def test_one_payment_told_twice():
    found = state(paid(0, "p1", amount=10, product={"billing_type": "subscription"}),
                  renewed(1, "p1", amount=None, period_end=text(40)),
                  renewed(2, "p1", amount=12, period_end=None))
    row = found.payments["p1"]
    assert (row["paid_at"], row["amount"], row["period_end"]) == (moment(0), 12, moment(40))
    assert (row["status"], len(found.payments)) == ("paid", 1)


def test_a_trials_beginning_is_no_payment():
    found = state(paid(0, amount=0, product={"billing_type": "subscription"}))
    assert (found.payments, found.order["status"], found.had_payment) == ({}, "pending", False)
    assert set(state(paid(0, amount=0)).payments) == {"p1"}
    assert set(state(paid(0, amount=None, object="subscription")).payments) == {"p1"}
    assert set(state(renewed(0, amount=0)).payments) == {"p1"}


@pytest.mark.parametrize("events, status, order_status", [
    ([paid(0)], "paid", "paid"),
    ([failed(0)], "failed", "failed"),
    ([failed(0), paid(1)], "paid", "paid"),
    ([paid(0), failed(1)], "paid", "paid"),
    ([paid(0), cancel(1, "p1")], "disputed", "disputed"),
    ([paid(0), cancel(1, "p1"), paid(2)], "disputed", "disputed"),
    ([paid(0), cancel(1)], "paid", "paid"),
    ([paid(0), cancel(1, "p2")], "paid", "paid"),
    ([paid(0), refund(1, object="refunded")], "refunded", "refunded"),
    ([paid(0), refund(1, object="refunded"), paid(2)], "refunded", "refunded"),
    ([paid(0), refund(1, object="refunded"), cancel(2, "p1")], "refunded", "refunded"),
    ([paid(0), refund(1, object="refunded"), refund(2, refund_amount=1, object="partial_refund")],
     "refunded", "refunded"),
    ([paid(0), refund(1, refund_amount=4)], "partially_refunded", "partially_refunded"),
    ([paid(0), refund(1, refund_amount=4), paid(2)], "partially_refunded", "partially_refunded"),
    ([paid(0), refund(1, refund_amount=4), cancel(2, "p1")], "disputed", "disputed"),
    ([paid(0), cancel(1, "p1"), refund(2, refund_amount=4)], "disputed", "disputed"),
    ([paid(0), cancel(1, "p1"), refund(2, refund_amount=10)], "refunded", "refunded"),
    ([refund(0, object="refunded"), paid(1)], "paid", "paid"),
    ([cancel(0, "p1"), paid(1)], "paid", "paid"),
])
def test_payment_status(events, status, order_status):
    found = state(*events)
    assert found.payments["p1"]["status"] == status
    assert found.order["status"] == order_status


def test_naming_by_provider_order():
    def at(day, payment, number):
        return paid(day, payment, order_object={"order_id": number})

    def told(day, number, payment=None):
        body = json.loads(raw("refund.created", day, object="refunded", payment_id=payment))
        body["object"]["order"] = {"order_id": number}
        return parse(json.dumps(body).encode())

    payments = [at(0, "p1", "A"), at(1, "p2", "A"), at(2, "p3", "B")]
    found = state(*payments, told(3, "A"))
    assert [found.payments[name]["status"] for name in ("p1", "p2", "p3")] == [
        "paid", "refunded", "paid"]
    assert found.order["status"] == "paid"
    # With a payment_id, the provider's order is not asked: the unknown name goes to the latest.
    for lost, place in ((told(3, "A", "p9"), "payment_id"), (told(3, "Z"), "order.order_id")):
        found = state(*payments, lost)
        assert found.payments["p3"]["status"] == "refunded"
        assert found.warnings == {
            lost.event_id: [f"object.{place}: names no payment; counted against the latest"]}


def test_latest_paid_of_one_moment_is_the_bytewise_last():
    found = state(paid(0, "a"), paid(0, "B"), refund(1, None, object="refunded"))
    assert (found.payments["a"]["status"], found.payments["B"]["status"]) == ("refunded", "paid")
    assert found.warnings == {}


# Refunds.

@pytest.mark.parametrize("events, refunded, status", [
    ([refund(1, refund_amount=4), refund(2, refund_amount=6)], 10, "refunded"),
    ([refund(1, refund_amount=4), refund(2, refund_amount=5)], 9, "partially_refunded"),
    ([refund(1, refunded_amount=4), refund(2, refunded_amount=10)], 10, "refunded"),
    ([refund(1, refund_amount=4, refunded_amount=4), refund(2, refund_amount=3, refunded_amount=7)],
     7, "partially_refunded"),
    ([refund(1, refunded_amount=6), refund(2, refund_amount=5)], 6, "partially_refunded"),
    ([refund(1, refunded_amount=6), refund(2, refunded_amount=5)], 5, "partially_refunded"),
    ([refund(1, object="refunded", refund_amount=1)], 1, "refunded"),
    ([refund(1, object="partial_refund")], 0, "partially_refunded"),
    ([refund(1, object="partial_refund", refund_amount=10)], 10, "refunded"),
    ([refund(1, refund_amount=0)], 0, "partially_refunded"),
    ([refund(1, object="partial_refund"), refund(2)], 0, "refunded"),
])
def test_refunded_amount(events, refunded, status):
    row = state(paid(0), *events).payments["p1"]
    assert (row["refunded_amount"], row["status"]) == (refunded, status)


def test_unknown_refund():
    events = [paid(0), refund(1)]
    found = state(*events)
    assert found.payments["p1"]["status"] == "refunded"
    assert list(found.warnings) == [events[1].event_id]
    found = state(*events, settings=Settings(unknown_refund="partial"))
    assert found.payments["p1"]["status"] == "partially_refunded"
    assert state(paid(0, amount=0), refund(1, refund_amount=0)).order["status"] == "partially_refunded"
    assert state(paid(0, amount=None), refund(1, refund_amount=5)).order["status"] == "partially_refunded"


def test_refund_rows():
    given = refund(1, "p1", refund_amount="2.50", object="partial_refund")
    lost = refund(0, "p8", refund_amount=1)
    found = state(paid(1), given, lost)
    assert found.refunds[given.event_id] == {
        "mode": "live", "order_id": "o1", "event_id": given.event_id, "payment_id": "p1",
        "amount": Decimal("2.5"), "label": "partial", "occurred_at": moment(1)}
    assert found.refunds[lost.event_id]["payment_id"] is None
    assert list(found.warnings) == [lost.event_id]
    assert found.payments["p1"]["refunded_amount"] == Decimal("2.5")


# orders.status.

@pytest.mark.parametrize("events, status", [
    ([ended(0)], "pending"),
    ([trial(0)], "trialing"), ([paid(0), trial(1)], "trialing"),
    ([failed(0)], "failed"), ([cancel(0), failed(1)], "failed"), ([trial(0), failed(1)], "trialing"),
    ([cancel(0)], "canceled"), ([failed(0), cancel(1)], "canceled"), ([trial(0), cancel(1)], "trialing"),
    ([cancel(0), paid(1)], "paid"), ([paid(0), ended(1)], "paid"),
    ([paid(0), paid(1, "p2"), cancel(2, "p1")], "paid"),
    ([paid(0), paid(1, "p2"), cancel(2, "p2")], "disputed"),
    ([paid(0), paid(1, "p2"), refund(2, "p1")], "paid"),
    ([paid(0), paid(1, "p2"), refund(2, "p2")], "refunded"),
    ([paid(0), refund(1, object="refunded"), trial(2), paid(3)], "refunded"),
    ([paid(0), refund(1, object="refunded"), failed(2, "p2")], "refunded"),
])
def test_order_status(events, status):
    assert state(*events).order["status"] == status


def test_cancel_that_changes_no_status_warns():
    dispute, idle = cancel(2, "p1"), cancel(3)
    found = state(paid(0), paid(1, "p2"), dispute, idle, cancel(-1))
    assert set(found.warnings) == {dispute.event_id, idle.event_id}
    assert found.payments["p1"]["status"] == "disputed"


# subscriptions.

@pytest.mark.parametrize("events, status", [
    ([paid(0)], None),
    ([refund(0, None, object="subscription")], "pending"),
    ([trial(0)], "trialing"), ([ended(0), trial(1)], "trialing"),
    ([renewed(0)], "active"), ([trial(0), renewed(1)], "active"), ([ended(0), renewed(1)], "active"),
    ([paid(0), refund(1, object="subscription")], "active"),
    ([renewed(0), ended(1), renewed(2)], "canceled"), ([renewed(0), ended(1), renewed(2, "p2")], "active"),
    ([trial(0), failed(1)], "past_due"), ([renewed(0), failed(1, "p2")], "past_due"),
    ([failed(0), ended(1)], "canceled"), ([ended(0), failed(1)], "canceled"),
    ([failed(0, object="subscription")], "pending"), ([renewed(0), cancel(1, "p1")], "active"),
    ([renewed(0), failed(1, "p2"), renewed(2, "p2")], "active"),
    ([renewed(0), decision("revoke", 1)], "active"),
])
def test_subscription_status(events, status):
    assert statuses(*events)[1] == status


def test_ends_at():
    def end(*events):
        row = state(*events).subscription
        return row["ends_at"], row["cancel_at_period_end"]

    assert end(ended(5)) == (moment(5), None)
    assert end(ended(5, canceled_at=text(4), cancel_at_period_end=False)) == (moment(5), False)
    assert end(ended(5, canceled_at=text(6), cancel_at_period_end=True)) == (moment(6), True)
    assert end(ended(5, canceled_at=text(6), cancel_at=text(9))) == (moment(9), None)
    assert end(ended(5, cancel_at=text(9), cancel_at_period_end=True), ended(6)) == (moment(6), None)
    assert end(ended(5), trial(6)) == (None, None)
    assert end(ended(5, cancel_at_period_end=True), renewed(6)) == (None, None)
    assert end(renewed(4), ended(5), renewed(6)) == (moment(5), None)
    assert end(trial(0, cancel_at_period_end=True)) == (None, None)


# The seven samples together.

def test_samples():
    events = [parse(path.read_bytes()) for path in sorted(SAMPLES.glob("*.json"))]
    expected = fold(events, Settings())
    for shuffled in itertools.islice(itertools.permutations(events), 0, 5040, 97):
        assert fold(shuffled, Settings()) == expected
    assert set(expected) == {("test", "333"), ("test", "req_20250914_162923")}
    found = expected["test", "333"]
    assert [step[1:] for step in found.steps] == [
        ("failed", None), ("failed", "canceled"), ("failed", "canceled"), ("paid", "active"),
        ("trialing", "trialing"), ("trialing", "canceled")]
    assert {name: row["status"] for name, row in found.payments.items()} == {
        "ch_1966406841422503937": "failed", "ch_1966423205621178370": "paid"}
    row = found.subscription
    assert row["ends_at"] == datetime(2025, 9, 12, 19, 12, 45, tzinfo=UTC)
    assert row["trial_end"] == datetime(2025, 9, 19, 16, 48, 37, tzinfo=UTC)
    assert (row["last4"], row["cancel_at_period_end"]) == ("4242", False)
    assert row["subscription_id"] == "sub_1966459918691274753"
    assert row["processor_subscription_id"] == "sub_1S6Uu02YqhGdWPuNNnQY42yo"
    assert (found.order["amount"], found.order["customer_email"]) == (0, "user@example.com")
    assert (found.conflict, found.warnings, found.refunds) == (False, {}, {})
    other = expected["test", "req_20250914_162923"]
    assert other.order["status"] == "paid"
    assert other.subscription["status"] == "active"
