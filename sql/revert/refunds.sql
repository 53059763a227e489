-- Revert bagelpay:refunds from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.rename_payment;

DROP FUNCTION bagelpay.fold_dispute_won;

DROP FUNCTION bagelpay.fold_dispute;

DROP FUNCTION bagelpay.fold_failure;

DROP FUNCTION bagelpay.latest_subscriptions;

DROP FUNCTION bagelpay.fold_cancellation;

DROP FUNCTION bagelpay.fold_refund;

DROP FUNCTION bagelpay.settle_payment;

DROP FUNCTION bagelpay.settle_refunds;

DROP FUNCTION bagelpay.judge_payments;

DROP FUNCTION bagelpay.purchases_meant;

DROP FUNCTION bagelpay.named_payment;

DROP FUNCTION bagelpay.payment_by_provider_order;

DROP TYPE bagelpay.purchase_name;

COMMIT;
