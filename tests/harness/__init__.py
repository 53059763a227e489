"""What end-to-end tests and histories run on: private PostgreSQL clusters, nginx and the responder, as real processes.

Each class owns a directory and the processes it starts, and removes both with close() (or as a context manager).
Nothing listens but on Unix sockets and the loopback address. As root, PostgreSQL, which refuses to run as root, runs
as the user postgres; everything else runs as whoever runs the tests.

    BAGELHOOK_BUILD   the directory with the binaries (default: the source tree)
    BAGELHOOK_SOURCE  the source tree (default: the one this file is in)
"""

import contextlib
import hashlib
import hmac
import http.client
import itertools
import json
import os
import pathlib
import pwd
import re
import secrets as random_source
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

import psycopg

SOURCE = pathlib.Path(os.environ.get("BAGELHOOK_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("BAGELHOOK_BUILD", SOURCE))
SAMPLES = SOURCE / "tests" / "events" / "valid" / "documented"
PATH = "/webhooks/bagelpay"

# Long enough for a loaded machine, short enough to see that something hangs.
PATIENCE_S = 60


class HarnessError(Exception):
    """The test bed itself does not work; the message says what was seen."""


def wait_until(condition, what, timeout=PATIENCE_S, process=None, log=None):
    """Waits for condition() to be true and returns what it returned; gives up when the process has ended."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if process is not None and process.poll() is not None:
            raise HarnessError(f"{what}: the process ended with {process.returncode}\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise HarnessError(f"{what}: not within {timeout} seconds\n{_tail(log)}")
        time.sleep(0.02)


def _tail(log, length=4000):
    return "" if log is None else pathlib.Path(log).read_text(errors="replace")[-length:]


def accepts(address):
    """Whether a socket accepts connections: a path (Unix) or (host, port)."""
    unix = isinstance(address, (str, os.PathLike))
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as client:
        client.settimeout(5)
        try:
            client.connect(os.fspath(address) if unix else address)
        except OSError:
            return False
        return True


def free_port():
    """A loopback port that was free a moment ago."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def make_directory(prefix, user=None):
    """A new directory that every user can enter, whatever TMPDIR and umask are; its path is short enough for sockets."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=f"bagelhook-{prefix}-", dir="/tmp"))
    path.chmod(0o755)
    if user is not None:
        shutil.chown(path, user)
    return path


def clean_environment(**more):
    """The environment without settings that would lead a program to somebody's own database or responder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "BAGELHOOK_", "SQITCH_"))}
    return {**kept, "LC_ALL": "C.UTF-8", **{k: str(v) for k, v in more.items()}}


class Process:
    """A child with its output in a file. Always reaped; its id is never used after that."""

    def __init__(self, command, log, **options):
        self.log_path = pathlib.Path(log)
        with open(self.log_path, "ab") as output:
            self.popen = subprocess.Popen([os.fspath(word) for word in command], stdin=subprocess.DEVNULL,
                                          stdout=output, stderr=output, **options)

    @property
    def pid(self):
        return self.popen.pid

    def poll(self):
        return self.popen.poll()

    @property
    def returncode(self):
        return self.popen.returncode

    def send_signal(self, number):
        self.popen.send_signal(number)

    def end(self, number=signal.SIGTERM, timeout=PATIENCE_S):
        """Sends a signal and returns the exit status (negative: the signal it died of); kills what does not end."""
        self.send_signal(number)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise HarnessError(f"{self.popen.args[0]} did not end within {timeout} seconds\n"
                               f"{_tail(self.log_path)}") from None


class Cluster:
    """A private PostgreSQL server. Durability is off by default: a test kills processes, not the machine."""

    SPEED = {"fsync": "off", "full_page_writes": "off", "autovacuum": "on", "max_connections": "200"}

    def __init__(self, **settings):
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.bin = self._find_server()
        self.directory = make_directory("postgres", self.user)
        self.host = str(self.directory)
        self.port = 5432
        self.log_path = self.directory / "postgres.log"
        self.settings = {**self.SPEED, **settings}
        self.process = None
        self._names = itertools.count(1)
        self._template = None
        try:
            self._as_user(self.bin / "initdb", f"--pgdata={self.directory / 'data'}", "--username=postgres",
                          "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
            self.start()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _find_server():
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[4]))
        if not found:
            raise HarnessError("no PostgreSQL server in /usr/lib/postgresql")
        return found[-1].parent

    def _prefix(self):
        # setpriv replaces itself with the command, so that the process id is the server's own.
        if os.geteuid() != 0:
            return []
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--reset-env", "--"]

    def _as_user(self, *command):
        done = subprocess.run([*self._prefix(), *map(os.fspath, command)], cwd="/", env=clean_environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise HarnessError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")

    def start(self, **settings):
        """Starts a stopped or killed server on the same data, with settings on top of those of the constructor."""
        wanted = {"listen_addresses": "", "unix_socket_directories": self.host, "port": self.port,
                  **self.settings, **settings}
        options = [word for name, value in wanted.items() for word in ("-c", f"{name}={value}")]
        self.process = Process([*self._prefix(), self.bin / "postgres", "-D", self.directory / "data", *options],
                               self.log_path, cwd="/", env=clean_environment(), start_new_session=True)
        wait_until(self._ready, "PostgreSQL", process=self.process, log=self.log_path)

    def _ready(self):
        return subprocess.run([self.bin / "pg_isready", "--quiet", f"--host={self.host}", f"--port={self.port}"],
                              env=clean_environment(), check=False).returncode == 0

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, mode="fast"):
        """Stops the server as pg_ctl would (smart, fast, immediate); the data stay for start()."""
        if self.running:
            signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
            self.process.end(signals[mode])

    def kill(self):
        """SIGKILL to the server and all its children, as a crash would; start() then recovers."""
        if not self.running:
            return
        postmaster = self.process.pid
        # Stopped first, so that it starts no child that we would miss.
        self.process.send_signal(signal.SIGSTOP)
        children = pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        # While their parent is stopped nobody reaps them, so that the ids stay theirs.
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        self.process.end(signal.SIGKILL)
        # Then nobody but the system reaps them; a new server waits for them in vain while they hold its memory.
        wait_until(lambda: all(_gone(child) for child in children), "PostgreSQL's children")

    def dsn(self, user="postgres", db="postgres"):
        """A libpq connection string."""
        return f"host={self.host} port={self.port} user={user} dbname={db}"

    def connect(self, db="postgres", user="postgres", autocommit=True):
        """A psycopg connection, the caller's to close (use it with `with`)."""
        return psycopg.connect(self.dsn(user, db), autocommit=autocommit)

    def create_database(self, migrated=True, name=None):
        """Creates a database and returns its name. A migrated one is a copy: migrating takes seconds, copying does not.

        The role bagelhook (login, member of bagelpay_ingest) exists from the first migrated database on.
        """
        name = name or f"test_{next(self._names)}"
        template = self._migrated_template() if migrated else "template0"
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop_database(self, name):
        """Drops a database, whoever is connected."""
        with self.connect() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _migrated_template(self):
        if self._template is None:
            with self.connect() as connection:
                connection.execute("CREATE DATABASE bagelpay_template TEMPLATE template0")
            self.deploy("bagelpay_template")
            with self.connect() as connection:
                connection.execute("CREATE ROLE bagelhook LOGIN IN ROLE bagelpay_ingest")
            self._template = "bagelpay_template"
        return self._template

    def sqitch(self, command, db, *arguments, **more):
        """Runs a sqitch command on a database, with more environment; returns the ended process, output as text."""
        environment = clean_environment(
            PGHOST=self.host, PGPORT=self.port, PGUSER="postgres", SQITCH_FULLNAME="bagelhook",
            SQITCH_EMAIL="bagelhook@localhost", SQITCH_USER_CONFIG="/dev/null", SQITCH_SYSTEM_CONFIG="/dev/null",
            PATH=f"{self.bin}:{os.environ['PATH']}", **more)
        return subprocess.run(["sqitch", "--chdir", SOURCE / "sql", command, f"db:pg:{db}", *arguments],
                              env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)

    def deploy(self, db, *arguments):
        """Brings a database to the newest schema (or as far as sqitch's arguments say)."""
        done = self.sqitch("deploy", db, *arguments)
        if done.returncode != 0:
            raise HarnessError(f"sqitch deploy failed:\n{done.stdout}")

    def close(self):
        with contextlib.suppress(HarnessError):
            self.stop("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _gone(pid):
    """Whether a process has ended; a zombie has, it only was not reaped yet."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


class Nginx:
    """nginx on a loopback port, with the shipped configuration, in front of a responder's socket."""

    def __init__(self, socket_path, port=None):
        self.directory = make_directory("nginx")
        self.log_path = self.directory / "error.log"
        self.socket_path = socket_path
        self.process = None
        try:
            self._start(port)
        except BaseException:
            self.close()
            raise

    def _start(self, port):
        # Between our choice of a port and nginx's use of it somebody else may take it.
        for attempt in range(5):
            self.port = port or free_port()
            self._configure()
            self.process = Process(["nginx", "-e", "stderr", "-p", self.directory, "-c", self.directory / "nginx.conf"],
                                   self.log_path, cwd="/", start_new_session=True,
                                   env=clean_environment(PATH=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin"))
            try:
                wait_until(self._serves, "nginx", process=self.process, log=self.log_path)
                return
            except HarnessError:
                if port or attempt == 4 or "Address already in use" not in _tail(self.log_path):
                    raise

    def _configure(self):
        # As root, nginx would make its workers the user nobody, who may not open the responder's socket.
        user = "user root;" if os.geteuid() == 0 else ""
        text = (SOURCE / "nginx" / "nginx.conf.in").read_text()
        text = text.replace("@DIR@", str(self.directory)).replace("@PORT@", str(self.port)).replace("@USER@", user)
        (self.directory / "nginx.conf").write_text(text)
        text = (SOURCE / "nginx" / "bagelhook.conf").read_text()
        text, count = re.subn(r"unix:/run/bagelhook/bagelhook\.sock", f"unix:{self.socket_path}", text)
        if count != 1:
            raise HarnessError("nginx/bagelhook.conf does not name the socket exactly once")
        (self.directory / "bagelhook.conf").write_text(text)

    def _serves(self):
        # The pid file tells our nginx from another server on the same port.
        return (self.directory / "nginx.pid").exists() and accepts(("127.0.0.1", self.port))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}{PATH}"

    def stop(self):
        """Lets nginx finish what it has, as far as it goes in a moment."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.process.end(signal.SIGQUIT, timeout=5)
            except HarnessError:
                pass

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.end(signal.SIGTERM)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Responder:
    """BAGELHOOK_BUILD/bagelhook with given arguments, its standard error in a file."""

    def __init__(self, database, *arguments, secret=None, listen=None, environment=None, wait=True):
        """database is a connection string; secret a string, or several for rotation (default: one at random).

        listen is by default a Unix socket in a directory of the responder's own. With wait=False the
        responder need not come to listen: for tests of a start that fails, or is late.
        """
        self.directory = make_directory("responder")
        self.log_path = self.directory / "stderr"
        self.secrets = [secret or random_source.token_hex(32)] if not isinstance(secret, (list, tuple)) else list(secret)
        self.secret_path = self.directory / "secret"
        self.write_secrets(*self.secrets)
        self.socket_path = self.directory / "bagelhook.sock"
        self.database = database
        self.listen = listen or f"unix:{self.socket_path}"
        self.arguments = [str(argument) for argument in arguments]
        self.environment = clean_environment(**(environment or {}))
        self.process = None
        try:
            self.start(wait)
        except BaseException:
            self.close()
            raise

    @property
    def secret(self):
        return self.secrets[0]

    def write_secrets(self, *values):
        """Replaces the secret file; the responder reads it again on SIGHUP."""
        self.secrets = list(values)
        new = self.directory / "secret.new"
        new.touch(mode=0o600)
        new.write_text("".join(f"{value}\n" for value in values))
        new.rename(self.secret_path)

    def start(self, wait=True):
        """Starts it, also again after stop() or kill(), with the same arguments."""
        self.process = Process([BUILD / "bagelhook", "--listen", self.listen, "--secret-file", self.secret_path,
                                "--database", self.database, *self.arguments],
                               self.log_path, cwd="/", env=self.environment)
        if wait:
            wait_until(lambda: accepts(self.address), "bagelhook", process=self.process, log=self.log_path)

    @property
    def address(self):
        if self.listen.startswith("unix:"):
            return self.listen[len("unix:"):]
        host, _, port = self.listen.rpartition(":")
        return host, int(port)

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def log(self):
        """All that it has written to standard error, over all of its starts."""
        return self.log_path.read_text(errors="replace")

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=PATIENCE_S):
        """Waits for its end and returns the exit status."""
        return self.process.popen.wait(timeout)

    def stop(self, timeout=PATIENCE_S):
        """SIGTERM; returns the exit status."""
        return self.process.end(signal.SIGTERM, timeout)

    def kill(self):
        """SIGKILL."""
        return self.process.end(signal.SIGKILL)

    def close(self):
        if self.running:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Stack:
    """A database of its own, a responder on it and an nginx in front: what a merchant would have."""

    def __init__(self, cluster, *arguments, migrated=True, secret=None, environment=None):
        self.cluster = cluster
        self._owned = contextlib.ExitStack()
        try:
            self.db = cluster.create_database(migrated)
            self._owned.callback(self._drop)
            self.responder = self._owned.enter_context(
                Responder(cluster.dsn("bagelhook", self.db), *arguments, secret=secret, environment=environment))
            self.nginx = self._owned.enter_context(Nginx(self.responder.socket_path))
        except BaseException:
            self._owned.close()
            raise

    def _drop(self):
        if self.cluster.running:
            self.cluster.drop_database(self.db)

    @property
    def url(self):
        return self.nginx.url

    @property
    def secret(self):
        return self.responder.secret

    def deliver(self, body, timestamp=None):
        """Signs and posts a body (bytes, or what json.dumps takes); returns the Answer."""
        return deliver(self.url, self.secret, body, timestamp)

    def connect(self, user="postgres", autocommit=True):
        return self.cluster.connect(self.db, user, autocommit)

    def query(self, sql, *parameters):
        """All rows of one statement, as the superuser."""
        with self.connect() as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def close(self):
        self._owned.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Answer:
    """An HTTP answer: status, headers (case-insensitive get()), body as bytes, json (None where it is none)."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = None

    def __repr__(self):
        return f"<Answer {self.status} {self.body[:300]!r}>"


def sign(secret, body, timestamp):
    """The provider's signature as hex; secret is text, body bytes, timestamp text or a number."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def post(url, body, headers=None, method="POST", timeout=PATIENCE_S):
    """One request on a connection of its own; returns the Answer."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request(method, parts.path or "/", body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def deliver(url, secret, body, timestamp=None, **headers):
    """Signs a body (bytes, or what json.dumps takes) as the provider does, posts it and returns the Answer."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    timestamp = int(time.time()) if timestamp is None else timestamp
    return post(url, body, {"Content-Type": "application/json", "timestamp": str(timestamp),
                            "Bagelpay-Signature": sign(secret, body, timestamp), **headers})
