-- Verify bagelpay:store_state on pg

BEGIN;

SELECT 'bagelpay.store_state(bagelpay.orders, bagelpay.subscriptions, bagelpay.payments[], bagelpay.refunds[], boolean)'::regprocedure;

ROLLBACK;
