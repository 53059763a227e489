-- Revert bagelpay:ingest from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.ingest (json, bytea[]);

DROP TYPE bagelpay.intake;

DROP TYPE bagelpay.delivery;

COMMIT;
