-- Verify bagelpay:console_orders on pg

BEGIN;

SELECT bagelpay.console_order ('live', 'sqitch verify'), bagelpay.console_search ('sqitch verify');

ROLLBACK;
