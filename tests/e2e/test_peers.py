"""Peers that misbehave, on the raw socket: each gets what it deserves, and an honest request is served meanwhile."""

import contextlib
import os
import pathlib
import resource
import socket
import struct
import time

import pytest

import bodies
import fastcgi
import harness
import watching

ABORT, END, DATA, GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = 2, 3, 8, 9, 10, 11
BEGIN = fastcgi.record(fastcgi.BEGIN_REQUEST, b"\0\1\0\0\0\0\0\0")
PARAMS = fastcgi.stream(fastcgi.PARAMS, fastcgi.encode(fastcgi.post_params(2, "0" * 64, 1))) + fastcgi.record(fastcgi.PARAMS)


@pytest.fixture(scope="module")
def admin():
    with contextlib.closing(watching.Admin()) as one:
        yield one


@pytest.fixture(scope="module")
def responder(cluster, admin):
    """One with a short deadline and two threads, which has to outlive all of this."""
    with harness.Responder(cluster.dsn("bagelhook", cluster.create_database()), "--read-timeout", 2, "--threads", 2,
                           *admin.arguments) as one:
        pid = one.pid
        yield one
        assert one.running and one.pid == pid
        assert one.stop() == 0


def signed(responder, body):
    """The parameters of a correctly signed request."""
    now = int(time.time())
    return fastcgi.post_params(len(body), harness.sign(responder.secret, body, now), now)


def serve_honest(responder, within=2):
    """A correctly signed event through the same socket is committed, in good time."""
    body, started = bodies.payment(), time.monotonic()
    answer = fastcgi.request(responder.address, signed(responder, body), body)
    assert answer.status == 200 and time.monotonic() - started < within


def end_of(peer, within):
    """What comes until the responder closes, which it must do in time."""
    peer.socket.settimeout(within)
    received = b""
    with contextlib.suppress(ConnectionError):
        while more := peer.socket.recv(65536):
            received += more
    return received


@pytest.mark.parametrize("content", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100, b"\xff" * 100, os.urandom(1000),
    fastcgi.record(fastcgi.BEGIN_REQUEST, b"\0\1\0"),
    fastcgi.record(fastcgi.PARAMS, b"x"), fastcgi.record(fastcgi.STDIN, b"x"), fastcgi.record(fastcgi.STDOUT, b"x"),
    BEGIN + BEGIN, BEGIN + fastcgi.record(fastcgi.STDIN, b"x"), BEGIN + PARAMS + PARAMS, BEGIN + PARAMS + fastcgi.record(DATA, b"x"),
    BEGIN + fastcgi.record(fastcgi.PARAMS, b"x", request_id=2), BEGIN + PARAMS + fastcgi.record(fastcgi.STDIN, b"", request_id=2),
    BEGIN + fastcgi.record(ABORT), BEGIN + PARAMS + fastcgi.record(fastcgi.STDIN, b"{") + fastcgi.record(ABORT),
    fastcgi.record(GET_VALUES, b""), BEGIN + fastcgi.record(END, b"\0" * 8),
    BEGIN + fastcgi.record(fastcgi.PARAMS, b"\x01") + fastcgi.record(fastcgi.PARAMS),
    BEGIN + fastcgi.record(fastcgi.PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xffAB") + fastcgi.record(fastcgi.PARAMS),
    BEGIN + fastcgi.record(fastcgi.PARAMS, b"\x80\0\0\1\x7f\xff\xff\xffA") + fastcgi.record(fastcgi.PARAMS),
    # More than memory can be, of which libfcgi would die.
    BEGIN + fastcgi.record(fastcgi.PARAMS, b"\xff\xff\xff\xff\xa3\xa7\x02\x00A") + fastcgi.record(fastcgi.PARAMS),
], ids=range(22))
def test_no_request(responder, content):
    """What is no request of ours is cut at once, without an answer."""
    with fastcgi.Peer(responder.address) as peer:
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            peer.send(content)
        assert end_of(peer, 10) == b""
        assert time.monotonic() - started < 1.5
    serve_honest(responder)


@pytest.mark.parametrize(("content", "came"), [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP: this is a FastCGI listener, clients and proxies connect to the web server"),
    (b"OPTIONS * HTTP/1.1\r\n\r\n", "HTTP: this is a FastCGI listener"), (b"\x16\x03\x01\0\xa5\1\0\0\xa1", "TLS: "),
    (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", "the PROXY protocol: turn it off"), (b"\0" * 8, "no FastCGI record"),
    (fastcgi.record(fastcgi.PARAMS, b"x"), "FastCGI records that are malformed, or none of a responder's"),
    (fastcgi.record(fastcgi.BEGIN_REQUEST, b"\0\2\0\0\0\0\0\0"), "FastCGI records that are malformed, or none of a responder's"),
], ids=["HTTP", "HTTP OPTIONS", "TLS", "PROXY", "zeros", "a stray record", "another role"])
def test_what_is_no_request_is_told(responder, admin, content, came):
    """What is cut without an answer is counted, and a record says what it was: of many, one a second."""
    before = len(responder.log)

    def told():
        with fastcgi.Peer(responder.address) as peer:
            peer.send(content)
            end_of(peer, 10)
        return f'came="{came}' in responder.log[before:]

    # The second of the record before has to be over.
    harness.wait_until(told, "the record")
    counted, records = admin.value("connections_malformed_total"), responder.log.count("no FastCGI request")
    for _ in range(20):
        with fastcgi.Peer(responder.address) as peer:
            peer.send(content)
            end_of(peer, 10)
    assert admin.value("connections_malformed_total") == counted + 20
    assert responder.log.count("no FastCGI request") <= records + 5


def test_long_parameters(responder, admin):
    """Parameters beyond the limit are answered, counted and logged, as all that is not served."""
    refused = admin.counted("requests_total").get(("503",), 0)
    answer = fastcgi.request(responder.address, fastcgi.post_params(2, "0" * 64, 1, HTTP_COOKIE="c" * 270_000), b"{}")
    assert (answer.status, answer.json) == (503, {"error": "Request header fields too large", "spooled": False})
    assert admin.counted("requests_total")[("503",)] == refused + 1
    harness.wait_until(lambda: "its header fields are longer than 256 KiB" in responder.log, "the record")
    serve_honest(responder)


def test_values(make_responder):
    """What a web server may ask for before its first request, and between requests, or amid one."""
    # Without an admin listener, which needs descriptors, too.
    responder = make_responder()
    names = ["FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS", "OTHER"]
    question = fastcgi.record(GET_VALUES, fastcgi.encode(dict.fromkeys(names, "")), request_id=0)
    # As many as files may be open, less those for other things.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    places = 1024 if most == resource.RLIM_INFINITY else min(1024, most - 24)
    content = fastcgi.encode({"FCGI_MAX_CONNS": places, "FCGI_MAX_REQS": places, "FCGI_MPXS_CONNS": "0"})
    told = fastcgi.record(GET_VALUES_RESULT, content, request_id=0)
    with fastcgi.Peer(responder.address, timeout=5) as peer:
        for _ in range(2):
            peer.send(question)
            assert peer.receive(len(told)) == told
            peer.begin({"REQUEST_METHOD": "GET"}, keep=True)
            assert peer.answer().status == 405
            peer.body(b"")
        body = bodies.payment()
        peer.begin(signed(responder, body), keep=True)
        peer.send(question)
        assert peer.receive(len(told)) == told
        peer.body(body)
        assert peer.answer().status == 200


def test_other_management_records(responder):
    """FCGI_UNKNOWN_TYPE, which names the type."""
    with fastcgi.Peer(responder.address, timeout=5) as peer:
        peer.send(fastcgi.record(99, b"x", request_id=0))
        assert peer.receive(16) == fastcgi.record(UNKNOWN_TYPE, bytes([99]) + bytes(7), request_id=0)


@pytest.mark.parametrize("role", [0, 2, 3, 65535])
def test_other_roles(responder, role):
    """Who wants an authorizer or a filter is told that we are none."""
    with fastcgi.Peer(responder.address) as peer:
        peer.send(fastcgi.record(fastcgi.BEGIN_REQUEST, struct.pack("!HB5x", role, 0), request_id=7))
        assert end_of(peer, 10) == struct.pack("!BBHHBx", 1, END, 7, 8, 0) + b"\0\0\0\0\x03\0\0\0"
    serve_honest(responder)


@pytest.mark.parametrize("content", [b"", b"\x01", BEGIN[:7], BEGIN, BEGIN + PARAMS[:-3], BEGIN + PARAMS[:20]], ids=range(6))
def test_half_a_request(responder, content):
    """Who begins and does not go on is cut at the deadline."""
    with fastcgi.Peer(responder.address) as peer:
        peer.send(content)
        started = time.monotonic()
        serve_honest(responder)
        assert end_of(peer, 10) == b""
        assert 1.5 < time.monotonic() - started < 5


@pytest.mark.parametrize("close", [True, False])
def test_half_a_body(responder, close):
    """The sender of a body that ends early, or does not go on, is told."""
    with fastcgi.Peer(responder.address) as peer:
        peer.begin(fastcgi.post_params(100, "0" * 64, 1))
        peer.body(b"{", end=False)
        if close:
            peer.socket.shutdown(socket.SHUT_WR)
        answer = peer.answer()
        assert (answer.status, answer.json["detail"]) == (400, "body: shorter than CONTENT_LENGTH")


def resident_mib(responder):
    """What it takes of memory; where sanitizers take more than it, nothing can be said."""
    binary = (harness.BUILD / "bagelhook").read_bytes()
    if b"__asan_init" in binary or b"__tsan_init" in binary:
        pytest.skip("built with a sanitizer that takes memory of its own")
    pages = int(pathlib.Path(f"/proc/{responder.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2 ** 20


def test_endless_parameters(responder):
    """Parameters that are more than any web server passes on are answered, what still comes is dropped for a moment, then
    the connection is cut."""
    before = resident_mib(responder)
    with fastcgi.Peer(responder.address) as peer:
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            peer.send(BEGIN)
            while time.monotonic() - started < 20:
                peer.send(fastcgi.record(fastcgi.PARAMS, b"\x01\x01AB" * 16000))
        assert time.monotonic() - started < 15
    serve_honest(responder)
    assert resident_mib(responder) < before + 10


def test_endless_body(responder):
    """A body beyond the limit is answered, what still comes is dropped for a moment, then the connection is cut."""
    before = resident_mib(responder)
    with fastcgi.Peer(responder.address) as peer:
        peer.begin(fastcgi.post_params(10 ** 9, "0" * 64, 1))
        sent = 0
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - started < 20:
                peer.send(fastcgi.record(fastcgi.STDIN, b"x" * 60000))
                sent += 60000
        assert sent > 2 ** 20 and time.monotonic() - started < 15
    serve_honest(responder)
    assert resident_mib(responder) < before + 20


def test_many_large_halves(responder):
    """Requests that stay under way do not take all of the memory: there is a bound for all of them together."""
    before = resident_mib(responder)
    half = BEGIN + PARAMS + fastcgi.stream(fastcgi.STDIN, b"x" * 900_000)
    with contextlib.ExitStack() as owned:
        for _ in range(200):
            peer = owned.enter_context(fastcgi.Peer(responder.address))
            with contextlib.suppress(ConnectionError):
                peer.send(half)
        serve_honest(responder)
        assert resident_mib(responder) < before + 120


@pytest.fixture
def many_descriptors():
    """As many as the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_crowd(responder, many_descriptors):
    """Ten thousand connections that send nothing: the honest one is served nevertheless."""
    count = min(10_000, many_descriptors - 100)
    with contextlib.ExitStack() as owned:
        for number in range(count):
            owned.enter_context(fastcgi.Peer(responder.address))
            if number % 2000 == 0:
                serve_honest(responder, within=4)
        serve_honest(responder, within=4)
    serve_honest(responder, within=4)


def test_slow_bodies(responder):
    """Any number of peers that send their bodies slowly hold up nobody."""
    with contextlib.ExitStack() as owned:
        peers = [owned.enter_context(fastcgi.Peer(responder.address)) for _ in range(300)]
        for peer in peers:
            peer.begin(fastcgi.post_params(1000, "0" * 64, 1))
            peer.body(b"x", end=False)
        for _ in range(20):
            serve_honest(responder, within=1)


def test_takes_no_answer(responder):
    """Who sends request after request and reads no answer loses the answers, not our time."""
    body, now = bodies.payment(), int(time.time())
    request = fastcgi.post_params(len(body), harness.sign(responder.secret, body, now), now)
    with contextlib.ExitStack() as owned:
        for _ in range(200):
            peer = owned.enter_context(fastcgi.Peer(responder.address))
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            peer.begin(request)
            peer.body(body)
        serve_honest(responder)
