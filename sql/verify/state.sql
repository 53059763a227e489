-- Verify bagelpay:state on pg

BEGIN;

SELECT mode, order_id, key_source, status, conflict, amount, tax_amount, currency, product_id, product_name, billing_type,
    customer_id, customer_email, user_id, provider_order_id, payment_id, request_id, metadata, last_event_id, last_event_at,
    updated_at
FROM bagelpay.orders
WHERE FALSE;

SELECT mode, order_id, product_id, customer_id, user_id, product_name, customer_email, subscription_status, units,
    recurring_interval, subscription_id, processor_subscription_id, trial_start, trial_end, billing_period_start,
    billing_period_end, cancel_at, canceled_at, cancel_at_period_end, payment_method, last4, billing_amount, updated_at
FROM bagelpay.items
WHERE FALSE;

SELECT mode, order_id, product_id, customer_id, user_id, product_name, customer_email, status, units, recurring_interval,
    subscription_id, processor_subscription_id, trial_start, trial_end, billing_period_start, billing_period_end, cancel_at,
    canceled_at, cancel_at_period_end, payment_method, last4, billing_amount, updated_at
FROM bagelpay.subscriptions
WHERE FALSE;

SELECT mode, order_id, payment_id, provider_order_id, kind, status, product_id, product_name, customer_id, customer_email, user_id,
    units, recurring_interval, subscription_id, processor_subscription_id, amount, tax_amount, currency, paid_at, period_start,
    period_end, refunded_amount, updated_at
FROM bagelpay.payments
WHERE FALSE;

SELECT mode, order_id, event_id, product_id, customer_id, customer_email, user_id, units, subscription_id, starts_at, trial_end,
    payment_id
FROM bagelpay.trials
WHERE FALSE;

SELECT mode, order_id, event_id, product_id, customer_id, subscription_id, processor_subscription_id, occurred_at, ends_at,
    at_period_end
FROM bagelpay.cancellations
WHERE FALSE;

SELECT mode, order_id, event_id, refund_id, payment_id, amount, running_total, label, occurred_at
FROM bagelpay.refunds
WHERE FALSE;

ROLLBACK;
