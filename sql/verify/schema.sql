-- Verify bagelpay:schema on pg

BEGIN;

SELECT 1 / (oldest <= newest)::integer FROM bagelpay.served_responders ();

SELECT 1 / (NOT pg_catalog.has_schema_privilege('public', name, 'USAGE'))::integer
FROM pg_catalog.unnest('{bagelpay,bagelpay_internal}'::text[]) AS name;

SELECT 1 / (bagelpay.utc_plus ('2025-02-28 10:00:00+00', '1 month') = '2025-03-31 10:00:00+00')::integer;

ROLLBACK;
