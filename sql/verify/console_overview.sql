-- Verify bagelpay:console_overview on pg

BEGIN;

SELECT bagelpay_internal.console_overview (), bagelpay_internal.console_days (), bagelpay_internal.console_attention ();

ROLLBACK;
