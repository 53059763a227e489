-- Verify bagelpay:forget on pg

BEGIN;

SELECT 1 / (bagelpay.key_metadata ('{"a": 1, "b": 2}', '{metadata.a}') = '{"a": 1}')::integer;

SELECT 'bagelpay.without_old_data(bagelpay.events, text[])'::regprocedure, 'bagelpay.forget(interval, integer)'::regprocedure, 'bagelpay.forget_all(interval, bigint, bigint, bigint)'::regprocedure;

ROLLBACK;
