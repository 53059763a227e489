-- Revert bagelpay:ingest from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.ingest;

DROP FUNCTION bagelpay.link_events;

COMMIT;
