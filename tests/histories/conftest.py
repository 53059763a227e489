"""One database with responders for all tests of histories."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import world as worlds  # noqa: E402


def pytest_configure():
    worlds.harness.end_on_sigterm()


@pytest.fixture(scope="session")
def world():
    with worlds.harness.Cluster(max_connections=50) as cluster:
        made = worlds.World(cluster)
        yield made
        made.close()
