"""Under systemd, as far as that can be seen without one that is booted: units, activation, notification, credentials."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time

import pytest

import bodies
import fastcgi
import harness

UNITS = (harness.BUILD / "systemd" / "bagelhook.service", harness.SOURCE / "systemd" / "bagelhook.socket",
         harness.BUILD / "systemd" / "bagelhook-console.service", harness.SOURCE / "systemd" / "bagelhook-console.socket",
         harness.BUILD / "systemd" / "bagelhook-verify.service", harness.SOURCE / "systemd" / "bagelhook-verify.timer",
         harness.SOURCE / "contrib" / "systemd" / "bagelhook-forget.service",
         harness.SOURCE / "contrib" / "systemd" / "bagelhook-forget.timer",
         harness.SOURCE / "contrib" / "systemd" / "bagelhook-attention.service",
         harness.SOURCE / "contrib" / "systemd" / "bagelhook-attention.timer")
EXPOSURE = 1.5
sanitized = pytest.mark.skipif(harness.is_sanitized(), reason="sanitizers make calls of their own")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
                          env=harness.clean_environment(SYSTEMD_COLORS="0", SYSTEMD_PAGER=""))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """The units, the services with the programs that were built."""
    directory = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = re.sub(r"/[^\s'=]*bin/(bagelhook\S*)", rf"{harness.BUILD}/\1", unit.read_text())
        (directory / unit.name).write_text(text)
    return directory


@pytest.mark.parametrize("name", [unit.name for unit in UNITS if unit.suffix == ".service"])
def test_exposure(units, name):
    """By systemd's own measure each service is shut in well."""
    text = run("systemd-analyze", "security", "--offline=true", units / name)
    exposure = float(re.search(rf"Overall exposure level for {re.escape(name)}: ([0-9.]+)", text)[1])
    assert exposure <= EXPOSURE


def test_units_are_valid(units):
    """systemd has nothing to say about them: but that no manual is installed where only a build is."""
    text = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
               *(units / unit.name for unit in UNITS))
    assert [line for line in text.splitlines() if "bagelhook" in line] == []


def test_second_responder(units, tmp_path):
    """The commands of docs/scaling.md make units that are valid, and share no socket and no runtime directory."""
    text = (harness.SOURCE / "docs" / "scaling.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^ {4}(sed .*)$", text, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        run("sh", "-c", f"cd {tmp_path} && " + command.replace("/lib/systemd/system/", f"{units}/"))
    names = ("bagelhook.socket", "bagelhook.service")
    copies = [tmp_path / name.replace("bagelhook", "bagelhook-two") for name in names]
    said = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *copies)
    assert [line for line in said.splitlines() if "bagelhook" in line] == []
    own = re.compile(r"^(?:ListenStream|RuntimeDirectory|EnvironmentFile|Requires)=(.*)$"
                     r"|BAGELHOOK_ADMIN_LISTEN=(\S+)", re.MULTILINE)
    first, second = (["".join(found) for file in files for found in own.findall(file.read_text())]
                     for files in ([units / name for name in names], copies))
    assert len(first) == len(second) == 5 and not set(first) & set(second)


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


@pytest.fixture
def strace(tmp_path):
    """A command that strace runs: strace.prefix; strace() returns the names of the calls that it made."""
    trace = tmp_path / "trace"
    probe = subprocess.run(["strace", "-o", trace, "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"strace is not allowed here: {probe.stderr}")

    def calls():
        return set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))

    calls.prefix = ["strace", "-f", "-o", trace, "--"]
    return calls


@sanitized
def test_system_calls(cluster, make_responder, units, strace):
    """Starting, committing, spooling, draining, being watched, reloading and ending take no call that the filter would
    refuse."""
    spool, port = harness.make_directory("spool"), harness.free_port()
    try:
        responder = make_responder("--spool", spool / "spool", "--admin-listen", f"127.0.0.1:{port}", prefix=strace.prefix)
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
        for path in ("/healthz", "/readyz", "/metrics"):
            assert harness.post(f"http://127.0.0.1:{port}{path}", b"", method="GET").status == 200
        os.kill(pid, signal.SIGHUP)
        harness.wait_until(lambda: "read the secrets again" in responder.log, "the secrets to be read")
        os.kill(pid, signal.SIGTERM)
        assert responder.wait() == 0
    finally:
        shutil.rmtree(spool)
    assert {"accept", "socket", "fsync"} <= strace()
    # It raises its limit on descriptors where it can; the unit sets one.
    assert strace() - allowed_calls(units / "bagelhook.service") <= {"setrlimit"}


def _ask_console(path, uri):
    return fastcgi.request(path, {"REQUEST_METHOD": "GET", "REQUEST_URI": uri})


@sanitized
def test_system_calls_of_the_console(cluster, make_responder, units, strace):
    """Starting, showing, connecting anew and ending take no call that the filter would refuse."""
    name, port = cluster.create_database(), harness.free_port()
    make_responder("--admin-listen", f"127.0.0.1:{port}")
    # By name: it is looked up in a thread of its own.
    with harness.Console(cluster.dsn("bagelhook_console", name), "--admin", f"localhost:{port}", prefix=strace.prefix) as console:
        pid = int(_children(console.process.pid)[0])
        for uri in ("/", "/api/overview", "/api/search?q=ann@example.com", "/api/spool"):
            assert _ask_console(console.socket_path, uri).status == 200
        with cluster.connect() as connection:
            connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,))
        # As many as there are workers, each with its own connection, and more.
        assert [_ask_console(console.socket_path, "/api/overview").status for _ in range(8)] == [200] * 8
        os.kill(pid, signal.SIGTERM)
        assert console.process.popen.wait(harness.PATIENCE_S) == 0
    assert {"accept", "socket", "sendto"} <= strace()
    assert strace() - allowed_calls(units / "bagelhook-console.service") == set()


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
    assert before <= int(message.pop("MONOTONIC_USEC")) <= time.monotonic_ns() // 1000
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
    credential.write_text("a_credential_of_ours\n")
    credential.chmod(0o400)
    path = tmp_path / "activated"
    process = harness.Process(
        ["systemd-socket-activate", "--inetd", f"--listen={path}", "--setenv=CREDENTIALS_DIRECTORY",
         "--setenv=BAGELHOOK_DATABASE", harness.BUILD / "bagelhook"], tmp_path / "log", cwd="/",
        env=harness.clean_environment(CREDENTIALS_DIRECTORY=tmp_path,
                                      BAGELHOOK_DATABASE=cluster.dsn("bagelhook", cluster.create_database())))
    try:
        harness.wait_until(lambda: harness.accepts(path), "the socket", process=process, log=process.log_path)
        for secret, status in (("a_credential_of_ours", 200), ("another", 401)):
            body = bodies.payment()
            params = fastcgi.post_params(len(body), harness.sign(secret, body, 1), 1)
            assert fastcgi.request(path, params, body).status == status
    finally:
        assert process.end() == 0


def start_service(unit, path, environment):
    """What systemd makes of a unit's ExecStartPre= and ExecStart=, on a socket at this path: the service, or None."""
    lines = re.findall(r"^(ExecStartPre|ExecStart)=(-?)(.*)$", unit.read_text(), re.MULTILINE)
    *before, (_, _, program) = sorted(lines, key=lambda line: line[0] == "ExecStart")
    for _, is_ignored, command in before:
        done = subprocess.run(shlex.split(command), capture_output=True, check=False, env=environment)
        if done.returncode != 0 and not is_ignored:
            return None
    # What is set is passed on by name only.
    names = [f"--setenv={name}" for name in environment if name.startswith(("BAGELHOOK_", "CREDENTIALS_"))]
    return harness.Process(["systemd-socket-activate", "--inetd", f"--listen={path}", *names, *shlex.split(program)],
                           path.with_suffix(".log"), cwd="/", env=environment)


@pytest.mark.parametrize("trouble", ["none", "zone", "away"])
def test_restart_of_the_unit(cluster, units, tmp_path, trouble):
    """The service comes up, and spools, while a setting of the database is of no use, or the database is away."""
    name = cluster.create_database()
    (tmp_path / "secret").write_text("a_credential_of_ours\n")
    (tmp_path / "secret").chmod(0o400)
    with cluster.connect(name) as connection:
        if trouble == "zone":
            connection.execute("ALTER TABLE bagelpay.settings DISABLE TRIGGER settings_check_zone")
            connection.execute("UPDATE bagelpay.settings SET provider_timezone = 'Gone/Away'")
    database = cluster.dsn("bagelhook", name)
    if trouble == "away":
        database = database.replace(cluster.host, str(tmp_path))
    process = start_service(units / "bagelhook.service", tmp_path / "activated", harness.clean_environment(
        CREDENTIALS_DIRECTORY=tmp_path, BAGELHOOK_DATABASE=database, BAGELHOOK_SPOOL=tmp_path / "spool"))
    assert process is not None, "ExecStartPre= keeps it from starting"
    try:
        harness.wait_until(lambda: harness.accepts(tmp_path / "activated"), "the socket", process=process,
                           log=process.log_path)
        body = bodies.payment()
        params = fastcgi.post_params(len(body), harness.sign("a_credential_of_ours", body, 1), 1)
        answer = fastcgi.request(tmp_path / "activated", params, body)
        if trouble == "none":
            assert answer.status == 200
        else:
            assert (answer.status, answer.json["spooled"]) == (503, True)
    finally:
        assert process.end() == 0


def test_activation_of_the_console(cluster, tmp_path):
    """On the socket that it is handed, with the database by libpq's variables, as its unit has it."""
    name = cluster.create_database()
    path = tmp_path / "activated"
    database = {"PGHOST": cluster.host, "PGPORT": cluster.port, "PGDATABASE": name, "PGUSER": "bagelhook_console"}
    process = harness.Process(
        ["systemd-socket-activate", "--inetd", f"--listen={path}", *(f"--setenv={variable}" for variable in database),
         harness.BUILD / "bagelhook-console", "--page", harness.SOURCE / "console" / "page"], tmp_path / "log", cwd="/",
        env=harness.clean_environment(**database))
    try:
        harness.wait_until(lambda: harness.accepts(path), "the socket", process=process, log=process.log_path)
        for uri in ("/", "/api/overview"):
            assert _ask_console(path, uri).status == 200
    finally:
        assert process.end() == 0


def test_secret_file_before_credential(cluster, make_responder, tmp_path):
    """A file that is named is meant."""
    (tmp_path / "secret").write_text("a_credential_of_ours\n")
    (tmp_path / "secret").chmod(0o400)
    responder = make_responder(environment={"CREDENTIALS_DIRECTORY": tmp_path})
    body = bodies.payment()
    for secret, status in ((responder.secret, 200), ("a credential", 401)):
        params = fastcgi.post_params(len(body), harness.sign(secret, body, 1), 1)
        assert fastcgi.request(responder.address, params, body).status == status
