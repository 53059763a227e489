"""Correctly signed, and hostile: bodies by one who holds the secret, or whose data a merchant passes on."""

import json
from dataclasses import dataclass, field

BASE = json.dumps({
    "event_id": "@ID@", "event_type": "checkout.completed", "created_at": "2026-01-02T03:04:05Z",
    "object": {
        "mode": "test", "payment_id": "ch_@ID@", "request_id": "req_1", "metadata": {"order_id": "order_@ID@"},
        "customer": {"id": "cus_1", "email": "buyer@example.com"},
        "product": {"product_id": "prod_1", "name": "Book", "billing_type": "single_payment"},
        "order": {"order_id": "ORD_@ID@", "amount": 10, "tax_amount": 1, "currency": "USD"},
        "refund": {}, "subscription": None}})


@dataclass(frozen=True)
class Event:
    """A signed body. Without a path it is an event, and columns are its own in bagelpay.events; else it is a dead
    letter, and path what the answer's detail begins with. warnings: the paths that the event's are about."""

    name: str
    body: bytes
    path: str = None
    outcome: str = "applied"
    columns: dict = field(default_factory=dict)
    warnings: tuple = ()


def _put(members, path, value):
    name, _, rest = path.partition(".")
    if rest:
        members[name] = members[name] if isinstance(members.get(name), dict) else {}
        _put(members[name], rest, value)
    elif value is None:
        del members[name]
    else:
        members[name] = value


def at(path, text, base=BASE):
    """The base event with this JSON text at a path; None leaves the member out."""
    members = json.loads(base)
    _put(members, path, None if text is None else "@HERE@")
    text = text if isinstance(text, bytes) else (text or "").encode()
    return json.dumps(members).encode().replace(b'"@HERE@"', text)


def string(text):
    """A text as JSON has it, in UTF-8."""
    return json.dumps(text, ensure_ascii=False).encode()


def dead(name, body, path="body"):
    return Event(name, body, path)


def no_event(path, *texts):
    """Rows of envelopes with these texts at a path, each of which costs the event."""
    return [dead(f"{path} {text}", at(path, text), path) for text in texts]


# --- what is no JSON object, or not a strict one -------------------------------------------------------------

ENTITIES = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'
NO_JSON = [
    dead("nothing", b""), dead("a NUL", b"\0"), dead("a space", b" "), dead("one byte", b"{"),
    dead("as many spaces as are allowed", b" " * 1048576), dead("as many brackets as are allowed", b"[" * 1048576),
    dead("as many open objects as are allowed", (b'{"a":' * 209716)[:1048576]),
    dead("as many NULs as are allowed", b"\0" * 1048576), dead("as many backslashes", b'{"a":"' + b"\\" * 1048570),
    dead("one string without end", b'{"' + b"a" * 1048574), dead("one number", b"1" * 1048576),
    dead("form", b"event_id=1&event_type=checkout.completed"), dead("XML entities", ENTITIES.encode()),
    dead("YAML", b"event_type: checkout.completed\nobject: {mode: test}\n"), dead("gzip", bytes.fromhex("1f8b08000000000000ff")),
    dead("pickle", b"cos\nsystem\n(S'id'\ntR."), dead("Java object", bytes.fromhex("aced0005737200")),
    dead("PHP object", b'O:8:"stdClass":0:{}'), dead("ELF", b"\x7fELF\x02\x01\x01" + b"\0" * 57),
    dead("format string", b"%n%n%n%s%s%s%x%x"), dead("shell", b"$(id)`id`;id|id\n"),
    dead("SQL", b"'; DROP SCHEMA bagelpay CASCADE; --"),
    dead("header", b"Status: 200 OK\r\n\r\n"), dead("FastCGI record", b"\1\3\0\1\0\x08\0\0\0\0\0\0\0\0\0\0"),
    dead("byte order mark", b"\xef\xbb\xbf" + BASE.encode()), dead("UTF-16", BASE.encode("utf-16")),
    dead("UTF-32", BASE.encode("utf-32")),
    dead("two events", BASE.encode() * 2), dead("an array of events", b"[" + BASE.encode() + b"]"),
    dead("event as a string", string(BASE)), dead("NUL behind", BASE.encode() + b"\0"), dead("NUL before", b"\0" + BASE.encode()),
    dead("last brace missing", BASE.encode()[:-1]), dead("callback", b"f(" + BASE.encode() + b")"),
    dead("event_id twice", BASE.replace('"event_id"', '"event_id": "first", "event_id"', 1).encode()),
    dead("object twice", BASE.replace('"object"', '"object": {"mode": "live"}, "object"', 1).encode()),
    dead("mode twice", BASE.replace('"mode"', '"mode": "live", "mode"', 1).encode()),
    dead("mode twice by an escape", BASE.replace('"mode"', '"mod\\u0065": "live", "mode"', 1).encode()),
    dead("amount twice", BASE.replace('"amount"', '"amount": 0.01, "amount"', 1).encode()),
    dead("key twice with U+0000", at("object.metadata", '{"a\\u0000": 1, "a\\u0000": 2}')),
    dead("UTF-8 surrogate in the order", at("object.metadata.order_id", b'"\xed\xa0\x80"')),
    dead("overlong quote in the order", at("object.metadata.order_id", b'"\xc0\xa2"')),
    dead("Latin 1 in a name", at("object.product.name", b'"caf\xe9"')),
    dead("metadata too deep", at("object.metadata.a", "[" * 62 + "]" * 62)),
    dead("amount NaN", at("object.order.amount", "NaN")), dead("amount Infinity", at("object.order.amount", "-Infinity")),
    dead("amount 1e400", at("object.order.amount", "1e400")), dead("amount 1e-400", at("object.order.amount", "1e-400")),
    dead("amount +10", at("object.order.amount", "+10")), dead("amount 010", at("object.order.amount", "010")),
    dead("amount 0x10", at("object.order.amount", "0x10")), dead("amount 10.", at("object.order.amount", "10.")),
    dead("amount of 1001 digits", at("object.order.amount", "1" * 1001)),
    dead("units 1e999", at("object.subscription.units", "1e999")),
]

# --- envelopes that are none ---------------------------------------------------------------------------------

NO_EVENT = [
    *no_event("event_type", None, "null", "1", "true", "[]", "{}", '""', '["checkout.completed"]'),
    dead("U+0000 in the mode", at("object.mode", '"test\\u0000"'), "object.mode"),
    dead("event_type of 65 bytes", at("event_type", string("x" * 65)), "event_type"),
    dead("event_type of 33 letters in 66 bytes", at("event_type", string("é" * 33)), "event_type"),
    dead("event_type of a megabyte", at("event_type", string("x" * 1000000)), "event_type"),
    *no_event("object", None, "null", "[]", '"object"', "1", "true", "[{}]"),
    *no_event("object.mode", None, "null", "1", "true", "[]", "{}", '""', '"TEST"', '"Live"', '" test"', '"test\\n"',
              '"production"',
              '"live OR 1=1"', '["live"]', '"ｌｉｖｅ"'),
    *no_event("object.product.mode", '"prod"', "0", "{}"), *no_event("mode", '"any"', "false", "[]"),
    *no_event("created_at", None, "null", '""', '"now"', '"now()"', '"infinity"', '"-infinity"', '"epoch"', '"today"', "true",
              "[]", "{}",
              "0", "-1", "1e9", "1757666462.5", '"1757666462 "', '"+1757666462"', "946684799", "32503680000000", "9" * 30,
              '"0x68c3d2de"',
              '"1999-12-31T23:59:59Z"', '"3000-01-01T00:00:00Z"', '"9999-12-31T23:59:59Z"', '"0001-01-01T00:00:00Z"',
              '"-2026-01-01T00:00:00Z"', '"2026-13-01T00:00:00Z"', '"2026-00-01T00:00:00Z"', '"2026-02-30T00:00:00Z"',
              '"2026-01-01T24:00:00Z"', '"2026-01-01T00:60:00Z"', '"2026-01-01T00:00:60Z"', '"2026-01-01"', '"2026-01-01T00:00Z"',
              '"2026-01-01T00:00:00.Z"', '"2026-01-01T00:00:00.1234567Z"', '"2026-01-01T00:00:00,5Z"', '"2026-01-01t00:00:00z"',
              '"2026-01-01T00:00:00+24:00"', '"2026-01-01T00:00:00+1:00"', '"2026-01-01T00:00:00 UTC"',
              '"2026-01-01T00:00:00 Europe/Berlin"', '"2026-01-01T00:00:00Z; DROP TABLE bagelpay.events"',
              '" 2026-01-01T00:00:00Z"',
              '"２０２６-01-01T00:00:00Z"', '"2026-01-01T00:00:00Z BC"', '"%Y-%m-%dT%H:%M:%SZ"', '"J2461042"'),
]

# --- events, whatever else is in them ------------------------------------------------------------------------


def lost(path, column, *texts):
    """Rows of events that lose one field, with a warning, and nothing else."""
    return [Event(f"{path} {text}", at(path, text), columns={column: None}, warnings=(path,)) for text in texts]


def kept(path, column, text, value, name=None, **more):
    """A row of an event that keeps what a text at a path says."""
    return Event(name or f"{path} {text}", at(path, text), columns={column: value}, **more)


FIELDS = [
    *lost("object.customer.id", "customer_id", "true", "{}", "[1]", "1.5", "1e-3"),
    *lost("object.customer.email", "customer_email", "1", "{}", '["a@example.com"]'),
    *lost("object.product.product_id", "product_id", "false", "[]", "0.5"),
    *lost("object.product.name", "product_name", "5", "{}", "true"),
    *lost("object.product.billing_type", "billing_type", "1", '["subscription"]'),
    *lost("object.payment_id", "payment_id", "{}", "-1.1"), *lost("object.order.order_id", "provider_order_id", "false", "[[]]"),
    *lost("object.request_id", "request_id", "{}", "1e255"),
    *lost("object.order.amount", "amount", "-1", "-0.01", "1000000000000000", "1e15", "1e308", "0.0000001", "1e-7", "1e-300",
          "9" * 300,
          "999999999999999.9999999", '"ten"', '"0x10"', '"1,000"', '"1_000"', '"1e400"', '"NaN"', '"Infinity"', '"-5"',
          '"10 USD"', '"$10"',
          '"１０"', '"+1"', '".5"', '"1; DROP TABLE bagelpay.orders"', "true", "[]", "{}", "[10]"),
    *lost("object.order.tax_amount", "tax_amount", "-1", '"free"', "{}"),
    *lost("object.order.currency", "currency", '"US"', '"USDT"', '"U$D"', "840", '"ŪSD"', '"U\\nD"', "{}", '"%s%"'),
    *lost("object.subscription.units", "units", "-1", "2147483648", "1.5", '"many"', "true", "1e10", "9" * 100),
    *lost("object.subscription.cancel_at_period_end", "cancel_at_period_end", '"true"', "1", "[]"),
    *lost("object.subscription.trial_start", "trial_start", '"never"', "1.5", "-1", "true", '"infinity"',
          '"2026-02-30T00:00:00Z"'),
    *lost("object.subscription.billing_period_end", "billing_period_end", '"3000-01-01T00:00:00Z"', "99999999999999999999"),
    *lost("object.subscription.recurring_interval", "recurring_interval", "1", "{}", '"fortnightly"', '"0 days"', '"1001 days"'),
    *lost("object.subscription.last4", "last4", "4242", "[4,2,4,2]"),
    *lost("object.subscription.billing_amount", "billing_amount", "-1", '"free"'),
    *lost("object.refund.amount", "refund_amount", "-1", '"all"', "[]"),
    *lost("object.metadata", "metadata", '"a"', "1", "[]", "true", '"{\\"a\\":1,\\"a\\":2}"', '"{\\"a\\":1e400}"',
          '"' + "[" * 100000 + '"'),
    *lost("object.refund.id", "refund_id", "{}", "0.5"),
    kept("object.order.amount", "amount", "0", "0"), kept("object.order.amount", "amount", "-0", "0"),
    kept("object.order.amount", "amount", "0e999999999999", "0"), kept("object.order.amount", "amount", "1.0000000", "1"),
    kept("object.order.amount", "amount", "999999999999999.999999", "999999999999999.999999"),
    kept("object.order.amount", "amount", '" 397.16\\n"', "397.16"), kept("object.order.amount", "amount", "1e-6", "0.000001"),
    kept("object.order.amount", "amount", "0.1e1", "1"), kept("object.order.currency", "currency", '"\\tusd "', "USD"),
    kept("object.subscription.units", "units", "2147483647", "2147483647"),
    kept("object.subscription.units", "units", "1e2", "100"),
    kept("object.customer.id", "customer_id", "9" * 255, "9" * 255, "customer of 255 digits"),
    kept("object.customer.id", "customer_id", "9" * 256, None, "customer of 256 digits", warnings=("object.customer.id",)),
    kept("object.customer.email", "customer_email", string("A" * 308 + "@Example.com"), "a" * 308 + "@example.com",
         "address of 320 bytes"),
    kept("object.customer.email", "customer_email", string("a" * 309 + "@example.com"), None, "address of 321 bytes",
         warnings=("object.customer.email",)),
    kept("object.product.name", "product_name", string("é" * 127 + "x"), "é" * 127 + "x", "name of 255 bytes"),
    kept("object.product.name", "product_name", string("é" * 128), None, "name of 256 bytes", warnings=("object.product.name",)),
    kept("object.product.name", "product_name", string("x" * 900000), None, "name of 900000 bytes",
         warnings=("object.product.name",)),
    kept("object.product.name", "product_name", '"   \\t\\n "', None, "name of white space"),
    kept("object.product.mode", "mode", '"live"', "test", "live and test"),
    kept("mode", "mode", '"live"', "test", "live at the top, and test"),
    kept("mode", "mode", "null", "test"), kept("object.subscription", "has_subscription", '"yes"', None),
    kept("event_id", "event_id", '"evt_" ', "evt_", "id of a prefix alone"), kept("event_id", "event_id", "-0", "0"),
    kept("event_id", "event_id", "1e3", "1000", "id of three digits and an exponent"),
    kept("object.customer.id", "customer_id", "1.23e2", "123"), kept("object.payment_id", "payment_id", "-1.0", "-1"),
    kept("object.refund.id", "refund_id", "1e30", "1" + "0" * 30),
    kept("object.product.billing_period", "recurring_interval", '"1000 YEARS"', "1000 years"),
    kept("object.product.billing_type", "billing_type", '"lease"', "lease", warnings=("object.product.billing_type",)),
    kept("event_id", "event_id", "9" * 255, "9" * 255, "id of 255 digits"),
    kept("event_id", "event_id", string("i" * 255), "i" * 255, "id of 255 bytes"),
    *(Event(f"event_id {text[:20]}", at("event_id", text), columns={"event_id": "@SHA256@"}, warnings=("event_id",))
      for text in ("{}", "[]", "true", "1.5", '""', '"' + "i" * 256 + '"', "9" * 256)),
]

# --- texts that mean something elsewhere ---------------------------------------------------------------------

TEXTS = {
    "SQL quote": "'", "SQL": "'; DROP SCHEMA bagelpay CASCADE; --", "SQL union": "' UNION SELECT rolpassword FROM pg_authid --",
    "SQL dollar quote": "$$; DROP TABLE bagelpay.orders; $$", "SQL identifier": 'x"; DROP ROLE bagelhook; --',
    "SQL escape": "\\'; SELECT 1; --",
    "SQL copy": "\\.", "SQL parameter": "$1", "LIKE": "%_%", "array": '{"a",NULL}', "record": "(,,,)", "NULL": "NULL",
    "json": '{"order_id":"x"}',
    "shell": "$(touch /tmp/x)", "shell backquotes": "`id`", "shell rest": "; rm -rf / & | > < * ? ~ !",
    "path": "../../../../etc/passwd",
    "spool path": "../new/0", "absolute path": "/dev/null", "Windows path": "..\\..\\CON", "URL": "file:///etc/shadow",
    "HTML": "<script>alert(1)</script>", "attribute": '" onload="alert(1)', "entity": "&lt;&#0;", "format": "%s%n%x%p%99999999d",
    "format, Python": "{0.__class__}", "template": "{{7*7}}${7*7}<%= 7*7 %>#{7*7}", "JNDI": "${jndi:ldap://127.0.0.1/x}",
    "header": "a\r\nStatus: 200 OK\r\nX-Injected: 1", "header end": "a\r\n\r\n<html>", "log line": 'a\nlevel=error msg="forged"',
    "terminal": "\x1b[2J\x1b]0;owned\x07", "controls": "a\x01\x02\x08\x0b\x1f\x7fb", "right to left": "\u202eflip\u202c",
    "isolates": "\u2066a\u2069",
    "zero width": "a\u200b\u200d\ufeffb", "normal forms": "e\u0301\u00e9", "homograph": "\u043erder", "fullwidth quote": "\uff07",
    "noncharacters": "\ufffe\uffff\U0010ffff", "emoji": "\U0001f468\u200d\U0001f469", "combining": "a" + "\u0301" * 100,
    "next line": "a\u0085\u2028b",
    "backslashes": "\\\\\\", "quotes": "\"'`", "spreadsheet": "=cmd|'/C calc'!A0", "key of another": "test/order_1",
    "255 bytes": "x" * 255,
    "127 letters of two bytes": "é" * 127, "true": "true", "number": "1e5", "negative": "-1",
    "prefix in capitals": "Customer:a:b",
    "prefix without colon": "order", "undefined": "undefined", "LDAP": "*)(uid=*))(|(uid=*", "XPath": "' or '1'='1",
    "prototype": "__proto__",
}
ORDERS = [
    *(Event(f"order {name}", at("object.metadata.order_id", string(text)), columns={"order_id": text, "key_source": "metadata"})
      for name, text in TEXTS.items()),
    *(Event(f"order {text} is passed over", at("object.metadata.order_id", text), columns={"key_source": "order"},
            warnings=("object.metadata.order_id",))
      for text in ('"customer:cus_1:prod_1"', '"order:ORD_1"', '"payment:ch_1"', '" order:ORD_1 "', "true", "[]", "{}", "1.5")),
    Event("order of 256 bytes is passed over", at("object.metadata.order_id", string("x" * 256)), columns={"key_source": "order"},
          warnings=("object.metadata.order_id",)),
    Event("order of a megabyte is passed over", at("object.metadata.order_id", string("x" * 1000000)),
          columns={"key_source": "order"},
          warnings=("object.metadata.order_id",)),
    kept("object.metadata.order_id", "order_id", "-12345678901234567890123", "-12345678901234567890123"),
    kept("object.metadata.order_id", "order_id", '" \\t trimmed \\n"', "trimmed"),
    kept("object.metadata.order_id", "key_source", "null", "order"),
    kept("object.metadata.order_id", "key_source", '"  "', "order"),
]
OTHER_TEXTS = [
    *(Event(f"{column} {name}", at(path, string(TEXTS[name])), columns={column: TEXTS[name]}, **more)
      for path, column, more in (("object.product.name", "product_name", {}), ("object.payment_id", "payment_id", {}),
                                 ("object.customer.id", "customer_id", {}), ("event_id", "event_id", {}),
                                 ("event_type", "event_type", {"outcome": "ignored"}))
      for name in ("SQL", "header", "log line", "terminal", "HTML", "format", "right to left", "path")),
    *(Event(f"event_type text {text}", at("event_type", string(text)), outcome="ignored",
            columns={"event_type": text, "order_id": None})
      for text in ("operator.grant", "operator.revoke", "operator.clear", "operator.", "CHECKOUT.COMPLETED",
                   " checkout.completed",
                   "checkout.completed ", "checkout.completed\n", "refund.created\x7f", "x" * 64, "é" * 32, "*", "null")),
    Event("U+0000 in the type", at("event_type", '"checkout.completed\\u0000"'), outcome="ignored",
          columns={"event_type": "checkout.completed\ufffd"}, warnings=("body",)),
    Event("U+0000 in the order", at("object.metadata.order_id", '"a\\u0000b_@ID@"'), columns={"key_source": "metadata"},
          warnings=("body",)),
    Event("U+0000 in a key of the metadata", at("object.metadata", '{"a\\u0000": 1, "order_id": "order_@ID@"}'),
          warnings=("body",)),
    Event("keys that U+0000 makes equal", at("object.metadata", '{"a\\u0000": 1, "a\\ufffd": 2, "order_id": "order_@ID@"}'),
          warnings=("body", "object.metadata")),
    Event("lone surrogate in the address", at("object.customer.email", '"\\udc00@example.com"'),
          columns={"customer_email": "\ufffd@example.com"}, warnings=("body",)),
    Event("metadata as text", at("object.metadata", '"{\\"order_id\\": \\"text_@ID@\\"}"'), columns={"key_source": "metadata"}),
    Event("grant in the metadata", at("object.metadata.granted_until", '"2999-01-01T00:00:00Z"'),
          columns={"granted_until": None, "note": None}),
    Event("columns in the body", at("granted_until", '"2999-01-01T00:00:00Z"'), columns={"granted_until": None}),
    Event("dead_letter in the body", at("dead_letter", '"invalid"')),
    Event("fold_slot in the body", at("fold_slot", "8"), columns={"fold_slot": "28277168723"}),
    Event("user_id in the body", at("user_id", '"root"'), columns={"user_id": None}),
    Event("signature in the body", at("signature", '"0"')), Event("local_times in the body", at("local_times",
                                                                                                '{"occurred_at": "x"}')),
    Event("metadata with keys of objects", at("object.metadata.__proto__",
                                              '{"constructor": {"prototype": 1}, "toString": null}')),
    Event("metadata that is large", at("object.metadata.a", string("x" * 1000000))),
    Event("metadata with 20000 members", at("object.metadata.a", "{" + ",".join(f'"{n}":{n}' for n in range(20000)) + "}")),
    Event("metadata with 100000 elements", at("object.metadata.a", "[" + ",".join("1" * 5 for _ in range(100000)) + "]")),
    Event("metadata with empty keys", at("object.metadata", '{"order_id": "empty_@ID@", "": {"": {"": ""}}}')),
    Event("metadata as deep as is allowed", at("object.metadata.a", "[" * 61 + "]" * 61)),
    Event("metadata with odd numbers", at("object.metadata.a", '[1e308,-1e-307,0e999,-0,5e-324,0.' + "9" * 999 + "]")),
    Event("metadata of all characters", at("object.metadata.a", string("".join(map(chr, (*range(1, 0xd800), *range(0xe000,
                                                                                                                   0x10000))))))),
    Event("50000 members that nobody reads", at("a", "{" + ",".join(f'"k{n}":[]' for n in range(50000)) + "}")),
    Event("escaped throughout", at("object.metadata.a", '"' + "\\u00e9" * 100000 + '"')),
]

ROWS = NO_JSON + NO_EVENT + FIELDS + ORDERS + OTHER_TEXTS
