"""nginx as a process, with the configuration that users get."""

import os
import re
import shutil
import signal

from .process import (SOURCE, HarnessError, Process, accepts, clean_environment, free_port, make_directory, tail,
                      wait_until)

PATH = "/webhooks/bagelpay"


class Nginx:
    """nginx on a loopback port, with the shipped configuration, in front of a responder's socket.

    With tls, the paths of a certificate for localhost and its key, it is reached as providers reach one: over HTTPS."""

    def __init__(self, socket_path, port=None, tls=None):
        self.directory = make_directory("nginx")
        self.log_path = self.directory / "error.log"
        self.socket_path = socket_path
        self.tls = tls
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
                if port or attempt == 4 or "Address already in use" not in tail(self.log_path):
                    raise

    def _configure(self):
        # As root, nginx would make its workers the user nobody, who may not open the responder's socket.
        user = "user root;" if os.geteuid() == 0 else ""
        text = (SOURCE / "nginx" / "nginx.conf.in").read_text()
        text = text.replace("@DIR@", str(self.directory)).replace("@PORT@", str(self.port)).replace("@USER@", user)
        if self.tls is not None:
            certificate, key = self.tls
            text, count = re.subn(r"listen (127\.0\.0\.1:\d+);",
                                  rf"listen \1 ssl; ssl_certificate {certificate}; ssl_certificate_key {key};", text)
            if count != 1:
                raise HarnessError("nginx/nginx.conf.in does not listen exactly once")
        (self.directory / "nginx.conf").write_text(text)
        shutil.copy(SOURCE / "nginx" / "bagelhook.conf", self.directory)
        text = (SOURCE / "nginx" / "bagelhook-upstream.conf").read_text()
        text, count = re.subn(r"unix:/run/bagelhook/bagelhook\.sock", f"unix:{self.socket_path}", text)
        if count != 1:
            raise HarnessError("nginx/bagelhook-upstream.conf does not name the socket exactly once")
        (self.directory / "bagelhook-upstream.conf").write_text(text)

    def _serves(self):
        # The pid file tells our nginx from another server on the same port.
        return (self.directory / "nginx.pid").exists() and accepts(("127.0.0.1", self.port))

    @property
    def url(self):
        return f"https://localhost:{self.port}{PATH}" if self.tls else f"http://127.0.0.1:{self.port}{PATH}"

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
