-- Revert bagelpay:dead_letters from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.resolve_dead_letter (bigint, text);

COMMIT;
