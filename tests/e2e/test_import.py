"""bagelhook import: bodies from files become events."""

import json
import os
import pty
import subprocess

import bodies
import harness

from operating import letters, run


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
