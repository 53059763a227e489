"""What those who watch see: the admin listener, as Prometheus or an orchestrator would ask it."""

import contextlib
import http.client
import shutil
import socket
import subprocess

import harness


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=harness.PATIENCE_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Admin:
    """The place of an admin listener, and questions to it."""

    def __init__(self):
        self.directory = harness.make_directory("admin")
        self.path = self.directory / "socket"

    @property
    def arguments(self):
        """What the responder has to be given."""
        return ["--admin-listen", f"unix:{self.path}"]

    def ask(self, path, method="GET"):
        """One request; returns the harness.Answer."""
        with contextlib.closing(_UnixConnection(self.path)) as connection:
            connection.request(method, path)
            response = connection.getresponse()
            return harness.Answer(response.status, response.headers, response.read())

    def status(self, path):
        return self.ask(path).status

    def metrics(self):
        """All series, by name and labels as they are written, with their values."""
        lines = self.ask("/metrics").body.decode().splitlines()
        series = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        values = {name: float(value) for name, value in series}
        assert len(values) == len(series)
        return values

    def value(self, name):
        return self.metrics()[f"bagelhook_{name}"]

    def counted(self, family):
        """The series of one family that are not 0, by their labels' values in order."""
        found = {}
        for name, value in self.metrics().items():
            base, _, labels = name.partition("{")
            if base == f"bagelhook_{family}" and value:
                found[tuple(pair.split('"')[1] for pair in labels.rstrip("}").split(",") if pair)] = value
        return found

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)


def promtool(*arguments, text=None):
    """Runs promtool; returns exit status and all of its output."""
    done = subprocess.run(["promtool", *map(str, arguments)], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, timeout=harness.PATIENCE_S)
    return done.returncode, done.stdout
