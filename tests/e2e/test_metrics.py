"""/healthz, /readyz and /metrics: what they say is what happened, and nobody gets at anything else by them."""

import contextlib
import json
import re
import signal
import socket
import time

import pytest

import bodies
import fastcgi
import harness
import waiting
import watching

RULES = harness.SOURCE / "contrib" / "prometheus"


@pytest.fixture
def admin():
    one = watching.Admin()
    yield one
    one.close()


@pytest.fixture
def watched(make_stack, admin):
    """A factory: watched(*arguments, **options) makes a stack with an admin listener, the fixture admin."""
    return lambda *arguments, **options: make_stack(*admin.arguments, *arguments, **options)


def request(stack, body, length=None, timestamp=None, signature=None, **more):
    """A request past nginx, correctly signed unless said otherwise."""
    timestamp = int(time.time()) if timestamp is None else timestamp
    length = len(body) if length is None else length
    signature = harness.sign(stack.secret, body, timestamp) if signature is None else signature
    return fastcgi.request(stack.responder.address, fastcgi.post_params(length, signature, timestamp, **more), body)


# --- counting ---------------------------------------------------------------------------------------------------------

def test_counts(watched, admin):
    """After a known set of deliveries, exactly that set was counted, by type, mode, outcome and status."""
    stack = watched("--max-age", 1000)
    assert admin.counted("events_total") == {} and admin.counted("requests_total") == {}
    paid = bodies.payment()
    poison = bodies.payment(event_id="evt_poison")
    stack.query("ALTER TABLE bagelpay.events ADD CONSTRAINT no_poison CHECK (event_id <> 'evt_poison' OR event_id::integer > 0)")
    deliveries = [paid, paid, paid, bodies.payment(mode="live"), bodies.changed(bodies.payment(), event_type="new.kind"),
                  bodies.changed(bodies.payment(), event_type='x"} 1\n'), b"{}", b"{}", b"not JSON", poison,
                  bodies.documented("checkout.failed"), bodies.documented("refund.created")]
    assert [stack.deliver(body).status for body in deliveries] == [200] * 6 + [400] * 4 + [200] * 2
    now = int(time.time())
    assert [harness.post(stack.url, paid, headers).status for headers in (
        {}, {"timestamp": str(now), "Bagelpay-Signature": "0" * 64}, {"timestamp": "x", "Bagelpay-Signature": "0" * 64},
        {"timestamp": str(now), "Bagelpay-Signature": "0" * 63})] == [401] * 4
    assert stack.deliver(bodies.payment(), timestamp=now - 2000).status == 401
    assert harness.post(stack.url, b"", method="PUT").status == 405
    assert request(stack, b"", length="").status == 411
    assert request(stack, b"", length=1024 * 1024 + 1).status == 413
    assert request(stack, b"x", length=2).status == 400

    assert admin.counted("events_total") == {
        ("checkout.completed", "test", "applied", "200"): 1, ("checkout.completed", "test", "duplicate", "200"): 2,
        ("checkout.completed", "live", "applied", "200"): 1, ("other", "test", "ignored", "200"): 2,
        ("none", "none", "dead_letter", "400"): 3, ("checkout.completed", "test", "refused", "400"): 1,
        ("checkout.failed", "test", "applied", "200"): 1, ("subscription.canceled", "test", "applied", "200"): 1}
    assert admin.counted("requests_total") == {
        ("200",): 8, ("400",): 5, ("401",): 5, ("405",): 1, ("411",): 1, ("413",): 1}
    assert admin.counted("signature_failures_total") == {
        ("missing",): 1, ("wrong",): 1, ("malformed",): 2, ("too_old",): 1}
    assert admin.counted("dead_letters_total") == {("invalid",): 3, ("database",): 1}
    # One at a time: the one that was refused was committed as a dead letter.
    assert admin.counted("commits_total") == {("committed",): 12, ("refused",): 1}
    metrics = admin.metrics()
    assert metrics["bagelhook_commit_duration_seconds_count"] == metrics["bagelhook_commit_batch_events_sum"] == 12
    assert 0 < metrics["bagelhook_commit_duration_seconds_sum"] < 12
    assert metrics['bagelhook_commit_batch_events_bucket{le="1"}'] == 12
    # One at the start, three without nginx, and one kept by each of its two workers.
    assert 5 <= metrics["bagelhook_connections_total"] <= 6


def test_counts_of_many(watched, admin, background):
    """Nothing is lost where threads count at once."""
    stack = watched("--threads", 8)
    answers = [background(stack.deliver, bodies.payment()) for _ in range(300)]
    assert all(answer.result(timeout=harness.PATIENCE_S).status == 200 for answer in answers)
    assert admin.counted("events_total") == {("checkout.completed", "test", "applied", "200"): 300}
    metrics = admin.metrics()
    assert metrics["bagelhook_commit_batch_events_sum"] == 300
    assert metrics["bagelhook_commit_batch_events_count"] == metrics['bagelhook_commits_total{result="committed"}'] <= 300
    buckets = [value for name, value in metrics.items() if name.startswith("bagelhook_commit_duration_seconds_bucket")]
    assert buckets == sorted(buckets) and buckets[-1] == metrics["bagelhook_commit_duration_seconds_count"]


def test_matches(watched, admin):
    """How often each secret was the one that matched, by its position in the file."""
    stack = watched(secret=["first", "second", "third"])
    for secret, count in (("third", 2), ("first", 3), ("fourth", 1)):
        for _ in range(count):
            harness.deliver(stack.url, secret, bodies.payment())
    values = [admin.value(f'secret_matches_total{{position="{position}"}}') for position in (1, 2, 3)]
    assert values == [3, 0, 2] and len(admin.counted("secret_matches_total")) == 2


def test_secret_of_another_mode(watched, admin):
    """It counts among the signatures that are not believed, and as a dead letter; among the events it would be no event."""
    stack = watched(secret=["live:secret_of_live_webhooks"])
    for mode, status in (("live", 200), ("test", 401), ("test", 401)):
        assert harness.deliver(stack.url, "secret_of_live_webhooks", bodies.payment(mode=mode)).status == status
    assert admin.counted("signature_failures_total") == {("mode",): 2}
    assert admin.counted("dead_letters_total") == {("mode",): 2}
    assert admin.counted("events_total") == {("checkout.completed", "live", "applied", "200"): 1}
    assert admin.counted("requests_total") == {("200",): 1, ("401",): 2}


def test_times(watched, admin):
    """When the last good event came, by mode, and how far the provider's clock is from ours."""
    stack = watched()
    started = time.time()
    assert admin.counted("last_event_timestamp_seconds") == {}
    assert stack.deliver(b"{}", timestamp=int(started)).status == 400
    assert admin.counted("last_event_timestamp_seconds") == {}
    for mode, difference in (("live", 3600), ("test", -86400)):
        assert stack.deliver(bodies.payment(mode=mode), timestamp=int(time.time()) + difference).status == 200
        assert admin.value("provider_clock_difference_seconds") == pytest.approx(difference, abs=5)
        at = admin.value(f'last_event_timestamp_seconds{{mode="{mode}"}}')
        assert int(started) <= at <= time.time()
    assert len(admin.counted("last_event_timestamp_seconds")) == 2
    assert started - 30 < admin.metrics()["process_start_time_seconds"] <= started


def test_connections(watched, admin):
    """Those that are open, until they are not."""
    stack = watched()
    with fastcgi.Peer(stack.responder.address), fastcgi.Peer(stack.responder.address):
        harness.wait_until(lambda: admin.value("connections_open") == 2, "two connections")
    harness.wait_until(lambda: admin.value("connections_open") == 0, "no connection")


def test_connections_evicted(watched, admin):
    """Where all places are taken, one that has not sent its request goes for another one."""
    with contextlib.ExitStack() as peers:
        responder = peers.enter_context(harness.Responder(
            "host=/nonexistent", *admin.arguments, "--read-timeout", 60, prefix=["prlimit", "--nofile=62:62", "--"]))
        # It listens there a little later.
        harness.wait_until(lambda: harness.accepts(admin.path), "the admin listener", process=responder.process)
        for _ in range(30):
            peers.enter_context(fastcgi.Peer(responder.address))
        harness.wait_until(lambda: admin.value("connections_evicted_total") > 0, "a connection to be evicted")


def test_queue_full(watched, admin, background):
    """What waits for the database is told; a full queue is not ready, and what it refuses is counted."""
    stack = watched("--queue", 2, "--batch", 1)
    assert admin.status("/readyz") == 200
    with waiting.frozen_backend(stack):
        first = background(stack.deliver, bodies.payment())
        # In a transaction, and then behind it; again, if the first one had not been taken yet.
        harness.wait_until(lambda: admin.value("connections_open") == 1 and admin.value("queue_events") == 0, "it to be tried")
        waiting_bodies = [bodies.payment(), bodies.payment()]
        answers = [background(stack.deliver, body) for body in waiting_bodies]

        def full():
            for i, answer in enumerate(answers):
                if answer.done():
                    answers[i] = background(stack.deliver, waiting_bodies[i])
            return admin.value("queue_events") == 2

        harness.wait_until(full, "a full queue")
        assert admin.value("queue_bytes") > sum(map(len, waiting_bodies)) and admin.value("queue_limit_events") == 2
        answer = admin.ask("/readyz")
        assert answer.status == 503 and b"queue: full\n" in answer.body
        assert stack.deliver(bodies.payment()).status == 503
    assert [answer.result(timeout=harness.PATIENCE_S).status for answer in [first, *answers]] == [200] * 3
    refused = {key: value for key, value in admin.counted("events_total").items() if key[3] == "503"}
    assert list(refused) in ([("checkout.completed", "test", "queue_full", "503")],
                             [("checkout.completed", "test", "unavailable", "503")])
    assert admin.status("/readyz") == 200 and admin.value("queue_events") == admin.value("queue_bytes") == 0
    assert admin.value("left_to_retries_total") == sum(refused.values()) >= 1


# --- health -----------------------------------------------------------------------------------------------------------

def test_ready(mortal, watched, admin):
    """Readiness follows the database, without any event to notice it by; health does not."""
    stack = watched(cluster=mortal)
    answer = admin.ask("/readyz")
    assert (answer.status, answer.body.splitlines()) == (
        200, [b"ready", b"database: up, its schema and settings fit", b"queue: below its bound", b"spool: none"])
    mortal.stop()
    harness.wait_until(lambda: admin.status("/readyz") == 503, "readiness to go")
    assert admin.ask("/readyz").body.splitlines()[:2] == [b"not ready", b"database: away"]
    assert admin.status("/healthz") == 200 and admin.value("database_up") == 0
    harness.wait_until(lambda: admin.value("database_connection_failures_total") > 0, "an attempt to connect")
    mortal.start()
    harness.wait_until(lambda: admin.status("/readyz") == 200, "readiness to come back")
    assert admin.value("database_up") == 1 and admin.value("database_connections_total") == 2
    assert admin.counted("requests_total") == {} and stack.deliver(bodies.payment()).status == 200


def test_not_ready_for_another_schema(mortal, watched, admin):
    """A schema that does not fit any more is not ready."""
    stack = watched(cluster=mortal)
    stack.query("CREATE OR REPLACE FUNCTION bagelpay.served_responders (OUT oldest integer, OUT newest integer)"
                " LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 1000, 1000'")
    pid, = waiting.backends(stack)
    stack.query("SELECT pg_terminate_backend(%s)", pid)
    harness.wait_until(lambda: admin.status("/readyz") == 503, "readiness to go")


def test_spool(mortal, watched, admin, tmp_path):
    """What goes into the spool and out of it; with one, readiness still means that events are answered 200."""
    spool = tmp_path / "spool"
    stack = watched("--spool", spool, cluster=mortal)
    assert admin.value("spool_files") == admin.value("spool_bytes") == admin.value("spool_oldest_age_seconds") == 0
    mortal.stop()
    harness.wait_until(lambda: admin.value("database_up") == 0, "the loss to be noticed")
    harness.wait_until(lambda: admin.value("database_connection_failures_total") > 0, "an attempt to connect")
    before = time.time()
    for _ in range(5):
        answer = stack.deliver(bodies.payment())
        assert answer.status == 503 and answer.json["spooled"]
    assert admin.counted("events_total") == {("checkout.completed", "test", "spooled", "503"): 5}
    assert admin.value("spool_written_total") == admin.value("spool_files") == 5
    assert admin.value("spool_bytes") == sum(path.stat().st_size for path in (spool / "new").iterdir())
    assert 0 < admin.value("spool_oldest_age_seconds") <= time.time() - before
    answer = admin.ask("/readyz")
    assert answer.status == 503 and answer.body.splitlines()[1::2] == [b"database: away", b"spool: takes events"]
    mortal.start()
    harness.wait_until(lambda: admin.value("spool_files") == 0, "the spool to be drained")
    harness.wait_until(lambda: admin.status("/readyz") == 200, "readiness")
    assert admin.value("spool_drained_total") == 5 and admin.value("spool_bytes") == 0
    assert admin.value("left_to_retries_total") == 0
    assert stack.query("SELECT count(*) FROM bagelpay.events") == [(5,)]


def test_full_spool(admin, tmp_path):
    """What a full spool refuses is counted, and told."""
    (tmp_path / "spool" / "corrupt").mkdir(parents=True, mode=0o700)
    (tmp_path / "spool").chmod(0o700)
    (tmp_path / "spool" / "corrupt" / "odd").touch()
    with harness.Responder("host=/nonexistent", *admin.arguments, "--spool", tmp_path / "spool", "--spool-files", 1) as one:
        spooled = []
        for _ in range(3):
            body, now = bodies.payment(), int(time.time())
            params = fastcgi.post_params(len(body), harness.sign(one.secret, body, now), now)
            spooled.append(fastcgi.request(one.address, params, body).json["spooled"])
        assert spooled == [True, False, False]
        assert (admin.value("spool_written_total"), admin.value("spool_refused_total")) == (1, 2)
        assert admin.value("left_to_retries_total") == 2
        assert (admin.value("spool_limit_files"), admin.value("spool_corrupt_files")) == (1, 1)
        assert b"spool: refused the last event\n" in admin.ask("/readyz").body
        assert one.stop() == 0


def test_stopping(watched, admin, background):
    """While it finishes what it accepted, it is alive, and not ready; then its socket goes with it."""
    stack = watched()
    with waiting.frozen_backend(stack):
        answer = background(stack.deliver, bodies.payment())
        harness.wait_until(lambda: admin.value("connections_open") == 1, "the request")
        stack.responder.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: admin.status("/readyz") == 503, "readiness to go")
        assert admin.ask("/readyz").body.startswith(b"stopping\n") and admin.status("/healthz") == 200
    assert answer.result(timeout=harness.PATIENCE_S).status == 200
    assert stack.responder.wait() == 0 and not admin.path.exists()


# --- the listener -----------------------------------------------------------------------------------------------------

def test_methods_and_paths(watched, admin):
    """GET and HEAD of three paths; queries do not matter; nothing is kept."""
    watched()
    for path in ("/healthz", "/readyz", "/metrics", "/metrics?name=x"):
        got, head = admin.ask(path), admin.ask(path, "HEAD")
        assert (got.status, head.status, head.body) == (200, 200, b"") and got.body
        assert got.headers["Connection"] == "close" and got.headers["Cache-Control"] == "no-store"
    assert admin.ask("/metrics").headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    for path in ("/", "/metrics/", "/Metrics", "//metrics", "/../metrics", harness.PATH, "/%2e%2e/etc/passwd", "*"):
        assert admin.status(path) in (400, 404)
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "X"):
        answer = admin.ask("/metrics", method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def exchange(path, sent):
    """Sends bytes, and says that there will be no more; returns all that comes back until the end."""
    received = b""
    with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(ConnectionError):
        client.settimeout(harness.PATIENCE_S)
        client.connect(str(path))
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        while more := client.recv(65536):
            received += more
    return received


@pytest.mark.parametrize("sent", [
    b"\0\1\2\3" * 100 + b"\r\n\r\n", b"\r\n\r\n" * 10 + b"x\r\n\r\n", b"GET\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n",
    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 1000000 + b"\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 100000 + b"\r\n", b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
], ids=lambda sent: repr(sent[:24]))
def test_hostile_requests(shared_watched, sent):
    """What is no request ends in a refusal or a cut; the next one is served."""
    stack, admin = shared_watched
    received = exchange(admin.path, sent)
    assert not re.match(rb"HTTP/1.[01] 200", received) or b"bagelhook_build_info" in received
    assert admin.status("/healthz") == 200 and stack.deliver(bodies.payment()).status == 200


@pytest.fixture(scope="module")
def shared_watched(cluster):
    """One stack with an admin listener for all hostile requests."""
    one = watching.Admin()
    with contextlib.closing(one), harness.Stack(cluster, *one.arguments) as stack:
        yield stack, one
        assert stack.responder.stop() == 0
        assert not re.search("Sanitizer|runtime error:", stack.responder.log)


def test_hoarded_connections(shared_watched):
    """Peers that take all places, silent or sending a byte now and then, are cut at the deadline; deliveries do not
    notice."""
    stack, admin = shared_watched
    started = time.monotonic()
    with contextlib.ExitStack() as peers:
        hoarded = [peers.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(40)]
        for one in hoarded:
            one.connect(str(admin.path))
            one.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert stack.deliver(bodies.payment()).status == 200

        def first_is_cut():
            try:
                hoarded[0].sendall(b"X")
            except ConnectionError:
                return True
            return False

        harness.wait_until(first_is_cut, "the first to be cut")
        assert 1 < time.monotonic() - started < 30
    assert admin.status("/healthz") == 200


def test_nothing_secret(watched, admin):
    """No secret, and nothing of any event."""
    stack = watched()
    body = bodies.payment("order_canary", event_id="evt_canary", customer={"id": "cus_canary", "email": "canary@example.com"})
    assert stack.deliver(body).status == 200
    assert stack.deliver(bodies.changed(body, event_type="canary")).status == 200
    text = b"".join(admin.ask(path).body for path in ("/healthz", "/readyz", "/metrics", "/canary")).decode()
    assert "canary" not in text and stack.secret not in text and stack.db not in text


def test_loopback(make_stack):
    """On a TCP address, too."""
    port = harness.free_port()
    make_stack("--admin-listen", f"127.0.0.1:{port}")
    assert harness.post(f"http://127.0.0.1:{port}/readyz", None, method="GET").status == 200


def test_no_listener_unless_asked(make_responder):
    """Without the option there is one listening socket, the web server's; and it has no such paths."""
    responder = make_responder()
    params = fastcgi.post_params(0, REQUEST_METHOD="GET", REQUEST_URI="/metrics", SCRIPT_NAME="/metrics")
    assert fastcgi.request(responder.address, params).status == 405


@pytest.mark.parametrize("address, status, text", [
    ("localhost", 2, "--admin-listen localhost: must be unix:/path or host:port"), (":9000", 2, "--admin-listen :9000: must be"),
    ("unix:/nonexistent/x", 1, "--admin-listen unix:/nonexistent/x: No such file or directory")])
def test_unusable_address(address, status, text):
    """2 if it is no address, 1 if it cannot listen there, in one line, and nothing of the other socket is left."""
    with harness.Responder("host=/nonexistent", "--admin-listen", address, wait=False) as responder:
        assert responder.wait() == status
        lines = responder.log.splitlines()
        assert len(lines) == 1 and lines[0].startswith(f"bagelhook: {text}") and not responder.socket_path.exists()


# --- Prometheus -------------------------------------------------------------------------------------------------------

def test_promtool_metrics(watched, admin, tmp_path):
    """Prometheus's own tool finds nothing to say about the metrics."""
    stack = watched("--spool", tmp_path / "spool")
    for body in (bodies.payment(), b"{}", bodies.payment(mode="live")):
        stack.deliver(body)
    assert watching.promtool("check", "metrics", text=admin.ask("/metrics").body.decode()) == (0, "")


def test_promtool_rules():
    """The alert rules are rules, and each fires, and does not, as it says."""
    status, output = watching.promtool("check", "rules", RULES / "bagelhook.rules.yml")
    assert status == 0, output
    status, output = watching.promtool("test", "rules", *sorted(RULES.glob("*.test.yml")))
    assert status == 0 and output.count("SUCCESS") == 3, output


def test_rules_and_metrics_agree(watched, admin, tmp_path):
    """Each metric that a rule is about is one that there is; each alert is tested."""
    stack = watched("--spool", tmp_path / "spool")
    stack.deliver(bodies.payment())
    text = (RULES / "bagelhook.rules.yml").read_text()
    known = admin.metrics()
    names = {name.partition("{")[0] for name in known}
    rules = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    used = set(re.findall(r"\b(?:bagelhook|process)_[a-z_]+", rules))
    # bagelhook status has these, see test_status.py.
    stored = {"bagelhook_attention", "bagelhook_differences", "bagelhook_verification_timestamp_seconds"}
    assert stored < used and used - stored <= names, used - names
    alerts = re.findall(r"alert: (\w+)", text)
    tested = "".join(path.read_text() for path in RULES.glob("*.test.yml"))
    assert alerts and all(re.search(rf"alertname: {name}\n\s+exp_alerts:\n\s+- exp_labels", tested) for name in alerts)


def test_dashboard(watched, admin, tmp_path):
    """Each query of Grafana's dashboard is valid, and asks for metrics that there are, or that the rules ask for."""
    dashboard = json.loads((harness.SOURCE / "contrib" / "grafana" / "bagelhook.json").read_text())
    queries = [target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
               for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) >= len(dashboard["panels"]) > 10 and not any("$" in query for query in queries)
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": [
        {"record": f"query{number}", "expr": query} for number, query in enumerate(queries)]}]}))
    assert watching.promtool("check", "rules", tmp_path / "rules.yml")[0] == 0
    watched("--spool", tmp_path / "spool").deliver(bodies.payment())
    known = {name.partition("{")[0] for name in admin.metrics()} | {"bagelhook_attention"}
    used = set(re.findall(r"\b(?:bagelhook|process)_[a-z_]+", re.sub(r"\{[^}]*\}", "", " ".join(queries))))
    assert used <= known, used - known
