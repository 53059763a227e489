-- Verify bagelpay:ingest on pg

BEGIN;

SELECT 1 / (count(*) = 0)::integer
FROM bagelpay.ingest ('[]', '{}');

ROLLBACK;
