-- Verify bagelpay:listings on pg

BEGIN;

SELECT * FROM bagelpay_internal.compare ('live', now(), now(), '[]', '[]', FALSE);

SELECT 'bagelpay_internal.difference_id(bagelpay_internal.difference)'::regprocedure,
    'bagelpay_internal.difference_detail(bagelpay_internal.difference)'::regprocedure,
    'bagelpay_internal.difference_remedy(bagelpay_internal.difference)'::regprocedure;

ROLLBACK;
