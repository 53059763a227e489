-- Revert bagelpay:forget from pg

BEGIN;

\ir keep_events.psql

DROP PROCEDURE bagelpay.forget_all (interval, bigint, bigint, bigint);

DROP FUNCTION bagelpay.forget (interval, integer);

DROP FUNCTION bagelpay_internal.without_old_data (bagelpay.events, text[]);

DROP FUNCTION bagelpay_internal.key_metadata (jsonb, text[]);

COMMIT;
