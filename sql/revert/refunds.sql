-- Revert bagelpay:refunds from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.rename_payment;

DROP FUNCTION bagelpay.fold_dispute_won;

DROP FUNCTION bagelpay.fold_dispute;

DROP FUNCTION bagelpay.fold_refund;

DROP FUNCTION bagelpay.settle_payment;

DROP FUNCTION bagelpay.settle_refunds;

DROP FUNCTION bagelpay.judge_payments;

DROP FUNCTION bagelpay.named_payment;

DROP FUNCTION bagelpay.payment_by_provider_order;

COMMIT;
