-- Revert bagelpay:explain from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.changes_since;

DROP FUNCTION bagelpay.given_cursor;

DROP FUNCTION bagelpay.explain;

COMMIT;
