"""PgBouncer as a process, in transaction pooling."""

import os
import shutil
import signal

from .process import Process, accepts, clean_environment, make_directory, wait_until

CONFIGURATION = """
[databases]
* = host={cluster.host} port={cluster.port}
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {directory}
auth_type = any
auth_file = {directory}/users
pool_mode = transaction
default_pool_size = 5
max_client_conn = 100
ignore_startup_parameters =
pidfile = {directory}/pgbouncer.pid
"""


class PgBouncer:
    """A pooler in front of a cluster, with Debian's package and as few settings as it works with."""

    def __init__(self, cluster):
        self.directory = make_directory("pgbouncer", cluster.user)
        self.port = 6432
        # auth_type any takes every user for the one named in the database's line; without one, for whom it says it is.
        (self.directory / "users").write_text('"bagelhook" ""\n"bagelhook_console" ""\n')
        (self.directory / "pgbouncer.ini").write_text(CONFIGURATION.format(cluster=cluster, directory=self.directory)
                                                      .replace("auth_type = any", "auth_type = trust"))
        self._prefix = [] if os.geteuid() != 0 else [
            "setpriv", f"--reuid={cluster.user}", f"--regid={cluster.user}", "--init-groups", "--"]
        self.log_path = self.directory / "log"
        self.process = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        self.process = Process([*self._prefix, "pgbouncer", self.directory / "pgbouncer.ini"], self.log_path,
                                       cwd="/", env=clean_environment(PATH=f"{os.environ['PATH']}:/usr/sbin"))
        wait_until(lambda: accepts(self.directory / f".s.PGSQL.{self.port}"), "PgBouncer",
                           process=self.process, log=self.log_path)

    def kill(self):
        self.process.end(signal.SIGKILL)
        # It would take the socket for another one's that lives.
        (self.directory / f".s.PGSQL.{self.port}").unlink(missing_ok=True)
        (self.directory / "pgbouncer.pid").unlink(missing_ok=True)

    def stop(self):
        """At once, with whatever is under way."""
        self.process.end(signal.SIGTERM)

    def dsn(self, db, user="bagelhook"):
        return f"host={self.directory} port={self.port} user={user} dbname={db}"

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.end(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
