"""Fixtures of the console's tests: one database, responder, console and nginx for all that only look."""

import contextlib
import hashlib
import pathlib
import re
import subprocess
import sys
import tarfile

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "console"), str(TESTS / "e2e"), str(TESTS)]

import harness  # noqa: E402
from browser import Browser  # noqa: E402
from console_stand import Stand  # noqa: E402

AXE = "axe-core@4.10.3"
AXE_SHA512 = "5e6edba515e70d25f6604d9815f064d859c5d1ea7ab661bbc4f87c88779ef0c21cae0abbeb636471ef39e9d62d2582e4b88a1866f19f4ecfcf6d986275e4dc12"


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


@pytest.fixture(scope="module")
def browser(stand, tmp_path_factory):
    """A window on the stand of a file, logged in."""
    with contextlib.closing(Browser(stand.origin, tmp_path_factory.mktemp("chromium"))) as one:
        one.log_in()
        yield one


@pytest.fixture
def well_behaved(browser):
    """No test that looks may leave a complaint in the page's console, or a request to anybody else."""
    browser.size(1280, 900)
    browser.scheme("light")
    yield
    assert browser.misdeeds() == []


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The source of axe-core, which Debian has not: from npm's registry, by its checksum."""
    directory = tmp_path_factory.mktemp("axe")
    try:
        subprocess.run(["npm", "pack", "--silent", AXE], cwd=directory, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"{AXE} cannot be had: {error}")
    archive, = directory.glob("*.tgz")
    assert hashlib.sha512(archive.read_bytes()).hexdigest() == AXE_SHA512
    with tarfile.open(archive) as files:
        return files.extractfile("package/axe.min.js").read().decode()
