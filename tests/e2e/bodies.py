"""Bodies of events, built from what a test cares for, and the documented ones."""

import json
import secrets
import time

from harness import SAMPLES

NAMES = ("checkout.completed", "checkout.failed", "checkout.cancel", "subscription.trialing", "subscription.paid",
         "subscription.canceled", "refund.created")


def documented(name):
    """The bytes of a documented body, by its heading."""
    return (SAMPLES / f"{name}.json").read_bytes()


def unique(prefix="evt"):
    """An id that no other test has."""
    return f"{prefix}_{secrets.token_hex(8)}"


def payment(order=None, amount="10", event_id=None, **members):
    """The bytes of a one-time payment; amount is JSON text, so that each of its digits arrives.

    order is the merchant's id. Further members stand in the body's `object`, beside or in place of the usual ones.
    """
    event_id = event_id or unique()
    content = {"mode": "test", "payment_id": f"ch_{event_id}", "metadata": {"order_id": order or unique("order")},
               "customer": {"id": f"cus_{order}", "email": "buyer@example.com"},
               "product": {"product_id": "prod_1", "name": "Book", "billing_type": "single_payment"},
               "order": {"amount": "@amount@", "currency": "usd"}, **members}
    body = {"event_id": event_id, "event_type": "checkout.completed",
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "object": content}
    return json.dumps(body).replace('"@amount@"', amount).encode()


def changed(body, **members):
    """A body with top-level members replaced, or, where None, left out."""
    content = {**json.loads(body), **members}
    return json.dumps({name: value for name, value in content.items() if value is not None}).encode()


def event_id(body):
    """The event id that a body carries."""
    return json.loads(body)["event_id"]
