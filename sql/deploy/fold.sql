-- Deploy bagelpay:fold to pg
--
-- Derives the state of orders from their events. There is one transition, the inner loop of bagelpay_internal.fold().
-- It starts from the stored rows for events that are the newest of their order, and from nothing for an order that is
-- folded again. Rows are looked up by keys, so that an event costs the same however many purchases its order has.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- An order that is to be folded from nothing.
CREATE TYPE bagelpay_internal.fold_key AS (
    mode text,
    order_id text
);

-- Returns the number of an order's advisory lock, a 64-bit hash. Orders that share a number only wait for each other.
CREATE FUNCTION bagelpay_internal.order_lock (mode text, order_id text)
    RETURNS bigint
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT hashtextextended(order_id COLLATE "C", CASE mode WHEN 'live' THEN 5417301 ELSE 5417302 END)
$$;

-- Takes advisory locks until the transaction ends, in ascending order, so that two calls cannot deadlock. NULL is no
-- number. Blocks while another transaction holds one of them.
CREATE FUNCTION bagelpay_internal.take_locks (numbers bigint[])
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    number bigint;
BEGIN
    -- Expressions cost a lone event much less than queries.
    IF cardinality(numbers) <= 2 THEN
        numbers := ARRAY[least(numbers[1], numbers[2]), greatest(numbers[1], numbers[2])];
    ELSE
        numbers := array(SELECT DISTINCT n.number FROM unnest(numbers) AS n (number) ORDER BY n.number);
    END IF;
    FOREACH number IN ARRAY numbers LOOP
        IF NOT pg_try_advisory_xact_lock(number) THEN
            PERFORM pg_advisory_xact_lock(number);
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.take_locks IS 'Takes advisory locks until the transaction ends, in ascending order';

-- Sends NOTIFY bagelpay_orders if has_changed is TRUE and the setting notify is on.
CREATE FUNCTION bagelpay_internal.notify_orders (has_changed boolean)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF has_changed AND (SELECT setting.notify FROM bagelpay.settings AS setting) THEN
        NOTIFY bagelpay_orders;
    END IF;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.notify_orders IS 'Notifies listeners that orders changed, if the setting notify is on';

-- Removes the state of an order; its events stay. Needs its lock.
CREATE FUNCTION bagelpay_internal.remove_state (of_mode text, of_order text)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    DELETE FROM bagelpay.orders AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
    DELETE FROM bagelpay_internal.stored_items AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
    DELETE FROM bagelpay_internal.purchases AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
    DELETE FROM bagelpay.cancellations AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
    DELETE FROM bagelpay.refunds AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
    DELETE FROM bagelpay_internal.decisions AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
    DELETE FROM bagelpay_internal.subscription_links AS t WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C";
END
$$;

COMMENT ON FUNCTION bagelpay_internal.remove_state IS 'Removes the state of an order, but not its events';

-- Folds events into the state of their orders, and stores both.
--
-- keys    orders that are folded from nothing, with all events that are stored; each once
-- fresh   events that are not stored yet, each once; those without an order are only stored
--
-- An order is also folded from nothing if one of the fresh events is not its newest. The caller holds the locks of all
-- these orders (bagelpay_internal.order_lock()), or an EXCLUSIVE lock on bagelpay.orders. It took them in an earlier
-- statement, because the snapshot of this one must be newer. Raises invalid_transaction_state unless the transaction is
-- READ COMMITTED, so that each statement has its own snapshot.
CREATE FUNCTION bagelpay_internal.fold (keys bagelpay_internal.fold_key[], fresh bagelpay.events[])
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    e bagelpay.events;
    o bagelpay.orders;
    -- First the fresh events, then those of orders that are folded from nothing, at most most_events at a time.
    chunk bagelpay.events[];
    is_fresh boolean := TRUE;
    most_events CONSTANT integer := 256;
    behind bagelpay.events;         -- the event after which the next chunk begins
    of_key integer := 0;            -- the order of that event, by its place among the keys
    -- The orders of the fresh events, and their stored rows.
    order_ids text[] COLLATE "C";
    states bagelpay.orders[];
    known text[] COLLATE "C";       -- mode and order_id of each
    is_sorted boolean := TRUE;
    -- Rows to write: orders at the end, done after each chunk.
    orders bagelpay.orders[];
    are_new boolean := TRUE;        -- all of them
    done bagelpay.events[];
    -- Rows kept in memory: new purchases, and items by their keys. One statement for many rows costs much less than one
    -- for each. And a transaction is slowed by the old versions of a row that it updated often.
    most_purchases CONSTANT integer := 64;
    purchases bagelpay_internal.purchases[];
    names text[] COLLATE "C";       -- the names of those purchases that are of this order
    items bagelpay_internal.stored_items[];
    item_keys bigint[];
    -- Stored rows that fresh events may be about, read by one query: the items of their orders, if these have one product,
    -- one customer and no user; and those of their payments that have a row.
    loaded_items bagelpay_internal.stored_items[];
    loaded_keys bigint[];
    payment_ids text[] COLLATE "C";
    loaded_payments text[] COLLATE "C";
    -- Of this order: all its items are in memory; the payments that may have a row.
    has_all boolean;
    paid text[] COLLATE "C";
    -- For a large order that is folded from nothing. seen: TRUE at the hash of each payment and item that has a row;
    -- most have none, and to look in the table costs half as much as all else. places: the index of an item in memory,
    -- at one of two hashes of its key.
    hashes CONSTANT integer := 262144;
    large CONSTANT integer := 64;
    seen boolean[];
    places integer[];
    place integer;
    name text COLLATE "C";
    item_key bigint;
    events integer;                 -- number of events of this order so far, if it is folded from nothing
    at integer;                     -- an index in states or items
    rank integer;
    is_folded_again boolean;
    is_first boolean;               -- the first event of its order, which has no rows yet
    is_plain boolean;               -- needs no rows but its own
    sells boolean;                  -- a payment or a trial
    is_billed boolean;              -- it is billed as a subscription
    renews boolean;                 -- the purchase is of the kind subscription
    is_latest boolean;              -- it begins the order's latest payment
    takes boolean;                  -- the order takes over what the event carries
    last_customer text COLLATE "C";
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'bagelpay: orders can only be changed in transactions that are READ COMMITTED, this one is %',
            upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state';
    END IF;

    FOREACH e IN ARRAY fresh LOOP
        is_sorted := is_sorted AND (e.order_id = ANY (order_ids)) IS NOT TRUE;
        order_ids := order_ids || e.order_id::text;
        payment_ids := payment_ids || e.payment_id::text;
    END LOOP;
    chunk := fresh;
    IF NOT is_sorted THEN
        chunk := array(SELECT f FROM unnest(fresh) AS f ORDER BY f.order_id, f.mode, f.fold_slot, f.occurred_at, f.event_id);
    END IF;
    SELECT array_agg(t), array_agg(t.mode || ' ' || t.order_id) INTO states, known
    FROM bagelpay.orders AS t
    WHERE t.order_id = ANY (order_ids);
    IF states IS NOT NULL THEN
        SELECT array_agg(n), array_agg(n.item_key), array(
            SELECT p.name
            FROM unnest(order_ids, payment_ids) AS f (order_id, payment_id)
            CROSS JOIN LATERAL (
                SELECT n.name
                FROM bagelpay_internal.purchases AS n
                WHERE n.order_id = f.order_id AND n.mode IN ('test', 'live') AND n.name = f.payment_id
                OFFSET 0) AS p)
        INTO loaded_items, loaded_keys, loaded_payments
        FROM bagelpay.orders AS t
        JOIN bagelpay_internal.stored_items AS n ON n.order_id = t.order_id AND n.mode = t.mode
        WHERE t.order_id = ANY (order_ids) AND NOT (t.has_products OR t.has_users OR t.conflict);
    END IF;

    LOOP
        FOREACH e IN ARRAY chunk LOOP
            IF (e.order_id = o.order_id AND e.mode = o.mode) IS NOT TRUE THEN
                IF o.order_id IS NOT NULL THEN
                    orders := orders || o;
                END IF;
                o := NULL;
                at := NULL;
                IF is_fresh THEN
                    at := array_position(known, e.mode || ' ' || e.order_id);
                    is_folded_again := ROW (e.mode, e.order_id)::bagelpay_internal.fold_key = ANY (keys);
                    IF at IS NOT NULL AND NOT is_folded_again THEN
                        o := states[at];
                        IF (e.fold_slot, e.occurred_at, e.event_id) <= (o.last_slot, o.last_event_at, o.last_event_id) THEN
                            o := NULL;
                            keys := keys || ROW (e.mode, e.order_id)::bagelpay_internal.fold_key;
                            is_folded_again := TRUE;
                        END IF;
                    END IF;
                    IF e.order_id IS NULL OR is_folded_again THEN
                        done := done || e;
                        CONTINUE;
                    END IF;
                END IF;
                seen := NULL;
                names := NULL;
                IF at IS NULL THEN
                    o.status := 'pending';
                    events := 0;
                    has_all := TRUE;
                    paid := '{}';
                ELSE
                    are_new := FALSE;
                    events := NULL;
                    has_all := NOT (o.has_products OR o.has_users OR o.conflict);
                    paid := loaded_payments;
                END IF;
            END IF;
            rank := e.fold_slot & 15;
            sells := rank IN (3, 4, 5);
            is_billed := bagelpay_internal.billed_as_subscription (e.event_type, e.billing_type, e.kind, e.has_subscription);
            is_first := o.last_event_id IS NULL;

            -- A plain payment event needs to inherit nothing, and its order has had no unnamed payments, linked
            -- subscriptions, trials or refunds. So it reads only its own payment and item. Before other events, the
            -- rows in memory are stored.
            is_plain := rank IN (3, 5) AND e.payment_id IS NOT NULL AND e.product_id IS NOT NULL AND e.customer_id IS NOT NULL
                AND (e.user_id IS NOT NULL OR o.has_users IS NOT TRUE) AND e.processor_subscription_id IS NULL
                AND (rank = 5 OR coalesce(e.billing_type IN ('subscription', 'single_payment'), FALSE))
                AND (o.has_unnamed OR o.has_links OR o.has_trials OR o.has_refunds) IS NOT TRUE;
            events := events + 1;
            IF item_keys IS NULL THEN
                has_all := has_all AND (is_plain OR is_first);
            ELSIF NOT (is_plain OR is_first) OR e.payment_id = ANY (names) OR events = large
                OR cardinality(item_keys) >= (CASE WHEN seen IS NULL THEN 64 ELSE 4096 END) THEN
                PERFORM bagelpay_internal.store_rows (purchases, items);
                purchases := NULL;
                names := NULL;
                items := NULL;
                item_keys := NULL;
                has_all := is_first;
            ELSIF cardinality(purchases) >= most_purchases THEN
                PERFORM bagelpay_internal.store_rows (purchases, NULL);
                purchases := NULL;
                names := NULL;
            END IF;
            IF events = large THEN
                seen := array_fill(FALSE, ARRAY[hashes]);
                places := array_fill(0, ARRAY[hashes]);
                FOR name, item_key IN
                    SELECT n.name, coalesce(n.item_key, 0) FROM bagelpay_internal.purchases AS n WHERE n.order_id = e.order_id AND n.mode = e.mode
                LOOP
                    seen[1 + (hashtext(name) & (hashes - 1))] := TRUE;
                    seen[1 + (item_key & (hashes - 1))] := TRUE;
                END LOOP;
            END IF;

            DECLARE
                -- NULL at first, for each event.
                stored bagelpay_internal.purchases;      -- the row of p before this event
                p bagelpay_internal.purchases;           -- the purchase that it is about
                i bagelpay_internal.stored_items;
                begins boolean;                 -- the event begins p
                concerned text COLLATE "C";     -- the payment that the event is about
                other text COLLATE "C";         -- another payment, or the event that began it
                moved bigint[];                 -- items of which other purchases than p moved
                did bagelpay.effect;
                note text;
            BEGIN
                -- The payment that it is about, and its row.
                IF rank IN (1, 3, 5) THEN
                    concerned := e.payment_id;
                    IF concerned IS NULL THEN
                        IF NOT is_first AND e.provider_order_id IS NOT NULL THEN
                            concerned := bagelpay_internal.payment_by_provider_order (e.mode, e.order_id, e.provider_order_id);
                        END IF;
                        concerned := coalesce(concerned, 'order:' || e.provider_order_id, 'event:' || e.event_id);
                        paid := paid || concerned;
                    END IF;
                    IF (CASE WHEN seen IS NULL THEN concerned = ANY (paid) ELSE seen[1 + (hashtext(concerned) & (hashes - 1))] END) THEN
                        SELECT * INTO stored
                        FROM bagelpay_internal.purchases AS n
                        WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.name = concerned AND NOT n.is_trial;
                    END IF;
                    IF NOT is_plain AND rank <> 1 AND NOT is_first AND o.has_unnamed AND stored.began_at IS NULL AND e.payment_id IS NOT NULL THEN
                        other := bagelpay_internal.rename_payment (e.mode, e.order_id, 'order:' || e.provider_order_id, e.payment_id);
                        IF other IS NOT NULL THEN
                            SELECT * INTO stored
                            FROM bagelpay_internal.purchases AS n
                            WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.name = concerned AND NOT n.is_trial;
                            -- If paid_at is equal, the name decides which payment is the latest.
                            SELECT n.name, n.began_at INTO o.latest_payment_id, o.latest_paid_at
                            FROM bagelpay_internal.purchases AS n
                            WHERE n.order_id = e.order_id AND n.mode = e.mode AND NOT n.is_trial AND n.began_at IS NOT NULL
                            ORDER BY n.began_at DESC, n.name DESC
                            LIMIT 1;
                        END IF;
                    END IF;
                END IF;

                CASE
                WHEN sells THEN
                    begins := stored.began_at IS NULL;
                    IF NOT begins THEN
                        p := stored;
                    END IF;
                    p := bagelpay_internal.purchase_after (p, e, TRUE, rank = 4, coalesce(concerned, e.event_id), is_billed OR p.is_billed IS TRUE);

                    -- Its subscription, customer, product and user.
                    IF NOT is_plain THEN
                        IF p.subscription_id IS NOT NULL AND p.processor_subscription_id IS NOT NULL THEN
                            p.subscription_key := bagelpay_internal.link_subscription (p.mode, p.order_id, p.subscription_id, p.processor_subscription_id);
                        ELSIF o.has_links THEN
                            p.subscription_key := coalesce(
                                bagelpay_internal.subscription_key (p.mode, p.order_id, 'p', p.subscription_id),
                                bagelpay_internal.subscription_key (p.mode, p.order_id, 'r', p.processor_subscription_id));
                        END IF;
                        IF p.own_customer < 2 AND p.customer_email IS NOT NULL THEN
                            p.customer_id := bagelpay_internal.customer_by_email (
                                p.mode, p.order_id, p.customer_email, p.began_slot, p.began_at, p.began_event_id);
                            p.own_customer := 1;
                        END IF;
                        IF begins AND NOT is_first AND (p.product_id IS NULL OR p.customer_id IS NULL OR (p.user_id IS NULL AND o.has_users)) THEN
                            p := bagelpay_internal.inheriting (p, o);
                        END IF;
                    END IF;
                    IF NOT begins AND (e.product_id <> p.product_id OR e.customer_id <> p.customer_id) THEN
                        note := 'names another product or customer than the payment before';
                    END IF;
                    p.item_key := bagelpay_internal.item_key (p);
                    IF NOT is_plain AND p.kind = 'one_time' AND NOT p.has_billing_type AND NOT is_first THEN
                        IF EXISTS (
                            SELECT
                            FROM bagelpay_internal.stored_items AS n
                            WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.customer_id = coalesce(p.customer_id, '')
                                AND n.user_id = coalesce(p.user_id, '') AND n.product_id = coalesce(p.product_id, '')
                                AND n.latest_subscription IS NOT NULL)
                            AND EXISTS (
                            SELECT
                            FROM bagelpay_internal.purchases AS n
                            WHERE n.item_key = p.item_key AND n.kind = 'subscription'
                                AND (n.began_slot, n.began_at, n.began_event_id) < (p.began_slot, p.began_at, p.began_event_id)) THEN
                            p.kind := 'subscription';
                        END IF;
                    END IF;

                    -- The payment that bought a trial.
                    IF is_plain THEN
                        NULL;
                    ELSIF rank = 4 THEN
                        IF NOT is_first THEN
                            other := bagelpay_internal.named_payment (e);
                            UPDATE bagelpay_internal.purchases AS n
                            SET bought_trial = TRUE
                            WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.name = other AND NOT n.is_trial AND n.only_checkout
                                AND e.occurred_at BETWEEN n.began_at - interval '24 hours' AND n.began_at + interval '24 hours'
                            RETURNING n.name, n.began_event_id, ARRAY[n.item_key] INTO p.buyer, other, moved;
                            UPDATE bagelpay_internal.purchases AS n
                            SET replaced_at = e.occurred_at
                            WHERE o.has_trials AND n.item_key = p.item_key AND n.is_trial
                                AND n.replaced_at IS NULL;
                        END IF;
                    ELSIF o.has_trials AND p.only_checkout THEN
                        UPDATE bagelpay_internal.purchases AS n
                        SET buyer = p.name
                        WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.is_trial AND n.buyer IS NULL
                            AND n.began_at BETWEEN p.began_at - interval '24 hours' AND p.began_at + interval '24 hours'
                            AND (n.named_payment_id = p.name
                                OR (n.named_payment_id IS NULL AND n.provider_order_id = p.provider_order_id
                                    AND (p.began_at, p.name) >= ALL (
                                        SELECT m.began_at, m.name
                                        FROM bagelpay_internal.purchases AS m
                                        WHERE m.provider_order_id = p.provider_order_id AND m.order_id IS NOT DISTINCT FROM p.order_id AND m.mode IS NOT DISTINCT FROM p.mode
                                            AND NOT m.is_trial AND m.began_at IS NOT NULL)));
                        IF FOUND THEN
                            p.bought_trial := TRUE;
                            moved := bagelpay_internal.items_of_trials (p);
                        END IF;
                    ELSIF p.bought_trial THEN
                        moved := bagelpay_internal.items_of_trials (p);
                        -- A trial that lost its payment names none any more, so that no payment can buy it.
                        UPDATE bagelpay_internal.purchases AS n
                        SET buyer = NULL, named_payment_id = ''
                        WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.is_trial AND n.buyer = p.name;
                        p.bought_trial := FALSE;
                    END IF;

                    IF (is_plain OR is_first) AND stored.name IS NULL THEN
                        purchases := purchases || p;
                        names := names || p.name::text;
                    ELSE
                        IF stored.name IS NOT NULL THEN
                            DELETE FROM bagelpay_internal.purchases AS n
                            WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.name = p.name AND n.is_trial = p.is_trial;
                        END IF;
                        INSERT INTO bagelpay_internal.purchases SELECT p.*;
                    END IF;
                    IF rank <> 4 AND o.has_refunds THEN
                        PERFORM bagelpay_internal.settle_payment (p);
                        SELECT n.status INTO p.status
                        FROM bagelpay_internal.purchases AS n
                        WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.name = p.name AND NOT n.is_trial;
                    END IF;

                    -- Its item. If p is not the latest purchase of it, or another purchase moved, too, the items are
                    -- derived from their purchases again.
                    IF seen IS NULL THEN
                        at := array_position(item_keys, p.item_key);
                    ELSE
                        at := places[1 + (p.item_key & (hashes - 1))];
                        IF item_keys[at] IS DISTINCT FROM p.item_key THEN
                            at := places[1 + (p.item_key >> 32 & (hashes - 1))];
                        END IF;
                        at := CASE WHEN item_keys[at] = p.item_key THEN at END;
                    END IF;
                    IF at IS NOT NULL THEN
                        i := items[at];
                    ELSIF has_all THEN
                        i := loaded_items[array_position(loaded_keys, p.item_key)];
                    ELSIF seen IS NULL OR seen[1 + (p.item_key & (hashes - 1))] THEN
                        SELECT * INTO i
                        FROM bagelpay_internal.stored_items AS n
                        WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.customer_id = coalesce(p.customer_id, '')
                            AND n.user_id = coalesce(p.user_id, '') AND n.product_id = coalesce(p.product_id, '');
                    END IF;
                    -- Most renewals only have names that the item has from earlier events.
                    e.has_new_name := e.has_new_name AND (
                        coalesce(e.customer_id, i.customer_id), coalesce(e.user_id, i.user_id), coalesce(e.customer_email, i.customer_email),
                        coalesce(e.subscription_id, i.subscription_id), coalesce(e.processor_subscription_id, i.processor_subscription_id),
                        coalesce(e.request_id, o.request_id))
                        IS DISTINCT FROM (
                        i.customer_id, i.user_id, i.customer_email, i.subscription_id, i.processor_subscription_id, o.request_id);
                    -- A payment and the trial that it bought count as one, which begins with the later of them. If the
                    -- earlier one is the latest purchase of p's item, p replaces it without moving others.
                    IF (moved IS NULL OR (moved = ARRAY[p.item_key] AND i.latest_event_id = other))
                        AND (begins OR (stored.item_key = p.item_key AND stored.kind = p.kind AND i.latest_event_id = p.began_event_id)) THEN
                        renews := p.kind = 'subscription';
                        i := bagelpay_internal.item_after (i, p, renews, bagelpay_internal.item_status (i, p, stored, begins));
                    ELSE
                        PERFORM bagelpay_internal.store_rows (purchases, items);
                        purchases := NULL;
                        names := NULL;
                        items := NULL;
                        item_keys := NULL;
                        has_all := FALSE;
                        at := NULL;
                        PERFORM bagelpay_internal.refold_item (p.mode, p.order_id, n.item_key)
                        FROM (SELECT DISTINCT unnest(moved || stored.item_key || p.item_key) AS item_key) AS n;
                        SELECT * INTO i
                        FROM bagelpay_internal.stored_items AS n
                        WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.customer_id = coalesce(p.customer_id, '')
                            AND n.user_id = coalesce(p.user_id, '') AND n.product_id = coalesce(p.product_id, '');
                        SELECT min(n.customer_id), max(n.customer_id) INTO o.only_customer_id, last_customer
                        FROM bagelpay_internal.stored_items AS n
                        WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.customer_id > '';
                        o.conflict := coalesce(o.only_customer_id <> last_customer, FALSE);
                        i.subscription_status := bagelpay_internal.item_status (i, p, stored, begins);
                    END IF;
                    IF seen IS NULL THEN
                        paid := paid || concerned;
                    ELSE
                        seen[1 + (hashtext(p.name) & (hashes - 1))] := TRUE;
                        seen[1 + (p.item_key & (hashes - 1))] := TRUE;
                        IF at IS NULL THEN
                            place := 1 + (p.item_key & (hashes - 1));
                            IF item_keys[places[place]] IS NOT NULL THEN
                                place := 1 + (p.item_key >> 32 & (hashes - 1));
                            END IF;
                            IF item_keys[places[place]] IS NULL THEN
                                at := coalesce(cardinality(item_keys) + 1, 1);
                                places[place] := at;
                            ELSE
                                -- Other items have both places.
                                PERFORM bagelpay_internal.store_rows (NULL, ARRAY[i]);
                                at := 0;
                            END IF;
                        END IF;
                    END IF;
                    at := coalesce(at, cardinality(item_keys) + 1, 1);
                    IF at > 0 THEN
                        item_keys[at] := p.item_key;
                        items[at] := i;
                    END IF;

                WHEN rank = 1 THEN
                    -- A failed payment. It does not change a payment that is already paid.
                    IF stored.began_at IS NULL THEN
                        IF stored.name IS NOT NULL THEN
                            DELETE FROM bagelpay_internal.purchases AS n
                            WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.name = concerned AND NOT n.is_trial;
                        END IF;
                        p := bagelpay_internal.purchase_after (stored, e, FALSE, FALSE, concerned, is_billed OR stored.is_billed IS TRUE);
                        INSERT INTO bagelpay_internal.purchases SELECT p.*;
                        IF seen IS NULL THEN
                            paid := paid || concerned;
                        ELSE
                            seen[1 + (hashtext(p.name) & (hashes - 1))] := TRUE;
                        END IF;
                    ELSE
                        p := stored;
                    END IF;
                    IF o.status IN ('pending', 'canceled') THEN
                        o.status := 'failed';
                    END IF;
                    IF o.has_sold AND bagelpay_internal.fold_failure (e, o.has_trials) > 0 THEN
                        i.subscription_status := 'past_due';
                    END IF;

                WHEN rank = 2 THEN
                    IF NOT is_first THEN
                        concerned := bagelpay_internal.fold_dispute (e);
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
                    concerned := bagelpay_internal.fold_refund (e);
                    IF concerned IS NULL THEN
                        note := 'finds no payment to count against';
                    END IF;

                WHEN rank = 7 THEN
                    IF bagelpay_internal.fold_cancellation (e) > 0 THEN
                        i.subscription_status := 'canceled';
                    ELSE
                        note := 'finds no subscription to end';
                    END IF;

                WHEN e.event_type = 'operator.dispute_won' THEN
                    concerned := e.payment_id;
                    PERFORM bagelpay_internal.fold_dispute_won (e);

                ELSE
                    INSERT INTO bagelpay_internal.decisions (mode, order_id, event_id, decision, product_id, customer_id, customer_email, granted_until,
                        occurred_at, fold_slot, user_id)
                    VALUES (e.mode, e.order_id, e.event_id, split_part(e.event_type, '.', 2), e.product_id, e.customer_id, e.customer_email,
                        e.granted_until, e.occurred_at, e.fold_slot, coalesce(e.user_id, ''));
                END CASE;

                takes := sells OR (o.has_sold IS NOT TRUE AND (rank < 8 OR e.event_type = 'operator.grant'));
                is_latest := begins AND rank <> 4 AND ((p.began_at, p.name) > (o.latest_paid_at, o.latest_payment_id)) IS NOT FALSE;
                o := bagelpay_internal.order_after (o, e, rank, p, sells, is_latest, takes);
                -- After a payment, a refund or a won dispute, the order has the status of its latest paid payment.
                IF rank IN (6, 8) AND concerned IS NOT NULL THEN
                    SELECT n.status INTO p.status
                    FROM bagelpay_internal.purchases AS n
                    WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.name = concerned AND NOT n.is_trial;
                END IF;
                IF rank = 4 THEN
                    o.status := 'trialing';
                ELSIF concerned = o.latest_payment_id AND rank IN (3, 5, 6, 8) THEN
                    o.status := p.status;
                ELSIF o.latest_payment_id = ANY (names) THEN
                    -- Not stored yet: it has just been paid.
                    o.status := 'paid';
                ELSIF o.latest_payment_id IS NOT NULL AND (rank IN (3, 5, 6) OR (rank = 8 AND concerned IS NOT NULL)) THEN
                    SELECT n.status INTO o.status
                    FROM bagelpay_internal.purchases AS n
                    WHERE n.order_id = o.order_id AND n.mode = o.mode AND n.name = o.latest_payment_id AND NOT n.is_trial;
                END IF;
                did := ROW (o.status, i.subscription_status, concerned, p.status, note)::bagelpay.effect;
                IF is_fresh OR e.effect IS DISTINCT FROM did THEN
                    e.effect := did;
                    done := done || e;
                END IF;
            END;
        END LOOP;

        IF done IS NOT NULL THEN
            IF is_fresh THEN
                INSERT INTO bagelpay.events SELECT * FROM unnest(done);
            ELSE
                UPDATE bagelpay.events AS t
                SET effect = n.effect
                FROM unnest(done) AS n
                WHERE t.event_id = n.event_id;
            END IF;
            done := NULL;
        END IF;

        EXIT WHEN cardinality(keys) = 0;
        IF is_fresh THEN
            is_fresh := FALSE;
            loaded_keys := NULL;
            IF o.order_id IS NOT NULL THEN
                orders := orders || o;
                o := NULL;
            END IF;
            -- All lose their state before any is folded, because an event may have moved from one order to another.
            PERFORM bagelpay_internal.remove_state (k.mode, k.order_id) FROM unnest(keys) AS k;
        END IF;
        -- One query for the events of several orders, because starting a query costs as much as many rows. (Whole rows
        -- of the table, because the rows of a subquery have no type, and each would be converted as text.)
        SELECT array_agg(n.event), max(n.key) INTO chunk, of_key
        FROM (
            SELECT k.ordinality AS key, m.event
            FROM unnest(keys) WITH ORDINALITY AS k
            CROSS JOIN LATERAL (
                SELECT n AS event
                FROM bagelpay.events AS n
                WHERE n.order_id = k.order_id AND n.mode = k.mode AND k.ordinality >= of_key
                    AND (n.fold_slot, n.occurred_at, n.event_id) > (
                        CASE WHEN k.ordinality = of_key THEN behind.fold_slot ELSE 0 END,
                        CASE WHEN k.ordinality = of_key THEN behind.occurred_at ELSE '-infinity' END,
                        CASE WHEN k.ordinality = of_key THEN behind.event_id ELSE '' END)
                ORDER BY n.fold_slot, n.occurred_at, n.event_id) AS m
            LIMIT most_events) AS n;
        EXIT WHEN chunk IS NULL;
        behind := chunk[cardinality(chunk)];
    END LOOP;

    IF item_keys IS NOT NULL THEN
        PERFORM bagelpay_internal.store_rows (purchases, items);
    END IF;
    IF o.order_id IS NOT NULL THEN
        orders := orders || o;
    END IF;
    IF orders IS NULL THEN
        RETURN;
    ELSIF are_new THEN
        INSERT INTO bagelpay.orders SELECT * FROM unnest(orders);
    ELSE
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
    END IF;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.fold IS 'Folds events into the state of their orders, and stores both';

COMMIT;
