"""More to do than threads, descriptors or patience: every request is answered, and by its deadline."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import bodies
import fastcgi
import harness
import waiting
import watching


def begin(responder, body=None, signature=None):
    """Sends a whole request, signed unless a signature is given; the answer is the caller's to wait for."""
    peer = fastcgi.Peer(responder.address)
    send(responder, peer, body, signature)
    return peer


def send(responder, peer, body=None, signature=None):
    body, now = body or bodies.payment(), int(time.time())
    peer.begin(fastcgi.post_params(len(body), signature or harness.sign(responder.secret, body, now), now))
    peer.body(body)


@contextlib.contextmanager
def dripping(responder, count):
    """So many peers that send a byte of their parameters now and then."""
    ended = threading.Event()

    def drip():
        params = fastcgi.stream(fastcgi.PARAMS, fastcgi.encode({"X" * 200: "Y" * 200}))
        while not ended.is_set():
            with contextlib.suppress(ConnectionError), fastcgi.Peer(responder.address) as peer:
                peer.send(fastcgi.record(fastcgi.BEGIN_REQUEST, b"\0\1\0\0\0\0\0\0"))
                for at in range(len(params) - 1):
                    peer.send(params[at:at + 1])
                    if ended.wait(0.1):
                        return

    threads = [threading.Thread(target=drip) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_answers_pass_slow_peers(make_stack, background):
    """An answer does not wait for peers that take their time to send: one thread never reads."""
    stack = make_stack("--threads", 3, "--read-timeout", 30)
    assert stack.deliver(bodies.payment("locked")).status == 200
    with waiting.holding(stack, *waiting.row_of("locked")) as holder:
        future = background(stack.deliver, bodies.payment("locked"))
        waiting.wait_blocked(stack)
        with dripping(stack.responder, 10):
            assert waiting.stays_unanswered(future, 1)
            holder.rollback()
            started = time.monotonic()
            assert future.result(timeout=harness.PATIENCE_S).status == 200
            assert time.monotonic() - started < 10


def test_peers_that_only_send(make_responder):
    """A peer that takes no answer, and goes on sending, holds no thread."""
    responder = make_responder("--read-timeout", 30, "--threads", 2)
    with contextlib.ExitStack() as peers:
        ended = threading.Event()

        def send_on():
            body = bodies.payment()
            with contextlib.suppress(ConnectionError), fastcgi.Peer(responder.address) as peer:
                peer.socket.shutdown(socket.SHUT_RD)
                peer.begin(fastcgi.post_params(len(body), "0" * 64, 1))
                peer.body(body)
                while not ended.wait(0.1):
                    peer.send(b"x")

        threads = [threading.Thread(target=send_on) for _ in range(4)]
        for thread in threads:
            thread.start()
        peers.callback(lambda: [thread.join() for thread in threads])
        peers.callback(ended.set)
        started = time.monotonic()
        with begin(responder) as peer:
            assert peer.answer().status == 200
        assert time.monotonic() - started < 10


def test_few_descriptors(cluster):
    """With few descriptors fewer connections are served at once, but none is cut without an answer."""
    dsn = cluster.dsn("bagelhook", cluster.create_database())
    with harness.Responder(dsn, "--commit-timeout", 1, prefix=("prlimit", "--nofile=200:200")) as responder, \
            contextlib.ExitStack() as owned:
        with begin(responder) as peer:
            assert peer.answer().status == 200
        with cluster.connect(dsn.rpartition("dbname=")[2], autocommit=False) as holder:
            holder.execute("LOCK TABLE bagelpay.orders")
            peers = [owned.enter_context(begin(responder)) for _ in range(250)]
            assert {peer.answer().status for peer in peers} == {503}
        with begin(responder) as peer:
            assert peer.answer().status == 200
        assert responder.stop() == 0
        assert "Too many open files" not in responder.log


def test_too_few_descriptors(cluster):
    """With so few that next to nobody could be served it does not start, and says how many are needed."""
    with pytest.raises(harness.HarnessError, match="only 39 files may be open at once: at least 40 are needed, and 1048 for"):
        harness.Responder(cluster.dsn("bagelhook", cluster.create_database()), prefix=("prlimit", "--nofile=39:39"))


MEBIBYTE = 1 << 20


def answer_of(responder, body):
    with begin(responder, body) as peer:
        return peer.answer()


@pytest.mark.long
def test_largest_bodies(make_responder):
    """With the largest limit that can be given, a body of that length is an event like another."""
    responder = make_responder("--max-body", 64 * MEBIBYTE, "--commit-timeout", 60, "--read-timeout", 60)
    frame = bodies.payment(note="")
    body = frame.replace(b'"note": ""', b'"note": "%b"' % (b"x" * (64 * MEBIBYTE - len(frame))))
    answer = answer_of(responder, body)
    assert (answer.status, answer.json["outcome"]) == (200, "applied")
    with fastcgi.Peer(responder.address) as peer:
        peer.begin(fastcgi.post_params(64 * MEBIBYTE + 1, "0" * 64, 1))
        assert peer.answer().status == 413


def test_many_large_bodies_at_once(make_responder, background):
    """Forty bodies of the usual limit that are all on their way together are all answered."""
    responder = make_responder()
    frame = bodies.payment(note="")
    body = frame.replace(b'"note": ""', b'"note": "%b"' % (b"x" * (MEBIBYTE - len(frame))))
    with contextlib.ExitStack() as owned:
        peers = [owned.enter_context(fastcgi.Peer(responder.address)) for _ in range(40)]
        now = int(time.time())
        for peer in peers:
            peer.begin(fastcgi.post_params(len(body), "0" * 64, now))
            peer.body(body[:-1], end=False)
        for peer in peers:
            peer.body(body[-1:])
        assert [peer.answer().status for peer in peers] == [401] * 40


def test_more_than_memory_allows(make_responder):
    """Of requests that take too much memory together, the largest are refused with a 503 that is counted."""
    with contextlib.ExitStack() as owned:
        admin = owned.enter_context(contextlib.closing(watching.Admin()))
        responder = make_responder(*admin.arguments, "--read-timeout", 60)
        peers = [owned.enter_context(fastcgi.Peer(responder.address)) for _ in range(80)]
        for peer in peers:
            peer.begin(fastcgi.post_params(MEBIBYTE, "0" * 64, 1))
        for peer in peers:
            with contextlib.suppress(ConnectionError):
                peer.body(b"x" * MEBIBYTE, end=False)
        for peer in peers:
            with contextlib.suppress(ConnectionError):
                peer.body(b"")
        statuses = [peer.answer().status for peer in peers]
        assert set(statuses) == {401, 503} and statuses.count(401) >= 60
        assert admin.counted("requests_total")[("503",)] == statuses.count(503)
        waiting.wait_until(lambda: "requests that are under way take too much memory" in responder.log, "the record")


def test_memory_is_given_back(make_responder):
    """What large bodies took is given back when they are done with, for the most part."""
    responder = make_responder("--max-body", 64 * MEBIBYTE, "--commit-timeout", 60, "--read-timeout", 60)

    def resident():
        status = pathlib.Path(f"/proc/{responder.pid}/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) // 1024

    assert answer_of(responder, bodies.payment()).status == 200
    before = resident()
    for _ in range(3):
        assert answer_of(responder, bodies.payment(note="x" * 20 * MEBIBYTE)).status == 200
    assert answer_of(responder, bodies.payment()).status == 200
    waiting.wait_until(lambda: resident() < before + 40, f"less than 40 MiB beyond {before}")


def all_answered(responder, count):
    """Whether count peers that are all there before the first one sends are all answered."""
    descriptors = pathlib.Path(f"/proc/{responder.pid}/fd")
    if not os.access(descriptors, os.R_OK):
        pytest.skip("only root sees what the responder has open")
    with contextlib.ExitStack() as owned:
        with waiting.frozen(responder.pid):
            peers = [owned.enter_context(fastcgi.Peer(responder.address)) for _ in range(count)]
            before = len(list(descriptors.iterdir()))
        waiting.wait_until(lambda: len(list(descriptors.iterdir())) > before, "the responder to accept")
        try:
            for peer in peers:
                send(responder, peer)
            return [peer.answer().status for peer in peers] == [200] * count
        except (fastcgi.Cut, BrokenPipeError):
            return False


def test_more_than_there_are_places_for(cluster):
    """Connections that came when all places were taken wait for one, rather than take that of a peer whose request
    is on its way. The quarter of a second that a peer has for it may be over on a busy machine, hence the turns."""
    dsn = cluster.dsn("bagelhook", cluster.create_database())
    with harness.Responder(dsn, prefix=("prlimit", "--nofile=40:40")) as responder:
        assert any(all_answered(responder, 40) for _ in range(10))


def test_stop_when_all_places_are_taken(cluster):
    """Connections that wait for a place when SIGTERM comes get theirs as places come free, and are answered."""
    dsn = cluster.dsn("bagelhook", cluster.create_database())
    with harness.Responder(dsn, "--commit-timeout", 1, prefix=("prlimit", "--nofile=40:40")) as responder, \
            contextlib.ExitStack() as owned:
        with cluster.connect(dsn.rpartition("dbname=")[2], autocommit=False) as holder:
            holder.execute("LOCK TABLE bagelpay.orders")
            # 16 places.
            peers = [owned.enter_context(begin(responder)) for _ in range(50)]
            responder.send_signal(signal.SIGTERM)
            harness.wait_until(lambda: "stopping: finishing what was accepted" in responder.log, "the stop")
            assert {peer.answer().status for peer in peers} == {503}
        assert responder.wait() == 0


# Connects, sends what is no request, and goes away, as fast as it can.
FLOOD = """
import socket, sys
while True:
    with socket.socket(socket.AF_UNIX) as peer:
        try:
            peer.connect(sys.argv[1])
            peer.send(b"x" * 16)
        except OSError:
            pass
"""


def test_flood(make_responder):
    """However fast connections come and go, those that are there have their turn, and so have signals."""
    responder = make_responder("--read-timeout", 10)
    with contextlib.ExitStack() as owned:
        for _ in range(4):
            flooder = subprocess.Popen([sys.executable, "-c", FLOOD, responder.address])
            owned.callback(flooder.wait)
            owned.callback(flooder.kill)
        for _ in range(20):
            # Several tries: the queue of the socket may be full.
            harness.wait_until(lambda: answered(responder), "an answer")
        assert responder.stop(timeout=10) == 0


def answered(responder):
    try:
        with begin(responder) as peer:
            return peer.answer().status == 200
    except (OSError, fastcgi.Cut):
        return False


def test_deadline_of_those_that_wait(make_stack):
    """While the database stands still each request is answered by its own deadline, and afterwards all is as before."""
    stack = make_stack("--commit-timeout", 2)
    assert stack.deliver(bodies.payment()).status == 200
    with waiting.frozen_backend(stack), contextlib.ExitStack() as owned:
        started = time.monotonic()
        peers = [owned.enter_context(begin(stack.responder)) for _ in range(100)]
        answers = [peer.answer() for peer in peers]
        assert 1.9 <= time.monotonic() - started < 10
        # Of those under way nobody knows, others were never tried. When the connection has been given up there is
        # another, and the last of them may still find the time to be committed.
        committed = [answer.json["event_id"] for answer in answers if answer.status == 200]
        errors = {answer.json["error"] for answer in answers if answer.status == 503}
        assert len(committed) < 100 and "Outcome unknown" in errors
        assert errors <= {"Outcome unknown", "Database unavailable"}
    stored = {event_id for event_id, in stack.query("SELECT event_id FROM bagelpay.events")}
    assert set(committed) <= stored
    harness.wait_until(lambda: stack.deliver(bodies.payment()).status == 200, "deliveries to be taken again")
