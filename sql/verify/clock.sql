-- Verify bagelpay:clock on pg

BEGIN;

SELECT at, mode, order_id, product_id, customer_id, customer_email, user_id, entitled, reason
FROM bagelpay.entitlement_changes ('2000-01-01Z', '2000-01-01Z');

ROLLBACK;
