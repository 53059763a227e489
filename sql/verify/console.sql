-- Verify bagelpay:console on pg

BEGIN;

SELECT 1 / pg_catalog.pg_has_role('bagelpay_console', 'bagelpay_reader', 'USAGE')::integer;

SELECT 1 / pg_catalog.has_table_privilege('bagelpay_console', 'bagelpay.event_bodies', 'SELECT')::integer;

SELECT 1 / (count(*) = 0)::integer
FROM pg_catalog.pg_class AS c
WHERE c.relnamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace)
    AND c.relkind IN ('r', 'v')
    AND pg_catalog.has_table_privilege('bagelpay_console', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE');

SELECT bagelpay_internal.console_deliveries (), bagelpay_internal.console_delivery (''),
    bagelpay_internal.console_dead_letters (), bagelpay_internal.console_dead_letter (0);

ROLLBACK;
