-- Verify bagelpay:features on pg

BEGIN;

SELECT 1 / (NOT bagelpay.has_feature ('nobody', 'nothing'))::integer;

SELECT 1 / (NOT bagelpay.user_has_feature ('nobody', 'nothing'))::integer;

SELECT mode, customer_id, customer_email, user_id, feature, quantity, valid_until FROM bagelpay.entitled_features WHERE FALSE;

ROLLBACK;
