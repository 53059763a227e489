-- Revert bagelpay:cancellations from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay_internal.fold_failure;

DROP FUNCTION bagelpay_internal.latest_subscriptions;

DROP FUNCTION bagelpay_internal.fold_cancellation;

DROP FUNCTION bagelpay_internal.purchases_meant;

DROP TYPE bagelpay_internal.purchase_name;

COMMIT;
