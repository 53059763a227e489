"""The order an event belongs to (§5)."""

from .extract import TEXT_BYTES, trim
from .strictjson import Number

RESERVED = ("customer:", "order:", "payment:")


def order_key(event, settings):
    """Return (order_id, key_source, warnings), or None where the event is `unmatched`.

    key_source is `metadata`, `customer`, `order` or `payment`; warnings are texts that begin with
    the full JSON path of what was passed over.
    """
    warnings = []
    order_id = _merchants(event, settings, warnings) or _made(event)
    if order_id is None:
        return None
    return order_id, key_source(order_id), warnings


def key_warnings(event, settings):
    """Return the warnings of order_key, for an unmatched event too."""
    warnings = []
    _merchants(event, settings, warnings)
    return warnings


def key_source(order_id):
    """Return which kind of key `order_id` is; only made ones begin with a reserved word."""
    for prefix in RESERVED:
        if order_id.startswith(prefix):
            return prefix[:-1]
    return "metadata"


def _merchants(event, settings, warnings):
    for path in settings.order_key:
        value = _look(event, path)
        if value is None:
            continue
        if isinstance(value, Number) and value.is_integer:
            value = value.token
        if not isinstance(value, str):
            warnings.append(f"object.{path}: neither a text nor an integer")
            continue
        text = trim(value)
        if text == "":
            continue
        if len(text.encode()) > TEXT_BYTES:
            warnings.append(f"object.{path}: longer than {TEXT_BYTES} bytes")
        elif text.startswith(RESERVED):
            warnings.append(f"object.{path}: begins with a reserved word")
        else:
            return text
    return None


def _look(event, path):
    if path == "request_id":
        return event.request_id
    first, *names = path.split(".")
    if first != "metadata" or not names:
        raise ValueError(f"order_key: {path} is neither metadata.… nor request_id")
    value = event.metadata_tokens
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


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
