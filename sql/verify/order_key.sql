-- Verify bagelpay:order_key on pg

BEGIN;

SELECT 1 / (order_id = '333' AND key_source = 'metadata')::integer
FROM bagelpay_internal.order_key ('{metadata.orderId}', '{"orderId": 333}', NULL, NULL, NULL, NULL, NULL, FALSE);

SELECT 1 / bagelpay_internal.billed_as_subscription ('checkout.completed', 'subscription', NULL, FALSE)::integer;

SELECT 1 / (bagelpay_internal.linked_order ('live', 'no such payment', 'no such order', '{}') IS NULL)::integer;

ROLLBACK;
