"""The console's answers: who gets them, what they may do in a browser, and what they say."""

import base64
import concurrent.futures
import contextlib
import gzip
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import bodies
import fastcgi
import harness
from console_stand import Stand

DATA = ("/api/overview", "/api/days", "/api/attention", "/api/deliveries", "/api/dead-letters", "/api/search?q=x", "/api/customer?kind=email&value=x",
        "/api/customer-attention?kind=email&value=x", "/api/spool")
PAGE = ("/", "/style.css", "/script.js", "/icon.svg")


# --- who, and how -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", PAGE + DATA)
def test_nothing_without_a_password(stand, path):
    assert stand.web.get(path, user=None).status == 401
    assert stand.web.get(path, password="wrong").status == 401


def test_not_on_the_public_server(stand):
    for path in PAGE + DATA:
        assert harness.post(f"http://127.0.0.1:{stand.web.port}{path}", b"", method="GET").status == 404


@pytest.mark.parametrize("path", PAGE + DATA)
def test_headers(stand, path):
    answer = stand.get(path)
    assert answer.status == 200
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy == {"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'",
                      "connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == ("no-store" if path.startswith("/api/") else "no-cache")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_get_and_head(stand, method):
    answer = stand.web.get("/api/overview", method=method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", "/api/overview", "/api/delivery?event=nix", "/nix"])
def test_head(stand, path):
    """What GET answers, without the body."""
    head, get = (fastcgi.request(stand.console.socket_path, {"REQUEST_METHOD": method, "REQUEST_URI": path})
                 for method in ("HEAD", "GET"))
    assert (head.status, list(head.headers.items()), head.body) == (get.status, list(get.headers.items()), b"")
    assert get.body != b"" and stand.web.get(path, method="HEAD").status == get.status


def test_no_search_in_a_log(stand, tmp_path):
    """Neither where the password is wrong nor where there is no console to ask."""
    with harness.ConsoleNginx(stand.responder.socket_path, tmp_path / "nobody") as web:
        assert web.get("/api/search", q="ann@example.com").status == 502
        assert web.get("/api/search", q="ann@example.com", password="wrong").status == 401
        web.stop()
        assert "example.com" not in "".join(path.read_text(errors="replace") for path in web.directory.glob("*.log"))


@pytest.mark.parametrize("path", ["/page.c", "/../style.css", "/api", "/api/", "/api/settings", "/%2e%2e/", "/" + "a" * 5000])
def test_nothing_else(stand, path):
    assert stand.get(path).status in (400, 404)


@pytest.mark.parametrize("path, status", [
    ("/api/delivery?event=%ff", 400), ("/api/delivery?event=a%00b", 400), ("/api/delivery?event=%zz", 400),
    ("/api/delivery?event=" + "a" * 2100, 400), ("/api/delivery?event=nix", 404), ("/api/delivery", 404),
    ("/api/dead-letter?id=x", 400), ("/api/dead-letter?id=4711", 404), ("/api/deliveries?since=yesterdayish", 400),
    ("/api/deliveries?warned=perhaps", 400), ("/api/order?mode=live&order=nix", 404), ("/api/search", 400),
    ("/api/search?q=%25'%22;--", 200), ("/api/search?q=%E2%80%AE", 200), ("/api/deliveries?x=1&&=&mode", 200)])
def test_odd_parameters(stand, path, status):
    answer = stand.get(path)
    assert answer.status == status
    assert answer.json is not None and ("error" in answer.json) == (status != 200)


# --- what -------------------------------------------------------------------------------------------------------------

def test_a_delivery(stand):
    """From the list to the body, whose bytes are those that came."""
    body = bodies.payment("api_order", amount="12345678901.123456", event_id="evt_api")
    assert stand.deliver(body).status == 200
    assert stand.deliver(body).json["outcome"] == "duplicate"
    row = stand.get("/api/deliveries", event="evt_api").json["rows"][0]
    assert {name: row[name] for name in ("kind", "id", "type", "mode", "order", "outcome", "deliveries")} == {
        "kind": "event", "id": "evt_api", "type": "checkout.completed", "mode": "test", "order": "api_order",
        "outcome": "applied", "deliveries": 2}
    shown = stand.get("/api/delivery", event="evt_api").json
    assert base64.b64decode(shown["body"]) == body
    assert shown["amount"] == "12345678901.123456"
    assert shown["note"] == "order pending → paid; payment ch_evt_api: paid"
    found = stand.get("/api/search", q="BUYER@example.com").json
    assert "api_order" in [item["order_id"] for item in found["items"]]
    order = stand.get("/api/order", mode="test", order="api_order").json
    assert [(item["entitled"], item["reason"]) for item in order["items"]] == [(True, "paid")]
    assert stand.get("/api/order", mode="live", order="api_order").status == 404


def test_a_dead_letter(stand):
    body = b'{"event_id": "evt_dead", "note": "\xe2\x80\xae"}'
    assert stand.deliver(body).status == 400
    row = stand.get("/api/dead-letters").json["rows"][0]
    assert (row["reason"], row["bytes"], row["event_id"]) == ("invalid", len(body), "evt_dead")
    assert base64.b64decode(stand.get("/api/dead-letter", id=row["id"]).json["body"]) == body
    assert stand.get("/api/overview").json["open_dead_letters"] >= 1

    def listed():
        return next(letter for letter in stand.get("/api/deliveries", outcome="dead_letter").json["rows"] if letter["id"] == f"dead:{row['id']}")

    assert listed()["resolved"] is False
    stand.query("UPDATE bagelpay.dead_letters SET resolved_at = now() WHERE id = %s", row["id"])
    assert listed()["resolved"] is True
    stand.query("UPDATE bagelpay.dead_letters SET resolved_at = NULL WHERE id = %s", row["id"])


def test_looking_through_many(cluster):
    """A call looks through a number of events, says so, and goes on where it ended, even among those of one moment; an
    order with very many events is looked through like that, too."""
    with contextlib.closing(Stand(cluster)) as stand:
        def insert(count, name, order, outcome, moments):
            stand.query("INSERT INTO bagelpay.events (event_id, event_type, mode, order_id, occurred_at, received_at, outcome, warnings) "
                        f"SELECT %s || i, 'checkout.failed', 'live', %s, t, t, %s, '{{}}' FROM generate_series(1, %s) AS i, "
                        f"LATERAL (SELECT {moments}) AS at (t)", name, order, outcome, count)

        insert(21000, "same_", None, "ignored", "now() - interval '1 hour'")
        insert(2100, "long_", "long", "applied", "now() - interval '1 day' - i * interval '1 second'")
        stand.query("VACUUM (ANALYZE) bagelpay.events")
        page = stand.get("/api/deliveries", order="long").json
        assert page["rows"] == [] and page["looked"] == 20000 and page["next"]["id"] == ""
        assert page["next"]["at"] == stand.get("/api/deliveries").json["rows"][0]["at"]
        seen = []
        while page["next"] is not None:
            cursor = page["next"]
            page = stand.get("/api/deliveries", order="long", before_at=cursor["at"], before_id=cursor["id"]).json
            assert page["next"] != cursor
            seen += [row["id"] for row in page["rows"]]
        assert page["looked"] is None and seen == [f"long_{number}" for number in range(1, 2101)]
        assert stand.get("/api/deliveries", order="long", type="refund.created", before_at=cursor["at"]).json["next"] is None


def test_pages(stand):
    """Page after page shows each event once, though many have the same time."""
    wanted = {f"evt_page_{number}" for number in range(180)}
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda name: stand.deliver(bodies.payment("paged", event_id=name)).status, wanted))
    assert set(answers) == {200}
    seen, cursor, pages = [], {}, 0
    while cursor is not None:
        page = stand.get("/api/deliveries", order="paged", **{f"before_{name}": value for name, value in cursor.items()}).json
        assert len(page["rows"]) <= 50
        seen += [row["id"] for row in page["rows"]]
        cursor, pages = page["next"], pages + 1
    assert pages == 4 and len(seen) == 180 and set(seen) == wanted


def test_the_spool(stand):
    """What waits there is counted, with its size, until the responder has brought it to the database."""
    body = bodies.payment("spooled")
    with stand.spooling():
        answer = stand.deliver(body)
        assert (answer.status, answer.json["spooled"]) == (503, True)
        shown = harness.wait_until(lambda: (lambda s: s if s["files"] == 1 else None)(stand.get("/api/spool").json), "a file")
        assert shown["known"] and shown["bytes"] > len(body) and 0 <= shown["oldest"] < harness.PATIENCE_S
    shown = harness.wait_until(lambda: (lambda s: s if s["files"] == 0 else None)(stand.get("/api/spool").json), "no file")
    assert shown.items() >= {"known": True, "files": 0, "bytes": 0, "oldest": None, "corrupt": 0}.items()


def test_what_was_answered(stand):
    """By status, and why what was refused was; beside the spool, as the same responder says it."""
    before = stand.get("/api/spool").json
    for secret in (stand.secret, "another secret", "another secret"):
        harness.deliver(stand.url, secret, bodies.payment())
    harness.post(stand.url, b"{}")
    after = harness.wait_until(
        lambda: (lambda s: s if s["answers"]["401"] == before["answers"]["401"] + 3 else None)(stand.get("/api/spool").json), "the answers")
    assert after["answers"]["200"] == before["answers"]["200"] + 1
    more = {name: count - before["not_authentic"][name] for name, count in after["not_authentic"].items()}
    assert more == {"missing": 1, "malformed": 0, "wrong": 2, "too_old": 0, "mode": 0}


@contextlib.contextmanager
def _liar(path, answer):
    """Answers every connection to a Unix socket with the same bytes, or with none at all."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = listening.accept()
                    with peer, contextlib.suppress(OSError):
                        peer.recv(65536)
                        if answer is None:
                            peer.recv(1)
                        peer.sendall(answer or b"")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _metrics(**figures):
    text = "".join(f"# TYPE bagelhook_{name} gauge\nbagelhook_{name} {value}\n" for name, value in figures.items())
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode()


def _lines(*lines):
    text = "".join(f"bagelhook_{line}\n" for line in lines)
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode()


_FULL = {"spool_limit_files": 9, "spool_files": 3, "spool_bytes": 5.5e6, "spool_oldest_age_seconds": 61.9, "spool_corrupt_files": 1}


def _unknown(why):
    return {"known": False, "why": why}


_CANNOT_READ = _unknown("the responder cannot read its spool; its log says why")

# What is answered, and what the page is told; None: a reason of the connection's.
_HEARSAY = {
    "figures": (_metrics(**_FULL), {"known": True, "files": 3, "bytes": 5500000, "oldest": 61, "corrupt": 1}),
    "no spool": (_metrics(events=1), _unknown("the responder has no spool")),
    "answers": (_lines('requests_total{status="200"} 7', 'requests_total{status="401"} 0', 'signature_failures_total{reason="wrong"} 2'),
                {"answers": {"200": 7, "401": 0}, "not_authentic": {"wrong": 2}, **_unknown("the responder has no spool")}),
    "no answers": (_lines('requests_total{status="2\\"00"} 7', 'requests_total{status=""} 1', 'requests_total{status="200"} 1e3',
                          'requests_total{status="200"} 007', 'requests_total{status="200"} -1', 'requests_total{status="200"} ',
                          'requests_total{status="200"} 12345678901234567890', 'requests_total{status="200"',
                          f'requests_total{{status="{"2" * 33}"}} 1'), _unknown("the responder has no spool")),
    "no figures": (_metrics(spool_limit_files=9), _CANNOT_READ),
    **{value: (_metrics(**{**_FULL, "spool_bytes": value}), _CANNOT_READ) for value in ("NaN", "-1", "+Inf", "1e300", "")},
    "an error": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", None),
    "elsewhere": (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", None),
    "garbage": (b"garbage\r\n\r\n", None),
    "without end": (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1200000, None),
    "silence": (None, None),
    "nobody": ("nobody", None),
}


@pytest.mark.parametrize("case", _HEARSAY)
def test_the_spool_by_hearsay(tmp_path, case):
    """Whatever answers at the address of the responder: figures, or why there are none."""
    answer, shown = _HEARSAY[case]
    path = tmp_path / "admin.sock"
    with contextlib.nullcontext() if answer == "nobody" else _liar(path, answer):
        with harness.Console("host=/nonexistent user=x", "--admin", f"unix:{path}") as console:
            told = fastcgi.request(console.socket_path, {"REQUEST_METHOD": "GET", "REQUEST_URI": "/api/spool"}).json
            if shown is None:
                assert told["known"] is False and re.fullmatch(rf"unix:{re.escape(str(path))}: \w.*", told["why"])
            else:
                assert told == shown


def test_silent_peers_do_not_keep_it_busy(stand):
    """More connections than there are workers, which say nothing, or half a request."""
    silent = []
    for number in range(12):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(stand.console.socket_path))
        if number % 2:
            peer.sendall(fastcgi.record(fastcgi.BEGIN_REQUEST, b"\0\1\0\0\0\0\0\0") + b"\1\4\0\1\0")
        silent.append(peer)
    assert stand.get("/api/overview").status == 200
    for peer in silent:
        peer.close()


@pytest.mark.parametrize("content", [
    fastcgi.record(fastcgi.PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xffAB\0\0"), b"\0" * 20, os.urandom(1000),
    fastcgi.record(fastcgi.BEGIN_REQUEST, b"\0\1\0\0\0\0\0\0")
    + fastcgi.record(fastcgi.PARAMS, b"\xff\xff\xff\xff\xa3\xa7\x02\x00A") + fastcgi.record(fastcgi.PARAMS),
], ids=range(4))
def test_what_is_no_request(stand, content):
    """It is cut, and the next request is served by the same process."""
    pid = stand.console.process.pid
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(5)
        peer.connect(str(stand.console.socket_path))
        with contextlib.suppress(ConnectionError):
            peer.sendall(content)
            assert peer.recv(1) == b""
    assert stand.get("/api/overview").status == 200 and stand.console.process.pid == pid


def test_kept_connection(stand):
    """A web server that keeps its connection asks one question after the other on it."""
    with fastcgi.Peer(stand.console.socket_path) as peer:
        for _ in range(3):
            peer.begin({"REQUEST_METHOD": "GET", "REQUEST_URI": "/api/overview"}, keep=True)
            peer.body(b"")
            assert peer.answer().status == 200


def test_what_it_gives_up(stand):
    """It runs no programs, gains no privileges, and its memory is nobody else's; unless told otherwise."""
    def shut_in(console):
        status = pathlib.Path(f"/proc/{console.process.pid}/status").read_text(encoding="utf-8")
        return re.search(r"^NoNewPrivs:\t1$", status, re.MULTILINE) and re.search(r"^Seccomp:\t2$", status, re.MULTILINE)

    assert shut_in(stand.console)
    # What may not be dumped is root's, whoever runs it.
    assert pathlib.Path(f"/proc/{stand.console.process.pid}/environ").stat().st_uid == 0
    with harness.Console("host=/nonexistent user=x", "--no-sandbox") as console:
        assert not shut_in(console) and "the sandbox is switched off" in console.log


# --- the database -----------------------------------------------------------------------------------------------------

def test_what_it_is_to_the_database(stand):
    """Read-only, bounded in time, by a name that can be found, and few."""
    stand.get("/api/overview")
    rows = stand.query("SELECT usename, count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = "
                       "'bagelhook-console' GROUP BY 1", stand.db)
    assert len(rows) == 1 and rows[0][0] == "bagelhook_console" and 1 <= rows[0][1] <= 4


def test_a_lost_connection_is_made_anew(stand):
    assert stand.get("/api/overview").status == 200
    stand.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = "
                "'bagelhook-console'", stand.db)
    assert [stand.get("/api/overview").status for _ in range(8)] == [200] * 8


def test_a_locked_table(stand):
    """What has to wait is given up, and said so."""
    with stand.connect(autocommit=False) as connection:
        connection.execute("LOCK TABLE bagelpay.dead_letters IN ACCESS EXCLUSIVE MODE")
        answer = stand.get("/api/dead-letters")
        assert answer.status == 503 and answer.json == {"error": "The database is busy: what is asked for is locked"}
        connection.rollback()
    assert stand.get("/api/dead-letters").status == 200


def test_a_right_that_is_gone(stand):
    """What only people can mend is no database that is away, and the log has it in the server's words."""
    function = "FUNCTION bagelpay_internal.console_search(text, integer)"
    stand.query(f"REVOKE EXECUTE ON {function} FROM bagelpay_console")
    try:
        answer = stand.get("/api/search", q="x")
        assert answer.status == 503 and answer.json == {
            "error": "The database is not set up for the console; its log says why"}
        harness.wait_until(lambda: "permission denied for function console_search" in stand.console.log, "the record")
    finally:
        stand.query(f"GRANT EXECUTE ON {function} TO bagelpay_console")
    assert stand.get("/api/search", q="x").status == 200


def test_behind_a_pooler(cluster, stand):
    """Limits hold in every transaction, whichever of the server's connections it runs on."""
    with harness.PgBouncer(cluster) as pooler, harness.Console(pooler.dsn(stand.db, "bagelhook_console")) as console:
        def ask():
            return fastcgi.request(console.socket_path, {"REQUEST_METHOD": "GET", "REQUEST_URI": "/api/dead-letters"})

        # Each of the four workers has been there, and then the pooler makes all of its connections anew.
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            assert {answer.status for answer in pool.map(lambda _: ask(), range(64))} == {200}
        stand.query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
                    " AND usename = 'bagelhook_console'", stand.db)
        with stand.connect(autocommit=False) as connection:
            connection.execute("LOCK TABLE bagelpay.dead_letters IN ACCESS EXCLUSIVE MODE")
            answers = [ask().json for _ in range(4)]
            connection.rollback()
        assert answers == [{"error": "The database is busy: what is asked for is locked"}] * 4
        assert ask().status == 200


@pytest.mark.parametrize("right", [
    "UPDATE ON bagelpay.settings", "INSERT (order_id) ON bagelpay.orders", "DELETE ON bagelpay.dead_letters",
    "TRUNCATE ON bagelpay.refunds", "CREATE ON SCHEMA bagelpay",
    "EXECUTE ON FUNCTION bagelpay.expect_order(text, text, text, numeric, text, text)"])
def test_rights_that_are_refused(cluster, stand, right):
    """Whatever could be written, by itself or by a function with its owner's rights."""
    stand.query("CREATE ROLE too_much LOGIN IN ROLE bagelpay_console")
    try:
        stand.query(f"GRANT {right} TO too_much")
        with harness.Console(cluster.dsn("too_much", stand.db), wait=False) as refused:
            assert refused.process.popen.wait(harness.PATIENCE_S) == 1
            assert "could change what the console only shows" in refused.log
    finally:
        stand.query("DROP OWNED BY too_much")
        stand.query("DROP ROLE too_much")


@pytest.mark.parametrize("user, complaint", [
    ("postgres", "could change what the console only shows"), ("bagelhook", "bagelhook"), ("too_much", "could change")])
def test_roles_that_are_refused(cluster, stand, user, complaint):
    with stand.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS too_much")
        connection.execute("CREATE ROLE too_much LOGIN IN ROLE bagelpay_console, bagelpay_app")
    with harness.Console(cluster.dsn(user, stand.db), wait=False) as refused:
        assert refused.process.popen.wait(harness.PATIENCE_S) == 1
        assert complaint in refused.log
    stand.query("DROP ROLE too_much")


def test_a_database_that_is_away():
    """The page says so; the console does not end."""
    with harness.Console("host=/nonexistent user=x") as console:
        answer = fastcgi.request(console.socket_path, {"REQUEST_METHOD": "GET", "REQUEST_URI": "/api/overview"})
        assert answer.status == 503 and answer.json == {"error": "The database does not answer"}
        assert fastcgi.request(console.socket_path, {"REQUEST_METHOD": "GET", "REQUEST_URI": "/"}).status == 200
        spool = fastcgi.request(console.socket_path, {"REQUEST_METHOD": "GET", "REQUEST_URI": "/api/spool"})
        assert json.loads(spool.body)["known"] is False
        assert console.stop() == 0


def test_a_silent_database():
    """It listens before it connects; and a worker that connects to one host after the other is not stuck."""
    with contextlib.ExitStack() as listening:
        ports = [listening.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(4)]
        began = time.monotonic()
        console = listening.enter_context(harness.Console(
            f"host={','.join(['127.0.0.1'] * 4)} port={','.join(map(str, ports))} user=x"))
        # A second, and another one for a machine that is busy.
        assert time.monotonic() - began < 2
        assert fastcgi.request(console.socket_path, {"REQUEST_METHOD": "GET", "REQUEST_URI": "/"}).status == 200
        began = time.monotonic()
        answer = fastcgi.request(console.socket_path, {"REQUEST_METHOD": "GET", "REQUEST_URI": "/api/overview"})
        assert (answer.status, answer.json) == (503, {"error": "The database does not answer"})
        assert time.monotonic() - began > 11
        assert console.stop() == 0 and "stuck" not in console.log


def test_long_parameters(stand):
    """What is refused is logged, with the reason."""
    params = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/", "HTTP_COOKIE": "c" * 270_000}
    assert fastcgi.request(stand.console.socket_path, params).status == 503
    harness.wait_until(lambda: 'msg="cannot serve a request" reason="its header fields are longer' in stand.console.log, "the record")


@pytest.mark.parametrize("conninfo", ["host=/tmp port", "hots=/tmp", "postgresql://[::1/x"])
@pytest.mark.parametrize("check", [[], ["--check"]], ids=["start", "check"])
def test_wrong_connection_string(conninfo, check):
    """What libpq cannot read is wrong usage."""
    done = subprocess.run([harness.BUILD / "bagelhook-console", "--listen", "unix:/nonexistent/socket", "--database", conninfo, *check],
                          capture_output=True, check=False, timeout=harness.PATIENCE_S, text=True, env=harness.clean_environment())
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("bagelhook-console: --database: ")


@pytest.mark.skipif(harness.is_sanitized(), reason="the sanitizers' functions are not to be replaced")
def test_end_while_starting(tmp_path):
    """Whoever sees its socket may already ask it to end, and it does so as ever: here while it is writing that it listens."""
    faults = harness.Faults(tmp_path)
    with faults.armed("write", error=faults.HANGS), \
            harness.Console("host=/nonexistent user=x", wait=False, environment=faults.environment) as console:
        harness.wait_until(lambda: faults.failed == 1, "the record", process=console.process)
        assert console.socket_path.exists() and "listening" not in console.log
        console.process.send_signal(signal.SIGTERM)
        faults.disarm()
        assert console.process.popen.wait(harness.PATIENCE_S) == 0
        assert "listening" in console.log and not console.socket_path.exists()


def _check(*arguments):
    """Exit status, standard output and standard error of --check."""
    done = subprocess.run([harness.BUILD / "bagelhook-console", "--check", "--page", harness.SOURCE / "console" / "page", *arguments],
                          capture_output=True, check=False, timeout=harness.PATIENCE_S, text=True, env=harness.clean_environment())
    return done.returncode, done.stdout, done.stderr


def test_check(cluster, stand, tmp_path):
    """Whether it could run; a responder that does not answer is no reason why not, and is told of."""
    good = "bagelhook-console: page, database, schema, role and address are in order\n"
    database = ["--database", cluster.dsn("bagelhook_console", stand.db)]
    status, told, complaint = _check(*database)
    assert (status, complaint) == (0, "") and told.startswith(
        "bagelhook-console: page, database, schema and role are in order; without --listen, a start must inherit a listening socket")
    database += ["--listen", f"unix:{tmp_path}/socket"]
    assert _check(*database) == (0, good, "")
    assert _check(*database, "--admin", stand.admin) == (0, good, "")
    nobody = f"unix:{tmp_path / 'admin.sock'}"
    status, told, complaint = _check(*database, "--admin", nobody)
    assert (status, told) == (0, good)
    assert re.fullmatch(rf"bagelhook-console: --admin: {nobody}: [^:;]+; meanwhile spool and answers are not shown\n", complaint)
    status, told, complaint = _check("--database", "host=/nonexistent user=x")
    assert (status, told) == (1, "") and "/nonexistent" in complaint
    status, told, complaint = _check("--database", cluster.dsn("postgres", stand.db))
    assert (status, told) == (1, "") and "could change what the console only shows" in complaint
    status, told, complaint = _check(*database, "--page", tmp_path)
    assert (status, told) == (1, "") and str(tmp_path) in complaint
    # A start would fail, too.
    status, told, complaint = _check(*database, "--listen", "unix:/nonexistent/socket")
    assert (status, told) == (1, "") and complaint.startswith("bagelhook-console: --listen unix:/nonexistent/socket: ")
    with socket.create_server(("127.0.0.1", 0)) as inet:
        address = "127.0.0.1:%d" % inet.getsockname()[1]
        status, told, complaint = _check(*database, "--listen", address)
        assert (status, complaint) == (0, "") and told.startswith(f"bagelhook-console: {address} is in use: a start would fail")
    status, told, complaint = _check(*database, "--listen", "nowhere")
    assert (status, told) == (2, "") and "must be unix:/path or host:port" in complaint


# --- how it is served -------------------------------------------------------------------------------------------------

def _raw(stand, path, **headers):
    """Status, headers and the bytes as they go over the wire."""
    authorization = "Basic " + base64.b64encode(f"{harness.USER}:{harness.PASSWORD}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", stand.web.console_port, timeout=harness.PATIENCE_S)
    try:
        connection.request("GET", path, headers={"Authorization": authorization, "Accept-Encoding": "gzip", **headers})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, answer.headers, body, len(body) + len(bytes(answer.headers))
    finally:
        connection.close()


def test_the_first_load_and_the_second(stand):
    """The first is small, in few requests, none of which has to wait for more than the page; the second is smaller."""
    status, headers, html, first = _raw(stand, "/")
    html = gzip.decompress(html).decode()
    etag = headers["ETag"]
    assert status == 200 and headers["Content-Encoding"] == "gzip" and 'rel="modulepreload"' in html
    parts = set(re.findall(r'(?:href|src)="((?!#)[^"]+)"', html))
    assert len(parts) + 1 <= 8 and all(f"?v={etag[3:-1]}" in part for part in parts)
    for part in parts:
        status, headers, body, size = _raw(stand, f"/{part}")
        first += size
        assert status == 200 and headers["ETag"] == etag and headers["Cache-Control"] == "private, max-age=31536000, immutable"
        assert headers["Content-Encoding"] == "gzip" or len(body) < 500
        text = gzip.decompress(body).decode() if headers["Content-Encoding"] else body.decode()
        assert not re.search(r"^\s*(import|export) ", text, re.MULTILINE), "it asks for nothing more"
    assert first < 60000
    status, headers, body, second = _raw(stand, "/", **{"If-None-Match": etag})
    assert status == 304 and body == b"" and headers["ETag"] == etag and second < 2000
    assert _raw(stand, "/style.css?v=another")[1]["Cache-Control"] == "no-cache"
    assert _raw(stand, "/", **{"If-None-Match": 'W/"another"'})[0] == 200


@pytest.mark.parametrize("path", ["/api/deliveries?since=yesterdayish", "/api/dead-letter?id=x", "/api/overview?range=2h", "/api/search?q=+"])
def test_no_word_of_sql(stand, path):
    """What the database says of a wrong value is not for the page."""
    answer = stand.get(path)
    assert (answer.status, answer.json) == (400, {"error": "This address has an invalid value"})


@pytest.mark.parametrize("path", ["/api/attention", "/api/days", "/api/customer?kind=email&value=nobody%40example.com", "/api/overview?range=30d"])
def test_personal_data_is_not_compressed(stand, path):
    """Beside text from outside its length would tell something about it."""
    status, headers, _, _ = _raw(stand, path)
    assert status == 200 and headers["Content-Encoding"] is None and headers["Cache-Control"] == "no-store"
