-- Verify bagelpay:access on pg

BEGIN;

SELECT 1 / pg_catalog.has_function_privilege('bagelpay_ingest', 'bagelpay.ingest(json, bytea[], text[], integer)', 'EXECUTE')::integer;

SELECT 1 / pg_catalog.has_table_privilege('bagelpay_reader', 'bagelpay.entitlements', 'SELECT')::integer;

SELECT 1 / pg_catalog.has_column_privilege('bagelpay_reader', 'bagelpay.dead_letters', 'customer_email', 'SELECT')::integer;

SELECT 1 / pg_catalog.has_function_privilege('bagelpay_reader', 'bagelpay.find(text, text)', 'EXECUTE')::integer;

SELECT 1 / (NOT pg_catalog.has_column_privilege('bagelpay_reader', 'bagelpay.dead_letters', 'body', 'SELECT'))::integer;

SELECT 1 / (NOT pg_catalog.has_table_privilege('bagelpay_reader', 'bagelpay.event_bodies', 'SELECT'))::integer;

SELECT 1 / pg_catalog.has_function_privilege('bagelpay_app', 'bagelpay.dispute_won(text, text, text, text)', 'EXECUTE')::integer;

SELECT 1 / pg_catalog.has_table_privilege('bagelpay_app', 'bagelpay.products', 'INSERT')::integer;

SELECT 1 / pg_catalog.has_function_privilege('bagelpay_verify', 'bagelpay_internal.store_verification(json)', 'EXECUTE')::integer;

SELECT 1 / (count(*) = 0)::integer
FROM pg_catalog.pg_proc AS f
WHERE f.pronamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace)
    AND pg_catalog.has_function_privilege('public', f.oid, 'EXECUTE');

SELECT 1 / (count(*) = 0)::integer
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace)
    AND c.relkind IN ('r', 'v')
    AND pg_catalog.has_table_privilege('public', c.oid, 'SELECT, INSERT, UPDATE, DELETE');

SELECT 1 / (count(*) = 0)::integer
FROM pg_catalog.pg_type AS t
WHERE t.typnamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace)
    AND t.typelem = 0
    AND pg_catalog.has_type_privilege('public', t.oid, 'USAGE');

ROLLBACK;
