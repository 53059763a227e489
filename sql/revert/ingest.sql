-- Revert bagelpay:ingest from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.ingest;

DROP FUNCTION bagelpay.link_events;

DROP FUNCTION bagelpay.lock_names;

DROP TYPE bagelpay.intake;

DROP TYPE bagelpay.delivery;

COMMIT;
