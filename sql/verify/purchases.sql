-- Verify bagelpay:purchases on pg

BEGIN;

SELECT 1 / (bagelpay.subscription_key ('live', 'sqitch verify', 'p', 's1') = 'p:s1')::integer;

SELECT 1 / (bagelpay.customer_by_email ('live', 'sqitch verify', 'a@example.com', 0, now(), '') = 'email:a@example.com')::integer;

SELECT bagelpay.store_rows ('{}', '{}');

SELECT bagelpay.refold_item ('live', 'sqitch verify', 0);

SELECT 'bagelpay.order_after'::regproc, 'bagelpay.purchase_after'::regproc, 'bagelpay.inheriting'::regproc;

ROLLBACK;
