"""More than one responder, one server, one life of a database: nothing is lost between them."""

import contextlib
import json
import re
import subprocess
import threading

import psycopg
import pytest

import bodies
import harness

STATE = ("orders", "items", "subscriptions", "payments", "trials", "cancellations", "refunds", "expected_orders", "entitlements",
         "entitlements_test", "order_checks")

READER = harness.SOURCE / "contrib" / "reader"


def query(cluster, db, sql, *parameters):
    with cluster.connect(db) as connection:
        return connection.execute(sql, parameters or None).fetchall()


def everything(cluster, db):
    """All that readers see, as sorted texts."""
    return {name: query(cluster, db, f"SELECT t::text FROM bagelpay.{name} AS t ORDER BY 1") for name in STATE}


def feed(cluster, db):
    """What changes_since() has from its beginning: mode and order of each row."""
    return set(query(cluster, db, "SELECT mode, order_id FROM bagelpay.changes_since('')"))


def deliver_samples(stack):
    """The documented bodies, one of them again for a live order; what an application and operators say of it."""
    for name in bodies.NAMES:
        assert stack.deliver(bodies.documented(name)).status == 200
    live = bodies.payment("o1", mode="live", customer={"id": "c1", "email": "ann@example.com"})
    assert stack.deliver(live).status == 200
    stack.query("SELECT bagelpay.expect_order('o1', 'ann@example.com', 'prod_1', 10, 'usd')")
    stack.query("SELECT bagelpay.grant('o2', 'bob@example.com', 'prod_2')")
    return live


class Upstream(harness.Nginx):
    """nginx with the shipped configuration for two responders."""

    def __init__(self, *sockets):
        self.sockets = sockets
        super().__init__(sockets[0])

    def _configure(self):
        super()._configure()
        upstream = self.directory / "bagelhook-upstream.conf"
        text, count = re.subn(r"# (server unix:)/run/bagelhook/two\.sock", rf"\g<1>{self.sockets[1]}", upstream.read_text())
        assert count == 1
        upstream.write_text(text)


class Answers:
    """Deliveries of new events, from several threads, until the block ends; every answer is kept."""

    def __init__(self, url, secret, deliverers=8):
        self._url, self._secret = url, secret
        self._ending = threading.Event()
        self.found = []
        self._threads = [threading.Thread(target=self._go_on) for _ in range(deliverers)]

    def _go_on(self):
        while not self._ending.is_set():
            body = bodies.payment()
            try:
                status = harness.deliver(self._url, self._secret, body).status
            except OSError as error:
                status = repr(error)
            self.found.append((bodies.event_id(body), status))

    def wait_for(self, more):
        goal = len(self.found) + more
        harness.wait_until(lambda: len(self.found) >= goal, "answers")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        for thread in self._threads:
            thread.join()


def test_one_of_two_responders_is_killed(cluster):
    """Killed under load, twice each: all requests are answered 200, by the other one, and all events are there."""
    db = cluster.create_database()
    with contextlib.ExitStack() as made:
        secret = "whsec_two"
        pair = [made.enter_context(harness.Responder(cluster.dsn("bagelhook", db), secret=secret)) for _ in range(2)]
        nginx = made.enter_context(Upstream(*(one.socket_path for one in pair)))
        with Answers(nginx.url, secret) as answers:
            for one in pair * 2:
                answers.wait_for(100)
                one.kill()
                answers.wait_for(100)
                one.start()
            answers.wait_for(100)
        assert {status for _, status in answers.found} == {200}
        stored = {event_id for event_id, in query(cluster, db, "SELECT event_id FROM bagelpay.events")}
        assert {event_id for event_id, _ in answers.found} == stored
        for one in pair:
            assert one.stop() == 0
    cluster.drop_database(db)


@pytest.mark.long
def test_reading_from_a_standby(cluster, make_stack):
    """A hot standby says the same as the primary, for readers, and takes nothing."""
    stack = make_stack()
    with harness.Cluster(primary=cluster) as standby:
        deliver_samples(stack)
        (written,), = stack.query("SELECT pg_current_wal_lsn()")
        harness.wait_until(lambda: query(standby, stack.db, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", written) == [(True,)],
                           "the standby to follow")
        wanted = everything(cluster, stack.db)
        assert all(rows for name, rows in wanted.items() if name != "refunds")
        assert everything(standby, stack.db) == wanted
        for question in ("SELECT bagelpay.is_entitled('ann@example.com', 'prod_1'), bagelpay.is_entitled('bob@example.com', 'prod_1')",
                         "SELECT * FROM bagelpay.explain('o1')"):
            assert query(standby, stack.db, question) == query(cluster, stack.db, question)
        # The expected order is a change of anything.
        orders = {(None, None), *query(cluster, stack.db, "SELECT mode, order_id FROM bagelpay.orders")}
        # Once no older transaction of the primary's own is under way.
        harness.wait_until(lambda: feed(standby, stack.db) == orders, "all orders to be in the standby's feed")
        assert query(standby, stack.db, "SELECT bagelpay.is_entitled('ann@example.com', 'prod_1')") == [(True,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            query(standby, stack.db, "SELECT bagelpay.grant('o3', 'ann@example.com', 'prod_1')")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            query(standby, stack.db, "SELECT bagelpay.forget('0')")


def run(cluster, program, *arguments):
    done = subprocess.run([cluster.bin / program, *arguments], env=harness.clean_environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.long
def test_backup_is_restored(make_stack):
    """pg_dump into another server: the same rows, a responder goes on with them, and readers of the feed begin again."""
    stack = make_stack()
    # Transactions that the other server has not had.
    with stack.connect() as connection:
        for _ in range(3000):
            connection.execute("SELECT pg_current_xact_id()")
    live = deliver_samples(stack)
    assert stack.deliver(b"{}").status == 400
    cursor, *_ = stack.query("SELECT cursor FROM bagelpay.changes_since('') ORDER BY cursor::bigint DESC LIMIT 1")[0]

    roles = run(stack.cluster, "pg_dumpall", "--roles-only", "--dbname", stack.cluster.dsn())
    dump = run(stack.cluster, "pg_dump", "--format=custom", stack.cluster.dsn(db=stack.db))
    with harness.Cluster(migrated=False) as other:
        (other.directory / "roles").write_bytes(roles)
        (other.directory / "dump").write_bytes(dump)
        # The role postgres is there already.
        subprocess.run([other.bin / "psql", "--no-psqlrc", "--quiet", "--file", other.directory / "roles", other.dsn()],
                       env=harness.clean_environment(), stderr=subprocess.DEVNULL, check=True)
        db = other.create_database(migrated=False)
        run(other, "pg_restore", "--exit-on-error", "--dbname", other.dsn(db=db), other.directory / "dump")

        assert everything(other, db) == everything(stack.cluster, stack.db)
        for table in ("events", "event_bodies", "dead_letters", "settings"):
            rows = f"SELECT t::text FROM bagelpay.{table} AS t ORDER BY 1"
            assert query(other, db, rows) == query(stack.cluster, stack.db, rows)
        assert query(other, db, "SELECT bagelpay.rebuild()") == [(0,)]

        with harness.Responder(other.dsn("bagelhook", db), secret=stack.secret) as responder, harness.Nginx(responder.socket_path) as nginx:
            again = harness.deliver(nginx.url, stack.secret, live)
            assert (again.status, again.json["outcome"]) == (200, "duplicate")
            fresh = json.loads(live)
            fresh["event_id"] = "after"
            fresh["object"]["payment_id"] = "after"
            answer = harness.deliver(nginx.url, stack.secret, fresh)
            assert (answer.status, answer.json["outcome"]) == (200, "applied")
            assert responder.stop() == 0
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="not of this server"):
            query(other, db, "SELECT * FROM bagelpay.changes_since(%s)", cursor)
        orders = set(query(other, db, "SELECT mode, order_id FROM bagelpay.orders"))
        # Once no older transaction of the server's own is under way.
        harness.wait_until(lambda: feed(other, db) - {(None, None)} == orders, "all orders to be in the feed")


def follow(reader, primary, db, reader_db):
    """Runs the script for readers."""
    run(reader, "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--set=primary={primary.dsn('replica', db)}",
        f"--file={READER / 'subscription.sql'}", reader.dsn(db=reader_db))


def drop_subscription(reader, reader_db):
    with reader.connect(reader_db) as connection:
        connection.execute("DROP SUBSCRIPTION bagelpay_reader")


@pytest.mark.long
def test_reading_from_a_reader(background):
    """A reader database has the same state and gives the same answers, but has no bodies; it can be made anew."""
    with harness.Cluster(wal_level="logical") as primary, harness.Cluster() as reader, contextlib.ExitStack() as owned:
        stack = owned.enter_context(harness.Stack(primary))
        reader_db = reader.create_database()
        run(primary, "psql", "--no-psqlrc", "--quiet", f"--file={READER / 'publication.sql'}", primary.dsn(db=stack.db))
        stack.query("CREATE ROLE replica LOGIN REPLICATION IN ROLE bagelpay_reader")
        stack.query("INSERT INTO bagelpay.products (product_id) VALUES ('prod_1')")
        stack.query("INSERT INTO bagelpay.product_features (product_id, feature) VALUES ('prod_1', 'export')")
        deliver_samples(stack)

        def is_same():
            return everything(reader, reader_db) == everything(primary, stack.db)

        def may_ask():
            return query(reader, reader_db, "SELECT has_schema_privilege('bagelpay_reader', 'bagelpay', 'usage')") == [(True,)]

        # While one of the tables cannot be copied yet, nobody may ask.
        stack.query("REVOKE SELECT ON bagelpay_internal.decisions FROM bagelpay_reader")
        following = background(follow, reader, primary, stack.db, reader_db)
        harness.wait_until(lambda: query(reader, reader_db, "SELECT count(*) FROM bagelpay_internal.stored_items") != [(0,)], "some tables")
        assert not may_ask() and not following.done()
        stack.query("GRANT SELECT ON bagelpay_internal.decisions TO bagelpay_reader")
        following.result(harness.PATIENCE_S)
        # All of it is there when the script returns.
        assert is_same() and may_ask()
        assert everything(reader, reader_db)["entitlements"]
        for number in range(30):
            assert stack.deliver(bodies.payment(f"more{number}", mode="live", customer={"id": f"c{number}", "email": f"c{number}@example.com"})).status == 200
        stack.query("SELECT bagelpay.revoke('more7')")
        stack.query("UPDATE bagelpay.settings SET grace = '3 days'")
        stack.query("SELECT bagelpay.rebuild()")
        harness.wait_until(is_same, "what came later")
        for question in ("SELECT bagelpay.is_entitled('c3', 'prod_1'), bagelpay.is_entitled('c7', 'prod_1')",
                         "SELECT bagelpay.has_feature('c3@example.com', 'export')", "SELECT bagelpay.entitlement('c3', 'prod_1')",
                         "SELECT grace FROM bagelpay.settings"):
            assert query(reader, reader_db, question) == query(primary, stack.db, question)
        assert query(reader, reader_db, "SELECT bagelpay.is_entitled('c3', 'prod_1'), bagelpay.is_entitled('c7', 'prod_1')") == [(True, False)]
        assert query(reader, reader_db, "SELECT count(*) FROM bagelpay.event_bodies") == [(0,)]
        # As after a migration of both.
        drop_subscription(reader, reader_db)
        run(primary, "psql", "--no-psqlrc", "--quiet", f"--file={READER / 'publication.sql'}", primary.dsn(db=stack.db))
        follow(reader, primary, stack.db, reader_db)
        assert is_same()
        drop_subscription(reader, reader_db)
