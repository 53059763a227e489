"""Apache as a process, with the configuration that users get."""

from .webserver import WebServer

MODULES = {"proxy": ("proxy", "proxy_fcgi"), "fcgid": ("alias", "fcgid"), "cgi": ("alias", "env", "cgid"),
           "console": ("proxy", "proxy_fcgi", "authn_core", "authn_file", "authz_user", "auth_basic")}


class Apache(WebServer):
    """Apache on a loopback port, with apache/bagelhook-WAY.conf, where the way is proxy, fcgid, cgi or console."""

    name = "apache"

    def __init__(self, way, replacements):
        self.way = way
        super().__init__(f"apache/bagelhook-{way}.conf", replacements)

    def _configuration(self):
        modules = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
                          for name in ("mpm_event", "authz_core", *MODULES[self.way]))
        private = {"fcgid": f"FcgidIPCDir {self.directory}/fcgid\nFcgidProcessTableFile {self.directory}/fcgid_shm\n",
                   "cgi": f"ScriptSock {self.directory}/cgid.sock\n",
                   "console": f'CustomLog {self.directory}/access.log "%r"\n'}
        return (f"{modules}ServerRoot {self.directory}\nDefaultRuntimeDir {self.directory}\nPidFile {self.directory}/pid\n"
                f"ServerName localhost\nListen 127.0.0.1:{self.port}\nErrorLog {self.log_path}\nLogLevel warn\n"
                f"DocumentRoot {self.directory}/htdocs\nTimeout 60\n{private.get(self.way, '')}Include {self.snippet}\n")

    def _command(self):
        (self.directory / "htdocs").mkdir(exist_ok=True)
        return ["apache2", "-D", "FOREGROUND", "-f", self.directory / "server.conf"]
