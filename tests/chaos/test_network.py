"""What lies between responder and database: networks that hang, standbys that take over, poolers that restart."""

import time

import pytest

import harness

from load import Load
from proxy import Proxy


@pytest.fixture(scope="module")
def reachable():
    """A cluster on a loopback port, for what goes over TCP."""
    with harness.Cluster(listen_addresses="127.0.0.1", port=harness.free_port()) as cluster:
        yield cluster


def test_half_open(make_stand, reachable, chance, rounds, totals):
    """Connections that are open and dead. Requests are answered by their deadline, and when the network is back, so is
    the responder."""
    with Proxy(reachable.port) as proxy:
        stand = make_stand("--commit-timeout", 1, cluster=reachable,
                           dsn=lambda cluster, db: f"host=127.0.0.1 port={proxy.port} user=bagelhook dbname={db}")
        for _ in range(rounds):
            with Load(stand) as load:
                load.wait_for(chance.randint(1, 20))
                proxy.freeze()
                started = time.monotonic()
                load.wait_for(30, lambda entry: entry.spooled)
                assert time.monotonic() - started < 30
                proxy.thaw()
                load.wait_for(5)
        stand.settle(totals)


def test_host_that_is_not_there(make_stand, reachable, chance, totals):
    """The first host of several accepts and says nothing: the second is found nevertheless."""
    with Proxy(reachable.port) as proxy:
        proxy.freeze()
        stand = make_stand(cluster=reachable, dsn=lambda cluster, db: (
            f"host=127.0.0.1,127.0.0.1 port={proxy.port},{cluster.port} user=bagelhook dbname={db}"))
        with Load(stand) as load:
            load.wait_for(20 + chance.randint(0, 5))
        stand.settle(totals)


def test_standby_takes_over(make_stand, chance, rounds, totals):
    """The primary dies, its synchronous standby is promoted, and the responder, which knows both, carries on."""
    for _ in range(max(1, rounds // 3)):
        with harness.Cluster(fsync="on", wal_level="replica") as primary:
            primary.create_database()  # the template and the roles, before the standby copies them
            with harness.Cluster(primary=primary, fsync="on") as standby:
                take_over(make_stand, chance, totals, primary, standby)


def take_over(make_stand, chance, totals, primary, standby):
    stand = make_stand(cluster=primary, dsn=lambda cluster, db: (
        f"host={standby.host},{primary.host} port=5432,5432 user=bagelhook dbname={db}"))
    with primary.connect() as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        connection.execute("SELECT pg_reload_conf()")
        harness.wait_until(lambda: connection.execute(
            "SELECT FROM pg_stat_replication WHERE sync_state = 'sync'").rowcount == 1, "the standby to be synchronous")
    with Load(stand) as load:
        load.wait_for(chance.randint(10, 60))
        primary.kill()
        load.wait_for(chance.randint(1, 10), lambda entry: entry.spooled)
        with standby.connect() as connection:
            connection.execute("SELECT pg_promote()")
        load.wait_for(20)
    stand.settle(totals, cluster=standby, kills=1)
    assert stand.responder.stop() == 0


def test_pooler_restarted(make_stand, chance, rounds, totals):
    """Through PgBouncer in transaction pooling, which dies and comes back under load."""
    with harness.Cluster(fsync="on") as cluster, harness.PgBouncer(cluster) as pooler:
        stand = make_stand(cluster=cluster, dsn=lambda cluster, db: pooler.dsn(db), responders=2)
        with Load(stand) as load:
            for number in range(rounds):
                load.wait_for(chance.randint(5, 40))
                if number % 2 == 0:
                    pooler.kill()
                else:
                    pooler.stop()
                load.wait_for(chance.randint(1, 5), lambda entry: entry.spooled)
                pooler.start()
            load.wait_for(20)
        stand.settle(totals, kills=rounds)
