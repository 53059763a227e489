"""Deliveries as the provider makes them: what is answered, and what is in the database afterwards."""

import json
import re
import time

import pytest

import bodies
import harness

DOCUMENTED_IDS = {
    "checkout.completed": "evt_1S7BJuG2wtflaO0u6Vx3DefT",
    "checkout.failed": "evt_3S6Rc92YqhGdWPuN09AnjT42",
    "checkout.cancel": "19a9e3a8-5ebb-43fc-b94a-251f85f05717",
    "subscription.trialing": "ffcc4978-c860-4ba6-b3cd-2ef075ef0185",
    "subscription.paid": "18429bf6-e12f-4087-92d6-6db728fdb9ce",
    "subscription.canceled": "evt_3S6SWZ2YqhGdWPuN1sP6L9aR",
    "refund.created": "902742f8-8b0c-4e0e-a9f7-eda837b45d17",
}

# What each documented body leaves behind when it is all that arrives: its event (type, mode, occurred_at), order
# (id, status, amount, currency), subscription (status, ends_at), payments, entitlement (kind, entitled, reason,
# valid_from, valid_until). The headings checkout.cancel and refund.created carry cancellations.
DOCUMENTED_STATES = {
    "checkout.completed": (
        ("checkout.completed", "test", "2025-09-14 08:30:00"), ("req_20250914_162923", "paid", "397.16", "USD"),
        ("active", None), [("ch_1967143798107639810", "paid", "397.16", "2025-09-14 08:30:00", None)],
        ("subscription", False, "expired", "2025-09-14 08:30:00", "2025-10-16 08:30:00")),
    "checkout.failed": (
        ("checkout.failed", "test", "2025-09-12 15:52:00"), ("333", "failed", "12210", "USD"),
        None, [("ch_1966406841422503937", "failed", "12210", None, None)],
        ("one_time", False, "failed", None, None)),
    "checkout.cancel": (
        ("subscription.canceled", "test", "2025-09-12 16:41:24.746"), ("333", "pending", None, "USD"),
        ("canceled", "2025-09-12 16:41:24.746"), [],
        ("subscription", False, "canceled", None, None)),
    "subscription.trialing": (
        ("subscription.trialing", "test", "2025-09-12 16:48:40.893"), ("333", "trialing", "0", "USD"),
        ("trialing", None), [],
        ("subscription", False, "expired", "2025-09-12 16:48:40.893", "2025-09-20 16:48:37")),
    "subscription.paid": (
        ("subscription.paid", "test", "2025-09-12 16:46:41.789"), ("333", "paid", "10", "USD"),
        ("active", None), [("ch_1966423205621178370", "paid", "10", "2025-09-12 16:46:41.789", "2025-10-12 16:46:35")],
        ("subscription", False, "expired", "2025-09-12 16:46:41.789", "2025-10-13 16:46:35")),
    "subscription.canceled": (
        ("subscription.canceled", "test", "2025-09-12 16:41:24.746"), ("333", "pending", None, "USD"),
        ("canceled", "2025-09-12 16:41:24.746"), [],
        ("subscription", False, "canceled", None, None)),
    "refund.created": (
        ("subscription.canceled", "test", "2025-09-12 19:12:44"), ("333", "pending", None, "USD"),
        ("canceled", "2025-09-12 19:12:45"), [],
        ("subscription", False, "canceled", None, None)),
}


def rows(stack, sql, *parameters):
    """The rows of a query, in a session in UTC."""
    with stack.connect() as connection:
        connection.execute("SET timezone = 'UTC'")
        return connection.execute(sql, parameters or None).fetchall()


def success(event_id, outcome):
    return {"message": "Success", "event_id": event_id, "outcome": outcome}


def event(stack, event_id, columns="outcome, deliveries"):
    """The columns of one stored event; None where it is not stored."""
    found = rows(stack, f"SELECT {columns} FROM bagelpay.events WHERE event_id = %s", event_id)
    return found[0] if found else None


def state(stack):
    """Order, subscription, payments and entitlement of the only order, times as text without their zone."""
    order = rows(stack, "SELECT order_id, status, amount::text, currency FROM bagelpay.orders")
    subscription = rows(stack, "SELECT status, ends_at::timestamp::text FROM bagelpay.subscriptions")
    payments = rows(stack, "SELECT payment_id, status, amount::text, paid_at::timestamp::text,"
                           " period_end::timestamp::text FROM bagelpay.payments ORDER BY payment_id")
    entitlement = rows(stack, "SELECT kind, entitled, reason, valid_from::timestamp::text,"
                              " valid_until::timestamp::text FROM bagelpay.entitlements_test")
    assert len(order) == len(entitlement) == 1
    return order[0], subscription[0] if subscription else None, payments, entitlement[0]


@pytest.mark.parametrize("name", bodies.NAMES)
def test_documented_body(stack, name):
    """Each documented body is applied: answer, event, exact bytes, what was signed, and the state that follows."""
    body, event_id, timestamp = bodies.documented(name), DOCUMENTED_IDS[name], int(time.time()) - 5
    answer = stack.deliver(body, timestamp)
    assert (answer.status, answer.json) == (200, success(event_id, "applied"))
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body == f'{{"message":"Success","event_id":"{event_id}","outcome":"applied"}}\n'.encode()

    expected_event, *expected_state = DOCUMENTED_STATES[name]
    assert event(stack, event_id, "event_type, mode, occurred_at::timestamp::text") == expected_event
    assert event(stack, event_id, "outcome, deliveries, signed_timestamp, received_at = last_delivered_at") == (
        "applied", 1, timestamp, True)
    assert rows(stack, "SELECT event_id, body, signed_timestamp, signature FROM bagelpay.event_bodies") == [
        (event_id, body, timestamp, harness.sign(stack.secret, body, timestamp))]
    assert list(state(stack)) == expected_state
    assert rows(stack, "SELECT * FROM bagelpay.entitlements") == []
    assert rows(stack, "SELECT * FROM bagelpay.dead_letters") == []


@pytest.mark.parametrize("names", [bodies.NAMES, bodies.NAMES[::-1]], ids=["in order", "reversed"])
def test_all_documented_bodies(stack, names):
    """The seven bodies together are two orders, the same ones in whatever order they arrive."""
    for name in names:
        assert stack.deliver(bodies.documented(name)).json["outcome"] == "applied"
    assert rows(stack, "SELECT order_id, status, conflict, updated_at::timestamp::text FROM bagelpay.orders"
                       " ORDER BY 1") == [
        ("333", "trialing", False, "2025-09-12 19:12:44"),
        ("req_20250914_162923", "paid", False, "2025-09-14 08:30:00")]
    assert rows(stack, "SELECT order_id, status, ends_at::timestamp::text, recurring_interval, last4"
                       " FROM bagelpay.subscriptions ORDER BY 1") == [
        ("333", "canceled", "2025-09-12 19:12:45", "monthly", "4242"),
        ("req_20250914_162923", "active", None, None, None)]
    assert rows(stack, "SELECT order_id, payment_id, status FROM bagelpay.payments ORDER BY 1, 2") == [
        ("333", "ch_1966406841422503937", "failed"), ("333", "ch_1966423205621178370", "paid"),
        ("req_20250914_162923", "ch_1967143798107639810", "paid")]
    assert rows(stack, "SELECT order_id, customer_email, product_id, status, entitled, reason, units"
                       " FROM bagelpay.entitlements_test ORDER BY 1") == [
        ("333", "user@example.com", "prod_1966354925946605570", "canceled", False, "canceled", 1),
        ("req_20250914_162923", "andrew@gettrust.ai", "prod_1967143613700870145", "active", False, "expired", 1)]


@pytest.mark.parametrize("mode, view, other", [("test", "entitlements_test", "entitlements"),
                                               ("live", "entitlements", "entitlements_test")])
def test_purchase_entitles_in_its_mode(shared, mode, view, other):
    """A purchase of now entitles now, in its own mode and in no other."""
    order = bodies.unique("order")
    assert shared.deliver(bodies.payment(order, mode=mode)).json["outcome"] == "applied"
    query = "SELECT kind, status, entitled, reason, valid_until FROM bagelpay.{} WHERE order_id = %s"
    assert rows(shared, query.format(view), order) == [("one_time", "paid", True, "paid", None)]
    assert rows(shared, query.format(other), order) == []


def test_duplicate(shared):
    """The same bytes again are a duplicate: counted, and nothing else changes."""
    order = bodies.unique("order")
    body = bodies.payment(order)
    event_id = bodies.event_id(body)
    assert shared.deliver(body, 1_700_000_000).json == success(event_id, "applied")
    before = rows(shared, "SELECT to_jsonb(o) FROM bagelpay.orders AS o WHERE order_id = %s", order)
    for _ in range(2):
        answer = shared.deliver(body)
        assert (answer.status, answer.json) == (200, success(event_id, "duplicate"))
    assert event(shared, event_id, "outcome, deliveries, signed_timestamp, last_delivered_at > received_at") == (
        "applied", 3, 1_700_000_000, True)
    assert rows(shared, "SELECT count(*) FROM bagelpay.event_bodies WHERE event_id = %s", event_id) == [(1,)]
    assert rows(shared, "SELECT to_jsonb(o) FROM bagelpay.orders AS o WHERE order_id = %s", order) == before


def test_duplicates_at_once(shared, background):
    """Of simultaneous deliveries of the same bytes one is applied, the others are duplicates."""
    body = bodies.payment()
    answers = [future.result() for future in [background(shared.deliver, body) for _ in range(16)]]
    assert sorted(answer.json["outcome"] for answer in answers) == ["applied"] + ["duplicate"] * 15
    assert event(shared, bodies.event_id(body)) == ("applied", 16)


def test_conflict(shared):
    """Another body under a known event_id: answered as a duplicate, kept as a dead letter, the first one stays."""
    event_id, order = bodies.unique(), bodies.unique("order")
    first = bodies.payment(order, "10", event_id)
    second = bodies.payment(order, "99", event_id)
    assert shared.deliver(first).json == success(event_id, "applied")
    for _ in range(2):
        answer = shared.deliver(second)
        assert (answer.status, answer.json) == (200, success(event_id, "duplicate"))
    assert rows(shared, "SELECT body, reason, deliveries, resolved_at FROM bagelpay.dead_letters WHERE body = %s",
                second) == [(second, "conflict", 2, None)]
    assert event(shared, event_id, "outcome, deliveries, amount::text") == ("applied", 1, "10")
    assert rows(shared, "SELECT body FROM bagelpay.event_bodies WHERE event_id = %s", event_id) == [(first,)]


@pytest.mark.parametrize("event_type", ["checkout.unheard_of", "operator.grant", "operator.revoke", "operator.clear"])
def test_ignored(shared, event_type):
    """Unknown types, and operators' events in a body, are kept and have no part in any state."""
    order = bodies.unique("order")
    body = bodies.changed(bodies.payment(order), event_type=event_type)
    event_id = bodies.event_id(body)
    assert shared.deliver(body).json == success(event_id, "ignored")
    assert event(shared, event_id, "event_type, outcome, order_id") == (event_type, "ignored", None)
    assert rows(shared, "SELECT body FROM bagelpay.event_bodies WHERE event_id = %s", event_id) == [(body,)]
    assert rows(shared, "SELECT * FROM bagelpay.orders WHERE order_id = %s", order) == []


def test_unmatched(shared):
    """An event that names no order is kept, without one."""
    body = json.dumps({"event_id": bodies.unique(), "event_type": "checkout.completed", "mode": "test",
                       "created_at": 1_757_666_462, "object": {"order": {"amount": 1}}}).encode()
    event_id = bodies.event_id(body)
    before = rows(shared, "SELECT count(*) FROM bagelpay.orders")
    assert shared.deliver(body).json == success(event_id, "unmatched")
    assert event(shared, event_id, "outcome, order_id, key_source") == ("unmatched", None, None)
    assert rows(shared, "SELECT count(*) FROM bagelpay.orders") == before


def test_event_without_id(shared):
    """Without an id of the provider's the event's content names it, so that a repetition is a duplicate, also in other
    bytes."""
    body = bodies.changed(bodies.payment(), event_id=None)
    event_id = shared.deliver(body).json["event_id"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", event_id)
    again = json.dumps({"attempt": 2, **json.loads(body)}, indent=1, sort_keys=True).encode()
    assert shared.deliver(again).json == success(event_id, "duplicate")
    assert event(shared, event_id) == ("applied", 2)


def test_integer_id(shared):
    """An id that is an integer is its digits, however many."""
    digits = f"{time.time_ns()}00000000000000000000"
    body = bodies.payment(event_id="@id@").replace(b'"event_id": "@id@"', f'"event_id": {digits}'.encode())
    assert shared.deliver(body).json == success(digits, "applied")
    assert event(shared, digits) == ("applied", 1)


@pytest.mark.parametrize("written, stored", [
    ("397.1632", "397.1632"),
    ("999999999999999.999999", "999999999999999.999999"),
    ("0.000001", "0.000001"),
    ("0.1", "0.1"),
    ("12210", "12210"),
    ("9007199254740993", None),  # at 10^15 and above it is no amount
    ("900719925474099.3", "900719925474099.3"),
    ("3.971632e2", "397.1632"),
    ('"397.1632"', "397.1632"),
    ('"999999999999999.999999"', "999999999999999.999999"),
    ("1000000000000000", None),
    ("0.0000001", None),
    ("-1", None),
    ('"$1"', None),
])
def test_exact_money(shared, written, stored):
    """Amounts arrive in PostgreSQL with the digits of the body; what is no amount is NULL with a warning."""
    order = bodies.unique("order")
    body = bodies.payment(order, written)
    assert shared.deliver(body).json["outcome"] == "applied"
    warnings, amount = event(shared, bodies.event_id(body), "warnings, amount::text")
    assert amount == stored
    assert [warning.partition(":")[0] for warning in warnings] == ([] if stored else ["object.order.amount"])
    for table in ("orders", "payments"):
        assert rows(shared, f"SELECT amount::text FROM bagelpay.{table} WHERE order_id = %s", order) == [(stored,)]


def test_untouched_bytes(shared):
    """White space, escapes and the order of members survive: the stored bytes are the signed ones."""
    text = bodies.payment().decode()
    body = (" \r\n\t" + text.replace('"Book"', '"B\\u00f6ok \u20ac \\/"') + "\n\n").encode()
    assert shared.deliver(body).status == 200
    event_id = bodies.event_id(body)
    assert rows(shared, "SELECT body FROM bagelpay.event_bodies WHERE event_id = %s", event_id) == [(body,)]
    assert event(shared, event_id, "product_name") == ("B\u00f6ok \u20ac /",)


def test_content_type_does_not_matter(shared):
    """The signature decides, not what the body is called."""
    for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = harness.deliver(shared.url, shared.secret, bodies.payment(), **{"Content-Type": content_type})
        assert answer.json["outcome"] == "applied"


def test_chunked_body(shared):
    """A body in chunks gets its length from the web server."""
    body = bodies.payment()
    timestamp = int(time.time())
    answer = harness.post(shared.url, iter([body[:100], body[100:]]), {
        "timestamp": str(timestamp), "Bagelpay-Signature": harness.sign(shared.secret, body, timestamp)})
    assert answer.json == success(bodies.event_id(body), "applied")
