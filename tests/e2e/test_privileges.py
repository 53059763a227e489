"""The responder's role, whose password somebody knows: what it may not do, for whatever there is in the database.

What there is, is read from the catalogues, so that what is added later is tried as well. Whoever logs in here comes
over TLS with the password, and speaks SQL of his own.
"""

import contextlib
import hashlib
import json
import re

import psycopg
import pytest

import bodies
import harness

# All that a responder may call, by the specification.
ENTRY_POINTS = ["ingest", "served_responders"]
EMAIL, CUSTOMER, ORDER, PRODUCT = "marked@example.com", "cus_marked", "order_marked", "Marked product"
MARKS = [EMAIL, CUSTOMER, ORDER, PRODUCT]
OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"


def marked_body():
    return bodies.payment(ORDER, customer={"id": CUSTOMER, "email": EMAIL},
                          product={"product_id": "prod_1", "name": PRODUCT, "billing_type": "single_payment"})


@pytest.fixture(scope="module")
def stack(remote):
    """A database with a few marked events in it, and a responder that is connected."""
    with harness.Stack(remote, secret="marked-secret") as one:
        for _ in range(20):
            assert one.deliver(marked_body()).status == 200
        assert one.deliver(b'{"note":"' + EMAIL.encode() + b'"}').status == 400
        one.query("ANALYZE")
        yield one


@pytest.fixture
def intruder(remote, stack):
    """A session of the responder's role."""
    with psycopg.connect(remote.remote_dsn(stack.db), password=remote.password, autocommit=True) as connection:
        yield connection


def outcome(connection, statement, copy=None):
    """None where the statement succeeded, else the SQLSTATE. Whatever it did is taken back, where that can be."""
    alone = re.match("ALTER SYSTEM|(CREATE|DROP) (DATABASE|TABLESPACE)", statement)
    try:
        with contextlib.nullcontext() if alone else connection.transaction(force_rollback=True):
            if copy is None:
                connection.execute(statement)
            else:
                with connection.cursor().copy(statement) as stream:
                    if copy == "from":
                        stream.write(b"")
                    else:
                        stream.read()
    except psycopg.Error as error:
        return error.sqlstate
    return None


def not_refused(connection, statements, also=()):
    """Those of the statements that end otherwise than for lack of a right (42501), with how they end."""
    ends = [(text, outcome(connection, text, copy=copy)) for text, copy in
            (one if isinstance(one, tuple) else (one, None) for one in statements)]
    assert ends
    return [(text, end) for text, end in ends if end != "42501" and end not in also]


def relations(stack, kinds):
    """Quoted names of the relations of these kinds outside of the system's own schemas, with a column to write to."""
    return stack.query(f"""
        SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text,
            (SELECT quote_ident(a.attname) FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0
                AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = '' ORDER BY a.attnum LIMIT 1)
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE {OURS} AND c.relkind::text = ANY (%s) ORDER BY 1""", list(kinds))


def test_is_the_role(intruder):
    """The session is what a responder's is: no superuser, with TLS."""
    assert intruder.execute("SELECT session_user, ssl, rolsuper FROM pg_stat_ssl, pg_roles "
                            "WHERE pid = pg_backend_pid() AND rolname = session_user").fetchall() == [
        ("bagelhook", True, False)]


def test_tables(stack, intruder):
    """No table can be read, written, locked, changed, or leaned on."""
    tables = relations(stack, "rpf")
    assert {"bagelpay.events", "bagelpay.event_bodies", "bagelpay_internal.purchases", "sqitch.changes"} <= {name for name, *_ in tables}
    statements = []
    for name, _, column in tables:
        statements += [
            f"SELECT FROM {name}", f"SELECT {column} FROM {name}", f"SELECT count(*) FROM ONLY {name}",
            f"SELECT FROM {name} FOR KEY SHARE", f"EXPLAIN SELECT FROM {name}", f"SELECT * FROM {name} AS t, LATERAL (SELECT t) AS u",
            f"INSERT INTO {name} DEFAULT VALUES", f"UPDATE {name} SET {column} = DEFAULT", f"DELETE FROM {name}",
            f"MERGE INTO {name} USING (SELECT 1) AS s ON TRUE WHEN MATCHED THEN DELETE", f"TRUNCATE {name}",
            (f"COPY {name} TO STDOUT", "to"), (f"COPY {name} FROM STDIN", "from"), (f"COPY (TABLE {name}) TO STDOUT", "to"),
            f"LOCK TABLE {name} IN ACCESS SHARE MODE", f"LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE",
            f"ALTER TABLE {name} ADD COLUMN evil text", f"ALTER TABLE {name} OWNER TO bagelhook",
            f"ALTER TABLE {name} DISABLE TRIGGER ALL", f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
            f"DROP TABLE {name} CASCADE", f"COMMENT ON TABLE {name} IS 'evil'", f"GRANT SELECT ON {name} TO PUBLIC",
            f"CREATE INDEX ON {name} ({column})", f"CREATE RULE evil AS ON SELECT TO {name} DO INSTEAD NOTHING",
            f"CREATE POLICY evil ON {name}", f"CREATE STATISTICS pg_temp.evil ON {column}, ctid FROM {name}",
            f"CREATE TRIGGER evil BEFORE INSERT ON {name} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            f"CREATE TEMP TABLE evil (LIKE {name})", f"CREATE TEMP TABLE evil AS TABLE {name}",
            f"CREATE TEMP TABLE evil () INHERITS ({name})", f"REINDEX TABLE {name}",
            f"SELECT query_to_xml('TABLE {name}', TRUE, TRUE, '')"]
    assert not_refused(intruder, statements) == []


def test_views(stack, intruder):
    """The same of views; that one cannot be written to may be said before that one may not."""
    views = relations(stack, "vm")
    assert "bagelpay.entitlements" in [name for name, *_ in views]
    reads, writes = [], []
    for name, _, column in views:
        reads += [f"SELECT FROM {name}", f"SELECT {column} FROM {name}", (f"COPY (TABLE {name}) TO STDOUT", "to"),
                  f"LOCK TABLE {name} IN ACCESS SHARE MODE", f"DROP VIEW {name}", f"GRANT SELECT ON {name} TO PUBLIC",
                  f"CREATE OR REPLACE VIEW {name} AS SELECT 1", f"ALTER VIEW {name} OWNER TO bagelhook"]
        writes += [f"INSERT INTO {name} DEFAULT VALUES", f"UPDATE {name} SET {column} = NULL", f"DELETE FROM {name}"]
    assert not_refused(intruder, reads) == []
    assert not_refused(intruder, writes, also=["55000"]) == []


def test_view_of_ones_own(stack, intruder):
    """A view, or a function, that an intruder makes on a table has no more rights than he."""
    for name, *_ in relations(stack, "rv"):
        assert outcome(intruder, f"CREATE TEMP VIEW evil AS TABLE {name}; SELECT FROM evil") == "42501"
        assert outcome(intruder, f"""
            CREATE FUNCTION pg_temp.evil () RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM {name}';
            SELECT pg_temp.evil ()""") == "42501"


def test_sequences(stack, intruder):
    names = [name for name, *_ in relations(stack, "S")]
    assert "bagelpay.dead_letters_id_seq" in names
    assert not_refused(intruder, [text.format(name) for name in names for text in (
        "SELECT nextval('{}')", "SELECT setval('{}', 1)", "SELECT last_value FROM {}",
        "SELECT 1 / (pg_sequence_last_value('{}') IS NOT NULL)::integer",
        "ALTER SEQUENCE {} RESTART", "DROP SEQUENCE {}", "GRANT SELECT ON {} TO PUBLIC")],
        # From PostgreSQL 18 on it is no error, but NULL, which cannot be divided by.
        also=["22012"]) == []
    # Not even how many there were.
    assert intruder.execute("SELECT last_value FROM pg_sequences WHERE last_value IS NOT NULL").fetchall() == []


def calling(function, kind, arguments):
    """SQL that calls a function with NULLs. The planner must not see them: it would work a strict function out."""
    if kind == "p":
        return f"CALL {function} ({', '.join(arguments)})"
    if not arguments:
        return f"SELECT {function} ()"
    names = [f"a{number}" for number in range(len(arguments))]
    columns = ", ".join(f"{argument} AS {name}" for argument, name in zip(arguments, names))
    return f"SELECT {function} ({', '.join(names)}) FROM (SELECT {columns} OFFSET 0) AS a"


def test_functions(stack, intruder):
    """Nothing can be called, built upon or changed but the two entry points, and these not changed."""
    functions = stack.query(f"""
        SELECT n.nspname, p.proname, p.oid::regprocedure::text, format('%I.%I', n.nspname, p.proname), p.prokind::text,
            array(SELECT 'NULL::' || format_type(t, NULL) FROM unnest(p.proargtypes) AS t)
        FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE {OURS} ORDER BY 3""")
    assert {("bagelpay", "rebuild"), ("bagelpay", "grant"), ("bagelpay_internal", "fold")} <= {one[:2] for one in functions}
    assert {("bagelpay", entry) for entry in ENTRY_POINTS} <= {one[:2] for one in functions}
    calls, changes = [], []
    for schema, name, signature, quoted, kind, arguments in functions:
        if (schema, name) not in [("bagelpay", entry) for entry in ENTRY_POINTS]:
            calls += [calling(quoted, kind, arguments)]
            calls += [f"CREATE OPERATOR pg_temp.<@@> (FUNCTION = {quoted}, "
                      + ", ".join(f"{side} = {argument.removeprefix('NULL::')}" for side, argument in
                                  zip(("LEFTARG", "RIGHTARG"), arguments)) + ")"] if len(arguments) == 2 else []
        changes += [f"ALTER ROUTINE {signature} SET search_path = pg_temp", f"ALTER ROUTINE {signature} OWNER TO bagelhook",
                    f"DROP ROUTINE {signature} CASCADE", f"GRANT EXECUTE ON ROUTINE {signature} TO PUBLIC"]
    assert not_refused(intruder, calls) == []
    # Where one may execute but not pass that on, a GRANT only warns, and does nothing.
    changes = [text for text in changes if not (text.startswith("GRANT") and any(f".{entry}(" in text for entry in ENTRY_POINTS))]
    assert not_refused(intruder, changes) == []
    # A trigger would call it for whoever writes.
    intruder.execute("CREATE TEMP TABLE mine (x integer)")
    assert not_refused(intruder, [
        f"CREATE TRIGGER evil BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION {name} ()" for name, in stack.query(
            f"SELECT p.oid::regproc::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace "
            f"WHERE {OURS} AND p.prorettype = 'trigger'::regtype")]) == []


def test_schemas(stack, intruder):
    """Nothing can be made where others would meet it, nor a schema be changed."""
    schemas = [name for name, in stack.query(
        "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'")]
    assert {"bagelpay", "bagelpay_internal", "public", "pg_catalog"} <= set(schemas)
    assert not_refused(intruder, [text.format(name) for name in schemas for text in (
        "CREATE TABLE {}.evil (x integer)", "CREATE VIEW {}.evil AS SELECT 1", "CREATE SEQUENCE {}.evil",
        "CREATE TYPE {}.evil AS ENUM ('x')", "CREATE DOMAIN {}.evil AS text", "CREATE COLLATION {}.evil FROM \"C\"",
        "CREATE FUNCTION {}.evil () RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "CREATE OPERATOR {}.<@@> (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text)",
        "DROP SCHEMA {} CASCADE", "ALTER SCHEMA {} OWNER TO bagelhook", "ALTER SCHEMA {} RENAME TO evil",
        "ALTER DEFAULT PRIVILEGES FOR ROLE bagelpay_owner IN SCHEMA {} GRANT SELECT ON TABLES TO PUBLIC")
        # The owner renames, and no other schema can take a name of the system's.
        if not (name.startswith("pg_") and "RENAME" in text)]) == []


def test_types(stack, intruder):
    """A table of one's own cannot hold a type of ours, which would keep us from changing it."""
    types = [name for name, in stack.query(f"""
        SELECT t.oid::regtype::text FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace
        LEFT JOIN pg_class AS c ON c.oid = t.typrelid WHERE {OURS} AND t.typelem = 0""")]
    assert {"bagelpay.effect", "bagelpay.events", "bagelpay_internal.fold_key"} <= set(types)
    assert not_refused(intruder, [text.format(name) for name in types for text in (
        "CREATE TEMP TABLE evil (x {})", "CREATE FUNCTION pg_temp.evil ({}) RETURNS integer LANGUAGE sql AS 'SELECT 1'")]) == []


def test_roles(stack, intruder):
    """No other role can be had, and one's own not be made more of."""
    roles = [name for name, in stack.query("SELECT quote_ident(rolname) FROM pg_roles")]
    assert {"postgres", "bagelpay_owner", "bagelpay_reader", "pg_read_all_data"} <= set(roles)
    others = [name for name in roles if name not in ("bagelhook", "bagelpay_ingest")]
    assert not_refused(intruder, [
        *(text.format(name) for name in others for text in (
            "SET ROLE {}", "SET SESSION AUTHORIZATION {}", "GRANT {} TO bagelhook", "DROP ROLE {}", "ALTER ROLE {} NOLOGIN",
            "ALTER ROLE {} PASSWORD 'evil'", "REASSIGN OWNED BY {} TO bagelhook", "DROP OWNED BY {}")),
        "GRANT bagelpay_ingest TO pg_monitor", "DROP ROLE bagelpay_ingest", "ALTER ROLE bagelpay_ingest LOGIN",
        "CREATE ROLE evil", *(f"ALTER ROLE bagelhook {power}" for power in (
            "SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS"))],
        # Those of the system cannot be changed by anybody; nor has pg_database_owner members, as newer versions say first.
        also=["42939", "2BP01", "XX000", "0A000"]) == []


def test_database_and_server(stack, intruder):
    """Nor the database, other databases, the server, its files, its programs."""
    extensions = [name for name, in stack.query(
        "SELECT quote_ident(name) FROM pg_available_extensions WHERE installed_version IS NULL")]
    with stack.connect() as victim:
        backend = victim.info.backend_pid
        assert not_refused(intruder, [
            "CREATE SCHEMA evil", f"ALTER DATABASE {stack.db} SET search_path = evil", "ALTER DATABASE postgres RENAME TO evil",
            "ALTER SYSTEM SET fsync = off", "CREATE DATABASE evil", f"DROP DATABASE {stack.db}",
            "CREATE TABLESPACE evil LOCATION '/tmp'", "CHECKPOINT", "CREATE PUBLICATION evil FOR ALL TABLES",
            "CREATE FOREIGN DATA WRAPPER evil", "CREATE EVENT TRIGGER evil ON ddl_command_end EXECUTE FUNCTION pg_backend_pid()",
            "CREATE FUNCTION pg_temp.evil () RETURNS integer LANGUAGE c AS 'libc.so.6', 'getpid'",
            "CREATE FUNCTION pg_temp.evil () RETURNS integer LANGUAGE internal AS 'pg_backend_pid'",
            "LOAD 'auto_explain'", "SET session_replication_role = replica", "SET log_statement = 'all'",
            "SET session_preload_libraries = 'auto_explain'", "SET log_min_messages = debug5", "SET lc_messages = 'C'",
            "COPY (SELECT 1) TO PROGRAM 'true'", "COPY pg_class FROM PROGRAM 'true'", "COPY (SELECT 1) TO '/tmp/evil'",
            "SELECT pg_read_file('PG_VERSION')", "SELECT pg_read_binary_file('PG_VERSION')", "SELECT pg_ls_dir('.')",
            "SELECT pg_stat_file('PG_VERSION')", "SELECT lo_import('/etc/passwd')", "SELECT lo_export(1, '/tmp/evil')",
            "SELECT pg_reload_conf()", "SELECT pg_rotate_logfile()", "SELECT pg_switch_wal()", "SELECT pg_stat_reset()",
            "SELECT pg_ls_logdir()", "SELECT pg_ls_waldir()", "SELECT pg_hba_file_rules()", "SELECT pg_show_all_file_settings()",
            "SELECT pg_create_restore_point('evil')", "SELECT pg_create_physical_replication_slot('evil')",
            "SELECT pg_create_logical_replication_slot('evil', 'pgoutput')", "SELECT pg_get_backend_memory_contexts()",
            f"SELECT pg_terminate_backend({backend})", f"SELECT pg_cancel_backend({backend})",
            f"SELECT pg_log_backend_memory_contexts({backend})", "SELECT * FROM pg_authid", "SELECT * FROM pg_shadow",
            "SELECT * FROM pg_statistic", "SELECT * FROM pg_largeobject", "SELECT * FROM pg_subscription",
            "UPDATE pg_class SET relname = relname", "DELETE FROM pg_proc",
            *(f"CREATE EXTENSION {name} CASCADE" for name in extensions)]) == []


def test_large_objects(stack, intruder):
    """Those of others."""
    (number,), = stack.query("SELECT lo_from_bytea(0, 'marked')")
    assert not_refused(intruder, [text.format(number) for text in (
        "SELECT lo_get({})", "SELECT lo_put({}, 0, 'evil')", "SELECT lo_unlink({})", "SELECT lo_open({}, 262144)",
        "SELECT lo_open({}, 131072)", "GRANT SELECT ON LARGE OBJECT {} TO PUBLIC", "ALTER LARGE OBJECT {} OWNER TO bagelhook",
        "COMMENT ON LARGE OBJECT {} IS 'evil'")]) == []


def readable(connection):
    """All relations that a session may read something of, the system's included.

    But for one that takes a quarter of a minute to say of what types the elements of arrays are.
    """
    return [name for name, in connection.execute(
        "SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') "
        "AND c.oid <> 'information_schema.element_types'::regclass "
        "AND has_schema_privilege(c.relnamespace, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT')")]


def marked(connection, names):
    """Which of these relations show a mark."""
    found = set()
    for name in names:
        # Some views call functions that one may not.
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
            for text, in connection.execute(f"SELECT t::text FROM {name} AS t"):
                if text is not None and any(mark in text for mark in MARKS):
                    found.add(name)
    return found


def test_nothing_shows_through(stack, intruder):
    """Nothing that can be read, statistics and other sessions' statements included, shows anything of what is stored."""
    with stack.connect() as other:
        other.execute(f"SELECT '{EMAIL}'")
        # A control: they are there to be seen.
        seen = ["pg_stats", "pg_stat_activity", "bagelpay.orders", "bagelpay.events"]
        with stack.connect() as superuser:
            assert marked(superuser, seen) == set(seen)
        assert marked(intruder, readable(intruder)) == set()
        for export in ("schema_to_xml('bagelpay', TRUE, TRUE, '')", "schema_to_xml('bagelpay_internal', TRUE, TRUE, '')",
                       "database_to_xml(TRUE, TRUE, '')"):
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                text, = intruder.execute(f"SELECT {export}::text").fetchone()
                assert not any(mark in text for mark in MARKS)


def ingest(connection, *deliveries):
    """Hands in deliveries as a responder does; returns event_id and outcome of each."""
    return connection.execute(
        "SELECT event_id, outcome FROM bagelpay.ingest (%s, %s)",
        (json.dumps(deliveries), [json.dumps(one).encode() for one in deliveries])).fetchall()


def delivery(event_id, **more):
    return {"event_id": event_id, "event_type": "checkout.completed", "mode": "test", "occurred_at": "2027-01-01T00:00:00Z",
            "metadata": {"order_id": ORDER}, **more}


def test_notifications(stack, intruder):
    """They say that it is time to look, and nothing else."""
    intruder.execute("LISTEN bagelpay_orders")
    assert stack.deliver(marked_body()).status == 200
    note = next(intruder.notifies())
    assert (note.channel, note.payload) == ("bagelpay_orders", "")


def test_answers_of_ingest(stack, intruder):
    """ingest() says what became of an id that the caller knows, never what is stored."""
    (known,), = stack.query("SELECT event_id FROM bagelpay.events LIMIT 1")
    assert ingest(intruder, delivery(known, customer_email="x@example.com")) == [(known, "duplicate")]
    # An operator's decision cannot be had by this way: it has no part in the state.
    assert ingest(intruder, delivery(bodies.unique(), event_type="operator.grant")) [0][1] == "ignored"
    assert stack.query("SELECT count(*) FROM bagelpay_internal.decisions") == [(0,)]


# Nothing that an index could hold, however well it is compressed.
LONG = "".join(hashlib.sha256(bytes([number])).hexdigest() for number in range(200))

ODD = [
    {"mode": "evil"}, {"mode": None}, {"event_type": None}, {"occurred_at": None}, {"occurred_at": "infinity"},
    {"occurred_at": "-infinity"}, {"amount": "NaN"}, {"amount": "Infinity"}, {"amount": "1e131071"}, {"amount": "-1"},
    {"customer_id": LONG}, {"payment_id": LONG}, {"product_id": LONG}, {"customer_email": LONG}, {"event_id": LONG},
    {"metadata": {"order_id": LONG}}, {"units": -1}, {"local_times": {"occurred_at": "evil"}}, {"local_times": []},
    {"refund_label": "evil"}, {"unknown_refund": "evil"}, {"warnings": [None]}, {"outcome": "evil"}, {"digest": "evil"},
    {"provider_order_id": LONG}, {"subscription_id": LONG}, {"subscription_id": "s", "processor_subscription_id": LONG},
    {"event_type": "refund.created", "refund_id": LONG}, {"metadata": {"user_id": LONG}},
    *({"event_type": kind, field: value} for kind in ("subscription.paid", "subscription.trialing", "refund.created")
      for field, value in (("amount", "1e131071"), ("refund_amount", "1e131071"), ("refund_running_total", "NaN"),
                           ("billing_period_end", "infinity"), ("trial_end", "294276-12-31T23:59:59Z"),
                           ("recurring_interval", "every 178000000 years"))),
]

# With these a session has the server tell it more than usual.
TALKATIVE = ("client_min_messages = debug5", "debug_print_parse = on", "debug_print_rewritten = on", "debug_print_plan = on",
             "log_parameter_max_length_on_error = -1", "plan_cache_mode = force_custom_plan", "trace_notify = on",
             "trace_sort = on", "plpgsql.print_strict_params = on", "plpgsql.extra_warnings = 'all'")


def told(diagnostic):
    """All the text of an error or a notice."""
    return "\n".join(filter(None, (diagnostic.message_primary, diagnostic.message_detail, diagnostic.message_hint,
                                   diagnostic.context, diagnostic.internal_query)))


def hear(intruder, event):
    """Hands in an event, takes it back, and returns whether that succeeded, and all that the server said meanwhile."""
    heard = []

    def listen(notice):
        heard.append(told(notice))

    intruder.add_notice_handler(listen)
    try:
        with intruder.transaction(force_rollback=True):
            ingest(intruder, event)
        return True, "\n".join(heard)
    except psycopg.Error as error:
        return False, "\n".join([*heard, told(error.diag)])
    finally:
        intruder.remove_notice_handler(listen)


def shows(text):
    """Whether a text has a mark in it; trees of plans have constants as the numbers of their bytes."""
    return any(mark in text or " ".join(str(byte) for byte in mark.encode()) in text for mark in (EMAIL, CUSTOMER, PRODUCT))


def test_errors_of_ingest(stack, intruder):
    """What goes wrong within ingest(), with its owner's rights, tells nothing of the rows that it met there."""
    (payment,), = stack.query("SELECT payment_id FROM bagelpay.payments LIMIT 1")
    for setting in TALKATIVE:
        intruder.execute(f"SET {setting}")
    fine, text = hear(intruder, delivery(bodies.unique(), payment_id=payment))
    assert fine and "plan:" in text and not shows(text)
    failed = 0
    for odd in ODD:
        fine, text = hear(intruder, delivery(bodies.unique(), payment_id=payment) | odd)
        failed += not fine
        assert not shows(text), odd
    assert failed > 10
    # A control: a constraint on what the fold makes of an order would tell it.
    stack.query("ALTER TABLE bagelpay.orders ADD CONSTRAINT leak CHECK (amount <> 77)")
    fine, text = hear(intruder, delivery(bodies.unique(), payment_id=payment, amount="77"))
    stack.query("ALTER TABLE bagelpay.orders DROP CONSTRAINT leak")
    assert not fine and shows(text)


def test_shadows(stack, intruder):
    """Temporary tables and types that stand in the way of ours: nobody who has more rights comes across them.

    Names of functions and operators are never looked up among what is temporary.
    """
    relations_, types = stack.query("""
        SELECT array_agg(DISTINCT quote_ident(typname)) FILTER (WHERE relkind IN ('r', 'v')),
            array_agg(DISTINCT quote_ident(typname)) FILTER (WHERE (relkind IN ('r', 'v')) IS NOT TRUE)
        FROM pg_type LEFT JOIN pg_class AS c ON c.oid = typrelid
        WHERE typelem = 0 AND (typnamespace::regnamespace::text IN ('bagelpay', 'bagelpay_internal') OR typname IN (
            'text', 'json', 'jsonb', 'bytea', 'int4', 'int8', 'numeric', 'bool', 'timestamptz', 'interval', 'regclass'))""")[0]
    assert {"events", "orders", "entitlements"} <= set(relations_) and {"effect", "fold_key", "jsonb"} <= set(types)
    intruder.execute("""
        CREATE FUNCTION pg_temp.hijack (pg_catalog.text) RETURNS pg_catalog.bool LANGUAGE plpgsql AS
        $$BEGIN RAISE EXCEPTION 'hijacked as %', current_user; END$$""")
    intruder.execute("SET search_path = pg_catalog, pg_temp")
    for name in relations_:
        intruder.execute(f"CREATE TEMP VIEW {name} AS SELECT pg_temp.hijack('') AS evil")
    for name in types:
        intruder.execute(f"CREATE DOMAIN pg_temp.{name} AS pg_catalog.text CHECK (pg_temp.hijack(VALUE))")
    intruder.execute("SET search_path = pg_temp, pg_catalog, bagelpay, bagelpay_internal")
    # A control: functions that do not say where they look for names do come across them.
    for number, body in enumerate(("SELECT * FROM orders", "SELECT ''x''::effect")):
        stack.query(f"CREATE FUNCTION public.careless{number} () RETURNS pg_catalog.text LANGUAGE plpgsql SECURITY DEFINER AS "
                    f"'BEGIN RETURN ({body}); END'")
        with pytest.raises(psycopg.errors.RaiseException, match="hijacked as postgres"):
            intruder.execute(f"SELECT public.careless{number} ()")
        stack.query(f"DROP FUNCTION public.careless{number}")
    event = bodies.unique()
    again = delivery(event, amount="10", customer_email=EMAIL, trial_end="2026-01-01 00:00:00", local_times={"trial_end": "2026-01-01 00:00:00"},
                     signed_timestamp=1767230000)
    assert call(intruder, again) == [(event, "applied")]
    assert call(intruder, again) == [(event, "duplicate")]
    assert call(intruder, {**again, "event_type": "refund.created", "event_id": event + "r", "refund_amount": "1"}) == [
        (event + "r", "applied")]
    assert call(intruder, {"outcome": "invalid", "detail": "x"}) == [(None, "dead_letter")]
    assert intruder.execute("SELECT oldest IS NOT NULL FROM bagelpay.served_responders ()").fetchall() == [(True,)]
    assert stack.query("SELECT count(*) FROM bagelpay.events WHERE event_id IN (%s, %s)", event, event + "r") == [(2,)]


def call(connection, one):
    """As ingest(), but that types are named in full, as others are in the way."""
    return connection.execute(
        "SELECT event_id, outcome FROM bagelpay.ingest (%s::pg_catalog.json, ARRAY[%s]::pg_catalog.bytea[])",
        (json.dumps([one]), json.dumps(one).encode())).fetchall()


def test_nothing_was_altered(stack, remote):
    """After all of it: what was delivered is what the events say."""
    assert stack.query("SELECT bagelpay.rebuild ()") == [(0,)]
    assert remote.running and stack.responder.running
