"""BagelPay's webhook as one would write it with FastAPI and asyncpg: a transaction for each event.

PORT and SECRET, the database as for libpq (PGHOST, PGPORT, PGUSER, PGDATABASE), POOL connections to it for each of
WEB_CONCURRENCY processes.
"""

import hmac
import json
import os
import re
import sys
from datetime import datetime, timezone

import asyncpg
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

SECRET = os.environ["SECRET"].encode()
POOL = int(os.environ.get("POOL", "32"))

# As long as bagelhook waits; then the provider is told to come again.
DATABASE_TIMEOUT_S = 15

REFUND_LABELS = {
    "refunded": "full",
    "partial_refund": "partial",
    "partially_refunded": "partial",
}
INTERVALS = {
    word: interval
    for interval, words in {
        "1 day": "daily day",
        "7 days": "weekly week",
        "1 month": "monthly month",
        "3 months": "3months quarter quarterly",
        "6 months": "6months half-yearly semiannual",
        "1 year": "yearly year annual annually 12months",
    }.items()
    for word in words.split()
}
SUBSCRIPTION_TIMES = (
    "trial_start",
    "trial_end",
    "billing_period_start",
    "billing_period_end",
    "cancel_at",
    "canceled_at",
)

app = FastAPI(openapi_url=None)


@app.on_event("startup")
async def open_pool():
    # No connection is needed to start: an absent database is answered 503.
    app.state.pool = await asyncpg.create_pool(
        min_size=0,
        max_size=POOL,
        timeout=DATABASE_TIMEOUT_S,
        command_timeout=DATABASE_TIMEOUT_S,
    )


@app.on_event("shutdown")
async def close_pool():
    await app.state.pool.close()


def is_authentic(body, timestamp, signature):
    if not re.fullmatch(r"[0-9]{1,15}", timestamp):
        return False
    expected = hmac.digest(SECRET, timestamp.encode() + b"." + body, "sha256").hex()
    # As bytes: compare_digest() refuses text that is not ASCII.
    return hmac.compare_digest(expected.encode(), signature.encode())


def at(value, *path):
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


# Each of these returns what the database takes, or None.


def text(value):
    return value.strip() or None if isinstance(value, str) else None


def identifier(value):
    return str(value) if type(value) is int else text(value)


def email(value):
    value = text(value)
    return value and value.lower()


def currency(value):
    value = text(value)
    return value.upper() if value and re.fullmatch("[A-Za-z]{3}", value) else None


def amount(value):
    # Text stays text, so that the database sees every digit.
    if type(value) in (int, float):
        return value if value >= 0 else None
    value = text(value)
    return value if value and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) else None


def units(value):
    value = amount(value)
    return int(value) if value is not None and float(value).is_integer() else None


def interval(value):
    """An interval in PostgreSQL's words."""
    value = text(value)
    value = value and INTERVALS.get(value.lower(), value.lower())
    return value if value and re.fullmatch("(1000|[1-9][0-9]{0,2}) ?(day|week|month|year)s?", value) else None


def boolean(value):
    return value if isinstance(value, bool) else None


def time(value):
    """The moment and None, or None and the text: without a zone, which only the database knows."""
    value = identifier(value)
    if value is None:
        return None
    try:
        if re.fullmatch("[1-9][0-9]{8,12}", value):
            number = int(value)
            moment = datetime.fromtimestamp(
                number if number < 10**11 else number / 1000, timezone.utc
            )
        else:
            moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (None, value) if moment.tzinfo is None else (moment.isoformat(), None)


def first(convert, *values):
    for value in values:
        converted = convert(value)
        if converted is not None:
            return converted
    return None


def mode_of(body):
    places = (
        ("object", "mode"),
        ("mode",),
        ("object", "product", "mode"),
        ("object", "order", "mode"),
        ("object", "subscription", "mode"),
    )
    modes = [at(body, *place) for place in places]
    # What says test anywhere must not become a live purchase.
    return next((mode for mode in ("test", "live") if mode in modes), None)


def refund_label(thing):
    statuses = (
        at(thing, "refund", "status"),
        at(thing, "order", "status"),
        thing.get("status"),
        thing.get("object"),
    )
    return next((REFUND_LABELS[s] for s in map(text, statuses) if s in REFUND_LABELS), None)


def delivery_of(body):
    """The one object that bagelpay.ingest() takes, or None for what is no event."""
    thing = at(body, "object")
    if not isinstance(thing, dict):
        return None
    event_id = first(identifier, body.get("event_id"), body.get("id"))
    event_type = text(body.get("event_type"))
    mode = mode_of(body)
    occurred_at = time(body.get("created_at"))
    if not (event_id and event_type and mode and occurred_at):
        return None

    subscription = at(thing, "subscription")
    metadata = thing.get("metadata")
    # The object is the subscription itself, or has it.
    itself = thing if thing.get("object") == "subscription" else None

    def of_subscription(convert, name):
        return first(convert, at(subscription, name), at(itself, name))

    delivery = {
        "event_id": event_id,
        "event_type": event_type,
        "mode": mode,
        "created_at_raw": str(body["created_at"]),
        "local_times": {},
        "kind": text(thing.get("object")),
        "has_subscription": isinstance(subscription, dict),
        "product_id": first(
            identifier,
            at(thing, "product", "product_id"),
            at(thing, "order", "product_id"),
            at(subscription, "product_id"),
        ),
        "product_name": first(
            text, at(thing, "product", "name"), at(subscription, "product_name")
        ),
        "billing_type": text(at(thing, "product", "billing_type")),
        "customer_id": identifier(at(thing, "customer", "id")),
        "customer_email": email(at(thing, "customer", "email")),
        "provider_order_id": identifier(at(thing, "order", "order_id")),
        "payment_id": identifier(thing.get("payment_id")),
        "request_id": identifier(thing.get("request_id")),
        "amount": amount(at(thing, "order", "amount")),
        "tax_amount": amount(at(thing, "order", "tax_amount")),
        "currency": first(
            currency, at(thing, "order", "currency"), at(thing, "product", "currency")
        ),
        "subscription_id": first(
            identifier, at(subscription, "id"), at(subscription, "subscription_id")
        ),
        "processor_subscription_id": first(
            identifier, at(itself, "id"), thing.get("subscription_id")
        ),
        "cancel_at_period_end": of_subscription(boolean, "cancel_at_period_end"),
        "recurring_interval": first(
            interval,
            at(subscription, "recurring_interval"),
            at(itself, "recurring_interval"),
            at(thing, "product", "recurring_interval"),
            at(thing, "product", "billing_period"),
        ),
        "units": of_subscription(units, "units"),
        "payment_method": of_subscription(text, "payment_method"),
        "last4": of_subscription(text, "last4"),
        "billing_amount": of_subscription(amount, "billing_amount"),
        "refund_id": first(
            identifier,
            at(thing, "refund", "id"),
            at(thing, "refund", "refund_id"),
            thing.get("refund_id"),
        ),
        "refund_amount": first(
            amount, at(thing, "refund", "amount"), thing.get("refund_amount")
        ),
        "refund_running_total": first(
            amount, at(thing, "order", "refunded_amount"), thing.get("refunded_amount")
        ),
        "refund_label": refund_label(thing),
        "metadata": metadata if isinstance(metadata, dict) else None,
    }
    times = {"occurred_at": occurred_at}
    times.update((name, of_subscription(time, name)) for name in SUBSCRIPTION_TIMES)
    for name, value in times.items():
        utc, local = value or (None, None)
        if utc:
            delivery[name] = utc
        elif local:
            delivery["local_times"][name] = local
    return delivery


@app.post("/webhooks/bagelpay")
async def webhook(request: Request):
    body = await request.body()
    timestamp = request.headers.get("timestamp", "")
    signature = request.headers.get("bagelpay-signature", "")
    if not is_authentic(body, timestamp, signature):
        return JSONResponse({"error": "Invalid signature"}, 401)

    try:
        delivery = delivery_of(json.loads(body))
    except ValueError:
        delivery = None
    if delivery is None:
        return JSONResponse({"error": "Invalid request body"}, 400)
    delivery["signed_timestamp"] = int(timestamp)
    delivery["signature"] = signature

    try:
        async with app.state.pool.acquire(timeout=DATABASE_TIMEOUT_S) as connection:
            # asyncpg prepares a statement once on each connection.
            row = await connection.fetchrow(
                "SELECT ordinal, event_id, outcome FROM bagelpay.ingest($1, $2)",
                json.dumps([delivery]),
                [body],
            )
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        print(f"database: {error}", file=sys.stderr)
        return JSONResponse({"error": "Database unavailable"}, 503)
    return JSONResponse(
        {"message": "Success", "event_id": row["event_id"], "outcome": row["outcome"]}
    )


if __name__ == "__main__":
    uvicorn.run(
        "server:app",
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        # Longer than nginx keeps a connection to it, which otherwise may be closed under a request.
        timeout_keep_alive=75,
    )
