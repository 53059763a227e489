-- Verify bagelpay:ingest on pg

BEGIN;

SELECT 1 / (count(*) = 0)::integer
FROM bagelpay.ingest ('[]', '{}');

SELECT pg_catalog.has_function_privilege('bagelpay.readmit (json, bytea[], text[], integer)', 'EXECUTE');

ROLLBACK;
