-- Revert bagelpay:fold from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.fold;

DROP FUNCTION bagelpay.remove_state;

DROP FUNCTION bagelpay.notify_orders;

DROP FUNCTION bagelpay.take_locks;

DROP FUNCTION bagelpay.order_lock;

DROP TYPE bagelpay.fold_key;

COMMIT;
