-- Deploy bagelpay:fold to pg
--
-- From the events of an order to its state. There is one transition, the body of the
-- loop in bagelpay.fold(): it goes on from the stored state when the new events are the
-- newest of their order, and begins with nothing when they are not.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- What one event did: the statuses after it, and what the fold has to say about it.
CREATE TYPE bagelpay.fold_step AS (
    event_id text,
    order_status text,
    subscription_status text,
    warnings text[]
);

-- The position in an array of payments of the one paid last: of equals, the bytewise
-- last payment_id. NULL where none was paid. With a provider_order_id, only payments
-- that carry it are considered.
CREATE FUNCTION bagelpay.latest_paid (payments bagelpay.payments[], provider_order_id text DEFAULT NULL)
    RETURNS integer
    LANGUAGE plpgsql
    IMMUTABLE PARALLEL SAFE
    AS $$
DECLARE
    latest integer;
BEGIN
    FOR i IN 1 .. cardinality(payments) LOOP
        CONTINUE WHEN payments[i].paid_at IS NULL
            OR (latest_paid.provider_order_id IS NOT NULL
                AND payments[i].provider_order_id IS DISTINCT FROM latest_paid.provider_order_id);
        IF latest IS NULL
            OR (payments[i].paid_at, payments[i].payment_id COLLATE "C")
                > (payments[latest].paid_at, payments[latest].payment_id COLLATE "C") THEN
            latest := i;
        END IF;
    END LOOP;
    RETURN latest;
END
$$;

COMMENT ON FUNCTION bagelpay.latest_paid IS 'Position of the latest paid payment in an array';

-- Folds the events of one order and stores what follows.
--
-- from_at, from_rank, from_id   the position (occurred_at, rank, event_id) of the
--                               earliest event that the state does not know yet. Behind
--                               the position that the state has reached, only what is
--                               new is applied; otherwise, or with NULL, all events are.
-- write                         FALSE: store nothing, only return the steps
--
-- Returns a step for each event that was applied, in the order of the fold. The caller
-- holds the lock of the order's row, and took it in an earlier statement: the events
-- must be read with a snapshot taken after it.
CREATE FUNCTION bagelpay.fold (
    fold_mode text,
    fold_order_id text,
    from_at timestamptz,
    from_rank smallint,
    from_id text,
    write boolean)
RETURNS SETOF bagelpay.fold_step
LANGUAGE plpgsql
AS $$
DECLARE
    o bagelpay.orders;
    s bagelpay.subscriptions;
    p bagelpay.payments;
    pays bagelpay.payments[];
    ids text[];         -- the payment_ids of pays
    refs bagelpay.refunds[];
    e bagelpay.events;
    steps bagelpay.fold_step[];
    step bagelpay.fold_step;
    from_scratch boolean;
    has_row boolean;    -- whether the order has a subscription row
    billed boolean;     -- whether this event is billed as a subscription
    first_payment boolean;
    full_refund boolean;
    payment_key text;
    notes text[];
    latest integer;     -- the latest paid payment, and
    named integer;      -- the one that the event names, as positions in pays
    i integer;
BEGIN
    IF write AND current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'bagelpay: orders can only be changed in transactions that are READ COMMITTED, this one is %',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state';
    END IF;
    SELECT * INTO o FROM bagelpay.orders WHERE mode = fold_mode AND order_id = fold_order_id;
    from_scratch := o.last_event_at IS NULL OR from_at IS NULL
        OR (from_at, from_rank, from_id COLLATE "C")
            <= (o.last_event_at, o.last_event_rank, o.last_event_id COLLATE "C");

    << again >>
    LOOP
        steps := '{}';
        pays := '{}';
        ids := '{}';
        latest := NULL;
        refs := '{}';
        IF from_scratch THEN
            o := NULL;
            o.mode := fold_mode;
            o.order_id := fold_order_id;
            o.status := 'pending';
            o.conflict := FALSE;
            o.email_is_granted := FALSE;
            o.product_is_granted := FALSE;
            has_row := FALSE;
        ELSE
            SELECT * INTO s FROM bagelpay.subscriptions WHERE mode = fold_mode AND order_id = fold_order_id;
            has_row := FOUND;
            SELECT coalesce(array_agg(t), '{}'), coalesce(array_agg(t.payment_id), '{}') INTO pays, ids
            FROM bagelpay.payments AS t
            WHERE mode = fold_mode AND order_id = fold_order_id;
            latest := bagelpay.latest_paid (pays);
        END IF;
        IF NOT has_row THEN
            s := NULL;
            s.mode := fold_mode;
            s.order_id := fold_order_id;
            s.status := 'pending';
        END IF;

        FOR e IN
            SELECT *
            FROM bagelpay.events
            WHERE mode = fold_mode AND order_id = fold_order_id
                AND (occurred_at, rank, event_id)
                    > (coalesce(o.last_event_at, '-infinity'), coalesce(o.last_event_rank, 0::smallint), coalesce(o.last_event_id, ''))
            ORDER BY occurred_at, rank, event_id
        LOOP
            notes := '{}';
            o.key_source := coalesce(o.key_source, e.key_source);
            o.last_event_at := e.occurred_at;
            o.last_event_rank := e.rank;
            o.last_event_id := e.event_id;
            o.updated_at := e.occurred_at;

            IF e.rank = 8 THEN
                CASE e.event_type
                    WHEN 'operator.grant' THEN
                        o.decision := 'grant';
                        o.granted_at := e.occurred_at;
                        o.granted_until := e.granted_until;
                        IF e.customer_email IS NOT NULL AND (o.customer_email IS NULL OR o.email_is_granted) THEN
                            o.customer_email := e.customer_email;
                            o.email_is_granted := TRUE;
                        END IF;
                        IF e.product_id IS NOT NULL AND (o.product_id IS NULL OR o.product_is_granted) THEN
                            o.product_id := e.product_id;
                            o.product_is_granted := TRUE;
                        END IF;
                    WHEN 'operator.revoke' THEN
                        o.decision := 'revoke';
                    WHEN 'operator.clear' THEN
                        o.decision := NULL;
                END CASE;
                steps := steps || ROW (e.event_id, o.status, CASE WHEN has_row THEN s.status END, notes)::bagelpay.fold_step;
                CONTINUE;
            END IF;

            billed := bagelpay.billed_as_subscription (e.event_type, e.billing_type, e.kind, e.has_subscription);
            IF billed AND NOT has_row THEN
                -- The subscription's status follows from all events of the order, and
                -- those before this one were folded without keeping it.
                IF NOT from_scratch THEN
                    from_scratch := TRUE;
                    CONTINUE again;
                END IF;
                has_row := TRUE;
            END IF;

            IF e.customer_id <> o.customer_id THEN
                o.conflict := TRUE;
                notes := notes || 'object.customer.id: another customer than in an earlier event of this order'::text;
            END IF;
            o.amount := coalesce(e.amount, o.amount);
            o.tax_amount := coalesce(e.tax_amount, o.tax_amount);
            o.currency := coalesce(e.currency, o.currency);
            IF e.product_id IS NOT NULL THEN
                o.product_id := e.product_id;
                o.product_is_granted := FALSE;
            END IF;
            o.product_name := coalesce(e.product_name, o.product_name);
            o.billing_type := coalesce(e.billing_type, o.billing_type);
            o.customer_id := coalesce(e.customer_id, o.customer_id);
            IF e.customer_email IS NOT NULL THEN
                o.customer_email := e.customer_email;
                o.email_is_granted := FALSE;
            END IF;
            o.provider_order_id := coalesce(e.provider_order_id, o.provider_order_id);
            o.payment_id := coalesce(e.payment_id, o.payment_id);
            o.request_id := coalesce(e.request_id, o.request_id);
            o.metadata := coalesce(e.metadata, o.metadata);
            s.subscription_id := coalesce(e.subscription_id, s.subscription_id);
            s.processor_subscription_id := coalesce(e.processor_subscription_id, s.processor_subscription_id);
            s.trial_start := coalesce(e.trial_start, s.trial_start);
            s.trial_end := coalesce(e.trial_end, s.trial_end);
            s.billing_period_start := coalesce(e.billing_period_start, s.billing_period_start);
            s.billing_period_end := coalesce(e.billing_period_end, s.billing_period_end);
            s.cancel_at := coalesce(e.cancel_at, s.cancel_at);
            s.canceled_at := coalesce(e.canceled_at, s.canceled_at);
            s.recurring_interval := coalesce(e.recurring_interval, s.recurring_interval);
            s.units := coalesce(e.units, s.units);
            s.payment_method := coalesce(e.payment_method, s.payment_method);
            s.last4 := coalesce(e.last4, s.last4);
            s.billing_amount := coalesce(e.billing_amount, s.billing_amount);

            IF e.event_type = 'subscription.paid'
                -- A subscription's checkout at no price is the beginning of a trial.
                OR (e.event_type = 'checkout.completed' AND (billed AND e.amount = 0) IS NOT TRUE)
                OR e.event_type = 'checkout.failed' THEN
                payment_key := coalesce(e.payment_id, 'order:' || e.provider_order_id, 'event:' || e.event_id);
                i := array_position(ids, payment_key);
                IF i IS NULL THEN
                    p := NULL;
                    p.mode := fold_mode;
                    p.order_id := fold_order_id;
                    p.payment_id := payment_key;
                    p.status := 'failed';
                    p.refunded_amount := 0;
                    i := cardinality(pays) + 1;
                    ids := ids || payment_key;
                ELSE
                    p := pays[i];
                END IF;
                p.provider_order_id := coalesce(e.provider_order_id, p.provider_order_id);
                p.amount := coalesce(e.amount, p.amount);
                p.tax_amount := coalesce(e.tax_amount, p.tax_amount);
                p.currency := coalesce(e.currency, p.currency);
                p.period_end := coalesce(e.billing_period_end, p.period_end);
                IF e.event_type = 'checkout.failed' THEN
                    pays[i] := p;
                    IF o.status IN ('pending', 'canceled') THEN
                        o.status := 'failed';
                    END IF;
                    IF s.status IN ('trialing', 'active') THEN
                        s.status := 'past_due';
                    END IF;
                ELSE
                    first_payment := p.paid_at IS NULL;
                    p.paid_at := coalesce(p.paid_at, e.occurred_at);
                    IF p.status = 'failed' THEN
                        p.status := 'paid';
                    END IF;
                    pays[i] := p;
                    -- Once set, paid_at stays, so that only this one can be later.
                    IF latest IS NULL OR (p.paid_at, p.payment_id COLLATE "C")
                        > (pays[latest].paid_at, pays[latest].payment_id COLLATE "C") THEN
                        latest := i;
                    END IF;
                    o.status := pays[latest].status;
                    IF first_payment THEN
                        s.status := 'active';
                        s.ends_at := NULL;
                        s.cancel_at_period_end := NULL;
                    END IF;
                END IF;

            ELSIF e.event_type = 'subscription.trialing' THEN
                o.status := 'trialing';
                s.status := 'trialing';
                s.first_trialing_at := coalesce(s.first_trialing_at, e.occurred_at);
                s.last_trialing_at := e.occurred_at;
                s.ends_at := NULL;
                s.cancel_at_period_end := NULL;

            ELSIF e.event_type = 'subscription.canceled' THEN
                s.status := 'canceled';
                s.ends_at := greatest(e.occurred_at, e.canceled_at, e.cancel_at);
                s.cancel_at_period_end := e.cancel_at_period_end;

            ELSIF e.event_type IN ('checkout.cancel', 'refund.created') THEN
                -- An event names a payment by its id, or, only where it carries none, by
                -- the provider's order.
                named := NULL;
                IF e.payment_id IS NOT NULL THEN
                    named := array_position(ids, e.payment_id);
                    IF pays[named].paid_at IS NULL THEN
                        named := NULL;
                    END IF;
                ELSIF e.provider_order_id IS NOT NULL THEN
                    named := bagelpay.latest_paid (pays, e.provider_order_id);
                END IF;

                IF e.event_type = 'checkout.cancel' THEN
                    IF named IS NOT NULL AND pays[named].status IN ('paid', 'partially_refunded') THEN
                        pays[named].status := 'disputed';
                    ELSE
                        named := NULL;
                    END IF;
                    IF named = latest THEN
                        o.status := 'disputed';
                    ELSIF o.status IN ('pending', 'failed') THEN
                        o.status := 'canceled';
                    ELSE
                        notes := notes || format('event_type: checkout.cancel leaves the order %s', o.status);
                    END IF;

                ELSE
                    IF named IS NULL AND latest IS NOT NULL
                        AND (e.payment_id IS NOT NULL OR e.provider_order_id IS NOT NULL) THEN
                        notes := notes || 'object.payment_id: no paid payment of this order has this name, the refund counts against the latest'::text;
                    END IF;
                    i := coalesce(named, latest);
                    refs := refs || ROW (fold_mode, fold_order_id, e.event_id,
                        pays[i].payment_id, e.refund_amount, e.refund_label, e.occurred_at)::bagelpay.refunds;
                    IF i IS NULL THEN
                        notes := notes || 'event_type: refund.created finds no payment to count against'::text;
                    ELSE
                        p := pays[i];
                        p.refund_running_total := coalesce(e.refund_running_total, p.refund_running_total);
                        IF e.refund_amount IS NOT NULL THEN
                            p.refund_sum := coalesce(p.refund_sum, 0) + e.refund_amount;
                        END IF;
                        p.refunded_amount := trim_scale(greatest(p.refund_running_total, p.refund_sum, 0));
                        full_refund := e.refund_label IS NOT DISTINCT FROM 'full'
                            OR coalesce(p.amount > 0 AND p.refunded_amount >= p.amount, FALSE);
                        IF NOT full_refund AND e.refund_label IS NULL
                            AND p.refund_running_total IS NULL AND p.refund_sum IS NULL THEN
                            full_refund := e.unknown_refund = 'full';
                            notes := notes || format('object.refund: neither label nor amount, taken for a %s refund', e.unknown_refund);
                        END IF;
                        IF full_refund THEN
                            p.status := 'refunded';
                        ELSIF p.status NOT IN ('refunded', 'disputed') THEN
                            p.status := 'partially_refunded';
                        END IF;
                        pays[i] := p;
                        IF i = latest THEN
                            o.status := p.status;
                        END IF;
                    END IF;
                END IF;
            END IF;
            steps := steps || ROW (e.event_id, o.status, CASE WHEN has_row THEN s.status END, notes)::bagelpay.fold_step;
        END LOOP;
        EXIT again;
    END LOOP;

    IF write THEN
        PERFORM bagelpay.store_state (o, CASE WHEN has_row THEN s END, pays, refs, from_scratch);
    END IF;
    RETURN QUERY SELECT * FROM unnest(steps);
END
$$;

COMMENT ON FUNCTION bagelpay.fold IS 'Applies the events of one order that its state does not know yet, or all of them';

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
