-- Revert bagelpay:zones from pg

BEGIN;

\ir keep_events.psql

DROP VIEW bagelpay.zone_evidence;

DROP FUNCTION bagelpay.zone_warnings (bigint, timestamptz, jsonb, text);

DROP FUNCTION bagelpay.zone_half_hours (bigint, timestamptz, jsonb, text);

DROP FUNCTION bagelpay.local_time (jsonb, text, text);

COMMIT;
