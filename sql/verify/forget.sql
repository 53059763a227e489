-- Verify bagelpay:forget on pg

BEGIN;

SELECT 1 / (bagelpay_internal.key_metadata ('{"a": 1, "b": 2}', '{metadata.a}') = '{"a": 1}')::integer;

SELECT 'bagelpay_internal.without_old_data(bagelpay.events, text[])'::regprocedure, 'bagelpay.forget(interval, integer)'::regprocedure, 'bagelpay.forget_all(interval, bigint, bigint, bigint)'::regprocedure;

ROLLBACK;
