"""The measurements of bench/grow, its table and its plot."""

import argparse
import contextlib
import json
import os
import pathlib
import random
import statistics
import subprocess
import time

import fill
from contestants import STATE, Bagelhook, harness, measure
from table import SETTINGS, machine, median, say

# No checkpoint begins by itself. The rest is what one would set for a database of this size: memory for all indexes and
# tables of state (about 1 GB for a million events; the system's cache alone does not do, as hosts of virtual machines take
# its pages away), and the whole pages in the log are compressed.
FOR_MANY = {"max_wal_size": "24GB", "checkpoint_timeout": "1d", "wal_compression": "lz4",
            "shared_buffers": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') // 2 // 2**20}MB"}
# How many a turn.
QUESTIONS = 5000
# What is_entitled() reads.
STATE_TABLES = ("orders", "purchases", "stored_items")

PLOT = """
set terminal svg size 800,300 font "sans-serif,12" background "white"
set output "{svg}"
set multiplot layout 1,2
set style fill solid 0.6
set boxwidth 0.5
set yrange [0:*]
set grid ytics
set xlabel "stored events"
set title "events a second"
plot "{data}" using 0:2:xtic(1) with boxes notitle
set title "is\\\\_entitled(), p99 in ms"
plot "{data}" using 0:4:xtic(1) with boxes notitle
unset multiplot
"""


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench/grow", description="Measures events a second, and how long is_entitled() takes, on databases that already "
        "hold some number of events: do they cost more as the work grows?")
    parser.add_argument("--sizes", default="0,1000000,10000000", help="stored events (%(default)s; 10 million take about 35 GB)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each size takes its turn (%(default)s)")
    parser.add_argument("--seconds", type=int, default=8, help="how long a turn is (%(default)s)")
    parser.add_argument("--warm-up", type=int, default=60, help="seconds of load on each size before the first turn, in which most "
                        "pages are changed for the first time since the checkpoint (%(default)s)")
    parser.add_argument("--svg", type=pathlib.Path, help="write the plot there")
    given = parser.parse_args()
    given.sizes = [int(size) for size in given.sizes.split(",")]
    return given


def timed(connection, statement, *parameters):
    """The row that a statement returns, and how long that took, in ms, round trip included."""
    started = time.perf_counter()
    row = connection.execute(statement, parameters).fetchone()
    return row, 1000 * (time.perf_counter() - started)


def percentiles(latencies):
    latencies = sorted(latencies)
    return {"p50": latencies[len(latencies) // 2], "p99": latencies[int(0.99 * len(latencies))]}


def pages_read(connection):
    """How many pages of the tables of state, and of their indexes, PostgreSQL did not find in its own memory so far."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    return connection.execute("SELECT sum(heap_blks_read + idx_blks_read) FROM pg_statio_user_tables "
                              "WHERE schemaname IN ('bagelpay', 'bagelpay_internal') AND relname = ANY (%s)", (list(STATE_TABLES),)).fetchone()[0]


def ask(contestant, stored, questions=QUESTIONS):
    """Asks is_entitled() for customers at random, one question after the other, and makes a round trip that asks nothing
    after each, which tells what the machine, the client and the way there cost. Returns {"server": percentiles,
    "client": ..., "nothing": ..., "pages_read": ...}, where server is from the arrival of the question to its result.

    Where nothing was filled in, the questions are about customers that there are not.
    """
    latencies = {"server": [], "client": [], "nothing": []}
    with contestant.cluster.connect(contestant.db) as connection:
        connection.prepare_threshold = 0
        read = pages_read(connection)
        for _ in range(questions):
            customer = f"customer.{fill.order_number(random.randrange(max(stored // 2, 1))):012}@example.com"
            (entitled, in_server), took = timed(
                connection, "SELECT bagelpay.is_entitled(%s, 'prod_1967143613700870145', 'live', '2025-09-20'), "
                "1000 * EXTRACT(epoch FROM clock_timestamp() - statement_timestamp())::float", customer)
            if entitled != (stored > 0):
                raise RuntimeError(f"{customer}: {entitled}")
            latencies["server"].append(in_server)
            latencies["client"].append(took)
            latencies["nothing"].append(timed(connection, "SELECT %s::text", customer)[1])
        read = pages_read(connection) - read
    return {**{name: percentiles(values) for name, values in latencies.items()}, "pages_read": int(read)}


def prewarm(cluster, db):
    """Reads all indexes and the tables of state into PostgreSQL's memory, where they are on a server that has run for a
    while: without that, it is the disk's reading that is measured for the first million events."""
    with cluster.connect(db) as connection:
        connection.execute("CREATE EXTENSION pg_prewarm")
        connection.execute("""SELECT pg_prewarm(oid) FROM pg_class
            WHERE relnamespace::regnamespace::text IN ('bagelpay', 'bagelpay_internal') AND (relkind = 'i' OR (relkind = 'r' AND relname = ANY (%s)))""",
                           (list(STATE_TABLES),)).fetchall()


def gigabytes(cluster, db):
    """What the tables take on the disk, those of state and the others, and all indexes."""
    with cluster.connect(db) as connection:
        return connection.execute("""SELECT concat_ws(' + ',
                round(sum(pg_table_size(oid)) FILTER (WHERE relname = ANY (%(state)s)) / 1e9, 1),
                round(sum(pg_table_size(oid)) FILTER (WHERE relname <> ALL (%(state)s)) / 1e9, 1),
                round(sum(pg_indexes_size(oid)) / 1e9, 1))
            FROM pg_class WHERE relnamespace::regnamespace::text IN ('bagelpay', 'bagelpay_internal') AND relkind = 'r'""", {"state": list(STATE_TABLES)}).fetchone()[0]


def check(contestant, stored):
    """That the filled rows are those that the events lead to."""
    with contestant.cluster.connect(contestant.db) as connection:
        for index in range(0, stored // 2, max(stored // 20, 1)):
            order_id = f"req_{fill.order_number(index):012}"
            if connection.execute("SELECT bagelpay.rebuild(%s)", (order_id,)).fetchone()[0] != 0:
                raise RuntimeError(f"{order_id} is not what its events say")


def share(results, first, kind):
    """How much of the rate on the first size is left, in the turns of this kind."""
    return statistics.median(b["rate"] / a["rate"] for a, b in zip(first[kind], results[kind]))


def run(cluster, given):
    """All sizes in turns: {size: {"load": [result, …], "ask": [percentiles, …]}}."""
    databases = {}
    for size in given.sizes:
        started = time.monotonic()
        databases[size] = cluster.create_database()
        fill.fill(cluster, databases[size], size)
        say(f"{size} events stored in {time.monotonic() - started:.0f} s: state + other tables + indexes {gigabytes(cluster, databases[size])} GB")
    results = {size: {"load": [], "ask": [], "checkpoint": []} for size in given.sizes}
    with contextlib.ExitStack() as owned:
        contestants = {}
        for size in given.sizes:
            contestants[size] = Bagelhook(cluster, db=databases[size])
            owned.callback(contestants[size].close)
            check(contestants[size], size)
            prewarm(cluster, databases[size])
            measure(contestants[size], given.warm_up, checkpoint=False)
            ask(contestants[size], size, 200)
        for number in range(given.rounds):
            for size, one in contestants.items():
                results[size]["load"].append(measure(one, given.seconds, checkpoint=False))
                results[size]["ask"].append(ask(one, size))
                asked = results[size]["ask"][-1]
                say(f"  round {number + 1}: {size}: {results[size]['load'][-1]['rate']:.0f} events/s, is_entitled() p99 "
                    f"{asked['client']['p99']:.2f} ms, in the server {asked['server']['p99']:.2f} ms, a round trip "
                    f"{asked['nothing']['p99']:.2f} ms, {asked['pages_read']} pages read")
        for number in range(given.rounds):
            for size, one in contestants.items():
                results[size]["checkpoint"].append(measure(one, given.seconds))
                say(f"  after a checkpoint, round {number + 1}: {size}: {results[size]['checkpoint'][-1]['rate']:.0f} events/s")
    return results


def load_table(results):
    first = next(iter(results.values()))
    lines = ["| stored events | events/s | of those on none | p50 ms | p99 ms | database CPU µs/event "
             "| right after a checkpoint: events/s | of those on none |",
             "|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for size, result in results.items():
        lines.append(f"| {size:,} | {median(result['load'], 'rate'):.0f} | {share(result, first, 'load'):.2f} | "
                     f"{median(result['load'], 'p50_us') / 1000:.1f} | "
                     f"{median(result['load'], 'p99_us') / 1000:.1f} | {median(result['load'], 'cpu_us', 'database'):.0f} | "
                     f"{median(result['checkpoint'], 'rate'):.0f} | {share(result, first, 'checkpoint'):.2f} |")
    return lines


def ask_table(results):
    lines = ["| stored events | is_entitled(), in the server: p50 ms | p99 ms | round trip included: p50 ms | p99 ms "
             f"| a round trip that asks nothing: p50 ms | p99 ms | pages read for {QUESTIONS:,} questions |",
             "|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for size, result in results.items():
        latencies = (f"{median(result['ask'], what, percentile):.2f}"
                     for what in ("server", "client", "nothing") for percentile in ("p50", "p99"))
        lines.append(f"| {size:,} | {' | '.join(latencies)} | {median(result['ask'], 'pages_read'):.0f} |")
    return lines


def plot(results, svg):
    data = STATE / "growth.dat"
    data.write_text("".join(
        f"\"{size:,}\" {median(result['load'], 'rate'):.0f} "
        f"{median(result['ask'], 'client', 'p50'):.3f} {median(result['ask'], 'client', 'p99'):.3f}\n"
        for size, result in results.items()))
    subprocess.run(["gnuplot"], input=PLOT.format(svg=svg, data=data), text=True, check=True)


def main():
    given = arguments()
    harness.end_on_sigterm()
    with harness.Cluster(**{**SETTINGS, **FOR_MANY}) as cluster:
        results = run(cluster, given)
    (STATE / "growth.json").write_text(json.dumps(results, indent=1))
    if given.svg:
        plot(results, given.svg)
    print("\n".join([*load_table(results), "", *ask_table(results), "",
                     f"{given.rounds} rounds of {given.seconds} s in turns, medians; {machine()}."]))


if __name__ == "__main__":
    main()
