-- Revert bagelpay:settings from pg

BEGIN;

DROP TABLE bagelpay.settings;

DROP FUNCTION bagelpay.settings_check_zone;

DROP FUNCTION bagelpay.settings_keep_row;

COMMIT;
