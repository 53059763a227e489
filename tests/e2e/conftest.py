"""Fixtures of the end-to-end tests: one cluster for all of them, a database and a responder for each."""

import pathlib
import sys

import pytest

# Also where pytest is started from elsewhere.
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import harness  # noqa: E402


def pytest_report_header():
    return f"bagelhook: binaries in {harness.BUILD}, source in {harness.SOURCE}"


@pytest.fixture(scope="session")
def cluster():
    """A running PostgreSQL, shared: a test that stops or kills one makes its own harness.Cluster()."""
    with harness.Cluster() as running:
        yield running


@pytest.fixture(scope="session")
def nginx():
    """A factory: nginx(socket_path) starts one more nginx for the session."""
    running = []

    def start(socket_path, port=None):
        running.append(harness.Nginx(socket_path, port))
        return running[-1]

    yield start
    for one in reversed(running):
        one.close()


@pytest.fixture
def make_stack(cluster):
    """A factory: make_stack(*responder_arguments, secret=…, cluster=…) makes a database, a responder and an nginx.

    They end with the test. What the responders wrote is printed, which pytest shows if the test failed.
    """
    made = []

    def make(*arguments, **options):
        made.append(harness.Stack(options.pop("cluster", cluster), *arguments, **options))
        return made[-1]

    yield make
    for stack in reversed(made):
        print(f"--- {stack.responder.log_path}\n{stack.responder.log}")
        stack.close()


@pytest.fixture
def stack(make_stack):
    """One stack with the responder's defaults."""
    return make_stack()
