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
# (id, status, amount, currency), subscriptions (status, interval, trial_end, period_end), payments (id, kind, status,
# amount, paid_at, period_end), trials (starts_at, trial_end), cancellations (ends_at, at_period_end), entitlement (kind,
# status, entitled, reason, valid_from, valid_until). The headings checkout.cancel and refund.created carry cancellations,
# and a cancellation alone makes no item.
DOCUMENTED_STATES = {
    "checkout.completed": (
        ("checkout.completed", "test", "2025-09-14 08:30:00"), ("req_20250914_162923", "paid", "397.16", "USD"),
        [("active", None, None, None)],
        [("ch_1967143798107639810", "subscription", "paid", "397.16", "2025-09-14 08:30:00", None)], [], [],
        ("subscription", "active", False, "expired", "2025-09-14 08:30:00", "2025-10-16 08:30:00")),
    "checkout.failed": (
        ("checkout.failed", "test", "2025-09-12 15:52:00"), ("333", "failed", "12210", "USD"),
        [], [("ch_1966406841422503937", "one_time", "failed", "12210", None, None)], [], [],
        (None, "failed", False, "failed", None, None)),
    "checkout.cancel": (
        ("subscription.canceled", "test", "2025-09-12 16:41:24.746"), ("333", "pending", None, "USD"),
        [], [], [], [("2025-09-12 16:41:24.746", None)],
        (None, "pending", False, "pending", None, None)),
    "subscription.trialing": (
        ("subscription.trialing", "test", "2025-09-12 16:48:40.893"), ("333", "trialing", "0", "USD"),
        [("trialing", "1 mon", "2025-09-19 16:48:37", None)], [], [("2025-09-12 16:48:40.893", "2025-09-19 16:48:37")], [],
        ("subscription", "trialing", False, "expired", "2025-09-12 16:48:40.893", "2025-09-20 16:48:37")),
    "subscription.paid": (
        ("subscription.paid", "test", "2025-09-12 16:46:41.789"), ("333", "paid", "10", "USD"),
        [("active", "1 mon", None, "2025-10-12 16:46:35")],
        [("ch_1966423205621178370", "subscription", "paid", "10", "2025-09-12 16:46:41.789", "2025-10-12 16:46:35")], [], [],
        ("subscription", "active", False, "expired", "2025-09-12 16:46:41.789", "2025-10-13 16:46:35")),
    "subscription.canceled": (
        ("subscription.canceled", "test", "2025-09-12 16:41:24.746"), ("333", "pending", None, "USD"),
        [], [], [], [("2025-09-12 16:41:24.746", None)],
        (None, "pending", False, "pending", None, None)),
    "refund.created": (
        ("subscription.canceled", "test", "2025-09-12 19:12:44"), ("333", "pending", None, "USD"),
        [], [], [], [("2025-09-12 19:12:45", False)],
        (None, "pending", False, "pending", None, None)),
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
    """Order, subscriptions, payments, trials, cancellations and entitlement of the only order, times as text without their
    zone."""
    order = rows(stack, "SELECT order_id, status, amount::text, currency FROM bagelpay.orders")
    subscriptions = rows(stack, "SELECT status, recurring_interval::text, trial_end::timestamp::text,"
                                " billing_period_end::timestamp::text FROM bagelpay.subscriptions")
    payments = rows(stack, "SELECT payment_id, kind, status, amount::text, paid_at::timestamp::text,"
                           " period_end::timestamp::text FROM bagelpay.payments")
    trials = rows(stack, "SELECT starts_at::timestamp::text, trial_end::timestamp::text FROM bagelpay.trials")
    cancellations = rows(stack, "SELECT ends_at::timestamp::text, at_period_end FROM bagelpay.cancellations")
    entitlement = rows(stack, "SELECT kind, status, entitled, reason, valid_from::timestamp::text,"
                              " valid_until::timestamp::text FROM bagelpay.entitlements_test")
    assert len(order) == len(entitlement) == 1
    return order[0], subscriptions, payments, trials, cancellations, entitlement[0]


@pytest.mark.parametrize("name", bodies.NAMES)
def test_documented_body(stack, name):
    """Each documented body is applied: answer, event, exact bytes, what was signed, and the state that follows."""
    body, event_id, timestamp = bodies.documented(name), DOCUMENTED_IDS[name], int(time.time()) - 5
    before = time.time()
    answer = stack.deliver(body, timestamp)
    assert (answer.status, answer.json) == (200, success(event_id, "applied"))
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body == f'{{"message":"Success","event_id":"{event_id}","outcome":"applied"}}\n'.encode()

    expected_event, *expected_state = DOCUMENTED_STATES[name]
    assert event(stack, event_id, "event_type, mode, occurred_at::timestamp::text") == expected_event
    assert event(stack, event_id, "outcome, deliveries, signed_timestamp, received_at <= last_delivered_at") == (
        "applied", 1, timestamp, True)
    received, = event(stack, event_id, "extract(epoch FROM received_at)::float")
    assert before <= received <= time.time()
    assert rows(stack, "SELECT event_id, body, signed_timestamp, signature FROM bagelpay.event_bodies") == [
        (event_id, body, timestamp, harness.sign(stack.secret, body, timestamp))]
    assert list(state(stack)) == expected_state
    assert rows(stack, "SELECT * FROM bagelpay.entitlements") == []
    assert rows(stack, "SELECT * FROM bagelpay.dead_letters") == []


@pytest.mark.parametrize("names", [bodies.NAMES, bodies.NAMES[::-1]], ids=["in order", "reversed"])
def test_all_documented_bodies(stack, names):
    """The seven bodies together are two orders, the same ones in whatever order they arrive. One of them has two items, and
    none of the cancellations is of a subscription that was sold."""
    for name in names:
        assert stack.deliver(bodies.documented(name)).json["outcome"] == "applied"
    assert rows(stack, "SELECT order_id, status, conflict, user_id, updated_at::timestamp::text FROM bagelpay.orders"
                       " ORDER BY 1") == [
        ("333", "trialing", False, "222", "2025-09-12 19:12:44"),
        ("req_20250914_162923", "paid", False, None, "2025-09-14 08:30:00")]
    assert rows(stack, "SELECT order_id, product_id, status, subscription_id, recurring_interval::text, last4, canceled_at"
                       " FROM bagelpay.subscriptions ORDER BY 1, 2") == [
        ("333", "prod_1966354925946605570", "active", "sub_1966423205633761281", "1 mon", "4242", None),
        ("333", "prod_1966423597650190338", "trialing", "sub_1966423704764325890", "1 mon", None, None),
        ("req_20250914_162923", "prod_1967143613700870145", "active", None, None, None, None)]
    assert rows(stack, "SELECT order_id, payment_id, status FROM bagelpay.payments ORDER BY 1, 2") == [
        ("333", "ch_1966406841422503937", "failed"), ("333", "ch_1966423205621178370", "paid"),
        ("req_20250914_162923", "ch_1967143798107639810", "paid")]
    assert rows(stack, "SELECT order_id, event_id, subscription_id, processor_subscription_id FROM bagelpay.cancellations"
                       " ORDER BY 2") == [
        ("333", DOCUMENTED_IDS["checkout.cancel"], None, "sub_1S6SXS2YqhGdWPuNGTacUBaw"),
        ("333", DOCUMENTED_IDS["refund.created"], "sub_1966459918691274753", "sub_1S6Uu02YqhGdWPuNNnQY42yo"),
        ("333", DOCUMENTED_IDS["subscription.canceled"], None, "sub_1S6SXS2YqhGdWPuNGTacUBaw")]
    columns = "order_id, product_id, customer_email, user_id, status, entitled, reason, units"
    assert rows(stack, f"SELECT {columns} FROM bagelpay.entitlements_test ORDER BY 1, 2") == [
        ("333", "prod_1966354925946605570", "z916722885@gmail.com", "222", "active", False, "expired", 1),
        ("333", "prod_1966423597650190338", "user@gmail.com", "222", "trialing", False, "expired", 1),
        ("req_20250914_162923", "prod_1967143613700870145", "andrew@gettrust.ai", None, "active", False, "expired", 1)]
    assert rows(stack, "SELECT entitled, reason, units FROM bagelpay.entitlements_at('2025-09-14 12:00', 'test')"
                       " ORDER BY order_id, product_id") == [(True, "active", 1), (True, "trialing", 1), (True, "active", 1)]


@pytest.mark.parametrize("mode, view, other", [("test", "entitlements_test", "entitlements"),
                                               ("live", "entitlements", "entitlements_test")])
def test_purchase_entitles_in_its_mode(shared, mode, view, other):
    """A purchase of now entitles now, in its own mode and in no other."""
    order = bodies.unique("order")
    assert shared.deliver(bodies.payment(order, mode=mode)).json["outcome"] == "applied"
    query = "SELECT kind, status, entitled, reason, valid_until FROM bagelpay.{} WHERE order_id = %s"
    assert rows(shared, query.format(view), order) == [("one_time", "paid", True, "paid", None)]
    assert rows(shared, query.format(other), order) == []


def other_bytes(body):
    """Other bytes with the same content: an end of line, indentation, another order of keys, a counter of deliveries."""
    content = json.loads(body)
    return [body + b"\n", json.dumps(content, indent=2).encode(), json.dumps(content, sort_keys=True).encode(),
            json.dumps({"attempt": 2, **content}, separators=(",", ":")).encode()]


def test_duplicate(shared):
    """The same content again is a duplicate, whatever its bytes: counted, and nothing else changes."""
    order = bodies.unique("order")
    body = bodies.payment(order)
    event_id = bodies.event_id(body)
    assert shared.deliver(body, 1_700_000_000).json == success(event_id, "applied")
    before = rows(shared, "SELECT to_jsonb(o) FROM bagelpay.orders AS o WHERE order_id = %s", order)
    for again in (body, *other_bytes(body)):
        answer = shared.deliver(again)
        assert (answer.status, answer.json) == (200, success(event_id, "duplicate"))
    assert event(shared, event_id, "outcome, deliveries, signed_timestamp, last_delivered_at > received_at") == (
        "applied", 6, 1_700_000_000, True)
    assert rows(shared, "SELECT body FROM bagelpay.event_bodies WHERE event_id = %s", event_id) == [(body,)]
    assert rows(shared, "SELECT to_jsonb(o) FROM bagelpay.orders AS o WHERE order_id = %s", order) == before
    assert rows(shared, "SELECT FROM bagelpay.dead_letters WHERE event_id = %s", event_id) == []


def test_duplicates_at_once(shared, background):
    """Of simultaneous deliveries of the same bytes one is applied, the others are duplicates."""
    body = bodies.payment()
    answers = [future.result() for future in [background(shared.deliver, body) for _ in range(16)]]
    assert sorted(answer.json["outcome"] for answer in answers) == ["applied"] + ["duplicate"] * 15
    assert event(shared, bodies.event_id(body)) == ("applied", 16)


@pytest.mark.parametrize("change", [
    lambda content: content["object"]["order"].update(amount=99),
    lambda content: content["object"]["metadata"].update(note="another"),
    lambda content: content.update(created_at=content["created_at"].replace("Z", "+00:00")),
    lambda content: content.update(event_type="checkout.failed"),
], ids=["amount", "metadata", "the text of a time", "type"])
def test_conflict(shared, change):
    """Another content under a known event_id: answered as a duplicate, kept as a dead letter, the first one stays."""
    event_id, order = bodies.unique(), bodies.unique("order")
    first = bodies.payment(order, "10", event_id)
    content = json.loads(first)
    change(content)
    second = json.dumps(content).encode()
    assert shared.deliver(first).json == success(event_id, "applied")
    for _ in range(2):
        answer = shared.deliver(second)
        assert (answer.status, answer.json) == (200, success(event_id, "duplicate"))
    assert rows(shared, "SELECT body, reason, deliveries, resolved_at, order_id, customer_email FROM bagelpay.dead_letters"
                        " WHERE event_id = %s", event_id) == [(second, "conflict", 2, None, order, "buyer@example.com")]
    assert event(shared, event_id, "event_type, outcome, deliveries, amount::text") == (
        "checkout.completed", "applied", 1, "10")
    assert rows(shared, "SELECT body FROM bagelpay.event_bodies WHERE event_id = %s", event_id) == [(first,)]


def letters(stack):
    """The dead letters' reasons, in order, and whether they are resolved."""
    return rows(stack, "SELECT reason, resolved_at IS NOT NULL FROM bagelpay.dead_letters ORDER BY id")


def test_dead_letters_resolve_themselves(stack):
    """A dead letter is resolved by the commit of the same body, whatever its reason was and however it comes; the same
    content in other bytes is another body."""
    first, second = bodies.payment("order_1", event_id="evt_1"), bodies.payment("order_2", event_id="evt_1")
    poison, once_invalid = bodies.payment(event_id="evt_poison"), bodies.payment()
    stack.query("ALTER TABLE bagelpay.events ADD CONSTRAINT no_poison CHECK (event_id <> 'evt_poison' OR event_id::integer > 0)")
    assert [stack.deliver(body).status for body in (first, second, poison)] == [200, 200, 400]
    # As an older responder, which knew less, would have left it.
    stack.query("INSERT INTO bagelpay.dead_letters (sha256, body, reason) VALUES (sha256(%s), %s, 'invalid')",
                once_invalid, once_invalid)
    assert letters(stack) == [("conflict", False), ("database", False), ("invalid", False)]
    stack.query("ALTER TABLE bagelpay.events DROP CONSTRAINT no_poison")
    stack.query("DELETE FROM bagelpay.events WHERE event_id = 'evt_1'")
    assert stack.deliver(once_invalid + b"\n").json["outcome"] == "applied"
    assert letters(stack) == [("conflict", False), ("database", False), ("invalid", False)]
    assert [stack.deliver(body).json["outcome"] for body in (poison, second, once_invalid)] == ["applied", "applied", "duplicate"]
    assert letters(stack) == [("conflict", True), ("database", True), ("invalid", True)]
    # The other one is now what conflicts, and the letter of what is stored stays resolved.
    assert stack.deliver(first).json["outcome"] == "duplicate"
    assert letters(stack) == [("conflict", True), ("database", True), ("invalid", True), ("conflict", False)]


@pytest.mark.parametrize("event_type", ["checkout.unheard_of", "operator.grant", "operator.revoke", "operator.clear",
                                        "operator.dispute_won"])
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
