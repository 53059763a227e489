"""The tables of hostile requests against nginx and the responder: each is answered as it has to be, leaves what it has to
leave and nothing else, and the same process serves an honest request afterwards."""

import base64
import contextlib
import hashlib
import hmac
import json
import pathlib
import re
import secrets
import socket
import struct
import time

import pytest

import bodies
import fastcgi
import harness
from conftest import end
from hostile import events, headers, records, wire

INVALID = "Invalid request body"
TABLES = ("events", "event_bodies", "orders", "items", "payments", "subscriptions", "trials", "cancellations", "refunds",
          "dead_letters")
COUNT = "SELECT " + ", ".join(f"(SELECT count(*) FROM bagelpay.{table})" for table in TABLES)
NOTHING = dict.fromkeys(TABLES, 0)
# What an honest event leaves.
HONEST = {**NOTHING, "events": 1, "event_bodies": 1, "orders": 1, "items": 1, "payments": 1}
# The bodies of the answers that do not depend on the request.
ANSWERS = {401: b'{"error":"Invalid signature"}\n', 405: b'{"error":"Method not allowed"}\n',
           411: b'{"error":"Length required"}\n',
           413: b'{"error":"Request body too large"}\n'}
HEADERS = {"server", "date", "content-type", "content-length", "transfer-encoding", "connection", "allow", "retry-after"}


def started(pid):
    """When a process started, in the kernel's ticks: with its id, its identity."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]


class Target:
    """A stack, and what to watch about it."""

    def __init__(self, stack):
        self.stack = stack
        self.identity = stack.responder.pid, started(stack.responder.pid)
        self.database = stack.connect()

    def counts(self):
        return dict(zip(TABLES, self.database.execute(COUNT).fetchone()))

    @contextlib.contextmanager
    def leaves(self, expected):
        """Checks what the block leaves in the database, and that an honest request is served behind it, by the same process."""
        before = self.counts()
        yield
        after = self.counts()
        assert {table: after[table] - before[table] for table in TABLES} == expected
        answer = self.stack.deliver(bodies.payment())
        assert (answer.status, answer.json["outcome"]) == (200, "applied")
        assert self.stack.responder.running and (self.stack.responder.pid, started(self.stack.responder.pid)) == self.identity


@pytest.fixture(scope="module")
def target(cluster):
    """One stack for all rows; it has to outlive them."""
    with harness.Stack(cluster, "--max-age", 300) as stack:
        one = Target(stack)
        with contextlib.closing(one.database):
            yield one
        assert stack.responder.log.count("listening") == 1
        end(stack.responder)


def named(rows):
    """The argument of parametrize: each row under its name, in ASCII and not too long for a report."""
    return [pytest.param(row, id=row.name.encode("ascii", "backslashreplace").decode()[:80]) for row in rows]


def filled(text, values):
    """Bytes with each @NAME@ replaced by its value."""
    for name, value in values.items():
        text = text.replace(b"@" + name + b"@", value)
    return text


def assert_plain(answer):
    """Nothing of the request has become a header, and each status has its own body."""
    assert {name.lower() for name in answer.headers.keys()} <= HEADERS
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.status not in ANSWERS or answer.body == ANSWERS[answer.status]
    assert ("Allow" in answer.headers) == (answer.status == 405)


# --- signed bodies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", named(events.ROWS))
def test_event(target, row):
    """A signed body is a dead letter with a 400, or an event with a 200, and costs no more than the field it spoils."""
    body = filled(row.body, {b"ID": secrets.token_hex(8).encode()})
    if row.path is not None:
        with target.leaves({**NOTHING, "dead_letters": 1}):
            answer = target.stack.deliver(body)
        assert_plain(answer)
        assert (answer.status, list(answer.json), answer.json["error"]) == (400, ["error", "detail"], INVALID)
        assert answer.json["detail"].startswith(f"{row.path}: ") and len(answer.json["detail"]) < 100
        assert target.database.execute("SELECT body = %s, reason, detail FROM bagelpay.dead_letters ORDER BY id DESC LIMIT 1",
                                       (body,)).fetchone() == (
            True, "invalid", answer.json["detail"])
        return
    is_subscription = b'"subscription": {' in body
    left = HONEST if row.outcome == "applied" else {**NOTHING, "events": 1, "event_bodies": 1}
    with target.leaves({**left, "subscriptions": int(is_subscription and row.outcome == "applied")}):
        answer = target.stack.deliver(body)
    assert_plain(answer)
    assert (answer.status, answer.json["message"], answer.json["outcome"]) == (200, "Success", row.outcome)
    check_event(target, row, body, answer.json["event_id"])


def check_event(target, row, body, event_id):
    """The event has what its row says, in the database's own words."""
    named = event_id if re.fullmatch("sha256:[0-9a-f]{64}", event_id) else "a digest of the content"
    expected = {name: named if value == "@SHA256@" else value for name, value in row.columns.items()}
    assert event_id == expected.get("event_id", event_id if event_id == named else json.loads(body)["event_id"])
    names = list(expected) or ["event_id"]
    *values, warnings, stored = target.database.execute(
        f"SELECT {', '.join(f'e.{name}::text' for name in names)}, e.warnings, b.body FROM bagelpay.events AS e"
        " JOIN bagelpay.event_bodies AS b USING (event_id) WHERE e.event_id = %s", (event_id,)).fetchone()
    assert stored == body
    assert {name: expected.get(name, event_id) for name in names} == dict(zip(names, values))
    assert {warning.partition(": ")[0] for warning in warnings} == set(row.warnings)


# --- headers -------------------------------------------------------------------------------------------------


def digest(key, content, algorithm=hashlib.sha256):
    return hmac.new(key, content, algorithm).hexdigest().encode()


def placeholders(target, body, timestamp=b"@NOW@"):
    """What a row may name, for a body and the row's own timestamp."""
    secret, now = target.stack.secret.encode(), int(time.time())
    times = {b"NOW": b"%d" % now, **{b"NOW%+d" % n: b"%d" % (now + n) for n in (1, 1000000, -200, -400, -31536000)}}
    stamp = filled(timestamp, times)
    signed = stamp + b"." + body
    right = digest(secret, signed)
    return {
        **times, b"BODY": body, b"LENGTH": b"%d" % len(body), b"SIZE": b"%x" % len(body), b"SIGNATURE": right,
        b"CHUNKS": b"".join(b"1\r\n%c\r\n" % byte for byte in body),
        b"UPPER": right.upper(), b"MIXED": right[:32].upper() + right[32:],
        b"BASE64": base64.b64encode(bytes.fromhex(right.decode())),
        b"OTHER_SECRET": digest(secret + b"x", signed), b"EMPTY_SECRET": digest(b"", signed),
        b"OTHER_BODY": digest(secret, signed + b" "),
        b"NEXT_SECOND": digest(secret, b"%d." % (now + 1) + body), b"UNKEYED": hashlib.sha256(signed).hexdigest().encode(),
        b"BODY_ONLY": digest(secret, body), b"NO_DOT": digest(secret, stamp + body),
        b"SWAPPED": digest(secret, body + b"." + stamp),
        b"SHA1": digest(secret, signed, hashlib.sha1), b"SHA512": digest(secret, signed, hashlib.sha512)}


def signed_pairs(target, row, body):
    """A row's headers as bytes."""
    timestamps = [value for name, value in row.headers if name.lower() == headers.TIMESTAMP]
    values = placeholders(target, body, (timestamps or ["@NOW@"])[0].encode())
    return [(name, filled(value.encode(), values)) for name, value in row.headers]


@pytest.mark.parametrize("row", named(row for row in headers.ROWS if row.web))
def test_headers_on_the_web(target, row):
    """Through nginx."""
    body = bodies.payment()
    lines = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in signed_pairs(target, row, body))
    head = wire.post().partition("Bagelpay-Signature")[0].encode()
    with target.leaves(HONEST if row.status == 200 else NOTHING):
        answer, = exchange(target, head + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert answer.status == row.status
    assert_plain(answer)


@pytest.mark.parametrize("row", named(headers.ROWS))
def test_headers_on_the_socket(target, row):
    """The same as parameters."""
    body = bodies.payment()
    pairs = [(b"HTTP_" + name.upper().replace("-", "_").encode(), value) for name, value in signed_pairs(target, row, body)]
    with target.leaves(HONEST if row.status == 200 else NOTHING):
        outcome = speak(target, records.plain(records.encode([records.METHOD, (b"CONTENT_LENGTH", b"%d" % len(body)), *pairs]),
                                              body))
    assert outcome == (records.CUT if any(b"\0" in value for _, value in pairs) else row.status)


# --- HTTP ----------------------------------------------------------------------------------------------------


def exchange(target, content, ends=False):
    """Sends bytes to nginx; returns the Answers until it closes. Where the bytes have an end, a page of nginx's is the
    last, too: behind some, nginx waits for five seconds before it closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", target.stack.nginx.port), timeout=harness.PATIENCE_S) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(content)
            if ends:
                client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while not (ends and received.endswith(b"</html>\r\n")) and (more := client.recv(65536)):
                received += more
    return list(answers_in(received))


def answers_in(received):
    """The Answers in what a server has sent; one to HTTP/0.9 is a page without a head."""
    while received:
        if not received.startswith(b"HTTP/"):
            yield harness.Answer(int(re.search(rb"<title>([0-9]{3}) ", received).group(1)), {}, received)
            return
        head, _, received = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        found = dict(line.split(": ", 1) for line in lines)
        code = int(re.fullmatch(r"HTTP/1\.1 ([0-9]{3}) [ -~]+", status).group(1))
        if "Content-Length" in found:
            length = int(found["Content-Length"])
            body, received = received[:length], received[length:]
        elif found.get("Transfer-Encoding") == "chunked":
            body = b""
            while True:
                size, _, received = received.partition(b"\r\n")
                body += received[:int(size, 16)]
                received = received[int(size, 16) + 2:]
                if int(size, 16) == 0:
                    break
        elif code == 100:
            body = b""
        else:
            body, received = received, b""
        yield harness.Answer(code, found, body)


def fits(answer, expected):
    """Whether an Answer is one of those that a row allows."""
    by, _, statuses = expected.rpartition("=")
    is_nginx = answer.headers.get("Content-Type") != "application/json"
    return (by == "nginx") == is_nginx and str(answer.status) in statuses.split("|")


@pytest.mark.parametrize("row", named(wire.ROWS))
def test_wire(target, row):
    """HTTP of every kind, and what is none."""
    body = bodies.payment()
    left = {table: count * row.events for table, count in HONEST.items()}
    with target.leaves(left):
        answers = exchange(target, filled(row.request.encode(), placeholders(target, body)), row.ends)
    assert len(answers) == len(row.answers) and all(map(fits, answers, row.answers)), (answers, row.answers)
    for answer in answers:
        assert {name.lower() for name in answer.headers} <= HEADERS
        if answer.headers.get("Content-Type") == "application/json":
            assert_plain(answer)


# --- FastCGI -------------------------------------------------------------------------------------------------


def speak(target, content, ends=False):
    """Sends bytes to the responder; returns CUT, a status, or the protocol status without one, until it closes."""
    received = b""
    with fastcgi.Peer(target.stack.responder.address) as peer:
        with contextlib.suppress(ConnectionError):
            peer.send(content)
            if ends:
                peer.socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while more := peer.socket.recv(65536):
                received += more
    return outcome_of(received, request_id=content[2:4])


def outcome_of(received, request_id):
    """What a connection's bytes say: one answer to one request, or none."""
    output, status = b"", None
    if received == b"":
        return records.CUT
    while received:
        version, kind, identity, length, padding = struct.unpack("!BB2sHBx", received[:8])
        content, received = received[8:8 + length], received[8 + length + padding:]
        assert (version, identity, status) == (1, request_id, None)
        if kind == fastcgi.END_REQUEST:
            assert content[:4] == b"\0" * 4
            status = content[4]
        else:
            assert kind == fastcgi.STDOUT
            output += content
    assert status is not None
    if output == b"":
        return f"protocol status {status}"
    head, _, body = output.partition(b"\r\n\r\n")
    found = dict(line.split(": ", 1) for line in head.decode("ascii").split("\r\n"))
    answer = harness.Answer(int(found.pop("Status").split()[0]), found, body)
    assert_plain(answer)
    return answer.status


@pytest.mark.parametrize("row", named(records.ROWS))
def test_records(target, row):
    """Parameters and records that no web server would send."""
    body = bodies.payment()
    values = placeholders(target, body)
    params = records.encode([(filled(name, values), filled(value, values)) for name, value in row.pairs], row.form)
    with target.leaves(HONEST if row.expected == 200 else NOTHING):
        outcome = speak(target, row.shape(params, body), row.ends)
    assert outcome == row.expected


# --- all of them ---------------------------------------------------------------------------------------------


def test_tables():
    """A row's name is its own, so that a report says which one it was."""
    tables = events.ROWS, headers.ROWS, wire.ROWS, records.ROWS
    for rows in tables:
        names = [row.name for row in rows]
        assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    assert sum(map(len, tables)) >= 150


def test_replay(target):
    """A request that is sent again, as it was, is a duplicate and changes nothing; its body may also be signed anew."""
    body, now = bodies.payment(), int(time.time())
    with target.leaves(HONEST):
        outcomes = [target.stack.deliver(body, at).json["outcome"] for at in (now, now, now, now + 1)]
    assert outcomes == ["applied"] + ["duplicate"] * 3


def test_taken_id(target):
    """Whoever takes the id of an event that is there changes nothing of it: another content is a dead letter."""
    body = bodies.payment(amount="10")
    with target.leaves({**HONEST, "dead_letters": 1}):
        assert target.stack.deliver(body).json["outcome"] == "applied"
        assert target.stack.deliver(bodies.changed(body, event_type="refund.created")).json["outcome"] == "duplicate"
    assert target.stack.query("SELECT event_type FROM bagelpay.events WHERE event_id = %s",
                              bodies.event_id(body)) == [("checkout.completed",)]
