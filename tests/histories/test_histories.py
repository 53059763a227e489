"""Random histories, delivered in random order over several connections, against the reference.

BAGELHOOK_HISTORIES is the number of histories. If it is set, they are other ones in each run; otherwise there are 200,
always the same. There are two tests with half of them each, so that pytest -n 2 runs them in two processes.
"""

import math
import os
import pathlib
import random
import sys

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings, strategies

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import world as _  # noqa: E402,F401  (first: it puts the other tests on the path)
import compare  # noqa: E402
import made  # noqa: E402
from reference import checks  # noqa: E402

HISTORIES = int(os.environ.get("BAGELHOOK_HISTORIES", "200"))
SAME = "BAGELHOOK_HISTORIES" not in os.environ
SHARES = 2
# Histories after which the database is emptied: entitlements_at() judges all that is there.
MANY = 10
READ_SETTINGS = {
    "grace": ("1 day", "0", "3 hours", "1 month"),
    "default_period": ("31 days", "1 month 2 days"),
    "revoke_on_dispute": (True, False),
    "on_cancel": ("end_now", "keep_paid_time"),
    "require_expected_order": (False, False, True),
}
# Prefixes of the histories that are in the database.
_there = set()
# Prefixes of the histories that the running test has begun.
_begun = []


@pytest.fixture(autouse=True)
def counted(record_property):
    """Reports how many histories a test ran, for conftest.py to show."""
    _begun.clear()
    yield
    record_property("histories", len(_begun))


@pytest.mark.parametrize("share", range(SHARES))
@settings(max_examples=math.ceil(HISTORIES / SHARES), deadline=None, database=None, print_blob=True, derandomize=SAME,
          suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate, Phase.shrink))
@given(seed=strategies.integers(0, 2 ** 64 - 1),
       count=strategies.integers(2, made.MOST_EVENTS),
       kept=strategies.lists(strategies.integers(0, 9), min_size=made.MOST_EVENTS, max_size=made.MOST_EVENTS),
       arrival=strategies.integers(0, 2 ** 32 - 1))
def test_histories(world, share, seed, count, kept, arrival):
    """What the database holds, and says of every moment, is what the reference does.

    Event i is left out if kept[i] is 0: most are there, and a failing history is made smaller one event at a time."""
    # Other histories for each share, even if Hypothesis draws the same.
    seed = SHARES * seed + share
    numbers = [i for i in range(count) if kept[i]]
    # Derived from the seed, so that Hypothesis gets the same history when it tries the seed again.
    prefix = f"7{seed % 10 ** 8:08}9"
    if prefix in _there or len(_there) == MANY:
        world.forget()
        _there.clear()
    _there.add(prefix)
    _begun.append(prefix)
    history = made.history(seed, numbers, arrival, prefix)
    for one in history.arrivals:
        note(repr(one))
    world.set(**history.settings)
    world.deliver(history, arrival)
    check(world, history, prefix, arrival)


def check(world, history, prefix, seed):
    """Compares everything of one delivered history, and that rebuilding changes nothing of it."""
    chance = random.Random(f"settings {seed}")
    rows = world.read(prefix)
    wanted = compare.reference_settings(history.settings)
    events, states = compare.expected_states(rows, history.bodies, wanted)
    found = compare.compare_events(rows, events, wanted) + compare.compare_tables(rows, states)
    assert not found, "\n".join(found[:20])
    expected = {(mode, order_id): checks.Expected(*what) for mode, order_id, *what in history.expected}
    world.set_periods(history.periods)
    for _ in range(2):
        read = {name: chance.choice(values) for name, values in READ_SETTINGS.items()}
        world.set(**history.settings, **read)
        settings_now = compare.reference_settings({**history.settings, **read})
        found += compare.compare_checks(world.checks(prefix), states, expected, settings_now)
        found += compare.compare_entitlements(world, prefix, states, expected, settings_now, compare.reference_periods(history.periods), chance)
    found += compare.compare_steps(world.explain(states), states)
    found += compare.difference("orders changed by rebuilding", world.rebuild(states), [])
    found += compare.difference("rows after rebuilding", world.tables(prefix), rows.tables)
    assert not found, "\n".join(found[:20])
