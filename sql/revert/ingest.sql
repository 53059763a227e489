-- Revert bagelpay:ingest from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.readmit;

DROP FUNCTION bagelpay.ingest;

DROP FUNCTION bagelpay.move_events;

DROP FUNCTION bagelpay.link_events;

DROP TYPE bagelpay.link;

COMMIT;
