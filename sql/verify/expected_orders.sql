-- Verify bagelpay:expected_orders on pg

BEGIN;

SELECT mode, order_id, expected, matches, mismatches FROM bagelpay.order_checks WHERE FALSE;

SELECT 1 / (NOT bagelpay.matches_expectation ('live', 'no such order'))::integer;

ROLLBACK;
