-- Revert bagelpay:entitlements from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.is_entitled (text, text, text, timestamptz);

DROP VIEW bagelpay.entitlements_test;

DROP VIEW bagelpay.entitlements;

DROP FUNCTION bagelpay.entitlements_at (timestamptz, text);

DROP FUNCTION bagelpay.interval_length (text);

DROP FUNCTION bagelpay.utc_plus (timestamptz, interval);

COMMIT;
