"""What the console's tests look at."""

import harness


class Stand(harness.Stack):
    """A stack with a console on its database, behind an nginx that has both servers."""

    def __init__(self, cluster):
        super().__init__(cluster)
        try:
            spool = self.responder.directory / "spool"
            for part in ("new", "corrupt"):
                (spool / part).mkdir(parents=True)
            self.spool = spool
            self.console = self._owned.enter_context(
                harness.Console(cluster.dsn("bagelhook_console", self.db), "--spool", spool))
            self.web = self._owned.enter_context(
                harness.ConsoleNginx(self.responder.socket_path, self.console.socket_path))
        except BaseException:
            self.close()
            raise

    @property
    def origin(self):
        return self.web.origin

    def get(self, path, **parameters):
        return self.web.get(path, **parameters)
