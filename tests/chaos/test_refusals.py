"""A database that is there and does not take events, each for a reason of its own."""

import contextlib
import itertools
import subprocess
import threading
import time

import psycopg

import bodies
import harness
import waiting

from load import Load, deliver
from stand import tmpfs


def test_standby_alone(make_stand, chance, totals):
    """The database turns into one that only reads, and back."""
    stand = make_stand()
    with Load(stand) as load:
        load.wait_for(chance.randint(1, 20))
        stand.cluster.stop()
        (stand.cluster.directory / "data" / "standby.signal").touch()
        stand.cluster.start()
        load.wait_for(20, lambda entry: entry.spooled)
        stand.query("SELECT pg_promote()")
        load.wait_for(5)
    stand.settle(totals)


def test_no_connections_left(make_stand, chance, totals):
    """Others hold all connections when the responder has to connect again."""
    # One is the harness's own.
    stand = make_stand(settings={"max_connections": "16", "superuser_reserved_connections": "3"})
    stand.query("CREATE ROLE crowd LOGIN")
    with Load(stand) as load, contextlib.ExitStack() as held:
        load.wait_for(chance.randint(1, 20))
        crowd = [held.enter_context(stand.cluster.connect(stand.db, "crowd")) for _ in range(11)]
        # Whichever of us is faster gets the place: until it is us.
        while len(crowd) < 12:
            for pid in waiting.backends(stand):
                stand.query("SELECT pg_terminate_backend(%s)", pid)
            with contextlib.suppress(psycopg.OperationalError):
                crowd.append(held.enter_context(stand.cluster.connect(stand.db, "crowd")))
        load.wait_for(20, lambda entry: entry.spooled)
        held.close()
        load.wait_for(10)
    stand.settle(totals)


def test_locked(make_stand, chance, totals):
    """Somebody holds the table of orders for longer than anyone waits."""
    stand = make_stand("--commit-timeout", 1)
    with Load(stand) as load:
        load.wait_for(chance.randint(1, 20))
        with waiting.holding(stand, "LOCK TABLE bagelpay.orders"):
            started = time.monotonic()
            load.wait_for(60, lambda entry: entry.spooled)
            assert time.monotonic() - started < 60
        load.wait_for(10)
    stand.settle(totals)


def test_limits_of_the_role(make_stand, chance, totals):
    """A role whose statements are cut after a millisecond, and whose commits are not durable: ours are neither."""
    stand = make_stand()
    stand.query(f'ALTER ROLE bagelhook IN DATABASE "{stand.db}" SET statement_timeout = 1')
    stand.query(f'ALTER ROLE bagelhook IN DATABASE "{stand.db}" SET lock_timeout = 1')
    stand.query(f'ALTER ROLE bagelhook IN DATABASE "{stand.db}" SET synchronous_commit = off')
    stand.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bagelhook'")
    with Load(stand) as load:
        load.wait_for(50 + chance.randint(0, 5))
        stand.cluster.kill()
    stand.cluster.start()
    stand.settle(totals, kills=1)


def test_refused_for_good(make_stand, chance, totals):
    """Events that the database refuses for good, met in the spool, are dead letters and hold up nothing."""
    stand = make_stand()
    stand.query("ALTER TABLE bagelpay.events ADD CONSTRAINT never"
                " CHECK (right(event_id, 1) <> '7' OR event_id::integer > 0)")
    with Load(stand) as load:
        load.wait_for(chance.randint(1, 20))
        stand.cluster.stop()
        load.wait_for(60, lambda entry: entry.spooled)
        stand.cluster.start()
        load.wait_for(10)
    stand.settle(totals)
    assert stand.query("SELECT count(*) > 0 FROM bagelpay.dead_letters WHERE reason = 'database'") == [(True,)]


class Overload:
    """Open loop: deliveries begin at a rate, whatever becomes of those before."""

    def __init__(self, stand, rate, seconds):
        self.stand, self.latencies = stand, []
        threads = []
        began = time.monotonic()
        for number in itertools.count():
            at = number / rate
            if at > seconds:
                break
            time.sleep(max(0, began + at - time.monotonic()))
            threads.append(threading.Thread(target=self._deliver))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _deliver(self):
        started = time.monotonic()
        entry = deliver(self.stand, self.stand.urls[0])
        self.latencies.append((entry.status, entry.spooled, time.monotonic() - started))

    def of(self, status):
        return sorted(latency for one, _, latency in self.latencies if one == status)


def committed_in(stand, what):
    """Events that are committed while what() runs, a second, and what it returned."""
    count = "SELECT count(*) FROM bagelpay.events"
    (before,), = stand.query(count)
    started = time.monotonic()
    result = what()
    return (stand.query(count)[0][0] - before) / (time.monotonic() - started), result


def test_overload(make_stand, totals):
    """Three times what it can commit: it commits at its full rate, refuses the rest at once and unspooled, as the
    database is not away; afterwards it is as fast as before."""
    # Ten to a commit of a tenth of a second make a hundred a second.
    stand = make_stand("--batch", 10, "--queue", 50)
    before = Overload(stand, 50, 3).of(200)
    stand.query("CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END $$")
    stand.query("CREATE TRIGGER dawdle AFTER INSERT ON bagelpay.events FOR EACH STATEMENT EXECUTE FUNCTION public.dawdle()")
    rate, overload = committed_in(stand, lambda: Overload(stand, 300, 6))
    # On a busy machine each commit takes longer than its own tenth of a second.
    assert rate > 50
    refused = overload.of(503)
    assert len(refused) > 6 * 100
    assert refused[len(refused) * 99 // 100] < 1
    assert stand.files() == [] and not any(spooled for _, spooled, _ in overload.latencies)
    # Those that were taken waited for the queue before them, and no longer.
    assert overload.of(200)[-1] < 5
    stand.query("DROP TRIGGER dawdle ON bagelpay.events")
    after = Overload(stand, 50, 3).of(200)
    assert after[len(after) // 2] < 3 * before[len(before) // 2] + 0.02
    stand.settle(totals)


def test_poison_in_the_spool(make_stand, totals):
    """An event that the database cannot take for a reason of its own, none of those for good, stays in the spool and
    keeps nothing behind it from the database, whether it fails at once or only by the deadline."""
    stand = make_stand("--commit-timeout", 1)
    stand.query("CREATE FUNCTION public.choke() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " IF NEW.event_id = 'evt_slow' THEN PERFORM pg_sleep(30); END IF;"
                " RAISE EXCEPTION 'not now' USING ERRCODE = 'P0001'; END $$")
    stand.query("CREATE TRIGGER choke BEFORE INSERT ON bagelpay.events FOR EACH ROW"
                " WHEN (NEW.event_id LIKE 'evt_%%') EXECUTE FUNCTION public.choke()")
    stand.cluster.stop()
    poison = [bodies.payment(event_id="evt_bad"), bodies.payment(event_id="evt_slow"), bodies.payment(event_id="evt_worse")]
    for body in poison:
        assert harness.deliver(stand.urls[0], stand.secret, body).json["spooled"] is True
    with Load(stand) as load:
        load.wait_for(30, lambda entry: entry.spooled)
    stand.cluster.start()
    harness.wait_until(lambda: len(stand.files()) == len(poison), "all others to be drained", log=stand.responder.log_path)
    stand.query("DROP TRIGGER choke ON bagelpay.events")
    stand.settle(totals)
    assert {one for one, in stand.query("SELECT event_id FROM bagelpay.events WHERE event_id LIKE 'evt%%'")} == {
        "evt_bad", "evt_slow", "evt_worse"}


def test_files_that_stay(make_stand, totals):
    """A spool whose file system takes no more changes, after it was filled: what is in it is committed once, and
    removed when that can be done again."""
    stand = make_stand(spool=False)
    stand.responder.stop()
    stand.spool.mkdir(mode=0o700)
    with tmpfs(stand.spool):
        stand.responder.arguments += ["--spool", str(stand.spool), "--spool-free", "0"]
        stand.responder.start()
        stand.cluster.stop()
        with Load(stand) as load:
            load.wait_for(5, lambda entry: entry.spooled)
        subprocess.run(["mount", "-o", "remount,ro", stand.spool], check=True)
        stand.cluster.start()
        files = len(stand.files())
        stays = "cannot remove a committed file"
        harness.wait_until(lambda: stand.responder.log.count(stays) >= files, "all to be committed")
        subprocess.run(["mount", "-o", "remount,rw", stand.spool], check=True)
        stand.settle(totals)
        assert stand.responder.log.count(stays) == files
