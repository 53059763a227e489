-- Verify bagelpay:explain on pg

BEGIN;

SELECT "position", event_id, event_type, occurred_at, received_at, late, product_id, customer_id, order_status, subscription_status, note,
    mode, order_id
FROM bagelpay.explain ('sqitch verify');

SELECT cursor, mode, order_id, changed_at FROM bagelpay.changes_since ('9');

ROLLBACK;
