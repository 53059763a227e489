-- Deploy bagelpay:store_state to pg
--
-- What the fold takes and gives, the locks that it asks for, and how its result is stored.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- An order to fold, and the position (occurred_at, rank, event_id) of the earliest event
-- that its state does not know yet; without a position the state is not relied on at all.
CREATE TYPE bagelpay.fold_key AS (
    mode text,
    order_id text,
    from_at timestamptz,
    from_rank smallint,
    from_id text
);

-- What one event did: the statuses after it, the payment that it concerned with its status,
-- and what the fold has to say about it.
CREATE TYPE bagelpay.fold_step AS (
    event_id text,
    order_status text,
    subscription_status text,
    warnings text[],
    payment_id text,
    payment_status text
);

-- Locks orders, each given once, until the transaction ends: whoever folds an order holds
-- its lock. Blocks while another transaction holds one of them.
--
-- An order that has a row is locked by it. One that has none is locked by a number that is
-- made of its name: to make a row that is to be changed at once would be twice the writing.
-- Whoever makes the row holds the number, so that whoever waited for that finds the row, and
-- locks it, too. All lock in the order of mode and order_id, numbers before rows, so that
-- single calls wait for each other but never in a circle, and neither do transactions that
-- make several calls in that order for orders that exist. The table's own lock lets
-- rebuild() and rekey(), which lock it as a whole, wait and be waited for. Two orders of one
-- number (64 bits) merely wait for each other.
CREATE FUNCTION bagelpay.lock_orders (keys bagelpay.fold_key[])
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    missing bagelpay.fold_key[];
    lost boolean := TRUE;
BEGIN
    LOCK TABLE bagelpay.orders IN ROW EXCLUSIVE MODE;
    WHILE lost LOOP
        SELECT coalesce(array_agg(k ORDER BY k.mode, k.order_id COLLATE "C"), ARRAY[]::bagelpay.fold_key[]) INTO missing
        FROM unnest(keys) AS k
        WHERE NOT EXISTS (SELECT FROM bagelpay.orders AS o WHERE o.mode = k.mode AND o.order_id = k.order_id);
        PERFORM pg_advisory_xact_lock(hashtextextended(k.order_id, CASE k.mode WHEN 'live' THEN 5417301 ELSE 5417302 END))
        FROM unnest(missing) AS k;
        PERFORM
        FROM bagelpay.orders AS o
        WHERE (o.mode, o.order_id) IN (SELECT k.mode, k.order_id FROM unnest(keys) AS k)
        ORDER BY o.mode, o.order_id
        FOR UPDATE;
        -- A row may have gone while it was waited for, and with it the lock.
        lost := cardinality(missing) < cardinality(keys) AND EXISTS (
            SELECT
            FROM unnest(keys) AS k
            WHERE NOT EXISTS (SELECT FROM bagelpay.orders AS o WHERE o.mode = k.mode AND o.order_id = k.order_id)
                AND NOT EXISTS (SELECT FROM unnest(missing) AS m WHERE m.mode = k.mode AND m.order_id = k.order_id));
    END LOOP;
END
$$;

COMMENT ON FUNCTION bagelpay.lock_orders IS 'Locks orders until the transaction ends';

-- Stores what the fold of orders came to.
--
-- folded_orders          one for each order that has events, written whole
-- folded_subscriptions   likewise, where the order has one
-- folded_payments        their payments and
-- folded_refunds         refunds; of an incremental fold those that are new or changed
-- stale                  orders that were folded from nothing: rows of theirs that are not
--                        among the others are removed
--
-- A row is written where a byte of it differs (*<>): 2.0 equals 2, and which of them is stored must not
-- depend on what was stored before.
--
-- The caller holds the locks of the orders.
CREATE FUNCTION bagelpay.store_states (
    folded_orders bagelpay.orders[],
    folded_subscriptions bagelpay.subscriptions[],
    folded_payments bagelpay.stored_payments[],
    folded_refunds bagelpay.refunds[],
    stale bagelpay.fold_key[])
RETURNS void
LANGUAGE plpgsql
-- A plan that is made while the tables are small must not read them whole when they have
-- grown: what is to be removed is looked up order by order.
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    IF cardinality(stale) > 0 THEN
        -- NOT IN, which is hashed: to compare each payment of a large order with each other takes minutes.
        DELETE FROM bagelpay.stored_payments AS t
        USING unnest(stale) AS k
        WHERE t.mode = k.mode AND t.order_id = k.order_id
            AND (t.mode, t.order_id, t.payment_id) NOT IN (
                SELECT n.mode, n.order_id, n.payment_id FROM unnest(folded_payments) AS n);
        DELETE FROM bagelpay.refunds AS t
        USING unnest(stale) AS k
        WHERE t.mode = k.mode AND t.order_id = k.order_id
            AND (t.mode, t.order_id, t.event_id) NOT IN (
                SELECT n.mode, n.order_id, n.event_id FROM unnest(folded_refunds) AS n);
        DELETE FROM bagelpay.subscriptions AS t
        USING unnest(stale) AS k
        WHERE t.mode = k.mode AND t.order_id = k.order_id
            AND NOT EXISTS (
                SELECT FROM unnest(folded_subscriptions) AS n WHERE n.mode = t.mode AND n.order_id = t.order_id);
        DELETE FROM bagelpay.orders AS t
        USING unnest(stale) AS k
        WHERE t.mode = k.mode AND t.order_id = k.order_id
            AND NOT EXISTS (SELECT FROM unnest(folded_orders) AS n WHERE n.mode = t.mode AND n.order_id = t.order_id);
    END IF;

    INSERT INTO bagelpay.orders AS t
    SELECT * FROM unnest(folded_orders)
    ON CONFLICT (mode, order_id) DO UPDATE SET
        key_source = excluded.key_source, status = excluded.status, conflict = excluded.conflict,
        amount = excluded.amount, tax_amount = excluded.tax_amount, currency = excluded.currency,
        product_id = excluded.product_id, product_name = excluded.product_name, billing_type = excluded.billing_type,
        customer_id = excluded.customer_id, customer_email = excluded.customer_email,
        provider_order_id = excluded.provider_order_id, payment_id = excluded.payment_id, request_id = excluded.request_id,
        metadata = excluded.metadata, last_event_id = excluded.last_event_id, last_event_at = excluded.last_event_at,
        updated_at = excluded.updated_at, last_event_rank = excluded.last_event_rank,
        decision = excluded.decision, granted_at = excluded.granted_at, granted_until = excluded.granted_until,
        email_is_granted = excluded.email_is_granted, product_is_granted = excluded.product_is_granted
    WHERE t *<> excluded;

    IF cardinality(folded_subscriptions) > 0 THEN
        INSERT INTO bagelpay.subscriptions AS t
        SELECT * FROM unnest(folded_subscriptions)
        ON CONFLICT (mode, order_id) DO UPDATE SET
            status = excluded.status, subscription_id = excluded.subscription_id,
            processor_subscription_id = excluded.processor_subscription_id,
            trial_start = excluded.trial_start, trial_end = excluded.trial_end,
            billing_period_start = excluded.billing_period_start, billing_period_end = excluded.billing_period_end,
            cancel_at = excluded.cancel_at, canceled_at = excluded.canceled_at,
            cancel_at_period_end = excluded.cancel_at_period_end, ends_at = excluded.ends_at,
            recurring_interval = excluded.recurring_interval, units = excluded.units,
            payment_method = excluded.payment_method, last4 = excluded.last4, billing_amount = excluded.billing_amount,
            updated_at = excluded.updated_at,
            first_trialing_at = excluded.first_trialing_at, last_trialing_at = excluded.last_trialing_at
        WHERE t *<> excluded;
    END IF;

    IF cardinality(folded_payments) > 0 THEN
        INSERT INTO bagelpay.stored_payments AS t
        SELECT * FROM unnest(folded_payments)
        ON CONFLICT (mode, order_id, payment_id) DO UPDATE SET
            provider_order_id = excluded.provider_order_id, status = excluded.status, amount = excluded.amount,
            tax_amount = excluded.tax_amount, currency = excluded.currency, paid_at = excluded.paid_at,
            period_end = excluded.period_end, refunded_amount = excluded.refunded_amount,
            refund_running_total = excluded.refund_running_total, refund_sum = excluded.refund_sum
        WHERE t *<> excluded;
    END IF;

    IF cardinality(folded_refunds) > 0 THEN
        INSERT INTO bagelpay.refunds AS t
        SELECT * FROM unnest(folded_refunds)
        ON CONFLICT (mode, order_id, event_id) DO UPDATE SET
            payment_id = excluded.payment_id, amount = excluded.amount,
            label = excluded.label, occurred_at = excluded.occurred_at
        WHERE t *<> excluded;
    END IF;
END
$$;

COMMENT ON FUNCTION bagelpay.store_states IS 'Stores what the fold of orders came to';

-- Adds to the delivery counters of events, and replaces their fold warnings where the
-- fold has something else to say than before. Rows are locked in the order of their ids.
CREATE FUNCTION bagelpay.note_events (redelivered text[], steps bagelpay.fold_step[])
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    concerned text[] := redelivered || array(SELECT n.event_id FROM unnest(steps) AS n);
BEGIN
    PERFORM FROM bagelpay.events AS t
    WHERE t.event_id = ANY (concerned)
    ORDER BY t.event_id
    FOR UPDATE;
    UPDATE bagelpay.events AS t
    SET deliveries = deliveries + n.times, last_delivered_at = now()
    FROM (SELECT event_id, count(*) AS times FROM unnest(redelivered) AS event_id GROUP BY event_id) AS n
    WHERE t.event_id = n.event_id;
    UPDATE bagelpay.events AS t
    SET fold_warnings = n.warnings
    FROM unnest(steps) AS n
    WHERE t.event_id = n.event_id AND t.fold_warnings <> n.warnings;
END
$$;

COMMENT ON FUNCTION bagelpay.note_events IS 'Counts deliveries and notes what the fold says of events';

COMMIT;
