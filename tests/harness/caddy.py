"""Caddy as a process, with the configuration that users get."""

from .webserver import WebServer


class Caddy(WebServer):
    """Caddy on a loopback port, with caddy/bagelhook.caddy."""

    name = "caddy"

    def __init__(self, replacements):
        super().__init__("caddy/bagelhook.caddy", replacements)

    def _configuration(self):
        return (f"{{\n\tadmin off\n\tauto_https off\n\tstorage file_system {self.directory}/storage\n}}\n"
                f"http://127.0.0.1:{self.port} {{\n\timport {self.snippet}\n\trespond 404\n}}\n")

    def _command(self):
        # It keeps the last configuration.
        return ["env", f"XDG_CONFIG_HOME={self.directory}", "caddy", "run", "--config", self.directory / "server.conf", "--adapter", "caddyfile",
                "--pidfile", self.directory / "pid"]
