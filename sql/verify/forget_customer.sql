-- Verify bagelpay:forget_customer on pg

BEGIN;

SELECT 1 / bagelpay_internal.mentions ('to Ann@example.com', '{ann@example.com}'::text[])::integer;

SELECT 'bagelpay_internal.erased_metadata(jsonb, text[], text, text[])'::regprocedure, 'bagelpay.forget_customer(text)'::regprocedure;

ROLLBACK;
