-- Verify bagelpay:verifications on pg

BEGIN;

SELECT id, mode, started_at, finished_at, since, transactions, subscriptions, agreed, differences, verified_by FROM bagelpay.verifications WHERE FALSE;

SELECT id, kind, detail, remedy FROM bagelpay.differences WHERE FALSE;

SELECT 'bagelpay_internal.verify(text, timestamptz, timestamptz, json, json, boolean)'::regprocedure,
    'bagelpay_internal.store_verification(json)'::regprocedure;

ROLLBACK;
