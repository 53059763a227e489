-- Verify bagelpay:entitlements on pg

BEGIN;

SELECT mode, order_id, product_id, product_name, customer_id, customer_email, user_id, kind, status, entitled, reason, valid_from,
    valid_until, units, periods
FROM bagelpay.entitlements
WHERE FALSE;

SELECT mode, order_id, product_id, product_name, customer_id, customer_email, user_id, kind, status, entitled, reason, valid_from,
    valid_until, units, periods
FROM bagelpay.entitlements_test
WHERE FALSE;

SELECT 1 / (NOT bagelpay.is_entitled ('nobody', 'nothing'))::integer;

SELECT entitled, reason, holds_until FROM bagelpay.entitlement ('nobody', 'nothing');

SELECT 1 / (NOT bagelpay.is_user_entitled ('nobody', 'nothing'))::integer;

ROLLBACK;
