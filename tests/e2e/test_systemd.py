"""Under systemd, as far as that can be seen without one that is booted: units, activation, notification, credentials."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import bodies
import fastcgi
import harness

UNITS = harness.BUILD / "systemd" / "bagelhook.service", harness.SOURCE / "systemd" / "bagelhook.socket"
EXPOSURE = 1.5


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                          env=harness.clean_environment(SYSTEMD_COLORS="0", SYSTEMD_PAGER=""))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """The units, the service with the program that was built."""
    directory = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = re.sub(r"[^\s'=]*/bin/bagelhook\b", str(harness.BUILD / "bagelhook"), unit.read_text())
        (directory / unit.name).write_text(text)
    return directory


def test_exposure(units):
    """By systemd's own measure the service is shut in well."""
    text = run("systemd-analyze", "security", "--offline=true", units / "bagelhook.service")
    exposure = float(re.search(r"Overall exposure level for bagelhook\.service: ([0-9.]+)", text)[1])
    assert exposure <= EXPOSURE


def test_units_are_valid(units):
    """systemd has nothing to say about them: but that no manual is installed where only a build is."""
    text = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", units / "bagelhook.service",
               units / "bagelhook.socket")
    assert [line for line in text.splitlines() if "bagelhook" in line] == []


def allowed_calls(unit):
    """The names of the system calls that a unit's SystemCallFilter lets through."""
    groups, group = {}, None
    for line in run("systemd-analyze", "syscall-filter").splitlines():
        word = line.split("#")[0].strip()
        if line.startswith("@"):
            group = groups.setdefault(word, set())
        elif line.startswith("#") or not word:
            group = group if line.startswith(" ") else None
        elif group is not None:
            group.add(word)

    def members(name):
        return set().union(*map(members, groups[name])) if name.startswith("@") else {name}

    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", unit.read_text(), re.MULTILINE):
        named = set().union(*map(members, line.removeprefix("~").split()))
        allowed = allowed - named if line.startswith("~") else allowed | named
    # What each process may whatever the filter says.
    return allowed | members("@default")


@pytest.mark.skipif("asan" in subprocess.run(["ldd", harness.BUILD / "bagelhook"], capture_output=True, text=True,
                                             check=False).stdout, reason="sanitizers make calls of their own")
def test_system_calls(cluster, make_responder, units, tmp_path):
    """Starting, committing, spooling, draining, reloading and ending take no call that the filter would refuse."""
    trace = tmp_path / "trace"
    probe = subprocess.run(["strace", "-o", trace, "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"strace is not allowed here: {probe.stderr}")
    spool = harness.make_directory("spool")
    try:
        responder = make_responder("--spool", spool / "spool", prefix=["strace", "-f", "-o", trace, "--"])
        name = re.search(r"dbname=(\S+)", responder.database)[1]
        pid = int(_children(responder.pid)[0])

        def deliver():
            body, now = bodies.payment(), int(time.time())
            params = fastcgi.post_params(len(body), harness.sign(responder.secret, body, now), now)
            return fastcgi.request(responder.address, params, body)

        assert deliver().status == 200
        with cluster.connect() as connection:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,))
            answer = deliver()
            assert (answer.status, answer.json["spooled"]) == (503, True)
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        harness.wait_until(lambda: "drained the spool" in responder.log, "the spool to be drained")
        os.kill(pid, signal.SIGHUP)
        harness.wait_until(lambda: "read the secrets again" in responder.log, "the secrets to be read")
        os.kill(pid, signal.SIGTERM)
        assert responder.wait() == 0
    finally:
        shutil.rmtree(spool)
    used = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    assert {"accept", "socket", "fsync"} <= used
    # It raises its limit on descriptors where it can; the unit sets one.
    assert used - allowed_calls(units / "bagelhook.service") <= {"setrlimit"}


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return children.read().split()


@pytest.fixture
def manager(tmp_path):
    """A service manager's socket: manager() waits for the next message and returns it as a dictionary."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(harness.PATIENCE_S)

        def receive():
            return dict(line.split("=", 1) for line in receiver.recv(4096).decode().splitlines())

        receive.path = tmp_path / "notify"
        yield receive


def test_notification(manager, make_responder):
    """It says when it serves, reads its secrets again, and ends."""
    if "libsystemd" not in run("ldd", harness.BUILD / "bagelhook"):
        pytest.skip("built without libsystemd")
    responder = make_responder(environment={"NOTIFY_SOCKET": manager.path})
    assert manager() == {"READY": "1", "STATUS": "Serving"}
    before = time.monotonic_ns() // 1000
    responder.send_signal(signal.SIGHUP)
    message = manager()
    # The clock's milliseconds are cut.
    assert before - 1000 <= int(message.pop("MONOTONIC_USEC")) <= time.monotonic_ns() // 1000
    assert message == {"RELOADING": "1", "STATUS": "Reading the secrets again"}
    assert manager() == {"READY": "1", "STATUS": "Serving"}
    responder.send_signal(signal.SIGTERM)
    assert manager() == {"STOPPING": "1", "STATUS": "Finishing what was accepted"}
    assert responder.wait() == 0


def test_not_ready_where_it_cannot_serve(manager, make_responder):
    """A start that fails says nothing of the kind."""
    if "libsystemd" not in run("ldd", harness.BUILD / "bagelhook"):
        pytest.skip("built without libsystemd")
    responder = make_responder("--threads", 0, environment={"NOTIFY_SOCKET": manager.path}, wait=False)
    assert responder.wait() == 2
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"NOTHING=1", str(manager.path))
    assert manager() == {"NOTHING": "1"}


def test_activation_and_credentials(cluster, tmp_path):
    """systemd's own tool hands over the socket as descriptor 0; the secrets come from the credentials' directory."""
    credential = tmp_path / "secret"
    credential.touch(mode=0o400)
    credential.write_text("a credential\n")
    path = tmp_path / "activated"
    process = harness.Process(
        ["systemd-socket-activate", "--inetd", f"--listen={path}", "--setenv=CREDENTIALS_DIRECTORY",
         "--setenv=BAGELHOOK_DATABASE", harness.BUILD / "bagelhook"], tmp_path / "log", cwd="/",
        env=harness.clean_environment(CREDENTIALS_DIRECTORY=tmp_path,
                                      BAGELHOOK_DATABASE=cluster.dsn("bagelhook", cluster.create_database())))
    try:
        harness.wait_until(path.exists, "the socket", process=process, log=process.log_path)
        for secret, status in (("a credential", 200), ("another", 401)):
            body = bodies.payment()
            params = fastcgi.post_params(len(body), harness.sign(secret, body, 1), 1)
            assert fastcgi.request(path, params, body).status == status
    finally:
        assert process.end() == 0


def test_secret_file_before_credential(cluster, make_responder, tmp_path):
    """A file that is named is meant."""
    (tmp_path / "secret").touch(mode=0o400)
    (tmp_path / "secret").write_text("a credential\n")
    responder = make_responder(environment={"CREDENTIALS_DIRECTORY": tmp_path})
    body = bodies.payment()
    for secret, status in ((responder.secret, 200), ("a credential", 401)):
        params = fastcgi.post_params(len(body), harness.sign(secret, body, 1), 1)
        assert fastcgi.request(responder.address, params, body).status == status
