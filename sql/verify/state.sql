-- Verify bagelpay:state on pg

BEGIN;

SELECT mode, order_id, key_source, status, conflict, amount, tax_amount, currency, product_id, product_name,
    billing_type, customer_id, customer_email, provider_order_id, payment_id, request_id, metadata,
    last_event_id, last_event_at, updated_at
FROM bagelpay.orders
WHERE FALSE;

SELECT mode, order_id, status, subscription_id, processor_subscription_id, trial_start, trial_end,
    billing_period_start, billing_period_end, cancel_at, canceled_at, cancel_at_period_end, ends_at,
    recurring_interval, units, payment_method, last4, billing_amount, updated_at
FROM bagelpay.subscriptions
WHERE FALSE;

SELECT mode, order_id, payment_id, provider_order_id, status, amount, tax_amount, currency, paid_at, period_end,
    refunded_amount, updated_at
FROM bagelpay.payments
WHERE FALSE;

SELECT mode, order_id, event_id, payment_id, amount, label, occurred_at
FROM bagelpay.refunds
WHERE FALSE;

ROLLBACK;
