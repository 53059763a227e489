"""bagelhook-verify against an API that changes while it is read, answers oddly, or does not answer; and with a key that is none."""

import itertools
import json
import os
import pathlib
import signal
import subprocess
import threading

import pytest

import harness
from bagelpay_api import DAY, KEY, Shop
from test_verify import authority, logins, place  # noqa: F401  pylint: disable=unused-import

OK = b'{"total": 0, "items": [], "code": 200, "msg": "success"}'


@pytest.fixture
def shop(place):  # noqa: F811
    """A small shop, of which everything is stored."""
    one = Shop().month(260, 60, seed=3)
    place.serve(one)
    place.load(one.events)
    return one


def first(place, *answers):
    """Lets the API give some answers first: statuses, bodies, headers."""
    listed, answers = place.api.list, iter(answers)
    place.api.answer = lambda *asked: next(answers, None) or listed(*asked)


def refused(place, *arguments):
    """Runs it where it cannot compare: exit status 1, one line, and the last good run stays. Returns the line."""
    before = place.query("SELECT * FROM bagelpay.verifications")
    status, out, complaints = place.run(*arguments)
    assert (status, out, complaints.count("\n")) == (1, "", 1)
    assert place.query("SELECT * FROM bagelpay.verifications") == before
    return complaints.removeprefix("bagelhook-verify: ").rstrip("\n")


def test_pages_shift(place, shop):
    """New items push others from page to page while it reads; the last page comes again and again."""
    items, listed = place.api.lists["transactions"], place.api.list

    def answer(name, page, size):
        if name == "transactions" and page > 1:
            items.insert(0, {**items[0], "transaction_id": f"txn_new{len(place.api.asked)}", "order_id": f"ORD_new{len(place.api.asked)}",
                             "created_at": str(shop.now)})
        number = min(page, -(-len(place.api.lists[name]) // size))
        return listed(name, number, size)

    place.api.answer = answer
    assert place.differences() == []


def test_items_vanish(place, shop):
    """An item that is removed while the list is read pulls others past the reader; they are found when it reads again."""
    items, listed = place.api.lists["transactions"], place.api.list
    removed = []

    def answer(name, page, size):
        found = listed(name, page, size)
        if name == "transactions" and page == 1 and not removed:
            removed.append(items.pop(0))
        return found

    place.api.answer = answer
    assert [one[0] for one in place.differences()] == []
    assert sum(path.startswith("/api/transactions") for path in place.api.asked) > 3


def test_total_is_wrong(place, shop):
    """A total that is not reached is listed; a missing or too small one is not believed."""
    place.api.answer = lambda name, page, size: (200, json.dumps({**json.loads(place.api.list(name, page, size)[1]), "total": 1}).encode(), {})
    assert place.differences() == []
    place.api.answer = lambda name, page, size: (200, json.dumps({**json.loads(place.api.list(name, page, size)[1]), "total": 300}).encode(), {})
    assert {one[0] for one in place.differences()} == {"unreadable"}
    place.api.answer = lambda name, page, size: (200, json.dumps({"items": json.loads(place.api.list(name, page, size)[1])["items"]}).encode(), {})
    assert place.differences() == []


def test_smaller_pages(place, shop):
    """A server with pages of its own size."""
    place.api.answer = lambda name, page, size: place.api.list(name, page, 10)
    assert place.differences() == []


@pytest.mark.long
def test_busy(place, shop):
    """Answers that pass are waited for: too many requests, errors of the server, also within an answer of 200, cut answers."""
    first(place, (429, b"{}", {"Retry-After": 1}), (500, b"<html>", {}), None, (200, b'{"code": 500, "msg": "busy"}', {}), (200, OK, {"Content-Length": 9999}))
    assert place.differences() == []


def test_busy_for_good(place, shop):
    place.api.answer = lambda *_: (503, b"", {"Retry-After": 1})
    assert refused(place) == f"{place.api.url} answers 503: try again later"
    assert len(place.api.asked) == 5
    place.api.answer = lambda *_: (429, b"", {"Retry-After": 100000})
    assert refused(place) == f"{place.api.url} answers 429: try again later"
    assert len(place.api.asked) == 6


REJECTED = "rejects the API key ({}): give the key of this mode, from BagelPay's dashboard; those of the test environment do not work in the live one"


@pytest.mark.parametrize("answer, complaint", [
    ((401, b"{}", {}), REJECTED.format(401)), ((403, b"{}", {}), REJECTED.format(403)),
    ((200, b'{"code": 401, "msg": "x"}', {}), REJECTED.format(401)),
    ((200, b'{"code": "403", "msg": "x"}', {}), REJECTED.format(403)),
    ((404, b"", {}), "answers 404: is it the address of BagelPay's API?"),
    ((302, b"", {"Location": "https://example.com/"}), "answers 302: is it the address of BagelPay's API?"),
    ((422, b"", {}), "answers 422: try again later"),
    ((200, b"<html>", {}), ": an answer cannot be read: not JSON at byte 2: is it the address of BagelPay's API?"),
    ((200, b"", {}), ": an answer cannot be read: ends too early at byte 1: is it the address of BagelPay's API?"),
    ((200, b"[]", {}), ": an answer cannot be read: must be a JSON object: is it the address of BagelPay's API?"),
    ((200, b'{"items": {}}', {}), ": an answer holds no list: is it the address of BagelPay's API?"),
    ((200, b'{"items": [' + b"[" * 100, {}), ": an answer cannot be read: nested deeper than 64 levels at byte 74: is it the address of BagelPay's API?"),
    ((200, b'{"items": ["' + b"x" * 9 * 1024 * 1024 + b'"]}', {}), ": an answer is longer than 8388608 bytes, or there is no memory for it")],
    ids=itertools.count())
def test_of_no_use(place, answer, complaint):
    place.api.answer = lambda *_: answer
    said = refused(place)
    assert said.removeprefix(place.api.url).lstrip() == complaint.lstrip()


def test_unreachable(place):
    place.api.close()
    assert refused(place).startswith(f"cannot reach {place.api.url}: ")


def test_untrusted(place):
    """Another server than the authority vouches for gets no key."""
    other = harness.Authority("another")
    assert refused(place, "--ca-file", other.certificate).startswith(f"cannot reach {place.api.url}: ")
    other.close()
    assert place.api.keys == []


@pytest.mark.parametrize("url, complaint", [
    ("http://live.bagelpay.io", "must begin with https://, or the API key could be read on the way"),
    ("file:///etc/passwd", "must begin with https://, or the API key could be read on the way"), ("%", "is no URL such as https://live.bagelpay.io")])
def test_urls(place, url, complaint):
    assert refused(place, "--url", url) == f"{url} {complaint}"


@pytest.mark.parametrize("content, complaint", [
    ("", "holds no key: write BagelPay's API key into it"), ("# no key\n\n", "holds no key: write BagelPay's API key into it"),
    ("API_KEY=abcdefgh\n", "has NAME=value: write the key alone into it"),
    ('"abcdefgh"\n', "has quotes, white space or other characters that no key has: write the key alone into it"),
    ("ab cd\n", "has quotes, white space or other characters that no key has: write the key alone into it"),
    ("x" * 2000, "is too long: is it the right file?")])
def test_key_files(place, content, complaint):
    place.key_file.write_text(content)
    assert refused(place) == f"the key file {place.key_file} {complaint}"


def test_key_file(place, shop):
    """Comments, a byte order mark and white space around the key are no part of it; a credential does for a file."""
    place.key_file.write_text(f"\ufeff# live\r\n\n  {KEY} \r\nother\n")
    assert place.differences() == []
    os.rename(place.key_file, place.directory / "api-key")
    done = subprocess.run([harness.BUILD / "bagelhook-verify", "--url", place.api.url, "--ca-file", place.authority.certificate, "--database",
                           place.cluster.dsn("shop_verify", place.db)], capture_output=True, text=True, check=False,
                          env=harness.clean_environment(CREDENTIALS_DIRECTORY=place.directory))
    assert (done.returncode, done.stderr) == (0, "")
    assert set(place.api.keys) == {KEY}
    assert refused(place).startswith(f"cannot read the key file {place.key_file}: No such file")


def test_wrong_key(place):
    """The API's own words, which may have the key in them, are nobody's to read."""
    place.api.key = "another"
    assert refused(place) == f"{place.api.url} {REJECTED.format(401)}"


def test_another_account(place, shop):
    """Lists of another account, or none, are no reason to call a whole shop's payments wrong."""
    place.api.lists["transactions"] = [{**one, "order_id": "X" + one["order_id"], "transaction_id": "X" + one["transaction_id"]}
                                       for one in place.api.lists["transactions"]]
    assert refused(place).startswith("BagelPay lists none of the 260 payments that are here: give the API key of their account")
    place.api.lists["transactions"] = []
    assert refused(place).startswith("BagelPay lists none of the 260 payments")


def test_modes(place, shop):
    """Lists of the other mode are refused; a single item of it is listed, and not compared."""
    shop.transactions[0]["mode"] = "test"
    place.serve(shop)
    found = place.differences()
    assert [(one[0], one[2], one[3]) for one in found] == [("unreadable", "1 transactions", "mode: is another than the one asked for")]
    for one in [*shop.transactions, *shop.subscriptions.values()]:
        one["mode"] = "test"
    place.serve(shop)
    assert refused(place) == ("all that BagelPay lists is of another mode than live: give the API key of the live environment, or the other --mode")
    status, document = place.report("--mode", "test")
    assert (status, document["kinds"]["missing_payment"]) == (3, 260)
    # The last good run of the other mode stays.
    assert place.query("SELECT mode, count(*) FROM bagelpay.attention WHERE kind = 'drift' GROUP BY mode ORDER BY mode") == [("live", 1), ("test", 260)]


def test_shapes(place):
    """Numbers as text, names in camelCase, members that are missing, null, new, or of other types: read, or listed, and never guessed."""
    shop = Shop()  # noqa: F811
    for number in range(8):
        shop.sell(f"c{number}", shop.now - number * DAY - DAY, 397.1632 if number == 0 else 10)
    shop.renew("club", shop.now - 5 * DAY)
    place.load(shop.events)
    changes = [{"amount": "397.1632", "amount_paid": "3.971632e2", "refunded_amount": "0.00"}, {"currency": "usd", "order_id": None, "orderId": "ORD_2"},
               {"customer": None, "customerId": "c2", "new": {"deep": [1]}}, {"amount_paid": None, "refunded_amount": None, "type": None, "updated_at": None},
               {"created_at": "yesterday"}, {"amount": {"value": 10}}, {"order_id": ["ORD_7"]}, {"mode": 3, "created_at": str(shop.now - 8 * DAY).replace(" ", "T") + "Z"}]
    for one, change in zip(shop.transactions, changes):
        one.update(change)
    shop.subscriptions["sub_club"].update(units="1", next_billing_amount=10, status="ACTIVE")
    place.serve(shop)
    assert sorted((one[0], one[2], one[3]) for one in place.differences() if one[0] != "unlisted_payment") == [
        ("unreadable", "1 subscriptions", "status: none of trialing, active, paused, canceled"),
        ("unreadable", "1 transactions", "amount: not a number"), ("unreadable", "1 transactions", "created_at: not a time"),
        ("unreadable", "1 transactions", "order_id: not a text")]
    assert [one[1] for one in place.differences() if one[0] == "unlisted_payment"] == ["ORD_7"]
    place.api.lists["transactions"] = [None, 3, "x", [], {}]
    place.api.lists["subscriptions"] = [None]
    assert {one[3] for one in place.differences() if one[0] == "unreadable"} == {
        "item: not an object", "order_id: missing; amount: missing; currency: missing; refunded_amount: missing; created_at: missing; customer: missing"}


def test_no_core(place):
    """While it waits for an answer, nobody of its user can look into it, and a crash leaves nothing behind."""
    released = threading.Event()
    place.api.answer = lambda *_: released.wait(30) and (200, OK, {}) or (200, OK, {})
    log = place.directory / "log"
    process = harness.Process([harness.BUILD / "bagelhook-verify", "--url", place.api.url, "--ca-file", place.authority.certificate, "--key-file",
                               place.key_file, "--database", place.cluster.dsn("shop_verify", place.db)], log, cwd=place.directory,
                              env=harness.clean_environment())
    harness.wait_until(lambda: place.api.asked, "a request", process=process, log=log)
    owner = pathlib.Path(f"/proc/{process.pid}/mem").stat().st_uid
    command = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
    environment = pathlib.Path(f"/proc/{process.pid}/environ").read_bytes() if os.geteuid() == 0 else b""
    status = process.end(signal.SIGSEGV)
    # A process that may be looked into belongs to its user, in /proc; this one to root.
    assert owner == 0 and KEY.encode() not in command + environment
    released.set()
    assert status == -signal.SIGSEGV or harness.is_sanitized()
    assert [path.name for path in place.directory.glob("core*")] == []
    assert KEY not in log.read_text()


def test_no_database(place, shop):
    place.cluster.drop_database(place.db)
    status, out, complaints = place.run()
    assert (status, out, complaints.count("\n")) == (1, "", 1)
    assert place.api.asked == []


@pytest.mark.parametrize("arguments, complaint", [
    (["--mode", "prod"], '--mode: must be one of live|test, not "prod"'), (["x"], "x: takes no arguments besides options"),
    (["whsec_1234"], "a word that looks like a secret: takes no arguments besides options"),
    (["--since", "soon"], "--since: must be a day such as 2026-01-31"), (["--since", "2999-01-01"], "--since: must be in the past"), (["--ca-file", "/nowhere"], "--ca-file: cannot be read"),
    (["--sinse", "2026-01-01"], "unknown option --sinse; did you mean --since?"), (["--key", "abc"], "unknown option --key")])
def test_wrong_usage(place, arguments, complaint):
    status, out, complaints = place.run(*arguments)
    assert (status, out) == (2, "")
    assert complaints.startswith(f"bagelhook-verify: {complaint}") and complaints.endswith("\nTry bagelhook-verify --help.\n")
