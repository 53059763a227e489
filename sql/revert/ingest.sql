-- Revert bagelpay:ingest from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.ingest (json, bytea[]);

DROP FUNCTION bagelpay.note_events (text[], bagelpay.fold_step[]);

DROP FUNCTION bagelpay.zone_half_hours (bigint, timestamptz, jsonb);

DROP FUNCTION bagelpay.local_time (jsonb, text, text);

DROP TYPE bagelpay.intake;

DROP TYPE bagelpay.delivery;

COMMIT;
