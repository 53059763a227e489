-- Verify bagelpay:purchases on pg

BEGIN;

SELECT 1 / (bagelpay_internal.subscription_key ('live', 'sqitch verify', 'p', 's1') = 'p:s1')::integer;

SELECT 1 / (bagelpay_internal.customer_by_email ('live', 'sqitch verify', 'a@example.com', 0, now(), '') = 'email:a@example.com')::integer;

SELECT bagelpay_internal.store_rows ('{}', '{}');

SELECT bagelpay_internal.refold_item ('live', 'sqitch verify', 0);

SELECT 'bagelpay_internal.order_after'::regproc, 'bagelpay_internal.purchase_after'::regproc, 'bagelpay_internal.inheriting'::regproc;

ROLLBACK;
