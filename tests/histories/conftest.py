"""One database with responders for all tests of histories."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import world as worlds  # noqa: E402

_histories = {}


def pytest_configure():
    worlds.harness.end_on_sigterm()


def pytest_runtest_logreport(report):
    """Collects how many histories each test ran, also of the workers of pytest -n."""
    if report.when == "teardown":
        _histories.update({report.nodeid.rpartition("::")[2]: number for name, number in report.user_properties if name == "histories"})


def pytest_terminal_summary(terminalreporter):
    for test, number in sorted(_histories.items()):
        terminalreporter.write_line(f"{number} histories in {test}")


@pytest.fixture(scope="session")
def world():
    with worlds.harness.Cluster(max_connections=50) as cluster:
        made = worlds.World(cluster)
        yield made
        made.close()
