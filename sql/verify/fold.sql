-- Verify bagelpay:fold on pg

BEGIN;

SELECT 1 / (count(*) = 0)::integer
FROM bagelpay.fold (ARRAY[ROW ('live', 'no such order', NULL, NULL, NULL)::bagelpay.fold_key], FALSE);

ROLLBACK;
