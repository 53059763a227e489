"""Upgrades: of the responder, behind a socket that outlives it, and of the schema under a responder."""

import re
import signal
import socket
import subprocess
import threading

import psycopg
import pytest

import bodies
import harness

BOUNDS = ("CREATE OR REPLACE FUNCTION bagelpay.served_responders (OUT oldest integer, OUT newest integer)"
          " LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT {0}, {1}'")
RESTARTS = 5


class Activated:
    """A parent that holds the listening socket, as a service manager does, and starts responders on it."""

    def __init__(self, directory, dsn):
        self.path, self.secret_path, self.log_path = (directory / name for name in ("socket", "secret", "log"))
        self.secret_path.touch(mode=0o600)
        self.secret_path.write_text("secret\n")
        self.dsn = dsn
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path))
        self.socket.listen(4096)

    def start(self):
        with open(self.log_path, "ab") as log:
            return subprocess.Popen(
                [harness.BUILD / "bagelhook", "--secret-file", self.secret_path, "--database", self.dsn],
                stdin=self.socket, stdout=log, stderr=log, cwd="/", env=harness.clean_environment())


@pytest.fixture
def activated(cluster, tmp_path):
    one = Activated(tmp_path, cluster.dsn("bagelhook", cluster.create_database()))
    with one.socket:
        yield one


@pytest.mark.parametrize("overlap", [False, True], ids=["one after the other", "overlapping"])
def test_restarts_under_load(activated, nginx, overlap):
    """Restarted again and again behind its socket, no delivery is cut or refused, and each is there once."""
    server = nginx(activated.path)
    answers, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            body = bodies.payment()
            answers.append((harness.deliver(server.url, "secret", body), bodies.event_id(body)))

    process = activated.start()
    threads = [threading.Thread(target=load) for _ in range(6)]
    try:
        for thread in threads:
            thread.start()
        for restart in range(RESTARTS):
            seen = len(answers)
            harness.wait_until(lambda seen=seen: len(answers) > seen + 20, "deliveries")
            old = process
            if overlap:
                process = activated.start()
            old.send_signal(signal.SIGTERM)
            assert old.wait(harness.PATIENCE_S) == 0
            if not overlap:
                process = activated.start()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        process.send_signal(signal.SIGTERM)
        assert process.wait(harness.PATIENCE_S) == 0
    assert [answer for answer, _ in answers if answer.status != 200] == []
    assert activated.log_path.read_text().count("msg=listening") == RESTARTS + 1
    with connect(activated.dsn) as connection:
        stored = {event for event, in connection.execute("SELECT event_id FROM bagelpay.events")}
    assert stored == {event for _, event in answers}


def connect(dsn):
    """As the superuser."""
    return psycopg.connect(dsn.replace("user=bagelhook", "user=postgres"), autocommit=True)


def test_range_of_the_schema(cluster):
    """The schema serves the responders of its own protocol, and those of the one before."""
    text = (harness.SOURCE / "fcgi" / "commit" / "pg_schema.h").read_text()
    protocol = int(re.search(r"^#define PG_PROTOCOL (\d+)$", text, re.MULTILINE)[1])
    with cluster.connect(cluster.create_database()) as connection:
        assert connection.execute("SELECT * FROM bagelpay.served_responders()").fetchall() == [
            (max(1, protocol - 1), protocol)]


def test_schema_one_step_newer(make_stack, mortal):
    """A responder goes on with a schema one step newer, and starts on it; one further it refuses, with the reason."""
    stack = make_stack(cluster=mortal)
    assert stack.deliver(bodies.payment()).status == 200
    stack.query(BOUNDS.format(1, 2))
    assert stack.deliver(bodies.payment()).status == 200
    # A new connection asks again.
    mortal.stop()
    mortal.start()
    harness.wait_until(lambda: stack.deliver(bodies.payment()).status == 200, "recovery")
    assert stack.responder.stop() == 0
    stack.responder.start()
    assert stack.deliver(bodies.payment()).status == 200
    assert stack.responder.stop() == 0
    stack.query(BOUNDS.format(2, 3))
    stack.responder.start(wait=False)
    assert stack.responder.wait() == 1
    assert ("bagelhook: the schema serves responders of protocol 2 to 3, this one speaks 1: install a newer bagelhook"
            in stack.responder.log)


def test_migration_under_load(make_stack, background):
    """What a migration does, replacing what a responder calls while it calls it, costs no delivery."""
    stack = make_stack()
    definition, = stack.query("SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n"
                              " ON n.oid = p.pronamespace WHERE n.nspname = 'bagelpay' AND p.proname = 'ingest'")
    stop = threading.Event()

    def load():
        answers = []
        while not stop.is_set():
            answers.append(stack.deliver(bodies.payment()).status)
        return answers

    futures = [background(load) for _ in range(4)]
    try:
        for _ in range(10):
            with stack.connect(autocommit=False) as connection:
                connection.execute(definition[0])
                connection.execute(BOUNDS.format(1, 2))
                connection.commit()
            harness.wait_until(lambda: stack.deliver(bodies.payment()).status == 200, "a delivery")
    finally:
        stop.set()
    answers = [status for future in futures for status in future.result()]
    assert len(answers) > 10 and set(answers) == {200}
