-- Stores an event, its order and its subscription; an event that is stored already changes nothing.
-- $1 event id, $2 its type, $3 the body;
-- $4 order id, $5 customer id, $6 customer e-mail, $7 product id, $8 payment id, $9 amount, $10 currency, $11 status;
-- $12 subscription id or NULL, $13 status, $14 start of the paid period, $15 its end.
WITH event AS (
    INSERT INTO webhook_events (event_id, event_type, body)
    VALUES ($1, $2, $3)
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id
), stored_order AS (
    INSERT INTO orders (order_id, customer_id, customer_email, product_id, payment_id, amount, currency, status)
    SELECT $4, $5, $6, $7, $8, $9, $10, $11
    FROM event
    ON CONFLICT (order_id) DO UPDATE
    SET payment_id = excluded.payment_id, amount = excluded.amount, status = excluded.status, updated_at = now()
    RETURNING order_id, customer_id, product_id
)
INSERT INTO subscriptions (subscription_id, order_id, customer_id, product_id, status, period_start, period_end)
SELECT $12, order_id, customer_id, product_id, $13, $14, $15
FROM stored_order
WHERE $12::text IS NOT NULL
ON CONFLICT (subscription_id) DO UPDATE
SET status = excluded.status, period_start = excluded.period_start, period_end = excluded.period_end, updated_at = now()
