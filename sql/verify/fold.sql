-- Verify bagelpay:fold on pg

BEGIN;

SELECT bagelpay.take_locks (ARRAY[bagelpay.order_lock ('live', 'sqitch verify')]);

SELECT bagelpay.fold (ARRAY[ROW ('live', 'sqitch verify')::bagelpay.fold_key], '{}');

SELECT 1 / (count(*) = 0)::integer FROM bagelpay.orders WHERE order_id = 'sqitch verify';

ROLLBACK;
