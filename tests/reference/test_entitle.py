"""The reference's answers against cases worked by hand: every row of the table of §7, and §8."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from .bodies import decision, event, moment, paid, refund, renewed, state, text, trial
from .entitle import Expected, boundaries, entitlements_at, is_entitled, order_checks
from .fold import fold
from .settings import Settings
from .times import UTC

KEEP = Settings(on_cancel="keep_paid_time")
HONOUR = Settings(revoke_on_dispute=False)
MOMENT = timedelta(microseconds=1)


def row(events, t, settings=Settings(), expected=None, mode="live"):
    """The only row at day `t` (or at the moment t)."""
    at = t if isinstance(t, datetime) else moment(t)
    rows = entitlements_at(fold(events, settings), expected or {}, settings, at, mode)
    assert len(rows) == 1
    return rows[0]


def answer(events, t, settings=Settings(), expected=None):
    found = row(events, t, settings, expected)
    return found["entitled"], found["reason"], found["valid_until"]


def failed(day, payment="p2", **members):
    return event("checkout.failed", day, payment_id=payment, **members)


def ended(day, **subscription):
    return event("subscription.canceled", day, subscription=subscription)


def dispute(day, payment="p1"):
    return event("checkout.cancel", day, payment_id=payment)


# Operators.

def test_operator_rows():
    assert answer([paid(0), decision("revoke", 1)], 5) == (False, "revoked", None)
    assert answer([paid(0), decision("revoke", 1), decision("clear", 2)], 5) == (True, "paid", None)
    assert answer([decision("grant", 1)], 5) == (True, "granted", None)
    grant = decision("grant", 1, until=moment(9))
    assert answer([grant], 9 - 1) == (True, "granted", moment(9))
    assert answer([grant], 9) == (False, "pending", None)
    assert answer([paid(0), grant], 9) == (True, "paid", None)
    assert answer([paid(0), decision("revoke", 1), decision("grant", 2)], 5) == (True, "granted", None)


def test_valid_from():
    grant = decision("grant", 3, until=moment(9))
    assert row([grant], 5)["valid_from"] == moment(3)
    assert row([grant], 9)["valid_from"] == moment(3)
    assert row([grant, paid(4)], 5)["valid_from"] == moment(4)
    assert row([paid(2), trial(1)], 5)["valid_from"] == moment(1)
    assert row([failed(0)], 5)["valid_from"] is None


def test_conflict_row():
    events = [paid(0, customer={"id": "1"}), paid(1, customer={"id": "2"})]
    assert answer(events, 5) == (False, "ambiguous", None)
    assert answer([*events, decision("grant", 2)], 5) == (True, "granted", None)


def test_unconfirmed_row():
    settings = Settings(require_expected_order=True)
    assert answer([paid(0)], 5, settings) == (False, "unconfirmed", None)
    assert answer([paid(0)], 5, settings, {("test", "o1"): Expected()}) == (False, "unconfirmed", None)
    assert answer([paid(0)], 5, settings, {("live", "o1"): Expected()}) == (True, "paid", None)
    assert answer([paid(0)], 5, settings, {("live", "o1"): Expected(amount=Decimal(11))}) == (
        False, "unconfirmed", None)
    assert answer([decision("grant", 0)], 5, settings) == (True, "granted", None)


def test_no_beginning_row():
    assert answer([failed(0)], 5) == (False, "failed", None)
    assert answer([ended(0, cancel_at=text(50))], 5) == (False, "canceled", None)
    assert answer([event("refund.created", 0, subscription={})], 5) == (False, "pending", None)
    # A grant that has ended is no beginning.
    grant = decision("grant", 0, until=moment(1))
    assert answer([grant, ended(0, cancel_at=text(50))], 5) == (False, "canceled", None)


def test_not_yet_row():
    assert answer([paid(3)], moment(3) - MOMENT) == (False, "not_yet", None)
    assert answer([paid(3)], 3) == (True, "paid", None)
    assert answer([renewed(3, period_end=text(33))], 1) == (False, "not_yet", moment(34))
    assert answer([paid(3), refund(4, object="refunded")], 1) == (False, "not_yet", None)
    assert answer([decision("grant", 3)], 1) == (True, "granted", None)


# One-time purchases.

def test_one_time_rows():
    assert answer([paid(0)], 9999) == (True, "paid", None)
    assert answer([paid(0), refund(1, refund_amount=1)], 5) == (True, "partially_refunded", None)
    assert answer([paid(0), dispute(1)], 5) == (False, "disputed", None)
    assert answer([paid(0), dispute(1)], 5, HONOUR) == (True, "disputed", None)
    assert answer([paid(0), refund(1)], 5) == (False, "refunded", None)
    assert answer([paid(0), paid(1, "p2"), refund(2, "p2")], 5) == (True, "paid", None)
    assert answer([paid(0), dispute(1), paid(2, "p2"), refund(3, "p2", refund_amount=1)], 5, HONOUR) == (
        True, "partially_refunded", None)
    assert row([paid(0)], 5)["units"] == 1
    assert row([paid(0)], 5)["kind"] == "one_time"


# Subscriptions.

def test_trialing_row():
    until = moment(8)
    assert answer([trial(0, trial_end=text(7))], until - MOMENT) == (True, "trialing", until)
    assert answer([trial(0, trial_end=text(7))], until) == (False, "expired", until)
    assert answer([trial(0)], 5) == (True, "trialing", moment(32))
    assert answer([trial(0), trial(4)], 5) == (True, "trialing", moment(36))
    events = [renewed(0, period_end=text(30)), trial(1, trial_end=text(8))]
    assert answer(events, 5) == (True, "trialing", moment(31))
    assert answer([*events, refund(2)], 5) == (True, "trialing", moment(9))
    assert answer([trial(0, trial_end=text(7))], 5, Settings(grace=(0, 0, 60))) == (
        True, "trialing", moment(7, 60))


def test_no_payment_counts_row():
    assert answer([renewed(0), refund(1)], 5) == (False, "refunded", None)
    assert answer([renewed(0), dispute(1)], 5) == (False, "disputed", None)
    assert answer([renewed(0), dispute(1)], 5, HONOUR) == (True, "active", moment(32))
    assert answer([renewed(0), refund(1), ended(2, cancel_at=text(50))], 5, KEEP) == (
        False, "refunded", None)
    assert answer([renewed(0), refund(1), failed(2)], 5) == (False, "refunded", None)


def test_canceled_rows():
    paid_for = renewed(0, period_end=text(30))
    assert answer([paid_for, ended(5)], 4) == (True, "canceling", moment(5))
    assert answer([paid_for, ended(5)], 5) == (False, "canceled", moment(5))
    assert answer([paid_for, ended(5, cancel_at=text(50))], 40) == (True, "canceling", moment(50))
    assert answer([paid_for, ended(5, cancel_at_period_end=False)], 6) == (False, "canceled", moment(5))
    end = ended(5, cancel_at_period_end=True)
    assert answer([paid_for, end], 6) == (True, "canceling", moment(30))
    assert answer([paid_for, end], 30) == (False, "canceled", moment(30))
    assert answer([paid_for, ended(5)], 6, KEEP) == (True, "canceling", moment(30))
    assert answer([trial(0, trial_end=text(7)), ended(5)], 6, KEEP) == (True, "canceling", moment(7))
    assert answer([trial(0), ended(5)], 6, KEEP) == (False, "canceled", moment(5))
    assert answer([trial(0, trial_end=text(7)), ended(5)], 6) == (False, "canceled", moment(5))


def test_past_due_rows():
    assert answer([trial(0, trial_end=text(7)), failed(7)], 7) == (True, "past_due", moment(8))
    assert answer([trial(0, trial_end=text(7)), failed(7)], 8) == (False, "expired", moment(8))
    paid_for = renewed(0, period_end=text(30))
    assert answer([paid_for, failed(30)], 30) == (True, "past_due", moment(31))
    assert answer([paid_for, failed(30)], 31) == (False, "expired", moment(31))


def test_active_row():
    paid_for = renewed(0, period_end=text(30))
    assert answer([paid_for], moment(31) - MOMENT) == (True, "active", moment(31))
    assert answer([paid_for], 31) == (False, "expired", moment(31))
    both = [paid_for, renewed(30, "p2", period_end=text(60))]
    assert answer(both, 40) == (True, "active", moment(61))
    # What one payment bought goes with its refund, and no more.
    assert answer([*both, refund(31, "p2")], 30) == (True, "active", moment(31))
    assert row(both, 40)["status"] == "active"
    assert row([renewed(0, units=5)], 1)["units"] == 5
    assert row([renewed(0, units=0)], 1)["units"] == 0


@pytest.mark.parametrize("interval, end", [
    ("daily", (2025, 2, 1)), ("weekly", (2025, 2, 7)), ("monthly", (2025, 2, 28)),
    ("3months", (2025, 4, 30)), ("6months", (2025, 7, 31)), ("yearly", (2026, 1, 31)),
    ("Monthly", (2025, 3, 3)), (None, (2025, 3, 3))])
def test_bought_time(interval, end):
    settings = Settings(grace=(0, 0, 0))
    found = row([renewed(30, recurring_interval=interval)], 30, settings)
    assert found["valid_until"] == datetime(*end, tzinfo=UTC)
    # A period that ends before it was paid for says nothing.
    found = row([renewed(30, recurring_interval=interval, period_end=text(30))], 30, settings)
    assert found["valid_until"] == datetime(*end, tzinfo=UTC)


# The customer's question, and the checks.

def test_is_entitled():
    states = fold([paid(0, customer={"id": "c", "email": "A@x"}, product={"product_id": "p"}),
                   event(mode="test", order="o2", customer={"id": "t"}, payment_id="x",
                         product={"product_id": "p"})], Settings())

    def asked(customer, product="p", mode="live", day=1):
        return is_entitled(states, {}, Settings(), customer, product, mode, moment(day))

    assert asked("c") and asked("a@X") and asked("t", mode="test")
    assert not (asked("t") or asked("C") or asked("c", "q") or asked("c", day=-1) or asked("a"))


def checks(events, expected):
    found, = order_checks(fold(events, Settings()), expected)
    return found["expected"], found["matches"], found["mismatches"]


def test_order_checks():
    order = paid(0, customer={"email": "a@x"}, product={"product_id": "p"})
    later = paid(1, "p2", amount=99)
    live = ("live", "o1")
    assert checks([order], {}) == (False, False, ["unexpected"])
    assert checks([order], {("test", "o1"): Expected()}) == (False, False, ["mode"])
    assert checks([order, later], {live: Expected("A@X", "p", Decimal("10.00"), "Usd")}) == (True, True, [])
    assert checks([order], {live: Expected("b@x", "q", Decimal(11), "EUR")}) == (
        True, False, ["customer", "product", "amount", "currency"])
    assert checks([failed(0)], {live: Expected(amount=Decimal(11), currency="EUR")}) == (True, True, [])
    assert checks([failed(0)], {live: Expected("a@x")}) == (True, False, ["customer"])
    assert checks([paid(0, amount=None)], {live: Expected(amount=Decimal(1))}) == (True, False, ["amount"])


# Nothing changes between two boundaries.

@pytest.mark.parametrize("events", [
    [paid(3)], [trial(0, trial_end=text(7)), failed(7)], [trial(0), renewed(5), ended(9)],
    [renewed(0, period_end=text(30)), renewed(30, "p2"), refund(31, "p2"), ended(40, cancel_at=text(50))],
    [renewed(0), decision("grant", 3, until=moment(80))], [decision("grant", 3, until=moment(8))]])
@pytest.mark.parametrize("settings", [Settings(), KEEP, HONOUR, Settings(grace=(1, 2, 3))])
def test_boundaries(events, settings):
    found = sorted(boundaries(state(*events, settings=settings), settings))
    edges = [moment(-100), *found, moment(900)]
    for before, after in zip(edges, edges[1:]):
        inside = {answer(events, at, settings) for at in (
            before, before + (after - before) / 3, after - MOMENT)}
        assert len(inside) == 1, (before, after)
