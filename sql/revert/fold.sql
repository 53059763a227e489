-- Revert bagelpay:fold from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay_internal.fold;

DROP FUNCTION bagelpay_internal.remove_state;

DROP FUNCTION bagelpay_internal.notify_orders;

DROP FUNCTION bagelpay_internal.take_locks;

DROP FUNCTION bagelpay_internal.order_lock;

DROP TYPE bagelpay_internal.fold_key;

COMMIT;
