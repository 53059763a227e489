-- What each role may do, and that it may nothing else.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(133);

\ir builder.psql

-- Functions that change what is stored, and that run with their owner's rights to read.
\set app_writes 'adopt clear dismiss dispute_won expect_order grant revoke'
\set owner_reads 'changes_since explain'

-- The tests run as these roles, too.
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;

-- Which tables and views a role has any right on, columns included, and which functions.
CREATE FUNCTION public.readable (whom text, readable boolean DEFAULT TRUE)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT string_agg(c.relname, ' ' ORDER BY c.relname COLLATE "C")
    FROM pg_class AS c
    WHERE c.relnamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace) AND c.relkind IN ('r', 'v', 'm', 'p', 'S', 'f')
        AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(whom, c.oid, 'USAGE, SELECT, UPDATE')
            ELSE has_any_column_privilege(whom, c.oid, 'SELECT') END = readable
$$;

CREATE FUNCTION public.writable (whom text)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT coalesce(string_agg(c.relname, ' ' ORDER BY c.relname COLLATE "C"), '')
    FROM pg_class AS c
    WHERE c.relnamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace) AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
        AND (has_any_column_privilege(whom, c.oid, 'INSERT, UPDATE, REFERENCES')
            OR has_table_privilege(whom, c.oid, 'DELETE, TRUNCATE, TRIGGER'))
$$;

-- volatile: only those that may write; definer: only those that run with their owner's rights, and read.
CREATE FUNCTION public.callable (whom text, which text DEFAULT 'all')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT coalesce(string_agg(DISTINCT f.proname::text COLLATE "C", ' ' ORDER BY f.proname::text COLLATE "C"), '')
    FROM pg_proc AS f
    WHERE f.pronamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace) AND has_function_privilege(whom, f.oid, 'EXECUTE')
        AND CASE which WHEN 'volatile' THEN f.provolatile = 'v' WHEN 'definer' THEN f.prosecdef AND f.provolatile <> 'v' ELSE TRUE END
$$;

SELECT is(public.readable ('public'), NULL, 'PUBLIC reads nothing');
SELECT is(public.writable ('public'), '', 'PUBLIC writes nothing');
SELECT is(public.callable ('public'), '', 'PUBLIC calls nothing');
SELECT ok(NOT has_schema_privilege('public', schema, 'USAGE, CREATE'), 'PUBLIC does not enter ' || schema)
FROM unnest('{bagelpay,bagelpay_internal}'::text[]) AS schema;
SELECT is(string_agg(t.typname, ' '), NULL, 'PUBLIC uses no type, domains and row types of tables and views included')
FROM pg_type AS t
WHERE t.typnamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace) AND t.typelem = 0 AND has_type_privilege('public', t.oid, 'USAGE');

SELECT is(public.readable ('bagelpay_ingest'), NULL, 'responders read nothing');
SELECT is(public.writable ('bagelpay_ingest'), '', 'responders write nothing');
SELECT is(public.callable ('bagelpay_ingest'), 'ingest served_responders', 'responders call two functions');
SELECT ok(NOT has_schema_privilege(role, schema, 'CREATE'), role || ' creates nothing in ' || schema)
FROM unnest('{bagelpay_ingest,bagelpay_reader,bagelpay_app,bagelpay_verify}'::text[]) AS role, unnest('{bagelpay,bagelpay_internal}'::text[]) AS schema;
SELECT ok(NOT has_schema_privilege('bagelpay_ingest', 'bagelpay_internal', 'USAGE'), 'responders enter no internals');

SELECT is(public.readable (role, FALSE), 'dead_letters_id_seq event_bodies forgotten_keys verifications_id_seq', role || ' reads all but bodies and what is of no use to others')
FROM unnest('{bagelpay_reader,bagelpay_app,bagelpay_verify}'::text[]) AS role;
SELECT ok(NOT has_column_privilege(role, 'bagelpay.dead_letters', 'body', 'SELECT'), role || ' sees no dead letter''s body')
FROM unnest('{bagelpay_reader,bagelpay_app,bagelpay_verify}'::text[]) AS role;
SELECT is((SELECT string_agg(a.attname, ' ') FROM pg_attribute AS a WHERE a.attrelid = 'bagelpay.dead_letters'::regclass AND a.attnum > 0 AND NOT has_column_privilege('bagelpay_reader', a.attrelid, a.attnum, 'SELECT')),
    'body', 'but all else of it');
SELECT is(public.writable ('bagelpay_reader'), '', 'readers write nothing');
SELECT is(public.writable ('bagelpay_app'), 'product_features products', 'applications write the merchant''s own tables');
SELECT is(public.callable ('bagelpay_reader', 'volatile'), '', 'readers call nothing that writes');
SELECT is(public.callable ('bagelpay_app', 'volatile'), :'app_writes', 'what applications call that writes');
SELECT is(public.callable ('bagelpay_verify', 'volatile') || public.writable ('bagelpay_verify'), 'store_verification', 'bagelhook-verify stores what it found, and writes nothing else');
SELECT is(public.callable (role, 'definer'), :'owner_reads', role || ' calls few functions that read what it may not')
FROM unnest('{bagelpay_reader,bagelpay_app,bagelpay_verify}'::text[]) AS role;
SELECT ok(has_function_privilege('bagelpay_reader', f::regprocedure, 'EXECUTE'), 'readers call ' || f)
FROM unnest(ARRAY['bagelpay.is_entitled(text, text, text, timestamptz)', 'bagelpay.is_user_entitled(text, text, text, timestamptz)', 'bagelpay.entitlements_at(timestamptz, text)', 'bagelpay.explain(text, text)', 'bagelpay.changes_since(text)', 'bagelpay.has_feature(text, text, text, timestamptz)', 'bagelpay.user_has_feature(text, text, text, timestamptz)', 'bagelpay.find(text, text)', 'bagelpay.entitlement_changes(timestamptz, timestamptz, text)']) AS f;

SELECT is(rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, FALSE, rolname || ' has no power of its own')
FROM pg_roles
WHERE rolname IN ('bagelpay_owner', 'bagelpay_ingest', 'bagelpay_reader', 'bagelpay_app', 'bagelpay_verify')
ORDER BY rolname;
SELECT is(string_agg(c.relname, ' '), NULL, 'all of it is the owner''s')
FROM pg_class AS c
WHERE c.relnamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace) AND c.relowner <> 'bagelpay_owner'::regrole;
SELECT is(string_agg(f.proname, ' '), NULL, 'every function that runs with its owner''s rights has a fixed search_path')
FROM pg_proc AS f
WHERE f.pronamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace) AND f.prosecdef AND NOT coalesce(f.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], FALSE);

-- The same, tried out.
SELECT pg_temp.take ('e1', 'subscription.paid', '2025-01-01 00:00:00', '{"payment_id":"x","metadata":{"order_id":"o1","user_id":"u1"}}') \g /dev/null
SELECT pg_temp.take ('e2', 'checkout.failed', '2025-01-01 00:00:01', '{"payment_id":"y"}') \g /dev/null
SELECT bagelpay.ingest ('[{"outcome":"invalid"}]', '{x}') \g /dev/null

SET LOCAL ROLE bagelpay_ingest;
SELECT lives_ok($$SELECT bagelpay.ingest ('[]', '{}')$$, 'a responder ingests');
SELECT throws_ok('SELECT * FROM bagelpay.' || name, '42501', NULL, 'a responder does not read ' || name)
FROM unnest('{events,event_bodies,orders,items,payments,entitlements,settings}'::text[]) AS name;
SELECT throws_ok('SELECT ' || call, '42501', NULL, 'a responder does not call ' || call)
FROM unnest(ARRAY['bagelpay.grant (''o1'')', 'bagelpay.rebuild ()', 'bagelpay.is_entitled (''c1'', ''p1'')', 'bagelpay.entitlements_at (now())', 'bagelpay_internal.fold (''{}'', ''{}'')']) AS call;
RESET ROLE;

SET LOCAL ROLE bagelpay_reader;
SELECT lives_ok('SELECT * FROM bagelpay.' || name, 'a reader reads ' || name)
FROM unnest('{settings,products,product_features,events,orders,items,subscriptions,payments,trials,cancellations,refunds,expected_orders,order_checks,entitlements,entitlements_test,zone_evidence}'::text[]) AS name;
SELECT throws_ok(call, '42501', NULL, 'a reader is refused: ' || call)
FROM unnest(ARRAY[
    'SELECT bagelpay.grant (''o1'')', 'SELECT bagelpay.revoke (''o1'')', 'SELECT bagelpay.clear (''o1'')', 'SELECT bagelpay.dispute_won (''x'')', 'SELECT bagelpay.dismiss (''x'')',
    'SELECT bagelpay.expect_order (''o1'', NULL, NULL, NULL, NULL)', 'SELECT * FROM bagelpay.ingest (''[]'', ''{}'')',
    'SELECT bagelpay.rebuild ()', 'SELECT bagelpay.rebuild (''o1'')', 'SELECT bagelpay.rekey ()', 'UPDATE bagelpay.settings SET grace = ''0''', 'INSERT INTO bagelpay.products (product_id) VALUES (''p'')',
    'SELECT body FROM bagelpay.event_bodies', 'SELECT event_id FROM bagelpay.event_bodies',
    'SELECT body FROM bagelpay.dead_letters', 'SELECT * FROM bagelpay.dead_letters']) AS call;
SELECT lives_ok(call, 'a reader may: ' || call)
FROM unnest(ARRAY[
    'SELECT id, sha256, reason, detail, event_id, order_id, customer_email, signed_timestamp, deliveries, received_at, resolved_at FROM bagelpay.dead_letters',
    'SELECT * FROM bagelpay.attention', 'SELECT * FROM bagelpay.dismissals', 'SELECT * FROM bagelpay.entitlement_changes (''2025-01-01Z'', ''2026-01-01Z'')', 'SELECT * FROM bagelpay.find (''c1'')', 'SELECT * FROM bagelpay.find (''x'')', 'SELECT * FROM bagelpay.entitled_features', 'SELECT bagelpay.has_feature (''c1'', ''f''), bagelpay.user_has_feature (''u1'', ''f'')', 'SELECT * FROM bagelpay.explain (''o1'')', 'SELECT * FROM bagelpay.changes_since ('''')', 'SELECT * FROM bagelpay.entitlements_at (now())',
    'SELECT bagelpay.is_entitled (''c1'', ''p1''), bagelpay.is_entitled (''c1@example.com'', ''p1''), bagelpay.is_user_entitled (''u1'', ''p1'')']) AS call;
SELECT is(pg_temp.told ('SELECT reason FROM bagelpay.entitlements_at (''2025-01-02Z'')') || ' ' || pg_temp.told ('SELECT count(*) FROM bagelpay.explain (''o1'')'),
    'past_due 2', 'with the rows that there are');
RESET ROLE;
UPDATE bagelpay.settings SET require_expected_order = TRUE;
SET LOCAL ROLE bagelpay_reader;
SELECT is(pg_temp.told ('SELECT reason FROM bagelpay.entitlements_at (''2025-01-02Z'')'), 'unconfirmed', 'whatever is set');
RESET ROLE;
UPDATE bagelpay.settings SET require_expected_order = FALSE;

SET LOCAL ROLE bagelpay_app;
SELECT lives_ok(call, 'an application may: ' || call)
FROM unnest(ARRAY[
    'SELECT bagelpay.dismiss (id) FROM bagelpay.attention',
    'SELECT bagelpay.grant (''o1'')', 'SELECT bagelpay.grant (''gift'', ''a@example.com'', ''p1'')', 'SELECT bagelpay.revoke (''o1'')', 'SELECT bagelpay.clear (''o1'')', 'SELECT bagelpay.dispute_won (''x'')', 'SELECT bagelpay.expect_order (''o1'', ''a@b.c'', NULL, NULL, NULL)',
    'INSERT INTO bagelpay.products (product_id, name, period) VALUES (''p1'', ''A'', ''1 month'')', 'UPDATE bagelpay.products SET note = ''x''', 'INSERT INTO bagelpay.product_features VALUES (''p1'', ''f'', 1)', 'UPDATE bagelpay.product_features SET quantity = 2',
    'DELETE FROM bagelpay.product_features', 'DELETE FROM bagelpay.products', 'SELECT bagelpay.is_entitled (''c1'', ''p1'')', 'SELECT * FROM bagelpay.entitlements']) AS call;
SELECT throws_ok(call, '42501', NULL, 'an application is refused: ' || call)
FROM unnest(ARRAY[
    'SELECT bagelpay.ingest (''[]'', ''{}'')', 'DELETE FROM bagelpay.orders', 'UPDATE bagelpay.settings SET grace = ''0''', 'INSERT INTO bagelpay.expected_orders (mode, order_id) VALUES (''live'', ''x'')', 'TRUNCATE bagelpay.products',
    'SELECT body FROM bagelpay.event_bodies', 'SELECT body FROM bagelpay.dead_letters', 'SELECT bagelpay.rebuild ()', 'SELECT bagelpay.rekey ()', 'SELECT bagelpay_internal.fold (''{}'', ''{}'')']) AS call;
RESET ROLE;

SELECT * FROM finish();

ROLLBACK;
