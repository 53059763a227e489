-- What each role may do, and that it may nothing else.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(55);

\set reader_tables 'dead_letters entitlements entitlements_test events expected_orders order_checks orders payments refunds settings stored_payments subscriptions zone_evidence'
\set reader_functions 'changes_since entitlements_at explain interval_length is_entitled matches_expectation utc_plus zone_half_hours'
\set app_functions 'changes_since clear entitlements_at expect_order explain grant interval_length is_entitled matches_expectation revoke utc_plus zone_half_hours'

-- The tests run as these roles, too.
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;

-- Which tables and views a role has any right on, columns included, and which functions.
CREATE FUNCTION public.readable (whom text)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT string_agg(c.relname, ' ' ORDER BY c.relname COLLATE "C")
    FROM pg_class AS c
    WHERE c.relnamespace = 'bagelpay'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'S', 'f')
        AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(whom, c.oid, 'USAGE, SELECT, UPDATE')
            ELSE has_any_column_privilege(whom, c.oid, 'SELECT') END
$$;

CREATE FUNCTION public.writable (whom text)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT coalesce(string_agg(c.relname, ' ' ORDER BY c.relname COLLATE "C"), '')
    FROM pg_class AS c
    WHERE c.relnamespace = 'bagelpay'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
        AND (has_any_column_privilege(whom, c.oid, 'INSERT, UPDATE, REFERENCES')
            OR has_table_privilege(whom, c.oid, 'DELETE, TRUNCATE, TRIGGER'))
$$;

CREATE FUNCTION public.callable (whom text)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT coalesce(string_agg(f.proname, ' ' ORDER BY f.proname COLLATE "C"), '')
    FROM pg_proc AS f
    WHERE f.pronamespace = 'bagelpay'::regnamespace AND has_function_privilege(whom, f.oid, 'EXECUTE')
$$;

SELECT is(public.readable ('public'), NULL, 'PUBLIC reads nothing');
SELECT is(public.writable ('public'), '', 'PUBLIC writes nothing');
SELECT is(public.callable ('public'), '', 'PUBLIC calls nothing');
SELECT ok(NOT has_schema_privilege('public', 'bagelpay', 'USAGE, CREATE'), 'PUBLIC does not enter');

SELECT is(string_agg(t.typname, ' '), NULL, 'PUBLIC uses no type, row types of tables and views included')
FROM pg_type AS t
WHERE t.typnamespace = 'bagelpay'::regnamespace AND t.typelem = 0 AND has_type_privilege('public', t.oid, 'USAGE');

SELECT is(public.readable ('bagelpay_ingest'), NULL, 'responders read nothing');
SELECT is(public.writable ('bagelpay_ingest'), '', 'responders write nothing');
SELECT is(public.callable ('bagelpay_ingest'), 'ingest served_responders', 'responders call two functions');
SELECT ok(NOT has_schema_privilege('bagelpay_ingest', 'bagelpay', 'CREATE'), 'responders create nothing');

SELECT is(public.readable ('bagelpay_reader'), :'reader_tables', 'what readers read');
SELECT is(public.writable ('bagelpay_reader'), '', 'readers write nothing');
SELECT is(public.callable ('bagelpay_reader'), :'reader_functions', 'what readers call');
SELECT ok(NOT has_column_privilege('bagelpay_reader', 'bagelpay.dead_letters', 'body', 'SELECT'), 'readers see no dead letter''s body');
SELECT ok(NOT has_table_privilege('bagelpay_reader', 'bagelpay.event_bodies', 'SELECT'), 'readers see no event''s body');

SELECT is(public.readable ('bagelpay_app'), :'reader_tables', 'applications read what readers do');
SELECT is(public.writable ('bagelpay_app'), '', 'applications write nothing');
SELECT is(public.callable ('bagelpay_app'), :'app_functions', 'what applications call');

SELECT is(rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, FALSE, rolname || ' has no power of its own')
FROM pg_roles
WHERE rolname IN ('bagelpay_owner', 'bagelpay_ingest', 'bagelpay_reader', 'bagelpay_app');

SELECT is(count(*), 0::bigint, 'every function that runs with its owner''s rights has a fixed search_path')
FROM pg_proc AS f
WHERE f.pronamespace = 'bagelpay'::regnamespace AND f.prosecdef
    AND NOT coalesce(f.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], FALSE);

-- The same, tried out.
SET LOCAL ROLE bagelpay_ingest;
SELECT lives_ok($$SELECT bagelpay.ingest ('[]', '{}')$$, 'a responder ingests');
SELECT throws_ok('SELECT * FROM bagelpay.' || name, '42501', NULL, 'a responder does not read ' || name)
FROM unnest('{events,event_bodies,orders,entitlements}'::text[]) AS name;
SELECT throws_ok($$SELECT bagelpay.grant ('o1')$$, '42501', NULL, 'a responder does not grant');
RESET ROLE;

SET LOCAL ROLE bagelpay_reader;
SELECT lives_ok($$SELECT * FROM bagelpay.entitlements UNION ALL SELECT * FROM bagelpay.entitlements_test$$, 'a reader reads entitlements');
SELECT lives_ok($$SELECT bagelpay.is_entitled ('c1', 'p1')$$, 'a reader asks who is entitled');
SELECT throws_ok($$SELECT bagelpay.grant ('o1')$$, '42501', NULL, 'a reader does not grant');
SELECT throws_ok(call, '42501', NULL, 'a reader is refused: ' || call)
FROM unnest(ARRAY[
    'SELECT bagelpay.revoke (''o1'')', 'SELECT bagelpay.clear (''o1'')',
    'SELECT bagelpay.expect_order (''o1'', NULL, NULL, NULL, NULL)', 'SELECT * FROM bagelpay.ingest (''[]'', ''{}'')',
    'SELECT bagelpay.rebuild ()', 'SELECT bagelpay.rebuild (''o1'')', 'SELECT bagelpay.rekey ()',
    'SELECT body FROM bagelpay.event_bodies', 'SELECT event_id FROM bagelpay.event_bodies',
    'SELECT body FROM bagelpay.dead_letters', 'SELECT * FROM bagelpay.dead_letters']) WITH ORDINALITY AS v (call, i)
ORDER BY i;
SELECT lives_ok(call, 'a reader may: ' || call)
FROM unnest(ARRAY[
    'SELECT id, sha256, reason, detail, signed_timestamp, deliveries, received_at, resolved_at FROM bagelpay.dead_letters',
    'SELECT * FROM bagelpay.explain (''o1'')', 'SELECT * FROM bagelpay.changes_since ('''')',
    'SELECT * FROM bagelpay.entitlements_at (now())', 'SELECT * FROM bagelpay.events',
    'SELECT * FROM bagelpay.order_checks', 'SELECT * FROM bagelpay.zone_evidence']) WITH ORDINALITY AS v (call, i)
ORDER BY i;
RESET ROLE;

SET LOCAL ROLE bagelpay_app;
SELECT lives_ok($$SELECT bagelpay.grant ('o1'), bagelpay.revoke ('o1'), bagelpay.clear ('o1'), bagelpay.expect_order ('o1', 'a@b.c', NULL, NULL, NULL)$$, 'an application grants, revokes, clears, expects');
SELECT throws_ok($$SELECT bagelpay.ingest ('[]', '{}')$$, '42501', NULL, 'an application does not ingest');
SELECT throws_ok($$DELETE FROM bagelpay.orders$$, '42501', NULL, 'an application does not delete');
SELECT throws_ok($$SELECT body FROM bagelpay.event_bodies$$, '42501', NULL, 'an application reads no event''s body');
SELECT throws_ok($$SELECT body FROM bagelpay.dead_letters$$, '42501', NULL, 'nor a dead letter''s');
SELECT throws_ok($$SELECT bagelpay.rebuild ()$$, '42501', NULL, 'an application does not rebuild');
RESET ROLE;

SELECT * FROM finish();

ROLLBACK;
