"""The reference's answers against cases worked by hand: every row of the table of §7, and §8."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from .bodies import (
    closed, decision, ended, event, failed, moment, paid, refund, renewed, state, text, trial, who)
from .checks import Expected, order_checks
from .entitle import boundaries, entitlements_at, is_entitled, is_user_entitled
from .fold import fold
from .settings import Settings
from .times import UTC

KEEP = Settings(on_cancel="keep_paid_time")
HONOUR = Settings(revoke_on_dispute=False)
NO_GRACE = Settings(grace=(0, 0, 0))
MOMENT = timedelta(microseconds=1)


def rows(events, t, settings=Settings(), expected=None, periods=None):
    """The rows at day `t` (or at the moment t)."""
    at = t if isinstance(t, datetime) else moment(t)
    return entitlements_at(fold(events, settings), expected or {}, settings, at, "live", periods)


def row(*arguments, **named):
    found, = rows(*arguments, **named)
    return found


def answer(*arguments, **named):
    found = row(*arguments, **named)
    return found["entitled"], found["reason"], found["valid_until"]


def periods(events, settings=NO_GRACE, **named):
    """The only row's periods, as days."""
    def day(t):
        return None if t is None else (t - moment(0)) / timedelta(days=1)

    return [(day(start), day(end)) for start, end in row(events, 0, settings, **named)["periods"]]


# Operators.

def test_decisions():
    assert answer([paid(0), decision("revoke", 1)], 5) == (False, "revoked", None)
    assert answer([paid(0), decision("revoke", 1), decision("clear", 2)], 5) == (True, "paid", None)
    # A decision is one from its moment on.
    events = [paid(0), decision("revoke", 3), decision("grant", 6, until=moment(9)), decision("clear", 12)]
    assert [answer(events, day)[1] for day in (2, 3, 6, 8, 9, 11, 12)] == [
        "paid", "revoked", "granted", "granted", "revoked", "revoked", "paid"]
    assert answer(events, 7) == (True, "granted", moment(9))
    grant = decision("grant", 1, product_id="p", customer_email="a@x", until=moment(9))
    assert answer([grant], 8) == (True, "granted", moment(9))
    assert answer([grant], 9) == answer([grant], 0) == (False, "pending", None)
    found = row([grant], 8)
    assert (found["product_id"], found["customer_id"], found["kind"]) == ("p", "email:a@x", "one_time")
    assert (found["valid_from"], found["periods"], found["units"]) == (None, [], 1)


def test_what_decisions_cover():
    events = [paid(0, **who("c", "a@x", "p")), paid(1, "p2", **who("c", "b@x", "q")),
              paid(2, "p3", **who("d", "b@x", "p")), paid(8, "p4", **who("e", None, "r"))]

    def covered(kind, **members):
        return [(one["product_id"], one["customer_id"]) for one in rows([*events, decision(kind, 5, **members)], 9)
                if one["reason"] in ("revoked", "granted")]

    assert covered("grant") == [("p", "c"), ("p", "d"), ("q", "c")]
    assert covered("grant", product_id="p") == [("p", "c"), ("p", "d")]
    assert covered("grant", product_id="r") == [("r", "e")]
    assert covered("grant", customer_email="b@x") == [("p", "d"), ("q", "c")]
    assert covered("grant", product_id="p", customer_email="b@x") == [("p", "d")]
    assert covered("grant", product_id="s", customer_email="b@x") == [("s", "email:b@x")]
    assert covered("revoke") == [("p", "c"), ("p", "d"), ("q", "c"), ("r", "e")]
    assert covered("revoke", product_id="p") == [("p", "c"), ("p", "d")]
    assert covered("revoke", customer_id="c") == [("p", "c"), ("q", "c")]
    assert covered("revoke", customer_email="b@x") == [("p", "d"), ("q", "c")]
    assert covered("revoke", customer_email="b@x", product_id="q") == [("q", "c")]


def test_a_grant_covers_who_is_known_by_the_e_mail_alone():
    """Also where a purchase has the customer from another one, and no e-mail of its own."""
    events = [paid(0, **who(None, "a@x", "p")), paid(1, "p2", **who(None, None, "q")), decision("grant", 5, customer_email="a@x")]
    assert [(one["product_id"], one["customer_id"], one["reason"]) for one in rows(events, 9)] == [
        ("p", "email:a@x", "granted"), ("q", "email:a@x", "granted")]


def test_unconfirmed():
    settings = Settings(require_expected_order=True)
    live = ("live", "o1")
    assert answer([paid(0)], 5, settings) == (False, "unconfirmed", None)
    assert answer([paid(0)], 5, settings, {("test", "o1"): Expected()}) == (False, "unconfirmed", None)
    assert answer([paid(0)], 5, settings, {live: Expected()}) == (True, "paid", None)
    assert answer([paid(0)], 5, settings, {live: Expected(amount=Decimal(11))}) == (False, "unconfirmed", None)
    assert answer([paid(0), decision("grant", 1)], 5, settings) == (True, "granted", None)
    assert answer([failed(0)], 5, settings) == (False, "failed", None)


# Without access.

def test_without_items():
    found = row([failed(0)], 5)
    assert (found["entitled"], found["reason"], found["status"]) == (False, "failed", "failed")
    assert (found["kind"], found["product_id"], found["units"], found["periods"]) == (None, None, 1, [])
    assert answer([ended(0, cancel_at=text(50))], 5) == (False, "pending", None)
    assert answer([decision("revoke", 0)], 5) == (False, "pending", None)


def test_nothing_counts():
    assert answer([renewed(0), refund(1, object="refunded")], 5) == (False, "refunded", None)
    assert answer([renewed(0), closed(1, "p1")], 5) == (False, "disputed", None)
    assert answer([renewed(0), closed(1, "p1")], 5, HONOUR) == (True, "active", moment(32))
    assert answer([renewed(0), refund(1, object="refunded"), ended(2)], 5) == (False, "refunded", None)
    assert answer([paid(3), refund(4, object="refunded")], 1) == (False, "refunded", None)
    # A trial whose window is there says when it ended.
    assert answer([trial(-9, trial_end=text(-2)), renewed(0), refund(1, object="refunded")], 5) == (
        False, "expired", moment(-1))


def test_not_yet():
    assert answer([paid(3)], moment(3) - MOMENT) == (False, "not_yet", None)
    assert answer([paid(3)], 3) == (True, "paid", None)
    assert answer([renewed(3, period_end=text(33))], 1) == (False, "not_yet", moment(34))


def test_gaps_stay():
    events = [renewed(0, period_end=text(30)), renewed(100, "p2", period_end=text(130))]
    assert [answer(events, day) for day in (5, 31, 50, 100, 200)] == [
        (True, "active", moment(31)), (False, "expired", moment(31)), (False, "expired", moment(31)),
        (True, "active", moment(131)), (False, "expired", moment(131))]
    assert periods([*events, renewed(130, "p3", period_end=text(160))]) == [(0, 30), (100, 160)]
    assert answer([*events, ended(110)], 50) == (False, "canceled", moment(31))


# With access.

def test_one_time():
    assert answer([paid(0)], 9999) == (True, "paid", None)
    assert answer([paid(0), refund(1, refund_amount=1)], 5) == (True, "partially_refunded", None)
    assert answer([paid(0), closed(1, "p1")], 5, HONOUR) == (True, "disputed", None)
    assert answer([paid(0), paid(1, "p2"), refund(2, "p2", object="refunded")], 5) == (True, "paid", None)
    assert answer([paid(0), closed(1, "p1"), paid(2, "p2"), refund(3, "p2", refund_amount=1)], 5, HONOUR) == (
        True, "partially_refunded", None)
    single = {"product": {"billing_type": "single_payment"}}
    assert answer([renewed(0), paid(1, "p2", **single), ended(2)], 5) == (True, "paid", None)


def test_units():
    assert row([paid(0)], 5)["units"] == 1
    assert row([renewed(0, units=5)], 1)["units"] == 5
    assert row([renewed(0, units=0)], 1)["units"] == 0
    assert row([renewed(0, units=5)], 100)["units"] == 1
    events = [renewed(0, units=5, period_end=text(30)), renewed(10, "p2", units=7, period_end=text(20))]
    assert [row(events, day)["units"] for day in (5, 15, 25)] == [5, 7, 5]
    assert row([renewed(0, units=5), renewed(0, "p2", units=6)], 1)["units"] == 6


def test_trials():
    until = moment(8)
    assert answer([trial(0, trial_end=text(7))], until - MOMENT) == (True, "trialing", until)
    assert answer([trial(0, trial_end=text(7))], until) == (False, "expired", until)
    assert periods([trial(0)]) == [(0, 31)]
    assert periods([trial(0, trial_end=text(-1))]) == []
    # A cancellation in the second in which the window began does not lengthen it.
    assert periods([trial(0, trial_end=text(-1)), ended(0.7 / 86400)]) == []
    assert answer([trial(0, trial_end=text(-1))], 1, NO_GRACE) == (False, "expired", None)
    # A later trial of the item ends an earlier one.
    assert periods([trial(0), trial(4, trial_end=text(6))]) == [(0, 6)]
    assert [one["valid_until"] for one in rows(
        [trial(0, who(product="p")), trial(4, who(product="q"), trial_end=text(6))], 5, NO_GRACE)] == [
        moment(31), moment(6)]
    assert answer([trial(0, trial_end=text(7)), failed(3)], 4) == (True, "trialing", moment(8))
    assert answer([trial(0), renewed(5, period_end=text(60))], 6) == (True, "active", moment(61))
    assert answer([trial(0), renewed(5, period_end=text(20)), failed(6, "p2")], 8)[1] == "past_due"


def test_bought_trials():
    both = [paid(0, amount=0, product={"billing_type": "subscription"}),
            trial(0.1, {"payment_id": "p1", "product": {"billing_type": "subscription"}}, trial_end=text(7))]
    assert periods(both) == [(0.1, 7)]
    assert periods([*both, refund(2, object="refunded")]) == []
    assert answer([*both, refund(2, object="refunded")], 3) == (False, "refunded", None)
    assert periods([*both, trial(3, trial_end=text(4))]) == [(0.1, 7)]
    assert periods([*both, renewed(7, period_end=text(37))]) == [(0, 37)]
    assert periods([*both, renewed(7, "p2", period_end=text(37))]) == [(0.1, 37)]


@pytest.mark.parametrize("interval, end", [
    ("daily", (2025, 2, 1)), ("weekly", (2025, 2, 7)), ("monthly", (2025, 2, 28)),
    ("3months", (2025, 4, 30)), ("6months", (2025, 7, 31)), ("yearly", (2026, 1, 31)),
    ("2 weeks", (2025, 2, 14)), (None, (2025, 3, 3))])
def test_bought_time(interval, end):
    for period_end in (None, text(30)):
        # A period that ends before it was paid for says nothing.
        event_ = renewed(30, recurring_interval=interval, period_end=period_end)
        assert row([event_], 30, NO_GRACE)["valid_until"] == datetime(*end, tzinfo=UTC)


def test_periods_of_products():
    events = [renewed(0, members={"product": {"product_id": "p"}})]
    assert periods(events) == [(0, 31)]
    assert periods(events, periods={"p": (0, 9)}) == [(0, 9)]
    assert periods(events, periods={"q": (0, 9)}) == [(0, 31)]
    assert periods([renewed(0, recurring_interval="daily", members={"product": {"product_id": "p"}})],
                   periods={"p": (0, 9)}) == [(0, 1)]
    # What costs nothing does not last longer than default_period, unless it says so.
    assert periods([renewed(0, amount=0, recurring_interval="yearly")]) == [(0, 31)]
    assert periods([renewed(0, amount=0, recurring_interval="daily")]) == [(0, 1)]
    assert periods([renewed(0, amount=0, period_end=text(365))]) == [(0, 365)]


def test_grace():
    assert periods([renewed(0, period_end=text(30))], Settings()) == [(0, 31)]
    # 31 January + 1 month.
    assert periods([renewed(0, period_end=text(30))], Settings(grace=(1, 0, 0))) == [(0, 58)]


# Cancellations.

def test_cancellations():
    paid_for = renewed(0, period_end=text(30))
    assert answer([paid_for, ended(5)], 4) == (True, "canceling", moment(5))
    assert answer([paid_for, ended(5)], 5) == (False, "canceled", moment(5))
    # It never lengthens access.
    assert periods([paid_for, ended(5, cancel_at=text(50))]) == [(0, 30)]
    assert periods([paid_for, ended(5, cancel_at=text(20))]) == [(0, 20)]
    assert periods([paid_for, ended(5, cancel_at=text(20), cancel_at_period_end=True)]) == [(0, 30)]
    assert periods([paid_for, ended(5, cancel_at_period_end=False)]) == [(0, 5)]
    assert periods([paid_for, ended(5)], Settings(on_cancel="keep_paid_time")) == [(0, 30)]
    assert periods([trial(0, trial_end=text(7)), ended(5)], KEEP) == [(0, 7)]
    assert periods([trial(0), ended(5)]) == [(0, 5)]
    # Within the grace it ends where it occurred; after it, it cuts nothing.
    assert periods([paid_for, ended(30.5)], Settings()) == [(0, 30.5)]
    assert periods([paid_for, ended(30.5)], KEEP) == [(0, 30.5)]
    assert periods([paid_for, ended(31)], Settings()) == [(0, 31)]
    assert answer([paid_for, ended(31)], 31) == (False, "canceled", moment(31))
    # Of several the earliest end; what was bought later is not theirs.
    assert periods([paid_for, ended(5, cancel_at_period_end=True), ended(9)]) == [(0, 9)]
    assert periods([paid_for, ended(5), renewed(7, "p2", period_end=text(10))]) == [(0, 5), (7, 10)]
    assert answer([paid_for, ended(5), renewed(7, "p2", period_end=text(10))], 8) == (True, "active", moment(11))


def test_cancellation_of_the_same_second():
    assert periods([renewed(0), ended(0)]) == []
    later = renewed(0, period_end=text(30))
    later.occurred_at += timedelta(milliseconds=500)
    assert periods([later, ended(0)]) == []
    assert periods([later, ended(0, cancel_at=text(9))])[0][1] == 9


def test_a_cut_window_among_others():
    events = [renewed(0, period_end=text(30), id="s1"), renewed(1, "p2", period_end=text(30), id="s2"),
              ended(20, id="s2", cancel_at=text(25))]
    assert answer(events, 22)[1] == "active"
    assert answer([*events, ended(21, id="s1", cancel_at=text(40))], 22) == (True, "canceling", moment(30))


def test_past_due():
    assert answer([trial(0, trial_end=text(7)), failed(7), renewed(0, "p0", period_end=text(8))], 7.5)[1] == "past_due"
    paid_for = renewed(0, period_end=text(30))
    assert answer([paid_for, failed(30, "p2")], 30) == (True, "past_due", moment(31))
    assert answer([paid_for, failed(30, "p2")], 31) == (False, "expired", moment(31))
    assert row([paid_for, failed(30, "p2")], 31)["status"] == "past_due"


# Items apart.

def test_items_apart():
    events = [renewed(0, period_end=text(30), members=who("c", None, "p")), paid(1, "p2", **who("d", None, "p")),
              refund(2, "p2", object="refunded")]
    assert [(one["customer_id"], one["reason"]) for one in rows(events, 5)] == [("c", "active"), ("d", "refunded")]


# The customer's question, and the checks.

def test_is_entitled():
    states = fold([paid(0, **who("c", "A@x", "p", "u")),
                   event(mode="test", payment_id="x", **who("t", None, "p", order="o2"))], Settings())

    def asked(customer, product="p", mode="live", day=1):
        return is_entitled(states, {}, Settings(), customer, product, mode, moment(day))

    assert asked("c") and asked(" a@X ") and asked("t", mode="test")
    assert not (asked("t") or asked("C") or asked("c", "q") or asked("c", day=-1) or asked("a"))
    assert not (asked("") or asked(None) or asked("c", ""))
    assert is_user_entitled(states, {}, Settings(), " u", "p", "live", moment(1))
    assert not is_user_entitled(states, {}, Settings(), "", "p", "live", moment(1))


def checks(events, expected):
    found = order_checks(fold(events, Settings()), expected, Settings())
    return [(one["expected"], one["paid"], one["matches"], one["mismatches"]) for one in found]


def test_order_checks():
    order = paid(0, customer={"email": "a@x"}, product={"product_id": "p"})
    later = paid(1, "p2", amount=99, **who(None, "a@x", "p"))
    live = ("live", "o1")
    assert checks([order], {}) == [(False, True, False, [["unexpected"]])]
    assert checks([failed(0)], {}) == [(False, False, None, [["unexpected"]])]
    assert checks([order], {("test", "o1"): Expected()}) == [
        (False, True, False, [["mode"]]), (True, False, None, [[]])]
    assert checks([order, later], {live: Expected("A@X", "p", Decimal("10.00"), "Usd")}) == [(True, True, True, [[]])]
    assert checks([order], {live: Expected("b@x", "q", Decimal(11), "EUR")}) == [
        (True, True, False, [["customer", "product", "amount", "currency"]])]
    assert checks([failed(0)], {live: Expected("a@x")}) == [(True, False, None, [[]])]
    assert checks([paid(0, amount=None)], {live: Expected(amount=Decimal(1))}) == [
        (True, True, False, [["amount"]])]
    assert checks([order, paid(1, "p2", **who(None, "b@x", "q"))], {live: Expected("b@x", "q", Decimal(9))}) == [
        (True, True, False, [["amount"]])]
    assert checks([], {live: Expected()}) == [(True, False, None, [[]])]


# Nothing changes between two boundaries.

@pytest.mark.parametrize("events", [
    [paid(3)], [trial(0, trial_end=text(7)), failed(7)], [trial(0), renewed(5), ended(9)],
    [renewed(0, period_end=text(30)), renewed(30, "p2"), refund(31, "p2"), ended(40, cancel_at=text(50))],
    [renewed(0), decision("grant", 3, until=moment(80))], [trial(0), trial(3), ended(4, cancel_at=text(9))],
    [decision("grant", 3, product_id="p", customer_email="a@x", until=moment(8))]])
@pytest.mark.parametrize("settings", [Settings(), KEEP, HONOUR, Settings(grace=(1, 2, 3))])
def test_boundaries(events, settings):
    found = sorted(boundaries(state(*events, settings=settings), settings))
    edges = [moment(-100), *found, moment(900)]
    for before, after in zip(edges, edges[1:]):
        inside = {answer(events, at, settings) for at in (
            before, before + (after - before) / 3, after - MOMENT)}
        assert len(inside) == 1, (before, after)
