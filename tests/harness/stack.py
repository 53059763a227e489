"""A database, a responder and nginx together."""

import contextlib

from .cluster import KeptConnection
from .delivery import deliver
from .nginx import Nginx
from .responder import Responder


class Stack:
    """A database of its own, a responder on it and an nginx in front: what a merchant would have."""

    def __init__(self, cluster, *arguments, migrated=True, secret=None, environment=None):
        self.cluster = cluster
        self._owned = contextlib.ExitStack()
        try:
            self.db = cluster.create_database(migrated)
            self._owned.callback(self._drop)
            self._asking = KeptConnection(self.connect)
            self._owned.callback(self._asking.close)
            self.responder = self._owned.enter_context(
                Responder(cluster.dsn("bagelhook", self.db), *arguments, secret=secret, environment=environment))
            self.nginx = self._owned.enter_context(Nginx(self.responder.socket_path))
        except BaseException:
            self._owned.close()
            raise

    def _drop(self):
        if self.cluster.running:
            self.cluster.drop_database(self.db)

    @property
    def url(self):
        return self.nginx.url

    @property
    def secret(self):
        return self.responder.secret

    def deliver(self, body, timestamp=None):
        """Signs and posts a body (bytes, or what json.dumps takes); returns the Answer."""
        return deliver(self.url, self.secret, body, timestamp)

    def connect(self, user="postgres", autocommit=True):
        return self.cluster.connect(self.db, user, autocommit)

    def query(self, sql, *parameters):
        """All rows of one statement, as the superuser."""
        cursor = self._asking.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []

    def close(self):
        self._owned.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
