"""System calls that fail: a broken disk, a full system. No answer promises what is not so, and the next request is
served as ever."""

import errno
import signal
import time

import bodies
import fastcgi
import harness
import pytest


def request(responder):
    """The status and, of a 503, whether it says spooled; None where the connection was cut."""
    body, now = bodies.payment(), int(time.time())
    params = fastcgi.post_params(len(body), harness.sign(responder.secret, body, now), now)
    try:
        answer = fastcgi.request(responder.address, params, body)
    except (fastcgi.Cut, OSError):
        return None
    return answer.status, answer.json.get("spooled")


def fail_each(faults, call, error, attempt):
    """Fails each call of this name that an attempt makes, in turn; gives the results, and counts those it failed."""
    for skip in range(100):
        with faults.armed(call, skip, error=error):
            result = attempt()
        if faults.failed == 0:
            break
        yield result


@pytest.mark.parametrize(("call", "error"), [
    ("openat", errno.ENOSPC), ("write", errno.ENOSPC), ("fsync", errno.EIO), ("close", errno.EIO),
    ("renameat", errno.EACCES), ("fstatvfs", errno.EIO), ("getentropy", errno.ENOSYS)])
def test_spool_writes(cluster, faults, tmp_path, call, error):
    """What says spooled is in the spool, whichever call of its writing failed."""
    spool = tmp_path / "spool"
    dsn = cluster.dsn("bagelhook", "nowhere").replace(cluster.host, str(tmp_path))
    with harness.Responder(dsn, "--spool", spool, environment=faults.environment) as responder:
        harness.wait_until(lambda: request(responder) == (503, True), "the database to be away")
        before = len(list((spool / "new").iterdir()))
        answers = list(fail_each(faults, call, error, lambda: request(responder)))
        assert {status for status, _ in answers} == {503}
        assert request(responder) == (503, True)
        promised = sum(spooled for _, spooled in answers) + 2
        # A name whose sync failed may be there nevertheless.
        assert promised <= len(list((spool / "new").iterdir())) - before <= len(answers) + 2
        assert not list((spool / "tmp").iterdir())
        assert responder.stop() == 0


def test_spool_hangs(cluster, faults, tmp_path, background):
    """While the disk hangs each request is answered in time all the same, without a promise; and nothing is lost."""
    spool = tmp_path / "spool"
    dsn = cluster.dsn("bagelhook", "nowhere").replace(cluster.host, str(tmp_path))
    with harness.Responder(dsn, "--spool", spool, environment=faults.environment) as responder:
        harness.wait_until(lambda: request(responder) == (503, True), "the database to be away")
        before = len(list((spool / "new").iterdir()))
        started = time.monotonic()
        with faults.armed("fsync", error=harness.Faults.HANGS):
            # The first is being written, the others wait for that.
            answers = [background(request, responder)]
            harness.wait_until(lambda: faults.failed == 1, "a file to be written")
            answers += [background(request, responder) for _ in range(3)]
            assert [answer.result(timeout=20) for answer in answers] == [(503, False)] * 4
            assert time.monotonic() - started > 9
        harness.wait_until(lambda: request(responder) == (503, True), "the spool to be written")
        assert len(list((spool / "new").iterdir())) >= before + 2
        assert not list((spool / "tmp").iterdir())
        assert responder.stop() == 0


@pytest.mark.parametrize(("call", "error"), [
    ("unlinkat", errno.EIO), ("renameat", errno.EIO), ("flock", errno.ENOLCK), ("memory", errno.ENOMEM),
    *(pytest.param(*row, marks=pytest.mark.long)
      for row in (("read", errno.EIO), ("openat", errno.EMFILE), ("fstat", errno.EIO)))])
def test_spool_drains(make_stack, faults, tmp_path, call, error):
    """What cannot be read, or removed, now is drained later, and none of it is lost or taken for broken."""
    spool = tmp_path / "spool"
    stack = make_stack("--spool", spool, environment=faults.environment)
    with stack.connect() as connection:
        connection.execute("REVOKE USAGE ON SCHEMA bagelpay FROM bagelpay_ingest")
        assert [request(stack.responder) for _ in range(3)] == [(503, True)] * 3
        for skip in range(3):
            faults.arm(call, skip, times=2, error=error)
            connection.execute("GRANT USAGE ON SCHEMA bagelpay TO bagelpay_ingest")
            harness.wait_until(lambda: not list((spool / "new").iterdir()), "the spool to be drained")
            faults.disarm()
            connection.execute("REVOKE USAGE ON SCHEMA bagelpay FROM bagelpay_ingest")
            assert request(stack.responder) == (503, True)
        connection.execute("GRANT USAGE ON SCHEMA bagelpay TO bagelpay_ingest")
        harness.wait_until(lambda: not list((spool / "new").iterdir()), "the spool to be drained")
        assert not list((spool / "corrupt").iterdir())
        assert connection.execute("SELECT count(*) FROM bagelpay.events").fetchone() == (6,)


def test_spool_that_cannot_be_read(make_stack, faults, tmp_path):
    """A spool that becomes unreadable is logged, once each time."""
    stack = make_stack("--spool", tmp_path / "spool", environment=faults.environment)
    for times in (1, 2):
        with faults.armed("openat", times=1000, error=errno.EACCES):
            # Passes, of two directories each.
            harness.wait_until(lambda: faults.failed >= 6, "passes")
            assert stack.responder.log.count('msg="cannot read the spool"') == times
        # One that succeeds.
        with faults.armed("openat", times=0):
            harness.wait_until(lambda: faults.seen >= 4, "passes")
    assert 'reason="Permission denied"' in stack.responder.log


@pytest.mark.parametrize(("call", "error"), [
    ("epoll_ctl", errno.ENOMEM), ("epoll_wait", errno.EINTR), ("recv", errno.EIO), ("recv", errno.EAGAIN), ("send", errno.EPIPE),
    ("accept", errno.EMFILE), ("accept", errno.ECONNABORTED), ("poll", errno.EINTR), ("poll", errno.ENOMEM), ("write", errno.EPIPE),
    ("read", errno.EAGAIN)])
def test_serving(make_responder, faults, call, error):
    """Whichever call of serving a request fails, it is answered 200 or 503, or cut; the next one is served as ever."""
    responder = make_responder(environment=faults.environment)
    pid = responder.pid
    for answer in fail_each(faults, call, error, lambda: request(responder)):
        assert answer in ((200, None), (503, False), None)
        harness.wait_until(lambda: request(responder) == (200, None), "a request to be served")
    assert (responder.pid, responder.running) == (pid, True)


@pytest.mark.parametrize(("call", "error"), [
    ("pthread_create", errno.EAGAIN), ("socket", errno.EMFILE), ("bind", errno.EACCES), ("listen", errno.EADDRINUSE),
    ("pipe", errno.EMFILE), ("epoll_create1", errno.EMFILE),
    ("getrlimit", errno.EINVAL), ("mkdirat", errno.ENOSPC), ("openat", errno.EMFILE), ("fsync", errno.EIO), ("fstat", errno.EIO)])
def test_start(cluster, faults, tmp_path, call, error):
    """Whichever call of starting fails, it says so and ends with 1, or serves nevertheless."""
    dsn = cluster.dsn("bagelhook", cluster.create_database())
    for skip in range(20):
        faults.arm(call, skip, error=error)
        arguments = ("--spool", tmp_path / f"spool{skip}")
        with harness.Responder(dsn, *arguments, environment=faults.environment, wait=False) as responder:
            harness.wait_until(lambda: not responder.running or request(responder), "a start")
            if responder.running:
                assert responder.stop() == 0
            else:
                assert responder.wait() == 1
                assert "bagelhook: " in responder.log
            if faults.failed == 0:
                break
    assert skip > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_while_starting(cluster, faults, number):
    """Whoever sees its socket may already ask it to end, and it does so as ever: here while it is writing that it listens."""
    dsn = cluster.dsn("bagelhook", cluster.create_database())
    with faults.armed("write", error=faults.HANGS):
        with harness.Responder(dsn, environment=faults.environment, wait=False) as responder:
            harness.wait_until(lambda: faults.failed == 1, "the first record", process=responder.process)
            assert responder.socket_path.exists() and not responder.log
            responder.send_signal(number)
            faults.disarm()
            assert responder.wait() == 0
            assert "listening" in responder.log and not responder.socket_path.exists()
