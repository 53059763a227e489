"""What the console's tests look at."""

import contextlib
import shutil

import harness


class Stand(harness.Stack):
    """A stack with a console on its database, behind an nginx that has both servers."""

    def __init__(self, cluster):
        self._admin = harness.make_directory("admin")
        try:
            self.admin = f"unix:{self._admin}/admin.sock"
            super().__init__(cluster, "--admin-listen", self.admin, "--spool", self._admin / "spool")
            self.console = self._owned.enter_context(
                harness.Console(cluster.dsn("bagelhook_console", self.db), "--admin", self.admin))
            self.web = self._owned.enter_context(
                harness.ConsoleNginx(self.responder.socket_path, self.console.socket_path))
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def spooling(self):
        """Meanwhile the responder, and nobody else, is kept from the database."""
        self.query("ALTER ROLE bagelhook CONNECTION LIMIT 0")
        try:
            self.query("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s AND usename = 'bagelhook'",
                       self.db)
            yield
        finally:
            self.query("ALTER ROLE bagelhook CONNECTION LIMIT -1")

    @property
    def spool(self):
        """The responder's spool, a directory."""
        return self._admin / "spool"

    @property
    def origin(self):
        return self.web.origin

    def get(self, path, **parameters):
        return self.web.get(path, **parameters)

    def close(self):
        if hasattr(self, "_owned"):
            super().close()
        shutil.rmtree(self._admin, ignore_errors=True)
