-- Verify bagelpay:fold on pg

BEGIN;

SELECT bagelpay.lock_orders (ARRAY[ROW ('live', 'sqitch verify', NULL, NULL, NULL)::bagelpay.fold_key]);

SELECT bagelpay.fold (ARRAY[ROW ('live', 'sqitch verify', NULL, NULL, NULL)::bagelpay.fold_key]);

SELECT 1 / (count(*) = 0)::integer FROM bagelpay.orders WHERE order_id = 'sqitch verify';

ROLLBACK;
