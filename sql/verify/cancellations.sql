-- Verify bagelpay:cancellations on pg

BEGIN;

SELECT 'bagelpay_internal.purchases_meant'::regproc, 'bagelpay_internal.fold_cancellation'::regproc, 'bagelpay_internal.fold_failure'::regproc;

ROLLBACK;
