"""Databases that are away, silent or wrongly set: what is answered, by when, and what is found out by itself."""

import contextlib
import pathlib
import socket
import subprocess
import time

import pytest

import bodies
import fastcgi
import harness
import waiting
from watching import Admin


def check(dsn, tmp_path, **environment):
    """Exit status and standard error of bagelhook --check."""
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("whsec_of_some_length\n")
    done = subprocess.run([harness.BUILD / "bagelhook", "--check", "--secret-file", secret, "--database", dsn],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd="/",
                          timeout=harness.PATIENCE_S, env=harness.clean_environment(**environment))
    return done.returncode, done.stderr


def request(responder, body=None):
    """Delivers one event without a web server."""
    body, now = body or bodies.payment(), int(time.time())
    params = fastcgi.post_params(len(body), harness.sign(responder.secret, body, now), now)
    return fastcgi.request(responder.address, params, body)


@pytest.fixture
def admin():
    """The place of an admin listener."""
    with contextlib.closing(Admin()) as one:
        yield one


@contextlib.contextmanager
def hanging_commits(cluster):
    """Makes every COMMIT wait for a synchronous standby that does not exist. Gives a connection that does not wait."""
    with cluster.connect() as connection:
        connection.execute("SET synchronous_commit = local")

        def wait_for(names):
            connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
            connection.execute("SELECT pg_reload_conf()")
            harness.wait_until(lambda: connection.execute("SHOW synchronous_standby_names").fetchone() == (names,),
                               "the setting")

        wait_for("nobody")
        try:
            yield connection
        finally:
            wait_for("")


def waiting_commits(connection):
    """The ids of the server processes whose COMMIT waits for a standby."""
    return [pid for pid, in connection.execute("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")]


# --- what a 200 promises, whatever the settings -----------------------------------------------------------------------


@pytest.mark.parametrize("level", ["error", "warning", "debug5"])
def test_replication_that_is_cut(mortal, make_stack, background, level):
    """A COMMIT whose wait for a standby was cut is no 200, also where the role wants to hear of errors only."""
    stack = make_stack(cluster=mortal)
    stack.query(f'ALTER ROLE bagelhook IN DATABASE "{stack.db}" SET client_min_messages = {level}')
    stack.responder.stop()
    stack.responder.start()
    with hanging_commits(mortal) as connection:
        answer = background(stack.deliver, bodies.payment())
        pid, = harness.wait_until(lambda: waiting_commits(connection), "a COMMIT that waits")
        connection.execute("SELECT pg_cancel_backend(%s)", (pid,))
        assert (answer.result().status, answer.result().json["error"]) == (503, "Outcome unknown")


SETTINGS = {
    "array_nulls": "off", "bytea_output": "escape", "client_encoding": "LATIN1", "client_min_messages": "error",
    "DateStyle": "SQL, DMY", "default_transaction_deferrable": "on", "default_transaction_isolation": "serializable",
    "escape_string_warning": "on", "extra_float_digits": "-15", "gin_fuzzy_search_limit": "1", "IntervalStyle": "sql_standard",
    "lock_timeout": "1s", "plan_cache_mode": "force_custom_plan", "row_security": "off", "search_path": "public",
    "session_replication_role": "replica", "standard_conforming_strings": "off", "statement_timeout": "1s",
    "synchronous_commit": "off", "TimeZone": "Asia/Kathmandu", "transform_null_equals": "on", "xmlbinary": "hex",
}


def test_settings_of_the_role(make_stack):
    """No setting of the role changes what is stored. A COMMIT outlives the role's statement_timeout."""
    sent = [bodies.changed(bodies.payment("Bäckerei \\ 'no. 1'", event_id=f"evt_{number}"), created_at=when)
            for number, when in enumerate(["2026-02-03 04:05:06", "2026-02-03T04:05:06.789+05:45", 1770091506789])]
    rows = []
    for settings in ({}, SETTINGS):
        stack = make_stack()
        with stack.connect() as connection:
            for name, value in settings.items():
                connection.execute(f"""ALTER ROLE bagelhook IN DATABASE "{stack.db}" SET {name} = {
                    value if name in ("DateStyle", "search_path") else f"'{value}'"}""")
        stack.query("CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                    " PERFORM pg_sleep(1.5); RETURN NULL; END $$")
        stack.query("CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON bagelpay.events DEFERRABLE INITIALLY DEFERRED"
                    " FOR EACH ROW WHEN (NEW.event_id = 'evt_0') EXECUTE FUNCTION public.dawdle()")
        stack.query("ALTER TABLE bagelpay.events ENABLE ALWAYS TRIGGER dawdle")
        stack.responder.stop()
        stack.responder.start()
        assert [stack.deliver(body).status for body in sent] == [200] * 3
        assert stack.deliver(b"{}").status == 400
        rows.append([stack.query(f"SELECT to_jsonb(t) - ARRAY{leave}::text[] FROM bagelpay.{table} AS t ORDER BY 1") for table, leave in (
            ("events", ["received_at", "last_delivered_at", "stored_xid", "signed_timestamp"]), ("orders", []), ("items", []),
            ("dead_letters", ["received_at", "signed_timestamp", "signature"]))])
    assert rows[0] == rows[1] and len(rows[0][0]) == 3


# --- one event that the database takes too long for -------------------------------------------------------------------


def test_slow_event(make_stack, background):
    """An event that takes longer than it may is answered 503, and costs those of its batch nothing but time."""
    stack = make_stack("--commit-timeout", 8)
    assert stack.deliver(bodies.payment()).status == 200
    stack.query("CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " PERFORM pg_sleep(60); RETURN NULL; END $$")
    stack.query("CREATE TRIGGER dawdle AFTER INSERT ON bagelpay.events"
                " FOR EACH ROW WHEN (NEW.event_id = 'evt_slow') EXECUTE FUNCTION public.dawdle()")
    with waiting.frozen_backend(stack):
        first = background(stack.deliver, bodies.payment())
        time.sleep(0.2)
        slow = background(stack.deliver, bodies.payment(event_id="evt_slow"))
        others = [background(stack.deliver, bodies.payment(f"order_{number}")) for number in range(20)]
        assert waiting.stays_unanswered(first, 0.5)
    assert [one.result().status for one in (first, *others)] == [200] * 21
    assert slow.result().status == 503
    harness.wait_until(lambda: "level=error" in stack.responder.log and "57014" in stack.responder.log, "the record")
    assert stack.deliver(bodies.payment()).status == 200


# --- settings of the schema -------------------------------------------------------------------------------------------


def test_zone_that_is_gone(make_stack, admin, tmp_path):
    """--check and /readyz look at the settings, and say which one is of no use."""
    stack = make_stack("--spool", tmp_path / "spool", *admin.arguments)
    dsn = stack.cluster.dsn("bagelhook", stack.db)
    assert check(dsn, tmp_path)[0] == 0
    stack.query("ALTER TABLE bagelpay.settings DISABLE TRIGGER settings_check_zone")
    stack.query("UPDATE bagelpay.settings SET provider_timezone = 'Gone/Away'")
    status, complaints = check(dsn, tmp_path)
    assert status == 1 and "provider_timezone" in complaints and "Gone/Away" in complaints
    assert stack.deliver(bodies.payment()).json["spooled"]
    harness.wait_until(lambda: b"database: away" in admin.ask("/readyz").body, "readiness to end")
    harness.wait_until(lambda: "provider_timezone" in stack.responder.log, "the record")
    # A restart is served, too: what comes is spooled.
    assert stack.responder.stop() == 0
    stack.responder.start()
    assert stack.deliver(bodies.payment()).json["spooled"]
    stack.query("UPDATE bagelpay.settings SET provider_timezone = 'UTC'")
    harness.wait_until(lambda: stack.query("SELECT count(*) FROM bagelpay.events") == [(2,)], "the spool to drain")
    assert admin.ask("/readyz").status == 200


# --- hosts ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def silent_ports(count):
    """Ports that accept connections and say nothing."""
    with contextlib.ExitStack() as listening:
        yield [listening.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


def test_silent_at_start(tmp_path):
    """Whatever the database does, the socket is there within a second, and what comes is soon spooled."""
    with silent_ports(2) as (one, other):
        started = time.monotonic()
        with harness.Responder(f"host=127.0.0.1,127.0.0.1 port={one},{other}", "--spool", tmp_path / "spool") as responder:
            # A second, and another one for a machine that is busy.
            assert time.monotonic() - started < 2
            answer = request(responder)
            assert (answer.status, answer.json["spooled"]) == (503, True)
            assert time.monotonic() - started < 4
            # Nor does its end wait for the attempt that is under way.
            started = time.monotonic()
            assert responder.stop() == 0
            assert time.monotonic() - started < 2


def test_silent_host(cluster, tmp_path):
    """A host that accepts and says nothing does not keep the responder from the next one."""
    db = cluster.create_database()
    with silent_ports(1) as (port,):
        dsn = f"host=127.0.0.1,{cluster.host} port={port},{cluster.port} user=bagelhook dbname={db}"
        assert check(dsn, tmp_path) == (0, "")
        assert check(f"{dsn} connect_timeout=2", tmp_path) == (0, "")


@pytest.mark.parametrize(("take", "give"), [
    ("REVOKE USAGE ON SCHEMA bagelpay FROM bagelpay_ingest", "GRANT USAGE ON SCHEMA bagelpay TO bagelpay_ingest"),
    ("ALTER SCHEMA bagelpay RENAME TO elsewhere", "ALTER SCHEMA elsewhere RENAME TO bagelpay"),
], ids=["rights", "schema"])
def test_taken_away_while_connected(make_stack, admin, tmp_path, take, give):
    """/readyz notices that the connected role may not, or cannot, ingest any more; then events are spooled, and drained."""
    stack = make_stack(*admin.arguments, "--spool", tmp_path / "spool")
    assert request(stack.responder).status == 200 and admin.ask("/readyz").status == 200
    with stack.connect() as connection:
        connection.execute(take)
        assert request(stack.responder).json["spooled"]
        assert b"database: away" in admin.ask("/readyz").body
        connection.execute(give)
    harness.wait_until(lambda: stack.query("SELECT count(*) FROM bagelpay.events") == [(2,)], "the spool to drain")
    harness.wait_until(lambda: admin.ask("/readyz").status == 200, "readiness")


def test_wrong_password_behind_others(remote, tmp_path):
    """All that libpq says is read: behind hosts that refuse a connection there is one that refuses the password."""
    db = remote.create_database()
    dsn = (f"host=127.0.0.1,localhost port={harness.free_port()},{remote.port} user=bagelhook dbname={db}")
    status, complaints = check(dsn, tmp_path, PGPASSWORD="wrong")
    assert status == 1 and complaints.count("\n") == 1
    assert "Connection refused" in complaints and "password authentication failed" in complaints
    assert "PGPASSFILE" in complaints


def test_host_behind_one_that_refuses(cluster, remote, tmp_path):
    """libpq ends its walk at a host that refuses the login; the responder goes on behind it."""
    remote.create_database()
    dsn = f"host=localhost,{cluster.host} port={remote.port},{cluster.port} user=bagelhook dbname={cluster.create_database()}"
    assert check(dsn, tmp_path, PGPASSWORD="wrong") == (0, "")


def test_many_hosts_behind_one_that_refuses(cluster, remote, tmp_path):
    """However long the list of hosts is, none of it is lost when the walk begins behind another one."""
    remote.create_database()
    others = [f"/nonexistent/{'x' * 70}{number}" for number in range(20)]
    hosts, ports = ["localhost", *others, cluster.host], [remote.port, *[1] * len(others), cluster.port]
    dsn = f"host={','.join(hosts)} port={','.join(map(str, ports))} user=bagelhook dbname={cluster.create_database()}"
    assert check(dsn, tmp_path, PGPASSWORD="wrong") == (0, "")


def test_attributes_as_told(make_stack, tmp_path):
    """target_session_attrs is the operator's, from wherever it comes; without one, a server has to take writes."""
    stack = make_stack()
    stack.query(f'ALTER DATABASE "{stack.db}" SET default_transaction_read_only = on')
    dsn, service = stack.cluster.dsn("bagelhook", stack.db), tmp_path / "services"
    service.write_text("[any]\ntarget_session_attrs=any\n")
    assert "session is read-only" in check(dsn, tmp_path)[1]
    for told, environment in ((" target_session_attrs=any", {}), ("", {"PGTARGETSESSIONATTRS": "any"}),
                              (" service=any", {"PGSERVICEFILE": service})):
        status, complaints = check(dsn + told, tmp_path, **environment)
        assert status == 3 and "takes no writes" in complaints


def test_host_that_does_not_commit(cluster, mortal, tmp_path):
    """A host whose commits hang is left for the next one, and its server processes do not pile up."""
    db = bodies.unique("both").replace("-", "_")
    for one in (mortal, cluster):
        one.create_database(name=db)
    dsn = f"host={mortal.host},{cluster.host} port={mortal.port},{cluster.port} user=bagelhook dbname={db}"
    with harness.Responder(dsn, "--commit-timeout", 1, "--spool", tmp_path / "spool") as responder:
        assert request(responder).status == 200
        with hanging_commits(mortal) as connection:
            # The server's processes take up the setting one after the other.
            harness.wait_until(lambda: request(responder).status == 503, "a commit to hang")
            started = time.monotonic()
            harness.wait_until(lambda: request(responder).status == 200, "the other host")
            assert time.monotonic() - started < 10
            harness.wait_until(lambda: not waiting_commits(connection), "the hanging COMMIT to be cancelled")
            harness.wait_until(lambda: not list((pathlib.Path(tmp_path) / "spool" / "new").iterdir()), "the spool to drain")
            assert waiting_commits(connection) == []
        assert responder.stop() == 0
        assert "outcome of a commit is unknown" in responder.log
