-- Deploy bagelpay:store_state to pg

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Stores what the fold of one order came to.
--
-- o, s           the order, and its subscription or NULL; both are written whole
-- pays           all of its payments
-- refs           its refunds; of an incremental fold only the new ones
-- from_scratch   TRUE: rows that do not follow from the events are removed, and with no
--                event left (o.last_event_id is NULL) the whole order is
--
-- The caller holds the lock of the order's row.
CREATE FUNCTION bagelpay.store_state (
    o bagelpay.orders,
    s bagelpay.subscriptions,
    pays bagelpay.payments[],
    refs bagelpay.refunds[],
    from_scratch boolean)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF from_scratch THEN
        DELETE FROM bagelpay.payments AS t
        WHERE t.mode = o.mode AND t.order_id = o.order_id
            AND NOT EXISTS (SELECT FROM unnest(pays) AS n WHERE n.payment_id = t.payment_id);
        DELETE FROM bagelpay.refunds AS t
        WHERE t.mode = o.mode AND t.order_id = o.order_id
            AND NOT EXISTS (SELECT FROM unnest(refs) AS n WHERE n.event_id = t.event_id);
        IF s.order_id IS NULL THEN
            DELETE FROM bagelpay.subscriptions AS t WHERE t.mode = o.mode AND t.order_id = o.order_id;
        END IF;
        IF o.last_event_id IS NULL THEN
            DELETE FROM bagelpay.orders AS t WHERE t.mode = o.mode AND t.order_id = o.order_id;
            RETURN;
        END IF;
    END IF;

    INSERT INTO bagelpay.orders AS t VALUES (o.*)
    ON CONFLICT (mode, order_id) DO UPDATE SET
        key_source = o.key_source, status = o.status, conflict = o.conflict,
        amount = o.amount, tax_amount = o.tax_amount, currency = o.currency,
        product_id = o.product_id, product_name = o.product_name, billing_type = o.billing_type,
        customer_id = o.customer_id, customer_email = o.customer_email,
        provider_order_id = o.provider_order_id, payment_id = o.payment_id, request_id = o.request_id,
        metadata = o.metadata, last_event_id = o.last_event_id, last_event_at = o.last_event_at,
        updated_at = o.updated_at, last_event_rank = o.last_event_rank,
        decision = o.decision, granted_at = o.granted_at, granted_until = o.granted_until,
        email_is_granted = o.email_is_granted, product_is_granted = o.product_is_granted
    WHERE t IS DISTINCT FROM o;

    IF s.order_id IS NOT NULL THEN
        s.updated_at := o.updated_at;
        INSERT INTO bagelpay.subscriptions AS t VALUES (s.*)
        ON CONFLICT (mode, order_id) DO UPDATE SET
            status = s.status, subscription_id = s.subscription_id,
            processor_subscription_id = s.processor_subscription_id,
            trial_start = s.trial_start, trial_end = s.trial_end,
            billing_period_start = s.billing_period_start, billing_period_end = s.billing_period_end,
            cancel_at = s.cancel_at, canceled_at = s.canceled_at,
            cancel_at_period_end = s.cancel_at_period_end, ends_at = s.ends_at,
            recurring_interval = s.recurring_interval, units = s.units,
            payment_method = s.payment_method, last4 = s.last4, billing_amount = s.billing_amount,
            updated_at = s.updated_at, first_trialing_at = s.first_trialing_at, last_trialing_at = s.last_trialing_at
        WHERE t IS DISTINCT FROM s;
    END IF;

    INSERT INTO bagelpay.payments AS t
    SELECT n.mode, n.order_id, n.payment_id, n.provider_order_id, n.status, n.amount, n.tax_amount, n.currency,
        n.paid_at, n.period_end, n.refunded_amount, o.updated_at, n.refund_running_total, n.refund_sum
    FROM unnest(pays) AS n
    ON CONFLICT (mode, order_id, payment_id) DO UPDATE SET
        provider_order_id = excluded.provider_order_id, status = excluded.status, amount = excluded.amount,
        tax_amount = excluded.tax_amount, currency = excluded.currency, paid_at = excluded.paid_at,
        period_end = excluded.period_end, refunded_amount = excluded.refunded_amount,
        updated_at = excluded.updated_at, refund_running_total = excluded.refund_running_total,
        refund_sum = excluded.refund_sum
    WHERE t IS DISTINCT FROM excluded;

    IF cardinality(refs) > 0 THEN
        INSERT INTO bagelpay.refunds AS t
        SELECT * FROM unnest(refs)
        ON CONFLICT (mode, order_id, event_id) DO UPDATE SET
            payment_id = excluded.payment_id, amount = excluded.amount,
            label = excluded.label, occurred_at = excluded.occurred_at
        WHERE t IS DISTINCT FROM excluded;
    END IF;
END
$$;

COMMENT ON FUNCTION bagelpay.store_state IS 'Stores what the fold of one order came to';

COMMIT;
