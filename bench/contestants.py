"""What is measured: each takes events from the same load into a database of its own.

A contestant has a name, a database, the table in it that holds an event a row, the processes whose cost is counted (name
to pid), and run(seconds, …), which lets events come for a while and returns what the load saw. An event counts if the
database has it afterwards.
"""

import contextlib
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys

SOURCE = pathlib.Path(os.environ["BAGELHOOK_SOURCE"])
BUILD = pathlib.Path(os.environ["BAGELHOOK_BUILD"])
STATE = pathlib.Path(os.environ["BENCH_STATE"])
sys.path.insert(0, str(SOURCE / "tests"))

import harness  # noqa: E402

import usage  # noqa: E402

TEMPLATES = [SOURCE / "bench" / "bodies" / f"{name}.json" for name in ("checkout.completed", "subscription.paid")]
# More than any contestant takes in a second; the load signs so many beforehand.
MOST_EVENTS_PER_SECOND = 25_000
# Numbers of events never come twice.
_numbers = itertools.count(1)
_NUMBERS_EACH = 100_000_000


def first_number():
    return next(_numbers) * _NUMBERS_EACH


class Http:
    """A handler behind nginx. A subclass sets nginx and processes."""

    events_table = "bagelpay.events"

    def __init__(self, cluster, db=None):
        self.cluster = cluster
        self.db = db or cluster.create_database()
        self.secret = "whsec_bench"
        self.owned = contextlib.ExitStack()
        self.processes = {}

    def run(self, seconds, connections=64, rate=None, events=None):
        """Lets the load send; returns what it printed."""
        command = [BUILD / "bench" / "load", "--port", self.nginx.port, "--secret", self.secret, "--connections", connections,
                   "--events", events or int(seconds * (rate or MOST_EVENTS_PER_SECOND)) + 1, "--first", first_number()]
        if seconds:
            command += ["--seconds", seconds]
        if rate:
            command += ["--rate", rate]
        done = subprocess.run([str(word) for word in [*command, *TEMPLATES]], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise harness.HarnessError(f"load failed: {done.stderr}")
        return json.loads(done.stdout)

    def close(self):
        self.owned.close()


class Bagelhook(Http):
    name = "bagelhook"

    def __init__(self, cluster, *arguments, db=None):
        super().__init__(cluster, db)
        self.responder = self.owned.enter_context(
            harness.Responder(cluster.dsn("bagelhook", self.db), *arguments, secret=self.secret))
        self.nginx = self.owned.enter_context(harness.Nginx(self.responder.socket_path))
        self.processes = {"handler": self.responder.pid, "nginx": self.nginx.process.pid}


class Unnotified(Bagelhook):
    """The same with the setting notify off, to see what NOTIFY costs."""

    name = "bagelhook without NOTIFY"

    def __init__(self, cluster):
        super().__init__(cluster)
        with cluster.connect(self.db) as connection:
            connection.execute("UPDATE bagelpay.settings SET notify = FALSE")


class Pgbench:
    """bagelpay.ingest() in a transaction an event, without any HTTP: pgbench, prepared statements."""

    name = "pgbench on ingest()"
    events_table = "bagelpay.events"

    def __init__(self, cluster):
        self.cluster = cluster
        self.db = cluster.create_database()
        self.directory = harness.make_directory("pgbench")
        self.processes = {}

    def run(self, seconds, connections=32, rate=None, events=None):
        """rate and events are for the others."""
        # As the responder hands them over; it lowers the e-mail, and with it the mark.
        deliveries = [subprocess.run([BUILD / "bench" / "normalise", path], capture_output=True, text=True, check=True)
                      .stdout.replace("ordernumber_", "ORDERNUMBER_") for path in TEMPLATES]
        variables = {"checkout_delivery": deliveries[0], "payment_delivery": deliveries[1],
                     "checkout_body": TEMPLATES[0].read_text(), "payment_body": TEMPLATES[1].read_text(),
                     "base": first_number(), "i": 0}
        for log in self.directory.glob("log*"):
            log.unlink()
        command = [self.cluster.bin / "pgbench", "--no-vacuum", "--protocol=prepared", f"--client={connections}", "--jobs=2",
                   f"--time={seconds}", "--log", f"--log-prefix={self.directory / 'log'}",
                   f"--file={SOURCE / 'bench' / 'ingest.pgbench'}", f"--host={self.cluster.host}", "--username=bagelhook",
                   *(f"--define={name}={value}" for name, value in variables.items()), self.db]
        before = os.times()
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                              env=harness.clean_environment())
        after = os.times()
        if done.returncode != 0:
            raise harness.HarnessError(f"pgbench failed: {done.stderr}")
        # client, transaction, microseconds, script, and when it ended (seconds, microseconds)
        lines = [line.split() for log in self.directory.glob("log*") for line in log.read_text().splitlines()]
        latencies = sorted(int(line[2]) for line in lines)
        ends = [int(line[4]) + int(line[5]) / 1e6 for line in lines]
        # The first to begin has no entry of its own for that.
        begin = min(end - int(line[2]) / 1e6 for end, line in zip(ends, lines))

        def percentile(share):
            return latencies[int(share * (len(latencies) - 1))]

        return {"sent": len(lines), "good": len(lines), "seconds": max(ends) - begin, "p50_us": percentile(0.5),
                "p99_us": percentile(0.99),
                "cpu_us": 1e6 * (after.children_user + after.children_system
                                 - before.children_user - before.children_system)}

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)


def measure(contestant, seconds, checkpoint=True, **options):
    """One run, with what the database and the kernel say of it.

    A checkpoint before it keeps the writing for other contestants out of it. After one, the first change of each page
    takes the whole page to the write-ahead log, which shows in databases of many pages.
    """
    cluster = contestant.cluster
    count = f"SELECT count(*) FROM {contestant.events_table}"
    processes = {"database": cluster.process.pid, **contestant.processes}
    with cluster.connect(contestant.db) as connection:
        if checkpoint:
            connection.execute("CHECKPOINT")
        before = connection.execute(count).fetchone()[0]
    used = {name: usage.cpu_us(pid) for name, pid in processes.items()}
    seen = contestant.run(seconds, **options)
    used = {name: usage.cpu_us(pid) - used[name] for name, pid in processes.items()}
    with cluster.connect(contestant.db) as connection:
        committed = connection.execute(count).fetchone()[0] - before
    if committed != seen["good"] or seen["good"] != seen["sent"]:
        raise harness.HarnessError(f"{contestant.name}: {seen['sent']} sent, {seen['good']} answered 200, {committed} committed")
    rss = usage.peak_rss_kib(contestant.processes["handler"]) / 1024 if "handler" in contestant.processes else None
    return {"rate": committed / seen["seconds"], "events": committed, "p50_us": seen["p50_us"], "p99_us": seen["p99_us"],
            "cpu_us": {name: value / committed for name, value in {**used, "load": seen["cpu_us"]}.items()},
            "rss_mib": rss}
