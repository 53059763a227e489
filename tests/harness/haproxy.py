"""HAProxy as a process, with the configuration that users get."""

import os
import pathlib

from .nginx import PATH
from .webserver import WebServer


class HAProxy(WebServer):
    """HAProxy on a loopback port, with haproxy/bagelhook.cfg; as root with a chroot, as Debian has it."""

    name = "haproxy"
    CHANGES_USER = True

    def __init__(self, replacements):
        self._chroot = ""
        if os.geteuid() == 0:
            # The directory of the socket, whose path then begins there.
            (old, new), = replacements.items()
            new = pathlib.Path(new)
            self._chroot = f"    chroot {new.parent}\n    user {self.USER}\n    group {self.USER}\n"
            replacements = {old: f"/{new.name}"}
        super().__init__("haproxy/bagelhook.cfg", replacements)

    def _configuration(self):
        return (f"global\n    log stderr format raw local0 warning\n{self._chroot}defaults\n    mode http\n    log global\n"
                f"    timeout client 30s\n    timeout http-request 10s\n"
                f"frontend webhooks\n    bind 127.0.0.1:{self.port}\n    unique-id-format %rt-%pid\n"
                f"    http-request return status 404 unless {{ path {PATH} {PATH}/ }}\n"
                f"    use_backend bagelhook if {{ path {PATH} {PATH}/ }}\n")

    def _command(self):
        # A master, which writes the file with its id, and a worker.
        return ["haproxy", "-W", "-p", self.directory / "pid", "-f", self.directory / "server.conf", "-f", self.snippet]
