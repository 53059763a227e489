-- Verify bagelpay:rebuild on pg

BEGIN;

SELECT 1 / (bagelpay.rebuild ('sqitch verify') = 0)::integer;

SELECT 'bagelpay.rebuild()'::regprocedure, 'bagelpay.rekey()'::regprocedure;

ROLLBACK;
