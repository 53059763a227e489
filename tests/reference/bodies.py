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
    return moment(day, seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def raw(event_type="checkout.completed", day=0, event_id=None, order="o1", mode="live", **members):
    """The bytes of a body; `members` stand in its object, beside or in place of the usual ones."""
    content = {"mode": mode, "metadata": {"order_id": order}, **members}
    return json.dumps({
        "event_id": event_id or f"evt_{next(_numbers):06}", "event_type": event_type,
        "created_at": text(day), "object": content}).encode()


def event(event_type="checkout.completed", day=0, **members):
    """The Event of raw()."""
    return parse(raw(event_type, day, **members))


def paid(day=0, payment="p1", amount=10, name="o1", order_object=None, **members):
    """A one-time payment; `order_object` adds to its object `order`, `members` to its object."""
    order = {"amount": amount, "currency": "usd", **(order_object or {})}
    if payment is not None:
        members["payment_id"] = payment
    return _with_order("checkout.completed", day, name, order, members)


def renewed(day=0, payment="p1", amount=10, period_end=None, **subscription):
    """A subscription's payment; `subscription` stands in the object of that name."""
    if period_end is not None:
        subscription["billing_period_end"] = period_end
    content = {"payment_id": payment, "subscription": subscription}
    return _with_order("subscription.paid", day, "o1", {"amount": amount}, content)


def trial(day=0, **subscription):
    """A trial's beginning."""
    return event("subscription.trialing", day, subscription=subscription)


def refund(day, payment="p1", **members):
    """A refund; `members` stand in the object."""
    if payment is not None:
        members["payment_id"] = payment
    return event("refund.created", day, **members)


def decision(kind, day, **members):
    """An operator's decision: kind is grant, revoke or clear."""
    return OperatorEvent(f"op_{next(_numbers):06}", "operator." + kind,
                         members.pop("mode", "live"), members.pop("order", "o1"), moment(day),
                         **members)


def state(*events, settings=Settings(), order="o1", mode="live"):
    """The state of one order when `events` are folded."""
    return fold(events, settings)[mode, order]


def _with_order(event_type, day, name, order, content):
    # raw() calls the key `order`, so the object's own member of that name comes in here.
    body = json.loads(raw(event_type, day, order=name, **content))
    body["object"]["order"] = order
    return parse(json.dumps(body).encode())
