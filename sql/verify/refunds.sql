-- Verify bagelpay:refunds on pg

BEGIN;

SELECT bagelpay.settle_refunds ('live', 'sqitch verify', '{}', 'no such payment');

SELECT bagelpay.rename_payment ('live', 'sqitch verify', 'order:1', 'no such payment');

SELECT 'bagelpay.fold_refund'::regproc, 'bagelpay.fold_dispute'::regproc, 'bagelpay.fold_dispute_won'::regproc;

ROLLBACK;
