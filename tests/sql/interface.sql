-- All that the schema bagelpay has, which is the stable interface. Whatever else there is belongs into bagelpay_internal.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(7);

SELECT set_eq(
    $$SELECT c.relname::text FROM pg_class AS c WHERE c.relnamespace = 'bagelpay'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'c')$$,
    ARRAY[
        'attention', 'attention_row', 'cancellations', 'dead_letters', 'differences', 'dismissals', 'effect', 'entitled_features', 'entitlement', 'entitlement_change',
        'entitlements', 'entitlements_test', 'event_bodies', 'events', 'expected_orders', 'explanation', 'finding', 'forgotten_keys', 'items',
        'order_checks', 'orders', 'payments', 'product_features', 'products', 'refunds', 'settings', 'subscriptions', 'trials',
        'verifications', 'zone_evidence'],
    'tables, views and types of rows');

SELECT set_eq(
    $$SELECT t.typname::text FROM pg_type AS t WHERE t.typnamespace = 'bagelpay'::regnamespace AND t.typtype <> 'c' AND t.typelem = 0$$,
    ARRAY['key_source', 'mode', 'order_status', 'payment_status', 'purchase_kind', 'refund_label', 'subscription_status'], 'domains');

SELECT set_eq(
    $$SELECT f.oid::regprocedure::text FROM pg_proc AS f WHERE f.pronamespace = 'bagelpay'::regnamespace$$,
    ARRAY[
        'bagelpay.adopt(json,text)', 'bagelpay.changes_since(text)', 'bagelpay.clear(bigint,text,text,text,text)',
        'bagelpay.clear(text,text,text,text,text)', 'bagelpay.dismiss(text,text)', 'bagelpay.dispute_won(text,text,text,text)',
        'bagelpay.entitlement(text,text,text,timestamp with time zone)',
        'bagelpay.entitlement_changes(timestamp with time zone,timestamp with time zone,text)',
        'bagelpay.entitlements_at(timestamp with time zone,text)',
        'bagelpay.expect_order(bigint,text,text,double precision,text,text)', 'bagelpay.expect_order(bigint,text,text,numeric,text,text)',
        'bagelpay.expect_order(bigint,text,text,text,text,text)', 'bagelpay.expect_order(text,text,text,double precision,text,text)',
        'bagelpay.expect_order(text,text,text,numeric,text,text)', 'bagelpay.expect_order(text,text,text,text,text,text)',
        'bagelpay.explain(bigint,text)', 'bagelpay.explain(text,text)', 'bagelpay.find(bigint,text)', 'bagelpay.find(text,text)',
        'bagelpay.forget(interval,integer)', 'bagelpay.forget_all(interval,bigint,bigint,bigint)', 'bagelpay.forget_customer(text)',
        'bagelpay."grant"(bigint,text,text,timestamp with time zone,text,text)',
        'bagelpay."grant"(text,text,text,timestamp with time zone,text,text)',
        'bagelpay.has_feature(text,text,text,timestamp with time zone)', 'bagelpay.ingest(json,bytea[],text[],integer)',
        'bagelpay.is_entitled(text,text,text,timestamp with time zone)', 'bagelpay.is_user_entitled(bigint,text,text,timestamp with time zone)',
        'bagelpay.is_user_entitled(text,text,text,timestamp with time zone)', 'bagelpay.readmit(json,bytea[],text[],integer)',
        'bagelpay.rebuild()', 'bagelpay.rebuild(bigint,text)', 'bagelpay.rebuild(text,text)', 'bagelpay.rekey()',
        'bagelpay.revoke(bigint,text,text,text,text)', 'bagelpay.revoke(text,text,text,text,text)', 'bagelpay.served_responders()',
        'bagelpay.user_has_feature(bigint,text,text,timestamp with time zone)',
        'bagelpay.user_has_feature(text,text,text,timestamp with time zone)', 'bagelpay.utc_plus(timestamp with time zone,interval)'],
    'functions');

-- The array of a type stands for its elements.
SELECT is(string_agg(n.what, ' ' ORDER BY n.what), NULL, 'no column, argument or result of these is of an internal type')
FROM (
    SELECT a.attrelid::regclass || '.' || a.attname AS what, a.atttypid AS type
    FROM pg_attribute AS a
    JOIN pg_class AS c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'bagelpay'::regnamespace AND a.attnum > 0
    UNION ALL
    SELECT f.oid::regprocedure::text, u.type
    FROM pg_proc AS f
    CROSS JOIN LATERAL unnest(coalesce(f.proallargtypes, f.proargtypes::oid[]) || f.prorettype) AS u (type)
    WHERE f.pronamespace = 'bagelpay'::regnamespace) AS n
JOIN pg_type AS t ON t.oid = n.type
LEFT JOIN pg_type AS e ON e.oid = t.typelem
WHERE 'bagelpay_internal'::regnamespace IN (t.typnamespace, e.typnamespace);

SELECT is(string_agg(n.what, ' ' ORDER BY n.what), NULL, 'each table, view, type and function has a comment')
FROM (
    SELECT c.oid::regclass::text AS what, obj_description(c.oid, 'pg_class') AS comment
    FROM pg_class AS c
    WHERE c.relnamespace = 'bagelpay'::regnamespace AND c.relkind IN ('r', 'v')
    UNION ALL
    SELECT t.oid::regtype::text, obj_description(t.oid, 'pg_type')
    FROM pg_type AS t
    LEFT JOIN pg_class AS c ON c.oid = t.typrelid
    WHERE t.typnamespace = 'bagelpay'::regnamespace AND (t.typtype = 'd' OR c.relkind = 'c')
    UNION ALL
    SELECT f.oid::regprocedure::text, obj_description(f.oid, 'pg_proc')
    FROM pg_proc AS f
    WHERE f.pronamespace = 'bagelpay'::regnamespace) AS n
WHERE coalesce(n.comment, '') = '';

SELECT is(string_agg(c.oid::regclass || '.' || a.attname, ' '), NULL, 'each of their columns')
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'bagelpay'::regnamespace AND c.relkind IN ('r', 'v', 'c') AND a.attnum > 0
    AND coalesce(col_description(c.oid, a.attnum), '') = '';

SELECT is(string_agg(f.oid::regprocedure || ' ' || u.name, ' '), NULL, 'each argument and result, in a line of the function''s comment')
FROM pg_proc AS f
CROSS JOIN LATERAL unnest(f.proargnames) AS u (name)
WHERE f.pronamespace = 'bagelpay'::regnamespace AND obj_description(f.oid, 'pg_proc') !~ format('^%s\(\) for |\n%s: .', f.proname, u.name);

SELECT * FROM finish();

ROLLBACK;
