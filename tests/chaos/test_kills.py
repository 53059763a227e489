"""Processes that die at random moments, under load. Nothing that was promised may be missing afterwards."""

import contextlib
import os
import signal
import threading
import time

import harness
import waiting

from load import Load


def at_random(chance, most):
    """Lets a random time pass: what is tested is that the moment does not matter."""
    time.sleep(chance.uniform(0, most))


def kill_database(stand):
    """SIGKILL to the whole server."""
    stand.cluster.kill()


def test_database_killed(make_stand, chance, rounds, totals):
    """The postmaster and all its processes die and come back, after a while of nothing."""
    stand = make_stand()
    with Load(stand) as load:
        for _ in range(rounds):
            load.wait_for(chance.randint(1, 40))
            kill_database(stand)
            load.wait_for(chance.randint(1, 10), lambda entry: entry.spooled)
            at_random(chance, 0.2)
            stand.cluster.start()
        load.wait_for(10)
    found = stand.settle(totals, kills=rounds)
    assert found["recovered"] >= rounds


def test_backends_terminated_in_commits(make_stand, chance, rounds, totals):
    """The responder's own server process is ended, mostly in the middle of a transaction, which then may be committed
    or not."""
    stand = make_stand()
    # Commits take their time, so that most are met in the middle.
    stand.query("CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN PERFORM pg_sleep(0.02 * random()); RETURN NULL; END $$")
    stand.query("CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON bagelpay.events DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION public.dawdle()")
    ended = 0
    with Load(stand) as load:
        for _ in range(5 * rounds):
            load.wait_for(chance.randint(1, 5))
            at_random(chance, 0.05)
            for pid, in stand.query("SELECT pid FROM pg_stat_activity WHERE usename = 'bagelhook'"):
                with contextlib.suppress(ProcessLookupError):
                    # A crash of one server process ends all; a termination only itself.
                    stand.query("SELECT pg_terminate_backend(%s)", pid)
                    ended += 1
        load.wait_for(10)
    assert ended >= rounds
    stand.settle(totals, kills=ended)


def test_responder_killed(make_stand, chance, rounds, totals):
    """The responder dies, whatever it is just doing, and is started again on the same spool. Half of the time the
    database is away as well, so that it dies writing files, too."""
    stand = make_stand()
    with Load(stand) as load:
        for number in range(rounds):
            away = number % 2 == 1
            if away:
                kill_database(stand)
                load.wait_for(chance.randint(1, 30), lambda entry: entry.spooled)
            else:
                load.wait_for(chance.randint(1, 40))
            at_random(chance, 0.05)
            stand.responder.kill()
            stand.responder.start()
            if away:
                stand.cluster.start()
        load.wait_for(10)
    stand.settle(totals, kills=rounds + rounds // 2)


def fill_spool(stand, load, count):
    """Takes the database away until there are so many files; it is still away then."""
    stand.cluster.stop("immediate")
    load.wait_for(count, lambda entry: entry.spooled)


def test_responder_killed_while_draining(make_stand, chance, rounds, totals):
    """It dies with files at the queue: committed or not, removed or not."""
    stand = make_stand("--batch", 4)
    kills = 0
    for _ in range(rounds):
        with Load(stand, pace=0) as load:
            fill_spool(stand, load, 150)
        stand.responder.kill()
        stand.cluster.start()
        stand.responder.start()
        full = len(stand.files())
        for _ in range(10):
            at_random(chance, 0.03)
            stand.responder.kill()
            stand.responder.start()
            kills += 1
        assert full >= 150
        stand.wait_drained()
    stand.settle(totals, kills=kills)


def test_torn_files(make_stand, chance, rounds, totals):
    """A disk that promised more than it kept: the newest file is cut somewhere. It goes to corrupt/, and nothing else
    suffers."""
    stand = make_stand()
    torn = []
    for _ in range(rounds):
        with Load(stand) as load:
            fill_spool(stand, load, 10)
            load.wait_for(chance.randint(1, 10), lambda entry: entry.spooled)
        stand.responder.kill()
        newest = stand.files()[-1]
        content = newest.read_bytes()
        torn.append(content.partition(b"\n\n")[2])
        os.truncate(newest, chance.randrange(len(content)))
        stand.responder.start()
        stand.cluster.start()
        stand.wait_drained()
    assert "no whole spool file" in stand.responder.log
    stand.settle(totals, torn=torn, kills=rounds)


def drainer(stand):
    """Which of the responders holds the spool's lock."""
    inode = (stand.spool / "lock").stat().st_ino
    with open("/proc/locks", encoding="ascii") as locks:
        pids = [int(line.split()[4]) for line in locks if f":{inode} " in line]
    return next((responder for responder in stand.responders if responder.pid in pids), None)


def test_two_on_one_spool(make_stand, chance, rounds, totals):
    """Two responders write to one spool; the one that drains it dies, and the other takes over."""
    stand = make_stand("--batch", 4, responders=2)
    for _ in range(rounds):
        with Load(stand, pace=0) as load:
            fill_spool(stand, load, 150)
        victim = harness.wait_until(lambda: drainer(stand), "one of them to hold the lock")
        stand.cluster.start()
        full = len(stand.files())
        harness.wait_until(lambda: len(stand.files()) < full, "the spool to drain")
        at_random(chance, 0.02)
        victim.kill()
        stand.wait_drained()
        assert drainer(stand) not in (None, victim)
        victim.start()
    stand.settle(totals, kills=rounds)


def test_both_hang(make_stand, chance, rounds, totals):
    """The server stands still for longer than any deadline, then goes on as if nothing had been."""
    stand = make_stand("--commit-timeout", 1)
    for _ in range(max(1, rounds // 3)):
        with Load(stand) as load:
            load.wait_for(chance.randint(1, 20))
            # The postmaster, so that there is no new connection, and the process that serves the old one.
            stopped = [stand.cluster.process.pid, *waiting.backends(stand)]
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            try:
                started = time.monotonic()
                load.wait_for(20, lambda entry: entry.spooled)
                assert time.monotonic() - started < 30
            finally:
                for pid in reversed(stopped):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)
            load.wait_for(10)
    stand.settle(totals)


def test_terminated_by_signal(make_stand, chance, rounds, totals):
    """SIGTERM in the middle of an outage: everyone is answered, and what was spooled is."""
    stand = make_stand()
    for _ in range(rounds):
        with Load(stand) as load:
            fill_spool(stand, load, chance.randint(1, 30))
            ended = threading.Thread(target=stand.responder.stop)
            ended.start()
            ended.join()
            stand.responder.start()
            stand.cluster.start()
            load.wait_for(5)
    stand.settle(totals)
