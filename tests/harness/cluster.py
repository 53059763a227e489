"""PostgreSQL as a process, and databases in it."""

import contextlib
import fcntl
import itertools
import os
import pathlib
import pwd
import select
import shutil
import signal
import subprocess
import threading

import psycopg

from .process import SOURCE, HarnessError, Process, clean_environment, gone, make_directory, wait_until

# The database of which migrated ones are copies.
TEMPLATE = "bagelpay_template"


class KeptConnection:
    """A connection for many statements, each its own transaction: to start a session costs more than most statements.

    It is made at the first of them, and anew when the server has ended it.
    """

    def __init__(self, connect):
        self._connect = connect
        self._connection = None
        self._lock = threading.Lock()

    def execute(self, statement, parameters=None):
        """As psycopg's, one thread at a time; for statements that do not set anything for the session."""
        with self._lock:
            # The server sends nothing to an idle session, except when it ends it.
            if self._connection is not None and select.select([self._connection], [], [], 0)[0]:
                self.close()
            if self._connection is None:
                self._connection = self._connect()
                # A schema may change under it.
                self._connection.prepare_threshold = None
            return self._connection.execute(statement, parameters)

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Server:
    """What is done with a PostgreSQL server that runs, at host and port: connections and schemas.

    A subclass sets host, port, user (who the server runs as) and bin (the directory of its programs).
    """

    @staticmethod
    def _find_server():
        if "BAGELHOOK_POSTGRES" in os.environ:
            return pathlib.Path(os.environ["BAGELHOOK_POSTGRES"])
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[4]))
        if not found:
            raise HarnessError("no PostgreSQL server in /usr/lib/postgresql")
        return found[-1].parent

    def program(self, name):
        """One of PostgreSQL's programs: the server's own, or, where it has come without, the one in PATH."""
        own = self.bin / name
        return own if own.exists() else shutil.which(name)

    def _prefix(self):
        # setpriv replaces itself with the command, so that the process id is the server's own.
        if os.geteuid() != 0:
            return []
        return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--reset-env", "--"]

    def dsn(self, user="postgres", db="postgres"):
        """A libpq connection string."""
        return f"host={self.host} port={self.port} user={user} dbname={db}"

    def connect(self, db="postgres", user="postgres", autocommit=True):
        """A psycopg connection, the caller's to close (use it with `with`)."""
        return psycopg.connect(self.dsn(user, db), autocommit=autocommit)

    def sqitch(self, command, db, *arguments, **more):
        """Runs a sqitch command on a database, with more environment; returns the ended process, output as text."""
        environment = clean_environment(**{
            "PGHOST": self.host, "PGPORT": self.port, "PGUSER": "postgres", "SQITCH_FULLNAME": "bagelhook",
            "SQITCH_EMAIL": "bagelhook@localhost", "SQITCH_USER_CONFIG": "/dev/null", "SQITCH_SYSTEM_CONFIG": "/dev/null",
            "PATH": f"{self.bin}:{os.environ['PATH']}", **more})
        return subprocess.run(["sqitch", "--chdir", SOURCE / "sql", command, f"db:pg:{db}", *arguments],
                              env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)

    def deploy(self, db, *arguments):
        """Brings a database to the newest schema (or as far as sqitch's arguments say)."""
        done = self.sqitch("deploy", db, *arguments)
        if done.returncode != 0:
            raise HarnessError(f"sqitch deploy failed:\n{done.stdout}")


class Cluster(Server):
    """A private PostgreSQL server. Durability is off by default: a test kills processes, not the machine."""

    SPEED = {"fsync": "off", "full_page_writes": "off", "autovacuum": "on", "max_connections": "200"}

    def __init__(self, primary=None, migrated=True, **settings):
        """With a primary it is a standby of that cluster, which takes its data and follows it.

        Migrating takes seconds. Where the environment has BAGELHOOK_MIGRATED, a directory of the server's user, the first
        cluster of a run leaves its migrated data there, and the others begin with a copy, unless they are not to be migrated.
        """
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.bin = self._find_server()
        self.directory = make_directory("postgres", self.user)
        self.host = str(self.directory)
        self.port = int(settings.pop("port", 5432))
        self.log_path = self.directory / "postgres.log"
        self.settings = {**self.SPEED, **settings}
        self.process = None
        self._names = itertools.count(1)
        self._template = None
        # For databases as a whole.
        self._maintenance = KeptConnection(self.connect)
        try:
            if primary is not None:
                self._as_user(self.program("pg_basebackup"), f"--pgdata={self.directory / 'data'}", f"--host={primary.host}",
                              "--username=postgres", "--checkpoint=fast", "--write-recovery-conf", "--no-sync")
            elif migrated and "BAGELHOOK_MIGRATED" in os.environ:
                self._copy_seed(pathlib.Path(os.environ["BAGELHOOK_MIGRATED"]))
            else:
                self._initialise()
            self.start()
        except BaseException:
            self.close()
            raise

    def _initialise(self):
        self._as_user(self.bin / "initdb", f"--pgdata={self.directory / 'data'}", "--username=postgres",
                      "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")

    def _copy_seed(self, directory):
        seed = directory / str(self.bin).replace("/", "_")
        lock = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not seed.exists():
                self._initialise()
                self.start()
                self._migrated_template()
                self.stop()
                self._as_user("mv", self.directory / "data", seed)
        finally:
            os.close(lock)
        self._as_user("cp", "-a", seed, self.directory / "data")
        self._template = TEMPLATE

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
        return subprocess.run([self.program("pg_isready"), "--quiet", f"--host={self.host}", f"--port={self.port}"],
                              env=clean_environment(), check=False).returncode == 0

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, mode="fast"):
        """Stops the server as pg_ctl would (smart, fast, immediate); the data stay for start()."""
        self._maintenance.close()
        if self.running:
            signals = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
            self.process.end(signals[mode])

    def kill(self):
        """SIGKILL to the server and all its children, as a crash would; start() then recovers."""
        self._maintenance.close()
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
        wait_until(lambda: all(gone(child) for child in children), "PostgreSQL's children")

    def create_database(self, migrated=True, name=None):
        """Creates a database and returns its name. A migrated one is a copy: migrating takes seconds, copying does not.

        The roles bagelhook (login, member of bagelpay_ingest) and bagelhook_console (of bagelpay_console) exist from
        the first migrated database on.
        """
        name = name or f"test_{next(self._names)}"
        template = self._migrated_template() if migrated else "template0"
        # Files as a whole: a page at a time takes three times the CPU time.
        self._maintenance.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return name

    def drop_database(self, name):
        """Drops a database, whoever is connected."""
        self._maintenance.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _migrated_template(self):
        if self._template is None:
            with self.connect() as connection:
                connection.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
            self.deploy(TEMPLATE)
            with self.connect() as connection:
                connection.execute("CREATE ROLE bagelhook LOGIN IN ROLE bagelpay_ingest")
                connection.execute("CREATE ROLE bagelhook_console LOGIN IN ROLE bagelpay_console")
            self._template = TEMPLATE
        return self._template

    def close(self):
        with contextlib.suppress(HarnessError):
            self.stop("immediate")
        # Where initdb was broken off, its child may write for a moment yet.
        with contextlib.suppress(HarnessError):
            wait_until(self._removed, "the directory to go", timeout=5)

    def _removed(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        return not self.directory.exists()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
