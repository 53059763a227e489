"""What a 200 promises: the event is committed, durably; and what stands in the way of that is never a 200."""

import contextlib
import itertools
import shutil
import socket
import threading
import time

import pytest

import bodies
import fastcgi
import harness
import waiting


def stored(stack):
    """The ids of all events, with which 200s are compared."""
    return {event_id for event_id, in stack.query("SELECT event_id FROM bagelpay.events")}


def deliver_until_taken(stack, body):
    """Repeats a delivery as the provider does, until it is no 503; returns the last Answer."""
    def attempt():
        answer = stack.deliver(body)
        return answer if answer.status != 503 else None
    return harness.wait_until(attempt, "the event to be taken")


def test_visible_at_once(stack):
    """Whoever looks after the answer sees the event and what follows from it, however soon."""
    with stack.connect() as observer:
        for _ in range(100):
            order = bodies.unique("order")
            body = bodies.payment(order)
            answer = stack.deliver(body)
            seen = observer.execute(
                "SELECT (SELECT count(*) FROM bagelpay.events WHERE event_id = %s),"
                " (SELECT count(*) FROM bagelpay.payments WHERE order_id = %s AND status = 'paid')",
                (bodies.event_id(body), order)).fetchone()
            assert (answer.status, seen) == (200, (1, 1))


def test_visible_at_once_in_a_flood(stack, background):
    """The same where many share a commit."""
    def deliver_and_look(body):
        answer = stack.deliver(body)
        seen = stack.query("SELECT outcome FROM bagelpay.events WHERE event_id = %s", bodies.event_id(body))
        return answer.status, seen
    futures = [background(deliver_and_look, bodies.payment(f"order_{number % 7}")) for number in range(64)]
    assert [future.result() for future in futures] == [(200, [("applied",)])] * 64


def test_locked_table(stack, background):
    """While somebody holds the table of orders nothing is acknowledged; afterwards the same requests are."""
    sent = [bodies.payment() for _ in range(5)]
    with waiting.holding(stack, "LOCK TABLE bagelpay.orders"):
        futures = [background(stack.deliver, body) for body in sent]
        waiting.wait_blocked(stack)
        assert all(waiting.stays_unanswered(future, 0.3) for future in futures)
        assert stored(stack) == set()
    assert [future.result().json["outcome"] for future in futures] == ["applied"] * 5
    assert stored(stack) == {bodies.event_id(body) for body in sent}


def test_locked_beyond_deadline(make_stack):
    """What is still locked at the deadline is a 503, and nothing is committed; a retry after the release is a 200."""
    stack = make_stack("--commit-timeout", 1)
    body = bodies.payment()
    with waiting.holding(stack, "LOCK TABLE bagelpay.orders"):
        answer = stack.deliver(body)
        assert (answer.status, answer.headers["Retry-After"], answer.json["spooled"]) == (503, "60", False)
        waiting.wait_given_up(stack)
    assert deliver_until_taken(stack, body).json["outcome"] == "applied"
    assert stack.query("SELECT deliveries FROM bagelpay.events") == [(1,)]


def test_frozen_beyond_deadline(make_stack):
    """A database that does not answer at all: 503 by the deadline, whatever it does later."""
    stack = make_stack("--commit-timeout", 1)
    stack.deliver(bodies.payment())
    body = bodies.payment()
    with waiting.frozen_backend(stack):
        assert stack.deliver(body).status == 503
    assert deliver_until_taken(stack, body).json["outcome"] in ("applied", "duplicate")
    assert bodies.event_id(body) in stored(stack)


@pytest.mark.parametrize("waiters", [1, 5])
def test_locked_order(stack, background, waiters):
    """A lock on one order delays the events of that order and of no other."""
    assert stack.deliver(bodies.payment("locked")).status == 200
    with waiting.holding(stack, *waiting.row_of("locked")):
        delayed = [background(stack.deliver, bodies.payment("locked")) for _ in range(waiters)]
        waiting.wait_blocked(stack)
        for number in range(20):
            assert stack.deliver(bodies.payment(f"free_{number}")).status == 200
        flood = [background(stack.deliver, bodies.payment(f"free_{number}")) for number in range(30)]
        assert [future.result().status for future in flood] == [200] * 30
        assert not any(future.done() for future in delayed)
    assert [future.result().status for future in delayed] == [200] * waiters
    assert stack.query("SELECT count(*) FROM bagelpay.payments WHERE order_id = 'locked'") == [(1 + waiters,)]


def test_long_event(make_stack, background):
    """An event may take as long as --commit-timeout; the others do not wait for it meanwhile."""
    stack = make_stack()
    stack.query("CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " PERFORM pg_sleep(4); RETURN NULL; END $$")
    stack.query("CREATE TRIGGER dawdle AFTER INSERT ON bagelpay.events"
                " FOR EACH ROW WHEN (NEW.event_id = 'evt_long') EXECUTE FUNCTION public.dawdle()")
    began = time.monotonic()
    answer = background(stack.deliver, bodies.payment(event_id="evt_long"))
    took = []
    while not answer.done():
        other = time.monotonic()
        assert stack.deliver(bodies.payment()).status == 200
        took.append(time.monotonic() - other)
    assert answer.result().json["outcome"] == "applied" and time.monotonic() - began > 4
    assert len(took) > 4 and max(took) < 1


def test_survives_a_crash(make_stack, mortal):
    """A 200 outlives a crash of the server right after it, though asynchronous commits are the default there.

    That the crash does lose asynchronous commits is shown by one of our own; until one was lost nothing is shown.
    """
    mortal.stop()
    mortal.start(synchronous_commit="off", wal_writer_delay="10s")
    stack = make_stack(cluster=mortal)
    with stack.connect() as connection:
        connection.execute("CREATE TABLE public.marks (mark integer)")
        connection.execute(f'ALTER DATABASE "{stack.db}" SET synchronous_commit = off')
    acknowledged = set()
    for mark in range(5):
        with stack.connect() as connection:
            body = bodies.payment()
            assert deliver_until_taken(stack, body).status == 200
            connection.execute("INSERT INTO public.marks VALUES (%s)", (mark,))
            mortal.kill()
            connection.close()
        acknowledged.add(bodies.event_id(body))
        mortal.start(synchronous_commit="off", wal_writer_delay="10s")
        assert acknowledged <= stored(stack)
        if (mark,) not in stack.query("SELECT mark FROM public.marks"):
            return
    pytest.fail("no asynchronous commit was lost, so that nothing is shown of ours")


@pytest.mark.parametrize("default, used", [("off", "on"), ("local", "on"), ("remote_write", "on"), ("on", "on"),
                                           ("remote_apply", "remote_apply")])
def test_synchronous_commit(make_stack, default, used):
    """The level is at least `on` whatever the role's own is, also in the moment before the COMMIT."""
    stack = make_stack()
    with stack.connect() as connection:
        connection.execute("CREATE TABLE public.levels (at_insert text, at_commit text)")
        connection.execute("GRANT ALL ON public.levels TO PUBLIC")
        # A deferred trigger runs when the COMMIT has been asked for.
        connection.execute("CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                           " INSERT INTO public.levels VALUES (TG_ARGV[0], current_setting('synchronous_commit'));"
                           " RETURN NULL; END $$")
        connection.execute("CREATE CONSTRAINT TRIGGER note AFTER INSERT ON bagelpay.events"
                           " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.note('deferred')")
        connection.execute(f'ALTER ROLE bagelhook IN DATABASE "{stack.db}" SET synchronous_commit = {default}')
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                           " AND usename = 'bagelhook'", (stack.db,))
    assert deliver_until_taken(stack, bodies.payment()).status == 200
    assert stack.query("SELECT at_insert, at_commit FROM public.levels") == [("deferred", used)]


def test_refused_for_its_content(stack, background):
    """What the database refuses for its content is a dead letter and a 400; what came along with it is not held up."""
    poison = bodies.payment("order_1", event_id="evt_poison")
    with stack.connect() as connection:
        connection.execute("ALTER TABLE bagelpay.events ADD CONSTRAINT no_poison"
                           " CHECK (event_id <> 'evt_poison' OR event_id::integer > 0)")
    healthy = [bodies.payment(f"order_{number % 5}") for number in range(40)]
    flood = [background(stack.deliver, body) for body in healthy[:20] + [poison] + healthy[20:]]
    answers = [future.result() for future in flood]
    refused = answers.pop(20)
    assert [answer.status for answer in answers] == [200] * 40
    assert (refused.status, refused.json["error"]) == (400, "Invalid request body")
    assert refused.json["detail"].startswith("body: refused by the database with SQLSTATE 22P02")
    assert stack.deliver(poison).status == 400
    assert stack.query("SELECT body, reason, detail, deliveries FROM bagelpay.dead_letters") == [
        (poison, "database", refused.json["detail"], 2)]
    assert stored(stack) == {bodies.event_id(body) for body in healthy}


@pytest.fixture(scope="module")
def raising(cluster):
    """A stack whose database raises the SQLSTATE that an event carries as its request_id."""
    with harness.Stack(cluster) as stack:
        stack.query("CREATE FUNCTION public.complain() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                    " RAISE EXCEPTION 'so asked' USING ERRCODE = NEW.request_id; END $$")
        stack.query("CREATE TRIGGER complain BEFORE INSERT ON bagelpay.events FOR EACH ROW"
                    " WHEN (NEW.request_id IS NOT NULL) EXECUTE FUNCTION public.complain()")
        yield stack


@pytest.mark.parametrize("sqlstate, status", [
    ("22003", 400), ("22P05", 400), ("54000", 400),
    ("23505", 503), ("23514", 503), ("25006", 503), ("40001", 503), ("40P01", 503), ("42501", 503), ("42883", 503),
    ("53100", 503), ("53200", 503), ("57014", 503), ("58030", 503), ("P0001", 503), ("XX000", 503)])
def test_errors_of_the_database(raising, sqlstate, status):
    """Classes 22 and 54 are the event's fault, a dead letter; everything else may pass, and is the provider's to retry."""
    body = bodies.payment(request_id=sqlstate)
    assert raising.deliver(body).status == status
    assert raising.query("SELECT reason FROM bagelpay.dead_letters WHERE body = %s", body) == (
        [("database",)] if status == 400 else [])
    assert bodies.event_id(body) not in stored(raising)
    assert raising.deliver(bodies.payment()).status == 200


@contextlib.contextmanager
def holding_up(cluster, directory, words):
    """A directory with a socket that leads to the cluster's, on which a client's bytes with these words do not get through.

    Gives an event that is set when some were held up."""
    held, ends = threading.Event(), []

    def carry(source, target, stops_at):
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                if stops_at is not None and stops_at in content:
                    held.set()
                    return
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                client, server = listener.accept()[0], socket.socket(socket.AF_UNIX)
                ends.extend((client, server))
                server.connect(f"{cluster.host}/.s.PGSQL.{cluster.port}")
                threading.Thread(target=carry, args=(client, server, words), daemon=True).start()
                threading.Thread(target=carry, args=(server, client, None), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{directory}/.s.PGSQL.{cluster.port}")
        listener.listen()
        threading.Thread(target=serve, daemon=True).start()
        yield held
        listener.shutdown(socket.SHUT_RDWR)
        for end in ends:
            end.close()


def test_rollback_that_hangs(raising):
    """A ROLLBACK without an answer holds up nobody until the deadline: it has five seconds."""
    directory = harness.make_directory("held")
    dsn = raising.cluster.dsn("bagelhook", raising.db).replace(raising.cluster.host, str(directory))

    def request(responder, body):
        now = int(time.time())
        return fastcgi.request(responder.address, fastcgi.post_params(
            len(body), harness.sign(responder.secret, body, now), now), body)

    try:
        with holding_up(raising.cluster, directory, b"ROLLBACK") as held, \
                harness.Responder(dsn, "--commit-timeout", 60) as responder:
            started = time.monotonic()
            assert request(responder, bodies.payment(request_id="P0001")).status == 503 and held.is_set()
            assert 4 < time.monotonic() - started < 20
            assert request(responder, bodies.payment()).status == 200
            assert responder.stop() == 0
    finally:
        shutil.rmtree(directory)


def test_time_zone_that_is_gone(make_stack, tmp_path):
    """A zone in the settings that the server no longer knows is not the event's fault: it waits in the spool."""
    stack = make_stack("--spool", tmp_path / "spool")
    stack.query("ALTER TABLE bagelpay.settings DISABLE TRIGGER settings_check_zone")
    stack.query("UPDATE bagelpay.settings SET provider_timezone = 'Gone/Away'")
    body = bodies.changed(bodies.payment(), created_at="2026-01-02 03:04:05")
    answer = stack.deliver(body)
    assert (answer.status, answer.json["spooled"]) == (503, True)
    stack.query("UPDATE bagelpay.settings SET provider_timezone = 'Asia/Shanghai'")
    harness.wait_until(lambda: stored(stack) == {bodies.event_id(body)}, "the event")
    assert stack.query("SELECT (occurred_at AT TIME ZONE 'UTC')::text FROM bagelpay.events") == [("2026-01-01 19:04:05",)]
    assert stack.query("SELECT count(*) FROM bagelpay.dead_letters") == [(0,)]


@pytest.mark.parametrize("level", ["WARNING", "NOTICE"])
def test_warning_during_commit(stack, level):
    """A COMMIT with a warning is no success: so ends one whose replication was given up. Notices are fine."""
    stack.query("CREATE FUNCTION public.warn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" RAISE {level} 'look out'; RETURN NULL; END $$")
    stack.query("CREATE CONSTRAINT TRIGGER warn AFTER INSERT ON bagelpay.events DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION public.warn()")
    answer = stack.deliver(bodies.payment())
    assert answer.status == (503 if level == "WARNING" else 200)
    if level == "WARNING":
        assert answer.json == {"error": "Outcome unknown", "spooled": False}


def test_failure_in_the_commit(stack):
    """An error that only the COMMIT brings to light is not overlooked, and never the event's fault."""
    stack.query("CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " RAISE EXCEPTION 'too late' USING ERRCODE = right(NEW.event_id, 5); END $$")
    stack.query("CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON bagelpay.events DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW WHEN (NEW.event_id ~ '^late') EXECUTE FUNCTION public.fail()")
    for sqlstate in ("22003", "23514", "53100", "54000"):
        assert stack.deliver(bodies.payment(event_id=f"late_{sqlstate}")).status == 503
    assert stack.deliver(bodies.payment(event_id="good_1")).status == 200
    assert stored(stack) == {"good_1"}
    assert stack.query("SELECT count(*) FROM bagelpay.dead_letters") == [(0,)]


def test_read_only_database(mortal, make_stack):
    """A standby takes nothing: 503. Once it is promoted, the same responder goes on by itself."""
    stack = make_stack(cluster=mortal)
    body = bodies.payment()
    assert stack.deliver(body).status == 200
    mortal.stop()
    signal_file = mortal.directory / "data" / "standby.signal"
    signal_file.touch()
    mortal.start()
    assert stack.query("SELECT pg_is_in_recovery()") == [(True,)]
    for content in (bodies.payment(), body, b"{}"):
        for _ in range(3):
            assert stack.deliver(content).status == 503
    stack.query("SELECT pg_promote()")
    assert not signal_file.exists()
    assert deliver_until_taken(stack, bodies.payment()).json["outcome"] == "applied"
    assert len(stored(stack)) == 2


def test_read_only_by_default(make_stack):
    """A default of read-only transactions is how one keeps a demoted primary from taking events: nothing is written
    against it, and when it is gone the same responder goes on. Another default level of isolation does no harm."""
    stack = make_stack()

    def change(what):
        with stack.connect() as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f'ALTER DATABASE "{stack.db}" {what}')
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                               " AND pid <> pg_backend_pid()", (stack.db,))

    change('SET default_transaction_isolation = "serializable"')
    assert deliver_until_taken(stack, bodies.payment()).status == 200
    change("SET default_transaction_read_only = on")
    body = bodies.payment()
    for _ in range(3):
        assert stack.deliver(body).status == 503
    harness.wait_until(lambda: "session is read-only" in stack.responder.log, "the reason in the log")
    change("RESET default_transaction_read_only")
    assert deliver_until_taken(stack, body).status == 200


class Load:
    """Deliverers that go on while something happens to the database, and repeat what was not taken."""

    def __init__(self, stack, background, deliverers=8):
        self.stack, self.stopping = stack, threading.Event()
        self.acknowledged, self.refused = set(), 0
        self.numbers = itertools.count()
        self.futures = [background(self._deliver_on) for _ in range(deliverers)]

    def _deliver_on(self):
        while not self.stopping.is_set():
            body = bodies.payment(f"order_{next(self.numbers) % 20}")
            answer = self.stack.deliver(body)
            while answer.status == 503:
                self.refused += 1
                answer = self.stack.deliver(body)
            assert answer.status == 200
            self.acknowledged.add(bodies.event_id(body))

    def wait_for(self, more):
        """Until so many more are acknowledged."""
        wanted = len(self.acknowledged) + more
        harness.wait_until(lambda: len(self.acknowledged) >= wanted or any(f.done() for f in self.futures), "progress")

    def end(self):
        self.stopping.set()
        for future in self.futures:
            future.result()


def test_terminated_under_load(stack, background):
    """However often the server ends the responder's connection, every 200 is in events, and once."""
    load = Load(stack, background)
    for _ in range(15):
        load.wait_for(20)
        stack.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
                    " AND usename = 'bagelhook'", stack.db)
    load.wait_for(20)
    load.end()
    assert load.refused > 0
    assert stored(stack) == load.acknowledged
    assert stack.query("SELECT count(*) FROM bagelpay.payments") == [(len(load.acknowledged),)]


def test_crashes_under_load(mortal, make_stack, background):
    """The same when the server crashes: what was acknowledged is there after its recovery."""
    stack = make_stack(cluster=mortal)
    load = Load(stack, background)
    try:
        for _ in range(3):
            load.wait_for(50)
            mortal.kill()
            acknowledged = set(load.acknowledged)
            mortal.start()
            assert acknowledged <= stored(stack)
        load.wait_for(20)
    finally:
        load.end()
    assert stored(stack) == load.acknowledged
