"""strictjson gives the verdicts of tests/conformance/json.txt, as the responder's parser has to."""

import pytest

from .jsontable import rows
from .strictjson import Invalid, loads

ROWS = rows()
# By how the reason begins.
VERDICTS = (("invalid UTF-8", "utf8"), ("lone surrogate", "surrogate"), ("\\u0000", "nul"), ("duplicate", "duplicate"),
            ("nested", "depth"), ("a number of more", "digits"), ("a number beyond", "range"), ("not JSON", "syntax"),
            ("something follows", "syntax"))


def verdict(text):
    try:
        value = loads(text)
    except Invalid as error:
        return next(verdict for why, verdict in VERDICTS if error.why.startswith(why))
    return "ok" if isinstance(value, dict) else "object"


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_row(row):
    assert verdict(row.text) in row.verdicts


def test_table():
    """Every kind of verdict is there, and no name twice."""
    assert {one for row in ROWS for one in row.verdicts} == {"ok", "object", *(kind for _, kind in VERDICTS)}
    assert len({row.name for row in ROWS}) == len(ROWS) >= 350
