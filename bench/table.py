"""The measurements of bench/run, and the table that it prints."""

import argparse
import contextlib
import json
import os
import platform
import re
import statistics
import sys
import time
from datetime import date

from contestants import Bagelhook, Pgbench, STATE, Unnotified, harness, measure, usage
from rivals import FastApi, Node, NodeSeparate, Php

# As one would set a small server up; fsync and synchronous_commit are what makes a 200 true.
SETTINGS = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "1GB",
            "max_wal_size": "8GB", "checkpoint_timeout": "30min"}

# How many times as fast as each rival bagelhook is to be: at least, and the aim.
THROUGHPUT = {Node.name: (2.0, 3.0), NodeSeparate.name: (3.2, 4.5), Php.name: (3.0, 5.0), FastApi.name: (4.0, 6.0)}
# front() with 64 connections, over that of Node's one statement in the same run, at commit dac6941.
FRONT_BEFORE = 0.6
RIVALS_DO_LESS = (
    "The rivals do less than bagelhook. They verify the same signature, commit one transaction an event, and answer 200 after",
    "that. Each delivery overwrites its order and its subscription, so their rows depend on the order of deliveries. They",
    "handle no refunds, derive no entitlement and have no spool.")
PGBENCH_IS = "pgbench calls bagelpay.ingest(), one event a transaction, without HTTP: on 32 connections, and on one."


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench/run", description="Measures bagelhook beside handlers written by hand, in one run, in turns: "
        "a private PostgreSQL cluster and nginx, events committed durably and counted in the database.")
    parser.add_argument("--quick", action="store_true",
                        help="bagelhook, and Node.js with one statement if Node.js is installed; under 90 seconds")
    parser.add_argument("--soak", type=int, metavar="EVENTS", nargs="?", const=5_000_000,
                        help="only bagelhook, for so many events (5000000): does its memory grow?")
    parser.add_argument("--rounds", type=int, help="how often each takes its turn (5; quick: 3)")
    parser.add_argument("--seconds", type=int, help="how long a turn is (8; quick: 3)")
    given = parser.parse_args()
    given.rounds = given.rounds or (3 if given.quick else 5)
    given.seconds = given.seconds or (3 if given.quick else 8)
    return given


def machine():
    """What it was measured on."""
    model = re.search(r"^model name\s*: (.*)$", open("/proc/cpuinfo", encoding="utf-8").read(), re.M)
    return (f"{date.today().isoformat()}, {os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
            f"Linux {platform.release()}")


def say(text):
    print(text, file=sys.stderr, flush=True)


def in_turns(contestants, given, **options):
    """Each once a round, so that what slows the machine for a while slows all: {name: [result, …]}."""
    results = {one.name: [] for one in contestants}
    for number in range(given.rounds):
        for one in contestants:
            result = measure(one, given.seconds, **options)
            results[one.name].append(result)
            # Or autovacuum would do it later, and its CPU time would count as another contestant's.
            with one.cluster.connect(one.db) as connection:
                connection.execute("VACUUM (ANALYZE)")
            say(f"  round {number + 1}: {one.name}: {result['rate']:.0f} events/s")
    return results


def find(result, *path):
    """A value of what measure() returned, or None if the contestant has none."""
    for key in path:
        result = None if result is None else result.get(key)
    return result


def median(results, *path):
    values = [value for value in (find(result, *path) for result in results) if value is not None]
    return statistics.median(values) if values else None


def ratio(ours, theirs, *path):
    """The median of the rounds' own ratios: neighbours in time share what slowed them."""
    return statistics.median(find(a, *path) / find(b, *path) for a, b in zip(ours, theirs))


def front(result):
    """CPU time per event of all that stands before the database."""
    return result["cpu_us"]["handler"] + result["cpu_us"]["nginx"]


def row(name, *cells):
    """A line of a table, from values with their formats."""
    return f"| {name} | " + " | ".join("" if value is None else form.format(value) for value, form in cells) + " |"


def ms(rounds, percentile):
    return median(rounds, percentile) / 1000, "{:.2f}"


def table(peak, single):
    """What each contestant did with 64 connections, and with one."""
    parts = ("database", "handler", "nginx", "load")
    lines = ["| 64 connections | events/s | bagelhook is | p50 ms | p99 ms | CPU µs/event: database | handler | nginx | load "
             "| peak RSS MiB |", "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for name, rounds in peak.items():
        lines.append(row(name, (median(rounds, "rate"), "{:.0f}"), (ratio(peak[Bagelhook.name], rounds, "rate"), "{:.2f} ×"),
                         ms(rounds, "p50_us"), ms(rounds, "p99_us"),
                         *((median(rounds, "cpu_us", part), "{:.0f}") for part in parts), (median(rounds, "rss_mib"), "{:.1f}")))
    lines += ["", "| one connection | p50 ms | bagelhook takes | p99 ms | CPU µs/event: database | handler | nginx |",
              "|---|---:|---:|---:|---:|---:|---:|"]
    for name, rounds in single.items():
        lines.append(row(name, ms(rounds, "p50_us"), (ratio(single[Bagelhook.name], rounds, "p50_us"), "{:.2f} ×"),
                         ms(rounds, "p99_us"), *((median(rounds, "cpu_us", part), "{:.0f}") for part in parts[:3])))
    return lines


def verdict(value, target, aim, more):
    """Says if a measured value meets its target and its aim. more is true if higher is better."""
    short_of_target, short_of_aim = ((bound - value) if more else (value - bound) for bound in (target, aim))
    if short_of_target > 0:
        return f"missed by {short_of_target:.2f}"
    return "aim met" if short_of_aim <= 0 else f"met, {short_of_aim:.2f} short of the aim"


def targets(peak, single, half):
    """The table of the targets that this run can judge."""
    ours, lone = peak[Bagelhook.name], single[Bagelhook.name]
    more = [(f"64 connections: events/s over {name}", ratio(ours, peak[name], "rate"), *wanted)
            for name, wanted in THROUGHPUT.items() if name in peak]
    tail = statistics.median(result["p99_us"] / result["p50_us"] for result in half)
    less = [("half of the peak rate: p99 over p50", tail, 8, 8),
            ("64 connections: peak RSS, MiB", median(ours, "rss_mib"), 20, 20)]
    if Node.name in peak:
        node, lone_node = peak[Node.name], single[Node.name]
        fronts = statistics.median(front(a) / front(b) for a, b in zip(ours, node))
        less = [(f"one connection: p50 over {Node.name}", ratio(lone, lone_node, "p50_us"), 1.2, 1.0),
                (f"64 connections: database CPU over {Node.name}", ratio(ours, node, "cpu_us", "database"), 0.55, 0.45),
                (f"one connection: database CPU over {Node.name}", ratio(lone, lone_node, "cpu_us", "database"), 2.6, 2.0),
                ("64 connections: handler + nginx CPU over commit dac6941", fronts / FRONT_BEFORE, 0.65, 0.5),
                *less]
    lines = ["| bagelhook's targets | measured | target | aim | verdict |", "|---|---:|---:|---:|---|"]
    for rows, is_more, sign in ((more, True, "≥"), (less, False, "≤")):
        lines += [row(name, (value, "{:.2f}"), (target, sign + " {}"), (aim, sign + " {}"),
                      (verdict(value, target, aim, is_more), "{}")) for name, value, target, aim in rows]
    return lines


def compare(cluster, given, kinds):
    """Measures contestants of these kinds, bagelhook first. Returns the lines to print, and all results."""
    with contextlib.ExitStack() as owned:
        contestants = []
        for kind in kinds:
            contestants.append(kind(cluster))
            owned.callback(contestants[-1].close)
        for one in contestants:
            measure(one, 2)
        say("64 connections")
        peak = in_turns(contestants, given)
        say("one connection")
        single = in_turns(contestants, given, connections=1)
        rate = median(peak[Bagelhook.name], "rate") / 2
        say(f"open loop, {rate:.0f} events/s")
        half = in_turns(contestants[:1], given, rate=rate)[Bagelhook.name]
    lines = [*table(peak, single), "",
             f"Open loop at half of the peak rate ({median(half, 'rate'):.0f} events/s): "
             f"p50 {median(half, 'p50_us') / 1000:.2f} ms, p99 {median(half, 'p99_us') / 1000:.2f} ms.", "",
             *targets(peak, single, half), ""]
    if Node in kinds:
        lines += RIVALS_DO_LESS
    if Pgbench in kinds:
        lines += [PGBENCH_IS]
    lines += [f"Rounds: {given.rounds}, {given.seconds} s a turn; medians. {machine()}."]
    return lines, {"peak": peak, "single": single, "half": half}


def soak(cluster, given):
    """Memory over many events."""
    with contextlib.closing(Bagelhook(cluster)) as ours:
        lines = ["| events | events/s | RSS now MiB | peak RSS MiB |", "|---:|---:|---:|---:|"]
        step, done, results = max(given.soak // 10, 1), 0, []
        while done < given.soak:
            result = measure(ours, 0, events=step)
            done += result["events"]
            now = usage.rss_kib(ours.responder.pid) / 1024
            results.append({**result, "rss_now_mib": now, "stored": done})
            lines.append(f"| {done} | {result['rate']:.0f} | {now:.1f} | {result['rss_mib']:.1f} |")
            say(lines[-1])
    lines += ["", f"{machine()}."]
    return lines, {"soak": results}


def main():
    given = arguments()
    harness.end_on_sigterm()
    started = time.monotonic()
    with harness.Cluster(**SETTINGS) as cluster:
        if given.soak:
            lines, results = soak(cluster, given)
        else:
            kinds = (Unnotified, Node, NodeSeparate, Php, FastApi, Pgbench) if not given.quick else (Node,) if Node.installed() else ()
            lines, results = compare(cluster, given, (Bagelhook, *kinds))
    print("\n".join(lines))
    say(f"{time.monotonic() - started:.0f} s")
    (STATE / "results.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
