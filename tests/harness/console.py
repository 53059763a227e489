"""The console as a process, behind an nginx or Apache with the configuration that users get."""

import base64
import http.client
import re
import shutil
import signal
import subprocess
import urllib.parse

from .apache import Apache
from .delivery import Answer
from .nginx import Nginx
from .process import (BUILD, PATIENCE_S, SOURCE, HarnessError, Process, accepts, clean_environment, free_port,
                      make_directory, wait_until)

USER, PASSWORD = "tester", "not a secret"


class Console:
    """BAGELHOOK_BUILD/bagelhook-console on a Unix socket, its standard error in a file."""

    def __init__(self, database, *arguments, wait=True, environment=None, prefix=()):
        """database is a connection string. With wait=False it need not come to listen. prefix: what runs it, as strace."""
        self.directory = make_directory("console")
        self.log_path = self.directory / "stderr"
        self.socket_path = self.directory / "console.sock"
        command = [*prefix, BUILD / "bagelhook-console", "--listen", f"unix:{self.socket_path}", "--database", database,
                   "--page", SOURCE / "console" / "page", *arguments]
        self.process = Process([str(word) for word in command], self.log_path, cwd="/",
                               env=clean_environment(**(environment or {})))
        try:
            if wait:
                wait_until(lambda: accepts(self.socket_path), "bagelhook-console", process=self.process, log=self.log_path)
        except BaseException:
            self.close()
            raise

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        """SIGTERM; returns the exit status."""
        return self.process.end(signal.SIGTERM)

    def close(self):
        if self.process.poll() is None:
            self.process.end(signal.SIGKILL)
        for path in self.directory.iterdir():
            path.unlink()
        self.directory.rmdir()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Asked:
    """What both servers in front of a console have: a port for it, console_port, and questions to it."""

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.console_port}"

    def get(self, path, method="GET", user=USER, password=PASSWORD, **parameters):
        """One request to the console; user None: without any authentication."""
        query = urllib.parse.urlencode({name: value for name, value in parameters.items() if value is not None})
        headers = {}
        if user is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self.console_port, timeout=PATIENCE_S)
        try:
            connection.request(method, path + (f"?{query}" if query else ""), headers=headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


class ConsoleNginx(Asked, Nginx):
    """An nginx for webhooks as usual that has the console's server, too, on another port."""

    def __init__(self, socket_path, console_socket_path):
        self.console_socket_path = console_socket_path
        super().__init__(socket_path)

    def _configure(self):
        super()._configure()
        self.console_port = free_port()
        users = self.directory / "htpasswd"
        users.write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        text = (SOURCE / "nginx" / "bagelhook-console.conf").read_text()
        for pattern, value in (("127.0.0.1:8081;", f"127.0.0.1:{self.console_port};"),
                               ("unix:/run/bagelhook-console/console.sock", f"unix:{self.console_socket_path}"),
                               ("/etc/bagelhook/console.htpasswd;", f"{users};")):
            text, count = re.subn(re.escape(pattern), value, text)
            if count != 1:
                raise HarnessError(f"nginx/bagelhook-console.conf does not name {pattern} exactly once")
        (self.directory / "console.conf").write_text(text)


class ConsoleApache(Asked, Apache):
    """An Apache with the console's virtual host; the main server, which has nothing, logs what it is asked."""

    def __init__(self, console_socket_path):
        self.console_port = free_port()
        self.users = make_directory("users")
        crypted = subprocess.run(["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True)
        (self.users / "htpasswd").write_text(f"{USER}:{crypted.stdout}")
        self.own(self.users)
        # It is removed with all the rest where the server does not start.
        super().__init__("console", {
            "127.0.0.1:8081": f"127.0.0.1:{self.console_port}",
            "unix:/run/bagelhook-console/console.sock": f"unix:{console_socket_path}",
            '"/etc/bagelhook/console.htpasswd"': f'"{self.users}/htpasswd"'})

    @property
    def access_log(self):
        return (self.directory / "access.log").read_text()

    def close(self):
        super().close()
        shutil.rmtree(self.users, ignore_errors=True)
