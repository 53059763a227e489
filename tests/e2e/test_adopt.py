"""bagelhook adopt: customers of before, from a file of comma-separated values."""

import pytest

import bodies

from operating import run


HEADER = "user_id,email,product_id,paid_until,note\r\n"
CUSTOMERS = HEADER + """u1,Ann@example.com,club,2100-01-31,"moved, from ""old"" shop"\r
u1,ann@example.com,book,,\r
u2, bob@example.com ,club,2100-01-31T12:00:00+02:00,"two
lines"\r
"""


def adopt(stack, text, *arguments, user="postgres"):
    return run(stack.cluster, stack.db, "adopt", *arguments, "-", stdin=text.encode(), user=user)


def granted(stack, mode="live"):
    return stack.query("SELECT order_id, product_id, customer_email, user_id, reason, valid_until::text"
                       " FROM bagelpay.entitlements_at(now(), %s) ORDER BY order_id, product_id", mode)


@pytest.fixture
def app(stack):
    """A login of an application."""
    stack.query("DO $$ BEGIN CREATE ROLE shop_app LOGIN IN ROLE bagelpay_app; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    return "shop_app"


def test_adopt(stack, app, tmp_path):
    """Customers of before have what they had; the same file changes nothing, another end replaces the one before."""
    assert adopt(stack, CUSTOMERS, "--dry-run", user=app) == (
        0, ["3 lines: 3 granted, 0 changed, 0 unchanged, 0 wrong; nothing was changed, as told"], [])
    assert stack.query("SELECT count(*) FROM bagelpay.events") == [(0,)]
    path = tmp_path / "customers.csv"
    path.write_bytes(b"\xef\xbb\xbf" + CUSTOMERS.encode())
    assert run(stack.cluster, stack.db, "adopt", path, user=app) == (
        0, ["3 lines: 3 granted, 0 changed, 0 unchanged, 0 wrong"], [])
    rows = [("adopted:u1", "book", "ann@example.com", "u1", "granted", None),
            ("adopted:u1", "club", "ann@example.com", "u1", "granted", "2100-02-01 00:00:00+00"),
            ("adopted:u2", "club", "bob@example.com", "u2", "granted", "2100-01-31 10:00:00+00")]
    assert granted(stack) == rows
    assert stack.query("SELECT note FROM bagelpay.events WHERE note IS NOT NULL ORDER BY note") == [
        ('moved, from "old" shop',), ("two\nlines",)]
    assert stack.query("SELECT bagelpay.is_user_entitled('u1', 'club'), bagelpay.is_entitled('ANN@example.com', 'book')") == [
        (True, True)]
    assert adopt(stack, CUSTOMERS, user=app)[1] == ["3 lines: 0 granted, 0 changed, 3 unchanged, 0 wrong"]
    assert adopt(stack, CUSTOMERS.replace("2100-01-31,", "2100-02-28,"), user=app)[1] == [
        "3 lines: 0 granted, 1 changed, 2 unchanged, 0 wrong"]
    assert granted(stack)[1][5] == "2100-03-01 00:00:00+00"
    assert stack.query("SELECT count(*) FROM bagelpay.events") == [(4,)]
    assert granted(stack, "test") == []
    assert adopt(stack, CUSTOMERS, "--mode", "test", user=app)[1] == ["3 lines: 3 granted, 0 changed, 0 unchanged, 0 wrong"]
    assert len(granted(stack, "test")) == 3


def test_adopt_by_order(stack):
    """The order is the shop's own, if the file names it, so that later events of it are about the same item."""
    assert adopt(stack, "order_id,email,product_id,paid_until\norder_1,buyer@example.com,prod_1,2100-01-01")[0] == 0
    assert stack.deliver(bodies.payment("order_1", mode="live")).status == 200
    assert [row[:2] + row[4:5] for row in granted(stack)] == [("order_1", "prod_1", "granted")]


WRONG = HEADER + """u1,ann@example.com,club,2100-01-31,
u2,bob,club,,
u3,cy@example.com,,,
,dan@example.com,club,,
u5,eve@example.com,club,31.01.2026,
u6,fay@example.com,club
u7,gus@example.com,club,,"no" end
u1,ANN@example.com,club,,
""" + "u" * 248 + ",hal@example.com,club,,\n"
COMPLAINTS = [
    '-:3: email: "bob": not an e-mail address', "-:4: product_id: missing",
    "-:5: order_id, user_id: one of them is needed",
    '-:6: paid_until: "31.01.2026": must be a day such as 2026-01-31, whose end is meant, or a moment such as'
    " 2026-01-31T08:00:00Z, or empty for no end",
    "-:7: fewer fields than the header", "-:8: text behind a closing quote",
    "-:10: user_id: too long: give an order_id, too", "-:9: the same order, user, e-mail and product as line 2"]


def test_adopt_wrong_lines(stack):
    """All that is wrong is told by line, column and value, and nothing is changed; --keep-going leaves it out."""
    assert adopt(stack, WRONG) == (1, ["9 lines: 8 wrong; nothing was changed"], COMPLAINTS)
    assert granted(stack) == []
    assert adopt(stack, WRONG, "--keep-going") == (
        1, ["9 lines: 1 granted, 0 changed, 0 unchanged, 8 wrong"], COMPLAINTS)
    assert [row[0] for row in granted(stack)] == ["adopted:u1"]


@pytest.mark.parametrize("text, complaint", [
    ("", "-:1: header: missing: the file is empty"),
    ("user_id,mail", '-:1: header: "mail": must be one of order_id, user_id, email, product_id, paid_until, note'),
    ("email,email", '-:1: header: "email": twice'),
    ("email,product_id,paid_until", "-:1: header: needs a column order_id or user_id"),
    ("user_id,product_id,paid_until", "-:1: header: needs a column email"),
    ("user_id,email,paid_until", "-:1: header: needs a column product_id"),
    ("user_id,email,product_id", "-:1: header: needs a column paid_until, which is empty for what has no end"),
    ('"user_id,email', "-:1: header: a quote is not closed"),
    ('u"ser_id,email', '-:1: header: a quote inside a field that does not begin with one: "say ""hi""" is right')])
def test_adopt_a_wrong_header(stack, text, complaint):
    assert adopt(stack, text, "--keep-going") == (1, [], [complaint])


@pytest.mark.parametrize("line, complaint", [
    (b'u\0,a@example.com,p,,', "-:2: a NUL byte"), (b"u,\xff@example.com,p,,", '-:2: email: "\\xff@example.com": the text is not UTF-8'),
    (b"u,a@example.com,p,,,", "-:2: more fields than the header"), (b'u,a@example.com,p,,"', "-:2: a quote is not closed"),
    (b"u,a b@example.com,p,,", '-:2: email: "a b@example.com": not an e-mail address'),
    (b"u,a@example.com," + b"p" * 256 + b",,", f'-:2: product_id: "{"p" * 200}": too long')])
def test_adopt_a_wrong_line(stack, line, complaint):
    done = run(stack.cluster, stack.db, "adopt", "-", stdin=HEADER.encode() + line)
    assert done == (1, ["1 lines: 1 wrong; nothing was changed"], [complaint])


def test_adopt_many(stack):
    """Thousands in one transaction, for which the server's lock table would be too small."""
    text = HEADER + "".join(f"u{number},u{number}@example.com,club,,\n" for number in range(8000))
    assert adopt(stack, text) == (0, ["8000 lines: 8000 granted, 0 changed, 0 unchanged, 0 wrong"], [])
    assert stack.query("SELECT count(DISTINCT stored_xid) FROM bagelpay.events") == [(1,)]
    assert adopt(stack, text.replace(",,", ",2100-01-01,"), "--keep-going")[0] == 0
    assert stack.query("SELECT count(DISTINCT stored_xid) FROM bagelpay.events") == [(17,)]


def test_adopt_without_rights(stack):
    status, lines, complaints = adopt(stack, CUSTOMERS, user="bagelhook")
    assert (status, lines) == (1, [])
    assert complaints == ["bagelhook adopt: permission denied for function adopt: connect as a role that has bagelpay_app or"
                          " bagelpay_owner"]


@pytest.mark.parametrize("arguments", [(), ("a", "b")])
def test_adopt_wrong_usage(cluster, arguments):
    assert run(cluster, "postgres", "adopt", *arguments) == (
        2, [], ["bagelhook: adopt: give one file, or - for standard input"])


def test_adopt_of_no_file(stack, tmp_path):
    assert run(stack.cluster, stack.db, "adopt", tmp_path / "none.csv") == (
        1, [], [f"{tmp_path / 'none.csv'}: No such file or directory"])
