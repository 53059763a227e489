"""The real responder in its sandbox: what is in force, and that all it has to do still works there.

What is forbidden is tried from within by tests/unit/check_sandbox.c.
"""

import pathlib
import re
import signal
import subprocess
import time

import pytest

import bodies
import fastcgi
import harness
import waiting


def deliver(responder, body=None, secret=None):
    """Delivers a body straight to a responder, as nginx would; returns the Answer."""
    body, now = body or bodies.payment(), int(time.time())
    params = fastcgi.post_params(len(body), harness.sign(secret or responder.secret, body, now), now)
    return fastcgi.request(responder.address, params, body)


def statuses(pid):
    """For each thread what the kernel says of no_new_privs and seccomp."""
    return [{key: int(value) for key, value in re.findall(r"^(NoNewPrivs|Seccomp|Seccomp_filters):\t(\d+)$",
                                                          (task / "status").read_text(), re.MULTILINE)}
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]


def parts(responder):
    """What the responder says of its sandbox: (no_new_privs, seccomp, landlock)."""
    # It listens before it gives up its rights.
    line, = harness.wait_until(lambda: re.findall(r'^.* level=info msg=sandbox (.*)$', responder.log, re.MULTILINE),
                               "the sandbox", process=responder.process)
    return re.fullmatch(r'no_new_privs=(\S+) seccomp="([^"]*)" landlock="([^"]*)"', line).groups()


def need_seccomp(said):
    if not said.startswith("exec"):
        pytest.skip(f"no seccomp here: {said}")


def assert_shut_in(pid):
    """Of every thread: no new privileges, and one filter more than this process has."""
    own, = statuses("self")[:1]
    for status in statuses(pid):
        assert status["NoNewPrivs"] == 1
        assert status["Seccomp"] == 2
        if "Seccomp_filters" in own:
            assert status["Seccomp_filters"] == own["Seccomp_filters"] + 1


def test_in_force(make_responder):
    """The kernel and the log agree."""
    responder = make_responder()
    no_new_privs, seccomp, _ = parts(responder)
    assert no_new_privs == "yes"
    assert all(status["NoNewPrivs"] == 1 for status in statuses(responder.pid))
    need_seccomp(seccomp)
    assert deliver(responder).status == 200
    assert len(statuses(responder.pid)) > 4
    assert_shut_in(responder.pid)


def test_turned_off(make_responder):
    """Only --no-sandbox, or its variable, does that; and the log has it."""
    for arguments, environment in ((["--no-sandbox"], {}), ([], {"BAGELHOOK_NO_SANDBOX": "yes"})):
        responder = make_responder(*arguments, environment=environment)
        assert 'level=warn msg="the sandbox is switched off"' in responder.log
        assert "msg=sandbox" not in responder.log
        assert statuses(responder.pid)[0] == statuses("self")[0]


def test_no_writing_outside_the_spool(cluster, make_responder, tmp_path):
    """Of the spool's own directories only those that are in the spool: one that somebody moved away is not written to."""
    spool = tmp_path / "spool"
    responder = make_responder("--spool", spool, "--spool-free", 0, "--commit-timeout", 1)
    landlock = parts(responder)[2]
    if not landlock.startswith("ABI"):
        pytest.skip(f"no Landlock here: {landlock}")
    keep_out(cluster, responder)
    answer = deliver(responder)
    assert (answer.status, answer.json["spooled"]) == (503, True)
    (spool / "tmp").rename(tmp_path / "away")
    answer = deliver(responder)
    assert (answer.status, answer.json["spooled"]) == (503, False)
    harness.wait_until(lambda: "Permission denied" in responder.log, "the record")
    assert list((tmp_path / "away").iterdir()) == []
    (tmp_path / "away").rename(spool / "tmp")
    answer = deliver(responder)
    assert (answer.status, answer.json["spooled"]) == (503, True)


def keep_out(cluster, responder):
    """Ends the responder's sessions, and lets it begin no other."""
    db = re.search(r"dbname=(\S+)", responder.database).group(1)
    with cluster.connect() as connection:
        connection.execute(f'ALTER DATABASE "{db}" CONNECTION LIMIT 0')
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (db,))
        harness.wait_until(lambda: connection.execute(
            "SELECT FROM pg_stat_activity WHERE datname = %s", (db,)).rowcount == 0, "the responder's session to end")


@pytest.mark.parametrize("where", ["PGPASSFILE", "HOME", "socket"])
def test_life(remote, tmp_path, where):
    """A database that goes and comes back, meanwhile other secrets, and an end.

    By host name with TLS and a password file, of either kind, or on a Unix socket.
    """
    db = remote.create_database()
    dsn = remote.dsn("bagelhook", db) if where == "socket" else remote.remote_dsn(db)
    environment = {"HOME": str(tmp_path)}
    if where != "socket":
        remote.write_password(tmp_path / ".pgpass", db)
    if where == "PGPASSFILE":
        (tmp_path / ".pgpass").rename(tmp_path / "passwords")
        environment["PGPASSFILE"] = str(tmp_path / "passwords")
    with harness.Responder(dsn, "--spool", tmp_path / "spool", "--spool-free", 0, "--commit-timeout", 2,
                           environment=environment) as responder:
        need_seccomp(parts(responder)[1])
        first = responder.secret
        assert deliver(responder).status == 200
        assert encrypted(remote, db) == [(where != "socket",)]
        remote.stop("immediate")
        try:
            answer = deliver(responder)
            assert (answer.status, answer.json["spooled"]) == (503, True)
            responder.write_secrets("another", "one_more")
            responder.send_signal(signal.SIGHUP)
            harness.wait_until(lambda: "read the secrets again" in responder.log, "the secrets to be read")
            assert deliver(responder, secret=first).status == 401
            answer = deliver(responder, secret="one_more")
            assert (answer.status, answer.json["spooled"]) == (503, True)
        finally:
            remote.start()
        harness.wait_until(lambda: count_events(remote, db) == 3, "the spool to drain", log=responder.log_path)
        assert deliver(responder).status == 200
        assert encrypted(remote, db) == [(where != "socket",)]
        assert_shut_in(responder.pid)
        assert responder.stop() == 0
        assert not responder.socket_path.exists()
        assert list((tmp_path / "spool" / "new").iterdir()) == []


def encrypted(cluster, db):
    with cluster.connect(db) as connection:
        return connection.execute("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
                                  "WHERE usename = 'bagelhook' AND datname = %s", (db,)).fetchall()


def count_events(cluster, db):
    with cluster.connect(db) as connection:
        return connection.execute("SELECT count(*) FROM bagelpay.events").fetchone()[0]


@pytest.mark.parametrize("command", [["import", "-"], ["redrive", "--all"], ["export"], ["adopt", "-"], ["status"]], ids=lambda command: command[0])
def test_operator_commands(stack, command, tmp_path):
    """They are shut in as well; --no-sandbox leaves it out."""
    need_seccomp(parts(stack.responder)[1])
    shut_in, free = (subprocess.Popen(
        [harness.BUILD / "bagelhook", *command, *more, "--database", stack.cluster.dsn("postgres", stack.db)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=harness.clean_environment()) for more in ([], ["--no-sandbox"]))
    with waiting.holding(stack, "LOCK TABLE bagelpay.dead_letters, bagelpay.event_bodies"), shut_in, free:
        # They wait for their input, or for the lock.
        harness.wait_until(lambda: statuses(shut_in.pid)[0]["Seccomp"] == 2, "the sandbox", timeout=10)
        assert_shut_in(shut_in.pid)
        assert statuses(free.pid)[0] == statuses("self")[0]
        for process in (shut_in, free):
            process.kill()


@pytest.fixture
def stranger():
    """An authority that issued nothing to the server."""
    authority = harness.Authority("somebody else")
    yield authority
    authority.close()


def check(dsn, environment):
    """bagelhook --check: exit status, standard output and standard error."""
    done = subprocess.run([harness.BUILD / "bagelhook", "--check", "--insecure-no-signature", "--listen", "unix:/tmp/x",
                           "--database", dsn],
                          capture_output=True, text=True, check=False, env=harness.clean_environment(**environment))
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("wrong, reason", [
    ("authority", "certificate verify failed"),
    ("name", 'does not match host name "127.0.0.1"')])
def test_not_the_server(remote, stranger, tmp_path, wrong, reason):
    """sslmode=verify-full: a server of another name, or of no authority of ours, gets nothing, and the log says why."""
    db = remote.create_database()
    environment = {"PGPASSFILE": str(remote.write_password(tmp_path / "passwords"))}
    dsn = (remote.remote_dsn(db, authority=stranger) if wrong == "authority"
           else remote.remote_dsn(db, host="127.0.0.1"))
    with harness.Responder(dsn, "--commit-timeout", 1, environment=environment) as responder:
        assert deliver(responder).status == 503
        harness.wait_until(lambda: "level=error" in responder.log, "a log line")
        line = next(line for line in responder.log.splitlines() if "level=error" in line).replace("\\", "")
        assert 'connection to server at "' in line
        assert reason in line
        assert remote.password not in responder.log
        assert responder.stop() == 0
    assert count_events(remote, db) == 0
    code, _, complaint = check(dsn, environment)
    assert (code, reason in complaint) == (3, True)
    # A control: with the right authority and name the same is in order.
    code, output, _ = check(remote.remote_dsn(db), environment)
    assert (code, output.splitlines()[-1]) == (0, "all in order")
