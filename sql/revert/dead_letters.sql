-- Revert bagelpay:dead_letters from pg

BEGIN;

DROP FUNCTION bagelpay.resolve_dead_letter (bigint, text);

COMMIT;
