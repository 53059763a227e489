-- Revert bagelpay:zones from pg

BEGIN;

\ir keep_events.psql

DROP VIEW bagelpay.zone_evidence;

DROP FUNCTION bagelpay.zone_warning;

DROP FUNCTION bagelpay.zone_half_hours;

DROP FUNCTION bagelpay.local_time;

COMMIT;
