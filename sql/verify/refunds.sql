-- Verify bagelpay:refunds on pg

BEGIN;

SELECT bagelpay_internal.settle_refunds ('live', 'sqitch verify', '{}', 'no such payment');

SELECT bagelpay_internal.rename_payment ('live', 'sqitch verify', 'order:1', 'no such payment');

SELECT 'bagelpay_internal.fold_refund'::regproc, 'bagelpay_internal.fold_dispute'::regproc, 'bagelpay_internal.fold_dispute_won'::regproc;

ROLLBACK;
