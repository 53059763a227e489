-- Revert bagelpay:zones from pg

BEGIN;

\ir keep_events.psql

DROP VIEW bagelpay.zone_evidence;

DROP FUNCTION bagelpay_internal.zone_warning;

DROP FUNCTION bagelpay_internal.zone_half_hours;

DROP FUNCTION bagelpay_internal.local_time;

COMMIT;
