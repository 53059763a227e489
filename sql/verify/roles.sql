-- Verify bagelpay:roles on pg

BEGIN;

SELECT 1 / (count(*) = 5)::integer
FROM pg_catalog.pg_roles
WHERE rolname IN ('bagelpay_owner', 'bagelpay_ingest', 'bagelpay_reader', 'bagelpay_app', 'bagelpay_verify')
    AND NOT rolcanlogin;

SELECT 1 / pg_catalog.pg_has_role('bagelpay_app', 'bagelpay_reader', 'USAGE')::integer;

SELECT 1 / pg_catalog.pg_has_role('bagelpay_verify', 'bagelpay_reader', 'USAGE')::integer;

ROLLBACK;
