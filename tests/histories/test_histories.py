"""Random histories, delivered in random order over several connections, against the reference.

BAGELHOOK_HISTORIES is the number of histories (200 unless set).
"""

import itertools
import os
import pathlib
import random
import sys

from hypothesis import HealthCheck, Phase, given, note, settings, strategies

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import world as _  # noqa: E402,F401  (first: it puts the other tests on the path)
import compare  # noqa: E402
import made  # noqa: E402
from reference import entitle  # noqa: E402

HISTORIES = int(os.environ.get("BAGELHOOK_HISTORIES", "200"))
# Histories after which the database is emptied.
MANY = 500
READ_SETTINGS = {
    "grace": ("1 day", "0", "3 hours", "1 month"),
    "default_period": ("31 days", "1 month 2 days"),
    "revoke_on_dispute": (True, False),
    "on_cancel": ("end_now", "keep_paid_time"),
    "require_expected_order": (False, False, True),
}
_numbers = itertools.count(1)


@settings(max_examples=HISTORIES, deadline=None, database=None, print_blob=True,
          suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.generate, Phase.shrink))
@given(seed=strategies.integers(0, 2 ** 64 - 1),
       numbers=strategies.lists(strategies.integers(0, made.MOST_EVENTS - 1), unique=True, min_size=2, max_size=made.MOST_EVENTS),
       arrival=strategies.integers(0, 2 ** 32 - 1))
def test_histories(world, seed, numbers, arrival):
    """What the database holds, and says of every moment, is what the reference does."""
    number = next(_numbers)
    if number % MANY == 0:
        world.forget()
    prefix = f"739{number:06}"
    history = made.history(seed, numbers, arrival, prefix)
    for one in history.arrivals:
        note(repr(one))
    world.set(**history.settings)
    world.deliver(history, arrival)
    check(world, history, prefix, arrival)


def check(world, history, prefix, seed):
    """Compares everything of one delivered history, and that rebuilding changes nothing of it."""
    chance = random.Random(f"settings {seed}")
    rows = world.read(prefix, history.bodies)
    wanted = compare.reference_settings(history.settings)
    events, states = compare.expected_states(history.bodies, rows.decisions, wanted)
    found = compare.compare_events(rows, events, states, wanted) + compare.compare_tables(rows, states)
    expected = {(mode, order_id): entitle.Expected(*what) for mode, order_id, *what in history.expected}
    for _ in range(2):
        read = {name: chance.choice(values) for name, values in READ_SETTINGS.items()}
        world.set(**history.settings, **read)
        found += compare.compare_entitlements(
            world, prefix, states, expected, compare.reference_settings({**history.settings, **read}))
    for mode, order_id in states:
        changed = world.connection.execute("SELECT bagelpay.rebuild(%s, %s) AS n", (order_id, mode)).fetchone()["n"]
        found += compare.difference(f"orders changed by rebuilding {order_id}", changed, 0)
    again = world.read(prefix, history.bodies)
    found += compare.difference("rows after rebuilding", again.tables, rows.tables)
    assert not found, "\n".join(found[:20])
