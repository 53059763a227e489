"""lighttpd as a process, with the configuration that users get."""

from .webserver import WebServer


class Lighttpd(WebServer):
    """lighttpd on a loopback port, with lighttpd/NAME.conf."""

    name = "lighttpd"

    def __init__(self, replacements, name="bagelhook"):
        super().__init__(f"lighttpd/{name}.conf", replacements)

    def _configuration(self):
        return (f'server.document-root = "{self.directory}/htdocs"\nserver.bind = "127.0.0.1"\n'
                f'server.port = {self.port}\nserver.pid-file = "{self.directory}/pid"\n'
                f'server.errorlog = "{self.log_path}"\nserver.upload-dirs = ( "{self.directory}" )\n'
                f'include "{self.snippet}"\n')

    def _command(self):
        (self.directory / "htdocs").mkdir(exist_ok=True)
        return ["lighttpd", "-D", "-f", self.directory / "server.conf"]
