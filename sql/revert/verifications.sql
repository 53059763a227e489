-- Revert bagelpay:verifications from pg

BEGIN;

\ir keep_events.psql

DROP VIEW bagelpay.differences;

DROP FUNCTION bagelpay_internal.open_differences;

DROP FUNCTION bagelpay_internal.store_verification;

DROP FUNCTION bagelpay_internal.verify;

DROP TABLE bagelpay_internal.stored_differences;

DROP TABLE bagelpay.verifications;

COMMIT;
