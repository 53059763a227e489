-- Verify bagelpay:events on pg

BEGIN;

SELECT event_id, event_type, mode, occurred_at, order_id, key_source, outcome, warnings, received_at, deliveries, last_delivered_at,
    created_at_raw, product_id, product_name, billing_type, customer_id, customer_email, user_id, provider_order_id, payment_id,
    request_id, amount, tax_amount, currency, subscription_id, processor_subscription_id, trial_start, trial_end,
    billing_period_start, billing_period_end, cancel_at, canceled_at, cancel_at_period_end, recurring_interval, units,
    payment_method, last4, billing_amount, refund_id, refund_amount, refund_running_total, refund_label, metadata
FROM bagelpay.events
WHERE FALSE;

SELECT event_id, body, signed_timestamp, signature
FROM bagelpay.event_bodies
WHERE FALSE;

SELECT id, body, sha256, reason, detail, event_id, order_id, customer_email, signed_timestamp, deliveries, received_at, resolved_at
FROM bagelpay.dead_letters
WHERE FALSE;

SELECT 1 / (bagelpay_internal.fold_slot ('1970-01-01 00:00:01.9+00', 'subscription.canceled') = 23)::integer;

ROLLBACK;
