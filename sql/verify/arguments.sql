-- Verify bagelpay:arguments on pg

BEGIN;

SELECT 1 / (NOT bagelpay.is_user_entitled (0, 'nothing'))::integer;

SELECT bagelpay.expect_order (0, NULL, NULL, 0.5::double precision, NULL);

ROLLBACK;
