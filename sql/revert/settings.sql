-- Revert bagelpay:settings from pg

BEGIN;

DROP TABLE bagelpay.settings;

DROP FUNCTION bagelpay_internal.settings_check_zone;

DROP FUNCTION bagelpay_internal.settings_keep_row;

COMMIT;
