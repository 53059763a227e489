"""Fixtures of the console's tests: one database, responder, console and nginx for all that only look."""

import contextlib
import pathlib
import re
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "console"), str(TESTS / "e2e"), str(TESTS)]

import harness  # noqa: E402


def pytest_configure():
    harness.end_on_sigterm()


@pytest.fixture(scope="session")
def cluster():
    with harness.Cluster() as running:
        yield running


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


@pytest.fixture(scope="module")
def stand(cluster):
    """One for those tests of a file that look only at what they delivered themselves."""
    with contextlib.closing(Stand(cluster)) as one:
        yield one
        status = one.console.stop()
        print(one.console.log)
        assert status == 0
        assert not re.search("Sanitizer|runtime error:", one.console.log)
