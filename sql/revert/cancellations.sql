-- Revert bagelpay:cancellations from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.fold_failure;

DROP FUNCTION bagelpay.latest_subscriptions;

DROP FUNCTION bagelpay.fold_cancellation;

DROP FUNCTION bagelpay.purchases_meant;

DROP TYPE bagelpay.purchase_name;

COMMIT;
