"""Processes, and what every one of them needs: a directory, an environment, and somebody who waits for it."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SOURCE = pathlib.Path(os.environ.get("BAGELHOOK_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("BAGELHOOK_BUILD", SOURCE))
SAMPLES = SOURCE / "tests" / "events" / "valid" / "documented"

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
            raise HarnessError(f"{what}: the process ended with {process.returncode}\n{tail(log)}")
        if time.monotonic() > deadline:
            raise HarnessError(f"{what}: not within {timeout} seconds\n{tail(log)}")
        time.sleep(0.02)


def tail(log, length=4000):
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


def end_on_sigterm():
    """Makes SIGTERM end this program as SIGINT does, so that what has a close() is closed on the way out."""
    def end(number, _frame):
        # Once: another one, as timeout(1) sends, would break off the closing.
        signal.signal(number, lambda *_: None)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def gone(pid):
    """Whether a process has ended; a zombie has, it only was not reaped yet."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def descendants(pid):
    """The ids of a process's children, their children, and so on."""
    try:
        children = [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return children + [other for child in children for other in descendants(child)]


def fill_in(snippet, replacements):
    """The text of a file below the source tree, in which these texts must be, with what is put in their places."""
    text = (SOURCE / snippet).read_text()
    for old, new in replacements.items():
        if old not in text:
            raise HarnessError(f"{snippet} does not name {old}")
        text = text.replace(old, str(new))
    return text


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
                               f"{tail(self.log_path)}") from None


def is_sanitized():
    """Whether the binaries were built with sanitizers."""
    return b"__asan_init" in (BUILD / "bagelhook").read_bytes() or b"__tsan_init" in (BUILD / "bagelhook").read_bytes()
