"""Fixtures of the console's tests: one database, responder, console and nginx for all that only look."""

import contextlib
import pathlib
import re
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "console"), str(TESTS / "e2e"), str(TESTS)]

import harness  # noqa: E402
from console_stand import Stand  # noqa: E402


def pytest_configure():
    harness.end_on_sigterm()


@pytest.fixture(scope="session")
def cluster():
    with harness.Cluster() as running:
        yield running


@pytest.fixture(scope="module")
def stand(cluster):
    """One for those tests of a file that look only at what they delivered themselves."""
    with contextlib.closing(Stand(cluster)) as one:
        yield one
        status = one.console.stop()
        print(one.console.log)
        assert status == 0
        assert not re.search("Sanitizer|runtime error:", one.console.log)
