"""What is logged and answered when everything goes wrong: nothing of a secret, nothing of what came from outside.

One responder goes through all kinds of trouble, with the mark in everything that it is handed. Afterwards nothing that
it wrote has the mark in it, and every line is a record of printable ASCII.
"""

import contextlib
import json
import re
import signal
import subprocess
import time

import pytest

import bodies
import fastcgi
import harness
import waiting

MARK = "zqmark"
SECRET = f"whsec_{MARK}_of_the_secret"
# Ends lines, moves cursors, ends lines elsewhere, turns text around, is no text at all.
RAW = b"\x1b[31m\x1b]0;\x07\r\n\t\x7f\x85\xe2\x80\xa8\xed\xa0\x80\xff"
WILD = "\x1b[31m\r\n\t\x7f\x85\u2028\u202e\U0001f950"

# key="value", or a bare one: all that a line may consist of.
VALUE = r'(?:"(?:[^"\\]|\\["\\]|\\x[0-9a-f]{2})*"|[^ "=\\]+)'
RECORD = re.compile(rf"time=[-0-9T:.]+Z level=(?:error|warn|info) msg={VALUE}(?: [a-z_]+={VALUE})*")


def marked(name, wild=True):
    """A text with the mark in it, and with what must not be written as it is."""
    return f"{MARK} {name}{WILD if wild else ''}"


def mark(value, name=""):
    """A body's content with the mark in every text that is free to choose, e-mail addresses still being such."""
    if isinstance(value, dict):
        return {key: mark(member, key) for key, member in value.items()}
    if isinstance(value, list):
        return [mark(member, name) for member in value]
    if name == "email":
        return f"{MARK}.buyer@{MARK}.example"
    kept = ("mode", "event_type", "billing_type", "currency", "status", "object", "recurring_interval")
    return value if not isinstance(value, str) or name in kept or name.endswith("_at") else marked(name, name != "id")


def with_marks(name, **members):
    """A documented body, marked, under an event id of its own."""
    content = mark(json.loads(bodies.documented(name)))
    content.update(event_id=bodies.unique("evt"), **members)
    return json.dumps(content).encode()


def payment(**members):
    """A payment with marks, whose request_id says what goes wrong with it in the database."""
    return bodies.payment(order=marked("order"), customer={"id": MARK, "email": f"{MARK}@example.com"},
                          product={"product_id": MARK, "name": marked("name"), "billing_type": "single_payment"},
                          **members)


def invalid():
    """Bodies that are no events, marked where their reason is."""
    event = payment()
    return [
        b"", b"{", MARK.encode(), f'{{"{MARK}": {MARK}}}'.encode(), RAW, event + MARK.encode(),
        f'{{"{MARK}": 1, "{MARK}": 2}}'.encode(), f'{{"{MARK}\\u0000": 1}}'.encode(),
        b'{"' + MARK.encode() + b'\xff": 1}', f'{{"{MARK}": "\\ud800"}}'.encode(), f'["{MARK}"]'.encode(),
        f'{{"{MARK}": 1e{MARK}}}'.encode(), f'{{"{MARK}": {"[" * 70}}}'.encode(),
        bodies.changed(event, event_type=MARK * 20), bodies.changed(event, event_type=[marked("type")]),
        bodies.changed(event, event_type=None), bodies.changed(event, object=marked("object")),
        bodies.changed(event, created_at=marked("time")), payment(mode=marked("mode")),
    ]


def valid():
    """Bodies that are events, marked in all that is theirs to say."""
    same = payment()
    return [*(with_marks(name) for name in bodies.NAMES),
            with_marks("checkout.completed", event_type=marked("type")),
            bodies.changed(payment(), event_type="\x1b[31m", event_id=marked("id")),
            same, bodies.changed(same, created_at="2026-01-01T00:00:00Z"),
            # What is wrong with these is a warning, in the database.
            payment(payment_id=[MARK], request_id={MARK: marked("deep")}, metadata=marked("metadata")),
            payment(metadata={"order_id": MARK * 100, marked("key"): marked("value")}, success_url=MARK * 100)]


# Raises what a body's request_id asks for, quoting all of the event.
TROUBLE = """
CREATE FUNCTION public.quote_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.request_id LIKE 'warn%' THEN
        RAISE WARNING 'about %', NEW;
    ELSIF NEW.request_id LIKE 'cast%' THEN
        PERFORM NEW.customer_email::integer;
    ELSIF NEW.request_id LIKE 'raise%' THEN
        RAISE EXCEPTION 'about %', NEW
            USING ERRCODE = right(NEW.request_id, 5), DETAIL = NEW::text, HINT = NEW::text;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER quote_event BEFORE INSERT ON bagelpay.events FOR EACH ROW EXECUTE FUNCTION public.quote_event();
CREATE FUNCTION public.quote_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.request_id = 'late' THEN
        RAISE WARNING 'about %', NEW;
    ELSIF NEW.request_id LIKE 'late %' THEN
        RAISE EXCEPTION 'about %', NEW USING ERRCODE = right(NEW.request_id, 5);
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER quote_late AFTER INSERT ON bagelpay.events DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION public.quote_late();
ALTER TABLE bagelpay.events ADD CONSTRAINT no_check CHECK (request_id <> 'check' OR request_id::integer > 0);
"""
SQLSTATES = ("22003", "23505", "54000", "0A000", "25006", "40001", "40P01", "42501", "53100", "57014", "58030", "P0001",
             "XX000", "08006")


class Trouble:
    """A responder and all that happens to it; what it wrote and answered, for the tests to look at."""

    def __init__(self, cluster, directory):
        self.cluster = cluster
        self.spool = directory / "spool"
        self.spool.mkdir(mode=0o700)
        self.answers = []
        self.signatures = []
        self.said = b""
        with harness.Stack(cluster, "--spool", self.spool, "--read-timeout", 1, "--commit-timeout", 2, "--max-body",
                           100_000, "--max-age", 3600, "--threads", 2, secret=SECRET) as self.stack:
            self.responder = self.stack.responder
            for step in (self.events, self.strangers, self.records, self.refusals, self.cut_off, self.outage,
                         self.corrupt_files, self.secrets, self.commands):
                step()
            assert self.responder.stop() == 0
            self.log = self.responder.log_path.read_bytes()

    def deliver(self, body, **changes):
        now = int(time.time())
        headers = {"Bagelpay-Signature": harness.sign(SECRET, body, now), "timestamp": str(now), **changes}
        self.signatures.append(headers["Bagelpay-Signature"])
        self.answers.append(harness.post(self.stack.url, body, headers))
        return self.answers[-1].status

    def events(self):
        assert {self.deliver(body) for body in valid()} == {200}
        assert {self.deliver(body) for body in invalid()} == {400}

    def strangers(self):
        body = payment()
        for name in ("Bagelpay-Signature", "timestamp"):
            assert self.deliver(body, **{name: f"{MARK}\t\x85\xff"}) == 401
        assert self.deliver(body, timestamp="1") == 401
        self.answers.append(harness.deliver(self.stack.url, SECRET, body, 1))
        self.answers.append(harness.post(f"{self.stack.url}?{MARK}=%1b%0d%0a", body, {"User-Agent": MARK}))
        self.answers.append(harness.post(self.stack.url, None, {"Cookie": MARK}, method="GET"))
        assert self.deliver(payment().ljust(100_001)) == 413
        assert [answer.status for answer in self.answers[-4:]] == [401, 401, 405, 413]

    def records(self):
        """What no web server would send: parameters of every byte but NUL, which is cut; records of none of ours."""
        body, now = payment(), int(time.time())
        params = fastcgi.encode(fastcgi.post_params(len(body), harness.sign(SECRET, body, now), now))
        wild = b"".join(bytes((len(name), len(name))) + name + name
                        for name in (MARK.encode() + bytes(range(at or 1, at + 32)) for at in range(0, 256, 32)))
        begin = fastcgi.record(fastcgi.BEGIN_REQUEST, b"\0\1\0\0\0\0\0\0")
        for pairs in (wild + params, fastcgi.encode({"REQUEST_METHOD": marked("method")}),
                      fastcgi.encode({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": marked("length")})):
            with fastcgi.Peer(self.responder.address) as peer:
                peer.send(begin, fastcgi.stream(fastcgi.PARAMS, pairs), fastcgi.record(fastcgi.PARAMS))
                peer.body(body)
                self.answers.append(peer.answer())
        assert [answer.status for answer in self.answers[-3:]] == [200, 405, 411]
        garbage = (MARK * 20).encode()
        for content in (garbage, begin + garbage, begin + fastcgi.record(fastcgi.PARAMS, b"\xff" * 8 + garbage),
                        fastcgi.record(9, garbage, 0) + garbage, begin + fastcgi.stream(fastcgi.STDIN, garbage) + RAW,
                        begin + fastcgi.stream(fastcgi.PARAMS, fastcgi.encode({f"{MARK}\0": f"{MARK}\0"}))
                        + fastcgi.record(fastcgi.PARAMS)):
            with fastcgi.Peer(self.responder.address) as peer, contextlib.suppress(fastcgi.Cut, ConnectionError):
                peer.send(content)
                peer.answer()

    def refusals(self):
        """What PostgreSQL says no to, in words that quote all of the event."""
        with self.stack.connect() as connection:
            connection.execute(TROUBLE)
        wanted = {f"raise {sqlstate}": 400 if sqlstate[:2] in ("22", "54") else 503 for sqlstate in SQLSTATES}
        wanted |= {"warn": 200, "cast": 400, "check": 400, "late": 503, "late 22003": 503, "late 53100": 503, "late 40001": 503}
        # What is answered 503 goes to the spool, from where it may be tried together with what comes after it.
        for request_id in sorted(wanted, key=wanted.get):
            assert self.deliver(payment(request_id=request_id)) == wanted[request_id], f"{request_id}\n{self.responder.log[-3000:]}"
        with self.stack.connect() as connection:
            connection.execute("DROP FUNCTION public.quote_event CASCADE")
            connection.execute("DROP FUNCTION public.quote_late CASCADE")

    def cut_off(self):
        """A server process that is ended while it has an event."""
        with waiting.holding(self.stack, "LOCK TABLE bagelpay.orders"):
            body, now = payment(), int(time.time())
            with fastcgi.Peer(self.responder.address) as peer:
                peer.begin(fastcgi.post_params(len(body), harness.sign(SECRET, body, now), now))
                peer.body(body)
                waiting.wait_blocked(self.stack)
                self.stack.query("SELECT pg_terminate_backend(pid) FROM unnest(%s::integer[]) AS pid",
                                 waiting.backends(self.stack))
                self.answers.append(peer.answer())

    def outage(self):
        self.cluster.stop()
        assert {self.deliver(body) for body in [*valid(), *invalid()]} == {503}
        assert any(self.spool.glob("new/*"))
        self.cluster.start()
        harness.wait_until(lambda: not any(self.spool.glob("new/*")), "the spool to drain")

    def corrupt_files(self):
        """A file in the spool that is none of its own, found at a start."""
        self.responder.stop()
        name = f"{time.time_ns():019}-100-0123456789abcdef"
        for place in ("new", "tmp"):
            (self.spool / place / name).write_bytes(payment() + RAW)
        self.responder.start()
        harness.wait_until(lambda: any(self.spool.glob("corrupt/*")), "the file to be put away")

    def secrets(self):
        """A file of secrets that cannot be used, and one that can."""
        self.responder.secret_path.write_text(SECRET * 100)
        self.responder.send_signal(signal.SIGHUP)
        harness.wait_until(lambda: "keeping the secrets" in self.responder.log, "the record")
        self.responder.write_secrets(SECRET, MARK)
        self.responder.send_signal(signal.SIGHUP)
        harness.wait_until(lambda: "read the secrets again" in self.responder.log, "the record")
        assert self.deliver(payment()) == 200

    def commands(self):
        """What an operator's commands print is looked at by people, and kept in logs, too."""
        path = self.spool.parent / "events"
        path.write_bytes(b"\n".join(body for body in [*invalid(), *valid(), payment(request_id="check")]
                                    if b"\n" not in body and b"\r" not in body))
        for arguments in (["redrive", "--all"], ["import", path], ["redrive", "--all"]):
            done = subprocess.run([harness.BUILD / "bagelhook", arguments[0], "--database",
                                   self.cluster.dsn("postgres", self.stack.db), *arguments[1:]], capture_output=True,
                                  check=False, env=harness.clean_environment(), stdin=subprocess.DEVNULL)
            assert done.returncode == 1
            assert b"left" in done.stdout
            self.said += done.stdout + done.stderr


@pytest.fixture(scope="module")
def trouble(tmp_path_factory):
    with harness.Cluster() as cluster:
        one = Trouble(cluster, tmp_path_factory.mktemp("trouble"))
    print(one.log.decode(errors="replace"))
    return one


@pytest.mark.parametrize("message", [
    "not accepted", "rejected: invalid signature", "the database refuses an event for good", "an event cannot be committed",
    "a commit failed", "outcome of a commit is unknown", "the database warns", "the database cannot be used",
    "connected to the database", "drained the spool", "is no whole spool file", "keeping the secrets as they were",
    "read the secrets again", "stopping"])
def test_trouble(trouble, message):
    """All of this has happened: without it the other tests would show little."""
    assert message.encode() in trouble.log


def test_no_mark(trouble):
    """No secret, no body, no e-mail address, no name, no header: not in the log, and not on an operator's terminal."""
    for line in (trouble.log + trouble.said).splitlines():
        assert not re.search(rb"zqmark|whsec|@|example", line, re.IGNORECASE), line
    assert trouble.signatures and not any(signature.encode() in trouble.log for signature in trouble.signatures)


def test_every_line_is_a_record(trouble):
    """Printable ASCII, each line in the form of a record."""
    assert trouble.log.endswith(b"\n")
    for line in trouble.log[:-1].split(b"\n"):
        assert re.fullmatch(rb"[ -~]+", line) and RECORD.fullmatch(line.decode()), line
    assert re.fullmatch(rb"[ -~\t\n]+", trouble.said)


def test_answers(trouble):
    """Of a body, an answer has the event's id alone, as JSON; to strangers it says nothing."""
    assert len(trouble.answers) > 90
    for answer in trouble.answers:
        if answer.status == 413 and b"<html>" in answer.body:
            continue
        assert re.fullmatch(rb"[^\x00-\x1f\x7f]+\n", answer.body), answer
        said = {**answer.json, "event_id": ""}
        assert MARK not in json.dumps(said) and MARK not in str(answer.headers), answer
        assert answer.status == 200 or "event_id" not in answer.json
        if answer.status == 401:
            assert answer.body == b'{"error":"Invalid signature"}\n'
