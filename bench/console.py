"""The measurements of bench/console, and their tables."""

import argparse
import contextlib
import random
import shutil
import statistics
import sys
import threading
import time

import fill
from contestants import Bagelhook, harness, measure
from table import SETTINGS, machine, median, say

# The time limit of a view, and of one that reads an order of very many events as a whole.
LIMIT_MS = 200
LIMIT_LARGE_MS = 1000
# What the viewers may cost.
LIMIT_SHARE = 0.05
# Events, each a payment of its own, of the order that a key which is not unique makes; and orders of one customer.
LARGE = 20_000
LARGE_VIEWS = ("one order of very many events", "one delivery of such an order", "search by such an order",
               "search by a customer of very many orders", "a customer of very many orders")


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench/console", description="Measures the console, in a private PostgreSQL cluster behind nginx: how long each of its "
        "views takes with many stored events, and the rate of ingest with viewers and without, in turns.")
    parser.add_argument("--events", type=int, default=1_000_000, help="stored events (%(default)s)")
    parser.add_argument("--asks", type=int, default=100, help="how often each view is asked for (%(default)s)")
    parser.add_argument("--viewers", type=int, default=10, help="how many look on (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="turns each with viewers and without (%(default)s)")
    parser.add_argument("--seconds", type=int, default=8, help="how long a turn is (%(default)s)")
    parser.add_argument("--strict", action="store_true",
                        help=f"exit with 1 if a view takes more than {LIMIT_MS} ms (of an order with {LARGE} events {LIMIT_LARGE_MS}), or viewers cost more than {100 * LIMIT_SHARE:.0f} %%")
    return parser.parse_args()


def add_large(cluster, db):
    """An order of very many events, and a customer of very many orders, folded as ingest() does it."""
    with cluster.connect(db) as connection:
        for statement in (
                "SET enable_seqscan = off",
                """INSERT INTO bagelpay.events (event_id, event_type, mode, occurred_at, fold_slot, received_at, order_id, key_source, outcome,
                    warnings, billing_type, product_id, customer_id, customer_email,
                    payment_id)
                SELECT n.name || i, 'checkout.completed', 'live', moment, bagelpay_internal.fold_slot(moment, 'checkout.completed'), moment,
                    CASE n.name WHEN 'large_' THEN 'large' ELSE n.name || i END, 'metadata', 'applied', '{}', 'single_payment', 'prod',
                    'cus_' || n.name, n.email, 'pay_' || n.name || i
                FROM (VALUES ('large_', 'one@example.com'), ('many_', 'many@example.com')) AS n (name, email), generate_series(1, %(count)s) AS i,
                    LATERAL (SELECT now() - interval '30 days' + i * interval '2 minutes') AS t (moment)""",
                "INSERT INTO bagelpay.event_bodies (event_id, body) SELECT 'large_' || i, '{}' FROM generate_series(1, %(count)s) AS i",
                """SELECT bagelpay_internal.fold(array_agg(ROW('live', n.order_id)::bagelpay_internal.fold_key), '{}')
                FROM (SELECT DISTINCT order_id FROM bagelpay.events WHERE product_id = 'prod') AS n"""):
            connection.execute(statement, {"count": LARGE})
        connection.execute("VACUUM (ANALYZE)")


def views(events):
    """Each view by name, as a function that makes its parameters anew: (path, parameters)."""
    def order():
        return f"{fill.order_number(random.randrange(events // 2)):012}"

    def days_ago():
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - random.uniform(1, fill.DAYS - 1) * 86400))

    return {
        **{f"overview, {span}": lambda span=span: ("/api/overview", {"range": span}) for span in ("1h", "24h", "7d", "30d")},
        "money and subscriptions by day": lambda: ("/api/days", {}),
        "attention": lambda: ("/api/attention", {}),
        "deliveries, newest": lambda: ("/api/deliveries", {}),
        "deliveries, a page at any time": lambda: ("/api/deliveries", {"before_at": days_ago()}),
        "deliveries of one type": lambda: ("/api/deliveries", {"type": "subscription.paid"}),
        "deliveries of a type that never came": lambda: ("/api/deliveries", {"type": "refund.created", "before_at": days_ago()}),
        "deliveries with warnings, none": lambda: ("/api/deliveries", {"warned": "true", "before_at": days_ago()}),
        "deliveries of one order": lambda: ("/api/deliveries", {"order": f"req_{order()}"}),
        "one delivery": lambda: ("/api/delivery", {"event": f"evt_paid_{fill.scatter(fill.FIRST_NUMBER + 2 * random.randrange(events // 2) + 1):012}"}),
        "one order": lambda: ("/api/order", {"mode": "live", "order": f"req_{order()}"}),
        "one order of very many events": lambda: ("/api/order", {"mode": "live", "order": "large"}),
        "one delivery of such an order": lambda: ("/api/delivery", {"event": f"large_{random.randint(1, LARGE)}"}),
        "deliveries of such an order": lambda: ("/api/deliveries", {"order": "large"}),
        "search by order": lambda: ("/api/search", {"q": f"req_{order()}"}),
        "search by e-mail": lambda: ("/api/search", {"q": f"Customer.{order()}@example.com"}),
        "search by payment": lambda: ("/api/search", {"q": f"ch_{order()}"}),
        "a customer": lambda: ("/api/customer", {"kind": "email", "value": f"customer.{order()}@example.com"}),
        "a customer of very many orders": lambda: ("/api/customer", {"kind": "email", "value": "many@example.com"}),
        "search by such an order": lambda: ("/api/search", {"q": "large"}),
        "search by a customer of very many orders": lambda: ("/api/search", {"q": "many@example.com"}),
        "search by a beginning": lambda: ("/api/search", {"q": "customer.1"}),
        "dead letters": lambda: ("/api/dead-letters", {}),
        "dead letters with a text": lambda: ("/api/dead-letters", {"q": "nobody"}),
    }


def time_views(web, given):
    """Milliseconds of each view, from the request to the last byte, the slowest included."""
    taken = {}
    for name, make in views(given.events).items():
        taken[name] = []
        for _ in range(given.asks):
            path, parameters = make()
            started = time.perf_counter()
            answer = web.get(path, **parameters)
            taken[name].append(1000 * (time.perf_counter() - started))
            if answer.status != 200:
                raise harness.HarnessError(f"{name}: {path} {parameters}: {answer}")
        taken[name].sort()
    return taken


class Viewer(threading.Thread):
    """Somebody who looks at the list, or at the overview, and lets it update itself as the page does."""

    def __init__(self, web, kind):
        super().__init__(daemon=True)
        self.web, self.kind, self.ended, self.asked = web, kind, threading.Event(), 0

    def ask(self, path, **parameters):
        answer = self.web.get(path, **parameters)
        if answer.status != 200:
            raise harness.HarnessError(f"{path}: {answer}")
        self.asked += 1
        return answer.json

    def run(self):
        if self.kind == "list":
            shown = self.ask("/api/deliveries")
            while not self.ended.wait(2):
                now = time.time() - 10
                shown = self.ask("/api/deliveries", since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)))
                if shown["next"]:
                    self.ask("/api/deliveries")
        else:
            now = self.ask("/api/overview")["now"]
            self.ask("/api/days")
            self.ask("/api/attention")
            while not self.ended.wait(3):
                now = self.ask("/api/overview", since=now)["now"]
                if not self.ask("/api/spool")["known"]:
                    raise harness.HarnessError("the spool is not known")


@contextlib.contextmanager
def looking_on(web, count):
    """So many viewers, half of each kind."""
    viewers = [Viewer(web, "list" if number % 2 else "overview") for number in range(count)]
    for viewer in viewers:
        viewer.start()
    # All of them have been there for a while: what a view costs at first is in the other table.
    harness.wait_until(lambda: all(viewer.asked > 2 or not viewer.is_alive() for viewer in viewers), "the viewers")
    yield
    for viewer in viewers:
        viewer.ended.set()
    for viewer in viewers:
        viewer.join()
    if not all(viewer.asked > 2 for viewer in viewers):
        raise harness.HarnessError("a viewer gave up")


def compare(contestant, web, given):
    """Rates without viewers and with, in turns that change places each round."""
    results = {0: [], given.viewers: []}
    measure(contestant, 10)
    for number in range(given.rounds):
        for count in sorted(results, reverse=number % 2 == 1):
            with looking_on(web, count):
                results[count].append(measure(contestant, given.seconds, checkpoint=False))
            say(f"  round {number + 1}: {count} viewers: {results[count][-1]['rate']:.0f} events/s")
    return results


def main():
    given = arguments()
    harness.end_on_sigterm()
    with harness.Cluster(**SETTINGS) as cluster, contextlib.ExitStack() as owned:
        db = cluster.create_database()
        fill.fill(cluster, db, given.events)
        add_large(cluster, db)
        say(f"{given.events} events are stored")
        spool = harness.make_directory("spool")
        owned.callback(shutil.rmtree, spool, ignore_errors=True)
        admin = f"unix:{spool}/admin.sock"
        contestant = Bagelhook(cluster, "--spool", spool / "spool", "--admin-listen", admin, db=db)
        owned.callback(contestant.close)
        console = owned.enter_context(harness.Console(cluster.dsn("bagelhook_console", db), "--admin", admin))
        web = owned.enter_context(harness.ConsoleNginx(contestant.responder.socket_path, console.socket_path))
        contestant.processes |= {"console": console.process.pid, "its nginx": web.process.pid}
        taken = time_views(web, given)
        print(f"| view, {given.events:,} stored events | p50 ms | slowest of {given.asks}, ms |\n|---|---:|---:|")
        for name, times in taken.items():
            print(f"| {name} | {statistics.median(times):.1f} | {times[-1]:.1f} |", flush=True)
        results = compare(contestant, web, given)
    share = 1 - statistics.median(b["rate"] / a["rate"] for a, b in zip(results[0], results[given.viewers]))
    print("", "| viewers | events/s | p50 ms | p99 ms | CPU µs/event: database | console | its nginx |",
          "|---:|---:|---:|---:|---:|---:|---:|", sep="\n")
    for count, rounds in results.items():
        print(f"| {count} | {median(rounds, 'rate'):.0f} | {median(rounds, 'p50_us') / 1000:.1f} | {median(rounds, 'p99_us') / 1000:.1f} | "
              + " | ".join(f"{median(rounds, 'cpu_us', part):.1f}" for part in ("database", "console", "its nginx")) + " |")
    print(f"\n{given.viewers} viewers cost {100 * share:.1f} % of the events a second. {given.rounds} rounds of {given.seconds} s in turns, "
          f"medians; {machine()}.")
    slow = [name for name, times in taken.items() if statistics.median(times) > (LIMIT_LARGE_MS if name in LARGE_VIEWS else LIMIT_MS)]
    if slow:
        print(f"Too slow: {', '.join(slow)}")
    if share > LIMIT_SHARE:
        print(f"More than {100 * LIMIT_SHARE:.0f} %")
    return 1 if given.strict and (slow or share > LIMIT_SHARE) else 0


if __name__ == "__main__":
    sys.exit(main())
