"""The reference's purchases, items and subscriptions against cases worked by hand (§6)."""

import pytest

from .bodies import (
    decision, ended, event, failed, moment, paid, renewed, state, text, trial, who)

A = {"order_id": "A"}


def keys(*events):
    """The items' keys, sorted."""
    return sorted(state(*events).items)


def payment_keys(*events):
    """(product, customer, user) of every payment."""
    return [(row["product_id"], row["customer_id"], row["user_id"])
            for row in state(*events).payments.values()]


def item(*events, key=None):
    items = state(*events).items
    return items[key] if key is not None else next(iter(items.values()))


def status(*events, key=None):
    return item(*events, key=key).row["subscription_status"]


# Product, customer and user.

def test_first_of_its_own_events():
    assert payment_keys(paid(0, **who("c", None, "p", "u")), paid(1, **who("d", None, "q", "v"))) == [
        ("p", "c", "u")]
    assert payment_keys(paid(0), paid(1, **who("d", "x@y", "q", "v"))) == [("q", "d", "v")]
    assert payment_keys(failed(0, **who("c")), paid(1)) == [(None, None, None)]


def test_customer_by_email():
    assert payment_keys(paid(0, **who(None, "a@x"))) == [(None, "email:a@x", None)]
    assert payment_keys(paid(0, **who(None, "a@x")), paid(1, **who("c"))) == [(None, "c", None)]
    assert payment_keys(paid(0, **who(None, "a@x")), paid(1, **who(None, "b@x"))) == [
        (None, "email:b@x", None)]
    known = paid(0, **who("c", "a@x"))
    assert payment_keys(known, paid(1, "p2", **who(None, "a@x")))[1][1] == "c"
    assert payment_keys(known, paid(1, "p2", **who(None, "b@x")))[1][1] == "email:b@x"
    assert payment_keys(known, paid(1, "p2", **who("d", "a@x")), paid(2, "p3", **who(None, "a@x")))[2][1] == "d"
    assert payment_keys(paid(0, **who(None, "a@x")), paid(1, "p2", **who("c", "a@x")),
                        paid(2, "p3", **who(None, "a@x"))) == [
        (None, "email:a@x", None), (None, "c", None), (None, "c", None)]
    # Looked up again at each of its own events, among what began before it.
    assert payment_keys(paid(0, **who(None, "a@x")), paid(1, "p2", **who("c", "a@x")), paid(2)) == [
        (None, "email:a@x", None), (None, "c", None)]


def test_inherited_from_the_only_one():
    assert payment_keys(paid(0, **who("c", None, "p", "u")), paid(1, "p2"))[1] == ("p", "c", "u")
    assert payment_keys(paid(0, **who("c", None, "p")), paid(1, "p2", **who("d")), paid(2, "p3"))[2] == (
        "p", None, None)
    assert payment_keys(failed(-1, "p0", **who("d")), paid(0, **who("c")), paid(1, "p2"))[2][1] == "c"
    # Settled when it begins.
    assert payment_keys(paid(0), paid(1, "p2", **who("c")), paid(2))[0][1] is None
    assert payment_keys(paid(0, **who("c")), paid(1, "p2"), paid(2, "p3", **who("d")), paid(3, "p2"))[1][1] == "c"


def test_inherited_from_the_same_subscription():
    one = renewed(0, id="s1", members=who("c", None, "p", "u"))
    two = renewed(1, "p2", id="s2", members=who("d", None, "q", "v"))
    assert payment_keys(one, two, renewed(2, "p3", id="s1"))[2] == ("p", "c", "u")
    assert payment_keys(one, two, renewed(2, "p3", id="s3"))[2] == (None, None, None)
    # If that one does not say either, the only one does.
    assert payment_keys(renewed(0, id="s1"), renewed(1, "p2", id="s2", members=who("c")),
                        renewed(2, "p3", id="s1"))[2][1] == "c"
    # Through ids that belong together.
    both = renewed(0, id="s1", members={**who("c"), "subscription_id": "x1"})
    other = renewed(1, "p2", id="s2", members={**who("d"), "subscription_id": "x2"})
    assert payment_keys(both, other, paid(2, "p3", subscription_id="x1"))[2][1] == "c"


def test_user_of_the_same_customer():
    one = paid(0, **who("c", None, "p", "u"))
    assert payment_keys(one, paid(1, "p2", **who("c")))[1][2] == "u"
    assert payment_keys(one, paid(1, "p2", **who("d")))[1][2] is None
    assert payment_keys(paid(0, **who(None, None, "p", "u")), paid(1, "p2", **who("c")))[1][2] is None
    assert payment_keys(paid(0, **who(user="u")), paid(1, "p2"))[1][2] == "u"
    two = paid(1, "p2", **who("d", None, "p", "v"))
    assert payment_keys(one, two, paid(2, "p3", **who("d")))[2][2] == "v"


# Items.

def test_items():
    events = [paid(0, **who("c", None, "p")), paid(1, "p2", **who("c", None, "q")),
              paid(2, "p3", **who("d", None, "p")), paid(3, "p4", **who("c", None, "p", "u"))]
    assert keys(*events) == [("p", "c", ""), ("p", "c", "u"), ("p", "d", ""), ("q", "c", "")]
    assert keys(failed(0), ended(1)) == []
    assert keys(paid(0)) == [("", "", "")]


def test_item_columns():
    found = item(
        trial(0, {**who("c", "a@x", "p"), "payment_id": "p9"}, trial_end=text(7), units=2, last4="1111"),
        renewed(7, period_end=text(37), recurring_interval="monthly", id="s1", members=who("c")),
        renewed(37, "p2", amount=None, billing_amount=9, members=who("c", "b@x")),
        renewed(7, "p1", payment_method="card"), ended(40, cancel_at=text(50), id="s1"),
        ended(41, cancel_at_period_end=True), ended(42, id="s2", cancel_at=text(60)))
    row = found.row
    assert (row["customer_email"], row["units"], row["last4"]) == ("b@x", 2, "1111")
    assert (row["recurring_interval"], row["subscription_id"]) == ((1, 0), "s1")
    assert (row["billing_period_end"], row["billing_amount"]) == (moment(37), 9)
    assert (row["payment_method"], row["trial_start"], row["trial_end"]) == ("card", None, moment(7))
    assert (row["cancel_at"], row["cancel_at_period_end"]) == (moment(60), None)
    assert row["updated_at"] == moment(42)


def test_a_trial_and_what_bought_it_count_as_one_item_column():
    # The payment makes the earlier trial the latest.
    bought = [trial(0, {"payment_id": "p1"}, trial_end=text(7)), trial(0.1, trial_end=text(9))]
    assert item(*bought).row["trial_end"] == moment(9)
    assert item(*bought, paid(0.2, product={"billing_type": "subscription"})).row["trial_end"] == moment(7)
    # A cancellation between the two is not the pair's, unless the payment is no subscription's.
    events = [trial(0, {"payment_id": "p1"}), ended(0.1, cancel_at=text(5))]
    assert item(*events, paid(0.2, product={"billing_type": "single_payment"})).row["cancel_at"] == moment(5)
    assert item(*events, paid(0.2, product={"billing_type": "subscription"})).row["cancel_at"] is None


def test_items_of_grants():
    grant = decision("grant", 0, product_id="p", customer_email="a@x")
    assert keys(grant) == [("p", "email:a@x", "")]
    assert item(grant).row["customer_email"] == "a@x"
    assert keys(grant, paid(1, **who("c", "a@x", "p"))) == [("p", "c", "")]
    assert keys(grant, paid(1, **who("c", "a@x", "q"))) == [("p", "email:a@x", ""), ("q", "c", "")]
    assert keys(decision("grant", 0, product_id="p"), decision("grant", 0, customer_email="a@x")) == []
    assert keys(grant, decision("clear", 1)) == [("p", "email:a@x", "")]
    found = item(grant, paid(1, **who(None, "a@x", "p")))
    assert (found.key, len(found.purchases)) == (("p", "email:a@x", ""), 1)


# subscription_status.

@pytest.mark.parametrize("events, expected", [
    ([paid(0)], None), ([trial(0)], "trialing"), ([renewed(0)], "active"),
    ([trial(0), renewed(1)], "active"), ([renewed(0), ended(1)], "canceled"),
    ([renewed(0), ended(1), renewed(2)], "canceled"),
    ([renewed(0), ended(1), renewed(2, "p2")], "active"),
    ([renewed(0), ended(1), trial(2)], "trialing"), ([ended(-1), renewed(0)], "active"),
    ([trial(0), failed(1)], "past_due"), ([renewed(0), failed(1, "p2")], "past_due"),
    ([renewed(0), failed(1, "p2"), renewed(2, "p2")], "active"),
    ([renewed(0), ended(1), failed(2)], "canceled"),
    ([renewed(0), decision("revoke", 1)], "active"),
    ([paid(0), renewed(1)], "active"), ([paid(0), failed(1)], None),
    # By subscription.
    ([renewed(0, id="s1"), ended(1, id="s2")], "active"),
    ([renewed(0, id="s1"), ended(1, {"subscription_id": "x2"})], "canceled"),
    ([renewed(0, id="s1"), renewed(9, "p2", id="s2"), ended(10, id="s1")], "active"),
    ([renewed(0, id="s1"), renewed(9, "p2", id="s2"), ended(10, id="s2")], "canceled"),
    ([renewed(0, id="s1"), failed(1, "p2", subscription={"id": "s2"})], "active"),
    ([renewed(0, id="s1", members=who("c")), failed(1, "p2", **who("d"))], "active"),
    ([renewed(0, id="s1", members=who("c")), failed(1, "p2", subscription={"id": "s1"}, **who("d"))],
     "past_due"),
    ([renewed(0, members=who("c", "a@x")), failed(1, "p2", **who(None, "a@x"))], "past_due"),
    ([renewed(0, members=who("c", "a@x")), failed(1, "p2", **who(None, "b@x"))], "active"),
    # A one-time payment is not what a cancellation is about.
    ([renewed(0), paid(1, "p2", product={"billing_type": "single_payment"}), ended(2)], "canceled"),
    # What a trial is bought by makes nothing active.
    ([trial(0, {"payment_id": "p1"}), paid(0.1, amount=0, subscription={})], "trialing"),
    ([paid(0, amount=0, subscription={}), trial(0.1, {"payment_id": "p1"})], "trialing"),
    ([paid(0, amount=0, subscription={}), trial(0.1, {"payment_id": "p1"}), renewed(3)], "active"),
    ([trial(0, {"payment_id": "p1"}), paid(1.1, subscription={})], "active"),
    ([trial(0, {"payment_id": "p1"}), paid(0.1, amount=0), ended(2), paid(3)], "canceled"),
])
def test_subscription_status(events, expected):
    assert status(*events) == expected


def test_status_moves_with_its_purchase():
    events = [renewed(0), renewed(1, members=who("c"))]
    assert keys(*events) == [("", "c", "")]
    assert status(*events) == "active"
    found = state(renewed(-5, "p0"), ended(-4), renewed(0), ended(1), renewed(2, members=who("c"))).items
    assert {key: one.row["subscription_status"] for key, one in found.items()} == {
        ("", "", ""): "canceled", ("", "c", ""): "active"}


def test_status_of_an_item_that_only_a_trials_payment_is_in():
    found = state(trial(0, {**who("c"), "payment_id": "p1"}), paid(0.1, subscription={}, **who("c", user="u")))
    assert {key: one.row["subscription_status"] for key, one in found.items.items()} == {
        ("", "c", ""): "trialing", ("", "c", "u"): "trialing"}


def test_status_of_the_item_that_an_event_is_about():
    found = state(renewed(0, members=who("c")), renewed(1, "p2", members=who("d")),
                  failed(2, "p3", **who("d")), ended(3, **{"members": who("c")}))
    assert [step[2] for step in found.steps] == ["active", "active", "past_due", "canceled"]


# Cancellations.

def test_cancellation_row():
    found = state(renewed(0), ended(1, {"subscription_id": "x", **who("c", None, "p")}, id="s",
                                    canceled_at=text(2), cancel_at=text(3), cancel_at_period_end=True))
    row, = found.cancellations.values()
    assert (row["product_id"], row["customer_id"]) == ("p", "c")
    assert (row["subscription_id"], row["processor_subscription_id"]) == ("s", "x")
    assert (row["occurred_at"], row["ends_at"], row["at_period_end"]) == (moment(1), moment(3), True)
    row, = state(ended(5, canceled_at=text(2), cancel_at=text(3))).cancellations.values()
    assert (row["ends_at"], row["at_period_end"]) == (moment(5), None)


def concerned(*events):
    made, = state(*events).cancellations_made
    return [getattr(one, "payment_id", "trial") for one in made.purchases]


def test_what_a_cancellation_concerns():
    one = renewed(0, id="s1", members={**who("c"), "subscription_id": "x1"})
    two = renewed(1, "p2", id="s2", members=who("c"))
    three = renewed(2, "p3", members=who("d"))
    later = renewed(9, "p9", id="s1")
    assert concerned(one, two, three, later, ended(5, id="s1")) == ["p1"]
    assert concerned(one, two, three, later, ended(5, {"subscription_id": "x1"})) == ["p1"]
    assert concerned(one, two, three, ended(5, {"subscription_id": "x2"})) == ["p2", "p3"]
    assert concerned(one, two, three, ended(5, id="s3")) == ["p3"]
    assert concerned(one, two, three, ended(5)) == ["p1", "p2", "p3"]
    assert concerned(one, two, three, ended(5, who("c"))) == ["p1", "p2"]
    assert concerned(one, two, three, ended(5, who("d"), id="s3")) == ["p3"]
    assert concerned(one, two, three, ended(5, who("c"), id="s3")) == []
    assert concerned(paid(0), ended(5)) == []
    # Through an id that both have: s1 - x1 - s3.
    bridge = renewed(3, "p4", id="s3", members={"subscription_id": "x1"})
    assert concerned(one, bridge, ended(5, id="s3")) == ["p1", "p4"]
    # What belonged together once still does.
    moved = [renewed(3, "p4", id="s3", members={"subscription_id": "x1"}),
             renewed(4, "p4", id="s4", members={"subscription_id": "x4"})]
    assert concerned(one, *moved, ended(5, id="s3")) == ["p1"]
    assert concerned(one, *moved, renewed(4, "p5", id="s3"), ended(5, id="s1")) == ["p1", "p5"]
    assert concerned(one, renewed(6, "p4", id="s3", members={"subscription_id": "x1"}), ended(5, id="s3")) == []


def test_a_trial_goes_with_what_bought_it():
    events = [trial(0, {"payment_id": "p1"}, id="s1"), paid(0.1, amount=0), ended(2, id="s1")]
    assert concerned(*events) == ["trial", "p1"]


# Trials.

def bought(*events):
    return [row["payment_id"] for row in state(*events).trials.values()]


def test_what_bought_a_trial():
    one = trial(0, {"payment_id": "p1"})
    assert bought(one) == [None]
    assert bought(one, paid(1)) == bought(paid(-1), one) == ["p1"]
    assert bought(one, paid(1 + 1 / 86400)) == bought(paid(-1 - 1 / 86400), one) == [None]
    assert bought(one, paid(0.5, "p2")) == [None]
    assert bought(one, renewed(0.5)) == [None]
    assert bought(one, paid(0.5), renewed(9)) == [None]
    assert bought(one, paid(0.5), renewed(9), paid(10)) == [None]
    by_number = trial(0, {"order_object": A})
    assert bought(by_number, paid(0.5, order_object=A)) == bought(paid(-0.5, order_object=A), by_number) == ["p1"]
    assert bought(trial(0, {"payment_id": "p9", "order_object": A}), paid(0.5, order_object=A)) == [None]
    assert bought(paid(-0.5, None, order_object=A), by_number) == ["order:A"]
    assert bought(paid(-0.5, None, order_object=A), by_number, paid(1, "p1", order_object=A)) == ["p1"]
    # Of several of the provider's order, the latest paid one.
    assert bought(paid(-0.9, order_object=A), paid(-0.8, "p2", order_object=A), by_number) == ["p2"]
    assert bought(one, trial(0.2, {"payment_id": "p1"}), paid(0.5)) == ["p1", "p1"]


def test_trial_row():
    one = event("subscription.trialing", 0, **who("c", "a@x", "p", "u"),
                subscription={"trial_end": text(7), "units": 4, "id": "s"})
    row, = state(one).trials.values()
    assert row == {
        "mode": "live", "order_id": "o1", "event_id": one.event_id, "product_id": "p",
        "customer_id": "c", "customer_email": "a@x", "user_id": "u", "units": 4,
        "subscription_id": "s", "starts_at": moment(0), "trial_end": moment(7), "payment_id": None}
