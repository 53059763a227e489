"""The operator's commands: redrive, import, export, adopt."""

import json
import os
import pathlib
import pty
import re
import subprocess

import pytest

import bodies
import harness
import sending
import waiting


@pytest.fixture(scope="module")
def database(cluster):
    """A database of its own, and a function that runs a bagelhook command on it as the schema's owner."""
    return cluster.create_database()


def run(cluster, db, *arguments, stdin=b"", user="postgres"):
    """Exit status, lines, lines of complaint."""
    command = [harness.BUILD / "bagelhook", arguments[0], "--database", cluster.dsn(user, db), *arguments[1:]]
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, check=False,
                          env=harness.clean_environment(), timeout=harness.PATIENCE_S)
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode().splitlines()


def letters(stack):
    return stack.query("SELECT id, reason, resolved_at IS NOT NULL FROM bagelpay.dead_letters ORDER BY id")


# --- redrive ----------------------------------------------------------------------------------------------------------

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


# --- import -----------------------------------------------------------------------------------------------------------

def test_import_lines(stack, tmp_path):
    """One document a line; what is no event is named by file and line, and the others are committed."""
    known, *fresh = [bodies.payment(f"order_{number}") for number in range(200)]
    stack.deliver(known)
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join([*fresh[:100], b"", b"{}", known, b"not JSON", *fresh[100:]]) + b"\r\n")
    status, lines, complaints = run(stack.cluster, stack.db, "import", path)
    assert (status, lines) == (1, ["202 bodies: 199 committed, 1 had been there, 2 left"])
    assert complaints[0] == f"{path}:102: event_type: missing" and complaints[1].startswith(f"{path}:104: body: ")
    assert stack.query("SELECT count(*) FROM bagelpay.payments") == [(200,)]
    assert letters(stack) == []
    assert {body for body, in stack.query("SELECT body FROM bagelpay.event_bodies")} == {known, *fresh}
    assert run(stack.cluster, stack.db, "import", path)[1] == ["202 bodies: 0 committed, 200 had been there, 2 left"]


def test_import_files(stack, tmp_path):
    """One document in a file, over several lines and with white space around it, which is not part of the body."""
    pretty = json.dumps(json.loads(bodies.payment("order_1")), indent=2).encode()
    (tmp_path / "one.json").write_bytes(b"\n " + pretty + b"\n\n")
    (tmp_path / "two.json").write_bytes(bodies.payment("order_2"))
    assert run(stack.cluster, stack.db, "import", tmp_path / "one.json", tmp_path / "two.json") == (
        0, ["2 bodies: 2 committed, 0 had been there, 0 left"], [])
    assert (pretty,) in stack.query("SELECT body FROM bagelpay.event_bodies")


def test_import_of_what_was_delivered(stack, tmp_path):
    """The same events from elsewhere, in other bytes, are the same events: counted, and the first bytes stay."""
    delivered = [bodies.payment(f"order_{number}") for number in range(2)]
    assert [stack.deliver(body).status for body in delivered] == [200, 200]
    before = stack.query("SELECT to_jsonb(o) FROM bagelpay.orders AS o ORDER BY order_id")
    (tmp_path / "one.json").write_bytes(json.dumps(json.loads(delivered[0]), indent=4).encode())
    (tmp_path / "two.json").write_bytes(json.dumps({"exported": True, **json.loads(delivered[1])}, sort_keys=True).encode())
    assert run(stack.cluster, stack.db, "import", tmp_path / "one.json", tmp_path / "two.json") == (
        0, ["2 bodies: 0 committed, 2 had been there, 0 left"], [])
    assert letters(stack) == []
    assert stack.query("SELECT e.deliveries, b.body FROM bagelpay.events AS e JOIN bagelpay.event_bodies AS b USING (event_id)"
                       " ORDER BY e.order_id") == [(2, body) for body in delivered]
    assert stack.query("SELECT to_jsonb(o) FROM bagelpay.orders AS o ORDER BY order_id") == before


def test_import_of_a_conflict(stack):
    """Another content under a known event id is kept as a dead letter, as if it had been delivered."""
    assert stack.deliver(bodies.payment("order_1", event_id="evt_1")).status == 200
    assert run(stack.cluster, stack.db, "import", "-", stdin=bodies.payment("order_2", event_id="evt_1")) == (
        0, ["1 bodies: 0 committed, 1 had been there, 0 left"], [])
    assert [(reason, resolved) for _, reason, resolved in letters(stack)] == [("conflict", False)]
    assert stack.query("SELECT order_id FROM bagelpay.events") == [("order_1",)]


def test_import_resolves_dead_letters(stack):
    """A body that is committed now is a dead letter no longer."""
    poison, good = bodies.payment(event_id="evt_poison"), bodies.payment()
    stack.query("ALTER TABLE bagelpay.events ADD CONSTRAINT no_poison CHECK (event_id <> 'evt_poison' OR event_id::integer > 0)")
    assert stack.deliver(poison).status == 400
    stack.query("INSERT INTO bagelpay.dead_letters (sha256, body, reason) VALUES (sha256(%s), %s, 'invalid')", good, good)
    stack.query("ALTER TABLE bagelpay.events DROP CONSTRAINT no_poison")
    assert run(stack.cluster, stack.db, "import", "-", stdin=poison + b"\n" + good) == (
        0, ["2 bodies: 2 committed, 0 had been there, 0 left"], [])
    assert [(reason, resolved) for _, reason, resolved in letters(stack)] == [("database", True), ("invalid", True)]


def test_import_standard_input(stack):
    lines = b"".join(bodies.payment() + b"\n" for _ in range(3))
    assert run(stack.cluster, stack.db, "import", "-", stdin=lines) == (
        0, ["3 bodies: 3 committed, 0 had been there, 0 left"], [])
    assert run(stack.cluster, stack.db, "import", "-") == (0, ["0 bodies: 0 committed, 0 had been there, 0 left"], [])


def test_import_as_the_responder(stack):
    """Handing in events is all that it needs to be allowed."""
    assert run(stack.cluster, stack.db, "import", "-", stdin=bodies.payment(), user="bagelhook")[0] == 0


def test_import_a_broken_first_line(stack):
    """The lines behind it are read as such."""
    status, lines, complaints = run(stack.cluster, stack.db, "import", "-",
                                    stdin=b"\n{\n" + bodies.payment() + b"\n" + bodies.payment())
    assert (status, lines) == (1, ["3 bodies: 2 committed, 0 had been there, 1 left"])
    assert len(complaints) == 1 and complaints[0].startswith("-:2: body: ")


def test_import_refused(stack):
    """What the database refuses is named, and costs only itself."""
    stack.query("ALTER TABLE bagelpay.events ADD CONSTRAINT no_poison CHECK (event_id <> 'evt_poison' OR event_id::integer > 0)")
    lines = [bodies.payment(), bodies.payment(event_id="evt_poison"), bodies.payment()]
    assert run(stack.cluster, stack.db, "import", "-", stdin=b"\n".join(lines)) == (
        1, ["3 bodies: 2 committed, 0 had been there, 1 left"], ["-:2: refused by the database (SQLSTATE 22P02)"])


def test_import_of_a_long_line(stack):
    """It is named, and costs only itself."""
    lines = [bodies.payment(), b"x" * (64 * 1024 * 1024 + 1), bodies.payment()]
    assert run(stack.cluster, stack.db, "import", "-", stdin=b"\n".join(lines)) == (
        1, ["3 bodies: 2 committed, 0 had been there, 1 left"], ["-:2: longer than 64 MiB"])


def test_import_broken_off(mortal, make_stack):
    """Where the database goes away in the middle it says so; the same again brings the rest."""
    stack = make_stack(cluster=mortal)
    sent = [bodies.payment() for _ in range(3000)]
    command = [harness.BUILD / "bagelhook", "import", "--database", mortal.dsn("bagelhook", stack.db), "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=harness.clean_environment()) as process:
        process.stdin.write(b"\n".join(sent[:1500]))
        process.stdin.flush()
        harness.wait_until(lambda: stack.query("SELECT count(*) > 0 FROM bagelpay.events") == [(True,)], "events")
        mortal.stop("immediate")
        lines, complaints = process.communicate(b"\n" + b"\n".join(sent[1500:]), timeout=harness.PATIENCE_S)
    assert process.returncode == 1
    assert b"bagelhook import: -: broken off at or before line " in complaints and b", run it again: " in complaints
    mortal.start()
    committed = int(lines.split()[2])
    (count,), = stack.query("SELECT count(*) FROM bagelpay.events")
    assert 0 < committed <= count < 3000
    assert run(mortal, stack.db, "import", "-", stdin=b"\n".join(sent)) == (
        0, [f"3000 bodies: {3000 - count} committed, {count} had been there, 0 left"], [])


def test_import_of_no_file(stack, tmp_path):
    """One that cannot be read is named; the others are imported."""
    (tmp_path / "one.json").write_bytes(bodies.payment())
    assert run(stack.cluster, stack.db, "import", tmp_path / "none", tmp_path, tmp_path / "one.json") == (
        1, ["1 bodies: 1 committed, 0 had been there, 0 left"],
        [f"bagelhook import: {tmp_path / 'none'}: No such file or directory",
         f"bagelhook import: {tmp_path}: Is a directory"])


def test_import_without_database(tmp_path):
    command = [harness.BUILD / "bagelhook", "import", "--database", f"host={tmp_path}", "-"]
    done = subprocess.run(command, input=b"", capture_output=True, check=False, env=harness.clean_environment())
    assert done.returncode == 1 and done.stderr.startswith(b"bagelhook import: connection to server")


def test_import_wrong_usage(cluster):
    assert run(cluster, "postgres", "import") == (2, [], ["bagelhook: import: give files, or - for standard input"])


def test_import_on_a_terminal(stack, tmp_path):
    """On a terminal a bar shows how far it is, and is gone at the end."""
    path = tmp_path / "events"
    path.write_bytes(b"".join(bodies.payment() + b"\n" for _ in range(3000)))
    master, terminal = pty.openpty()
    with subprocess.Popen([harness.BUILD / "bagelhook", "import", "--database", stack.cluster.dsn("bagelhook", stack.db),
                           path], stdout=subprocess.PIPE, stderr=terminal, env=harness.clean_environment()) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                more = os.read(master, 4096)
            except OSError:
                break
            if not more:
                break
            shown += more
        assert process.stdout.read() == b"3000 bodies: 3000 committed, 0 had been there, 0 left\n"
    os.close(master)
    assert process.returncode == 0
    assert b" %, " in shown and b" a second" in shown and shown.endswith(b"\r\x1b[K")


# --- export -----------------------------------------------------------------------------------------------------------

def export(stack, *arguments, user="postgres"):
    """Exit status, lines as bytes, lines of complaint."""
    command = [harness.BUILD / "bagelhook", "export", "--database", stack.cluster.dsn(user, stack.db), *arguments]
    done = subprocess.run(command, capture_output=True, check=False, env=harness.clean_environment(),
                          timeout=harness.PATIENCE_S)
    return done.returncode, done.stdout.split(b"\n")[:-1], done.stderr.decode().splitlines()


def as_line(body):
    return body.replace(b"\n", b" ").replace(b"\r", b" ")


@pytest.fixture
def sold(stack):
    """A stack with events that were received a day apart from 2025-01-01 on; their bodies, some over several lines."""
    stack.sent = [bodies.payment("order_1"), json.dumps(json.loads(bodies.payment("order_2")), indent=2).encode() + b"\r\n",
                  bodies.payment("order_1", mode="live", note="\u00e9\\n \U0001f96f")]
    for number, body in enumerate(stack.sent):
        assert stack.deliver(body).status == 200
        stack.query("UPDATE bagelpay.events SET received_at = '2025-01-01 12:00+00'::timestamptz + %s * interval '1 day'"
                    " WHERE event_id = %s", number, bodies.event_id(body))
    return stack


def test_export(sold):
    """Every body is one line, in the order of receipt; nothing else is written."""
    # The operator's decisions have no body.
    sold.query("SELECT bagelpay.revoke('order_1', mode => 'test')")
    assert export(sold) == (0, [as_line(body) for body in sold.sent], [])
    assert export(sold, user="bagelhook_console")[0] == 0
    assert b"\n".join(export(sold)[1]).count(b"\n") == 2


@pytest.mark.parametrize("arguments, expected", [
    (["--since", "2025-01-02"], [1, 2]), (["--since", "2025-01-02T12:00:00Z"], [1, 2]),
    (["--since", "2025-01-02 12:00:00.000001"], [2]), (["--until", "2025-01-02"], [0, 1]),
    (["--until", "2025-01-02T12:00:00Z"], [0]), (["--since", "2025-01-02", "--until", "2025-01-02"], [1]),
    (["--since", "2025-01-02T14:00:00+02:00"], [1, 2]), (["--mode", "live"], [2]), (["--mode", "test"], [0, 1]),
    (["--order", "order_1"], [0, 2]), (["--order", "order_1", "--mode", "test"], [0]), (["--order", "none"], [])])
def test_export_some(sold, arguments, expected):
    assert export(sold, *arguments) == (0, [as_line(sold.sent[number]) for number in expected], [])


def test_export_elsewhere(sold, make_stack):
    """What was exported gives the same state by import and by bagelhook-send, and is a duplicate of what is there."""
    exported = b"".join(line + b"\n" for line in export(sold)[1])
    rows = "SELECT bagelpay_internal.state_of(mode, order_id) FROM bagelpay.orders ORDER BY mode, order_id"
    imported, sent = make_stack(), make_stack()
    assert run(imported.cluster, imported.db, "import", "-", stdin=exported)[0] == 0
    status, lines, complaints = sending.send("--stdin", sent.url, secret=sent.responder.secret_path, stdin=exported)
    assert (status, complaints) == (0, [])
    assert lines == [f"-:{number}\t200\tapplied\t{bodies.event_id(body)}" for number, body in enumerate(sold.sent, 1)]
    assert imported.query(rows) == sent.query(rows) == sold.query(rows)
    assert {body for body, in sent.query("SELECT body FROM bagelpay.event_bodies")} == {as_line(body) for body in sold.sent}
    status, lines, _ = sending.send("--stdin", sold.url, secret=sold.responder.secret_path, stdin=exported)
    assert (status, [line.split("\t")[2] for line in lines]) == (0, ["duplicate"] * 3)
    assert sold.query("SELECT count(*) FROM bagelpay.dead_letters") == [(0,)]


def test_export_without_bodies(sold):
    """What retention removed is told on standard error; the rest is written."""
    sold.query("DELETE FROM bagelpay.event_bodies WHERE event_id = %s", bodies.event_id(sold.sent[0]))
    assert export(sold) == (1, [as_line(body) for body in sold.sent[1:]], [
        "bagelhook export: 1 events are left out: their bodies were removed by retention or erasure"])
    assert export(sold, "--since", "2025-01-02")[0] == 0


def test_export_onto_a_full_disk(sold):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([harness.BUILD / "bagelhook", "export", "--database", sold.cluster.dsn(db=sold.db)],
                              stdout=full, stderr=subprocess.PIPE, check=False, env=harness.clean_environment())
    assert (done.returncode, done.stderr) == (1, b"bagelhook export: No space left on device\n")


def test_export_in_little_memory(stack):
    """Its memory is that of one body, however much is exported."""
    if harness.is_sanitized():
        pytest.skip("sanitizers have their own memory")
    stack.deliver(bodies.changed(bodies.payment(), event_type="x"))
    stack.query("INSERT INTO bagelpay.events SELECT (jsonb_populate_record(e, jsonb_build_object('event_id', 'e' || n))).*"
                " FROM bagelpay.events AS e, generate_series(1, 2000) AS n")
    stack.query("INSERT INTO bagelpay.event_bodies SELECT 'e' || n, convert_to('\"' || repeat('x', 100000) || '\"', 'UTF8')"
                " FROM generate_series(1, 2000) AS n")
    with subprocess.Popen([harness.BUILD / "bagelhook", "export", "--database", stack.cluster.dsn(db=stack.db)],
                          stdout=subprocess.PIPE, env=harness.clean_environment()) as process:
        for number, line in enumerate(process.stdout):
            assert len(line) == 100003 or number == 2000
            # The pipe does not hold the lines behind it, so that it still runs.
            if number == 1990:
                peak_kb, = re.findall(r"VmHWM:\s*(\d+) kB", pathlib.Path(f"/proc/{process.pid}/status").read_text())
    assert (process.returncode, number) == (0, 2000)
    assert int(peak_kb) < 40000


@pytest.mark.parametrize("user, complaint", [
    ("bagelhook", "permission denied for table events: connect as a role that has bagelpay_owner or bagelpay_console")])
def test_export_without_rights(stack, user, complaint):
    assert export(stack, user=user) == (1, [], [f"bagelhook export: {complaint}"])


def test_export_of_no_schema(cluster):
    """Where there is nothing to export from, the remedy is named."""
    db = cluster.create_database(migrated=False)
    status, lines, (complaint,) = run(cluster, db, "export")
    assert (status, lines) == (1, [])
    assert complaint.startswith('bagelhook export: relation "bagelpay.events" does not exist: run, ')
    assert complaint.endswith(f" deploy db:pg:{db.replace('_', '%5F') if '%5F' in complaint else db}")


@pytest.mark.parametrize("arguments, complaint", [
    (("--since", "yesterday"), '--since: must be a day such as 2026-01-31, or a moment such as 2026-01-31T08:00:00Z, not "yesterday"'),
    (("--until", "2026-02-30"), '--until: must be a day such as 2026-01-31, or a moment such as 2026-01-31T08:00:00Z, not "2026-02-30"'),
    (("--mode", "both"), '--mode: must be one of live|test, not "both"'),
    (("order_1",), "order_1: takes no arguments besides options; try --help")])
def test_export_wrong_usage(cluster, arguments, complaint):
    assert run(cluster, "postgres", "export", *arguments) == (2, [], [f"bagelhook: {complaint}"])


# --- adopt ------------------------------------------------------------------------------------------------------------

HEADER = "user_id,email,product_id,paid_until,note\r\n"
CUSTOMERS = HEADER + """u1,Ann@example.com,club,2100-01-31,"moved, from ""old"" shop"\r
u1,ann@example.com,book,,\r
u2, bob@example.com ,club,2100-01-31T12:00:00+02:00,"two
lines"\r
"""


def adopt(stack, text, *arguments, user="postgres"):
    return run(stack.cluster, stack.db, "adopt", *arguments, "-", stdin=text.encode(), user=user)


def granted(stack, mode="live"):
    return stack.query("SELECT order_id, product_id, customer_email, user_id, reason, valid_until::text"
                       " FROM bagelpay.entitlements_at(now(), %s) ORDER BY order_id, product_id", mode)


@pytest.fixture
def app(stack):
    """A login of an application."""
    stack.query("DO $$ BEGIN CREATE ROLE shop_app LOGIN IN ROLE bagelpay_app; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    return "shop_app"


def test_adopt(stack, app, tmp_path):
    """Customers of before have what they had; the same file changes nothing, another end replaces the one before."""
    assert adopt(stack, CUSTOMERS, "--dry-run", user=app) == (
        0, ["3 lines: 3 granted, 0 changed, 0 unchanged, 0 wrong; nothing was changed, as told"], [])
    assert stack.query("SELECT count(*) FROM bagelpay.events") == [(0,)]
    path = tmp_path / "customers.csv"
    path.write_bytes(b"\xef\xbb\xbf" + CUSTOMERS.encode())
    assert run(stack.cluster, stack.db, "adopt", path, user=app) == (
        0, ["3 lines: 3 granted, 0 changed, 0 unchanged, 0 wrong"], [])
    rows = [("adopted:u1", "book", "ann@example.com", "u1", "granted", None),
            ("adopted:u1", "club", "ann@example.com", "u1", "granted", "2100-02-01 00:00:00+00"),
            ("adopted:u2", "club", "bob@example.com", "u2", "granted", "2100-01-31 10:00:00+00")]
    assert granted(stack) == rows
    assert stack.query("SELECT note FROM bagelpay.events WHERE note IS NOT NULL ORDER BY note") == [
        ('moved, from "old" shop',), ("two\nlines",)]
    assert stack.query("SELECT bagelpay.is_user_entitled('u1', 'club'), bagelpay.is_entitled('ANN@example.com', 'book')") == [
        (True, True)]
    assert adopt(stack, CUSTOMERS, user=app)[1] == ["3 lines: 0 granted, 0 changed, 3 unchanged, 0 wrong"]
    assert adopt(stack, CUSTOMERS.replace("2100-01-31,", "2100-02-28,"), user=app)[1] == [
        "3 lines: 0 granted, 1 changed, 2 unchanged, 0 wrong"]
    assert granted(stack)[1][5] == "2100-03-01 00:00:00+00"
    assert stack.query("SELECT count(*) FROM bagelpay.events") == [(4,)]
    assert granted(stack, "test") == []
    assert adopt(stack, CUSTOMERS, "--mode", "test", user=app)[1] == ["3 lines: 3 granted, 0 changed, 0 unchanged, 0 wrong"]
    assert len(granted(stack, "test")) == 3


def test_adopt_by_order(stack):
    """The order is the shop's own, if the file names it, so that later events of it are about the same item."""
    assert adopt(stack, "order_id,email,product_id,paid_until\norder_1,buyer@example.com,prod_1,2100-01-01")[0] == 0
    assert stack.deliver(bodies.payment("order_1", mode="live")).status == 200
    assert [row[:2] + row[4:5] for row in granted(stack)] == [("order_1", "prod_1", "granted")]


WRONG = HEADER + """u1,ann@example.com,club,2100-01-31,
u2,bob,club,,
u3,cy@example.com,,,
,dan@example.com,club,,
u5,eve@example.com,club,31.01.2026,
u6,fay@example.com,club
u7,gus@example.com,club,,"no" end
u1,ANN@example.com,club,,
""" + "u" * 248 + ",hal@example.com,club,,\n"
COMPLAINTS = [
    '-:3: email: "bob": not an e-mail address', "-:4: product_id: missing",
    "-:5: order_id, user_id: one of them is needed",
    '-:6: paid_until: "31.01.2026": must be a day such as 2026-01-31, whose end is meant, or a moment such as'
    " 2026-01-31T08:00:00Z, or empty for no end",
    "-:7: fewer fields than the header", "-:8: text behind a closing quote",
    "-:10: user_id: too long: give an order_id, too", "-:9: the same order, user, e-mail and product as line 2"]


def test_adopt_wrong_lines(stack):
    """All that is wrong is told by line, column and value, and nothing is changed; --keep-going leaves it out."""
    assert adopt(stack, WRONG) == (1, ["9 lines: 8 wrong; nothing was changed"], COMPLAINTS)
    assert granted(stack) == []
    assert adopt(stack, WRONG, "--keep-going") == (
        1, ["9 lines: 1 granted, 0 changed, 0 unchanged, 8 wrong"], COMPLAINTS)
    assert [row[0] for row in granted(stack)] == ["adopted:u1"]


@pytest.mark.parametrize("text, complaint", [
    ("", "-:1: header: missing: the file is empty"),
    ("user_id,mail", '-:1: header: "mail": must be one of order_id, user_id, email, product_id, paid_until, note'),
    ("email,email", '-:1: header: "email": twice'),
    ("email,product_id,paid_until", "-:1: header: needs a column order_id or user_id"),
    ("user_id,product_id,paid_until", "-:1: header: needs a column email"),
    ("user_id,email,paid_until", "-:1: header: needs a column product_id"),
    ("user_id,email,product_id", "-:1: header: needs a column paid_until, which is empty for what has no end"),
    ('"user_id,email', "-:1: header: a quote is not closed"),
    ('u"ser_id,email', '-:1: header: a quote inside a field that does not begin with one: "say ""hi""" is right')])
def test_adopt_a_wrong_header(stack, text, complaint):
    assert adopt(stack, text, "--keep-going") == (1, [], [complaint])


@pytest.mark.parametrize("line, complaint", [
    (b'u\0,a@example.com,p,,', "-:2: a NUL byte"), (b"u,\xff@example.com,p,,", '-:2: email: "\\xff@example.com": the text is not UTF-8'),
    (b"u,a@example.com,p,,,", "-:2: more fields than the header"), (b'u,a@example.com,p,,"', "-:2: a quote is not closed"),
    (b"u,a b@example.com,p,,", '-:2: email: "a b@example.com": not an e-mail address'),
    (b"u,a@example.com," + b"p" * 256 + b",,", f'-:2: product_id: "{"p" * 200}": too long')])
def test_adopt_a_wrong_line(stack, line, complaint):
    done = run(stack.cluster, stack.db, "adopt", "-", stdin=HEADER.encode() + line)
    assert done == (1, ["1 lines: 1 wrong; nothing was changed"], [complaint])


def test_adopt_many(stack):
    """Thousands in one transaction, for which the server's lock table would be too small."""
    text = HEADER + "".join(f"u{number},u{number}@example.com,club,,\n" for number in range(8000))
    assert adopt(stack, text) == (0, ["8000 lines: 8000 granted, 0 changed, 0 unchanged, 0 wrong"], [])
    assert stack.query("SELECT count(DISTINCT stored_xid) FROM bagelpay.events") == [(1,)]
    assert adopt(stack, text.replace(",,", ",2100-01-01,"), "--keep-going")[0] == 0
    assert stack.query("SELECT count(DISTINCT stored_xid) FROM bagelpay.events") == [(17,)]


def test_adopt_without_rights(stack):
    status, lines, complaints = adopt(stack, CUSTOMERS, user="bagelhook")
    assert (status, lines) == (1, [])
    assert complaints == ["bagelhook adopt: permission denied for function adopt: connect as a role that has bagelpay_app or"
                          " bagelpay_owner"]


@pytest.mark.parametrize("arguments", [(), ("a", "b")])
def test_adopt_wrong_usage(cluster, arguments):
    assert run(cluster, "postgres", "adopt", *arguments) == (
        2, [], ["bagelhook: adopt: give one file, or - for standard input"])


def test_adopt_of_no_file(stack, tmp_path):
    assert run(stack.cluster, stack.db, "adopt", tmp_path / "none.csv") == (
        1, [], [f"{tmp_path / 'none.csv'}: No such file or directory"])
