"""The order an event belongs to, and its user (§5, §4)."""

from .readers import TEXT_BYTES, digits_of, trim
from .strictjson import Number

RESERVED = ("customer:", "order:", "payment:")


def assign(events, settings):
    """Return {event_id: (order_id, key_source)} for Events of known types, each id once.

    An event is linked by what the events with the merchant's key say, whatever came first; the value
    is None for one that is `unmatched`.
    """
    merchants = {event.event_id: merchants_key(event, settings) for event in events}
    carried = {}
    for event in events:
        order_id = merchants[event.event_id]
        if order_id is None or not (event.is_payment or event.event_type == "checkout.failed"):
            continue
        for name in ("payment_id", "provider_order_id"):
            carried.setdefault((event.mode, name, getattr(event, name)), set()).add(order_id)
    found = {}
    for event in events:
        order_id = merchants[event.event_id]
        if order_id is not None:
            found[event.event_id] = order_id, "metadata"
            continue
        order_id = _linked(event, carried)
        if order_id is not None:
            found[event.event_id] = order_id, "linked"
            continue
        order_id = _made(event)
        found[event.event_id] = None if order_id is None else (order_id, key_source(order_id))
    return found


def merchants_key(event, settings):
    """Return the merchant's key of an event, None without one."""
    return _first(event, settings.order_key, RESERVED, [])


def user_id(event, settings):
    """Return the merchant's user of an event, None without one."""
    return _first(event, settings.user_key, (), [])


def key_warnings(event, settings):
    """Return what the settings' paths were passed over for: texts that begin with a full path.

    For an event of an unknown type, which has no part in any order, only the user is looked for.
    """
    warnings = []
    if event.is_known:
        _first(event, settings.order_key, RESERVED, warnings)
    _first(event, settings.user_key, (), warnings)
    return list(dict.fromkeys(warnings))


def key_source(order_id):
    """Return which kind of key `order_id` is; only made ones begin with a reserved word."""
    for prefix in RESERVED:
        if order_id.startswith(prefix):
            return prefix[:-1]
    return "metadata"


def _first(event, paths, reserved, warnings):
    for path in paths:
        value = _look(event, path)
        if value is None:
            continue
        if isinstance(value, Number):
            value = digits_of(value)
        if not isinstance(value, str):
            warnings.append(f"object.{path}: neither a text nor an integer")
            continue
        text = trim(value)
        if text == "":
            continue
        if len(text.encode()) > TEXT_BYTES:
            warnings.append(f"object.{path}: longer than {TEXT_BYTES} bytes")
        elif text.startswith(tuple(reserved)):
            warnings.append(f"object.{path}: begins with a reserved word")
        else:
            return text
    return None


def _look(event, path):
    if path == "request_id":
        return event.request_id
    first, *names = path.split(".")
    if first != "metadata" or not names:
        raise ValueError(f"{path} is neither metadata.… nor request_id")
    value = event.metadata_tokens
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _linked(event, carried):
    """The bytewise first order in which its payment is, else that of its provider's order."""
    for name in ("payment_id", "provider_order_id"):
        value = getattr(event, name)
        orders = carried.get((event.mode, name, value)) if value is not None else None
        if orders:
            return min(orders, key=str.encode)
    return None


def _made(event):
    customer = None
    if event.customer_id is not None and event.product_id is not None:
        customer = f"customer:{event.customer_id}:{event.product_id}"
    if customer is not None and event.billed_as_subscription:
        return customer
    if event.provider_order_id is not None:
        return f"order:{event.provider_order_id}"
    if event.payment_id is not None:
        return f"payment:{event.payment_id}"
    return customer
