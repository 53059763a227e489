-- Verify bagelpay:find on pg

BEGIN;

SELECT kind, value, mode, order_id, product_id, customer_email, entitled, reason FROM bagelpay.find ('sqitch verify');

ROLLBACK;
