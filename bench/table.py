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

from contestants import Bagelhook, FastApi, Fastify, Pgbench, STATE, harness, measure, usage

# As one would set a small server up; fsync and synchronous_commit are what makes a 200 true.
SETTINGS = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "shared_buffers": "1GB",
            "max_wal_size": "8GB", "checkpoint_timeout": "30min"}


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench/run", description="Measures bagelhook beside handlers written by hand and pgbench, in one run, in turns: "
        "a private PostgreSQL cluster and nginx, events committed durably and counted in the database.")
    parser.add_argument("--quick", action="store_true", help="bagelhook and pgbench only, under 90 seconds")
    parser.add_argument("--soak", type=int, metavar="EVENTS", nargs="?", const=5_000_000,
                        help="only bagelhook, for so many events (5000000): does its memory grow?")
    parser.add_argument("--rounds", type=int, help="how often each takes its turn (5; quick: 3)")
    parser.add_argument("--seconds", type=int, help="how long a turn is (8; quick: 4)")
    given = parser.parse_args()
    given.rounds = given.rounds or (3 if given.quick else 5)
    given.seconds = given.seconds or (4 if given.quick else 8)
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
            say(f"  round {number + 1}: {one.name}: {result['rate']:.0f} events/s")
    return results


def median(results, *path):
    values = []
    for result in results:
        for key in path:
            result = None if result is None else result.get(key)
        if result is not None:
            values.append(result)
    return statistics.median(values) if values else None


def cell(value, text="{:.0f}"):
    return "" if value is None else text.format(value)


def table(results):
    ours = results["bagelhook"]
    lines = ["| | events/s | bagelhook is | p50 ms | p99 ms | CPU µs/event: database | handler | nginx | load | peak RSS MiB |",
             "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for name, rounds in results.items():
        # Of each round its own ratio: neighbours in time share what slowed them.
        ratio = statistics.median(a["rate"] / b["rate"] for a, b in zip(ours, rounds))
        lines.append(" | ".join([
            f"| {name}", cell(median(rounds, "rate")), f"{ratio:.2f} ×", cell(median(rounds, "p50_us") / 1000, "{:.2f}"),
            cell(median(rounds, "p99_us") / 1000, "{:.2f}"),
            *(cell(median(rounds, "cpu_us", part)) for part in ("database", "handler", "nginx", "load")),
            cell(median(rounds, "rss_mib"), "{:.1f}") + " |"]))
    return lines


def compare(cluster, given, peers):
    """The table, and what it does not show: one connection, and half of the peak rate."""
    with contextlib.ExitStack() as owned:
        contestants = []
        for kind in (Bagelhook, *peers, Pgbench):
            contestants.append(kind(cluster))
            owned.callback(contestants[-1].close)
        ours, pgbench = contestants[0], contestants[-1]
        for one in contestants:
            measure(one, 2)
        say("64 connections (pgbench: 32)")
        results = in_turns(contestants, given)
        peak = median(results["bagelhook"], "rate")
        say("one connection")
        single = in_turns([ours, pgbench], given, connections=1)
        say(f"open loop, {peak / 2:.0f} events/s")
        half = in_turns([ours], given, rate=peak / 2)["bagelhook"]
    one_ours, one_pgbench = median(single["bagelhook"], "p50_us"), median(single[pgbench.name], "p50_us")
    p50, p99 = median(half, "p50_us"), median(half, "p99_us")
    lines = [*table(results), "",
             f"One connection: p50 {one_ours / 1000:.2f} ms; pgbench -c 1: {one_pgbench / 1000:.2f} ms ({one_ours / one_pgbench:.2f} ×).",
             f"Open loop at half of the peak rate ({median(half, 'rate'):.0f} events/s): p50 {p50 / 1000:.2f} ms, "
             f"p99 {p99 / 1000:.2f} ms ({p99 / p50:.1f} ×).",
             f"{given.rounds} rounds of {given.seconds} s in turns, medians; {machine()}."]
    return lines, {"peak": results, "single": single, "half": half}


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
            lines, results = compare(cluster, given, () if given.quick else (Fastify, FastApi))
    print("\n".join(lines))
    say(f"{time.monotonic() - started:.0f} s")
    (STATE / "results.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
