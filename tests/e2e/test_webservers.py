"""The web servers that bagelhook ships a configuration for, each as Debian's own, from a delivery to the rows."""

import contextlib
import http.client
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import time

import pytest

import bodies
import harness

LIMIT = 1024 * 1024


class Served:
    """A database and a web server in front of bagelhook."""

    def __init__(self, way, cluster, owned):
        self.cluster, self.way = cluster, way
        self.db = cluster.create_database()
        self.responder = None
        dsn = cluster.dsn("bagelhook", self.db)
        socket = "/run/bagelhook/bagelhook.sock"
        if way in ("nginx", "apache-proxy", "lighttpd", "haproxy", "caddy"):
            spool = owned.enter_context(_directory("spool"))
            responder = owned.enter_context(harness.Responder(dsn, "--socket-mode", "0666", "--spool", spool / "spool"))
            self.responder, self.secret = responder, responder.secret
            if way == "nginx":
                self.server = harness.Nginx(responder.socket_path)
            elif way == "haproxy":
                self.server = harness.HAProxy({socket: responder.socket_path})
            elif way == "caddy":
                self.server = harness.Caddy({socket: responder.socket_path})
            elif way == "lighttpd":
                self.server = harness.Lighttpd({socket: responder.socket_path})
            else:
                self.server = harness.Apache("proxy", {socket: responder.socket_path})
        else:
            # What the server's user starts must be his to read.
            self.secret = "secret_of_the_web_servers"
            own = owned.enter_context(_directory("program"))
            (own / "secret").touch(mode=0o600)
            (own / "secret").write_text(self.secret + "\n")
            shutil.copy2(harness.BUILD / "bagelhook", own / "bagelhook")
            for path in (own, *own.iterdir()):
                harness.Apache.own(path)
            replacements = {"/usr/bin/bagelhook": own / "bagelhook", "/etc/bagelhook/secret.www-data": own / "secret",
                            "/var/lib/bagelhook-www-data": own / "spool", "dbname=bagelhook user=www-data": dsn}
            if way == "lighttpd-spawn":
                replacements["/run/lighttpd/bagelhook.sock"] = own / "socket"
                self.server = harness.Lighttpd(replacements, "bagelhook-spawn")
            else:
                self.server = harness.Apache(way.removeprefix("apache-"), replacements)
        owned.callback(self.server.close)

    def deliver(self, body, **options):
        return harness.deliver(options.pop("url", self.server.url), self.secret, body, **options)

    def query(self, sql, *parameters):
        with self.cluster.connect(self.db) as connection:
            return connection.execute(sql, parameters or None).fetchall()

    def stored(self, body):
        """How often a body's event is in the database."""
        return self.query("SELECT count(*) FROM bagelpay.events WHERE event_id = %s", bodies.event_id(body))[0][0]

    @contextlib.contextmanager
    def database_away(self):
        """Nobody but the tests' superuser gets in for the time of the block."""
        with self.cluster.connect() as connection:
            connection.execute("ALTER ROLE bagelhook NOLOGIN")
            try:
                connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                                   " WHERE datname = %s AND usename = 'bagelhook'", (self.db,))
                yield
            finally:
                connection.execute("ALTER ROLE bagelhook LOGIN")


@contextlib.contextmanager
def _directory(name):
    path = harness.make_directory(name)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module", params=["nginx", "apache-proxy", "apache-fcgid", "apache-cgi", "lighttpd",
                                        "lighttpd-spawn", "haproxy", "caddy"])
def served(request, cluster):
    with contextlib.ExitStack() as owned:
        one = Served(request.param, cluster, owned)
        yield one
        print(f"--- {one.server.log_path}\n{one.server.log_path.read_text()}")


def test_delivery(served):
    """A signed delivery is committed, a second one is a duplicate."""
    body = bodies.payment()
    assert served.deliver(body).json == {"message": "Success", "event_id": bodies.event_id(body), "outcome": "applied"}
    answer = served.deliver(body)
    assert (answer.status, answer.json["outcome"]) == (200, "duplicate")
    assert answer.headers["Content-Type"] == "application/json"
    assert served.stored(body) == 1


def test_refusals(served):
    """What is not correctly signed, not valid, or not a POST gets the responder's own answer."""
    body = bodies.payment()
    for headers in ({}, {"timestamp": "1", "Bagelpay-Signature": "0" * 64},
                    {"timestamp": "1"}, {"Bagelpay-Signature": harness.sign(served.secret, body, 1)}):
        answer = harness.post(served.server.url, body, headers)
        assert (answer.status, answer.json) == (401, {"error": "Invalid signature"})
    answer = served.deliver(b"{}")
    assert answer.status == 400 and answer.json["error"] == "Invalid request body" and answer.json["detail"]
    answer = harness.post(served.server.url, None, method="GET")
    assert (answer.status, answer.headers["Allow"], answer.json) == (405, "POST", {"error": "Method not allowed"})
    assert served.stored(body) == 0


def test_limit(served):
    """A body of 1 MiB is committed; one byte more is a 413, by whichever of the two, and leaves nothing."""
    body = bodies.payment().ljust(LIMIT)
    assert served.deliver(body).json["outcome"] == "applied"
    assert served.query("SELECT length(body) FROM bagelpay.event_bodies WHERE event_id = %s",
                        bodies.event_id(body)) == [(LIMIT,)]
    body = bodies.payment().ljust(LIMIT + 1)
    assert _status_of_long(served, body) == 413
    assert served.stored(body) == 0


def _status_of_long(served, body):
    """A server need not read what it refuses: it may answer, and close, while we still send."""
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=harness.PATIENCE_S)
    try:
        with contextlib.suppress(ConnectionError):
            connection.request("POST", harness.PATH, body, {
                "timestamp": "1", "Bagelpay-Signature": harness.sign(served.secret, body, 1)})
        return connection.getresponse().status
    finally:
        connection.close()


def test_chunked(served):
    """A body that comes in chunks gets its length from those servers that read all of it first; from others, a 411.

    What it never does is to arrive in part.
    """
    body, now = bodies.payment(), str(int(time.time()))
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=harness.PATIENCE_S)
    try:
        connection.request("POST", harness.PATH, iter([body[:10], body[10:]]), {
            "timestamp": now, "Bagelpay-Signature": harness.sign(served.secret, body, now)}, encode_chunked=True)
        status = connection.getresponse().status
    finally:
        connection.close()
    if status == 411 and served.way in ("apache-proxy", "apache-cgi", "haproxy", "caddy"):
        assert served.stored(body) == 0
    else:
        assert (status, served.stored(body)) == (200, 1)


def test_database_away(served):
    """The 503 comes through with its body and Retry-After; what it says is spooled is committed without us."""
    spooled = [bodies.payment() for _ in range(3)]
    assert served.deliver(bodies.payment()).status == 200
    with served.database_away():
        for body in spooled:
            answer = served.deliver(body)
            assert (answer.status, answer.headers["Retry-After"], answer.json["spooled"]) == (503, "60", True)
            assert served.stored(body) == 0

    def committed():
        # Plain CGI has no process that could do it meanwhile.
        assert served.way != "apache-cgi" or served.deliver(bodies.payment()).status == 200
        return all(served.stored(body) for body in spooled)

    harness.wait_until(committed, "the spool to be drained")


def test_other_paths(served):
    """Exactly one path leads to bagelhook, with or without a slash at its end."""
    assert served.deliver(bodies.payment(), url=f"{served.server.url}/?a=b").json["outcome"] == "applied"
    for path in ("/", "/webhooks", "/webhooks/bagelpay/more", "/webhooks/bagelpay2",
                 "/WEBHOOKS/BAGELPAY"):
        body = bodies.payment()
        answer = served.deliver(body, url=served.server.url.replace(harness.PATH, path))
        assert answer.status in (403, 404) and served.stored(body) == 0


@pytest.mark.parametrize("query", ["--insecure-no-signature", "--help", "--version", "redrive+--all", "--check", "a=b"])
def test_query_string(served, query):
    """A query string is no argument: what CGI makes of one is the client's, and is not looked at."""
    answer = harness.post(f"{served.server.url}?{query}", bodies.payment(), {})
    assert (answer.status, answer.json) == (401, {"error": "Invalid signature"})
    body = bodies.payment()
    assert served.deliver(body, url=f"{served.server.url}?{query}").json["outcome"] == "applied"


def test_many_at_once(served, background):
    """Deliveries that come at once are each answered 200, and each there once."""
    # Each CGI process connects by itself, and spools what waits for a connection for more than a second.
    number = 8 if served.way == "apache-cgi" else 24
    several = [bodies.payment() for _ in range(number)]
    assert [future.result().status for future in [background(served.deliver, body) for body in several]] == [200] * number
    assert sum(served.stored(body) for body in several) == number


def test_many_one_after_the_other(served, background):
    """However the server keeps its connections: each of many deliveries is answered, by a few clients at a time."""
    def deliver_some():
        return [served.deliver(bodies.payment()).status for _ in range(60 if served.way in ("nginx", "haproxy") else 3)]

    answers = [future.result() for future in [background(deliver_some) for _ in range(10)]]
    assert {status for some in answers for status in some} == {200}


def test_responder_restarts(served):
    """While there is no responder the delivery is refused; as soon as there is one again, it is asked."""
    assert served.deliver(bodies.payment()).status == 200
    if served.responder is not None:
        served.responder.stop()
        assert served.deliver(bodies.payment()).status in (502, 503)
        served.responder.start()
    elif served.way != "apache-cgi":
        # The server has started them, and starts others.
        assert served.server.responders()
        for pid in served.server.responders():
            os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    harness.wait_until(lambda: served.deliver(bodies.payment()).status == 200, "a responder to be asked")
    # mod_fcgid finds out one by one that they are gone.
    assert served.way == "apache-fcgid" or time.monotonic() - began < 15


def test_reload_of_fcgid(cluster):
    """Behind a reload mod_fcgid has no responder, and the spool waits; whatever is asked then, it is drained."""
    with contextlib.ExitStack() as owned:
        served, body = Served("apache-fcgid", cluster, owned), bodies.payment()
        # Without a login a responder does not start.
        assert served.deliver(bodies.payment()).status == 200
        with served.database_away():
            assert served.deliver(body).json["spooled"]
            assert served.server.responders()
            served.server.process.send_signal(signal.SIGUSR1)
            harness.wait_until(lambda: not served.server.responders(), "the responders to end")
        assert served.stored(body) == 0 and not served.server.responders()
        harness.wait_until(lambda: harness.post(served.server.url, None, method="GET").status == 405, "the new Apache")
        harness.wait_until(lambda: served.stored(body) == 1, "the spool to be drained")


# --- lighttpd as Debian has it ----------------------------------------------------------------------------------------

@pytest.fixture
def debians_lighttpd(tmp_path):
    """A copy of /etc/lighttpd, and a function that runs a command with all its paths led there."""
    shutil.copytree("/etc/lighttpd", tmp_path / "lighttpd", symlinks=True)
    main = tmp_path / "lighttpd" / "lighttpd.conf"
    # Debian's directory for uploads only its own user can see.
    main.write_text(main.read_text().replace("/etc/lighttpd/", f"{tmp_path}/lighttpd/")
                    .replace("/var/cache/lighttpd/uploads", f"{tmp_path}"))
    enable = pathlib.Path(shutil.which("lighty-enable-mod", path="/usr/sbin")).read_text()
    (tmp_path / "lighty-enable-mod").write_text(enable.replace("/etc/lighttpd/", f"{tmp_path}/lighttpd/"))
    (tmp_path / "lighty-enable-mod").chmod(0o755)

    def run(command):
        command = command.replace("/etc/lighttpd/", f"{tmp_path}/lighttpd/")
        command = command.replace("/etc/bagelhook/", f"{harness.SOURCE}/")
        path = f"{tmp_path}:{os.environ['PATH']}:/usr/sbin"
        done = subprocess.run(shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False, cwd="/", env=harness.clean_environment(PATH=path))
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


CHECK = "lighttpd -tt -f /etc/lighttpd/lighttpd.conf"


def test_lighttpd_as_the_package_says(debians_lighttpd):
    """The commands of README.Debian make a configuration of which lighttpd has nothing to say, and which has ours."""
    readme = (harness.SOURCE / "debian" / "bagelhook.README.Debian").read_text()
    for command in re.findall(r"^ {7}(ln .*lighttpd.*|lighty-enable-mod .*)$", readme, re.MULTILINE):
        debians_lighttpd(command)
    assert debians_lighttpd(CHECK) == ""
    assert "/run/bagelhook/bagelhook.sock" in debians_lighttpd(CHECK.replace("-tt", "-p"))


@pytest.mark.parametrize("name", ["bagelhook", "bagelhook-spawn"])
def test_lighttpd_in_a_host(debians_lighttpd, tmp_path, name):
    """In a condition the module is not loaded, as the documents warn; where it is loaded outside, all is well."""
    with open(tmp_path / "lighttpd" / "lighttpd.conf", "a", encoding="utf-8") as main:
        main.write(f'$HTTP["host"] == "shop.example" {{\n    include "{harness.SOURCE}/lighttpd/{name}.conf"\n}}\n')
    assert "unknown config-key: fastcgi.server (ignored)" in debians_lighttpd(CHECK)
    debians_lighttpd("lighty-enable-mod fastcgi")
    said = debians_lighttpd(CHECK)
    assert "DEPRECATED" in said and "ignored" not in said
