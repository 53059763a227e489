"""strictjson gives the verdicts of tests/conformance/json.txt, as the responder's parser has to."""

import pytest

from .jsontable import rows
from .strictjson import Invalid, loads

ROWS = rows()
# By how the reason begins.
VERDICTS = (("invalid UTF-8", "utf8"), ("duplicate", "duplicate"), ("nested", "depth"),
            ("a number of more", "digits"), ("a number beyond", "range"), ("not JSON", "syntax"),
            ("something follows", "syntax"))
# Rows that are read since contract 3, with U+FFFD in place of what PostgreSQL's text cannot hold.
REPLACED = ("nul", "surrogate")


def verdict(text):
    """The verdicts that a text may have in the table."""
    warnings = []
    try:
        value = loads(text, warnings)
    except Invalid as error:
        return {next(verdict for why, verdict in VERDICTS if error.why.startswith(why))}
    if not isinstance(value, dict):
        return {"object"}
    return {"ok", "replaced", *REPLACED} if warnings else {"ok"}


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_row(row):
    assert verdict(row.text) & set(row.verdicts)


def test_table():
    """Every kind of verdict is there, and no name twice."""
    there = {one for row in ROWS for one in row.verdicts}
    assert {"ok", "object", *(kind for _, kind in VERDICTS)} <= there
    assert len({row.name for row in ROWS}) == len(ROWS) >= 350


@pytest.mark.parametrize("text, expected", [
    (b'"\\u0000"', "\ufffd"), (b'"a\\u0000b"', "a\ufffdb"), (b'"\\ud800"', "\ufffd"),
    (b'"\\udc00\\ud800"', "\ufffd\ufffd"), (b'"\\ud800\\ud83d\\ude00"', "\ufffd\U0001f600"),
    (b'"\\ud83dx"', "\ufffdx"), (b'"\\ud83d\\n"', "\ufffd\n"), (b'"\\ud83d\\u0041"', "\ufffdA"),
])
def test_replaced(text, expected):
    warnings = []
    assert loads(b'{"a":[' + text + b"]}", warnings) == {"a": [expected]}
    assert {one.partition(": ")[0] for one in warnings} == {"a[0]"}


def test_replaced_keys_are_no_duplicates():
    assert list(loads(b'{"\\u0000":1,"\\ud800":2}')) == ["\ufffd"]
    with pytest.raises(Invalid):
        loads(b'{"\\u0000":1,"\\u0000":2}')
