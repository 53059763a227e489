"""What the web servers besides nginx have in common: the text that users get, made private, on a loopback port."""

import os
import pathlib
import shutil
import signal

from .nginx import PATH
from .process import (HarnessError, Process, accepts, clean_environment, descendants, fill_in, free_port, make_directory,
                      tail, wait_until)


class WebServer:
    """A server with a shipped snippet. A subclass has a name, and makes its configuration and its command.

    As root the server runs as Debian's user of web servers; it and what it starts can read what is in its directory.
    """

    USER = "www-data"
    # Root itself starts servers that change their user and root directory by themselves.
    CHANGES_USER = False
    name = None

    def __init__(self, snippet, replacements):
        """snippet is a file below the source tree; replacements are texts that it must hold, and what is put there."""
        self.directory = make_directory(self.name)
        self.log_path = self.directory / "error.log"
        self.process = None
        try:
            self.snippet = self.directory / "snippet.conf"
            self.snippet.write_text(fill_in(snippet, replacements))
            self._start()
        except BaseException:
            self.close()
            raise

    @classmethod
    def own(cls, path):
        """Gives a file to the user that the server runs as."""
        if os.geteuid() == 0:
            shutil.chown(path, cls.USER, cls.USER)

    def _start(self):
        # Between our choice of a port and the server's use of it somebody else may take it.
        for attempt in range(5):
            self.port = free_port()
            (self.directory / "server.conf").write_text(self._configuration())
            self.log_path.touch()
            for path in (self.directory, *self.directory.iterdir()):
                self.own(path)
            prefix = [] if os.geteuid() != 0 or self.CHANGES_USER else ["setpriv", f"--reuid={self.USER}", f"--regid={self.USER}",
                                                   "--clear-groups", "--"]
            self.process = Process([*prefix, *self._command()], self.log_path, cwd="/", start_new_session=True,
                                   env=clean_environment(PATH=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin"))
            try:
                wait_until(self._serves, self.name, process=self.process, log=self.log_path)
                return
            except HarnessError:
                if attempt == 4 or "Address already in use" not in tail(self.log_path):
                    raise

    def _serves(self):
        # The pid file tells our server from another one on the same port.
        return (self.directory / "pid").exists() and accepts(("127.0.0.1", self.port))

    def _configuration(self):
        raise NotImplementedError

    def _command(self):
        raise NotImplementedError

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}{PATH}"

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def responders(self):
        """The ids of the responders that the server has started."""
        return [pid for pid in descendants(self.process.pid) if _name(pid) == "bagelhook"]

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.end(signal.SIGTERM)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _name(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
