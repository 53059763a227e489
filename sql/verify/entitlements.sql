-- Verify bagelpay:entitlements on pg

BEGIN;

SELECT order_id, customer_id, customer_email, product_id, product_name, kind, status, entitled, reason, valid_from, valid_until, units
FROM bagelpay.entitlements
WHERE FALSE;

SELECT order_id FROM bagelpay.entitlements_test WHERE FALSE;

SELECT 1 / (NOT bagelpay.is_entitled ('nobody', 'nothing'))::integer;

ROLLBACK;
