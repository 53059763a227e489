"""Memory that runs out while a request is served: it is answered 503, and the next one as ever."""

import contextlib
import os
import pathlib
import resource
import subprocess
import time

import bodies
import fastcgi
import harness
import pytest


def environment(faults):
    # What is freed is overwritten, so that nobody reads it unnoticed.
    return {**faults.environment, "MALLOC_PERTURB_": 165}


def request(responder, body=None):
    """One signed request."""
    body, now = body or bodies.payment(), int(time.time())
    signature = harness.sign(responder.secret, body, now)
    return fastcgi.request(responder.address, fastcgi.post_params(len(body), signature, now), body)


def descriptors(responder):
    """How many the responder has open, as root sees it; for others it is always 0."""
    directory = pathlib.Path(f"/proc/{responder.pid}/fd")
    return len(list(directory.iterdir())) if os.access(directory, os.R_OK) else 0


def fail_each(responder, faults, make_body, times, others):
    """One request for each allocation that fails (times: with how many behind it), until none does.

    Returns how many were answered 503; all that may also be answered is in others.
    """
    refused = 0
    for skip in range(1000):
        started = time.monotonic()
        with faults.armed("memory", skip, times):
            answer = request(responder, make_body())
        assert time.monotonic() - started < 10, f"allocation {skip}"
        if faults.failed == 0:
            return refused
        assert answer.status in {503, *others}, f"allocation {skip}: {answer}"
        refused += answer.status == 503
        # A connection that was lost, too, is there again soon.
        harness.wait_until(lambda: request(responder).status == 200, f"an answer after allocation {skip}")
    raise AssertionError("no request needs so many allocations")


def large():
    """A body beyond what a buffer or an arena begins with."""
    return bodies.payment(note="x" * 100000, metadata={"order_id": bodies.unique(), "list": ["y"] * 5000})


def invalid():
    """One that is kept as a dead letter."""
    return b'{"event_type":'


@pytest.mark.parametrize(("make_body", "times"), [
    (bodies.payment, 1), (large, 1), (invalid, 1), (bodies.payment, 1000000)],
    ids=["small", "large", "invalid", "all from one on"])
def test_each_allocation(make_responder, faults, make_body, times):
    """Whichever allocation fails, the answer is 503, or as it would be otherwise: never none, and at once."""
    responder = make_responder(environment=environment(faults))
    usual = request(responder, make_body()).status
    pid, before = responder.pid, descriptors(responder)
    assert fail_each(responder, faults, make_body, times, {usual}) >= 20
    assert (responder.pid, responder.running) == (pid, True)
    harness.wait_until(lambda: descriptors(responder) <= before, "connections to be closed")


def test_each_allocation_without_a_database(cluster, faults, tmp_path):
    """On the way to the spool the answer is always 503; what says spooled is there."""
    directory = tmp_path / "spool"
    dsn = cluster.dsn("bagelhook", "nowhere").replace(cluster.host, str(tmp_path))
    spooled = 0
    with harness.Responder(dsn, "--spool", directory, environment=environment(faults)) as responder:
        harness.wait_until(lambda: request(responder).json["spooled"], "the database to be away")
        before = len(list((directory / "new").iterdir()))
        for skip in range(1000):
            with faults.armed("memory", skip):
                answer = request(responder)
            assert answer.status == 503, f"allocation {skip}: {answer}"
            spooled += answer.json["spooled"]
            if faults.failed == 0:
                break
        assert answer.json["spooled"] and skip >= 10
        assert len(list((directory / "new").iterdir())) == before + spooled
        assert responder.stop() == 0


def is_answered(responder):
    try:
        return request(responder).status in (200, 503)
    except (fastcgi.Cut, OSError):
        return False


def last_of(count, most=80):
    """The last allocations of a program: the first are the libraries' own preparations."""
    return range(max(count - most, 0), count + 1)


@pytest.mark.long
def test_start_without_memory(cluster, faults):
    """Whichever allocation of the way from the connected database to the first accept fails: it says so, or serves."""
    dsn = cluster.dsn("bagelhook", cluster.create_database())

    def start(skip):
        faults.arm("memory", skip)
        with harness.Responder(dsn, environment=environment(faults), wait=False) as responder:
            harness.wait_until(lambda: not responder.running or harness.accepts(responder.address), "a start")
            harness.wait_until(lambda: not responder.running or is_answered(responder), "an answer")
            seen = faults.seen
            serves = responder.running
            assert (responder.stop() if serves else responder.wait()) in ((0, 1) if serves else (1,))
            assert serves or "bagelhook: " in responder.log
            return serves, seen

    serves, count = start(1 << 40)
    assert serves
    # The very last ones are those of the request.
    assert not all([start(skip)[0] for skip in last_of(count, 90)[:60:2]])


@pytest.mark.parametrize("command", [
    "import", *(pytest.param(name, marks=pytest.mark.long) for name in ("redrive", "export", "adopt", "status"))])
def test_commands_without_memory(cluster, faults, tmp_path, command):
    """When an allocation fails, the operator's commands end with 0, or with 1 and the reason; run again, they finish."""
    db = cluster.create_database()
    (tmp_path / "bodies").write_bytes(bodies.payment() + b"\nno event\n")
    (tmp_path / "customers.csv").write_text("user_id,email,product_id,paid_until\nu,ann@example.com,p,\n")
    arguments = {"import": [tmp_path / "bodies"], "redrive": ["--all"], "adopt": [tmp_path / "customers.csv"]}

    def run(which, skip=1 << 40):
        faults.arm("memory", skip)
        done = subprocess.run([harness.BUILD / "bagelhook", which, "--database", cluster.dsn(db=db), *arguments.get(which, [])],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              env=harness.clean_environment(**environment(faults)))
        return done.returncode, done.stdout, faults.seen

    run("import")
    usual, _, count = run(command)
    for skip in last_of(count)[::4]:
        status, output, _ = run(command, skip)
        assert status in (usual, 1) and (status == usual or output), f"allocation {skip}: {status} {output}"
    assert run(command)[0] == usual
