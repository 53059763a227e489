-- Verify bagelpay:fold on pg

BEGIN;

SELECT 1 / (count(*) = 0)::integer
FROM bagelpay.fold ('live', 'no such order', NULL, NULL, NULL, FALSE);

ROLLBACK;
