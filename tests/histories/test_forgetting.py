"""Random histories in which old events are forgotten meanwhile: the same state comes of them."""

import itertools
import os
import random
import threading
import time

import pytest

import world as _  # noqa: F401  (first: it puts the other tests on the path)
import compare
import fastcgi
import harness
import made
from reference import extract

HISTORIES = int(os.environ.get("BAGELHOOK_HISTORIES", "200")) // 40
_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def alone(world):
    """rebuild() of everything, and forgetting, are of this test's histories only."""
    world.forget()
    yield
    world.forget()


def forget_all(connection):
    """Until nothing is left; returns how many events were forgotten."""
    total = 0
    while True:
        found = connection.execute("SELECT events FROM bagelpay.forget('0', 7)").fetchone()["events"]
        total += found
        if found == 0:
            return total


def forget_on(world, ending, failures):
    """Forgets all that is there, again and again."""
    try:
        with world.cluster.connect(world.database) as connection:
            while not ending.is_set():
                connection.execute("SELECT bagelpay.forget('0', 3)")
    except Exception as error:  # pylint: disable=broad-except
        failures.append(error)


def deliver_forgetting(world, history, seed):
    """Delivers a history while its events are forgotten as they come."""
    ending, failures = threading.Event(), []
    thread = threading.Thread(target=forget_on, args=(world, ending, failures))
    thread.start()
    try:
        world.deliver(history, seed)
    finally:
        ending.set()
        thread.join()
    assert not failures


def everything(world):
    """All rows of state, and who is entitled now, as sorted texts."""
    return world.connection.execute("""
        SELECT what, row FROM (
            SELECT 'order' AS what, bagelpay_internal.state_of(mode, order_id) AS row FROM bagelpay.orders
            UNION ALL SELECT 'event', concat_ws(' ', event_id, outcome, mode, order_id, key_source, user_id, warnings, effect) FROM bagelpay.events
            UNION ALL SELECT 'check', t::text FROM bagelpay.order_checks AS t
            UNION ALL SELECT 'entitlement', t::text FROM bagelpay.entitlements AS t) AS rows
        ORDER BY what, row COLLATE "C" """).fetchall()


def deliver_again(world, bodies):
    """Delivers bodies once more, which changes nothing; returns the body of each event, by its id."""
    found = {}
    for body in dict.fromkeys(bodies):
        timestamp = str(int(time.time()))
        answer = fastcgi.request(str(world.responders[0].socket_path),
                                 fastcgi.post_params(len(body), harness.sign(world.secret, body, timestamp), timestamp), body)
        assert (answer.status, answer.json["outcome"]) == (200, "duplicate")
        found.setdefault(answer.json["event_id"], body)
    return found


def remember(rows, bodies_by_id):
    """Puts into rows of events what was forgotten of them: they are known by it if they have no id of their own."""
    for row in rows.events:
        if row["event_id"] in bodies_by_id:
            event = extract.parse(bodies_by_id[row["event_id"]])
            row.update((name, getattr(event, name)) for name in ("customer_email", "metadata", "payment_method", "last4"))


def rebuild_all(world):
    return world.connection.execute("SELECT bagelpay.rebuild() AS n").fetchone()["n"]


@pytest.mark.parametrize("number", range(HISTORIES))
def test_forgetting(world, number):
    """What was forgotten in the middle of a history is missed by nobody, nor what is at its end.

    BAGELHOOK_SEED tries a history again, which a failure names."""
    seed = int(os.environ.get("BAGELHOOK_SEED") or random.SystemRandom().randrange(10 ** 9))
    print(f"history {number}: BAGELHOOK_SEED={seed}")
    chance = random.Random(seed)
    prefix = f"738{next(_numbers):06}"
    numbers = chance.sample(range(made.MOST_EVENTS), chance.randint(5, made.MOST_EVENTS))
    history = made.history(chance.getrandbits(64), numbers, chance.getrandbits(32), prefix)
    world.forget()
    world.set(**history.settings)
    deliver_forgetting(world, history, seed)

    before = everything(world)
    bodies_by_id = deliver_again(world, history.bodies)
    assert everything(world) == before
    rows = world.read(prefix)
    remember(rows, bodies_by_id)
    wanted = compare.reference_settings(history.settings)
    _events, states = compare.expected_states(rows, history.bodies, wanted)
    assert compare.compare_tables(rows, states) == []

    forget_all(world.connection)
    assert everything(world) == before
    assert rebuild_all(world) == 0
    assert world.connection.execute("SELECT bagelpay.rekey() AS n").fetchone()["n"] == 0
    assert everything(world) == before
    assert forget_all(world.connection) == 0
    assert world.connection.execute("SELECT count(*) AS n FROM bagelpay.event_bodies").fetchone()["n"] == 0
    deliver_again(world, history.bodies)
    assert everything(world) == before
