"""Several sessions on one database: no deadlock, no lost row, no change unseen."""

import os
import random
import threading

import direct
import psycopg

from world import REFUSALS

TYPES = ("subscription.paid", "checkout.completed", "refund.created", "checkout.failed", "subscription.canceled")


def many(count, orders, prefix):
    """Events of a few orders, so that sessions meet; several of one moment. Some have no key and are linked to an order, perhaps later."""
    chance = random.Random(f"{count} {prefix}")
    events = []
    for i in range(count):
        payment = chance.randrange(orders * 3)
        # Half of the payments belong to one order each, so that events without a key find it.
        order = payment % orders if payment % 2 else chance.randrange(orders)
        has_key = chance.random() < 0.8
        events.append(direct.event(
            f"{prefix}e{i:05}", chance.choice(TYPES), f"2025-01-{chance.randint(1, 28):02} 00:00:00+00", f"{prefix}o{order}" if has_key else None,
            payment_id=f"{prefix}ch{payment}", provider_order_id=chance.choice((None, f"{prefix}ORD{payment}")), amount="10",
            # Without it no event has a key of its customer, which all would share.
            customer_id="c1" if has_key else None))
    return events


def try_to(connection, function, *arguments):
    """Calls a decision; returns whether it was made. One that names what is not there yet is refused."""
    try:
        connection.execute(f"SELECT bagelpay.{function}({', '.join(['%s'] * len(arguments))})", arguments)
        return True
    except psycopg.Error as error:
        if error.sqlstate not in REFUSALS:
            raise
        return False


def in_threads(*tasks):
    """Runs the tasks at once; raises what the first of them raised."""
    errors = []

    def run(task):
        try:
            task()
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def deadlocks(world):
    with world.cluster.connect(world.database) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        return connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()[0]


# With all arrivals 10,000.
MEETING = 10_000 if os.environ.get("BAGELHOOK_ARRIVALS") == "all" else 1_000


def test_opposite_orders(world):
    """Two sessions with the same events in opposite orders, and some of it decided on meanwhile."""
    world.forget()
    world.set()
    before = deadlocks(world)
    events = many(MEETING, 80, "opp")

    def ingest(some):
        with world.cluster.connect(world.database) as connection:
            for at in range(0, len(some), 50):
                outcomes = direct.ingest(connection, some[at:at + 50])
                assert set(outcomes) <= {"applied", "duplicate"}

    decisions = []

    def decide():
        with world.cluster.connect(world.database) as connection:
            for i in range(200):
                decisions.append(try_to(connection, "grant", f"oppo{i % 40}"))
                connection.execute("SELECT bagelpay.rebuild(%s)", (f"oppo{(i * 7) % 40}",))

    in_threads(lambda: ingest(events), lambda: ingest(events[::-1]), decide)
    with world.cluster.connect(world.database) as connection:
        assert connection.execute(
            "SELECT count(*), sum(deliveries) FROM bagelpay.events WHERE event_id NOT LIKE 'operator:%'").fetchone() == (MEETING, 2 * MEETING)
        assert connection.execute("SELECT count(*) FROM bagelpay.event_bodies").fetchone() == (MEETING,)
        assert connection.execute("SELECT count(*) FROM bagelpay.events WHERE event_id LIKE 'operator:%'").fetchone() == (sum(decisions),)
        assert connection.execute("SELECT bagelpay.rebuild()").fetchone() == (0,)
    assert deadlocks(world) == before


def test_every_change_is_seen(world):
    """Eight writers whose transactions overlap, and a reader that follows with changes_since."""
    world.forget()
    world.set()
    writers, rounds = 8, 60
    finished = threading.Event()
    # The last change of an order that the reader was shown.
    seen = {}

    def write(number):
        chance = random.Random(number)
        with world.cluster.connect(world.database, autocommit=False) as connection:
            for i in range(rounds):
                for k in range(chance.randint(1, 3)):
                    # Some come before what they are linked by, and move to its order then.
                    order = f"w{number}o{chance.randrange(5)}" if chance.random() < 0.8 else None
                    direct.ingest(connection, [direct.event(f"w{number}r{i}k{k}", "subscription.paid", "2025-01-01 00:00:00+00",
                                                            order, payment_id=f"w{number}p{i // 3}", customer_id="c1" if order else None)])
                # Some hold their transaction open while others begin and end theirs.
                connection.execute("SELECT pg_sleep(%s)", (chance.choice((0, 0, 0.02)),))
                if chance.random() < 0.1:
                    connection.rollback()
                else:
                    connection.commit()

    def follow():
        cursor = ""
        with world.cluster.connect(world.database) as connection:
            while True:
                last = finished.is_set()
                rows = connection.execute("SELECT * FROM bagelpay.changes_since(%s)", (cursor,)).fetchall()
                # Now and then the reader dies in the middle, and goes on from what it has stored.
                for row in rows[:len(rows) // 2 or 1] if len(rows) > 3 and not last else rows:
                    cursor = row[0]
                    if row[2] is None:
                        continue
                    count = connection.execute("SELECT count(*) FROM bagelpay.events WHERE order_id = %s", (row[2],)).fetchone()[0]
                    seen[row[2]] = count
                if last and not rows:
                    return

    reader = threading.Thread(target=follow)
    reader.start()
    try:
        in_threads(*(lambda number=number: write(number) for number in range(writers)))
    finally:
        finished.set()
        reader.join()
    with world.cluster.connect(world.database) as connection:
        there = dict(connection.execute("SELECT order_id, count(*) FROM bagelpay.events GROUP BY order_id").fetchall())
    # A change that was skipped would have left the reader with an older count.
    assert {order: count for order, count in seen.items() if count} == there


def test_rebuild_beside_responders(world):
    """rebuild() of everything, again and again, beside two sessions that ingest what is partly there already."""
    world.forget()
    before = deadlocks(world)
    events = many(MEETING // 4, 20, "reb")
    done = threading.Event()

    def ingest(some):
        with world.cluster.connect(world.database) as connection:
            for at in range(0, len(some), 20):
                direct.ingest(connection, some[at:at + 20])

    def both():
        try:
            in_threads(lambda: ingest(events), lambda: ingest(events[::-1]))
        finally:
            done.set()

    def rebuild():
        with world.cluster.connect(world.database) as connection:
            while not done.is_set():
                assert connection.execute("SELECT bagelpay.rebuild()").fetchone() == (0,)

    in_threads(both, rebuild)
    assert deadlocks(world) == before


def until_waiting(watcher, connection, thread):
    """Waits until the session of a thread waits for a lock."""
    while watcher.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = %s", (connection.info.backend_pid,)).fetchone() == (0,):
        assert thread.is_alive()


def test_late_event_meets_redelivery(world):
    """A late event changes what is stored of an event that comes again at the same moment, with a new one: no deadlock."""
    world.forget()
    world.set()
    before = deadlocks(world)

    def event(number, kind, hour):
        return direct.event(f"l{number}", kind, f"2025-01-01 {hour:02}:00:00+00", "lateo", payment_id=f"ch{number}")

    stored = [event(1, "checkout.failed", 10), event(2, "checkout.failed", 11)]
    with world.cluster.connect(world.database) as one, world.cluster.connect(world.database) as other, \
            world.cluster.connect(world.database, autocommit=False) as holder, world.cluster.connect(world.database) as watcher:
        direct.ingest(one, stored)
        holder.execute("SELECT FROM bagelpay.events WHERE event_id = 'l2' FOR UPDATE")
        again = threading.Thread(target=direct.ingest, args=(one, [*stored, event(3, "checkout.failed", 12)]))
        again.start()
        until_waiting(watcher, one, again)
        late = threading.Thread(target=direct.ingest, args=(other, [event(4, "checkout.completed", 9)]))
        late.start()
        until_waiting(watcher, other, late)
        # Whoever forgets waits for neither.
        assert watcher.execute("SELECT events FROM bagelpay.forget('0')").fetchone() == (0,)
        holder.commit()
        again.join()
        late.join()
        assert watcher.execute("SELECT event_id, (effect).order_status FROM bagelpay.events ORDER BY event_id").fetchall() == [
            ("l1", "paid"), ("l2", "paid"), ("l3", "paid"), ("l4", "paid")]
        assert watcher.execute("SELECT sum(deliveries) FROM bagelpay.events").fetchone() == (6,)
        assert watcher.execute("SELECT events FROM bagelpay.forget('0')").fetchone() == (4,)
    assert deadlocks(world) == before


def test_one_notification_a_transaction(world):
    """NOTIFY says that it is time to look: once a transaction, without payload, and not for what changes nothing."""
    world.forget()
    with world.cluster.connect(world.database) as listener, world.cluster.connect(world.database) as connection:
        listener.execute("LISTEN bagelpay_orders")
        direct.ingest(connection, many(50, 5, "not"))
        direct.ingest(connection, many(50, 5, "not"))
        direct.ingest(connection, [direct.event("notx", "unheard.of", "2025-01-01 00:00:00+00", "noto1")])
        connection.execute("SELECT bagelpay.revoke('noto1')")
        # A change of its own ends the wait.
        connection.execute("NOTIFY bagelpay_orders, 'end'")
        heard = []
        for notification in listener.notifies():
            heard.append(notification.payload)
            if notification.payload == "end":
                break
    assert heard == ["", "", "end"]


def test_settings_change_beside_responders(world):
    """An event that arrives while a setting changes and is applied is read with the new one."""
    world.forget()
    world.set()
    late = direct.event("late", "checkout.completed", None, "OLD", payment_id="ch", created_at_raw="2025-07-01 00:00:00",
                        local_times={"occurred_at": "2025-07-01 00:00:00"})
    late["metadata"]["orderId"] = "NEW"
    with world.cluster.connect(world.database, autocommit=False) as operator, \
            world.cluster.connect(world.database) as responder, world.cluster.connect(world.database) as watcher:
        operator.execute("UPDATE bagelpay.settings SET order_key = '{metadata.orderId}', provider_timezone = 'Asia/Shanghai'")
        assert operator.execute("SELECT bagelpay.rekey(), bagelpay.rebuild()").fetchone() == (0, 0)
        arriving = threading.Thread(target=direct.ingest, args=(responder, [late]))
        arriving.start()
        until_waiting(watcher, responder, arriving)
        operator.commit()
        arriving.join()
        stored = watcher.execute("SELECT order_id, occurred_at::text FROM bagelpay.events").fetchall()
        assert stored == [("NEW", "2025-06-30 16:00:00+00")]
        assert watcher.execute("SELECT bagelpay.rekey(), bagelpay.rebuild()").fetchone() == (0, 0)
    world.set()


def test_rebuild_meets_redeliveries(world):
    """rebuild() of an order whose times change, while its events come again: no deadlock."""
    world.forget()
    world.set(provider_timezone="Asia/Shanghai")
    before = deadlocks(world)
    events = [direct.event(f"m{i}", "subscription.paid", None if i % 2 else f"2025-01-{i + 1:02} 00:00:00+00", "meet", payment_id=f"ch{i}",
                           local_times={"occurred_at": f"2025-01-{i + 1:02} 00:00:00"} if i % 2 else None) for i in range(20)]
    with world.cluster.connect(world.database) as connection:
        direct.ingest(connection, events)
    done = threading.Event()

    def redeliver():
        with world.cluster.connect(world.database) as connection:
            while not done.is_set():
                assert set(direct.ingest(connection, events)) == {"duplicate"}

    def rebuild():
        try:
            with world.cluster.connect(world.database) as connection:
                for i in range(60):
                    zone = ("UTC", "Asia/Shanghai")[i % 2]
                    connection.execute("UPDATE bagelpay.settings SET provider_timezone = %s", (zone,))
                    assert connection.execute("SELECT bagelpay.rebuild('meet')").fetchone() == (1,)
        finally:
            done.set()

    in_threads(rebuild, redeliver, redeliver)
    assert deadlocks(world) == before
    world.set()
