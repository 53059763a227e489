"""Listening, serving slow and silent peers, and ending: the responder as a process."""

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

import bodies
import fastcgi
import harness
import waiting


def deliver(responder, body=None, address=None):
    """Delivers a body straight to a responder, as nginx would; returns the Answer."""
    body, now = body or bodies.payment(), int(time.time())
    params = fastcgi.post_params(len(body), harness.sign(responder.secret, body, now), now)
    return fastcgi.request(address or responder.address, params, body)


def assert_serves(responder, address=None):
    assert deliver(responder, address=address).json["outcome"] == "applied"


def stderr_lines(responder):
    return responder.log.splitlines()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop(stack, number):
    """Asked to end with nothing to do, it ends at once with status 0 and takes its socket with it."""
    assert stack.deliver(bodies.payment()).status == 200
    assert stack.responder.process.end(number) == 0
    assert not stack.responder.socket_path.exists()
    assert stack.deliver(bodies.payment()).status == 502


def test_stop_with_requests_in_flight(stack, background):
    """SIGTERM: nobody new is let in; what was accepted gets its answer, when the database gives one; then status 0."""
    assert stack.deliver(bodies.payment("locked")).status == 200
    in_flight = [bodies.payment("locked") for _ in range(3)]
    with waiting.holding(stack, *waiting.row_of("locked")):
        futures = [background(stack.deliver, body) for body in in_flight]
        waiting.wait_blocked(stack)
        # A request of which not all has come yet was accepted as well.
        half = fastcgi.Peer(stack.responder.address)
        body, now = bodies.payment(), int(time.time())
        half.begin(fastcgi.post_params(len(body), harness.sign(stack.secret, body, now), now))
        stack.responder.send_signal(signal.SIGTERM)
        harness.wait_until(lambda: not stack.responder.socket_path.exists(), "the socket to go")
        with pytest.raises(FileNotFoundError):
            fastcgi.Peer(stack.responder.address)
        assert stack.deliver(bodies.payment()).status == 502
        with half:
            half.body(body)
            assert half.answer().status == 200
        assert stack.responder.running and not any(future.done() for future in futures)
    assert [future.result().json["outcome"] for future in futures] == ["applied"] * 3
    assert stack.responder.wait() == 0
    assert stack.query("SELECT count(*) FROM bagelpay.events") == [(5,)]


def test_stop_does_not_wait_for_ever(make_stack):
    """SIGTERM while the database holds an order and a peer says nothing: an end within the deadlines, and no 200."""
    stack = make_stack("--commit-timeout", 1, "--read-timeout", 1)
    with waiting.holding(stack, "LOCK TABLE bagelpay.orders"), fastcgi.Peer(stack.responder.address) as silent, \
            fastcgi.Peer(stack.responder.address) as waiter:
        body, now = bodies.payment(), int(time.time())
        waiter.begin(fastcgi.post_params(len(body), harness.sign(stack.secret, body, now), now))
        waiter.body(body)
        waiting.wait_blocked(stack)
        assert stack.responder.stop(timeout=20) == 0
        assert waiter.answer().status == 503
        with pytest.raises(fastcgi.Cut):
            silent.answer()


def test_hangup_with_requests_in_flight(stack, background):
    """SIGHUP disturbs nothing that is under way."""
    assert stack.deliver(bodies.payment("locked")).status == 200
    with waiting.holding(stack, *waiting.row_of("locked")):
        future = background(stack.deliver, bodies.payment("locked"))
        waiting.wait_blocked(stack)
        stack.responder.send_signal(signal.SIGHUP)
        harness.wait_until(lambda: "read the secrets again" in stack.responder.log, "the secrets to be read")
        assert not future.done()
    assert future.result().status == 200


def drip(address, params, body, begun):
    """Sends a request byte by byte until it is cut; returns the answer's status, or None, and the seconds it took."""
    content = fastcgi.record(fastcgi.BEGIN_REQUEST, b"\0\1\0\0\0\0\0\0") + fastcgi.stream(
        fastcgi.PARAMS, fastcgi.encode(params)) + fastcgi.record(fastcgi.PARAMS) + fastcgi.stream(fastcgi.STDIN, body)
    started = time.monotonic()
    with fastcgi.Peer(address) as peer:
        peer.send(content[:begun])
        peer.socket.settimeout(0.1)
        for at in range(begun, len(content)):
            try:
                peer.socket.sendall(content[at:at + 1])
                if not peer.socket.recv(1, socket.MSG_PEEK):
                    return None, time.monotonic() - started
                break
            except TimeoutError:
                continue
            except ConnectionError:
                # It takes no more; the answer may be there all the same.
                break
        peer.socket.settimeout(harness.PATIENCE_S)
        try:
            return peer.answer().status, time.monotonic() - started
        except fastcgi.Cut:
            return None, time.monotonic() - started


# So many bytes are there at once: of the first record's head, of the parameters, all but some of the body.
@pytest.mark.parametrize("begun, status", [(1, None), (40, None), (-500, 400)], ids=["begin", "parameters", "body"])
def test_dripping_peers(make_stack, background, begun, status):
    """Reading has one deadline, however steadily bytes drip in; meanwhile others are served."""
    stack = make_stack("--read-timeout", 1, "--threads", 4)
    body = bodies.payment().ljust(1000)
    params = fastcgi.post_params(len(body), harness.sign(stack.secret, body, 1), 1)
    drippers = [background(drip, stack.responder.address, params, body, begun) for _ in range(3)]
    served = 0
    while not all(dripper.done() for dripper in drippers):
        assert stack.deliver(bodies.payment()).status == 200
        served += 1
    assert served > 10
    for dripper in drippers:
        answered, seconds = dripper.result()
        assert answered == status
        assert 0.9 <= seconds < 5
    assert stack.query("SELECT count(*) FROM bagelpay.dead_letters") == [(0,)]


def test_silent_peers(make_stack):
    """Connections that say nothing hold no thread; they are closed by the deadline."""
    stack = make_stack("--read-timeout", 2, "--threads", 2)
    with contextlib.ExitStack() as peers:
        silent = [peers.enter_context(fastcgi.Peer(stack.responder.address)) for _ in range(300)]
        for _ in range(20):
            assert stack.deliver(bodies.payment()).status == 200
        for peer in silent:
            assert peer.socket.recv(1) == b""
    assert stack.deliver(bodies.payment()).status == 200


def test_more_silent_peers_than_places(make_stack):
    """More silent connections than the responder keeps: the oldest make room, well before the deadline."""
    stack = make_stack("--read-timeout", 60, "--threads", 2)
    # Some in another process: one may have no more than 1,024 descriptors.
    hold = ("import socket, sys\nheld = []\nfor _ in range(800):\n    held.append(socket.socket(socket.AF_UNIX))\n"
            "    held[-1].connect(sys.argv[1])\nprint('held', flush=True)\nsys.stdin.read()")
    with contextlib.ExitStack() as peers:
        silent = [peers.enter_context(fastcgi.Peer(stack.responder.address)) for _ in range(300)]
        holder = peers.enter_context(subprocess.Popen([sys.executable, "-c", hold, str(stack.responder.socket_path)],
                                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert holder.stdout.readline() == "held\n"
        for _ in range(20):
            assert stack.deliver(bodies.payment()).status == 200
        assert silent[0].socket.recv(1) == b""


@pytest.mark.parametrize("garbage", [b"\0" * 64, b"\xff" * 64, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                                     fastcgi.record(fastcgi.BEGIN_REQUEST, b"\0\2\0\0\0\0\0\0"),
                                     fastcgi.record(fastcgi.STDIN, b"{}"),
                                     fastcgi.record(fastcgi.BEGIN_REQUEST, b"\0\1\0\0\0\0\0\0")
                                     + fastcgi.record(fastcgi.PARAMS, b"\xff\xff\xff\xff\xff\xff\xff\xffA")],
                         ids=["zeros", "ones", "HTTP", "authorizer", "no begin", "lengths"])
def test_garbage(make_responder, garbage):
    """What is no FastCGI request ends with its connection, and disturbs nobody."""
    responder = make_responder("--threads", 1, "--read-timeout", 1)
    for _ in range(3):
        with fastcgi.Peer(responder.address) as peer:
            peer.send(garbage)
            with contextlib.suppress(fastcgi.Cut, ValueError):
                peer.answer()
    assert_serves(responder)


def test_peers_that_leave(make_responder):
    """A web server that goes away, before the end of its request or before the answer, disturbs nobody."""
    responder = make_responder("--threads", 2)
    body, now = bodies.payment(), int(time.time())
    params = fastcgi.post_params(len(body), harness.sign(responder.secret, body, now), now)
    for content in (None, body[:50], body):
        for _ in range(10):
            with fastcgi.Peer(responder.address) as peer:
                peer.begin(params)
                if content is not None:
                    peer.body(content)
    assert_serves(responder)
    assert deliver(responder, body).json["outcome"] == "duplicate"


def test_inherited_socket(make_responder, background):
    """Without --listen it serves the listening socket that it finds as descriptor 0, and leaves it as it was.

    What waits in the socket while nobody serves it is served by the next one.
    """
    model = make_responder()
    path = str(model.directory / "inherited.sock")
    command = [harness.BUILD / "bagelhook", "--secret-file", model.secret_path, "--database", model.database]
    with socket.socket(socket.AF_UNIX) as listening, open(model.directory / "log", "wb") as log:
        listening.bind(path)
        listening.listen(16)
        for _ in range(2):
            waiting_one = background(deliver, model, None, path)
            process = subprocess.Popen(command, stdin=listening, stdout=log, stderr=log, cwd="/",
                                       env=harness.clean_environment())
            try:
                assert waiting_one.result().json["outcome"] == "applied"
                assert_serves(model, path)
                process.send_signal(signal.SIGTERM)
                assert process.wait(harness.PATIENCE_S) == 0
            finally:
                process.kill()
                process.wait()
            assert harness.accepts(path)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_listen_on_tcp(make_responder, host):
    """--listen host:port."""
    port = harness.free_port()
    responder = make_responder(listen=f"{host}:{port}", wait=False)
    harness.wait_until(lambda: _serves_tcp(port), "bagelhook", process=responder.process, log=responder.log_path)
    assert_serves(responder, ("127.0.0.1", port) if harness.accepts(("127.0.0.1", port)) else ("::1", port))
    assert responder.stop() == 0


def _serves_tcp(port):
    for address in (("127.0.0.1", port), ("::1", port)):
        with contextlib.suppress(OSError), fastcgi.Peer(address):
            return True
    return False


def test_listen_on_ipv6(make_responder):
    """--listen [address]:port."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            port = probe.getsockname()[1]
    except OSError:
        pytest.skip("no IPv6 here")
    responder = make_responder(listen=f"[::1]:{port}", wait=False)
    harness.wait_until(lambda: _serves_tcp(port), "bagelhook", process=responder.process, log=responder.log_path)
    assert_serves(responder, ("::1", port))


def test_port_in_use(make_responder):
    """A port that somebody else listens on is refused, in one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        responder = make_responder(listen=f"127.0.0.1:{taken.getsockname()[1]}", wait=False)
        assert responder.wait() == 1
    assert stderr_lines(responder) == [f"bagelhook: --listen {responder.listen}: Address already in use"]


@pytest.mark.parametrize("mode", [None, "0600", "0666"])
def test_socket_mode(make_responder, mode):
    """The socket is its owner's and group's, or as --socket-mode says."""
    responder = make_responder(*(["--socket-mode", mode] if mode else []))
    assert stat.S_IMODE(responder.socket_path.stat().st_mode) == int(mode or "0660", 8)


def test_stale_socket(make_responder):
    """The socket of a responder that was killed is replaced."""
    responder = make_responder()
    responder.kill()
    assert responder.socket_path.exists() and not harness.accepts(responder.address)
    responder.start()
    assert_serves(responder)


def test_live_socket(make_responder):
    """The socket of somebody who still listens is not taken away from him."""
    first = make_responder()
    second = make_responder(listen=first.listen, secret=first.secret, wait=False)
    assert second.wait() == 1
    assert stderr_lines(second) == [f"bagelhook: --listen {first.listen} is already in use"]
    assert_serves(first)


@contextlib.contextmanager
def locked(path, **options):
    """Holds a file's lock, as somebody who starts does."""
    file = os.open(path, os.O_RDONLY | options.get("flags", 0), 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def test_two_starts_at_once(make_responder):
    """Whoever makes a socket has its path to himself meanwhile, or removes what another has just made."""
    responder = make_responder()
    responder.kill()
    lock = pathlib.Path(f"{responder.socket_path}.lock")
    with locked(lock, flags=os.O_CREAT):
        before = responder.socket_path.stat().st_ino
        responder.start(wait=False)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            assert responder.socket_path.stat().st_ino == before and not harness.accepts(responder.address)
        # The lock of one that has ended is no lock: another file is behind this path now.
        lock.unlink()
    waiting.wait_until(lambda: harness.accepts(responder.address), "it to listen")
    assert_serves(responder)
    assert not lock.exists()


def test_lock_for_good(make_responder):
    """A lock that somebody keeps ends the start, with the reason."""
    responder = make_responder()
    responder.kill()
    with locked(f"{responder.socket_path}.lock", flags=os.O_CREAT):
        responder.start(wait=False)
        assert responder.wait() == 1
    assert f"--listen {responder.listen}: another start holds its lock: stop that one\n" in responder.log


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")
def test_lock_of_another_user():
    """A lock that another user's start has left is named, with what to do."""
    lock = harness.make_directory("lock") / "socket.lock"
    lock.touch(mode=0o600)
    lock.parent.chmod(0o777)
    try:
        done = subprocess.run(["setpriv", "--reuid=1", "--clear-groups", harness.BUILD / "bagelhook", "--insecure-no-signature",
                               "--listen", f"unix:{lock.parent}/socket"], capture_output=True, text=True, check=False, cwd="/",
                              timeout=harness.PATIENCE_S, env=harness.clean_environment())
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            1, f"bagelhook: --listen unix:{lock.parent}/socket: another user has left its lock: run: rm {lock}")
    finally:
        shutil.rmtree(lock.parent)


def test_no_lock_for_others(make_responder):
    """Who can read the directory cannot keep anybody from starting: only our own user can open the lock."""
    responder = make_responder()
    responder.kill()
    with locked(responder.directory):
        began = time.monotonic()
        responder.start()
        assert time.monotonic() - began < 4
    assert_serves(responder)


def test_no_locks_at_all(make_responder, faults):
    """A file system that has no locks is no reason not to start."""
    with faults.armed("flock", times=1000, error=errno.ENOLCK):
        responder = make_responder(environment=faults.environment)
        assert faults.failed > 0
    assert_serves(responder)


def test_file_in_the_way(make_responder):
    """A file that is no socket is left alone."""
    responder = make_responder()
    precious = responder.directory / "precious"
    precious.write_text("data")
    other = make_responder(listen=f"unix:{precious}", wait=False)
    assert other.wait() == 1
    assert stderr_lines(other) == [f"bagelhook: --listen unix:{precious}: there is a file that is no socket: name another path"]
    assert precious.read_text() == "data"


def test_socket_of_a_successor(make_responder):
    """Ending, it does not remove a socket that another one has put in the place of its own."""
    old = make_responder()
    old.socket_path.unlink()
    new = make_responder(listen=old.listen, secret=old.secret)
    assert old.stop() == 0
    assert_serves(new)
