"""The reference against cases worked by hand: bodies, fields, times, numbers (§4)."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from .bodies import event
from .extract import Invalid, parse
from .key import assign
from .settings import Settings
from .strictjson import loads
from .times import UTC

SAMPLES = Path(__file__).parents[1] / "events" / "valid" / "documented"


def sample(name):
    return parse((SAMPLES / f"{name}.json").read_bytes())


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def parse_json(text):
    return parse(text.encode() if isinstance(text, str) else text)


def envelope(**members):
    body = {"event_id": "e", "event_type": "x", "mode": "live", "created_at": 1757666484,
            "object": {}, **members}
    return parse(json.dumps({k: v for k, v in body.items() if v is not ...}).encode())


# The seven samples.

@pytest.mark.parametrize("name, event_type, occurred_at, order_id, payment_id", [
    ("checkout.cancel", "subscription.canceled", datetime(2025, 9, 12, 16, 41, 24, 746000), "333",
     None),
    ("checkout.completed", "checkout.completed", datetime(2025, 9, 14, 8, 30), "req_20250914_162923",
     "ch_1967143798107639810"),
    ("checkout.failed", "checkout.failed", datetime(2025, 9, 12, 15, 52), "333",
     "ch_1966406841422503937"),
    ("refund.created", "subscription.canceled", datetime(2025, 9, 12, 19, 12, 44), "333", None),
    ("subscription.canceled", "subscription.canceled",
     datetime(2025, 9, 12, 16, 41, 24, 746000), "333", None),
    ("subscription.paid", "subscription.paid", datetime(2025, 9, 12, 16, 46, 41, 789000), "333",
     "ch_1966423205621178370"),
    ("subscription.trialing", "subscription.trialing",
     datetime(2025, 9, 12, 16, 48, 40, 893000), "333", "ch_1966423704747548674"),
])
def test_sample(name, event_type, occurred_at, order_id, payment_id):
    found = sample(name)
    assert found.event_type == event_type
    assert found.mode == "test"
    assert found.occurred_at == occurred_at
    assert found.payment_id == payment_id
    assert assign([found], Settings()) == {found.event_id: (order_id, "metadata")}
    assert found.warnings == []
    assert found.billed_as_subscription == (name != "checkout.failed")


def test_sample_fields():
    found = sample("checkout.completed")
    assert (found.amount, found.tax_amount, found.currency) == (Decimal("397.16"), 0, "USD")
    assert found.provider_order_id == "ORD_1967143798153777154"
    assert found.metadata["source"] == "website"
    assert found.is_payment
    found = sample("subscription.paid")
    assert found.subscription_id == "sub_1966423205633761281"
    assert found.processor_subscription_id is None
    assert (found.units, found.last4, found.billing_amount) == (1, "4242", 10)
    assert found.billing_period_end == datetime(2025, 10, 12, 16, 46, 35)
    found = sample("subscription.trialing")
    assert (found.last4, found.payment_method, found.recurring_interval) == (None, None, (1, 0))
    assert found.is_selling and not found.is_payment
    found = sample("checkout.cancel")
    assert found.event_id == "19a9e3a8-5ebb-43fc-b94a-251f85f05717"
    assert found.processor_subscription_id == "sub_1S6SXS2YqhGdWPuNGTacUBaw"
    assert found.canceled_at == utc(2025, 9, 12, 8, 41, 24)
    found = sample("refund.created")
    assert found.processor_subscription_id == "sub_1S6Uu02YqhGdWPuNNnQY42yo"
    assert found.cancel_at_period_end is False
    assert found.refund_label is None


# JSON.

@pytest.mark.parametrize("body", [
    b"", b"{", b"[]x", b"{,}", b'{"a":1,}', b'{"a" 1}', b"{'a':1}", b"[1,]", b"[01]", b"[1.]", b"[.5]",
    b"[+1]", b"[1e]", b"[NaN]", b"[Infinity]", b'["a\nb"]', b'["\\x"]', b'["\\u12"]', b'["', b"nul",
    b"\xef\xbb\xbf{}", b'["\xff"]', b'["\xed\xa0\x80"]', b'["\\ud800\\u"]', b'{"a":1,"a":2}', b'{"a":1,"\\u0061":2}',
    b'{"x":{"a":1,"a":null}}', b"[1e400]", b"[-1e400]", b"[1e-400]", b"[0." + b"0" * 400 + b"1]",
    b"[" + b"9" * 400 + b"]", b"[1." + b"0" * 1000 + b"]", b"[" * 65 + b"]" * 65,
    b'{"a":' * 65 + b"1" + b"}" * 65, b"\x0b{}", b"\xc2\xa0{}",
])
def test_json_rejected(body):
    with pytest.raises(Invalid):
        loads(body)


@pytest.mark.parametrize("body", [
    b" \t\r\n{}\n", b'["\\udbff\\udc00", "\\ud800\\udfff"]',
    b'["\\ud83d\\ude00", "\xf0\x9f\x98\x80"]', b"[0e400, 0.0e-400, -0]", b"[1e308]",
    b"[1e-307]", b"[123456789012345678901234567890]", b"[" * 64 + b"]" * 64,
    b'{"a":' * 64 + b"1" + b"}" * 64, b"[1." + b"0" * 999 + b"]", b'[{"a":1},{"a":1}]', b'[""]',
    b'["\x7f\\/\\b"]',
])
def test_json_accepted(body):
    loads(body)


def test_json_paths():
    for body, path in ((b'{"a":{"b":[1,{"c":1,"c":1}]}}', "a.b[1].c"), (b"[1e999]", "[0]"),
                       (b"", "body")):
        with pytest.raises(Invalid) as caught:
            loads(body)
        assert caught.value.path == path


# The envelope.

@pytest.mark.parametrize("members, path", [
    (dict(event_type=...), "event_type"), (dict(event_type=""), "event_type"),
    (dict(event_type="x" * 65), "event_type"), (dict(event_type=5), "event_type"),
    (dict(object=...), "object"), (dict(object=None), "object"), (dict(object=[]), "object"),
    (dict(mode=...), "object.mode"), (dict(mode="Live"), "mode"), (dict(mode=""), "mode"),
    (dict(mode=" live"), "mode"), (dict(object={"mode": 1}), "object.mode"),
    (dict(object={"product": {"mode": "prod"}}), "object.product.mode"),
    (dict(created_at=...), "created_at"), (dict(created_at="soon"), "created_at"),
])
def test_envelope_rejected(members, path):
    with pytest.raises(Invalid) as caught:
        envelope(**members)
    assert caught.value.path == path


def test_body_is_an_object():
    with pytest.raises(Invalid):
        parse(b"[]")


def test_mode():
    assert envelope().mode == "live"
    assert envelope(object={"mode": "test"}).mode == "test"
    assert envelope(mode="test", object={"mode": "live"}).mode == "test"
    assert envelope(mode=None, object={"subscription": {"mode": "live"}}).mode == "live"
    assert envelope(object={"order": {"mode": "test"}, "mode": None}).mode == "test"


def test_event_id():
    assert envelope(event_id=12345678901234567890123).event_id == "12345678901234567890123"
    assert envelope(event_id=" a ").event_id == " a "
    assert envelope(event_id="x" * 255).event_id == "x" * 255
    found = envelope(event_id="x" * 256, id="b")
    assert found.event_id == "b"
    assert found.warnings == ["event_id: longer than 255 bytes"]
    assert envelope(event_id=None, id="b").warnings == []
    for unusable in ("", True, 1.5, [], {}):
        found = envelope(event_id=unusable, id="b")
        assert (found.event_id, len(found.warnings)) == ("b", 1)


def test_content_of_an_event_without_id():
    one = {"metadata": {"a": 1, "b": [2]}, "customer": {"id": 5}}
    same = envelope(event_id=..., object=one)
    assert same.event_id.startswith("sha256:")
    text = json.dumps({"attempt": 3, "object": {"customer": {"id": "5", "name": "x"},
                                                "metadata": {"b": [2.0], "a": 1}},
                       "created_at": 1757666484, "mode": "live", "event_type": "x"}, indent=2)
    assert parse_json(text + "\n").event_id == same.event_id
    for other in ({"created_at": "1757666484000"}, {"mode": "test"}, {"event_type": "y"},
                  {"object": {**one, "metadata": {"a": 1, "b": [3]}}},
                  {"object": {**one, "payment_id": "p"}}):
        assert envelope(event_id=..., **{"object": one, **other}).event_id != same.event_id


def test_occurred_at_places():
    content = {"order": {"updated_at": "x", "created_at": 1757666484},
               "canceled_at": "2025-01-01 00:00:00"}
    found = envelope(created_at=" 2025-01-01 00:00:00", object=content)
    assert found.occurred_at == utc(2025, 9, 12, 8, 41, 24)
    assert found.occurred_path == "object.order.created_at"
    assert found.created_at_raw == " 2025-01-01 00:00:00"
    assert found.warnings == ["created_at: not a time", "object.order.updated_at: not a time"]
    found = envelope(created_at=None, object={"created_at": "2025-01-01 00:00:00", "order": None})
    assert (found.occurred_at, found.warnings) == (datetime(2025, 1, 1), [])
    assert envelope(created_at=1757666484).created_at_raw == "1757666484"


def test_ignored_types():
    assert not envelope(event_type="operator.grant").is_known
    assert not envelope(event_type="order.shipped").is_known
    assert envelope(event_type="refund.created").is_known


# Numbers.

@pytest.mark.parametrize("token, expected", [
    ("397.1632", "397.1632"), ('"397.16"', "397.16"), ('" 10 "', "10"), ("0", "0"), ("-0", "0"),
    ("1.0000000", "1"), ("1e2", "100"), ("1e-6", "0.000001"), ("0e-300", "0"), ('"0e99999"', "0"),
    ("999999999999999.999999", "999999999999999.999999"), ("9.99e14", "999000000000000"),
    ("0.30000000000000000000", "0.3"),
])
def test_amount(token, expected):
    found = parse_json(amount_body(token))
    assert found.amount == Decimal(expected)
    assert found.warnings == []


@pytest.mark.parametrize("token", [
    "1000000000000000", "1e15", "1e308", "-1", "-0.01", "0.0000001", "1e-7", '"1e-999999999999"',
    '"1e999999999999"', '"01"', '"1."', '"+1"', '"1,5"', '"NaN"', "true", "[1]", "{}", '"' + "1" * 256 + '"',
])
def test_amount_unusable(token):
    found = parse_json(amount_body(token))
    assert found.amount is None
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith("object.order.amount: ")


@pytest.mark.parametrize("token", ["null", '""', '" \\t\\n\\u000b\\f\\r"'])
def test_amount_absent(token):
    found = parse_json(amount_body(token))
    assert (found.amount, found.warnings) == (None, [])


def amount_body(token):
    return ('{"event_type":"x","mode":"live","created_at":1757666484,'
            '"object":{"order":{"amount":%s}}}' % token)


@pytest.mark.parametrize("value, expected", [
    (0, 0), (3, 3), ("3", 3), (2147483647, 2147483647), (1.0, 1), (2147483648, None), (-1, None),
    (1.5, None), (True, None), ("three", None), (10 ** 40, None)])
def test_units(value, expected):
    found = event(subscription={"units": value})
    assert found.units == expected
    assert len(found.warnings) == (expected is None)


# Other fields.

def test_text_fields():
    found = event(customer={"id": 1966380027341860866123, "email": " A.ÉX@Example.COM\n"},
                  product={"name": "  Ünï  ", "currency": " eur"}, payment_id=True)
    assert found.customer_id == "1966380027341860866123"
    assert found.customer_email == "a.Éx@example.com"
    assert (found.product_name, found.currency) == ("Ünï", "EUR")
    assert found.warnings == ["object.payment_id: neither a text nor an integer"]


def test_first_usable_wins():
    found = event(product={"product_id": "", "name": 7},
                  subscription={"product_id": "s", "product_name": "n", "id": None,
                                "subscription_id": "sub"})
    assert (found.product_id, found.product_name, found.subscription_id) == ("s", "n", "sub")
    assert found.warnings == ["object.product.name: not a text"]
    assert event(product={"product_id": "p"}, subscription={"product_id": []}).warnings == []


def test_lengths_are_bytes_after_trimming():
    assert event(request_id=" " + "é" * 127 + "x ").request_id == "é" * 127 + "x"
    found = event(request_id="é" * 128)
    assert (found.request_id, found.warnings) == (None, ["object.request_id: longer than 255 bytes"])
    assert event(customer={"email": "x" * 320}).customer_email == "x" * 320
    assert event(customer={"email": "x" * 321}).customer_email is None
    assert event(subscription={"last4": 4242}).last4 is None


def test_currency():
    found = event(product={"currency": "us"})
    assert (found.currency, found.warnings) == (None, ["object.product.currency: not three letters"])
    assert event(product={"currency": "aza"}).currency == "AZA"
    assert event(product={"currency": "u$d"}).currency is None


def test_subscription_fields_of_the_object_itself():
    members = {"id": "sub_1", "trial_end": "2025-01-05 00:00:00", "cancel_at_period_end": True}
    assert event(**members).trial_end is None
    assert event(**members).processor_subscription_id is None
    found = event(object="subscription", **members)
    assert (found.trial_end, found.cancel_at_period_end) == (datetime(2025, 1, 5), True)
    assert found.processor_subscription_id == "sub_1"
    found = event(object="subscription", subscription={"trial_end": 1757666484}, **members)
    assert found.trial_end == utc(2025, 9, 12, 8, 41, 24)
    found = event(subscription={"cancel_at_period_end": "true", "trial_end": "soon"})
    assert found.cancel_at_period_end is None
    assert len(found.warnings) == 2


@pytest.mark.parametrize("token, expected", [
    ("123.0", "123"), ("1.23e2", "123"), ("-0", "0"), ("0e5", "0"), ("-12.50e1", "-125"),
    ("12345678901234567890123.0", "12345678901234567890123"), ("1e22", "1" + "0" * 22),
    ('" 1.23e2 "', "1.23e2"), ("1.5", None), ("1e-1", None), ("1e255", None), ("true", None)])
def test_ids(token, expected):
    found = parse_json(amount_body("1").replace('"order":', f'"payment_id":{token},"order":'))
    assert found.payment_id == expected
    assert len(found.warnings) == (expected is None)
    assert envelope(event_id=123.0).event_id == "123"


@pytest.mark.parametrize("word, expected", [
    ("Daily", (0, 1)), ("day", (0, 1)), ("week", (0, 7)), ("WEEKLY", (0, 7)), ("month", (1, 0)),
    ("monthly", (1, 0)), ("3months", (3, 0)), ("quarter", (3, 0)), ("quarterly", (3, 0)),
    ("6months", (6, 0)), ("half-yearly", (6, 0)), ("semiannual", (6, 0)), ("year", (12, 0)),
    ("yearly", (12, 0)), ("annual", (12, 0)), (" Annually ", (12, 0)), ("12months", (12, 0)),
    ("2 weeks", (0, 14)), ("1 days", (0, 1)), ("10day", (0, 10)), ("1000 years", (12000, 0)),
    ("0 days", None), ("1001 days", None), ("-1 day", None), ("2  weeks", None), ("fortnight", None),
    ("01 day", None), ("1.5 days", None)])
def test_intervals(word, expected):
    found = event(subscription={"recurring_interval": word})
    assert found.recurring_interval == expected
    assert len(found.warnings) == (expected is None)


def test_interval_places():
    product = {"recurring_interval": "sometimes", "billing_period": "weekly"}
    assert event(product=product).recurring_interval == (0, 7)
    assert event(product=product, subscription={"recurring_interval": "year"}) \
        .recurring_interval == (12, 0)
    assert event(product=product, recurring_interval="year").recurring_interval == (0, 7)
    assert event(product=product, recurring_interval="year", object="subscription") \
        .recurring_interval == (12, 0)


def test_billing_type():
    found = event(product={"billing_type": "one_off"})
    assert (found.billing_type, found.has_billing_type) == ("one_off", False)
    assert found.warnings == [
        "object.product.billing_type: neither subscription nor single_payment"]
    assert event(product={"billing_type": "single_payment"}).warnings == []


def test_replaced_characters():
    found = event(metadata={"order_id": "a", "note": "x\x00y"}, request_id="\ud800")
    assert found.metadata["note"] == "x\ufffdy"
    assert found.request_id == "\ufffd"
    assert len(found.warnings) == 2


def test_metadata_as_text():
    found = event(metadata=' {"order_id": "a", "n": 1.50} ')
    assert (found.metadata, found.warnings) == ({"order_id": "a", "n": Decimal("1.5")}, [])
    assert event(metadata=" ").warnings == []
    for unusable in ("[1]", "{", '{"a":1,"a":2}', "1", "null x"):
        found = event(metadata=unusable)
        assert (found.metadata, len(found.warnings)) == (None, 1)
    assert event(metadata='{"a": "\\u0000"}').metadata == {"a": "\ufffd"}


def test_metadata():
    assert event(metadata={"a": [1, 2.50, {"b": None}]}).metadata == {
        "a": [1, Decimal("2.5"), {"b": None}]}
    found = event(metadata=[1])
    assert (found.metadata, found.warnings) == (None, ["object.metadata: not an object"])
    assert event(metadata=None).warnings == []


def test_refund_fields():
    found = event(refund={"amount": 1, "status": "pending"}, refund_amount=2, refunded_amount="3",
                  status="partially_refunded", object="refunded")
    assert (found.refund_amount, found.refunded_amount, found.refund_label) == (1, 3, "partial")
    assert event(object="refunded").refund_label == "full"
    assert event(object="partial_refund").refund_label == "partial"
    assert event(refund={"status": "succeeded"}).refund_label is None
    assert event(refund={"status": "x"}, status=" refunded ").refund_label == "full"
    assert event(refund={"refund_id": 7}, refund_id="x").refund_id == "7"
    assert event(refund={"id": "a", "refund_id": "b"}).refund_id == "a"
    assert event(refund_id="x").refund_id == "x"


def test_billed_as_subscription():
    assert event("subscription.canceled").billed_as_subscription
    assert event(product={"billing_type": "subscription"}).billed_as_subscription
    assert event(subscription={}).billed_as_subscription
    assert event(object="subscription").billed_as_subscription
    assert not event(subscription="x", product={"billing_type": "single_payment"}).billed_as_subscription
    assert not event("refund.created").billed_as_subscription
