"""The Sqitch project: it deploys, reverts and deploys again, keeps stored events, and is plain SQL."""

import os
import re
import subprocess

import psycopg
import pytest

import harness

SQL = harness.SOURCE / "sql"


def objects(cluster, database):
    """All that a database has in the schema, as sorted texts."""
    with cluster.connect(db=database) as connection:
        return connection.execute("""
            SELECT 'relation', c.relname::text, coalesce(pg_get_viewdef(c.oid), '') FROM pg_class AS c
            WHERE c.relnamespace = 'bagelpay'::regnamespace
            UNION ALL SELECT 'function', f.oid::regprocedure::text, md5(pg_get_functiondef(f.oid)) FROM pg_proc AS f
            WHERE f.pronamespace = 'bagelpay'::regnamespace
            UNION ALL SELECT 'column', a.attrelid::regclass::text || '.' || a.attname, format_type(a.atttypid, a.atttypmod)
            FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
            WHERE c.relnamespace = 'bagelpay'::regnamespace AND a.attnum > 0
            UNION ALL SELECT 'acl', c.relname::text, c.relacl::text FROM pg_class AS c
            WHERE c.relnamespace = 'bagelpay'::regnamespace
            ORDER BY 1, 2, 3""").fetchall()


def has_schema(cluster, database):
    with cluster.connect(db=database) as connection:
        return connection.execute("SELECT to_regnamespace('bagelpay') IS NOT NULL").fetchone()[0]


def test_revert_and_deploy_again(cluster):
    database = cluster.create_database(migrated=False)
    assert cluster.sqitch("deploy", database).returncode == 0
    before = objects(cluster, database)
    assert len(before) > 100
    reverted = cluster.sqitch("revert", database, "-y")
    assert reverted.returncode == 0, reverted.stdout
    assert not has_schema(cluster, database)
    again = cluster.sqitch("deploy", database)
    assert again.returncode == 0, again.stdout
    assert objects(cluster, database) == before
    assert cluster.sqitch("verify", database).returncode == 0
    cluster.drop_database(database)


def test_revert_keeps_memberships(cluster):
    """A role that somebody was granted stays, or the responder could not log in after the next deploy."""
    database = cluster.create_database()
    with cluster.connect() as connection:
        connection.execute("CREATE ROLE shop LOGIN IN ROLE bagelpay_reader")
        reverted = cluster.sqitch("revert", database, "-y", PGOPTIONS="-c bagelpay.drop_events=yes")
        assert reverted.returncode == 0 and not has_schema(cluster, database)
        assert cluster.sqitch("deploy", database).returncode == 0
        assert connection.execute("SELECT pg_has_role('shop', 'bagelpay_reader', 'MEMBER')").fetchone() == (True,)
        assert connection.execute("SELECT pg_has_role('bagelhook', 'bagelpay_ingest', 'MEMBER')").fetchone() == (True,)
        connection.execute("DROP ROLE shop")
    cluster.drop_database(database)


def test_decisions_need_read_committed(cluster):
    """An older snapshot would not see what another session has just folded."""
    database = cluster.create_database()
    with cluster.connect(db=database) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        with pytest.raises(psycopg.errors.InvalidTransactionState, match="READ COMMITTED"):
            connection.execute("SELECT bagelpay.grant('o1')")
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


def test_revert_keeps_events(cluster):
    database = cluster.create_database()
    with cluster.connect(db=database) as connection:
        connection.execute("SELECT bagelpay.grant('o1', 'a@example.com', 'p1')")
        before = objects(cluster, database)
        refused = cluster.sqitch("revert", database, "-y")
        assert refused.returncode != 0
        assert "1 stored events and dead letters would be lost" in refused.stdout
        assert "bagelpay.drop_events=yes" in refused.stdout
        # Nothing of it is gone, the first change to be reverted included.
        assert objects(cluster, database) == before
        assert connection.execute("SELECT entitled FROM bagelpay.entitlements").fetchall() == [(True,)]
    told = cluster.sqitch("revert", database, "-y", PGOPTIONS="-c bagelpay.drop_events=yes")
    assert told.returncode == 0, told.stdout
    assert not has_schema(cluster, database)
    cluster.drop_database(database)


def test_plain_psql_does_the_same(cluster):
    by_sqitch = cluster.create_database()
    by_psql = cluster.create_database(migrated=False)
    plan = (SQL / "sqitch.plan").read_text(encoding="utf-8")
    changes = re.findall(r"^(\w+) ", plan, re.MULTILINE)
    assert changes[0] == "roles" and {"access", "dead_letters"} <= set(changes)
    for change in changes:
        for step in ("deploy", "verify"):
            subprocess.run(
                ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file", SQL / step / f"{change}.sql",
                 cluster.dsn(db=by_psql)],
                env=harness.clean_environment(), stdout=subprocess.DEVNULL, check=True)
    assert objects(cluster, by_psql) == objects(cluster, by_sqitch)
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
    plan = (SQL / "sqitch.plan").read_text(encoding="utf-8")
    changes = sorted(re.findall(r"^(\w+) ", plan, re.MULTILINE))
    for step in ("deploy", "revert", "verify"):
        assert sorted(path.stem for path in (SQL / step).glob("*.sql")) == changes
    makefile = (harness.SOURCE / "Makefile.am").read_text(encoding="utf-8").replace("\\\n", " ")
    installed = re.search(r"^SQL_CHANGES = (.*)$", makefile, re.MULTILINE).group(1).split()
    assert sorted(installed) == changes
    assert os.access(harness.SOURCE / "sql" / "sqitch.conf", os.R_OK)
