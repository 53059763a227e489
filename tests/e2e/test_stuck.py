"""Threads that others wait for: none of them waits for whoever reads the log, and one that is stuck shows."""

import os
import re
import signal
import time

import pytest

import bodies
import fastcgi
import harness
import watching
from test_lifecycle import deliver


@pytest.fixture
def admin():
    one = watching.Admin()
    yield one
    one.close()


class SilentReader:
    """Reads standard error of a program that is started with prefix, but only when it is told to."""

    def __init__(self, directory):
        self.path = directory / "fifo"
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.prefix = ["sh", "-c", f'exec "$@" 2>{self.path}', "sh"]
        self.text = ""

    def fill(self):
        """Makes the pipe small, and fills it."""
        writer = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            while True:
                os.write(writer, b"x" * 4095 + b"\n")
        except BlockingIOError:
            pass
        finally:
            os.close(writer)

    def read(self):
        """All that has come so far."""
        while True:
            try:
                more = os.read(self.fd, 65536)
            except BlockingIOError:
                return self.text
            if not more:
                return self.text
            self.text += more.decode()

    def close(self):
        os.close(self.fd)


@pytest.fixture
def reader(tmp_path):
    one = SilentReader(tmp_path)
    yield one
    one.close()


def test_reader_of_the_log_that_stops(make_responder, admin, reader):
    """Deliveries are answered although nobody reads the log; what was dropped is counted, and told when it goes on."""
    responder = make_responder(*admin.arguments, prefix=reader.prefix)
    wait_for(admin)
    accepted = 0
    while accepted < 5000 and (accepted % 100 or admin.value("log_records_dropped_total") == 0):
        # An id as long as it may be: what may wait is reached sooner.
        assert deliver(responder, bodies.payment(event_id=f"{accepted:0255}")).status == 200
        accepted += 1
    assert admin.status("/healthz") == 200
    reader.read()
    told = harness.wait_until(lambda: re.search(r'level=warn msg="log records were dropped" total=(\d+)', reader.read()),
                              "it to say how many were dropped")
    # Those that were dropped came one after the other, so that it says so once.
    assert int(told[1]) == admin.value("log_records_dropped_total")
    assert deliver(responder).status == 200
    harness.wait_until(lambda: reader.read().count("msg=accepted") == accepted + 1 - int(told[1]), "the rest of the records")
    assert all(line.startswith("time=") for line in reader.text.splitlines())
    assert responder.stop() == 0


def test_log_that_was_full_at_the_start(make_responder, reader):
    """A service that is started anew where nobody has read for long serves, and ends in time when it is told to."""
    reader.fill()
    responder = make_responder(prefix=reader.prefix)
    assert deliver(responder).status == 200
    assert responder.stop() == 0


def test_log_that_does_not_wait(make_responder, reader):
    """Standard error that somebody has made non-blocking: nothing is lost where it is full for a moment."""
    reader.fill()
    responder = make_responder(prefix=[*reader.prefix, "python3", "-c", "import os, sys; os.set_blocking(2, False); "
                                       "os.execvp(sys.argv[1], sys.argv[1:])"])
    assert deliver(responder).status == 200
    assert "msg=accepted" not in reader.text
    harness.wait_until(lambda: "msg=accepted" in reader.read() and "msg=listening" in reader.text, "the records")
    assert responder.stop() == 0


# --- threads that are stuck -------------------------------------------------------------------------------------------

def wait_for(admin):
    """The admin listener is there a little later than the other one."""
    harness.wait_until(lambda: harness.accepts(admin.path), "the admin listener")


def alive(admin):
    answer = admin.ask("/healthz")
    return (answer.status, answer.body.decode())


def signed(secret):
    """Parameters and body of a delivery."""
    body, now = bodies.payment(), int(time.time())
    return fastcgi.post_params(len(body), harness.sign(secret, body, now), now), body


@pytest.mark.parametrize("thread, call", [
    ("worker", "send"), ("event loop", "accept"),
    *(pytest.param(*row, marks=pytest.mark.long) for row in (("committer", "send"), ("spooler", "fsync")))])
def test_stuck_thread_is_told(cluster, admin, faults, tmp_path, background, thread, call):
    """/healthz names a thread that hangs, and the log, too; when it goes on, all is well."""
    dsn = cluster.dsn("bagelhook", cluster.create_database())
    # The first to send anything is whoever answers or commits: what is refused is not committed.
    secret = "another secret" if thread == "worker" else None
    if thread == "spooler":
        dsn = dsn.replace(cluster.host, str(tmp_path))
    with harness.Responder(dsn, *admin.arguments, "--spool", tmp_path / "spool", environment=faults.environment) as responder:
        wait_for(admin)
        assert alive(admin) == (200, "alive\n")
        with faults.armed(call, error=faults.HANGS):
            background(fastcgi.request, responder.address, *signed(secret or responder.secret))
            harness.wait_until(lambda: faults.failed == 1, "it to hang")
            assert alive(admin) == (200, "alive\n")
            harness.wait_until(lambda: alive(admin)[0] == 503, "it to show", timeout=45)
            assert alive(admin) == (503, f"stuck: {thread}\n") and admin.value("threads_stuck") == 1
            if thread != "event loop":
                harness.wait_until(lambda: f'msg="a thread is stuck" thread={thread}' in responder.log, "the record")
        harness.wait_until(lambda: alive(admin) == (200, "alive\n"), "it to go on")
        assert admin.value("threads_stuck") == 0
        assert responder.stop() == 0


def test_stuck_admin_thread_is_told(make_responder, admin, faults, background):
    """It cannot answer itself: the log names it."""
    responder = make_responder(*admin.arguments, environment=faults.environment)
    wait_for(admin)
    harness.wait_until(lambda: "worker" in blocked(responder.process.pid)[0], "its workers")
    with faults.armed("getrlimit", error=faults.HANGS):
        answer = background(admin.ask, "/metrics")
        harness.wait_until(lambda: faults.failed == 1, "it to hang")
        harness.wait_until(lambda: 'msg="a thread is stuck" thread=admin' in responder.log, "the record", timeout=45)
        assert deliver(responder).status == 200
    assert answer.result(timeout=harness.PATIENCE_S).status == 200
    assert alive(admin) == (200, "alive\n")
    assert responder.stop() == 0


# --- signals ----------------------------------------------------------------------------------------------------------

def blocked(pid):
    """The names of a process's threads but the first, and the signals that all of them block."""
    names, mask = [], ~0
    for task in os.listdir(f"/proc/{pid}/task"):
        if int(task) == pid:
            continue
        status = dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/task/{task}/status", encoding="utf-8"))
        names.append(status["Name"].strip())
        mask &= int(status["SigBlk"], 16)
    return sorted(names), mask


@pytest.mark.parametrize("program", ["responder", "console"])
def test_signals_are_the_first_threads(cluster, admin, tmp_path, program):
    """No other thread's call is broken off by one; and each thread has a name, for those who look at them."""
    name = cluster.create_database()
    if program == "responder":
        one = harness.Responder(cluster.dsn("bagelhook", name), *admin.arguments, "--threads", 2, "--spool", tmp_path / "spool")
        names = ["admin", "committer", "log", "rotation", "spooler", "worker", "worker"]
    else:
        one = harness.Console(cluster.dsn("bagelhook_console", name))
        names = ["log"] + ["worker"] * 4
    with one:
        pid = one.process.pid
        # A thread names itself, a little later than it is there.
        harness.wait_until(lambda: blocked(pid)[0] == names, "all threads")
        mask = blocked(pid)[1]
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            assert mask & 1 << (number - 1)
