"""From the bytes of a body to an Event: the envelope and every normalised field of §4."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from .strictjson import NUMBER, Invalid, Number, loads
from .times import parse_time

__all__ = ["Event", "Invalid", "parse", "trim", "lower", "upper", "TYPES"]

TYPES = frozenset((
    "checkout.failed", "checkout.cancel", "checkout.completed", "subscription.trialing",
    "subscription.paid", "refund.created", "subscription.canceled"))
TEXT_BYTES = 255
EMAIL_BYTES = 320
MAX_INTEGER_DIGITS = 15
MAX_DECIMALS = 6
MAX_UNITS = 2 ** 31 - 1
LABELS = {"refunded": "full", "partial_refund": "partial", "partially_refunded": "partial"}

MODE_PLACES = ("object.mode", "mode", "object.product.mode", "object.order.mode",
               "object.subscription.mode")
TIME_PLACES = ("created_at", "object.order.updated_at", "object.order.created_at",
               "object.subscription.updated_at", "object.subscription.created_at",
               "object.canceled_at", "object.created_at")

_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


@dataclass
class Event:
    """One valid event.  Absent fields are None.

    Times are aware in UTC, or naive where the body names no zone.  Amounts are Decimal, in major
    units.  occurred_path is the place occurred_at was found in, created_at_raw the text or token of
    the top-level created_at.  metadata has its numbers as Decimal, metadata_tokens as Number.
    refund_amount is this refund's amount, refunded_amount the running total, refund_label `full` or
    `partial`; kind is the object's own member `object`.
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
    recurring_interval: str = None
    units: int = None
    payment_method: str = None
    last4: str = None
    billing_amount: Decimal = None
    refund_amount: Decimal = None
    refunded_amount: Decimal = None
    refund_label: str = None
    metadata: dict = None
    metadata_tokens: dict = None
    kind: str = None
    has_subscription: bool = False
    warnings: list = field(default_factory=list)

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
    def is_payment(self):
        """Whether §6 calls it a payment event; a trial's beginning at amount 0 is none."""
        if self.event_type == "checkout.completed":
            return not (self.billed_as_subscription and self.amount == 0)
        return self.event_type == "subscription.paid"


def trim(text):
    """Return `text` without ASCII white space around it."""
    return text.strip(" \t\n\v\f\r")


def lower(text):
    """Return `text` with ASCII letters in lower case, others untouched."""
    return text.translate(_LOWER)


def upper(text):
    """Return `text` with ASCII letters in upper case, others untouched."""
    return text.translate(_UPPER)


def parse(body):
    """Return the Event that `body` (bytes) is; raises Invalid(path, why) for what is a 400."""
    root = loads(body)
    if not isinstance(root, dict):
        raise Invalid("", "not a JSON object")
    if not isinstance(root.get("object"), dict):
        raise Invalid("object", "missing" if root.get("object") is None else "not an object")
    warnings = []
    event_type = _event_type(root)
    mode = _mode(root)
    event_id = _event_id(root, body, warnings)
    occurred_at, occurred_path = _occurred_at(root, warnings)
    event = Event(event_id, event_type, mode, occurred_at, occurred_path, warnings=warnings)
    raw = root.get("created_at")
    event.created_at_raw = raw.token if isinstance(raw, Number) else \
        raw if isinstance(raw, str) else None
    _fields(event, root)
    event.warnings = list(dict.fromkeys(warnings))
    return event


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


def _event_id(root, body, warnings):
    for place in ("event_id", "id"):
        value = root.get(place)
        if value is None:
            continue
        text = value.token if isinstance(value, Number) and value.is_integer else value
        if not isinstance(text, str):
            warnings.append(f"{place}: neither a text nor an integer")
        elif text == "":
            warnings.append(f"{place}: empty")
        elif len(text.encode()) > TEXT_BYTES:
            warnings.append(f"{place}: longer than {TEXT_BYTES} bytes")
        else:
            return text
    return "sha256:" + hashlib.sha256(body).hexdigest()


def _occurred_at(root, warnings):
    for place in TIME_PLACES:
        value = _look(root, place)
        if value is None:
            continue
        try:
            return _time_of(value, lambda text: text), place
        except ValueError as error:
            warnings.append(f"{place}: {error}")
    raise Invalid("created_at", "no usable time in any of its places")


# Readers: a JSON value to a field's value.  None is "as good as absent"; ValueError is a warning.

def _bounded(text, limit):
    text = trim(text)
    if len(text.encode()) > limit:
        raise ValueError(f"longer than {limit} bytes")
    return text or None


def _read_text(value):
    if not isinstance(value, str):
        raise ValueError("not a text")
    return _bounded(value, TEXT_BYTES)


def _read_id(value):
    if isinstance(value, Number) and value.is_integer:
        return _bounded(value.token, TEXT_BYTES)
    if not isinstance(value, str):
        raise ValueError("neither a text nor an integer")
    return _bounded(value, TEXT_BYTES)


def _read_email(value):
    if not isinstance(value, str):
        raise ValueError("not a text")
    text = _bounded(value, EMAIL_BYTES)
    return text and lower(text)


def _read_currency(value):
    text = _read_text(value)
    if text is None:
        return None
    text = upper(text)
    if len(text) != 3 or not all("A" <= char <= "Z" for char in text):
        raise ValueError("not three letters")
    return text


def _read_label(value):
    text = _read_text(value)
    return LABELS.get(text)


def _read_bool(value):
    if isinstance(value, str) and not trim(value):
        return None
    if not isinstance(value, bool):
        raise ValueError("not a boolean")
    return value


def _time_of(value, prepare):
    if isinstance(value, Number) and value.is_integer:
        return parse_time(value.token)
    if not isinstance(value, str):
        raise ValueError("neither a text nor an integer")
    return parse_time(prepare(value))


def _read_time(value):
    if isinstance(value, str) and trim(value) == "":
        return None
    return _time_of(value, trim)


def _parts(value):
    """The sign, significant digits and power of ten of a number or of numeric text; None if empty."""
    token = value.token if isinstance(value, Number) else _read_text(value) \
        if isinstance(value, str) else value
    if token is None:
        return None
    match = NUMBER.fullmatch(token) if isinstance(token, str) else None
    if match is None:
        raise ValueError("not a number")
    sign, whole, fraction, exponent = match.groups()
    digits = whole + (fraction or "")
    power = int(exponent or "0") - len(fraction or "")
    significant = digits.rstrip("0")
    power += len(digits) - len(significant)
    significant = significant.lstrip("0")
    # Zero has no sign and no exponent worth keeping.
    return (sign, significant, power) if significant else ("", "0", 0)


def _read_amount(value):
    parts = _parts(value)
    if parts is None:
        return None
    sign, digits, power = parts
    if sign:
        raise ValueError("negative")
    # Judged by the digits, so that an exponent of any size costs nothing.
    if len(digits) + power > MAX_INTEGER_DIGITS:
        raise ValueError("not below 10^15")
    if -power > MAX_DECIMALS:
        raise ValueError(f"more than {MAX_DECIMALS} decimals")
    return _decimal(sign, digits, power)


def _decimal(sign, digits, power):
    # Written out, so that 10 is 10 and not 1E+1.
    return Decimal(f"{sign}{digits}{'0' * power}" if power >= 0 else f"{sign}{digits}E{power}")


def _read_units(value):
    parts = _parts(value)
    if parts is None:
        return None
    sign, digits, power = parts
    if power < 0:
        raise ValueError("not an integer")
    if sign or len(digits) + power > 10 or int(digits) * 10 ** power > MAX_UNITS:
        raise ValueError("not from 0 to 2147483647")
    return int(digits) * 10 ** power


_SUBSCRIPTION_FIELDS = (
    ("trial_start", _read_time), ("trial_end", _read_time),
    ("billing_period_start", _read_time), ("billing_period_end", _read_time),
    ("cancel_at", _read_time), ("canceled_at", _read_time),
    ("cancel_at_period_end", _read_bool), ("recurring_interval", _read_text),
    ("units", _read_units), ("payment_method", _read_text), ("last4", _read_text),
    ("billing_amount", _read_amount))

_FIELDS = (
    ("product_id", _read_id, "product.product_id", "order.product_id", "subscription.product_id"),
    ("product_name", _read_text, "product.name", "subscription.product_name"),
    ("billing_type", _read_text, "product.billing_type"),
    ("customer_id", _read_id, "customer.id"),
    ("customer_email", _read_email, "customer.email"),
    ("provider_order_id", _read_id, "order.order_id"),
    ("payment_id", _read_id, "payment_id"),
    ("request_id", _read_id, "request_id"),
    ("amount", _read_amount, "order.amount"),
    ("tax_amount", _read_amount, "order.tax_amount"),
    ("currency", _read_currency, "order.currency", "product.currency"),
    ("subscription_id", _read_id, "subscription.id", "subscription.subscription_id"),
    ("refund_amount", _read_amount, "refund.amount", "refund_amount"),
    ("refunded_amount", _read_amount, "order.refunded_amount", "refunded_amount"),
    ("refund_label", _read_label, "refund.status", "order.status", "status", "object"))


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

    event.kind = first(_read_text, ("object",))
    is_subscription = event.kind == "subscription"
    for name, read, *places in _FIELDS:
        setattr(event, name, first(read, places))
    event.processor_subscription_id = first(
        _read_id, ("id", "subscription_id") if is_subscription else ("subscription_id",))
    for name, read in _SUBSCRIPTION_FIELDS:
        places = (f"subscription.{name}", name) if is_subscription else (f"subscription.{name}",)
        setattr(event, name, first(read, places))

    metadata = members.get("metadata")
    if isinstance(metadata, dict):
        event.metadata_tokens = metadata
        event.metadata = _plain(metadata)
    elif metadata is not None:
        event.warnings.append("object.metadata: not an object")


def _plain(value):
    """A JSON value with its numbers as Decimal."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Number):
        return _decimal(*_parts(value))
    return value
