"""The responder as a process."""

import contextlib
import os
import pathlib
import secrets as random_source
import shlex
import shutil
import signal
import socket

from .process import BUILD, PATIENCE_S, Process, accepts, clean_environment, make_directory, wait_until


class Manager:
    """What a responder tells its service manager, up to being ready. Whoever does not read must not listen longer."""

    def __init__(self, path):
        self.path = str(path)
        self.socket = None

    def open(self):
        self.close()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        # Whoever the responder runs as.
        os.chmod(self.path, 0o666)
        self.socket.setblocking(False)

    def is_ready(self):
        """Whether READY=1 has come."""
        with contextlib.suppress(BlockingIOError):
            return b"READY=1" in self.socket.recv(4096).splitlines()
        return False

    def close(self):
        if self.socket is not None:
            self.socket.close()
            pathlib.Path(self.path).unlink(missing_ok=True)
            self.socket = None


class Responder:
    """BAGELHOOK_BUILD/bagelhook with given arguments, its standard error in a file."""

    def __init__(self, database, *arguments, secret=None, listen=None, environment=None, wait=True,
                 prefix=()):
        """database is a connection string; secret a string, or several for rotation (default: one at random).

        listen is by default a Unix socket in a directory of the responder's own. With wait=False the
        responder need not come to serve: for tests of a start that fails, or is late. prefix is a command
        that replaces itself with the one behind it, such as prlimit.
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
        self.manager = Manager(self.directory / "notify")
        self.environment = clean_environment(**{"NOTIFY_SOCKET": self.manager.path, **(environment or {})})
        self.prefix = [*prefix, *shlex.split(os.environ.get("BAGELHOOK_PREFIX", ""))]
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
        """Replaces the secret file; the responder reads it again soon, or at once on SIGHUP."""
        self.secrets = list(values)
        new = self.directory / "secret.new"
        new.touch(mode=0o600)
        new.write_text("".join(f"{value}\n" for value in values))
        new.rename(self.secret_path)

    def start(self, wait=True):
        """Starts it, also again after stop() or kill(), with the same arguments.

        With wait=True it serves afterwards: it listens and has tried the database, so that what a test
        changes there does not end the start.
        """
        self.manager.open()
        self.process = Process([*self.prefix, BUILD / "bagelhook", "--listen", self.listen, "--secret-file",
                                self.secret_path, "--database", self.database, *self.arguments],
                               self.log_path, cwd="/", env=self.environment)
        if wait:
            wait_until(self.is_serving, "bagelhook", process=self.process, log=self.log_path)
        self.manager.close()

    def is_serving(self):
        if self.environment["NOTIFY_SOCKET"] == self.manager.path:
            return self.manager.is_ready()
        return accepts(self.address)

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
        self.manager.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
