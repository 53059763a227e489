"""Fixtures of the end-to-end tests: one cluster for all of them, a database and a responder for each."""

import concurrent.futures
import contextlib
import pathlib
import re
import sys

import pytest

# Also where pytest is started from elsewhere.
TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "e2e"), str(TESTS)]

import examples as programs  # noqa: E402
import harness  # noqa: E402


def pytest_configure(config):
    harness.end_on_sigterm()
    config.addinivalue_line("markers", "long: not in the usual run, see scripts/parts.sh")


# Files that take longest begin first, so that several processes end at about the same time.
LONGEST = ["test_verify_answers", "test_redrive", "test_verify", "test_start", "test_stuck", "test_faults", "test_copies", "test_commit",
           "test_webservers", "test_migrations", "test_statements", "test_spool", "test_memory"]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


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
    with contextlib.ExitStack() as made:
        def make(*arguments, **options):
            one = made.enter_context(harness.Stack(options.pop("cluster", cluster), *arguments, **options))
            made.callback(end, one.responder)
            return one

        yield make


@pytest.fixture(scope="module")
def shared(cluster):
    """One stack for those tests of a file that look only at events and orders of their own."""
    with harness.Stack(cluster) as one:
        yield one
        end(one.responder)


@pytest.fixture
def make_responder(cluster):
    """A factory: make_responder(*arguments, **options) starts a responder alone, on a database of its own."""
    with contextlib.ExitStack() as made:
        def make(*arguments, **options):
            dsn = cluster.dsn("bagelhook", cluster.create_database())
            one = made.enter_context(harness.Responder(dsn, *arguments, **options))
            made.callback(end, one)
            return one

        yield make


def end(responder):
    """Ends a responder that still runs as its users would, and shows what it wrote, for a build with sanitizers too."""
    status = responder.stop() if responder.running else 0
    print(f"--- {responder.log_path}\n{responder.log}")
    assert status == 0
    assert not re.search("Sanitizer|runtime error:", responder.log)


@pytest.fixture
def stack(make_stack):
    """One stack with the responder's defaults."""
    return make_stack()


@pytest.fixture(scope="session")
def _second_cluster():
    with harness.Cluster() as running:
        yield running


@pytest.fixture
def mortal(_second_cluster):
    """A cluster that the test may stop, kill or start with other settings; the next test finds it running as usual."""
    _second_cluster.stop("immediate")
    _second_cluster.start()
    yield _second_cluster
    if not _second_cluster.running:
        _second_cluster.start()


@pytest.fixture(scope="session")
def remote():
    """A cluster that is reached as if over a network; a test that stops it starts it again."""
    with harness.RemoteCluster() as running:
        yield running


@pytest.fixture
def faults(tmp_path):
    """Calls that fail when the test says so, for a responder that is started with faults.environment."""
    if harness.is_sanitized():
        pytest.skip("the sanitizers' functions are not to be replaced")
    return harness.Faults(tmp_path)


@pytest.fixture(scope="session", params=programs.LANGUAGES)
def examples(request, tmp_path_factory):
    """The programs of examples/, in each language."""
    return programs.Examples(request.param, tmp_path_factory.mktemp("examples"))


@pytest.fixture
def background():
    """background(function, *arguments) calls it in a thread of its own and returns the future of its result."""
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        yield pool.submit
