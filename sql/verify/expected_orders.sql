-- Verify bagelpay:expected_orders on pg

BEGIN;

SELECT bagelpay.expect_order ('sqitch verify', 'nobody@example.com', 'nothing', 1, 'EUR');

SELECT 1 / (expected AND NOT paid AND matches IS NULL AND mismatches = '{}')::integer
FROM bagelpay.order_checks
WHERE mode = 'live' AND order_id = 'sqitch verify';

ROLLBACK;
