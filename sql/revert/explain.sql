-- Revert bagelpay:explain from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.changes_since (text);

DROP FUNCTION bagelpay.given_cursor (text);

DROP FUNCTION bagelpay.explain (text, text);

COMMIT;
