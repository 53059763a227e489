-- Verify bagelpay:expected_orders on pg

BEGIN;

INSERT INTO bagelpay.expected_orders (mode, order_id, customer_email) VALUES ('live', 'sqitch verify', 'nobody@example.com');

SELECT 1 / (expected AND NOT paid AND matches IS NULL AND mismatches = '{}')::integer
FROM bagelpay.order_checks
WHERE mode = 'live' AND order_id = 'sqitch verify';

ROLLBACK;
