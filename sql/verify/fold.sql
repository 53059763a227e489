-- Verify bagelpay:fold on pg

BEGIN;

SELECT bagelpay_internal.take_locks (ARRAY[bagelpay_internal.order_lock ('live', 'sqitch verify')]);

SELECT bagelpay_internal.fold (ARRAY[ROW ('live', 'sqitch verify')::bagelpay_internal.fold_key], '{}');

SELECT 1 / (count(*) = 0)::integer FROM bagelpay.orders WHERE order_id = 'sqitch verify';

ROLLBACK;
