"""The measurements of bench/scale, and their table."""

import argparse
import concurrent.futures
import contextlib
import threading
import time

import fill
from contestants import Bagelhook, harness
from table import SETTINGS, machine, median, say

QUESTION = "SELECT bagelpay.is_entitled(%s, 'prod_1967143613700870145', 'live', '2025-09-20')"
READERS = 2


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench/scale", description="Measures events a second into one database by one and by two responders, into two databases "
        "of one server, and beside questions who is entitled, asked of the primary or of a hot standby. All of it on this machine.")
    parser.add_argument("--stored", type=int, default=100_000, help="events that the database of the questions holds (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each takes its turn (%(default)s)")
    parser.add_argument("--seconds", type=int, default=8, help="how long a turn is (%(default)s)")
    return parser.parse_args()


class Readers:
    """Sessions that ask who is entitled, one question after the other, until the block ends."""

    def __init__(self, cluster, db, stored):
        self._cluster, self._db, self._orders = cluster, db, max(stored // 2, 1)
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(READERS if cluster else 0)]
        self._asked = [0] * READERS
        self._began = self.rate = 0

    def _ask(self, number):
        with self._cluster.connect(self._db) as connection:
            connection.prepare_threshold = 0
            while not self._ending.is_set():
                order = fill.order_number((number + READERS * self._asked[number]) % self._orders)
                connection.execute(QUESTION, (f"customer.{order:012}@example.com",)).fetchone()
                self._asked[number] += 1

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
    return {"rate": committed / max(one["seconds"] for one in seen), "p99_us": max(one["p99_us"] for one in seen), "asked": readers.rate}


def run(primary, standby, given, owned):
    """Every case in turns: {case: [turn, …]}."""
    def hook(db):
        one = Bagelhook(primary, db=db)
        owned.callback(one.close)
        return one

    shared, filled = primary.create_database(), "filled"
    alone, two = hook(shared), [hook(shared), hook(shared)]
    apart = [hook(primary.create_database()) for _ in range(2)]
    reading = hook(filled)
    cases = {
        "one responder, one database": ([alone], None),
        "two responders, one database": (two, None),
        "two responders, two databases of one server": (apart, None),
        "one responder; nobody asks": ([reading], None),
        f"one responder; {READERS} sessions ask the primary": ([reading], primary),
        f"one responder; {READERS} sessions ask the standby": ([reading], standby),
    }
    results = {name: [] for name in cases}
    for number in range(given.rounds + 1):
        for name, (contestants, asked) in cases.items():
            found = turn(contestants, given.seconds, Readers(asked, filled, given.stored))
            # The first is for warming up.
            if number > 0:
                results[name].append(found)
                say(f"  round {number}: {name}: {found['rate']:.0f} events/s, {found['asked']:.0f} questions/s")
    return results


def main():
    given = arguments()
    harness.end_on_sigterm()
    with contextlib.ExitStack() as owned:
        primary = owned.enter_context(harness.Cluster(**SETTINGS))
        primary.create_database(name="filled")
        fill.fill(primary, "filled", given.stored)
        standby = owned.enter_context(harness.Cluster(primary=primary, **SETTINGS))
        results = run(primary, standby, given, owned)
    print("\n".join([
        "| | events/s | p99 ms | questions/s |", "|---|---:|---:|---:|",
        *(f"| {name} | {median(turns, 'rate'):.0f} | {median(turns, 'p99_us') / 1000:.1f} | {median(turns, 'asked'):.0f} |"
          for name, turns in results.items()),
        "", f"{given.rounds} rounds of {given.seconds} s in turns, medians; {machine()}."]))


if __name__ == "__main__":
    main()
