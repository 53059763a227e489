-- Deploy bagelpay:fold to pg
--
-- From the events of orders to their state. There is one transition, the body of the inner loop in bagelpay.fold(): it
-- goes on from the stored rows if the new events are the newest of their order, and begins with nothing if they are
-- not. Rows are looked up by keys, so that an event costs the same however many purchases its order has.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- An order to fold, and the position of the earliest event that its state does not know yet; without a position the
-- state is not relied on at all.
CREATE TYPE bagelpay.fold_key AS (
    mode text,
    order_id text,
    from_slot bigint,
    from_at timestamptz,
    from_id text
);

-- Locks orders until the transaction ends: folding an order needs its lock. Blocks while another transaction holds
-- one of them. Locks are numbers (advisory locks), taken in ascending order, so that single calls wait for each other but
-- never in a circle. The table's own lock lets rebuild() and rekey(), which lock it as a whole, wait and be waited
-- for. Two orders of one number (64 bits) merely wait for each other.
CREATE FUNCTION bagelpay.lock_orders (keys bagelpay.fold_key[])
    RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    LOCK TABLE bagelpay.orders IN ROW EXCLUSIVE MODE;
    PERFORM pg_advisory_xact_lock(l.number)
    FROM (
        SELECT DISTINCT hashtextextended(k.order_id COLLATE "C", CASE k.mode WHEN 'live' THEN 5417301 ELSE 5417302 END) AS number
        FROM unnest(keys) AS k
        ORDER BY number
        OFFSET 0) AS l;
END
$$;

COMMENT ON FUNCTION bagelpay.lock_orders IS 'Locks orders until the transaction ends';

-- NOTIFY bagelpay_orders, if something changed and the setting notify has it so.
CREATE FUNCTION bagelpay.notify_orders (has_changed boolean)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF has_changed AND (SELECT setting.notify FROM bagelpay.settings AS setting) THEN
        NOTIFY bagelpay_orders;
    END IF;
END
$$;

COMMENT ON FUNCTION bagelpay.notify_orders IS 'Tells listeners that orders changed, unless the settings say otherwise';

-- Removes the state of an order; its events stay. Needs its lock.
CREATE FUNCTION bagelpay.remove_state (of_mode text, of_order text)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    DELETE FROM bagelpay.orders AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
    DELETE FROM bagelpay.stored_items AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
    DELETE FROM bagelpay.purchases AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
    DELETE FROM bagelpay.cancellations AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
    DELETE FROM bagelpay.refunds AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
    DELETE FROM bagelpay.decisions AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
    DELETE FROM bagelpay.subscription_links AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
END
$$;

COMMENT ON FUNCTION bagelpay.remove_state IS 'Removes the state of an order, but not its events';

-- Folds the events of orders and stores the state.
--
-- keys    each order once. If the position lies behind the one that the state has reached, only what is new is
--         applied; otherwise all events are.
--
-- The caller holds the locks of the orders (bagelpay.lock_orders()), and took them in an earlier statement: the events
-- must be read with a snapshot taken after that. Raises invalid_transaction_state unless the transaction is READ
-- COMMITTED, where each statement has a snapshot of its own.
CREATE FUNCTION bagelpay.fold (keys bagelpay.fold_key[])
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    target record;
    e bagelpay.events;
    o bagelpay.orders;
    p bagelpay.purchases;
    stored bagelpay.purchases;      -- the row of p before this event
    i bagelpay.stored_items;
    number integer := 0;            -- how many orders so far
    -- Written at the end: orders, and what events did.
    orders bagelpay.orders[] := ARRAY[]::bagelpay.orders[];
    effects bagelpay.effects[] := ARRAY[]::bagelpay.effects[];
    -- In memory, at most so many of each: purchases that are new, and items, by their keys. A statement that
    -- writes many rows costs much less than one for each.
    most_rows CONSTANT integer := 64;
    purchases bagelpay.purchases[] := ARRAY[]::bagelpay.purchases[];
    names text[] COLLATE "C" := ARRAY[]::text[];    -- of those of this order
    items bagelpay.stored_items[] := ARRAY[]::bagelpay.stored_items[];
    item_keys bigint[] := ARRAY[]::bigint[];
    -- For a large order that is folded from nothing: which payments and items may have a row, by hash. Most have none, and
    -- asking the table costs as much as half of the rest.
    hashes CONSTANT integer := 262144;
    large CONSTANT integer := 64;
    seen boolean[];
    events integer;                 -- of this order so far, if it is folded from nothing
    at integer;                     -- where in items
    rank integer;
    is_first boolean;               -- the first event of its order, which has no rows yet
    is_plain boolean;               -- needs no rows but its own
    begins boolean;                 -- the event begins the purchase p
    concerned text COLLATE "C";     -- the payment that the event is about
    other text COLLATE "C";         -- another payment
    last_customer text COLLATE "C";
    note text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'bagelpay: orders can only be changed in transactions that are READ COMMITTED, this one is %',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state';
    END IF;

    -- First what is folded from nothing loses its state, all orders before any is folded: an event may have moved from one to another.
    PERFORM bagelpay.remove_state (k.mode, k.order_id)
    FROM unnest(keys) AS k
    LEFT JOIN bagelpay.orders AS t ON t.order_id = k.order_id AND t.mode = k.mode
    WHERE k.from_slot IS NULL
        OR (k.from_slot, k.from_at, k.from_id COLLATE "C") <= (t.last_slot, t.last_event_at, t.last_event_id);

    -- All events of all orders in one query: starting one costs as much as many rows. It runs along the keys, and
    -- along the events of each.
    FOR target IN
        SELECT k.mode, k.order_id, t AS state, n AS event
        FROM unnest(keys) AS k
        LEFT JOIN bagelpay.orders AS t ON t.order_id = k.order_id AND t.mode = k.mode
        CROSS JOIN LATERAL (
            SELECT *
            FROM bagelpay.events AS m
            WHERE m.order_id = k.order_id AND m.mode = k.mode
                AND (m.fold_slot, m.occurred_at, m.event_id)
                    > (coalesce(t.last_slot, 0), coalesce(t.last_event_at, '-infinity'), coalesce(t.last_event_id, ''))
            ORDER BY m.fold_slot, m.occurred_at, m.event_id) AS n
    LOOP
        IF number = 0 OR o.order_id <> target.order_id OR o.mode <> target.mode THEN
            number := number + 1;
            seen := NULL;
            events := NULL;
            names := ARRAY[]::text[];
            o := target.state;
            IF o.mode IS NULL THEN
                o := bagelpay.new_order (target.mode, target.order_id);
                events := 0;
            END IF;
        END IF;
        e := target.event;
        rank := e.fold_slot & 15;
        is_first := o.last_event_id IS NULL;
        stored := NULL;
        p := NULL;
        i := NULL;
        concerned := NULL;
        note := NULL;
        o := bagelpay.order_after (o, e, rank IN (3, 4, 5) OR NOT o.has_sold);

        -- Rows are stored before they are looked for. A payment event that says all that a purchase may inherit, in an
        -- order that has had nothing but such events, looks for its own payment and item alone.
        is_plain := is_first OR (
            rank IN (3, 5) AND e.payment_id IS NOT NULL AND e.product_id IS NOT NULL AND e.customer_id IS NOT NULL
            AND (e.user_id IS NOT NULL OR NOT o.has_users) AND e.processor_subscription_id IS NULL
            AND (rank = 5 OR coalesce(e.billing_type IN ('subscription', 'single_payment'), FALSE))
            AND NOT (o.has_unnamed OR o.has_links OR o.has_trials OR o.has_refunds));
        events := events + 1;
        IF cardinality(purchases) > 0 AND (NOT is_plain OR e.payment_id = ANY (names) OR events = large) THEN
            PERFORM bagelpay.store_purchases (purchases);
            purchases := ARRAY[]::bagelpay.purchases[];
            names := ARRAY[]::text[];
        END IF;
        IF item_keys <> '{}' AND NOT is_plain THEN
            PERFORM bagelpay.store_items (items);
            items := ARRAY[]::bagelpay.stored_items[];
            item_keys := ARRAY[]::bigint[];
        END IF;

        IF events = large THEN
            seen := array_fill(FALSE, ARRAY[hashes]);
            FOR stored IN SELECT * FROM bagelpay.purchases AS n WHERE n.order_id = o.order_id AND n.mode = o.mode LOOP
                seen[1 + (hashtext(stored.name) & (hashes - 1))] := TRUE;
                seen[1 + (coalesce(stored.item_key, 0) & (hashes - 1))] := TRUE;
            END LOOP;
            stored := NULL;
        END IF;

        -- The payment that it is about, and its row.
        IF rank IN (1, 3, 5) THEN
            concerned := e.payment_id;
            IF concerned IS NULL THEN
                o.has_unnamed := TRUE;
                IF NOT is_first AND e.provider_order_id IS NOT NULL THEN
                    concerned := bagelpay.payment_by_provider_order (e.mode, e.order_id, e.provider_order_id);
                END IF;
                concerned := coalesce(concerned, 'order:' || e.provider_order_id, 'event:' || e.event_id);
            END IF;
            -- Tells whether there is a row costs much less than the row. (In an IF of its own: an expression with a query in it costs as
            -- much as the query, whatever else it asks first.)
            IF NOT is_first AND (seen IS NULL OR seen[1 + (hashtext(concerned) & (hashes - 1))]) THEN
                IF EXISTS (
                    SELECT
                    FROM bagelpay.purchases AS n
                    WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.name = concerned AND NOT n.is_trial) THEN
                    SELECT * INTO stored
                    FROM bagelpay.purchases AS n
                    WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.name = concerned AND NOT n.is_trial;
                END IF;
            END IF;
            IF rank <> 1 AND NOT is_first AND o.has_unnamed AND stored.began_at IS NULL AND e.payment_id IS NOT NULL THEN
                other := bagelpay.rename_payment (e.mode, e.order_id, 'order:' || e.provider_order_id, e.payment_id);
                IF other IS NOT NULL THEN
                    SELECT * INTO stored
                    FROM bagelpay.purchases AS n
                    WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.name = concerned AND NOT n.is_trial;
                    -- If paid_at is equal, the name decides which payment is the latest.
                    SELECT n.name, n.began_at INTO o.latest_payment_id, o.latest_paid_at
                    FROM bagelpay.purchases AS n
                    WHERE n.order_id = e.order_id AND n.mode = e.mode AND NOT n.is_trial AND n.began_at IS NOT NULL
                    ORDER BY n.began_at DESC, n.name DESC
                    LIMIT 1;
                END IF;
            END IF;
        END IF;

        CASE
        WHEN rank IN (3, 4, 5) THEN
            -- A payment or a trial.
            begins := stored.began_at IS NULL;
            IF begins THEN
                p := bagelpay.new_purchase (rank = 4, coalesce(concerned, e.event_id), e);
            ELSE
                p := stored;
            END IF;
            p := bagelpay.purchase_after (p, e);

            -- Its subscription, customer, product and user.
            IF p.subscription_id IS NOT NULL AND p.processor_subscription_id IS NOT NULL THEN
                PERFORM bagelpay.store_purchases (purchases), bagelpay.store_items (items);
                purchases := ARRAY[]::bagelpay.purchases[];
                names := ARRAY[]::text[];
                items := ARRAY[]::bagelpay.stored_items[];
                item_keys := ARRAY[]::bigint[];
                p.subscription_key := bagelpay.link_subscription (p.mode, p.order_id, p.subscription_id, p.processor_subscription_id);
                o.has_links := TRUE;
            ELSIF o.has_links THEN
                p.subscription_key := coalesce(
                    bagelpay.subscription_key (p.mode, p.order_id, 'p', p.subscription_id),
                    bagelpay.subscription_key (p.mode, p.order_id, 'r', p.processor_subscription_id));
            ELSE
                p.subscription_key := coalesce('p:' || p.subscription_id, 'r:' || p.processor_subscription_id);
            END IF;
            IF p.own_customer < 2 AND p.customer_email IS NOT NULL THEN
                p.customer_id := bagelpay.customer_by_email (
                    p.mode, p.order_id, p.customer_email, p.began_slot, p.began_at, p.began_event_id);
                p.own_customer := 1;
            END IF;
            IF begins AND NOT is_first AND (p.product_id IS NULL OR p.customer_id IS NULL OR (p.user_id IS NULL AND o.has_users)) THEN
                p := bagelpay.inheriting (p, o);
            END IF;
            o.has_users := o.has_users OR p.user_id IS NOT NULL;
            o.has_products := o.has_products OR coalesce(p.product_id <> o.only_product_id, FALSE);
            o.only_product_id := coalesce(o.only_product_id, p.product_id);
            o.conflict := o.conflict OR coalesce(p.customer_id <> o.only_customer_id, FALSE);
            o.only_customer_id := coalesce(o.only_customer_id, p.customer_id);
            p.item_key := bagelpay.item_key (p);
            IF p.kind = 'one_time' AND NOT p.has_billing_type AND NOT is_first THEN
                IF EXISTS (
                    SELECT
                    FROM bagelpay.stored_items AS n
                    WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.customer_id = coalesce(p.customer_id, '')
                        AND n.user_id = coalesce(p.user_id, '') AND n.product_id = coalesce(p.product_id, '')
                        AND n.latest_subscription IS NOT NULL)
                    AND EXISTS (
                    SELECT
                    FROM bagelpay.purchases AS n
                    WHERE n.item_key = p.item_key AND n.kind = 'subscription'
                        AND (n.began_slot, n.began_at, n.began_event_id) < (p.began_slot, p.began_at, p.began_event_id)) THEN
                    p.kind := 'subscription';
                END IF;
            END IF;

            -- Which payment bought which trial.
            IF rank = 4 THEN
                IF NOT is_first THEN
                    other := bagelpay.named_payment (e);
                    UPDATE bagelpay.purchases AS n
                    SET bought_trial = TRUE
                    WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.name = other AND NOT n.is_trial AND n.only_checkout
                        AND e.occurred_at BETWEEN n.began_at - interval '24 hours' AND n.began_at + interval '24 hours'
                    RETURNING n.name INTO p.buyer;
                    UPDATE bagelpay.purchases AS n
                    SET replaced_at = e.occurred_at
                    WHERE o.has_trials AND n.item_key = p.item_key AND n.is_trial
                        AND n.replaced_at IS NULL;
                END IF;
                o.has_trials := TRUE;
            ELSIF o.has_trials AND p.only_checkout THEN
                UPDATE bagelpay.purchases AS n
                SET buyer = p.name
                WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.is_trial AND n.buyer IS NULL
                    AND n.began_at BETWEEN p.began_at - interval '24 hours' AND p.began_at + interval '24 hours'
                    AND (n.named_payment_id = p.name
                        OR (n.named_payment_id IS NULL AND n.provider_order_id = p.provider_order_id
                            AND (p.began_at, p.name) >= ALL (
                                SELECT m.began_at, m.name
                                FROM bagelpay.purchases AS m
                                WHERE m.provider_order_id = p.provider_order_id AND m.order_id IS NOT DISTINCT FROM p.order_id AND m.mode IS NOT DISTINCT FROM p.mode
                                    AND NOT m.is_trial AND m.began_at IS NOT NULL)));
                p.bought_trial := p.bought_trial OR FOUND;
            ELSIF p.bought_trial THEN
                -- A trial that was let go names no payment any more.
                UPDATE bagelpay.purchases AS n
                SET buyer = NULL, named_payment_id = ''
                WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.is_trial AND n.buyer = p.name;
                p.bought_trial := FALSE;
            END IF;

            IF is_plain AND stored.name IS NULL THEN
                purchases := purchases || p;
                names := names || p.name::text;
            ELSE
                IF stored.name IS NOT NULL THEN
                    DELETE FROM bagelpay.purchases AS n
                    WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.name = p.name AND n.is_trial = p.is_trial;
                END IF;
                INSERT INTO bagelpay.purchases SELECT p.*;
            END IF;
            IF rank <> 4 AND o.has_refunds THEN
                PERFORM bagelpay.settle_payment (p);
                SELECT n.status INTO p.status
                FROM bagelpay.purchases AS n
                WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.name = p.name AND NOT n.is_trial;
            END IF;

            -- Its item: after its latest purchase; or again from all, if another one changed, or the purchase moved.
            at := array_position(item_keys, p.item_key);
            IF at IS NOT NULL THEN
                i := items[at];
            ELSIF NOT is_first AND (seen IS NULL OR seen[1 + (p.item_key & (hashes - 1))]) THEN
                SELECT * INTO i
                FROM bagelpay.stored_items AS n
                WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.customer_id = coalesce(p.customer_id, '')
                    AND n.user_id = coalesce(p.user_id, '') AND n.product_id = coalesce(p.product_id, '');
            END IF;
            IF begins OR (stored.item_key = p.item_key AND stored.kind = p.kind AND i.latest_event_id = p.began_event_id) THEN
                IF i.item_key IS NULL THEN
                    i := bagelpay.new_item (p);
                END IF;
                i := bagelpay.item_after (i, p);
            ELSE
                PERFORM bagelpay.store_purchases (purchases), bagelpay.store_items (items);
                purchases := ARRAY[]::bagelpay.purchases[];
                names := ARRAY[]::text[];
                items := ARRAY[]::bagelpay.stored_items[];
                item_keys := ARRAY[]::bigint[];
                at := NULL;
                IF stored.item_key <> p.item_key THEN
                    PERFORM bagelpay.refold_item (p.mode, p.order_id, stored.item_key);
                END IF;
                PERFORM bagelpay.refold_item (p.mode, p.order_id, p.item_key);
                SELECT * INTO i
                FROM bagelpay.stored_items AS n
                WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.customer_id = coalesce(p.customer_id, '')
                    AND n.user_id = coalesce(p.user_id, '') AND n.product_id = coalesce(p.product_id, '');
                SELECT min(n.customer_id), max(n.customer_id) INTO o.only_customer_id, last_customer
                FROM bagelpay.stored_items AS n
                WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.customer_id > '';
                o.conflict := coalesce(o.only_customer_id <> last_customer, FALSE);
            END IF;
            IF rank = 4 THEN
                i.subscription_status := 'trialing';
            ELSIF p.kind = 'subscription' AND p.bought_trial THEN
                IF i.subscription_status IS NULL OR stored.item_key <> p.item_key THEN
                    i.subscription_status := 'trialing';
                END IF;
            ELSIF p.kind = 'subscription' AND (begins OR stored.bought_trial OR stored.kind = 'one_time' OR stored.item_key <> p.item_key) THEN
                i.subscription_status := 'active';
            END IF;
            IF at IS NULL THEN
                IF cardinality(item_keys) >= most_rows THEN
                    PERFORM bagelpay.store_items (items);
                    items := ARRAY[]::bagelpay.stored_items[];
                    item_keys := ARRAY[]::bigint[];
                END IF;
                item_keys := item_keys || p.item_key;
                at := cardinality(item_keys);
            END IF;
            items[at] := i;
            IF seen IS NOT NULL THEN
                seen[1 + (hashtext(p.name) & (hashes - 1))] := TRUE;
                seen[1 + (p.item_key & (hashes - 1))] := TRUE;
            END IF;

            IF cardinality(purchases) >= most_rows THEN
                PERFORM bagelpay.store_purchases (purchases);
                purchases := ARRAY[]::bagelpay.purchases[];
                names := ARRAY[]::text[];
            END IF;

            IF rank = 4 THEN
                o.status := 'trialing';
            ELSIF begins AND ((p.began_at, p.name) > (o.latest_paid_at, o.latest_payment_id)) IS NOT FALSE THEN
                o.latest_paid_at := p.began_at;
                o.latest_payment_id := p.name;
            END IF;

        WHEN rank = 1 THEN
            -- A failed payment; of a paid one it says nothing.
            IF stored.began_at IS NULL THEN
                IF stored.name IS NULL THEN
                    p := bagelpay.new_purchase (FALSE, concerned, e);
                ELSE
                    p := stored;
                    -- The latest of its failed events, not the first, say who and what.
                    p.own_product := FALSE;
                    p.own_user := FALSE;
                    p.own_customer := 0;
                    DELETE FROM bagelpay.purchases AS n
                    WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.name = p.name AND NOT n.is_trial;
                END IF;
                p := bagelpay.purchase_after (p, e);
                INSERT INTO bagelpay.purchases SELECT p.*;
                IF seen IS NOT NULL THEN
                    seen[1 + (hashtext(p.name) & (hashes - 1))] := TRUE;
                END IF;
            ELSE
                p := stored;
            END IF;
            IF o.status IN ('pending', 'canceled') THEN
                o.status := 'failed';
            END IF;
            IF o.has_sold AND bagelpay.fold_failure (e, o.has_trials) > 0 THEN
                i.subscription_status := 'past_due';
            END IF;

        WHEN rank = 2 THEN
            IF NOT is_first THEN
                concerned := bagelpay.fold_dispute (e);
            END IF;
            IF concerned IS NOT NULL THEN
                p.status := 'disputed';
            END IF;
            IF concerned = o.latest_payment_id THEN
                o.status := 'disputed';
            ELSIF o.status IN ('pending', 'failed') THEN
                o.status := 'canceled';
            ELSIF concerned IS NULL THEN
                note := 'a payment page that was closed, changes nothing';
            END IF;

        WHEN rank = 6 THEN
            o.has_refunds := TRUE;
            concerned := bagelpay.fold_refund (e);
            IF concerned IS NULL THEN
                note := 'finds no payment to count against';
            END IF;

        WHEN rank = 7 THEN
            IF bagelpay.fold_cancellation (e) > 0 THEN
                i.subscription_status := 'canceled';
            ELSE
                note := 'finds no subscription to end';
            END IF;

        WHEN e.event_type = 'operator.dispute_won' THEN
            concerned := e.payment_id;
            PERFORM bagelpay.fold_dispute_won (e);

        ELSE
            o.has_decisions := TRUE;
            INSERT INTO bagelpay.decisions (mode, order_id, event_id, decision, product_id, customer_id, customer_email, granted_until,
                occurred_at, fold_slot)
            VALUES (e.mode, e.order_id, e.event_id, split_part(e.event_type, '.', 2), e.product_id, e.customer_id, e.customer_email,
                e.granted_until, e.occurred_at, e.fold_slot);
        END CASE;

        -- After a payment, a refund and a dispute that was won, the order is what its latest paid payment is.
        IF rank IN (6, 8) AND concerned IS NOT NULL THEN
            SELECT n.status INTO p.status
            FROM bagelpay.purchases AS n
            WHERE n.order_id = o.order_id AND n.mode = o.mode AND n.name = concerned AND NOT n.is_trial;
        END IF;
        IF concerned = o.latest_payment_id AND rank IN (3, 5, 6, 8) THEN
            o.status := p.status;
        ELSIF o.latest_payment_id = ANY (names) THEN
            -- Not stored yet: it has just been paid.
            o.status := 'paid';
        ELSIF o.latest_payment_id IS NOT NULL AND (rank IN (3, 5, 6) OR (rank = 8 AND concerned IS NOT NULL)) THEN
            SELECT n.status INTO o.status
            FROM bagelpay.purchases AS n
            WHERE n.order_id = o.order_id AND n.mode = o.mode AND n.name = o.latest_payment_id AND NOT n.is_trial;
        END IF;
        effects := effects || ROW (e.event_id, o.status, i.subscription_status, concerned, p.status, note)::bagelpay.effects;
        orders[number] := o;
    END LOOP;

    IF cardinality(purchases) > 0 THEN
        PERFORM bagelpay.store_purchases (purchases);
    END IF;
    IF item_keys <> '{}' THEN
        PERFORM bagelpay.store_items (items);
    END IF;
    INSERT INTO bagelpay.orders AS t
    SELECT * FROM unnest(orders)
    ON CONFLICT (order_id, mode) DO UPDATE SET
        key_source = excluded.key_source, status = excluded.status, conflict = excluded.conflict,
        amount = excluded.amount, tax_amount = excluded.tax_amount, currency = excluded.currency,
        product_id = excluded.product_id, product_name = excluded.product_name, billing_type = excluded.billing_type,
        customer_id = excluded.customer_id, customer_email = excluded.customer_email, user_id = excluded.user_id,
        provider_order_id = excluded.provider_order_id, payment_id = excluded.payment_id, request_id = excluded.request_id,
        metadata = excluded.metadata, last_event_id = excluded.last_event_id, last_event_at = excluded.last_event_at,
        updated_at = excluded.updated_at, last_slot = excluded.last_slot, latest_payment_id = excluded.latest_payment_id,
        latest_paid_at = excluded.latest_paid_at, only_product_id = excluded.only_product_id,
        only_customer_id = excluded.only_customer_id,
        has_sold = excluded.has_sold, has_products = excluded.has_products, has_users = excluded.has_users,
        has_unnamed = excluded.has_unnamed, has_links = excluded.has_links, has_trials = excluded.has_trials,
        has_refunds = excluded.has_refunds, has_decisions = excluded.has_decisions;
    -- What stays the same is left out: a conflict would lock and write its row.
    INSERT INTO bagelpay.effects AS t
    SELECT *
    FROM unnest(effects) AS n
    WHERE NOT EXISTS (SELECT FROM bagelpay.effects AS old WHERE old.event_id = n.event_id AND old *= n)
    ON CONFLICT (event_id) DO UPDATE SET
        order_status = excluded.order_status, subscription_status = excluded.subscription_status,
        payment_id = excluded.payment_id, payment_status = excluded.payment_status, note = excluded.note
    WHERE t *<> excluded;
END
$$;

COMMENT ON FUNCTION bagelpay.fold IS 'Applies the events of orders that their states do not know yet, or all of them';

COMMIT;
