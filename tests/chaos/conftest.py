"""Options, fixtures and the summary of the chaos tests."""

import collections
import contextlib
import os
import pathlib
import random
import re
import sys

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "chaos"), str(TESTS / "histories"), str(TESTS / "e2e"), str(TESTS)]

import harness  # noqa: E402
import stand as stands  # noqa: E402

TOTALS = collections.Counter()
# What happened to a cluster, the longest times in seconds between two 200s, by hosts and through HAProxy; counts.
GAP_ROWS = []
GAP_HEADINGS = ["what happens", "several hosts, s", "HAProxy, s", "200", "503", "lost"]


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, default=int(os.environ.get("BAGELHOOK_CHAOS_ROUNDS", "3")),
                     help="how often each test does its worst (default: BAGELHOOK_CHAOS_ROUNDS, or 3)")
    parser.addoption("--seed", type=int, default=random.SystemRandom().randrange(10 ** 9),
                     help="of the random moments and events (default: at random)")


def pytest_configure(config):
    harness.end_on_sigterm()
    config.addinivalue_line("markers", "long: not in the usual run, see scripts/parts.sh")


def pytest_report_header(config):
    return f"chaos: --rounds {config.getoption('rounds')} --seed {config.getoption('seed')}"


@pytest.fixture
def rounds(request):
    """How often to do one's worst."""
    return request.config.getoption("rounds")


@pytest.fixture
def chance(request):
    """Randomness of the test's own, repeatable by --seed."""
    return random.Random(f"{request.config.getoption('seed')} {request.node.nodeid}")


@pytest.fixture
def make_stand(chance):
    """A factory: make_stand(*responder_arguments, **options) makes a Stand that ends with the test."""
    with contextlib.ExitStack() as made:
        def make(*arguments, **options):
            one = made.enter_context(stands.Stand(chance, *arguments, **options))
            made.callback(end, one)
            return one

        yield make


def end(stand):
    """Ends the responders as their users would, and shows what they wrote."""
    for responder in stand.responders:
        status = responder.stop() if responder.running else 0
        print(f"--- {responder.log_path}\n{responder.log[-20000:]}")
        assert status == 0
        assert not re.search("Sanitizer|runtime error:", responder.log)


@pytest.fixture
def totals():
    """What is summed up over all tests."""
    return TOTALS


@pytest.fixture
def gap_rows():
    """The rows of the table of gaps."""
    return GAP_ROWS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """With several processes (pytest-xdist) each has sums of its own."""
    output = getattr(node, "workeroutput", {})
    TOTALS.update(output.get("chaos", {}))
    GAP_ROWS.extend(output.get("gaps", []))


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput.update(chaos=dict(TOTALS), gaps=GAP_ROWS)


def pytest_terminal_summary(terminalreporter):
    if TOTALS["sent"]:
        terminalreporter.section("chaos")
        answers = ", ".join(f"{count} × {name[len('answer '):]}" for name, count in sorted(TOTALS.items())
                            if name.startswith("answer "))
        terminalreporter.write_line(f"{TOTALS['sent']} events sent; answers: {answers}")
        terminalreporter.write_line(f"{TOTALS['kills']} kills; {TOTALS['recovered']} recovered from the spool; "
                                    f"{TOTALS['torn']} files torn on purpose, in corrupt/; {TOTALS['lost']} lost")
    if GAP_ROWS:
        terminalreporter.section("longest time between two 200s")
        for row in (GAP_HEADINGS, ["---", *["---:"] * (len(GAP_HEADINGS) - 1)], *GAP_ROWS):
            terminalreporter.write_line(f"| {' | '.join(row)} |")
