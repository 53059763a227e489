"""Small events for the tests: bodies, built from what a test cares for."""

import itertools
import json
from datetime import datetime, timedelta

from .extract import parse
from .fold import OperatorEvent, fold
from .settings import Settings
from .times import UTC

_numbers = itertools.count(1)
START = datetime(2025, 1, 1, tzinfo=UTC)


def moment(day, seconds=0):
    """The moment `day` days (and seconds) after 1 January 2025, 00:00 UTC."""
    return START + timedelta(days=day, seconds=seconds)


def text(day, seconds=0):
    """moment() as a body would write it."""
    return moment(day, seconds).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def raw(event_type="checkout.completed", day=0, event_id=None, order="o1", mode="live", **members):
    """The bytes of a body; `members` stand in its object, beside or in place of the usual ones.

    The member `order_object` stands there as `order`.
    """
    content = {"mode": mode, "metadata": {"order_id": order}, **members}
    if "order_object" in content:
        content["order"] = content.pop("order_object")
    return json.dumps({
        "event_id": event_id or f"evt_{next(_numbers):06}", "event_type": event_type,
        "created_at": text(day), "object": content}).encode()


def event(event_type="checkout.completed", day=0, **members):
    """The Event of raw()."""
    return parse(raw(event_type, day, **members))


def paid(day=0, payment="p1", amount=10, order_object=None, **members):
    """A one-time payment; `order_object` adds to its object `order`, `members` to its object."""
    return event("checkout.completed", day, **_names(payment, amount, order_object, members))


def renewed(day=0, payment="p1", amount=10, period_end=None, order_object=None, members=None,
            **subscription):
    """A subscription's payment; `subscription` stands in the object of that name."""
    if period_end is not None:
        subscription["billing_period_end"] = period_end
    members = {**(members or {}), "subscription": subscription}
    return event("subscription.paid", day, **_names(payment, amount, order_object, members))


def trial(day=0, members=None, **subscription):
    """A trial's beginning."""
    return event("subscription.trialing", day, subscription=subscription, **(members or {}))


def refund(day, payment="p1", **members):
    """A refund; `members` stand in the object."""
    if payment is not None:
        members["payment_id"] = payment
    return event("refund.created", day, **members)


def failed(day, payment="p1", **members):
    """A failed payment."""
    return event("checkout.failed", day, payment_id=payment, **members)


def closed(day, payment=None, **members):
    """A payment page closed, or a dispute of a payment."""
    return event("checkout.cancel", day, payment_id=payment, **members)


def ended(day, members=None, **subscription):
    """A cancellation."""
    return event("subscription.canceled", day, subscription=subscription, **(members or {}))


def decision(kind, day, **members):
    """An operator's decision: kind is grant, revoke, clear or dispute_won."""
    return OperatorEvent(f"operator:{next(_numbers):06}", "operator." + kind,
                         members.pop("mode", "live"), members.pop("order", "o1"), moment(day),
                         **members)


def state(*events, settings=Settings(), order="o1", mode="live"):
    """The state of one order when `events` are folded."""
    return fold(events, settings)[mode, order]


def who(customer=None, email=None, product=None, user=None, order="o1"):
    """Members of an object that say whose it is, and of what."""
    members = {"metadata": {"order_id": order}}
    if customer is not None or email is not None:
        members["customer"] = {name: value for name, value in (("id", customer), ("email", email))
                               if value is not None}
    if product is not None:
        members["product"] = {"product_id": product}
    if user is not None:
        members["metadata"]["user_id"] = user
    return members


def _names(payment, amount, order_object, members):
    names = {"order_object": {"amount": amount, "currency": "usd", **(order_object or {})}}
    if payment is not None:
        names["payment_id"] = payment
    return {**members, **names}
