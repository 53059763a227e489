"""bagelhook redrive: dead letters, and events whose type was not known, are tried again."""

import pytest

import bodies
import harness
import waiting

from operating import letters, run


def test_redrive_nothing(stack):
    assert run(stack.cluster, stack.db, "redrive", "--all") == (0, ["0 tried, 0 resolved, 0 left"], [])


def test_redrive_refused_by_the_database(stack):
    """What the database refused for good is an event once the reason is gone, signed as it was."""
    poison = bodies.payment("order_1", event_id="evt_poison")
    stack.query("ALTER TABLE bagelpay.events ADD CONSTRAINT no_poison CHECK (event_id <> 'evt_poison' OR event_id::integer > 0)")
    assert stack.deliver(poison, timestamp=1758000000).status == 400
    (number, _, _), = letters(stack)
    assert run(stack.cluster, stack.db, "redrive", "--all") == (
        1, [f"{number}\tleft\trefused by the database (SQLSTATE 22P02)", "1 tried, 0 resolved, 1 left"], [])
    stack.query("ALTER TABLE bagelpay.events DROP CONSTRAINT no_poison")
    assert run(stack.cluster, stack.db, "redrive", "--all") == (
        0, [f"{number}\tresolved\tapplied", "1 tried, 1 resolved, 0 left"], [])
    assert letters(stack) == [(number, "database", True)]
    assert stack.query("SELECT body, signed_timestamp, length(signature) FROM bagelpay.event_bodies") == [
        (poison, 1758000000, 64)]
    assert stack.query("SELECT status FROM bagelpay.orders") == [("paid",)]
    assert run(stack.cluster, stack.db, "redrive", "--all") == (0, ["0 tried, 0 resolved, 0 left"], [])
    assert run(stack.cluster, stack.db, "redrive", "--id", number) == (
        0, [f"{number}\tresolved\talready", "1 tried, 1 resolved, 0 left"], [])


def test_redrive_what_is_no_event(stack):
    """What is no valid event stays, with the reason; others are resolved nevertheless."""
    good = bodies.payment()
    stack.query("INSERT INTO bagelpay.dead_letters (sha256, body, reason) VALUES (sha256('{}'), '{}', 'invalid'),"
                " (sha256(%s), %s, 'invalid')", good, good)
    (first, *_), (second, *_) = letters(stack)
    assert run(stack.cluster, stack.db, "redrive", "--all") == (
        1, [f"{first}\tleft\tevent_type: missing", f"{second}\tresolved\tapplied", "2 tried, 1 resolved, 1 left"], [])
    assert [resolved for _, _, resolved in letters(stack)] == [False, True]


def test_redrive_a_conflict(stack):
    """Another content under a taken id is resolved only when the id is free."""
    stack.deliver(bodies.payment("order_1", event_id="evt_1"))
    stack.deliver(bodies.payment("order_2", event_id="evt_1"))
    (number, _, _), = letters(stack)
    assert run(stack.cluster, stack.db, "redrive", "--id", number) == (
        1, [f"{number}\tleft\tevent_id: still taken by an event with another content", "1 tried, 0 resolved, 1 left"], [])
    assert letters(stack) == [(number, "conflict", False)]
    stack.query("DELETE FROM bagelpay.events WHERE event_id = 'evt_1'")
    assert run(stack.cluster, stack.db, "redrive", "--id", number) == (
        0, [f"{number}\tresolved\tapplied", "1 tried, 1 resolved, 0 left"], [])
    assert letters(stack) == [(number, "conflict", True)]


def test_redrive_of_no_letter(stack):
    assert run(stack.cluster, stack.db, "redrive", "--id", 4711) == (
        1, [], ["bagelhook redrive: there is no dead letter of this id"])


def test_redrive_without_rights(stack):
    """The responder's own role must not read a single letter."""
    status, lines, complaints = run(stack.cluster, stack.db, "redrive", "--all", user="bagelhook")
    assert (status, lines) == (1, [])
    assert complaints == ["bagelhook redrive: permission denied for table dead_letters: connect as a role that has "
                          "bagelpay_owner"]


RANK = "bagelpay_internal.event_rank(text)"


@pytest.fixture
def older(stack):
    """A stack whose schema does not know refunds yet, and a function that brings it up to date."""
    (now,), = stack.query("SELECT pg_get_functiondef(%s::regprocedure)", RANK)
    stack.query(now.replace("WHEN 'refund.created' THEN 6", ""))
    stack.upgrade = lambda: stack.query(now)
    return stack


def refund(order, event_id, **members):
    """A refund in full, of an order whose payment has the event id of that name."""
    return bodies.changed(bodies.payment(order, event_id=event_id, payment_id=f"ch_{order}", **members),
                          event_type="refund.created")


def state(stack):
    """Every row that follows from the events, and the events without what depends on the moment of storing."""
    return stack.query("SELECT bagelpay_internal.state_of(mode, order_id) FROM bagelpay.orders ORDER BY mode, order_id") + stack.query(
        "SELECT to_jsonb(e) - 'received_at' - 'last_delivered_at' - 'stored_xid' - 'signed_timestamp'"
        " FROM bagelpay.events AS e ORDER BY event_id")


def test_redrive_ignored(older, make_stack):
    """Events of a type that is known now give the rows that they would have given, and keep when and how often they came."""
    unknown = bodies.changed(refund("order_2", "evt_unknown"), event_type="invoice.created")
    forged = bodies.changed(refund("order_1", "evt_forged"), event_type="operator.revoke")
    sent = [bodies.payment("order_1", payment_id="ch_order_1"), bodies.payment("order_2", payment_id="ch_order_2"),
            refund("order_1", "evt_1"), bodies.changed(refund("order_2", None), event_id=None), unknown, forged]
    for body in [*sent, sent[2]]:
        assert older.deliver(body).status == 200
    *_, (cursor,) = older.query("SELECT cursor FROM bagelpay.changes_since('')")
    when = "SELECT event_id, received_at, last_delivered_at, deliveries, signed_timestamp FROM bagelpay.events ORDER BY event_id"
    kept = "SELECT * FROM bagelpay.event_bodies ORDER BY event_id"
    before = older.query(when), older.query(kept)
    assert run(older.cluster, older.db, "redrive", "--ignored") == (
        0, ["0 tried, 0 resolved, 0 left, 4 of unknown types"], [])
    older.upgrade()
    (digest,), = older.query("SELECT event_id FROM bagelpay.events WHERE event_id LIKE 'sha256:%'")
    assert run(older.cluster, older.db, "redrive", "--ignored") == (
        0, ["evt_1\tresolved\tapplied", f"{digest}\tresolved\tapplied",
            "2 tried, 2 resolved, 0 left, 2 of unknown types"], [])
    assert older.query("SELECT order_id, status FROM bagelpay.orders ORDER BY 1") == [
        ("order_1", "refunded"), ("order_2", "refunded")]
    assert (older.query(when), older.query(kept)) == before
    assert older.query("SELECT order_id FROM bagelpay.changes_since(%s) ORDER BY 1", cursor) == [("order_1",), ("order_2",)]
    never_older = make_stack()
    for body in [*sent, sent[2]]:
        never_older.deliver(body)
    assert state(older) == state(never_older)
    assert run(older.cluster, older.db, "redrive", "--ignored") == (
        0, ["0 tried, 0 resolved, 0 left, 2 of unknown types"], [])
    assert older.query("SELECT bagelpay.rebuild()") == [(0,)]


def test_redrive_ignored_without_bodies(older):
    """What retention removed is said by event; the others are taken in."""
    for event_id in ("evt_1", "evt_2\x1b"):
        older.deliver(bodies.payment(f"order{event_id[-2:]}", payment_id=f"ch_{event_id}"))
        older.deliver(refund(f"order{event_id[-2:]}", event_id))
    older.query("UPDATE bagelpay.events SET received_at = '2020-01-01' WHERE event_id = 'evt_1'")
    older.query("SELECT bagelpay.forget('1 year')")
    older.upgrade()
    assert run(older.cluster, older.db, "redrive", "--ignored") == (
        1, ["evt_1\tleft\tits body was removed by retention or erasure", "evt_2?\tresolved\tapplied",
            "2 tried, 1 resolved, 1 left, 0 of unknown types"], [])
    assert older.query("SELECT event_id, outcome FROM bagelpay.events WHERE event_type = 'refund.created' ORDER BY 1") == [
        ("evt_1", "ignored"), ("evt_2\x1b", "applied")]


def test_redrive_ignored_that_is_delivered(older, background):
    """Another delivery at the same moment is a duplicate of the event, as at any other."""
    sent = refund("order_1", "evt_1")
    older.deliver(sent)
    older.upgrade()
    with waiting.holding(older, "LOCK TABLE bagelpay.orders"):
        redrive = background(run, older.cluster, older.db, "redrive", "--ignored")
        harness.wait_until(lambda: waiting_for_a_lock(older) == 1, "redrive")
        delivery = background(older.deliver, sent)
        harness.wait_until(lambda: waiting_for_a_lock(older) == 2, "the delivery")
    assert redrive.result()[:2] == (0, ["evt_1\tresolved\tapplied", "1 tried, 1 resolved, 0 left, 0 of unknown types"])
    assert delivery.result().json["outcome"] == "duplicate"
    assert older.query("SELECT outcome, deliveries FROM bagelpay.events") == [("applied", 2)]


def waiting_for_a_lock(stack):
    """The number of sessions that wait for a lock."""
    (number,), = stack.query("SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'", stack.db)
    return number


USAGE = "redrive: give either --id N, --all or --ignored"


@pytest.mark.parametrize("arguments, complaint", [
    ((), USAGE), (("--all", "--id", "1"), USAGE), (("--all", "--ignored"), USAGE),
    (("--id", "0"), '--id: must be a number from 1 to 9223372036854775807, not "0"'),
    (("--all", "x"), "x: takes no arguments besides options; try --help"),
    (("--all", "--listen", "x"), "unknown option --listen; try --help")])
def test_redrive_wrong_usage(cluster, arguments, complaint):
    assert run(cluster, "postgres", "redrive", *arguments) == (2, [], [f"bagelhook: {complaint}"])
