"""bagelhook export: the bodies of events become lines."""

import json
import pathlib
import re
import subprocess

import pytest

import bodies
import harness
import sending

from operating import run


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
