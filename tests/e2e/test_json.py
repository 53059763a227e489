"""The rows of tests/conformance/json.txt as signed bodies: what is no JSON object is a dead letter, whatever kind of no JSON
it is, and what is one reaches the database as it was meant."""

import contextlib
import decimal
import json
import re

import pytest

import bodies
from reference.jsontable import rows

ROWS = rows()
DEEPEST = 64
# What is replaced with U+FFFD, and how the warning says so.
REPLACED = {"nul": "\\u0000 in a string", "surrogate": "lone surrogate in a string"}
OBJECTS = [row for row in ROWS if row.is_ok or row.verdicts[0] in REPLACED]


@pytest.fixture(scope="module")
def database(shared):
    """One connection for all rows."""
    with contextlib.closing(shared.connect()) as connection:
        yield connection


def depth(value):
    """Levels of nesting."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if parts is None else 1 + max(map(depth, parts), default=0)


def number(text):
    """A number, exactly; decimal has no zeros with large exponents, nor had they a meaning."""
    mantissa = text.lower().partition("e")[0]
    return decimal.Decimal(text if mantissa.strip("-0.") else 0)


def read(text):
    return json.loads(text, parse_int=number, parse_float=number)


def stored(value):
    """What a value becomes: U+FFFD for U+0000 and lone surrogates, in keys, too."""
    if isinstance(value, dict):
        return {stored(key): stored(one) for key, one in value.items()}
    if isinstance(value, list):
        return [stored(one) for one in value]
    return re.sub("[\0\ud800-\udfff]", "\ufffd", value) if isinstance(value, str) else value


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_body(shared, database, row):
    """An object is refused as an event, for what it lacks; anything else as a body. Either is kept byte by byte."""
    answer = shared.deliver(row.text)
    assert (answer.status, answer.json["error"]) == (400, "Invalid request body")
    assert answer.json["detail"].startswith("event_type: missing" if row in OBJECTS else "body: ")
    query = "SELECT reason, detail FROM bagelpay.dead_letters WHERE body = %s AND sha256 = sha256(body)"
    assert database.execute(query, (row.text,)).fetchall() == [("invalid", answer.json["detail"])]


@pytest.mark.parametrize("row", OBJECTS, ids=[row.name for row in OBJECTS])
def test_metadata(shared, database, row):
    """An object that stands in an event is stored with all it means; two levels deeper, it may be too deep."""
    value = read(row.text)
    body = bodies.payment(metadata="@here@").replace(b'"@here@"', row.text)
    answer = shared.deliver(body)
    if depth(value) + 2 > DEEPEST:
        assert (answer.status, answer.json["detail"].partition(" at byte")[0]) == (400, "body: nested deeper than 64 levels")
        return
    assert (answer.status, answer.json["outcome"]) == (200, "applied")
    query = "SELECT metadata::text, warnings FROM bagelpay.events WHERE event_id = %s"
    metadata, warnings = database.execute(query, (bodies.event_id(body),)).fetchone()
    assert read(metadata) == stored(value)
    assert [warning for warning in warnings if warning.startswith("body: ")] == [
        f"body: {REPLACED[verdict]}, stored as U+FFFD" for verdict in row.verdicts if verdict in REPLACED]
