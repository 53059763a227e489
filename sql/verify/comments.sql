-- Verify bagelpay:comments on pg

BEGIN;

SELECT 1 / (count(*) = 0)::integer
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'bagelpay'::regnamespace AND c.relkind IN ('r', 'v', 'c') AND a.attnum > 0
    AND pg_catalog.col_description(c.oid, a.attnum) IS NULL;

ROLLBACK;
