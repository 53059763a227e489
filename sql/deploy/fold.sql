-- Deploy bagelpay:fold to pg
--
-- From the events of orders to their state. There is one transition, the body of the
-- inner loop in bagelpay.fold(): it goes on from the stored state when the new events are
-- the newest of their order, and begins with nothing when they are not. All orders of a
-- batch are read by one statement and written by a few, because what a statement costs
-- to begin is several times what a row of it does.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- The position in an array of payments of the one paid last: of equals, the bytewise
-- last payment_id. NULL where none was paid. With a provider_order_id, only payments
-- that carry it are considered.
CREATE FUNCTION bagelpay.latest_paid (payments bagelpay.stored_payments[], provider_order_id text DEFAULT NULL)
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

-- Folds the events of orders and stores what follows.
--
-- keys    each order once. Where the position lies behind the one that the state has
--         reached, only what is new is applied; otherwise all events are.
-- write   FALSE: store nothing, only return the steps
--
-- Returns a step for each event that was applied, order by order, in the order of the
-- fold. The caller holds the locks of the orders (bagelpay.lock_orders()), and took them in
-- an earlier statement: the events must be read with a snapshot taken after that.
CREATE FUNCTION bagelpay.fold (keys bagelpay.fold_key[], write boolean)
RETURNS SETOF bagelpay.fold_step
LANGUAGE plpgsql
AS $$
DECLARE
    folded_orders bagelpay.orders[] := ARRAY[]::bagelpay.orders[];
    folded_subscriptions bagelpay.subscriptions[] := ARRAY[]::bagelpay.subscriptions[];
    folded_payments bagelpay.stored_payments[] := ARRAY[]::bagelpay.stored_payments[];
    folded_refunds bagelpay.refunds[] := ARRAY[]::bagelpay.refunds[];
    -- Orders of which rows may be stored that do not follow from the events.
    stale bagelpay.fold_key[] := ARRAY[]::bagelpay.fold_key[];
    -- Orders whose state turns out not to hold what is needed to go on from it.
    again bagelpay.fold_key[] := ARRAY[]::bagelpay.fold_key[];
    -- How many events of an order are in memory at once: there may be very many, and large.
    few CONSTANT integer := 16;
    events bagelpay.events[];
    target record;
    o bagelpay.orders;
    s bagelpay.subscriptions;
    p bagelpay.stored_payments;
    pays bagelpay.stored_payments[];
    ids text[];         -- the payment_ids of pays
    touched integer[];  -- those that events of an incremental fold were about, as positions in pays
    r bagelpay.refunds;
    refs bagelpay.refunds[];
    e bagelpay.events;
    step bagelpay.fold_step;
    steps bagelpay.fold_step[];
    has_row boolean;    -- whether the order has a subscription row
    billed boolean;     -- whether this event is billed as a subscription
    first_payment boolean;
    full_refund boolean;
    payment_key text;
    notes text[];
    latest integer;     -- the latest paid payment, and
    named integer;      -- the one that the event names, as positions in pays
    i integer;          -- the one that it concerns
BEGIN
    IF write AND current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'bagelpay: orders can only be changed in transactions that are READ COMMITTED, this one is %',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state';
    END IF;

    << orders >>
    FOR target IN
        SELECT k.mode, k.order_id, t AS state, c.from_scratch,
            c.from_scratch AND (t.mode IS NOT NULL OR k.from_at IS NULL) AS stale,
            CASE WHEN NOT c.from_scratch THEN (
                SELECT n FROM bagelpay.subscriptions AS n WHERE n.mode = k.mode AND n.order_id = k.order_id) END AS subscription,
            CASE WHEN NOT c.from_scratch THEN array(
                SELECT n FROM bagelpay.stored_payments AS n WHERE n.mode = k.mode AND n.order_id = k.order_id) END AS payments,
            array(
                SELECT n
                FROM bagelpay.events AS n
                WHERE n.mode = k.mode AND n.order_id = k.order_id
                    AND (n.occurred_at, n.rank, n.event_id) > (
                        CASE WHEN c.from_scratch THEN '-infinity' ELSE t.last_event_at END,
                        CASE WHEN c.from_scratch THEN 0::smallint ELSE t.last_event_rank END,
                        CASE WHEN c.from_scratch THEN '' ELSE t.last_event_id END)
                ORDER BY n.occurred_at, n.rank, n.event_id
                LIMIT few) AS events
        FROM unnest(keys) AS k
        LEFT JOIN bagelpay.orders AS t ON t.mode = k.mode AND t.order_id = k.order_id
        CROSS JOIN LATERAL (
            SELECT t.last_event_at IS NULL OR k.from_at IS NULL
                OR (k.from_at, k.from_rank, k.from_id COLLATE "C")
                    <= (t.last_event_at, t.last_event_rank, t.last_event_id COLLATE "C")) AS c (from_scratch)
    LOOP
        -- With their types: a mere '{}' would be parsed each time.
        steps := ARRAY[]::bagelpay.fold_step[];
        pays := ARRAY[]::bagelpay.stored_payments[];
        ids := ARRAY[]::text[];
        touched := ARRAY[]::integer[];
        latest := NULL;
        refs := ARRAY[]::bagelpay.refunds[];
        s := NULL;
        IF target.from_scratch THEN
            o := NULL;
            o.mode := target.mode;
            o.order_id := target.order_id;
            o.status := 'pending';
            o.conflict := FALSE;
            o.email_is_granted := FALSE;
            o.product_is_granted := FALSE;
        ELSE
            o := target.state;
            s := target.subscription;
            pays := target.payments;
            FOR i IN 1 .. cardinality(pays) LOOP
                ids := ids || pays[i].payment_id;
            END LOOP;
            latest := bagelpay.latest_paid (pays);
        END IF;
        has_row := s.mode IS NOT NULL;
        IF NOT has_row THEN
            s.mode := target.mode;
            s.order_id := target.order_id;
            s.status := 'pending';
        END IF;

        events := target.events;
        LOOP
            FOREACH e IN ARRAY events LOOP
                notes := ARRAY[]::text[];
                i := NULL;
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
                    steps := steps || ROW (e.event_id, o.status, CASE WHEN has_row THEN s.status END, notes, NULL, NULL)::bagelpay.fold_step;
                    CONTINUE;
                END IF;

                billed := bagelpay.billed_as_subscription (e.event_type, e.billing_type, e.kind, e.has_subscription);
                IF billed AND NOT has_row THEN
                    -- The subscription's status follows from all events of the order, and
                    -- those before this one were folded without keeping it.
                    IF NOT target.from_scratch THEN
                        again := again || ROW (target.mode, target.order_id, NULL, NULL, NULL)::bagelpay.fold_key;
                        CONTINUE orders;
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
                        p.mode := target.mode;
                        p.order_id := target.order_id;
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
                        i := named;
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
                        refs := refs || ROW (target.mode, target.order_id, e.event_id,
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
                steps := steps || ROW (e.event_id, o.status, CASE WHEN has_row THEN s.status END, notes,
                    pays[i].payment_id, pays[i].status)::bagelpay.fold_step;
                IF NOT target.from_scratch AND i IS NOT NULL AND array_position(touched, i) IS NULL THEN
                    touched := touched || i;
                END IF;
            END LOOP;
            EXIT WHEN cardinality(events) < few;
            events := array(
                SELECT n
                FROM bagelpay.events AS n
                WHERE n.mode = target.mode AND n.order_id = target.order_id
                    AND (n.occurred_at, n.rank, n.event_id) > (o.last_event_at, o.last_event_rank, o.last_event_id)
                ORDER BY n.occurred_at, n.rank, n.event_id
                LIMIT few);
        END LOOP;

        FOREACH step IN ARRAY steps LOOP
            RETURN NEXT step;
        END LOOP;
        IF target.stale THEN
            stale := stale || ROW (target.mode, target.order_id, NULL, NULL, NULL)::bagelpay.fold_key;
        END IF;
        -- Without any event the order is none.
        IF o.last_event_id IS NOT NULL THEN
            folded_orders := folded_orders || o;
            IF has_row THEN
                s.updated_at := o.updated_at;
                folded_subscriptions := folded_subscriptions || s;
            END IF;
            IF target.from_scratch THEN
                folded_payments := folded_payments || pays;
            ELSE
                FOREACH i IN ARRAY touched LOOP
                    folded_payments := folded_payments || pays[i];
                END LOOP;
            END IF;
            FOREACH r IN ARRAY refs LOOP
                folded_refunds := folded_refunds || r;
            END LOOP;
        END IF;
    END LOOP;

    IF write THEN
        PERFORM bagelpay.store_states (folded_orders, folded_subscriptions, folded_payments, folded_refunds, stale);
    END IF;
    IF cardinality(again) > 0 THEN
        RETURN QUERY SELECT * FROM bagelpay.fold (again, write);
    END IF;
END
$$;

COMMENT ON FUNCTION bagelpay.fold IS 'Applies the events of orders that their states do not know yet, or all of them';

COMMIT;
