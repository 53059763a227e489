-- Verify bagelpay:products on pg

BEGIN;

SELECT product_id, name, period, note FROM bagelpay.products WHERE FALSE;

SELECT product_id, feature, quantity FROM bagelpay.product_features WHERE FALSE;

ROLLBACK;
