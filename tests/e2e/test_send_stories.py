"""bagelhook-send: lives made up, and how bodies are delivered."""

import decimal
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


def orders(stack, lines):
    """The orders that lines of made-up events name, each once, with customer and e-mail as they were stored."""
    ids = list(dict.fromkeys(line.split("\t")[4] for line in lines))
    return stack.query("SELECT order_id, customer_id, customer_email FROM bagelpay.orders WHERE order_id = ANY(%s)"
                       " ORDER BY array_position(%s, order_id)", ids, ids)


def test_customer_follows_from_the_email(shared):
    """Each run is about another order; the same e-mail is the same customer, whatever its case, and another one is not."""
    told = []
    for email in ("ada@example.com", None, "Ada@Example.com", "ada@example.org"):
        options = [] if email is None else ["--email", email]
        status, lines, _ = send("--story", "refund", *options, shared.url, secret=shared.responder.secret_path)
        assert status == 0
        told += orders(shared, lines)
    ids, customers, emails = zip(*told)
    assert len(set(ids)) == 4 and emails == ("ada@example.com",) * 3 + ("ada@example.org",)
    assert customers[0] == customers[1] == customers[2] != customers[3]


@pytest.mark.parametrize("what, events", [(["--story", "trial"], 2), (["--event", "checkout.completed"], 1)])
def test_count(shared, what, events):
    """So many lives, each with an order and a customer of its own."""
    status, lines, _ = send(*what, "--count", 10, shared.url, secret=shared.responder.secret_path)
    assert status == 0 and len(lines) == 10 * events
    ids, customers, emails = zip(*orders(shared, lines))
    assert len(set(ids)) == len(set(customers)) == len(set(emails)) == 10
    assert emails[:2] + emails[8:] == ("ada@example.com", "grace@example.com", "ada2@example.com", "grace2@example.com")


@pytest.mark.parametrize("options, expected", [
    (["--email", "ada@example.net"], (3, 1, 1)), (["--customer", "cus_count"], (3, 1, 1)), (["--order-id", "order_count"], (1, 1, 1))])
def test_count_with_something_in_common(shared, options, expected):
    """What the command line names is that of all."""
    status, lines, _ = send("--event", "checkout.completed", "--count", 3, *options, shared.url, secret=shared.responder.secret_path)
    assert status == 0
    assert tuple(len(set(values)) for values in zip(*orders(shared, lines))) == expected


@pytest.mark.parametrize("moment, end", [("2026-01-31T08:00:00.25Z", "2026-01-31 08:00:00.25Z"), ("2026-01-31", "2026-01-31 00:00Z"),
                                         ("2026-01-31T08:00:00+02:00", "2026-01-31 06:00Z")])
def test_at(shared, moment, end):
    """The last event was then, and the others before; it is signed now all the same."""
    status, lines, _ = send("--story", "refund", "--at", moment, shared.url, secret=shared.responder.secret_path)
    assert status == 0 and shared.query(
        "SELECT array_agg(%s::timestamptz - occurred_at ORDER BY occurred_at) = ARRAY['72h', '0h']::interval[],"
        " bool_and(abs(extract(epoch FROM now()) - signed_timestamp) < 60) FROM bagelpay.events WHERE order_id = %s",
        end, lines[0].split("\t")[4]) == [(True, True)]


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
    arguments = ["--event", "checkout.completed", "--order-id", "order_corrupt", "--corrupt"]
    assert send(*arguments, shared.url, secret=shared.responder.secret_path) == (
        0, ["checkout.completed\t401\tInvalid signature\t-\torder_corrupt"], [])
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
    (["--story", "trial", "--story", "refund", "u"], "--story"), (["--story", "trial", "--event", "refund.created", "u"], "--story"),
    (["--count", "2", "u", "f"], "--count"), (["--event", "refund.created", "--count", "0", "u"], "--count"), (["--at", "2026-01-31", "u", "f"], "--at"),
    (["--event", "refund.created", "--at", "soon", "u"], "--at"), (["--console", "http://c", "u", "f"], "--console"),
    (["--event", "refund.created", "--console", "c", "u"], "--console"), (["--units", "-1", "u", "f"], "--units"),
    (["--metadata", "plan", "u", "f"], "--metadata"), (["--metadata", "=gold", "u", "f"], "--metadata"),
    (["--metadata", "order_id=1", "u", "f"], "--order-id"), (["--metadata", "user_id=1", "u", "f"], "--user"), (["--product", "\udcff", "u", "f"], "--product"),
    (["--email"], "--email"), (["--shuffle=1", "u", "f"], "--shuffle")])
def test_usage(arguments, named):
    """2, what is wrong, and where there is help."""
    status, lines, complaints = send(*arguments, secret="s")
    assert (status, lines, len(complaints)) == (2, [], 2)
    assert named in complaints[0] and complaints[1] == "Try bagelhook-send --help."
