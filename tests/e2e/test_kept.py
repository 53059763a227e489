"""Connections that the web server keeps (FCGI_KEEP_CONN): from one request to the next, idle, crowded, misused, and across
restarts."""

import contextlib
import re
import signal
import socket
import struct
import threading
import time

import pytest

import bodies
import fastcgi
import harness
import waiting

OTHER = 2


def params_of(responder, body):
    now = int(time.time())
    return fastcgi.post_params(len(body), harness.sign(responder.secret, body, now), now)


def send(responder, peer, body=None, keep=True):
    body = body or bodies.payment()
    peer.begin(params_of(responder, body), keep)
    peer.body(body)
    return bodies.event_id(body)


def records_of(responder, body=None):
    """A request to be kept as bytes."""
    body = body or bodies.payment()
    return b"".join([
        fastcgi.record(fastcgi.BEGIN_REQUEST, struct.pack("!HB5x", 1, 1)),
        fastcgi.stream(fastcgi.PARAMS, fastcgi.encode(params_of(responder, body))), fastcgi.record(fastcgi.PARAMS),
        fastcgi.stream(fastcgi.STDIN, body), fastcgi.record(fastcgi.STDIN)])


def assert_served(responder, peer):
    event_id = send(responder, peer)
    assert peer.answer().json == {"message": "Success", "event_id": event_id, "outcome": "applied"}


def is_open(peer):
    """Whether the connection is still there, with nothing to be read."""
    peer.socket.setblocking(False)
    try:
        return peer.socket.recv(1, socket.MSG_PEEK) != b"" and pytest.fail("an idle connection says something")
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        peer.socket.settimeout(harness.PATIENCE_S)


def assert_cut(peer):
    """Without another answer."""
    with pytest.raises(fastcgi.Cut):
        peer.answer()


@contextlib.contextmanager
def idle_ones(responder, count):
    """So many connections that have had one request answered."""
    with contextlib.ExitStack() as owned:
        peers = []
        for _ in range(count):
            peers.append(owned.enter_context(fastcgi.Peer(responder.address)))
            assert_served(responder, peers[-1])
        yield peers


# --- one after the other ----------------------------------------------------------------------------------------------

def test_several_requests(make_responder):
    """Requests of all outcomes on one connection, until one is not to be kept."""
    responder = make_responder()
    with fastcgi.Peer(responder.address) as peer:
        assert_served(responder, peer)
        for params, status in ((fastcgi.post_params(2, "0" * 64, 1), 401), (fastcgi.post_params(1), 400),
                               (fastcgi.post_params(), 411), ({"REQUEST_METHOD": "GET"}, 405)):
            peer.begin(params, keep=True)
            peer.body(b"{}")
            assert peer.answer().status == status
        body = bodies.payment(note="x" * 500_000)
        assert [(send(responder, peer, body), peer.answer().json["outcome"])[1] for _ in range(2)] == ["applied", "duplicate"]
        send(responder, peer, keep=False)
        assert peer.answer().status == 200
        assert peer.socket.recv(1) == b""


def test_pipelined(make_responder):
    """Requests that are sent before the answer, with the first or while it is served, are each answered in turn."""
    responder = make_responder()
    several = [bodies.payment() for _ in range(20)]
    with fastcgi.Peer(responder.address) as peer:
        content = b"".join(records_of(responder, body) for body in several)
        peer.send(content[:-50])
        ids = [peer.answer().json["event_id"] for _ in several[:-1]]
        peer.send(content[-50:])
        ids.append(peer.answer().json["event_id"])
        assert ids == [bodies.event_id(body) for body in several]
        assert is_open(peer)


def test_second_while_the_first_waits(make_stack):
    """A second request that comes while the first is in the database waits for its turn, and costs nothing meanwhile."""
    stack = make_stack()
    with fastcgi.Peer(stack.responder.address) as peer:
        with waiting.holding(stack, "LOCK TABLE bagelpay.orders"):
            first = send(stack.responder, peer)
            waiting.wait_blocked(stack)
            second = send(stack.responder, peer)
            spent = [cpu_s(stack.responder)]
            assert all(harness.post(stack.url, None, method="GET").status == 405 for _ in range(5))
            spent.append(cpu_s(stack.responder))
            assert is_open(peer)
        assert [peer.answer().json["event_id"] for _ in range(2)] == [first, second]
    # Nothing turns in circles for a connection that is readable, and not read.
    assert spent[1] - spent[0] < 0.1


def cpu_s(responder):
    """Seconds that a process has run."""
    with open(f"/proc/{responder.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


# --- idle -------------------------------------------------------------------------------------------------------------

def test_idle_ones_hold_no_thread(make_stack):
    """Fifty idle connections and two threads: others are served, and so are the fifty again."""
    stack = make_stack("--threads", 2)
    with idle_ones(stack.responder, 50) as peers:
        for _ in range(10):
            assert stack.deliver(bodies.payment()).status == 200
        for peer in peers:
            send(stack.responder, peer)
        assert [peer.answer().status for peer in peers] == [200] * 50
        assert all(map(is_open, peers))


def test_limit(cluster):
    """At the limit of connections the one that has been idle longest is closed for a new one; none goes unanswered."""
    dsn = cluster.dsn("bagelhook", cluster.create_database())
    with harness.Responder(dsn, "--threads", 2, prefix=("prlimit", "--nofile=60:60")) as responder:
        with idle_ones(responder, 100) as peers:
            still = [is_open(peer) for peer in peers]
            # Those that were idle longest are gone, and as many are there as there are places.
            places = still.count(True)
            assert 10 < places < 60 and still == [False] * (100 - places) + [True] * places
            for peer in peers[-places:]:
                assert_served(responder, peer)
            with fastcgi.Peer(responder.address) as another:
                assert_served(responder, another)
                assert not is_open(peers[-places]) and is_open(peers[-1])
        assert responder.stop() == 0


def test_stop_with_idle_ones(make_responder):
    """SIGTERM closes idle connections at once."""
    responder = make_responder("--read-timeout", 3600)
    with idle_ones(responder, 50) as peers:
        started = time.monotonic()
        assert responder.stop() == 0
        assert time.monotonic() - started < 5
        assert not any(map(is_open, peers))


def test_stop_with_busy_ones(make_stack):
    """SIGTERM lets a kept connection finish the request that it is at, and closes it then."""
    stack = make_stack("--read-timeout", 3600)
    with fastcgi.Peer(stack.responder.address) as busy, idle_ones(stack.responder, 1) as (idle,):
        assert_served(stack.responder, busy)
        with waiting.holding(stack, "LOCK TABLE bagelpay.orders"):
            event_id = send(stack.responder, busy)
            waiting.wait_blocked(stack)
            stack.responder.send_signal(signal.SIGTERM)
            harness.wait_until(lambda: not is_open(idle), "the idle connection to be closed")
            assert is_open(busy) and stack.responder.running
        assert busy.answer().json["event_id"] == event_id
        assert_cut(busy)
        assert stack.responder.wait() == 0


# --- misused ----------------------------------------------------------------------------------------------------------

def test_slow_next_request(make_stack):
    """A next request has as long as a first one, and a slow one holds nobody up."""
    stack = make_stack("--threads", 2, "--read-timeout", 1)
    with idle_ones(stack.responder, 20) as peers:
        started = time.monotonic()
        for peer in peers:
            peer.send(fastcgi.record(fastcgi.BEGIN_REQUEST, struct.pack("!HB5x", 1, 1))[:9])
        assert stack.deliver(bodies.payment()).status == 200
        for peer in peers:
            assert_cut(peer)
        assert 0.9 < time.monotonic() - started < 5


def test_reads_no_answers(make_responder):
    """A peer that sends requests and reads no answer is cut when its buffer is full; others are served meanwhile."""
    responder = make_responder("--threads", 2)
    # Answered without the database, so that it is full soon.
    refused = fastcgi.post_params(2, "0" * 64, 1)
    with fastcgi.Peer(responder.address) as peer, fastcgi.Peer(responder.address) as honest:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        with pytest.raises(ConnectionError):
            for number in range(100_000):
                peer.begin(refused, keep=True)
                peer.body(b"{}")
                if number % 100 == 0:
                    assert_served(responder, honest)
        assert_served(responder, honest)


def test_abort(make_responder):
    """A request that is given up ends the connection without an answer; one that was answered before does not."""
    responder = make_responder()
    with fastcgi.Peer(responder.address) as peer:
        assert_served(responder, peer)
        peer.send(fastcgi.record(fastcgi.ABORT_REQUEST))
        assert_served(responder, peer)
        peer.begin(params_of(responder, b"{}"), keep=True)
        peer.send(fastcgi.record(fastcgi.ABORT_REQUEST))
        assert_cut(peer)


@pytest.mark.parametrize("content", [
    b"GET / HTTP/1.1\r\n\r\n", b"\0" * 16, fastcgi.record(fastcgi.STDIN, b"x"), fastcgi.record(fastcgi.PARAMS),
    fastcgi.record(fastcgi.BEGIN_REQUEST, b"\0\1\0"), fastcgi.record(fastcgi.ABORT_REQUEST, request_id=OTHER)], ids=range(6))
@pytest.mark.parametrize("at_once", [True, False])
def test_malformed_next_request(make_responder, content, at_once):
    """A good request is answered, whatever comes behind it; then the connection is cut."""
    responder = make_responder()
    body = bodies.payment()
    with fastcgi.Peer(responder.address) as peer:
        peer.send(records_of(responder, body) + (content if at_once else b""))
        assert peer.answer().json["event_id"] == bodies.event_id(body)
        if not at_once:
            peer.send(content)
        assert_cut(peer)


def test_multiplexed(make_responder):
    """A second request amid the first is told FCGI_CANT_MPX_CONN; the first is served, and the second when it comes again."""
    responder = make_responder()
    body = bodies.payment()
    with fastcgi.Peer(responder.address) as peer:
        peer.begin(params_of(responder, body), keep=True)
        peer.send(fastcgi.record(fastcgi.BEGIN_REQUEST, struct.pack("!HB5x", 1, 1), request_id=OTHER))
        assert peer.socket.recv(100) == struct.pack("!BBHHBx", 1, fastcgi.END_REQUEST, OTHER, 8, 0) + b"\0\0\0\0\1\0\0\0"
        peer.send(fastcgi.record(fastcgi.PARAMS, b"", request_id=OTHER), fastcgi.record(fastcgi.STDIN, b"{", request_id=OTHER))
        peer.body(body)
        assert peer.answer().json["event_id"] == bodies.event_id(body)
        peer.send(fastcgi.record(fastcgi.STDIN, b"", request_id=OTHER))
        assert_served(responder, peer)


# --- nginx ------------------------------------------------------------------------------------------------------------

def sockets_of(responder):
    """How many connections there are on its socket."""
    with open("/proc/net/unix", encoding="utf-8") as file:
        return sum(line.split()[5] == "03" and line.rstrip().endswith(f" {responder.address}") for line in file)


def test_nginx_keeps_connections(stack):
    """Deliveries one after the other use one connection of each of nginx's two workers."""
    for _ in range(10):
        assert stack.deliver(bodies.payment()).status == 200
    assert 1 <= sockets_of(stack.responder) <= 2


def test_nginx_closes_first():
    """nginx gives a kept connection up before the responder closes it."""
    conf = (harness.SOURCE / "nginx" / "bagelhook-upstream.conf").read_text(encoding="utf-8")
    code = (harness.SOURCE / "common" / "server.c").read_text(encoding="utf-8")
    kept, = re.findall(r"^ *keepalive_timeout (\d+)s;", conf, re.MULTILINE)
    idle, = re.findall(r"^#define IDLE_TIMEOUT_MS (\d+)", code, re.MULTILINE)
    assert int(kept) * 1000 + 10_000 <= int(idle)


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_responder_restarts_behind_nginx(stack, way):
    """A delivery that finds all of nginx's kept connections closed goes to a new one: no 502."""
    for _ in range(5):
        for _ in range(6):
            assert stack.deliver(bodies.payment()).status == 200
        getattr(stack.responder, way)()
        stack.responder.start()
    assert stack.deliver(bodies.payment()).status == 200


class Closing:
    """A responder that answers the first request on a connection, and closes it when the second one has come: as one looks
    that closes an idle connection at the moment at which nginx sends on it."""

    def __init__(self, path):
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(64)
        self._thread = threading.Thread(target=self._accept)
        self.answered = self.closed = 0

    def _accept(self):
        while True:
            try:
                connection = self._listening.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        end = fastcgi.record(fastcgi.STDIN)
        with connection:
            if self._ends_with(connection, end):
                self.answered += 1
                connection.sendall(fastcgi.record(fastcgi.STDOUT, b"Status: 200 OK\r\n\r\n{}") + fastcgi.record(fastcgi.STDOUT)
                                   + fastcgi.record(fastcgi.END_REQUEST, b"\0" * 8))
                if self._ends_with(connection, end):
                    self.closed += 1

    @staticmethod
    def _ends_with(connection, end):
        received = b""
        while not received.endswith(end) and (more := connection.recv(65536)):
            received += more
        return received != b""

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


def test_nginx_retries(tmp_path):
    """A POST that was sent on a kept connection, which was then closed, goes to a new one: no 502."""
    with Closing(tmp_path / "socket") as closing, harness.Nginx(tmp_path / "socket") as nginx:
        assert [harness.deliver(nginx.url, "secret", bodies.payment()).status for _ in range(20)] == [200] * 20
        # All but the first of each of nginx's two workers.
        assert closing.answered == 20 and closing.closed >= 18


@contextlib.contextmanager
def under_load(deliver, count=4):
    """Deliveries from several threads until the block ends; gives the list of the statuses so far."""
    ended, statuses = threading.Event(), []

    def go_on():
        while not ended.is_set():
            statuses.append(deliver(bodies.payment()).status)

    threads = [threading.Thread(target=go_on) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_idle_ones_are_closed_under_nginx(cluster):
    """nginx's kept connections are closed for others all the time, at any moment: each delivery is answered 200."""
    dsn = cluster.dsn("bagelhook", cluster.create_database())
    with harness.Responder(dsn, "--threads", 2, prefix=("prlimit", "--nofile=40:40")) as responder, \
            harness.Nginx(responder.socket_path) as nginx:
        def evict():
            # More than there are places for, each idle when it is answered.
            with contextlib.ExitStack() as owned:
                for _ in range(40):
                    peer = owned.enter_context(fastcgi.Peer(responder.address))
                    peer.begin({"REQUEST_METHOD": "GET"}, keep=True)
                    peer.body(b"")
                    assert peer.answer().status == 405

        with under_load(lambda body: harness.deliver(nginx.url, responder.secret, body)) as statuses:
            for _ in range(20):
                evict()
            harness.wait_until(lambda: len(statuses) > 300, "deliveries")
        assert set(statuses) == {200}
        assert responder.stop() == 0
