-- Verify bagelpay:dead_letters on pg

BEGIN;

SELECT 1 / (NOT bagelpay.resolve_dead_letter (0, 'sqitch verify'))::integer;

ROLLBACK;
