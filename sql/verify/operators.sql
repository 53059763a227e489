-- Verify bagelpay:operators on pg

BEGIN;

SELECT bagelpay.grant ('sqitch verify');

SELECT 1 / entitled::integer FROM bagelpay.entitlements WHERE order_id = 'sqitch verify';

SELECT bagelpay.revoke ('sqitch verify');

SELECT 1 / (NOT entitled)::integer FROM bagelpay.entitlements WHERE order_id = 'sqitch verify';

ROLLBACK;
