-- Verify bagelpay:console_orders on pg

BEGIN;

SELECT bagelpay_internal.console_order ('live', 'sqitch verify');

ROLLBACK;
