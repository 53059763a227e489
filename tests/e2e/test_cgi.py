"""Plain CGI: one process for one request, with its parameters in the environment and its body on standard input."""

import contextlib
import shutil
import socket
import subprocess
import time

import pytest

import bodies
import harness

SECRET = "a_secret_of_the_webhook"


class Program:
    """bagelhook as a web server would start it, on a database of its own."""

    def __init__(self, cluster, directory):
        self.cluster, self.db = cluster, cluster.create_database()
        self.secret_path, self.spool = directory / "secret", directory / "spool"
        self.secret_path.touch(mode=0o600)
        self.secret_path.write_text(SECRET + "\n")

    def environment(self, body, **more):
        """What a server sets for a correctly signed delivery; what is None is left out."""
        now = int(time.time())
        wanted = {"GATEWAY_INTERFACE": "CGI/1.1", "REQUEST_METHOD": "POST", "CONTENT_LENGTH": len(body),
                  "HTTP_TIMESTAMP": now, "HTTP_BAGELPAY_SIGNATURE": harness.sign(SECRET, body, now),
                  "BAGELHOOK_SECRET_FILE": self.secret_path,
                  "BAGELHOOK_DATABASE": self.cluster.dsn("bagelhook", self.db), **more}
        return harness.clean_environment(**{name: value for name, value in wanted.items() if value is not None})

    def start(self, body, *arguments, **more):
        return subprocess.Popen([harness.BUILD / "bagelhook", *arguments], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
                                env=self.environment(body, **more))

    def run(self, body, *arguments, **more):
        """One request, all of which is there; returns the answer, the exit status and standard error."""
        process = self.start(body, *arguments, **more)
        output, errors = process.communicate(body, timeout=harness.PATIENCE_S)
        assert b"Sanitizer" not in errors and b"runtime error" not in errors, errors
        return self.answer(output), process.returncode, errors.decode()

    @staticmethod
    def answer(output):
        head, _, body = output.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        return harness.Answer(int(headers["Status"].split()[0]), headers, body)

    def query(self, sql, *parameters):
        with self.cluster.connect(self.db) as connection:
            return connection.execute(sql, parameters or None).fetchall()

    def count(self):
        return self.query("SELECT count(*) FROM bagelpay.events")[0][0]


@pytest.fixture
def program(cluster):
    directory = harness.make_directory("cgi")
    yield Program(cluster, directory)
    shutil.rmtree(directory)


def test_one_request(program):
    """It is served as by a responder, and the process ends with 0, with nothing to complain of."""
    body = bodies.payment()
    for outcome in ("applied", "duplicate"):
        answer, status, errors = program.run(body)
        assert (answer.status, answer.json["outcome"], status) == (200, outcome, 0)
        assert "level=warn" not in errors and "level=error" not in errors and "listening" not in errors
    assert program.count() == 1


@pytest.mark.parametrize("more, status", [
    ({"REQUEST_METHOD": "GET"}, 405), ({"CONTENT_LENGTH": None}, 411), ({"CONTENT_LENGTH": ""}, 411),
    ({"CONTENT_LENGTH": "10x"}, 411), ({"CONTENT_LENGTH": "1048577"}, 413),
    ({"CONTENT_LENGTH": "99999999999999999999999"}, 413), ({"CONTENT_LENGTH": "1048576"}, 400),
    ({"HTTP_TIMESTAMP": None}, 401), ({"HTTP_BAGELPAY_SIGNATURE": "0" * 64}, 401),
    ({"BAGELHOOK_MAX_BODY": "20"}, 413), ({"CONTENT_LENGTH": "10"}, 401),
])
def test_refusals(program, more, status):
    """The same checks in the same order; the exit status is 0 all the same."""
    answer, code, _ = program.run(bodies.payment(), **more)
    assert (answer.status, code, program.count()) == (status, 0, 0)


def test_input_that_does_not_end(program):
    """Standard input need not end with the body."""
    body = bodies.payment()
    process = program.start(body)
    process.stdin.write(body)
    process.stdin.flush()
    assert program.answer(process.stdout.read()).status == 200
    assert process.wait(harness.PATIENCE_S) == 0
    process.stdin.close()
    process.stderr.close()
    process.stdout.close()


def test_answer_ends_the_output(program, tmp_path, background):
    """Standard output ends with the answer, not with what is drained behind it. Standard input does not: a web server may fail that
    cannot send the rest."""
    if harness.is_sanitized():
        pytest.skip("the sanitizers' functions are not to be replaced")
    answer, *_ = program.run(bodies.payment(), BAGELHOOK_SPOOL=program.spool, BAGELHOOK_DATABASE="host=/nonexistent")
    assert answer.json["spooled"] is True
    faults, body = harness.Faults(tmp_path), bodies.payment()
    with faults.armed("flock", error=faults.HANGS):
        # Locking the spool is the first step of draining it.
        process = program.start(body, BAGELHOOK_SPOOL=program.spool, **faults.environment)
        process.stdin.write(body)
        process.stdin.flush()
        assert program.answer(background(process.stdout.read).result(timeout=20)).status == 200
        harness.wait_until(lambda: faults.failed == 1, "it to drain")
        assert process.poll() is None
        process.stdin.write(b"more")
        process.stdin.flush()
    assert process.wait(harness.PATIENCE_S) == 0
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.stdout.close()
    process.stderr.close()


def test_input_that_does_not_come(program):
    """Reading has its deadline."""
    body = bodies.payment()
    with program.start(body, BAGELHOOK_READ_TIMEOUT=1) as process:
        process.stdin.write(body[:10])
        process.stdin.flush()
        answer = program.answer(process.stdout.read())
    assert (answer.status, process.returncode, program.count()) == (400, 0, 0)


def test_arguments_are_the_clients(program):
    """What the query string became is not looked at."""
    for arguments in (["--insecure-no-signature"], ["--help"], ["redrive", "--all"], ["import", "/etc/passwd"],
                      ["--listen", "127.0.0.1:1"], ["--nonsense"]):
        answer, code, _ = program.run(bodies.payment(), *arguments, HTTP_BAGELPAY_SIGNATURE=None)
        assert (answer.status, code) == (401, 0)


def test_strangers_cost_no_database_work(program, cluster):
    """It connects when a correctly signed delivery is there, and not before."""
    elsewhere = harness.make_directory("nobody")
    try:
        # A database that is missing would be complained of by whoever tries it.
        nowhere = {"BAGELHOOK_DATABASE": f"host={elsewhere}"}
        answer, _, errors = program.run(bodies.payment(), HTTP_BAGELPAY_SIGNATURE="0" * 64, **nowhere)
        assert answer.status == 401 and "database" not in errors
        answer, code, errors = program.run(bodies.payment(), **nowhere)
        assert (answer.status, answer.json["spooled"], code) == (503, False, 0)
        assert "the database cannot be used" in errors
    finally:
        shutil.rmtree(elsewhere)


def test_strangers_drain_nothing(program):
    """Nor is what is in the spool committed for them."""
    first = bodies.payment()
    answer, *_ = program.run(first, BAGELHOOK_SPOOL=program.spool, BAGELHOOK_DATABASE="host=/nonexistent")
    assert answer.json["spooled"] is True
    answer, _, errors = program.run(bodies.payment(), BAGELHOOK_SPOOL=program.spool, HTTP_BAGELPAY_SIGNATURE="0" * 64)
    assert answer.status == 401 and "database" not in errors and "drained" not in errors
    assert program.query("SELECT FROM bagelpay.events WHERE event_id = %s", bodies.event_id(first)) == []


def test_spool(program):
    """What the database cannot take is spooled, and committed by what comes after."""
    first = bodies.payment()
    answer, code, _ = program.run(first, BAGELHOOK_SPOOL=program.spool, BAGELHOOK_DATABASE="host=/nonexistent")
    assert (answer.status, answer.json["spooled"], code) == (503, True, 0)

    def drained():
        assert program.run(bodies.payment(), BAGELHOOK_SPOOL=program.spool)[0].status == 200
        return program.query("SELECT FROM bagelpay.events WHERE event_id = %s", bodies.event_id(first))

    harness.wait_until(drained, "the spool to be drained")


def test_silent_database(program):
    """A delivery does not wait for a database that says nothing."""
    body = bodies.payment()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with program.start(body, BAGELHOOK_SPOOL=program.spool,
                           BAGELHOOK_DATABASE="host=127.0.0.1 port=%d" % silent.getsockname()[1]) as process:
            process.stdin.write(body)
            process.stdin.close()
            answer = program.answer(process.stdout.read1())
            assert time.monotonic() - started < 4
        assert (answer.status, answer.json["spooled"], process.returncode) == (503, True, 0)


@pytest.mark.parametrize("more, text", [
    ({"BAGELHOOK_SECRET_FILE": None}, "no signing secret"),
    ({"BAGELHOOK_SECRET_FILE": "/nonexistent/secret"}, "/nonexistent/secret"),
    ({"BAGELHOOK_BATCH": "many"}, "BAGELHOOK_BATCH"),
])
def test_wrong_configuration(program, more, text):
    """503, so that the provider tries again; the reason is for the server's log."""
    answer, code, errors = program.run(bodies.payment(), **more)
    assert (answer.status, answer.json) == (503, {"error": "Not configured", "spooled": False})
    assert code in (1, 2) and text in errors


def test_client_that_leaves(program):
    """An answer that nobody takes disturbs nothing: the event is committed."""
    body = bodies.payment()
    process = program.start(body)
    process.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(body)
        process.stdin.close()
    assert process.wait(harness.PATIENCE_S) == 0
    process.stderr.close()
    assert program.count() == 1
