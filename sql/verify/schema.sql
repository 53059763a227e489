-- Verify bagelpay:schema on pg

BEGIN;

SELECT 1 / (oldest <= newest)::integer FROM bagelpay.served_responders ();

SELECT 1 / (NOT pg_catalog.has_schema_privilege('public', 'bagelpay', 'USAGE'))::integer;

ROLLBACK;
