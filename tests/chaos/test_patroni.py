"""Clusters of Patroni's, with the files of contrib/patroni: machines, leaders and etcd that die under load, while one
responder reaches the database by all its hosts and another one through HAProxy.

docs/high-availability.md shows the table that these tests print.
"""

import contextlib
import time

import psycopg
import pytest

import harness
from harness.patroni import PATIENCE_S

from load import Load

# Seconds of patroni.yml, and of the responder's --commit-timeout.
TTL, COMMIT_TIMEOUT = 30, 15
# Enough for the reference to follow, and to see gaps of a tenth of a second.
PACE = {"deliverers": 3, "pace": 0.1}


class Site:
    """A cluster with HAProxy, a responder for each way to it, and the load on both, while something happens."""

    def __init__(self, make_stand, patroni, balancer, *arguments):
        self.patroni = patroni
        environment = patroni.environment()
        self.stand = make_stand(*arguments, cluster=patroni, dsn=lambda *_: "service=bagelhook", environment=environment)
        self.stand.add_responder(f"host=127.0.0.1 port={balancer.primary_port} dbname=shop user=bagelhook",
                                 environment=environment)
        self._loads = [Load(self.stand, urls=[url], **PACE) for url in self.stand.urls]

    @contextlib.contextmanager
    def load(self):
        """Load on both ways, which first gets 200s on both."""
        self.patroni.wait_healthy()
        with contextlib.ExitStack() as running:
            for load in self._loads:
                running.enter_context(load)
            self.wait_for(20)
            self.since = time.monotonic()
            yield

    def wait_for(self, more, wanted=lambda entry: entry.status == 200):
        """Until there are so many more answers of a kind on each way."""
        for load in self._loads:
            load.wait_for(more, wanted, PATIENCE_S)

    def gaps(self):
        """The longest times between two 200s since the load began, in seconds, one for each way."""
        return [self.stand.ledger.longest_gap(url, self.since) for url in self.stand.urls]


@contextlib.contextmanager
def killed(*victims, how="kill"):
    """Within the block these are dead; afterwards they are started again."""
    for victim in victims:
        getattr(victim, how)()
    try:
        yield
    finally:
        for victim in victims:
            victim.start()


@pytest.fixture(scope="module")
def three():
    """Three machines, each with a member of etcd, exactly as in contrib/patroni."""
    with harness.Patroni() as patroni:
        patroni.create_database()
        with harness.Balancer(patroni) as balancer:
            yield patroni, balancer


@pytest.fixture
def site(make_stand, three):
    return Site(make_stand, *three)


@pytest.fixture
def settle(totals, gap_rows):
    """settle(what, site, kills) checks the ledger, notes the gaps, and returns them."""
    def check(what, site, kills=1, gap=None):
        """gap: what to note in place of the times, which then are the test's own."""
        gaps = site.gaps()
        found = site.stand.settle(totals, kills=kills)
        spooled = sum(count for name, count in found.items() if name.startswith("answer 503"))
        gap_rows.append([what, *(gap or f"{one:.1f}" for one in gaps), str(found["answer 200"]), str(spooled),
                         str(found["lost"])])
        return gaps

    return check


def test_two_machines(make_stand, settle, monkeypatch):
    """The short form, with two machines and shorter times: the leader's Patroni dies, and PostgreSQL there goes on. Later
    it comes back, and follows. Questions find a standby, and without one the leader."""
    timing = {"ttl: 30": "ttl: 12", "loop_wait: 10": "loop_wait: 1", "retry_timeout: 10": "retry_timeout: 5"}
    with harness.Patroni(members=2, etcd_members=1, timing=timing) as patroni, harness.Balancer(patroni) as balancer:
        site = Site(make_stand, patroni, balancer, "--commit-timeout", 5)
        for name, value in patroni.environment().items():
            monkeypatch.setenv(name, str(value))
        with site.load():
            wait_asked(balancer, standby=True)
            leader = patroni.primary()
            with killed(leader, how="kill_patroni"):
                patroni.wait_primary(besides=leader)
                site.wait_for(20)
                assert still_writes(patroni, leader)
                wait_asked(balancer, standby=False)
            patroni.wait_healthy()
        settle("two machines", site)


def wait_asked(balancer, standby):
    """Until questions are answered by a standby, or by the leader, through HAProxy."""
    dsn = f"host=127.0.0.1 port={balancer.replica_port} dbname=shop user=bagelhook connect_timeout=5"

    def asked():
        try:
            with psycopg.connect(dsn) as connection:
                return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (standby,)
        except psycopg.OperationalError:
            return False

    harness.wait_until(asked, f"an answer from {dsn}", PATIENCE_S)


def still_writes(patroni, member):
    """Whether a member's PostgreSQL says that it takes writes, though it is not the leader any more."""
    with psycopg.connect(f"host={member.address} port={patroni.port} user=postgres dbname=postgres"
                         f" password={patroni.passwords['SUPERUSER']}", autocommit=True) as connection:
        return connection.execute("SHOW transaction_read_only").fetchone() == ("off",)


@pytest.mark.long
def test_machine_of_the_leader(site, settle):
    """All that runs on the leader's machine dies."""
    with site.load():
        leader = site.patroni.primary()
        with killed(leader):
            site.patroni.wait_primary(besides=leader)
            site.wait_for(20)
        site.patroni.wait_healthy()
    gaps = settle("the leader's machine dies", site)
    assert max(gaps) < TTL + COMMIT_TIMEOUT + 15


@pytest.mark.long
def test_switchover(site, settle):
    """An operator hands the cluster over."""
    with site.load():
        leader = site.patroni.primary()
        site.patroni.switch_over()
        site.patroni.wait_primary(besides=leader)
        site.wait_for(20)
        site.patroni.wait_healthy()
    settle("switchover", site, kills=0)


@pytest.mark.long
def test_postgres_of_the_leader(site, settle):
    """PostgreSQL dies on the leader, and Patroni there lives."""
    with site.load():
        leader = site.patroni.primary()
        leader.kill_postgres()
        site.patroni.wait_primary(besides=leader)
        site.wait_for(20)
        site.patroni.wait_healthy()
    settle("the leader's PostgreSQL dies", site)


@pytest.mark.long
def test_patroni_of_the_leader(site, settle):
    """Patroni dies on the leader, and PostgreSQL there goes on: it still says that it takes writes, when there is another
    leader. It does not hold the responder."""
    with site.load():
        leader = site.patroni.primary()
        with killed(leader, how="kill_patroni"):
            site.patroni.wait_primary(besides=leader)
            site.wait_for(20)
            assert still_writes(site.patroni, leader)
        site.patroni.wait_healthy()
    gaps = settle("the leader's Patroni dies", site)
    assert max(gaps) < TTL + COMMIT_TIMEOUT + 15


@pytest.mark.long
def test_frozen_leader(site, settle):
    """The leader's machine stands still, longer than its ttl, and then goes on as if nothing had been."""
    with site.load():
        leader = site.patroni.primary()
        with leader.frozen():
            site.patroni.wait_primary(besides=leader)
            site.wait_for(20)
        site.patroni.wait_healthy()
        site.wait_for(20)
    gaps = settle("the leader's machine is frozen", site)
    assert max(gaps) < TTL + COMMIT_TIMEOUT + 15


@pytest.mark.long
def test_standby(site, settle):
    """The synchronous standby dies, and the other one takes its place."""
    with site.load():
        with killed(site.patroni.synchronous()):
            site.wait_for(20)
        site.patroni.wait_healthy()
    settle("the synchronous standby dies", site)


def standbys(patroni):
    leader = patroni.primary()
    return [one for one in patroni.members if one is not leader]


@pytest.mark.long
def test_both_standbys(site, settle):
    """Without any standby the leader goes on alone."""
    with site.load():
        with killed(*standbys(site.patroni)):
            site.wait_for(20)
        site.patroni.wait_healthy()
    settle("both standbys die", site, kills=2)


@pytest.mark.long
def test_both_standbys_strict(site, settle):
    """In strict mode nothing is committed without a standby, and all is spooled."""
    site.patroni.configure(synchronous_mode_strict=True)
    try:
        with site.load():
            with killed(*standbys(site.patroni)):
                # Each of them waits for --commit-timeout.
                site.wait_for(5, lambda entry: entry.spooled)
                before = site.stand.ledger.count(lambda entry: entry.status == 200)
                site.wait_for(5, lambda entry: entry.spooled)
                assert site.stand.ledger.count(lambda entry: entry.status == 200) == before
            site.wait_for(20)
            site.patroni.wait_healthy()
        settle("both standbys die, in strict mode", site, kills=2, gap="until one is back")
    finally:
        site.patroni.configure(synchronous_mode_strict=False)


@pytest.mark.long
def test_rolling_restart(site, settle):
    """One machine after the other is stopped and started, as for an upgrade; the leader's hands over before it stops."""
    with site.load():
        for one in [*standbys(site.patroni), site.patroni.primary()]:
            one.stop()
            site.wait_for(20)
            one.start()
            site.patroni.wait_healthy()
    settle("rolling restart of all machines", site, kills=0)


def is_failsafe(member):
    """Whether a leader goes on without etcd, because it reaches all members."""
    return member.ask("/patroni").json.get("failsafe_mode_is_active", False)


@pytest.mark.long
@pytest.mark.parametrize("count", (1, 2))
def test_etcd(site, settle, chance, count):
    """Members of etcd die. Without two of three there is no election, but the leader reaches all members, and stays."""
    with site.load():
        leader = site.patroni.primary()
        with killed(*chance.sample(site.patroni.etcd, count)):
            died = time.time()
            if count == 1:
                harness.wait_until(lambda: leader.ask("/patroni").json["dcs_last_seen"] > died + TTL, "Patroni's rounds",
                                   PATIENCE_S)
            else:
                harness.wait_until(lambda: is_failsafe(leader) and time.time() > died + 2 * TTL,
                                   "the leader to outlive its key", PATIENCE_S)
            site.wait_for(20)
            assert site.patroni.primary() is leader
        harness.wait_until(lambda: not is_failsafe(leader), "etcd to be back", PATIENCE_S)
        site.patroni.wait_healthy()
    settle(f"{count} of 3 etcd die", site, kills=count)


@pytest.mark.long
def test_asynchronous_mode_loses(site, gap_rows):
    """Why contrib/patroni has synchronous mode: without it, a leader whose Patroni died goes on answering 200, and what it
    took is gone when it follows the new leader. The ledger notices."""
    site.patroni.wait_healthy()
    site.patroni.configure(synchronous_mode=False)
    try:
        harness.wait_until(lambda: site.patroni.synchronous() is None, "no standby to be synchronous", PATIENCE_S)
        stand, by_hosts = site.stand, site.stand.urls[0]
        with Load(stand, urls=[by_hosts], **PACE) as load:
            load.wait_for(20)
            leader = site.patroni.primary()
            with killed(leader, how="kill_patroni"):
                site.patroni.wait_primary(besides=leader)
                load.wait_for(50)
                assert still_writes(site.patroni, leader)
        harness.wait_until(lambda: leader.serves("/replica"), "the former leader to follow", PATIENCE_S)
        stand.wait_drained()
        with stand.connect() as connection:
            lost, _ = stand.ledger.find_lost(connection)
        assert len(lost) >= 50
        answered = stand.ledger.count(lambda entry: entry.status == 200)
        gap_rows.append(["without synchronous mode, the leader's Patroni dies", "", "", str(answered), "", str(len(lost))])
    finally:
        site.patroni.configure(synchronous_mode=True)
        site.patroni.wait_healthy()
