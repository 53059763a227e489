"""BagelPay's webhook as people write it with FastAPI and asyncpg: the event, its order and its subscription in one
statement.

Environment: SECRET; STORE, the file of the statement; POOL, each process's connections to the database, which is libpq's
(PGHOST, PGPORT, PGUSER, PGDATABASE).
"""

import hmac
import json
import os
import pathlib
import sys
import time
from datetime import datetime, timezone
from decimal import Decimal

import asyncpg
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

SECRET = os.environ["SECRET"].encode()
STORE = pathlib.Path(os.environ["STORE"]).read_text()
POOL = int(os.environ["POOL"])
TOLERANCE_S = 300
DATABASE_TIMEOUT_S = 15

app = FastAPI(openapi_url=None)


@app.on_event("startup")
async def open_pool():
    app.state.pool = await asyncpg.create_pool(min_size=0, max_size=POOL, command_timeout=DATABASE_TIMEOUT_S)


@app.on_event("shutdown")
async def close_pool():
    await app.state.pool.close()


def is_signed(body, timestamp, signature):
    if not (timestamp.isdecimal() and timestamp.isascii() and len(timestamp) <= 12):
        return False
    if abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    expected = hmac.digest(SECRET, timestamp.encode() + b"." + body, "sha256").hex()
    # As bytes: compare_digest() refuses text that is not ASCII.
    return hmac.compare_digest(expected.encode(), signature.encode())


def utc(text):
    """The provider's times are UTC and have no zone."""
    return text and datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def read(text):
    """The parameters of the statement. Raises an exception on a body that is no event."""
    body = json.loads(text, parse_float=Decimal)
    thing = body["object"]
    order, customer = thing["order"], thing["customer"]
    subscription = thing.get("subscription") or {}
    return (
        body["event_id"],
        body["event_type"],
        text,
        thing.get("metadata", {}).get("order_id") or thing["request_id"],
        customer["id"],
        customer["email"].lower(),
        thing["product"]["product_id"],
        thing.get("payment_id"),
        order["amount"],
        order["currency"].upper(),
        order["status"],
        subscription.get("id"),
        subscription.get("status"),
        utc(subscription.get("billing_period_start")),
        utc(subscription.get("billing_period_end")),
    )


@app.post("/webhooks/bagelpay")
async def webhook(request: Request):
    body = await request.body()
    headers = request.headers
    if not is_signed(body, headers.get("timestamp", ""), headers.get("bagelpay-signature", "")):
        return JSONResponse({"error": "Invalid signature"}, 401)
    try:
        values = read(body.decode())
    except (ValueError, KeyError, TypeError, AttributeError):
        return JSONResponse({"error": "Invalid request body"}, 400)
    try:
        # asyncpg prepares a statement with arguments once on each connection.
        async with app.state.pool.acquire(timeout=DATABASE_TIMEOUT_S) as connection:
            await connection.fetch(STORE, *values)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        print(f"database: {error}", file=sys.stderr)
        return JSONResponse({"error": "Database unavailable"}, 503)
    return JSONResponse({"message": "Success"})
