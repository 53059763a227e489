"""The Sqitch project: it deploys, reverts and deploys again, keeps stored events, and is plain SQL."""

import os
import re
import subprocess

import psycopg
import pytest

import harness

SQL = harness.SOURCE / "sql"


def objects(cluster, database):
    """All that a database has in the two schemas, as sorted texts."""
    with cluster.connect(db=database) as connection:
        return connection.execute("""
            WITH schemas AS (SELECT n.* FROM pg_namespace AS n WHERE n.nspname IN ('bagelpay', 'bagelpay_internal'))
            SELECT 'schema', n.nspname::text, n.nspowner::regrole::text, n.nspacl::text FROM schemas AS n
            UNION ALL SELECT 'relation', c.oid::regclass::text, coalesce(pg_get_viewdef(c.oid), ''), c.relacl::text
            FROM pg_class AS c JOIN schemas AS n ON n.oid = c.relnamespace
            UNION ALL SELECT 'function', f.oid::regprocedure::text, md5(pg_get_functiondef(f.oid)), f.proacl::text
            FROM pg_proc AS f JOIN schemas AS n ON n.oid = f.pronamespace
            UNION ALL SELECT 'column', a.attrelid::regclass::text || '.' || a.attname, format_type(a.atttypid, a.atttypmod), a.attacl::text
            FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN schemas AS n ON n.oid = c.relnamespace
            WHERE a.attnum > 0
            UNION ALL SELECT 'type', t.oid::regtype::text, t.typtype::text, ''
            FROM pg_type AS t JOIN schemas AS n ON n.oid = t.typnamespace
            UNION ALL SELECT 'trigger', t.tgname, pg_get_triggerdef(t.oid), ''
            FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN schemas AS n ON n.oid = c.relnamespace
            WHERE NOT t.tgisinternal
            ORDER BY 1, 2, 3""").fetchall()


def changes():
    """The names of the changes, in the order of the plan."""
    return re.findall(r"^(\w+) ", (SQL / "sqitch.plan").read_text(encoding="utf-8"), re.MULTILINE)


def psql(cluster, database, script, **more):
    """Runs one of the scripts as an operator without Sqitch would."""
    subprocess.run(["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file", SQL / script, cluster.dsn(db=database)],
                   env=harness.clean_environment(**more), stdout=subprocess.DEVNULL, check=True)


def has_schema(cluster, database):
    with cluster.connect(db=database) as connection:
        return connection.execute("SELECT num_nonnulls(to_regnamespace('bagelpay'), to_regnamespace('bagelpay_internal')) > 0").fetchone()[0]


@pytest.mark.long
def test_revert_and_deploy_again(cluster):
    """A revert drops stored events only with the setting for it, and keeps roles that have members."""
    database = cluster.create_database()
    with cluster.connect(db=database) as connection:
        connection.execute("CREATE ROLE shop LOGIN IN ROLE bagelpay_reader")
        connection.execute("SELECT bagelpay.grant('o1', 'a@example.com', 'p1')")
        before = objects(cluster, database)
        assert len(before) > 100
        refused = cluster.sqitch("revert", database, "-y")
        assert refused.returncode != 0
        assert "1 stored events and dead letters would be lost" in refused.stdout
        assert "bagelpay.drop_events=yes" in refused.stdout
        # Nothing of it is gone, the first change to be reverted included.
        assert objects(cluster, database) == before
        assert connection.execute("SELECT entitled FROM bagelpay.entitlements").fetchall() == [(True,)]
    reverted = cluster.sqitch("revert", database, "-y", PGOPTIONS="-c bagelpay.drop_events=yes")
    assert reverted.returncode == 0, reverted.stdout
    assert not has_schema(cluster, database)
    again = cluster.sqitch("deploy", database)
    assert again.returncode == 0, again.stdout
    assert objects(cluster, database) == before
    assert cluster.sqitch("verify", database).returncode == 0
    with cluster.connect() as connection:
        assert connection.execute("SELECT pg_has_role('shop', 'bagelpay_reader', 'MEMBER')").fetchone() == (True,)
        assert connection.execute("SELECT pg_has_role('bagelhook', 'bagelpay_ingest', 'MEMBER')").fetchone() == (True,)
        connection.execute("DROP ROLE shop")
    # Without events nobody has to say so.
    assert cluster.sqitch("revert", database, "-y").returncode == 0
    cluster.drop_database(database)


def test_decisions_need_read_committed(cluster):
    """An older snapshot would not see what another session has just folded."""
    database = cluster.create_database()
    with cluster.connect(db=database) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(psycopg.errors.InvalidTransactionState, match="READ COMMITTED"):
            connection.execute("SELECT bagelpay.grant('o1', 'a@example.com', 'p1')")
    cluster.drop_database(database)


def test_deleting_an_event_deletes_its_bytes(cluster):
    database = cluster.create_database()
    with cluster.connect(db=database) as connection:
        take = """SELECT outcome FROM bagelpay.ingest('[{"event_id":"e","event_type":"x","mode":"test","occurred_at":"2025-01-01Z"}]', '{a}')"""
        assert connection.execute(take).fetchone() == ("ignored",)
        connection.execute("DELETE FROM bagelpay.events")
        assert connection.execute("SELECT count(*) FROM bagelpay.event_bodies").fetchone() == (0,)
        assert connection.execute(take).fetchone() == ("ignored",)
    cluster.drop_database(database)


def test_plain_psql_does_the_same(cluster):
    """Also back again: each revert leaves what there was before its deploy."""
    by_sqitch = cluster.create_database()
    by_psql = cluster.create_database(migrated=False)
    before = []
    assert changes()[0] == "roles" and {"access", "refunds"} <= set(changes())
    for change in changes():
        before.append(objects(cluster, by_psql))
        for step in ("deploy", "verify"):
            psql(cluster, by_psql, f"{step}/{change}.sql")
    assert objects(cluster, by_psql) == objects(cluster, by_sqitch)
    for change in reversed(changes()):
        psql(cluster, by_psql, f"revert/{change}.sql")
        # A grant that was taken back leaves an empty list where there was none, and the types that access closed stay closed.
        left, there = ([(kind, name, text) for kind, name, text, _ in some] for some in (objects(cluster, by_psql), before.pop()))
        assert left == there, change
    cluster.drop_database(by_sqitch)
    cluster.drop_database(by_psql)


def test_another_encoding_is_refused(cluster):
    with cluster.connect() as connection:
        connection.execute("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    refused = cluster.sqitch("deploy", "latin")
    assert refused.returncode != 0
    assert "bagelpay needs a database with encoding UTF8, this one has LATIN1" in refused.stdout
    cluster.drop_database("latin")


def test_every_change_has_its_three_scripts():
    names = sorted(changes())
    for step in ("deploy", "revert", "verify"):
        assert sorted(path.stem for path in (SQL / step).glob("*.sql")) == names
    makefile = (harness.SOURCE / "Makefile.am").read_text(encoding="utf-8").replace("\\\n", " ")
    installed = re.search(r"^SQL_CHANGES = (.*)$", makefile, re.MULTILINE).group(1).split()
    assert sorted(installed) == names
    assert os.access(harness.SOURCE / "sql" / "sqitch.conf", os.R_OK)


def test_roles_made_at_the_same_moment(mortal, background):
    """A deployment that finds a role or a grant which another one has just made, but not committed, takes it as there."""
    for name, grant in (("roles", "bagelpay_app"), ("console", "bagelpay_console")):
        script = (SQL / "deploy" / f"{name}.sql").read_text(encoding="utf-8")
        own = re.search(r"^BEGIN;$(.*?)^(?:COMMIT|SET LOCAL ROLE bagelpay_owner);$", script, re.MULTILINE | re.DOTALL)[1]
        # Everything by the other one; then only the grant, for roles that are there.
        for before in ("", f"REVOKE bagelpay_reader FROM {grant}"):
            with mortal.connect() as connection, mortal.connect(autocommit=False) as other:
                if before:
                    connection.execute(before)
                other.execute(own)
                ours = background(_run, mortal, own)
                harness.wait_until(lambda: ours.done() or connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchone()[0] > 0, "them to meet")
                other.commit()
                ours.result(timeout=harness.PATIENCE_S)
                assert connection.execute("SELECT pg_has_role(%s, 'bagelpay_reader', 'MEMBER'),"
                                          " shobj_description(%s::regrole, 'pg_authid') LIKE 'bagelpay: %%'",
                                          (grant, grant)).fetchone() == (True, True)


def _run(cluster, script):
    with cluster.connect(autocommit=False) as connection:
        connection.execute(script)
