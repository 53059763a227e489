-- Revert bagelpay:fold from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.fold (bagelpay.fold_key[], boolean);

DROP FUNCTION bagelpay.latest_paid (bagelpay.stored_payments[], text);

COMMIT;
