-- Verify bagelpay:console_find on pg

BEGIN;

SELECT bagelpay_internal.console_search ('sqitch verify'), bagelpay_internal.console_customer ('email', 'sqitch verify');

ROLLBACK;
