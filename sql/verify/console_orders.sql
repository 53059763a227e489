-- Verify bagelpay:console_orders on pg

BEGIN;

SELECT bagelpay_internal.console_order ('live', 'sqitch verify'), bagelpay_internal.console_search ('sqitch verify');

ROLLBACK;
