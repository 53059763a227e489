"""bagelhook-send's made-up events, and how it delivers them."""

import decimal
import json
import os
import pty
import re
import subprocess

import pytest

import bodies
import harness
from sending import run, send, web_server

DOCUMENTED = sorted(bodies.NAMES)


def items(stack, order_id):
    """Each item of an order as it is now, with the order's status."""
    return stack.query(
        "SELECT e.kind, e.status, e.entitled, e.reason, o.status"
        " FROM bagelpay.entitlements_at(now(), 'test') AS e JOIN bagelpay.orders AS o USING (mode, order_id)"
        " WHERE order_id = %s", order_id)


@pytest.mark.parametrize("story, expected", [
    ("trial", ("subscription", "active", True, "active", "paid")),
    ("renewals", ("subscription", "active", True, "active", "paid")),
    ("refund", ("one_time", "refunded", False, "refunded", "refunded")),
    ("dispute", ("one_time", "disputed", False, "disputed", "disputed")),
    ("failed-renewal", ("subscription", "canceled", False, "canceled", "paid")),
])
@pytest.mark.parametrize("shuffled", [False, True], ids=["in order", "shuffled and doubled"])
def test_story(shared, story, expected, shuffled):
    """Each story ends as its name says, in whatever order and however often its events come, without a warning."""
    order_id = bodies.unique("story")
    options = ["--shuffle", "--duplicate", "1"] if shuffled else []
    status, lines, _ = send("--story", story, "--order-id", order_id, *options, shared.url,
                            secret=shared.responder.secret_path)
    assert status == 0 and {line.split("\t")[2] for line in lines} <= {"applied", "duplicate"}
    assert items(shared, order_id) == [expected]
    assert shared.query("SELECT DISTINCT warnings FROM bagelpay.events WHERE order_id = %s", order_id) == [([],)]


def test_each_story_is_of_its_own(shared):
    """Without --order-id, each run is about another order and another customer."""
    before = shared.query("SELECT count(DISTINCT order_id), count(DISTINCT customer_id) FROM bagelpay.orders")[0]
    for _ in range(2):
        assert send("--story", "refund", shared.url, secret=shared.responder.secret_path)[0] == 0
    after = shared.query("SELECT count(DISTINCT order_id), count(DISTINCT customer_id) FROM bagelpay.orders")[0]
    assert (after[0] - before[0], after[1] - before[1]) == (2, 2)


@pytest.mark.parametrize("event_type", DOCUMENTED)
def test_event(shared, event_type):
    """Each documented event by its name, with what the command line says of it."""
    order_id = bodies.unique("made")
    status, lines, _ = send("--event", event_type, "--order-id", order_id, "--email", "Grace@Example.com",
                            "--amount", "397.1632", "--mode", "live", shared.url, secret=shared.responder.secret_path)
    assert status == 0 and lines[0].split("\t")[:3] == [event_type, "200", "applied"]
    told, = shared.query("SELECT event_type, mode, order_id, customer_email, amount FROM bagelpay.events"
                         " WHERE event_id = %s", lines[0].split("\t")[3])
    # What the provider leaves out of an event is left out here, too.
    email = None if event_type == "checkout.failed" else "grace@example.com"
    amount = {"subscription.trialing": 0, "subscription.canceled": None}.get(event_type, decimal.Decimal("397.1632"))
    assert told == (event_type, "live", order_id, email, amount)


def test_several_events_are_of_one_order(shared):
    """Given one after the other, they happened one after the other."""
    status, lines, _ = send("--event", "subscription.trialing", "--event", "subscription.paid", "--event",
                            "subscription.canceled", shared.url, secret=shared.responder.secret_path)
    ids = [line.split("\t")[3] for line in lines]
    assert status == 0 and shared.query(
        "SELECT count(DISTINCT order_id), array_agg(event_id ORDER BY occurred_at) FROM bagelpay.events"
        " WHERE event_id = ANY(%s)", ids) == [(1, ids)]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_changed_file(shared, name):
    """A file's body with another order and amount is another event; what is not named stays."""
    order_id = bodies.unique("changed")
    path = str(harness.SAMPLES / f"{name}.json")
    status, lines, _ = send("--order-id", order_id, "--amount", "0.000001", shared.url, path,
                            secret=shared.responder.secret_path)
    assert status == 0 and lines[0].split("\t")[:3] == [path, "200", "applied"]
    sent, = shared.query("SELECT body FROM bagelpay.event_bodies WHERE event_id = %s", lines[0].split("\t")[3])
    sent, original = json.loads(sent[0]), json.loads(bodies.documented(name))
    for body in (sent, original):
        body.pop("event_id", None)
        body.pop("id", None)
        for key in ("orderId", "order_id"):
            body["object"]["metadata"].pop(key, None)
        body["object"].get("order", {}).pop("amount", None)
    assert sent == original
    assert shared.query("SELECT DISTINCT amount FROM bagelpay.events WHERE order_id = %s", order_id) == [
        (decimal.Decimal("0.000001") if "order" in original["object"] else None,)]


def parsed(body):
    """A body with the digits of its numbers, and its members in order."""
    def number(digits):
        return ("number", digits)

    return json.loads(body, parse_int=number, parse_float=number, object_pairs_hook=lambda pairs: ("object", pairs))


def changed(stack, tmp_path, body, *options):
    """What a changed body was sent as, with its new event id put back, and what was said of it."""
    path = tmp_path / "changed.json"
    path.write_bytes(body)
    seen = []
    with web_server(b"", seen=seen) as url:
        status, _, complaints = send(*options, url, path, secret=stack.responder.secret_path)
    assert status == 0
    return (parsed(re.sub(rb'evt_[0-9a-f]{20}', b"evt_1", seen[0][1])), [line.split(": ", 2)[2] for line in complaints])


def test_changed_values(shared, tmp_path):
    """Only what is named changes: all other members, digits and characters of a file stay."""
    body = (b'\r\n{ "event_id":"evt_1" ,"n":[1e5, -0.00,18446744073709551616,{"order":"}"},"1","number:1"],\t"\\u006fbject":'
            b'{"metadata": {"a":"\\ud83d\\ude00\\u0000\\"{\\\\" , "order_id" :12345678901234567890},"order": '
            b'{"amount":12345678901234.567891,"tax":0.10},"customer":{"email":null}}}\n')
    expected = body.replace(b'12345678901234567890}', b'"\\u0001 \\"x"}').replace(b"null", b'"e@x"')
    assert changed(shared, tmp_path, body, "--order-id", '\x01 "x', "--email", "e@x") == (parsed(expected), [])
    expected = body.replace(b"12345678901234.567891", b"1.000000000000000000001").replace(
        b'"email":null}', b'"email":null}, "mode": "live"')
    assert changed(shared, tmp_path, body, "--amount", "1.000000000000000000001", "--mode", "live") == (parsed(expected), [])


@pytest.mark.parametrize("body, options, expected", [
    (b'{"id":"evt_1","object":{"metadata":{}}}', ["--order-id", "o"],
     b'{"id":"evt_1","object":{"metadata":{"order_id": "o"}}}'),
    (b'{"id":"evt_1","object":{ }}', ["--order-id", "o"], b'{"id":"evt_1","object":{"metadata": {"order_id": "o"} }}'),
    (b'{"object":{"metadata":null,"x":1}}', ["--order-id", "o"],
     b'{"object":{"metadata":{"order_id": "o"},"x":1}, "event_id": "evt_1"}'),
    (b'{"event_id":"evt_1","object":{"metadata":{"orderId":1,"order_id":2}}}', ["--order-id", "o"],
     b'{"event_id":"evt_1","object":{"metadata":{"orderId":"o","order_id":"o"}}}'),
    (b'{"event_id":"evt_1","mode":"a","object":{"mode":"b","product":{"mode":"c"},"order":{"mode":"d"}}}',
     ["--mode", "test"],
     b'{"event_id":"evt_1","mode":"test","object":{"mode":"test","product":{"mode":"test"},"order":{"mode":"test"}}}'),
], ids=["metadata", "no metadata", "null", "both names", "mode"])
def test_changed_places(shared, tmp_path, body, options, expected):
    """Order id and mode stand wherever they belong, whatever was there."""
    assert changed(shared, tmp_path, body, *options) == (parsed(expected), [])


def test_nothing_to_change(shared, tmp_path):
    """What the event has no place for is said, and so is what else stays."""
    body = b'{"event_id":"evt_1","object":{"subscription":{"billing_amount":1}}}'
    assert changed(shared, tmp_path, body, "--email", "a@b", "--amount", "2") == (parsed(body), [
        "--email: the event has no customer's e-mail; sent without",
        "--amount: the event has no order's amount; sent without"])
    body = b'{"event_id":"evt_1","object":{"order":{"amount":3,"refunded_amount":1}}}'
    assert changed(shared, tmp_path, body, "--amount", "2") == (parsed(body.replace(b"3", b"2")), [
        "--amount: object.order.refunded_amount stays as it is"])


@pytest.mark.parametrize("content, complaint", [(b"{", "expected"), (b"[]", "no event"), (b'{"object": 1}', "no event")])
def test_file_that_cannot_be_changed(shared, tmp_path, content, complaint):
    """1, the file and what is wrong with it; nothing is sent."""
    path = tmp_path / "body"
    path.write_bytes(content)
    status, lines, complaints = send("--mode", "live", shared.url, path, secret=shared.responder.secret_path)
    assert (status, lines, len(complaints)) == (1, [], 1)
    assert str(path) in complaints[0] and complaint in complaints[0]


def test_duplicate(shared):
    """One is applied, the others are known."""
    status, lines, _ = send("--event", "checkout.completed", "--duplicate", "3", shared.url,
                            secret=shared.responder.secret_path)
    assert (status, [line.split("\t")[2] for line in lines]) == (0, ["applied"] + ["duplicate"] * 3)


def test_shuffle(shared):
    """The seed that was printed gives the same order again."""
    arguments = ["--story", "renewals", "--duplicate", "5", "--shuffle", shared.url]
    status, lines, errors = run(*arguments, secret=shared.responder.secret_path)
    seed = errors[0].removeprefix("Shuffled; the same order again: --seed ")
    types = [line.split("\t")[0] for line in lines]
    assert status == 0 and sorted(types) != types != sorted(types, reverse=True)
    again = run("--seed", seed, *arguments, secret=shared.responder.secret_path)
    assert [line.split("\t")[0] for line in again[1]] == types


def test_corrupt(shared):
    """A body changed after signing is refused, which is what was asked for; a server that takes it is a failure."""
    arguments = ["--event", "checkout.completed", "--corrupt"]
    assert send(*arguments, shared.url, secret=shared.responder.secret_path) == (
        0, ["checkout.completed\t401\tInvalid signature\t-"], [])
    with web_server(b"") as url:
        assert send(*arguments, url, secret=shared.responder.secret_path)[0] == 1


def test_corrupt_without_a_body(shared, tmp_path):
    """What is empty has no bit to change, but is not sent as it was signed either."""
    path = tmp_path / "empty"
    path.touch()
    seen = []
    with web_server(b"", 401, seen=seen) as url:
        assert send("--corrupt", url, path, secret=shared.responder.secret_path)[0] == 0
    assert [len(body) for _, body in seen] == [1]


def test_retries(shared):
    """The same bytes again until they are taken, with the interval between (in whole milliseconds); others need not wait for that."""
    seen = []
    with web_server(b"", first=(503, 200, 500), seen=seen) as url:
        status, lines, _ = send("--event", "checkout.completed", "--event", "refund.created", "--retries",
                                "--retry-interval", "0.4", url, secret=shared.responder.secret_path)
    assert (status, [line.split("\t")[1] for line in lines]) == (0, ["503", "200", "500", "200"])
    assert seen[0][1] == seen[2][1] == seen[3][1] != seen[1][1]
    assert seen[2][0] - seen[0][0] >= 0.399 and seen[3][0] - seen[2][0] >= 0.399


def test_retries_end(shared):
    """Six times more, and then the event is lost, and said to be."""
    with web_server(b"", 503) as url:
        status, lines, _ = send("--event", "checkout.completed", "--retries", "--retry-interval", "0", url,
                                secret=shared.responder.secret_path)
    assert (status, len(lines)) == (1, 7)


def test_retries_until_it_listens(shared):
    """Where nothing listens yet, that is tried again, too."""
    port = harness.free_port()
    with subprocess.Popen([harness.BUILD / "bagelhook-send", "--secret-file", shared.responder.secret_path, "--event",
                           "checkout.completed", "--retries", "--retry-interval", "0.5", f"http://127.0.0.1:{port}/"],
                          stdout=subprocess.PIPE, text=True, env=harness.clean_environment()) as sender:
        assert sender.stdout.readline().split("\t")[1] == "-"
        with web_server(b"", port=port):
            assert sender.communicate(timeout=harness.PATIENCE_S)[0].splitlines()[-1].split("\t")[1] == "200"
    assert sender.returncode == 0


def test_rate(shared):
    """Not more a second than was asked for, and not much less."""
    seen = []
    with web_server(b"", seen=seen) as url:
        assert send("--event", "checkout.completed", "--duplicate", "20", "--rate", "25", url,
                    secret=shared.responder.secret_path)[0] == 0
    times = [moment for moment, _ in seen]
    assert 0.75 <= times[-1] - times[0] < 10


def test_rate_after_a_slow_answer(shared):
    """What a slow answer cost is not caught up."""
    seen = []
    with web_server(b"", seen=seen, slow=[0.6]) as url:
        assert send("--event", "checkout.completed", "--duplicate", "9", "--rate", "20", url,
                    secret=shared.responder.secret_path)[0] == 0
    times = [moment for moment, _ in seen]
    assert times[-1] - times[1] >= 0.3


def test_summary(shared):
    """How many of what, by status."""
    status, _, errors = run("--event", "checkout.completed", "--duplicate", "2", shared.url,
                            secret=shared.responder.secret_path)
    assert status == 0 and errors[0].startswith("3 of 3 deliveries in ")
    assert [line.split(maxsplit=1) for line in errors[1:]] == [["1", "200 applied"], ["2", "200 duplicate"]]


def frames_on_a_terminal(stack, *arguments):
    """The bar's frames, and what came after the last, on standard error as a terminal."""
    reader, terminal = pty.openpty()
    with open(reader, "rb", buffering=0) as shown:
        done = subprocess.run([harness.BUILD / "bagelhook-send", "--secret-file", stack.responder.secret_path, *arguments],
                              stdout=subprocess.DEVNULL, stderr=terminal, check=True,
                              timeout=harness.PATIENCE_S, env=harness.clean_environment())
        os.close(terminal)
        assert done.returncode == 0
        text = b""
        while True:
            try:
                text += shown.read(4096)
            except OSError:
                break
    return text.decode().split("\r\x1b[K")


def test_progress_on_a_terminal(shared):
    """A bar that ends full, and is gone when the summary comes."""
    frames = frames_on_a_terminal(shared, "--story", "renewals", shared.url)
    assert any("1 of 4" in frame for frame in frames) and any("#" * 30 + "] 4 of 4" in frame for frame in frames)
    assert frames[-1].startswith("4 of 4 deliveries in ")


def test_waiting_on_a_terminal(shared):
    """Even a single delivery that waits for its next try says until when."""
    with web_server(b"", first=(503,)) as url:
        frames = frames_on_a_terminal(shared, "--event", "checkout.completed", "--retries", "--retry-interval", "0.3", url)
    assert any(re.search(r"\] 0 of 1, 1 to be tried again, next at \d\d:\d\d:\d\d$", frame) for frame in frames)
    assert frames[-1].startswith("1 of 1 deliveries in ")


@pytest.mark.parametrize("arguments, named", [
    (["--story", "none", "u"], "--story"), (["--event", "none", "u"], "--event"), (["--amount", "1e3", "u", "f"], "--amount"),
    (["--amount", "01", "u", "f"], "--amount"), (["--amount", "-1", "u", "f"], "--amount"), (["--mode", "best", "u", "f"], "--mode"),
    (["--order-id", "\udcff", "u", "f"], "--order-id"), (["--duplicate", "0", "u", "f"], "--duplicate"),
    (["--rate", "0", "u", "f"], "--rate"), (["--rate", "nan", "u", "f"], "--rate"), (["--seed", "x", "u", "f"], "--seed"),
    (["--retry-interval", "-1", "u", "f"], "--retry-interval"), (["--corrupt", "--retries", "u", "f"], "--corrupt"),
    (["--email"], "--email"), (["--shuffle=1", "u", "f"], "--shuffle")])
def test_usage(arguments, named):
    """2, what is wrong, and where there is help."""
    status, lines, complaints = send(*arguments, secret="s")
    assert (status, lines, len(complaints)) == (2, [], 2)
    assert named in complaints[0] and complaints[1] == "Try bagelhook-send --help."
