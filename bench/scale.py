"""The measurements of bench/scale, and their table."""

import argparse
import concurrent.futures
import contextlib
import datetime
import subprocess
import threading
import time

import fill
import usage
from contestants import SOURCE, Bagelhook, harness
from table import SETTINGS, machine, median, say

AT = datetime.datetime(2025, 9, 20, tzinfo=datetime.timezone.utc)
QUESTION = "SELECT bagelpay.is_entitled(%s, 'prod_1967143613700870145', 'live', '2025-09-20 UTC')"
CACHED_QUESTION = "SELECT entitled, holds_until FROM bagelpay.entitlement(%s, 'prod_1967143613700870145', 'live', '2025-09-20 UTC')"
READERS = 2
# The application with a cache asks about this many customers in turn, and keeps each answer for at most this many seconds.
CACHED_CUSTOMERS = 1000
CACHED_S = 60


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench/scale", description="Measures events a second into one database by one and by two responders, into two databases "
        "of one server, and beside questions who is entitled, asked of the primary, of a hot standby, of a reader database, or of a "
        "cache in the application. All of it on this machine.")
    parser.add_argument("--stored", type=int, default=100_000, help="events that the database of the questions holds (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each takes its turn (%(default)s)")
    parser.add_argument("--seconds", type=int, default=8, help="how long a turn is (%(default)s)")
    return parser.parse_args()


def ask_server(connection, customer):
    """Whether the server says that a customer is entitled."""
    return connection.execute(QUESTION, (customer,)).fetchone()[0]


def make_cache():
    """Like ask_server(), but keeps each answer until the clock may change it, or CACHED_S have passed."""
    kept = {}

    def ask(connection, customer):
        entitled, holds_until, since = kept.get(customer, (None, None, None))
        if since is None or time.monotonic() - since > CACHED_S or (holds_until is not None and holds_until <= AT):
            since = time.monotonic()
            entitled, holds_until = connection.execute(CACHED_QUESTION, (customer,)).fetchone()
            kept[customer] = entitled, holds_until, since
        return entitled

    return ask


class Readers:
    """Sessions that ask who is entitled, one question after the other, until the block ends.

    Afterwards rate is questions per second, and rate_cpu questions per second of CPU time: of the asking thread and of the
    server's process of its session.
    """

    def __init__(self, cluster, db, orders, make_ask=None):
        self._cluster, self._db, self._orders = cluster, db, max(orders, 1)
        self._make_ask = make_ask or (lambda: ask_server)
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(READERS if cluster else 0)]
        self._asked, self._cpu_s = [0] * READERS, [0] * READERS
        self._began = self.rate = self.rate_cpu = 0

    def _ask(self, number):
        ask = self._make_ask()
        with self._cluster.connect(self._db) as connection:
            connection.prepare_threshold = 0
            backend, began = connection.info.backend_pid, time.thread_time()
            backend_us = usage.cpu_us(backend)
            while not self._ending.is_set():
                order = fill.order_number((number + READERS * self._asked[number]) % self._orders)
                ask(connection, f"customer.{order:012}@example.com")
                self._asked[number] += 1
            self._cpu_s[number] = time.thread_time() - began + (usage.cpu_us(backend) - backend_us) / 1e6

    def __enter__(self):
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self.rate = sum(self._asked) / (time.monotonic() - self._began)
        self.rate_cpu = sum(self._asked) / sum(self._cpu_s) if any(self._cpu_s) else 0


def stored_events(contestants):
    """In all of their databases."""
    total = 0
    for cluster, db in {(one.cluster, one.db) for one in contestants}:
        with cluster.connect(db) as connection:
            total += connection.execute("SELECT count(*) FROM bagelpay.events").fetchone()[0]
    return total


def turn(contestants, seconds, readers):
    """Load on all of them at once: what was committed in a second, and how many questions were answered."""
    before = stored_events(contestants)
    with readers, concurrent.futures.ThreadPoolExecutor(len(contestants)) as pool:
        # 64 connections altogether, so that there is as much waiting in each case.
        runs = [pool.submit(one.run, seconds, connections=64 // len(contestants)) for one in contestants]
        seen = [run.result() for run in runs]
    committed = stored_events(contestants) - before
    if committed != sum(one["good"] for one in seen):
        raise harness.HarnessError(f"{committed} committed, {sum(one['good'] for one in seen)} answered 200")
    return {"rate": committed / max(one["seconds"] for one in seen), "p99_us": max(one["p99_us"] for one in seen), "asked": readers.rate,
            "asked_cpu": readers.rate_cpu}


def make_reader(primary, reader, db):
    """A database of another cluster, of the same name, that follows the state of one of the primary's, with the shipped scripts."""
    reader.create_database(name=db)
    for cluster, script, settings in ((primary, "publication", []), (reader, "subscription", [f"--set=primary={primary.dsn(db=db)}"])):
        subprocess.run([cluster.program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *settings,
                        f"--file={SOURCE}/contrib/reader/{script}.sql", cluster.dsn(db=db)], check=True, stdout=subprocess.DEVNULL)


def run(primary, standby, reader, given, owned):
    """Every case in turns: {case: [turn, …]}."""
    def hook(db):
        one = Bagelhook(primary, db=db)
        owned.callback(one.close)
        return one

    shared, filled = primary.create_database(), "filled"
    alone, two = hook(shared), [hook(shared), hook(shared)]
    apart = [hook(primary.create_database()) for _ in range(2)]
    reading, orders = hook(filled), given.stored // 2
    cached = min(orders, CACHED_CUSTOMERS)
    cases = {
        "one responder, one database": ([alone], None, None, 0),
        "two responders, one database": (two, None, None, 0),
        "two responders, two databases of one server": (apart, None, None, 0),
        "one responder; nobody asks": ([reading], None, None, 0),
        f"one responder; {READERS} sessions ask the primary": ([reading], primary, filled, orders),
        f"one responder; {READERS} sessions ask the standby": ([reading], standby, filled, orders),
        f"one responder; {READERS} sessions ask the reader": ([reading], reader, filled, orders),
        f"one responder; {READERS} sessions ask about {cached} customers, cached": ([reading], primary, filled, cached, make_cache),
    }
    results = {name: [] for name in cases}
    for number in range(given.rounds + 1):
        for name, (contestants, *asked) in cases.items():
            found = turn(contestants, given.seconds, Readers(*asked))
            # The first is for warming up.
            if number > 0:
                results[name].append(found)
                say(f"  round {number}: {name}: {found['rate']:.0f} events/s, {found['asked']:.0f} questions/s, "
                    f"{found['asked_cpu']:.0f} per CPU second")
    return results


def main():
    given = arguments()
    harness.end_on_sigterm()
    with contextlib.ExitStack() as owned:
        primary = owned.enter_context(harness.Cluster(wal_level="logical", **SETTINGS))
        primary.create_database(name="filled")
        fill.fill(primary, "filled", given.stored)
        standby = owned.enter_context(harness.Cluster(primary=primary, **SETTINGS))
        reader = owned.enter_context(harness.Cluster(**SETTINGS))
        make_reader(primary, reader, "filled")
        results = run(primary, standby, reader, given, owned)
    print("\n".join([
        "| | events/s | p99 ms | questions/s | questions per CPU second |", "|---|---:|---:|---:|---:|",
        *(f"| {name} | {median(turns, 'rate'):.0f} | {median(turns, 'p99_us') / 1000:.1f} | {median(turns, 'asked'):.0f} | "
          f"{median(turns, 'asked_cpu'):.0f} |"
          for name, turns in results.items()),
        "", f"{given.rounds} rounds of {given.seconds} s in turns, medians; {machine()}. CPU seconds are those of the asking "
        f"thread and of its server process. An application that caches keeps an answer for {CACHED_S} s."]))


if __name__ == "__main__":
    main()
