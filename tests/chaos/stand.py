"""All of an installation with a spool, each part of which can be killed: PostgreSQL, responders, nginx."""

import contextlib
import os
import pathlib
import shutil
import subprocess

import pytest

import harness

from events import Events
from ledger import Ledger


@contextlib.contextmanager
def tmpfs(place, *options):
    """A small file system of its own, in root's hands; skips where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(("mode=0700", *options)), "tmpfs", place],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


class Stand:
    """One database of its own cluster, responders on one spool, an nginx before each of them."""

    # Durability is real here; the rest is as in the other tests.
    SETTINGS = {"fsync": "on", "full_page_writes": "on", "wal_level": "replica"}

    def __init__(self, chance, *arguments, cluster=None, dsn=None, responders=1, spool=True, settings=None, **options):
        """dsn(cluster, db) gives another connection string than the cluster's own; options are the Responders'."""
        self.chance = chance
        self.events = Events(chance)
        self.ledger = Ledger()
        self.secret = "whsec_chaos"
        self._owned = contextlib.ExitStack()
        self.responders, self.nginxes = [], []
        try:
            self.cluster = cluster or self._owned.enter_context(harness.Cluster(**{**self.SETTINGS, **(settings or {})}))
            self.db = self.cluster.create_database()
            self.directory = harness.make_directory("spool")
            self._owned.callback(shutil.rmtree, self.directory, ignore_errors=True)
            self.spool = pathlib.Path(self.directory / "spool")
            self.dsn = dsn(self.cluster, self.db) if dsn else self.cluster.dsn("bagelhook", self.db)
            self.arguments = [*(("--spool", self.spool, "--spool-free", 0) if spool else ()), *arguments]
            for _ in range(responders):
                self.add_responder(**options)
        except BaseException:
            self._owned.close()
            raise

    def add_responder(self, dsn=None, **options):
        responder = self._owned.enter_context(harness.Responder(dsn or self.dsn, *self.arguments, secret=self.secret, **options))
        self.responders.append(responder)
        self.nginxes.append(self._owned.enter_context(harness.Nginx(responder.socket_path)))

    @property
    def responder(self):
        return self.responders[0]

    @property
    def urls(self):
        return [nginx.url for nginx in self.nginxes]

    def files(self, part="new"):
        """What is in the spool, oldest first."""
        directory = self.spool / part
        return sorted(directory.iterdir()) if directory.exists() else []

    def wait_drained(self):
        """Until the spool is empty."""
        harness.wait_until(lambda: not self.files(), "the spool to drain", log=self.responder.log_path)

    def connect(self, user="postgres", autocommit=True):
        return self.cluster.connect(self.db, user, autocommit)

    def query(self, sql, *parameters, cluster=None):
        with (cluster or self.cluster).connect(self.db) as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def settle(self, totals, cluster=None, torn=(), kills=0):
        """After the load: lets the spool drain, and checks that nothing is lost."""
        self.wait_drained()
        assert len(self.files("corrupt")) == len(torn)
        with (cluster or self.cluster).connect(self.db) as connection:
            found = self.ledger.check(connection, torn)
        totals.update(found)
        totals["kills"] += kills
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._owned.close()
