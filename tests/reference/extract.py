"""From the bytes of a body to an Event: the envelope and every normalised field of §4."""

import hashlib
import json
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal

from .readers import (
    TEXT_BYTES, decimal_of, digits_of, parts_of, read_amount, read_bool, read_currency, read_email,
    read_id, read_interval, read_label, read_text, read_time, read_units, time_of, trim)
from .strictjson import Invalid, Number, loads

__all__ = ["Event", "Invalid", "parse", "TYPES", "TIMES", "DERIVED_ID"]

TYPES = frozenset((
    "checkout.failed", "checkout.cancel", "checkout.completed", "subscription.trialing",
    "subscription.paid", "refund.created", "subscription.canceled"))
# How the id begins that is derived from the content of an event without one.
DERIVED_ID = "sha256:"

MODE_PLACES = ("object.mode", "mode", "object.product.mode", "object.order.mode",
               "object.subscription.mode")
TIME_PLACES = ("created_at", "object.order.updated_at", "object.order.created_at",
               "object.subscription.updated_at", "object.subscription.created_at",
               "object.canceled_at", "object.created_at")
BILLING_TYPES = ("subscription", "single_payment")
TIMES = ("occurred_at", "trial_start", "trial_end", "billing_period_start", "billing_period_end",
         "cancel_at", "canceled_at")


@dataclass
class Event:
    """One valid event.  Absent fields are None.

    Times are aware in UTC, or naive where the body names no zone.  Amounts are Decimal, in major
    units.  occurred_path is the place occurred_at was found in, created_at_raw the text or token of
    the top-level created_at.  metadata has its numbers as Decimal, metadata_tokens as Number.
    recurring_interval is (months, days).  refund_amount is this refund's amount, refunded_amount the
    running total, refund_label `full` or `partial`; kind is the object's own member `object`.

    user_id depends on a setting and position on the other events: the fold fills them in.
    """

    event_id: str
    event_type: str
    mode: str
    occurred_at: datetime
    occurred_path: str
    created_at_raw: str = None
    product_id: str = None
    product_name: str = None
    billing_type: str = None
    customer_id: str = None
    customer_email: str = None
    provider_order_id: str = None
    payment_id: str = None
    request_id: str = None
    amount: Decimal = None
    tax_amount: Decimal = None
    currency: str = None
    subscription_id: str = None
    processor_subscription_id: str = None
    trial_start: datetime = None
    trial_end: datetime = None
    billing_period_start: datetime = None
    billing_period_end: datetime = None
    cancel_at: datetime = None
    canceled_at: datetime = None
    cancel_at_period_end: bool = None
    recurring_interval: tuple = None
    units: int = None
    payment_method: str = None
    last4: str = None
    billing_amount: Decimal = None
    refund_id: str = None
    refund_amount: Decimal = None
    refunded_amount: Decimal = None
    refund_label: str = None
    metadata: dict = None
    metadata_tokens: dict = None
    kind: str = None
    has_subscription: bool = False
    warnings: list = field(default_factory=list)
    user_id: str = None
    position: int = None

    @property
    def is_known(self):
        """Whether the type has a part in the fold; events of other types are `ignored`."""
        return self.event_type in TYPES

    @property
    def billed_as_subscription(self):
        """Whether §4 calls the event billed as a subscription."""
        return (self.event_type in ("subscription.trialing", "subscription.paid",
                                    "subscription.canceled")
                or self.billing_type == "subscription" or self.has_subscription
                or self.kind == "subscription")

    @property
    def has_billing_type(self):
        """Whether it says how it is billed; another word than the two counts as none (§6)."""
        return self.billing_type in BILLING_TYPES

    @property
    def is_payment(self):
        """Whether §6 calls it a payment event."""
        return self.event_type in ("checkout.completed", "subscription.paid")

    @property
    def is_selling(self):
        """Whether §6 calls it a selling event."""
        return self.is_payment or self.event_type == "subscription.trialing"


def parse(body):
    """Return the Event that `body` (bytes) is; raises Invalid(path, why) for what is a 400."""
    warnings = []
    root = loads(body, warnings)
    if not isinstance(root, dict):
        raise Invalid("", "not a JSON object")
    if not isinstance(root.get("object"), dict):
        raise Invalid("object", "missing" if root.get("object") is None else "not an object")
    event_type = _event_type(root)
    mode = _mode(root)
    event_id = _event_id(root, warnings)
    occurred_at, occurred_path = _occurred_at(root, warnings)
    event = Event(event_id, event_type, mode, occurred_at, occurred_path, warnings=warnings)
    raw = root.get("created_at")
    event.created_at_raw = raw.token if isinstance(raw, Number) else \
        raw if isinstance(raw, str) else None
    _fields(event, root)
    event.warnings = list(dict.fromkeys(warnings))
    if event.event_id is None:
        event.event_id = DERIVED_ID + hashlib.sha256(repr(content(event)).encode()).hexdigest()
    return event


def content(event):
    """Return what makes two bodies the same event: all that the body alone decides, as a tuple."""
    apart = ("event_id", "occurred_path", "warnings", "metadata", "metadata_tokens", "user_id",
             "position")
    return (json.dumps(event.metadata, sort_keys=True, default=str),
            *(getattr(event, one.name) for one in fields(event) if one.name not in apart))


def _look(root, path):
    """The value at a dotted path, None where any part is absent or above it is no object."""
    for name in path.split("."):
        if not isinstance(root, dict):
            return None
        root = root.get(name)
    return root


def _event_type(root):
    value = root.get("event_type")
    if value is None:
        raise Invalid("event_type", "missing")
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= 64:
        raise Invalid("event_type", "not a text of 1 to 64 bytes")
    return value


def _mode(root):
    found = []
    for place in MODE_PLACES:
        value = _look(root, place)
        if value is None:
            continue
        if not isinstance(value, str) or value not in ("test", "live"):
            raise Invalid(place, "neither test nor live")
        found.append(value)
    if not found:
        raise Invalid(MODE_PLACES[0], "missing")
    return "test" if "test" in found else "live"


def _event_id(root, warnings):
    for place in ("event_id", "id"):
        value = root.get(place)
        if value is None:
            continue
        text = digits_of(value) if isinstance(value, Number) else value
        if not isinstance(text, str):
            warnings.append(f"{place}: neither a text nor an integer")
        elif text == "":
            warnings.append(f"{place}: empty")
        elif len(text.encode()) > TEXT_BYTES:
            warnings.append(f"{place}: longer than {TEXT_BYTES} bytes")
        else:
            return text
    return None


def _occurred_at(root, warnings):
    for place in TIME_PLACES:
        value = _look(root, place)
        if value is None:
            continue
        try:
            return time_of(value), place
        except ValueError as error:
            warnings.append(f"{place}: {error}")
    raise Invalid("created_at", "no usable time in any of its places")


_SUBSCRIPTION_FIELDS = (
    ("trial_start", read_time), ("trial_end", read_time),
    ("billing_period_start", read_time), ("billing_period_end", read_time),
    ("cancel_at", read_time), ("canceled_at", read_time),
    ("cancel_at_period_end", read_bool), ("recurring_interval", read_interval),
    ("units", read_units), ("payment_method", read_text), ("last4", read_text),
    ("billing_amount", read_amount))
# Where else a subscription field is looked for, after its usual places.
_ELSEWHERE = {"recurring_interval": ("product.recurring_interval", "product.billing_period")}

_FIELDS = (
    ("product_id", read_id, "product.product_id", "order.product_id", "subscription.product_id"),
    ("product_name", read_text, "product.name", "subscription.product_name"),
    ("billing_type", read_text, "product.billing_type"),
    ("customer_id", read_id, "customer.id"),
    ("customer_email", read_email, "customer.email"),
    ("provider_order_id", read_id, "order.order_id"),
    ("payment_id", read_id, "payment_id"),
    ("request_id", read_id, "request_id"),
    ("amount", read_amount, "order.amount"),
    ("tax_amount", read_amount, "order.tax_amount"),
    ("currency", read_currency, "order.currency", "product.currency"),
    ("subscription_id", read_id, "subscription.id", "subscription.subscription_id"),
    ("refund_id", read_id, "refund.id", "refund.refund_id", "refund_id"),
    ("refund_amount", read_amount, "refund.amount", "refund_amount"),
    ("refunded_amount", read_amount, "order.refunded_amount", "refunded_amount"),
    ("refund_label", read_label, "refund.status", "order.status", "status", "object"))


def _fields(event, root):
    members = root["object"]
    event.has_subscription = isinstance(members.get("subscription"), dict)

    def first(read, places):
        for place in places:
            value = _look(members, place)
            if value is None:
                continue
            try:
                found = read(value)
            except ValueError as error:
                event.warnings.append(f"object.{place}: {error}")
                continue
            if found is not None:
                return found
        return None

    event.kind = first(read_text, ("object",))
    is_subscription = event.kind == "subscription"
    for name, read, *places in _FIELDS:
        setattr(event, name, first(read, places))
    event.processor_subscription_id = first(
        read_id, ("id", "subscription_id") if is_subscription else ("subscription_id",))
    for name, read in _SUBSCRIPTION_FIELDS:
        places = (f"subscription.{name}", name) if is_subscription else (f"subscription.{name}",)
        setattr(event, name, first(read, (*places, *_ELSEWHERE.get(name, ()))))
    if event.billing_type is not None and not event.has_billing_type:
        event.warnings.append("object.product.billing_type: neither subscription nor single_payment")
    _metadata(event, members.get("metadata"))


def _metadata(event, value):
    if isinstance(value, str):
        if trim(value) == "":
            return
        try:
            value = loads(value.encode(), event.warnings, "object.metadata")
        except Invalid as error:
            event.warnings.append(f"object.metadata: {error.why}")
            return
    if isinstance(value, dict):
        event.metadata_tokens = value
        event.metadata = _plain(value)
    elif value is not None:
        event.warnings.append("object.metadata: not an object")


def _plain(value):
    """A JSON value with its numbers as Decimal."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Number):
        return decimal_of(*parts_of(value))
    return value
