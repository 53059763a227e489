"""The reference's refunds against cases worked by hand (§6)."""

from decimal import Decimal

import pytest

from .bodies import decision, moment, paid, refund, renewed, state, trial, who
from .settings import Settings

A, B = {"order_id": "A"}, {"order_id": "B"}


def targets(*events):
    """What each refund counts against, in the fold's order."""
    return [row["payment_id"] for row in state(*events).refunds.values()]


def status(*events, payment="p1", settings=Settings()):
    return state(*events, settings=settings).payments[payment]["status"]


def test_row():
    given = refund(1, "p1", refund_amount="2.50", object="partial_refund", refund_id="re",
                   refunded_amount=3)
    found = state(paid(1), given)
    assert found.refunds[given.event_id] == {
        "mode": "live", "order_id": "o1", "event_id": given.event_id, "refund_id": "re",
        "payment_id": "p1", "amount": Decimal("2.5"), "running_total": 3, "label": "partial",
        "occurred_at": moment(1)}
    assert found.payments["p1"]["refunded_amount"] == 3


# Which payment.

def test_by_payment_id():
    assert targets(paid(0), paid(1, "p2"), refund(2, "p1")) == ["p1"]
    assert targets(refund(0, "p1"), paid(1)) == ["p1"]
    assert status(refund(0, "p1", object="refunded"), paid(1)) == "refunded"
    assert targets(paid(0), refund(1, "p9")) == [None]
    assert status(paid(0), refund(1, "p9", object="refunded")) == "paid"


def test_by_provider_order():
    payments = [paid(0, "p1", order_object=A), paid(1, "p2", order_object=A), paid(2, "p3", order_object=B)]
    assert targets(*payments, refund(3, None, order_object=A)) == ["p2"]
    assert targets(*payments, refund(0.5, None, order_object=A)) == ["p1"]
    assert targets(*payments, refund(-1, None, order_object=A)) == ["p1"]
    assert targets(*payments, refund(-1, None, order_object=B)) == ["p3"]
    # With a payment_id, the provider's order is not asked.
    assert targets(*payments, refund(3, "p9", order_object=A)) == [None]
    assert targets(*payments, refund(3, None, order_object={"order_id": "Z"})) == [None]
    # The first that gets the provider's order later on.
    assert targets(refund(0, None, order_object=A), paid(1), paid(2, "p2"), paid(3, order_object=A),
                   paid(4, "p2", order_object=A)) == ["p1"]


def test_of_a_payment_without_name():
    unnamed = paid(0, None, order_object=A)
    assert targets(unnamed, refund(1, "p1", order_object=A)) == ["order:A"]
    assert targets(refund(-1, "p1", order_object=A), unnamed) == ["order:A"]
    assert targets(unnamed, refund(1, "p1", order_object=A), paid(2, "p2", order_object=A)) == ["p2"]
    assert targets(unnamed, refund(1, "p1", order_object=A), paid(2, "p2", order_object=A),
                   paid(3, "p1")) == ["p1"]
    assert targets(unnamed, refund(1, None, order_object=A), paid(2, "p1", order_object=A)) == ["p1"]


def test_without_name():
    assert targets(paid(0), paid(1, "p2"), refund(2, None)) == ["p2"]
    assert targets(paid(0), refund(0.5, None), paid(1, "p2")) == ["p1"]
    assert targets(refund(-1, None), paid(0)) == [None]
    assert targets(paid(0, **who("c")), paid(1, "p2", **who("d")), refund(2, None, **who("c"))) == ["p1"]
    assert targets(paid(0, **who(product="a")), paid(1, "p2", **who(product="b")),
                   refund(2, None, **who(product="a"))) == ["p1"]
    assert targets(paid(0, **who("c", "a@x")), paid(1, "p2", **who("d", "b@x")),
                   refund(2, None, **who(email="a@x"))) == ["p1"]
    assert targets(paid(0, **who("c")), refund(2, None, **who("d"))) == [None]
    # By its subscription before all else.
    both = [renewed(0, id="s1", members=who("c")), renewed(1, "p2", id="s2", members=who("c"))]
    assert targets(*both, refund(2, None, subscription={"id": "s1"}, **who("d"))) == ["p1"]
    assert targets(*both, refund(2, None, subscription={"id": "s3"}, **who("c"))) == [None]
    assert targets(*both, paid(1, "p3", **who("c")), refund(2, None, subscription={"id": "s3"})) == ["p3"]


def test_one_refund_told_several_times():
    events = [paid(0), paid(1, "p2", order_object=A)]

    def told(day, payment=None, **members):
        return refund(day, payment, refund_id="re", refund_amount=1, **members)

    assert targets(*events, told(2), told(3, "p1")) == ["p1", "p1"]
    assert targets(*events, told(2), told(3, "p9")) == [None, None]
    assert targets(*events, told(0.5), told(3)) == ["p1", "p1"]
    assert targets(*events, told(-1), told(3)) == [None, None]
    assert targets(*events, told(2, order_object=A), told(3, "p1")) == ["p1", "p1"]
    assert targets(*events, told(2, "p9"), told(3, order_object=A)) == ["p2", "p2"]
    assert targets(*events, told(2, "p2"), told(3, "p1")) == ["p2", "p2"]
    assert targets(*events, told(2, "p3"), told(3, "p1")) == ["p1", "p1"]
    assert targets(*events, told(2, "p3"), told(3, "p1"), paid(9, "p3")) == ["p3", "p3"]


# How much.

@pytest.mark.parametrize("events, refunded, expected", [
    ([refund(1, refund_amount=4), refund(2, refund_amount=6)], 10, "refunded"),
    ([refund(1, refund_amount=4), refund(2, refund_amount=5)], 9, "partially_refunded"),
    ([refund(1, refunded_amount=4), refund(2, refunded_amount=10)], 10, "refunded"),
    ([refund(1, refund_amount=4, refunded_amount=4), refund(2, refund_amount=3, refunded_amount=7)],
     7, "partially_refunded"),
    ([refund(1, refunded_amount=6), refund(2, refund_amount=5)], 6, "partially_refunded"),
    ([refund(1, refunded_amount=6), refund(2, refunded_amount=5)], 6, "partially_refunded"),
    ([refund(1, refunded_amount=3), refund(2, refund_amount=4, refund_id="a"),
      refund(3, refund_amount=2, refund_id="b")], 6, "partially_refunded"),
    ([refund(1, refund_amount=4, refund_id="a"), refund(2, refund_amount=4, refund_id="a")],
     4, "partially_refunded"),
    ([refund(1, refund_amount=4, refund_id="a"), refund(2, refund_amount=9, refund_id="a"),
      refund(3, refund_id="a")], 9, "partially_refunded"),
    ([refund(1, refund_amount=4, refund_id="a"), refund(2, refund_amount=6)], 10, "refunded"),
    ([refund(1, refund_amount=1, object="refunded")], 1, "refunded"),
    ([refund(1, object="partial_refund")], 0, "partially_refunded"),
    # Partial by its label, and perhaps told twice: no refund in full.
    ([refund(1, refund_amount=5, object="partial_refund"),
      refund(2, refund_amount=5, object="partial_refund")], 10, "partially_refunded"),
    ([refund(1, refund_amount=10, refund_id="a", object="partial_refund")], 10, "refunded"),
    ([refund(1, refunded_amount=10, object="partial_refund")], 10, "refunded"),
    ([refund(1, refund_amount=0)], 0, "partially_refunded"),
    ([refund(1, object="partial_refund"), refund(2)], 0, "partially_refunded"),
    ([refund(1), refund(2, refund_amount=1)], 1, "partially_refunded"),
])
def test_refunded_amount(events, refunded, expected):
    row = state(paid(0), *events).payments["p1"]
    assert (row["refunded_amount"], row["status"]) == (refunded, expected)
    # The same when they all sort before their payment.
    row = state(paid(5), *events).payments["p1"]
    assert (row["refunded_amount"], row["status"]) == (refunded, expected)


def test_unknown_refund():
    partial = Settings(unknown_refund="partial")
    for events in ([paid(0), refund(1)], [paid(0, amount=None), refund(1, refund_amount=5)]):
        assert status(*events) == "refunded"
        assert status(*events, settings=partial) == "partially_refunded"
    assert status(paid(0, amount=0), refund(1, refund_amount=0)) == "partially_refunded"
    assert status(paid(0, amount=None), refund(1, object="partial_refund")) == "partially_refunded"
    # The amount becomes known later on.
    assert status(paid(0, amount=None), refund(1, refund_amount=5), paid(2, amount=6)) == \
        "partially_refunded"


def test_a_refund_takes_its_trial():
    found = state(trial(0, {"payment_id": "p1"}), paid(0, amount=0), refund(1, object="refunded"),
                  decision("grant", 2))
    assert found.payments["p1"]["status"] == "refunded"
    assert [row["payment_id"] for row in found.trials.values()] == ["p1"]
