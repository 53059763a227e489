-- Revert bagelpay:schema from pg

BEGIN;

SET LOCAL ROLE bagelpay_owner;

DROP FUNCTION bagelpay.utc_plus;

DROP FUNCTION bagelpay_internal.statement;

DROP FUNCTION bagelpay_internal.trimmed;

DROP DOMAIN bagelpay.refund_label;

DROP DOMAIN bagelpay.key_source;

DROP DOMAIN bagelpay.mode;

DROP FUNCTION bagelpay.served_responders;

ALTER DEFAULT PRIVILEGES FOR ROLE bagelpay_owner GRANT EXECUTE ON FUNCTIONS TO PUBLIC;

ALTER DEFAULT PRIVILEGES FOR ROLE bagelpay_owner GRANT USAGE ON TYPES TO PUBLIC;

DROP SCHEMA bagelpay_internal;

DROP SCHEMA bagelpay;

COMMIT;
