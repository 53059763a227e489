"""The programs of docs/copies.md: they keep a copy right, whatever happens to them and to their connections."""

import contextlib
import datetime
import hashlib
import json
import random
import signal
import time

import pytest

import harness
from examples import copy_database, create_role

COLUMNS = "order_id, product_id, customer_id, customer_email, user_id, entitled, reason, valid_until"


class Copy:
    """A database with events, a copy of its entitlements in another one, and the program that keeps it."""

    def __init__(self, cluster, examples, directory):
        self.cluster = cluster
        self.examples = examples
        self.db = cluster.create_database()
        self.copy_db = copy_database(cluster)
        self.log = directory / "keep.log"
        self.process = None
        self.number = 0
        create_role(cluster, "copier", "bagelpay_reader")

    def start(self):
        self.process = self.examples.keep_copy((self.cluster, "copier", self.db),
                                               (self.cluster, "postgres", self.copy_db), self.log)

    def kill(self):
        self.process.end(signal.SIGKILL)

    def query(self, statement, *parameters):
        with self.cluster.connect(self.db) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def pay(self, order, **fields):
        """A payment of an order, ingested as the responder does."""
        self.number += 1
        event = {"event_id": f"e{self.number}", "event_type": "subscription.paid", "mode": "live", "customer_id": f"c{order}",
                 "occurred_at": "2025-01-01 00:00:00+00", "product_id": "p1", "payment_id": f"p{self.number}",
                 "metadata": {"order_id": str(order)}, **fields}
        body = json.dumps(event).encode()
        event["digest"] = "\\x" + hashlib.sha256(body).hexdigest()
        self.query("SELECT bagelpay.ingest(%s, %s)", json.dumps([event]), [body])

    def source_rows(self):
        return self.query(f"SELECT {COLUMNS} FROM bagelpay.entitlements WHERE kind IS NOT NULL ORDER BY {COLUMNS}")

    def rows(self):
        with self.cluster.connect(self.copy_db) as connection:
            return connection.execute(f"SELECT {COLUMNS} FROM access ORDER BY {COLUMNS}").fetchall()

    def is_right(self):
        return self.rows() == self.source_rows()

    def wait(self, condition=None, what="the copy is right"):
        harness.wait_until(condition or self.is_right, what, timeout=30, process=self.process, log=self.log)

    def rounds(self):
        """The cursor and the clock of the copy, which move with each round."""
        with self.cluster.connect(self.copy_db) as connection:
            return connection.execute("SELECT cursor, clock FROM access_cursor").fetchone()


@pytest.fixture
def copy(cluster, examples, tmp_path):
    one = Copy(cluster, examples, tmp_path)
    with contextlib.ExitStack() as made:
        made.callback(lambda: print(one.log.read_text() if one.log.exists() else ""))
        made.callback(lambda: one.process is not None and one.kill())
        yield one
    for db in (one.db, one.copy_db):
        cluster.drop_database(db)


# Tests of the loop itself, which Python stands for; test_everything_at_once runs all of it in each language.
in_python = pytest.mark.parametrize("examples", ["python"], indirect=True)
in_each = pytest.mark.parametrize(
    "examples", ["python", *(pytest.param(name, marks=pytest.mark.long) for name in ("node", "php"))], indirect=True)


def in_seconds(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat(" ")


@in_python
def test_follows(copy):
    """It begins with what is there, and follows events, decisions, rebuild() and rekey()."""
    for order in range(50):
        copy.pay(order, billing_period_end="2999-01-01 00:00:00+00" if order % 2 else "2025-02-01 00:00:00+00")
    copy.pay("test", mode="test")
    copy.start()
    copy.wait()
    assert len(copy.rows()) == 50
    copy.pay(7, event_type="refund.created", payment_id="p8", refund_label="full")
    copy.pay(3, customer_id="another")
    copy.wait()
    assert len(copy.rows()) == 51
    copy.query("SELECT bagelpay.revoke('3')")
    copy.query("SELECT bagelpay.grant('gift', 'gus@example.com', 'p9')")
    copy.wait()
    assert ("gift", "p9", "granted", True) in [(row[0], row[1], row[6], row[5]) for row in copy.rows()]
    # All orders but the gift are one.
    copy.query("UPDATE bagelpay.settings SET order_key = '{metadata.nothing}'")
    copy.query("SELECT bagelpay.rekey()")
    copy.wait()
    assert "7" not in [row[0] for row in copy.rows()]


@in_python
def test_settings(copy):
    """Settings, products and expected orders change entitlements without an event."""
    for order in range(10):
        copy.pay(order, occurred_at=in_seconds(-40 * 86400))
    copy.start()
    copy.wait()
    assert not any(row[5] for row in copy.rows())
    copy.query("UPDATE bagelpay.settings SET default_period = '60 days'")
    copy.wait()
    assert all(row[5] for row in copy.rows())
    copy.query("INSERT INTO bagelpay.products (product_id, period) VALUES ('p1', '1 day')")
    copy.wait()
    assert not any(row[5] for row in copy.rows())
    copy.query("UPDATE bagelpay.products SET period = '90 days'")
    copy.query("UPDATE bagelpay.settings SET require_expected_order = TRUE")
    copy.wait()
    assert {row[6] for row in copy.rows()} == {"unconfirmed"}
    copy.query("SELECT bagelpay.expect_order('3', NULL, NULL, NULL, NULL)")
    copy.wait()
    assert [row[0] for row in copy.rows() if row[5]] == ["3"]


@in_each
def test_clock(copy):
    """Access ends on time, and begins on time, without an event and without a question."""
    copy.query("UPDATE bagelpay.settings SET grace = '0'")
    copy.start()
    end, begin = in_seconds(4), in_seconds(6)
    copy.pay("ends", occurred_at=in_seconds(-10), billing_period_end=end)
    copy.pay("begins", occurred_at=begin, billing_period_end="2999-01-01 00:00:00+00")
    copy.wait(lambda: [(row[0], row[5]) for row in copy.rows()] == [("begins", False), ("ends", True)], "access before the moments")
    copy.wait(lambda: dict((row[0], row[5]) for row in copy.rows()) == {"begins": True, "ends": False}, "access after the moments")
    assert datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(begin) < datetime.timedelta(seconds=3)
    copy.wait()


@in_python
def test_mode(copy):
    """The copy has the mode that its table names, and only this one."""
    with copy.cluster.connect(copy.copy_db) as connection:
        connection.execute("UPDATE access_cursor SET mode = 'test'")
    copy.pay("bought")
    copy.pay("tried", mode="test")
    copy.start()
    copy.wait(lambda: [row[0] for row in copy.rows()] == ["tried"], "the test purchase")


@in_python
def test_restart(copy):
    """Killed and started again, it continues where it was, without copying everything anew."""
    for order in range(20):
        copy.pay(order)
    copy.start()
    copy.wait()
    copy.kill()
    cursor, _ = copy.rounds()
    assert cursor != ""
    copy.pay(5, customer_id="other", billing_period_end="2999-01-01 00:00:00+00")
    copy.query("SELECT bagelpay.revoke('6')")
    # A row that only a complete copy would repair.
    with copy.cluster.connect(copy.copy_db) as connection:
        connection.execute("UPDATE access SET reason = 'mine' WHERE order_id = '9'")
    assert not copy.is_right()
    copy.start()
    copy.wait(lambda: [row for row in copy.rows() if row[0] != "9"] == [row for row in copy.source_rows() if row[0] != "9"],
              "what changed meanwhile")
    assert [row[6] for row in copy.rows() if row[0] == "9"] == ["mine"]


@in_each
@pytest.mark.parametrize("database", ["db", "copy_db"])
def test_lost_connection(copy, database):
    """It connects again if either server ends its session, and misses nothing that happened meanwhile."""
    copy.pay(1)
    copy.start()
    copy.wait()
    for order in range(2, 6):
        # It may be about to connect again.
        copy.wait(lambda: copy.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
                                     " AND backend_type = 'client backend'", getattr(copy, database)), "a session to end")
        copy.pay(order)
        copy.wait()
    assert "connects again" in copy.log.read_text()


@in_each
def test_refused_cursor(copy):
    """A cursor of another server: it begins again."""
    copy.pay(1)
    with copy.cluster.connect(copy.copy_db) as connection:
        connection.execute("UPDATE access_cursor SET cursor = '99999999999999999'")
    copy.start()
    copy.wait()
    log = copy.log.read_text()
    assert "begins again: " in log and "cursor: 99999999999999999 is not of this server" in log


@in_each
def test_everything_at_once(copy):
    """Events of many orders, decisions and settings, while it is killed again and again."""
    rng = random.Random(19)
    copy.start()
    began = time.monotonic()
    while time.monotonic() - began < 8:
        order = rng.randrange(30)
        copy.pay(order, billing_period_end=in_seconds(rng.choice([-86400 * 2, -86400 + 3, 86400])), occurred_at=in_seconds(-86400 * 40))
        if rng.random() < 0.1:
            copy.query("SELECT bagelpay.revoke(%s)", str(order))
        if rng.random() < 0.02:
            copy.query("UPDATE bagelpay.settings SET on_cancel = CASE on_cancel WHEN 'end_now' THEN 'keep_paid_time' ELSE 'end_now' END")
        if rng.random() < 0.05:
            copy.kill()
            copy.start()
    copy.wait()
    assert copy.rows()
