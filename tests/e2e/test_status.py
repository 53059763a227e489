"""bagelhook status: what it shows, and to whom it says that a person is needed."""

import re
import subprocess

import pytest

import bodies
import harness
import watching

VERSION = r'bagelhook [\d.]+, protocol 1; the schema of database "\w+" serves protocols 1 to 1'
NONE = "none among the latest 100000 events"
SELECT = "attention: SELECT kind, since, detail, remedy FROM bagelpay.attention ORDER BY since;"


@pytest.fixture
def reader(stack):
    """A login that may only read."""
    stack.query("DO $$ BEGIN CREATE ROLE shop_reader LOGIN IN ROLE bagelpay_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    return "shop_reader"


def status(stack, *arguments, user="shop_reader"):
    """Exit status, lines, lines of complaint."""
    done = subprocess.run([harness.BUILD / "bagelhook", "status", "--database", stack.cluster.dsn(user, stack.db), *map(str, arguments)],
                          capture_output=True, text=True, check=False, env=harness.clean_environment())
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


@pytest.mark.usefixtures("reader")
def test_nothing_happened(stack):
    code, (first, *lines), complaints = status(stack)
    assert (code, lines, complaints) == (0, [f"last live event: {NONE}", f"last test event: {NONE}",
                                             "dead letters: 0 unresolved", "attention: nothing"], [])
    assert re.fullmatch(VERSION, first)
    assert status(stack, "--brief") == (0, ["OK: last live event: none"], [])


@pytest.mark.usefixtures("reader")
def test_what_needs_a_person(stack):
    """Kinds are counted by mode; ages are those of BagelPay's events, not of the operator's."""
    unmatched = bodies.payment(mode="live", metadata=None, payment_id=None, customer=None, product=None, order=None)
    for body in (bodies.payment(mode="live"), unmatched, b"{}"):
        stack.deliver(body)
    stack.query("UPDATE bagelpay.events SET received_at = now() - interval '3 minutes 5 seconds'")
    stack.query("SELECT bagelpay.grant('gift', 'ann@example.com', 'p')")
    code, (_, live, test, *lines), complaints = status(stack)
    assert (code, complaints) == (3, [])
    assert re.fullmatch(r"last live event: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, 3 minutes ago", live)
    assert (test, lines) == (f"last test event: {NONE}",
                             ["dead letters: 1 unresolved", SELECT, "  1 dead_letter", "  1 live unmatched"])
    assert status(stack, "--brief") == (3, ["WARNING: 1 dead_letter, 1 unmatched; last live event: 3 minutes ago"], [])
    for (row,) in stack.query("SELECT id FROM bagelpay.attention"):
        stack.query("SELECT bagelpay.dismiss(%s)", row)
    assert status(stack, "--brief")[0] == 0


@pytest.mark.usefixtures("reader")
def test_metrics(stack):
    """What a timer writes for Prometheus; nothing to look at is no failure, nor is something."""
    head = ["# HELP bagelhook_attention Rows of bagelpay.attention: what a person should look at.",
            "# TYPE bagelhook_attention gauge"]
    tail = ["# HELP bagelhook_verification_timestamp_seconds When bagelhook-verify last compared with BagelPay's lists.",
            "# TYPE bagelhook_verification_timestamp_seconds gauge",
            "# HELP bagelhook_differences Rows of bagelpay.differences: what differs from BagelPay's lists, and whether that affects access.",
            "# TYPE bagelhook_differences gauge"]
    assert status(stack, "--metrics") == (0, head + tail, [])
    for body in (b"{}", bodies.changed(bodies.payment(), event_type="x"), bodies.changed(bodies.payment(), event_type="y")):
        stack.deliver(body)
    code, lines, complaints = status(stack, "--metrics")
    assert (code, lines, complaints) == (0, [*head, 'bagelhook_attention{kind="dead_letter",mode=""} 1',
                                             'bagelhook_attention{kind="ignored_type",mode="test"} 2', *tail], [])
    assert watching.promtool("check", "metrics", text="\n".join(lines) + "\n") == (0, "")


@pytest.mark.usefixtures("reader")
def test_verifications(stack):
    """The last run of bagelhook-verify of each mode, and what it found that nobody dismissed."""
    listed = """[{"order_id":"A","amount":"1","created_at":"2026-11-30 00:00:00"},{"order_id":"B","amount":"2","created_at":"2026-11-30 00:00:00"}]"""
    for mode, transactions in (("live", "[]"), ("live", listed), ("test", "[]")):
        stack.query("SELECT bagelpay_internal.store_verification(bagelpay_internal.verify(%s, '2026-01-01', now(), %s, '[]', TRUE))", mode, transactions)
    stack.query("UPDATE bagelpay.verifications SET finished_at = '2026-12-01Z' WHERE mode = 'test'")
    code, lines, complaints = status(stack)
    assert (code, complaints) == (3, [])
    assert re.fullmatch(r"last live verification: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, \d seconds? ago, 2 differences", lines[4])
    assert re.fullmatch(r"last test verification: 2026-12-01T00:00:00Z, \d+ \w+ ago, 0 differences", lines[5])
    assert lines[6:] == [SELECT, "  2 live drift"]
    stack.query("SELECT bagelpay.dismiss(id) FROM (SELECT id FROM bagelpay.differences ORDER BY provider_order_id LIMIT 1) AS d")
    _, lines, _ = status(stack, "--metrics")
    assert 'bagelhook_verification_timestamp_seconds{mode="test"} 1796083200' in lines
    assert 'bagelhook_differences{kind="missing_payment",mode="live",access="unknown"} 1' in lines
    assert watching.promtool("check", "metrics", text="\n".join(lines) + "\n") == (0, "")


def test_attention_service(stack, reader, tmp_path):
    """The command of the shipped service puts a whole file in place, and leaves the old one if it fails."""
    unit = (harness.SOURCE / "contrib" / "systemd" / "bagelhook-attention.service").read_text()
    script = re.search(r"^ExecStart=/bin/sh -ec '(.*)'$", unit, re.MULTILINE)[1]

    def start(user):
        return subprocess.run(["/bin/sh", "-ec", script], capture_output=True, check=False, env=harness.clean_environment(
            PATH=f"{harness.BUILD}:/usr/bin:/bin", STATE_DIRECTORY=tmp_path, PGHOST=stack.cluster.host, PGUSER=user,
            PGDATABASE=stack.db)).returncode

    stack.deliver(b"{}")
    assert start(reader) == 0
    written = (tmp_path / "bagelhook.prom").read_text()
    assert 'bagelhook_attention{kind="dead_letter",mode=""} 1\n' in written
    assert start("bagelhook") == 1
    assert (tmp_path / "bagelhook.prom").read_text() == written


def test_spool(make_stack, tmp_path):
    """A responder is asked for its spool, at either kind of address."""
    spool, port = tmp_path / "spool", harness.free_port()
    stack = make_stack("--admin-listen", f"127.0.0.1:{port}", "--spool", spool)
    stack.query("DO $$ BEGIN CREATE ROLE shop_reader LOGIN IN ROLE bagelpay_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    for host in ("127.0.0.1", "localhost"):
        code, lines, complaints = status(stack, "--admin", f"{host}:{port}")
        assert (code, lines[3], complaints) == (0, "spool: 0 files, 0 bytes", [])
    (spool / "corrupt" / "x").write_bytes(b"x")
    harness.wait_until(lambda: status(stack, "--admin", f"127.0.0.1:{port}")[0] == 3, "the file to be counted")
    code, lines, _ = status(stack, "--admin", f"127.0.0.1:{port}")
    assert lines[3] == "spool: 0 files, 0 bytes; 1 corrupt files: look at them in corrupt/ of the spool, and remove them"
    assert status(stack, "--brief", "--admin", f"127.0.0.1:{port}") == (
        3, ["WARNING: spool: 0 files, 1 corrupt; last live event: none"], [])


@pytest.mark.usefixtures("reader")
def test_it_cannot_look(stack, tmp_path):
    code, lines, complaints = status(stack, "--admin", f"unix:{tmp_path}/none")
    assert (code, lines, complaints) == (1, [], [f"bagelhook status: unix:{tmp_path}/none: No such file or directory"])
    assert status(stack, user="bagelhook") == (
        1, [], ["bagelhook status: permission denied for table events: connect as a role that has bagelpay_reader"])
    stack.query("CREATE OR REPLACE FUNCTION bagelpay.served_responders (OUT oldest integer, OUT newest integer)"
                " LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 2, 3'")
    code, lines, _ = status(stack)
    assert code == 3 and lines[0].endswith("serves protocols 2 to 3")
    assert lines[1] == "this version is not served: install a newer bagelhook"


@pytest.mark.parametrize("arguments, complaint", [
    (["--brief", "--metrics"], "status: give either --brief or --metrics"),
    (["--admin", "9464"], '--admin 9464: must be unix:/path or host:port'),
    (["x"], "x: takes no arguments besides options; try --help")])
def test_wrong_usage(stack, arguments, complaint):
    assert status(stack, *arguments) == (2, [], [f"bagelhook: {complaint}"])
