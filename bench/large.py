"""The measurements of bench/large, and their table."""

import argparse
import datetime
import itertools
import statistics
import subprocess
import time

from contestants import BUILD, TEMPLATES, harness
from table import SETTINGS, machine, say

# Purchases per call while filling.
BATCH = 500
# Texts of the template and their replacements: the first is of this moment, each a minute after the other.
TEMPLATE_TIME = "2025-09-14 08:30:03"
BEGIN = datetime.datetime(2024, 1, 1)


def arguments():
    parser = argparse.ArgumentParser(
        prog="bench/large", description="Measures what ingest() takes for one event of an order that has very many purchases, as a "
        "merchant's order_id that never changes makes one: the newest event, beside one of a new order, and a late event, older "
        "than all others. In a private PostgreSQL cluster, committed durably.")
    parser.add_argument("--sizes", default="20000,100000", help="purchases of the order (%(default)s)")
    parser.add_argument("--customers", type=int, default=1000, help="how many customers bought them (%(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="how many new events of either order, in turns (%(default)s)")
    given = parser.parse_args()
    given.sizes = [int(size) for size in given.sizes.split(",")]
    return given


class Payments:
    """Payments of orders, as the responder hands them to ingest()."""

    def __init__(self, cluster, db, customers):
        self._connection = cluster.connect(db, "bagelhook", autocommit=False)
        # A statement that is prepared at once, as the responder's is.
        self._connection.prepare_threshold = 0
        self._customers = customers
        self._numbers = itertools.count(1)
        path = TEMPLATES[0]
        normalised = subprocess.run([BUILD / "bench" / "normalise", path], capture_output=True, check=True, text=True).stdout[1:-1]
        self._delivery = normalised.replace("customer.ordernumber_", "customer.CUSTOMER").replace("1967143ORDERNUMBER_", "1967143CUSTOMER")
        self._body = path.read_bytes()

    def _normalised(self, order, minute):
        number = next(self._numbers)
        moment = (BEGIN + datetime.timedelta(minutes=minute)).isoformat(" ")
        return (self._delivery.replace("req_ORDERNUMBER_", order).replace("CUSTOMER", f"{number % self._customers:012}")
                .replace("ORDERNUMBER_", f"{number:012}").replace("EVENTNUMBER_", f"{number:012}").replace(TEMPLATE_TIME, moment))

    def commit(self, order, *minutes):
        """One payment of the order for each minute, in one transaction; returns how long that took, in ms."""
        deliveries = f"[{','.join(self._normalised(order, minute) for minute in minutes)}]"
        started = time.perf_counter()
        outcomes = self._connection.execute("SELECT outcome FROM bagelpay.ingest(%s, %s)",
                                            (deliveries, [self._body] * len(minutes))).fetchall()
        self._connection.commit()
        if outcomes != [("applied",)] * len(minutes):
            raise harness.HarnessError(f"{order}: {outcomes}")
        return 1000 * (time.perf_counter() - started)

    def close(self):
        self._connection.close()


def measure(cluster, size, given):
    """Fills an order; returns the medians of new events of it and of new orders, in ms, and what a late one took."""
    db = cluster.create_database()
    payments = Payments(cluster, db, given.customers)
    try:
        started = time.monotonic()
        for first in range(0, size, BATCH):
            payments.commit("large", *range(first, min(first + BATCH, size)))
        with cluster.connect(db) as connection:
            # Or autovacuum would do it while something is measured.
            connection.execute("VACUUM (ANALYZE)")
            connection.execute("CHECKPOINT")
        say(f"an order of {size} purchases in {time.monotonic() - started:.0f} s")
        large, new = [], []
        for number in range(given.rounds):
            new.append(payments.commit(f"new_{number}", size + number))
            large.append(payments.commit("large", size + number))
        late = payments.commit("large", -1)
    finally:
        payments.close()
    cluster.drop_database(db)
    return statistics.median(new), statistics.median(large), late


def main():
    given = arguments()
    harness.end_on_sigterm()
    print("| purchases | newest event, p50 ms | of a new order, p50 ms | times | late event, s | µs a purchase |\n|---:|---:|---:|---:|---:|---:|")
    with harness.Cluster(**SETTINGS) as cluster:
        for size in given.sizes:
            new, large, late = measure(cluster, size, given)
            print(f"| {size:,} | {large:.2f} | {new:.2f} | {large / new:.2f} | {late / 1000:.2f} | {1000 * late / size:.0f} |", flush=True)
    print(f"\nMedians of {given.rounds}, of {given.customers} customers; {machine()}.")


if __name__ == "__main__":
    main()
