-- Verify bagelpay:operators on pg

BEGIN;

SELECT 1 / (NOT entitled)::integer FROM bagelpay.expect_order ('sqitch verify', 'nobody@example.com', 'nothing', 1, 'EUR');

SELECT 1 / entitled::integer FROM bagelpay.grant ('sqitch verify', 'nobody@example.com', 'nothing');

SELECT 1 / (NOT entitled)::integer FROM bagelpay.revoke ('sqitch verify');

SELECT 1 / (NOT entitled)::integer FROM bagelpay.clear ('sqitch verify');

SELECT 1 / (outcome = 'granted')::integer FROM bagelpay.adopt ('[{"user_id":"sqitch verify","email":"nobody@example.com","product_id":"nothing"}]');

SELECT 'bagelpay.dispute_won(text, text, text, text)'::regprocedure;

ROLLBACK;
