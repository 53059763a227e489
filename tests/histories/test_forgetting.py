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
            SELECT 'order' AS what, t::text AS row FROM bagelpay.orders AS t
            UNION ALL SELECT 'subscription', t::text FROM bagelpay.subscriptions AS t
            UNION ALL SELECT 'payment', t::text FROM bagelpay.payments AS t
            UNION ALL SELECT 'refund', t::text FROM bagelpay.refunds AS t
            UNION ALL SELECT 'event', concat_ws(' ', event_id, outcome, mode, order_id, key_source, warnings) FROM bagelpay.events
            UNION ALL SELECT 'check', t::text FROM bagelpay.order_checks AS t
            UNION ALL SELECT 'entitlement', t::text FROM bagelpay.entitlements AS t) AS rows
        ORDER BY what, row COLLATE "C" """).fetchall()


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

    rows = world.read(prefix, history.bodies)
    wanted = compare.reference_settings(history.settings)
    _events, states = compare.expected_states(history.bodies, rows.decisions, wanted)
    assert compare.compare_tables(rows, states) == []

    forget_all(world.connection)
    before = everything(world)
    assert rebuild_all(world) == 0
    assert world.connection.execute("SELECT bagelpay.rekey() AS n").fetchone()["n"] == 0
    assert everything(world) == before
    assert forget_all(world.connection) == 0
    assert world.connection.execute("SELECT count(*) AS n FROM bagelpay.event_bodies").fetchone()["n"] == 0

    # The same bodies once more.
    for body in dict.fromkeys(history.bodies):
        answer = world_answer(world, body)
        assert (answer.status, answer.json["outcome"]) == (200, "duplicate")
    assert everything(world) == before


def world_answer(world, body):
    """Delivers one body more, directly to a responder."""
    timestamp = str(int(time.time()))
    return fastcgi.request(str(world.responders[0].socket_path),
                           fastcgi.post_params(len(body), harness.sign(world.secret, body, timestamp), timestamp), body)
