-- Revert bagelpay:products from pg

BEGIN;

DROP TABLE bagelpay.product_features;

DROP TABLE bagelpay.products;

COMMIT;
