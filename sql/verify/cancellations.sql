-- Verify bagelpay:cancellations on pg

BEGIN;

SELECT 'bagelpay.purchases_meant'::regproc, 'bagelpay.fold_cancellation'::regproc, 'bagelpay.fold_failure'::regproc;

ROLLBACK;
