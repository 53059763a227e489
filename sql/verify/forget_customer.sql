-- Verify bagelpay:forget_customer on pg

BEGIN;

SELECT 1 / bagelpay.mentions ('to Ann@example.com', 'ann@example.com')::integer;

SELECT 'bagelpay.forget_customer(text)'::regprocedure;

ROLLBACK;
