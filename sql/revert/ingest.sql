-- Revert bagelpay:ingest from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.readmit;

DROP FUNCTION bagelpay.ingest;

DROP FUNCTION bagelpay_internal.move_events;

DROP FUNCTION bagelpay_internal.link_events;

DROP TYPE bagelpay_internal.link;

COMMIT;
