-- Revert bagelpay:schema from pg

BEGIN;

SET LOCAL ROLE bagelpay_owner;

DROP FUNCTION bagelpay.trimmed (text);

DROP FUNCTION bagelpay.served_responders ();

ALTER DEFAULT PRIVILEGES FOR ROLE bagelpay_owner GRANT EXECUTE ON FUNCTIONS TO PUBLIC;

ALTER DEFAULT PRIVILEGES FOR ROLE bagelpay_owner GRANT USAGE ON TYPES TO PUBLIC;

DROP SCHEMA bagelpay;

COMMIT;
