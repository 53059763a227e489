-- Revert bagelpay:refunds from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay_internal.rename_payment;

DROP FUNCTION bagelpay_internal.fold_dispute_won;

DROP FUNCTION bagelpay_internal.fold_dispute;

DROP FUNCTION bagelpay_internal.fold_refund;

DROP FUNCTION bagelpay_internal.settle_payment;

DROP FUNCTION bagelpay_internal.settle_refunds;

DROP FUNCTION bagelpay_internal.judge_payments;

DROP FUNCTION bagelpay_internal.named_payment;

DROP FUNCTION bagelpay_internal.payment_by_provider_order;

COMMIT;
