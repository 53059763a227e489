-- Deploy bagelpay:purchases to pg
--
-- The transition of one event: an order, a purchase and an item after it. These are single SQL expressions, which the
-- planner inlines. Functions that read or write rows are in PL/pgSQL, which caches plans; SQL functions are planned at
-- each call. bagelpay_internal.fold() calls them, for new events and for orders that it folds again.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns an order after one more event e, with its status unchanged.
--
-- rank       bagelpay_internal.event_rank() of e
-- p          the purchase that a selling event is about
-- sells      TRUE if e is a selling event
-- is_latest  TRUE if e begins p and p is the latest payment
-- takes      TRUE if the order takes over the values that e carries
CREATE FUNCTION bagelpay_internal.order_after (o bagelpay.orders, e bagelpay.events, rank integer, p bagelpay_internal.purchases, sells boolean, is_latest boolean, takes boolean)
    RETURNS bagelpay.orders
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT ROW (
        e.mode, e.order_id,
        CASE WHEN e.key_source = 'metadata' THEN e.key_source ELSE coalesce(o.key_source, e.key_source) END,
        o.status,
        coalesce(o.conflict, FALSE) OR (sells AND coalesce(p.customer_id <> o.only_customer_id, FALSE)),
        CASE WHEN takes THEN coalesce(e.amount, o.amount) ELSE o.amount END,
        CASE WHEN takes THEN coalesce(e.tax_amount, o.tax_amount) ELSE o.tax_amount END,
        CASE WHEN takes THEN coalesce(e.currency, o.currency) ELSE o.currency END,
        CASE WHEN takes THEN coalesce(e.product_id, o.product_id) ELSE o.product_id END,
        CASE WHEN takes THEN coalesce(e.product_name, o.product_name) ELSE o.product_name END,
        CASE WHEN takes THEN coalesce(e.billing_type, o.billing_type) ELSE o.billing_type END,
        CASE WHEN takes THEN coalesce(e.customer_id, o.customer_id) ELSE o.customer_id END,
        CASE WHEN takes THEN coalesce(e.customer_email, o.customer_email) ELSE o.customer_email END,
        CASE WHEN takes THEN coalesce(e.user_id, o.user_id) ELSE o.user_id END,
        CASE WHEN takes THEN coalesce(e.provider_order_id, o.provider_order_id) ELSE o.provider_order_id END,
        CASE WHEN takes THEN coalesce(e.payment_id, o.payment_id) ELSE o.payment_id END,
        CASE WHEN takes THEN coalesce(e.request_id, o.request_id) ELSE o.request_id END,
        CASE WHEN takes THEN coalesce(e.metadata, o.metadata) ELSE o.metadata END,
        e.event_id, e.occurred_at, e.occurred_at, e.fold_slot,
        CASE WHEN is_latest THEN p.name ELSE o.latest_payment_id END,
        CASE WHEN is_latest THEN p.began_at ELSE o.latest_paid_at END,
        coalesce(o.only_product_id, CASE WHEN sells THEN p.product_id END),
        coalesce(o.only_customer_id, CASE WHEN sells THEN p.customer_id END),
        coalesce(o.has_sold, FALSE) OR sells,
        coalesce(o.has_products, FALSE) OR (sells AND coalesce(p.product_id <> o.only_product_id, FALSE)),
        coalesce(o.has_users, FALSE) OR (sells AND p.user_id IS NOT NULL),
        coalesce(o.has_unnamed, FALSE) OR (rank IN (1, 3, 5) AND e.payment_id IS NULL),
        coalesce(o.has_links, FALSE) OR (sells AND p.processor_subscription_id IS NOT NULL),
        coalesce(o.has_trials, FALSE) OR rank = 4,
        coalesce(o.has_refunds, FALSE) OR rank = 6,
        coalesce(o.has_decisions, FALSE) OR (rank = 8 AND e.event_type <> 'operator.dispute_won'))::bagelpay.orders
$$;

-- Returns a purchase after one more of its own events, without inherited values; p is NULL before the first. While a
-- payment only failed, its latest event decides its product, customer and user; after it began, the first that has them.
--
-- sells      FALSE if e is a checkout.failed
-- is_trial   TRUE for a trial, FALSE for a payment
-- name       the payment's, or the event_id of a trial
-- is_billed  TRUE if e or an earlier event of it is billed as a subscription
CREATE FUNCTION bagelpay_internal.purchase_after (p bagelpay_internal.purchases, e bagelpay.events, sells boolean, is_trial boolean, name text, is_billed boolean)
    RETURNS bagelpay_internal.purchases
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT ROW (
        e.mode, e.order_id, is_trial, name,
        CASE WHEN is_billed THEN 'subscription' ELSE 'one_time' END,
        CASE WHEN p.name IS NOT NULL OR is_trial THEN p.status WHEN sells THEN 'paid' ELSE 'failed' END,
        CASE WHEN p.own_product AND p.began_at IS NOT NULL THEN p.product_id ELSE coalesce(e.product_id, p.product_id) END,
        coalesce(e.product_name, p.product_name),
        CASE WHEN p.own_customer = 2 AND p.began_at IS NOT NULL THEN p.customer_id ELSE coalesce(e.customer_id, p.customer_id) END,
        coalesce(e.customer_email, p.customer_email),
        CASE WHEN p.own_user AND p.began_at IS NOT NULL THEN p.user_id ELSE coalesce(e.user_id, p.user_id) END,
        coalesce(e.units, p.units), coalesce(e.recurring_interval, p.recurring_interval),
        coalesce(e.provider_order_id, p.provider_order_id),
        coalesce(e.subscription_id, p.subscription_id), coalesce(e.processor_subscription_id, p.processor_subscription_id),
        coalesce(e.payment_method, p.payment_method), coalesce(e.last4, p.last4), coalesce(e.billing_amount, p.billing_amount),
        coalesce(e.amount, p.amount), coalesce(e.tax_amount, p.tax_amount), coalesce(e.currency, p.currency),
        coalesce(e.billing_period_start, p.period_start), coalesce(e.billing_period_end, p.period_end),
        coalesce(e.trial_start, p.trial_start), coalesce(e.trial_end, p.trial_end),
        coalesce(p.refunded_amount, 0),
        coalesce(p.began_slot, CASE WHEN sells THEN e.fold_slot END),
        coalesce(p.began_at, CASE WHEN sells THEN e.occurred_at END),
        coalesce(p.began_event_id, CASE WHEN sells THEN e.event_id END),
        p.item_key,
        CASE WHEN sells THEN coalesce(
            'p:' || coalesce(e.subscription_id, p.subscription_id), 'r:' || coalesce(e.processor_subscription_id, p.processor_subscription_id)) END,
        (p.began_at IS NOT NULL AND p.own_product) OR e.product_id IS NOT NULL,
        (p.began_at IS NOT NULL AND p.own_user) OR e.user_id IS NOT NULL,
        CASE WHEN e.customer_id IS NOT NULL THEN 2 WHEN p.began_at IS NOT NULL THEN p.own_customer ELSE 0 END,
        is_billed,
        coalesce(p.has_billing_type, FALSE) OR coalesce(e.billing_type IN ('subscription', 'single_payment'), FALSE),
        coalesce(p.only_checkout, TRUE) AND e.event_type = 'checkout.completed',
        coalesce(p.is_disputed, FALSE), coalesce(p.bought_trial, FALSE),
        CASE WHEN p.name IS NULL AND is_trial THEN e.payment_id ELSE p.named_payment_id END,
        p.buyer, p.replaced_at, p.cut_at, p.cut_until, p.canceled_at, p.cancel_at, p.cancel_at_period_end)::bagelpay_internal.purchases
$$;

-- Returns a 64-bit hash of an item's key, by which an index finds its purchases.
CREATE FUNCTION bagelpay_internal.item_key (p bagelpay_internal.purchases)
    RETURNS bigint
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT hash_record_extended(
        ROW (p.mode, p.order_id, coalesce(p.product_id, ''), coalesce(p.customer_id, ''), coalesce(p.user_id, '')), 5417300)
$$;

-- Returns the status of an item after a purchase p began, or had another event; stored is p before that. A payment that
-- bought a trial does not end the trial.
CREATE FUNCTION bagelpay_internal.item_status (i bagelpay_internal.stored_items, p bagelpay_internal.purchases, stored bagelpay_internal.purchases, begins boolean)
    RETURNS text
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE
        WHEN p.is_trial THEN 'trialing'
        WHEN p.kind <> 'subscription' THEN i.subscription_status
        WHEN p.bought_trial THEN CASE WHEN stored.item_key <> p.item_key THEN 'trialing' ELSE coalesce(i.subscription_status, 'trialing') END
        WHEN begins OR stored.bought_trial OR stored.kind = 'one_time' OR stored.item_key <> p.item_key THEN 'active'
        ELSE i.subscription_status
    END
$$;

-- Returns an item after its latest purchase p, which is new or has changed; i is NULL before the first. renews is TRUE if
-- p is of the kind subscription.
CREATE FUNCTION bagelpay_internal.item_after (i bagelpay_internal.stored_items, p bagelpay_internal.purchases, renews boolean, status text)
    RETURNS bagelpay_internal.stored_items
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT ROW (
        p.mode, p.order_id, coalesce(p.product_id, ''), coalesce(p.customer_id, ''), coalesce(p.user_id, ''),
        coalesce(p.product_name, i.product_name), coalesce(p.customer_email, i.customer_email), status,
        coalesce(p.units, i.units), coalesce(p.recurring_interval, i.recurring_interval),
        coalesce(p.subscription_id, i.subscription_id), coalesce(p.processor_subscription_id, i.processor_subscription_id),
        CASE WHEN p.is_trial THEN p.trial_start ELSE i.trial_start END, CASE WHEN p.is_trial THEN p.trial_end ELSE i.trial_end END,
        coalesce(p.period_start, i.billing_period_start), coalesce(p.period_end, i.billing_period_end),
        CASE WHEN renews THEN p.cancel_at ELSE i.cancel_at END,
        CASE WHEN renews THEN p.canceled_at ELSE i.canceled_at END,
        CASE WHEN renews THEN p.cancel_at_period_end ELSE i.cancel_at_period_end END,
        coalesce(p.payment_method, i.payment_method), coalesce(p.last4, i.last4), coalesce(p.billing_amount, i.billing_amount),
        p.item_key, p.began_slot, p.began_at, p.began_event_id,
        CASE WHEN renews THEN p.name ELSE i.latest_subscription END,
        CASE WHEN renews THEN p.is_trial ELSE i.latest_is_trial END,
        CASE WHEN renews THEN p.subscription_key ELSE i.latest_subscription_key END)::bagelpay_internal.stored_items
$$;

-- Returns TRUE if the subscription of a purchase differs from those that an event names, by ids of the same kind; FALSE
-- if either names none. A key begins with p if it stands for an id of the provider, r for the card processor's, b for
-- both.
CREATE FUNCTION bagelpay_internal.names_other (subscription_key text, named text[])
    RETURNS boolean
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT coalesce(
        subscription_key <> ALL (named)
        AND EXISTS (
            SELECT
            FROM unnest(named) AS n (key)
            WHERE (left(subscription_key, 1) IN ('p', 'b') AND left(n.key, 1) IN ('p', 'b'))
                OR (left(subscription_key, 1) IN ('r', 'b') AND left(n.key, 1) IN ('r', 'b'))), FALSE)
$$;

-- Returns the key of the subscription that an id of one kind (p: the provider's, r: the card processor's) has in an
-- order: the kind and the id, or the common key of linked ids. NULL for NULL.
CREATE FUNCTION bagelpay_internal.subscription_key (mode text, order_id text, kind text, id text)
    RETURNS text
    LANGUAGE plpgsql
    STABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN (
        SELECT coalesce(
            (SELECT l.subscription_key
             FROM bagelpay_internal.subscription_links AS l
             WHERE l.order_id = $2 COLLATE "C" AND l.mode = $1 COLLATE "C" AND l.kind = $3 COLLATE "C" AND l.id = $4 COLLATE "C"),
            $3 || ':' || $4));
END
$$;

-- Returns the keys of the subscriptions that an event names; empty if it names none.
CREATE FUNCTION bagelpay_internal.named_subscriptions (e bagelpay.events)
    RETURNS text[]
    LANGUAGE plpgsql
    STABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN (
        SELECT array_remove(ARRAY[
            bagelpay_internal.subscription_key (e.mode, e.order_id, 'p', e.subscription_id),
            bagelpay_internal.subscription_key (e.mode, e.order_id, 'r', e.processor_subscription_id)], NULL));
END
$$;

-- Links two ids of one subscription; returns its key. Needs the lock of the order.
CREATE FUNCTION bagelpay_internal.link_subscription (of_mode text, of_order text, subscription_id text, processor_subscription_id text)
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    one text COLLATE "C" := bagelpay_internal.subscription_key (of_mode, of_order, 'p', link_subscription.subscription_id);
    other text COLLATE "C" := bagelpay_internal.subscription_key (of_mode, of_order, 'r', link_subscription.processor_subscription_id);
    joined text COLLATE "C" := 'b:' || least(regexp_replace(one, '^b:', ''), regexp_replace(other, '^b:', ''));
BEGIN
    IF one = other THEN
        RETURN one;
    END IF;
    -- Ids that are not linked have no rows.
    IF one LIKE 'b:%' OR other LIKE 'b:%' THEN
        UPDATE bagelpay_internal.subscription_links AS l
        SET subscription_key = joined
        WHERE l.subscription_key IN (one, other) AND l.order_id IS NOT DISTINCT FROM of_order COLLATE "C" AND l.mode IS NOT DISTINCT FROM of_mode COLLATE "C";
    END IF;
    INSERT INTO bagelpay_internal.subscription_links (mode, order_id, kind, id, subscription_key)
    VALUES (of_mode, of_order, 'p', link_subscription.subscription_id, joined),
        (of_mode, of_order, 'r', link_subscription.processor_subscription_id, joined)
    ON CONFLICT (order_id, mode, kind, id) DO NOTHING;
    WITH renamed AS (
        UPDATE bagelpay_internal.purchases AS p
        SET subscription_key = joined
        WHERE p.subscription_key IN (one, other) AND p.order_id IS NOT DISTINCT FROM of_order COLLATE "C" AND p.mode IS NOT DISTINCT FROM of_mode COLLATE "C"
        RETURNING p.customer_id, p.user_id, p.product_id
    )
    UPDATE bagelpay_internal.stored_items AS i
    SET latest_subscription_key = joined
    FROM renamed AS p
    WHERE i.order_id = of_order COLLATE "C" AND i.mode = of_mode COLLATE "C" AND i.customer_id = coalesce(p.customer_id, '')
        AND i.user_id = coalesce(p.user_id, '') AND i.product_id = coalesce(p.product_id, '')
        AND i.latest_subscription_key IN (one, other);
    RETURN joined;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.link_subscription IS 'Links the provider''s and the processor''s id of a subscription';

-- Returns the customer of a purchase or an event that has only an e-mail: the customer id of the order's latest
-- purchase with this e-mail and an id, before the position (slot, at, event_id), else email:<e-mail>. NULL for NULL.
CREATE FUNCTION bagelpay_internal.customer_by_email (mode text, order_id text, email text, slot bigint, at timestamptz, event_id text)
    RETURNS text
    LANGUAGE plpgsql
    STABLE PARALLEL SAFE
    AS $$
DECLARE
    latest_slot bigint;
    found text;
BEGIN
    -- The index is sorted by the slot: first the slot, then the latest in it.
    SELECT p.began_slot INTO latest_slot
    FROM bagelpay_internal.purchases AS p
    WHERE p.customer_email = $3 COLLATE "C" AND p.order_id = $2 COLLATE "C" AND p.mode IS NOT DISTINCT FROM $1 COLLATE "C"
        AND p.customer_id NOT LIKE 'email:%'
        AND (p.began_slot, p.began_at, p.began_event_id) < ($4, $5, $6 COLLATE "C")
    ORDER BY p.began_slot DESC
    LIMIT 1;
    SELECT p.customer_id INTO found
    FROM bagelpay_internal.purchases AS p
    WHERE p.customer_email = $3 COLLATE "C" AND p.order_id = $2 COLLATE "C" AND p.mode IS NOT DISTINCT FROM $1 COLLATE "C"
        AND p.customer_id NOT LIKE 'email:%' AND p.began_slot = latest_slot
        AND (p.began_at, p.began_event_id) < (CASE WHEN latest_slot = $4 THEN $5 ELSE 'infinity' END, $6 COLLATE "C")
    ORDER BY p.began_at DESC, p.began_event_id DESC
    LIMIT 1;
    RETURN coalesce(found, 'email:' || $3);
END
$$;

-- Returns a purchase that begins, with the product, customer and user that it inherits from earlier purchases if its
-- own event does not have them. The caller has stored the order's purchases and items.
CREATE FUNCTION bagelpay_internal.inheriting (p bagelpay_internal.purchases, o bagelpay.orders)
    RETURNS bagelpay_internal.purchases
    LANGUAGE plpgsql
    STABLE
    AS $$
DECLARE
    same bagelpay_internal.purchases;
    first_known text;
    last_known text;
BEGIN
    IF p.subscription_key IS NOT NULL THEN
        SELECT * INTO same
        FROM bagelpay_internal.purchases AS n
        WHERE n.subscription_key = p.subscription_key AND n.order_id IS NOT DISTINCT FROM p.order_id AND n.mode IS NOT DISTINCT FROM p.mode AND n.began_at IS NOT NULL
        ORDER BY n.began_slot DESC, n.began_at DESC, n.began_event_id DESC
        LIMIT 1;
    END IF;
    p.product_id := coalesce(p.product_id, same.product_id, CASE WHEN NOT o.has_products THEN o.only_product_id END);
    p.customer_id := coalesce(p.customer_id, same.customer_id, CASE WHEN NOT o.conflict THEN o.only_customer_id END);
    IF p.user_id IS NULL AND p.subscription_key IS NOT NULL THEN
        SELECT n.user_id INTO p.user_id
        FROM bagelpay_internal.purchases AS n
        WHERE n.subscription_key = p.subscription_key AND n.order_id IS NOT DISTINCT FROM p.order_id AND n.mode IS NOT DISTINCT FROM p.mode AND n.began_at IS NOT NULL
            AND n.customer_id IS NOT DISTINCT FROM p.customer_id
        ORDER BY n.began_slot DESC, n.began_at DESC, n.began_event_id DESC
        LIMIT 1;
    END IF;
    IF p.user_id IS NULL THEN
        SELECT min(i.user_id), max(i.user_id) INTO first_known, last_known
        FROM bagelpay_internal.stored_items AS i
        WHERE i.order_id = p.order_id AND i.mode = p.mode AND i.customer_id = coalesce(p.customer_id, '') AND i.user_id > '';
        IF first_known = last_known THEN
            p.user_id := first_known;
        END IF;
    END IF;
    RETURN p;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.inheriting IS 'A purchase with the product, customer and user that it inherits';

-- Stores new purchases, and items, each once; either may be NULL. An item is written if a byte of its row differs
-- (*<>), because 2.0 equals 2, and the stored one of these must not depend on the row before. Needs the lock of the
-- order.
CREATE FUNCTION bagelpay_internal.store_rows (purchases bagelpay_internal.purchases[], items bagelpay_internal.stored_items[])
    RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF cardinality(purchases) > 0 THEN
        INSERT INTO bagelpay_internal.purchases SELECT * FROM unnest(purchases);
    END IF;
    IF cardinality(items) > 0 THEN
        INSERT INTO bagelpay_internal.stored_items AS t
        SELECT * FROM unnest(items)
        ON CONFLICT (order_id, mode, customer_id, user_id, product_id) DO UPDATE SET
            product_name = excluded.product_name, customer_email = excluded.customer_email,
            subscription_status = excluded.subscription_status, units = excluded.units,
            recurring_interval = excluded.recurring_interval, subscription_id = excluded.subscription_id,
            processor_subscription_id = excluded.processor_subscription_id, trial_start = excluded.trial_start,
            trial_end = excluded.trial_end, billing_period_start = excluded.billing_period_start,
            billing_period_end = excluded.billing_period_end, cancel_at = excluded.cancel_at, canceled_at = excluded.canceled_at,
            cancel_at_period_end = excluded.cancel_at_period_end, payment_method = excluded.payment_method, last4 = excluded.last4,
            billing_amount = excluded.billing_amount, latest_slot = excluded.latest_slot, latest_at = excluded.latest_at,
            latest_event_id = excluded.latest_event_id, latest_subscription = excluded.latest_subscription,
            latest_is_trial = excluded.latest_is_trial, latest_subscription_key = excluded.latest_subscription_key
        WHERE t *<> excluded;
    END IF;
END
$$;

-- Returns the keys of the items of the trials that a payment bought.
CREATE FUNCTION bagelpay_internal.items_of_trials (payment bagelpay_internal.purchases)
    RETURNS bigint[]
    LANGUAGE plpgsql
    STABLE
    AS $$
BEGIN
    RETURN array(
        SELECT t.item_key
        FROM bagelpay_internal.purchases AS t
        WHERE t.order_id = payment.order_id AND t.mode = payment.mode AND t.is_trial AND t.buyer = payment.name
            AND t.began_at BETWEEN payment.began_at - interval '24 hours' AND payment.began_at + interval '24 hours');
END
$$;

-- Derives an item from its purchases again. Deletes it if it has none. It keeps its status if it has a subscription
-- purchase. Needs the lock of the order.
CREATE FUNCTION bagelpay_internal.refold_item (of_mode text, of_order text, of_key bigint)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    i bagelpay_internal.stored_items;
    p bagelpay_internal.purchases;
BEGIN
    FOR p IN
        SELECT n.*
        FROM bagelpay_internal.purchases AS n
        -- A payment and the trial that it bought count as one, which began when the later of them did.
        LEFT JOIN LATERAL (
            SELECT m.began_slot, m.began_at, m.began_event_id
            FROM bagelpay_internal.purchases AS m
            WHERE m.order_id = n.order_id AND m.mode = n.mode AND m.name = n.buyer AND NOT m.is_trial AND n.is_trial
            UNION ALL
            SELECT m.began_slot, m.began_at, m.began_event_id
            FROM bagelpay_internal.purchases AS m
            WHERE m.order_id = n.order_id AND m.mode = n.mode AND m.is_trial AND m.buyer = n.name AND n.bought_trial
                AND m.began_at BETWEEN n.began_at - interval '24 hours' AND n.began_at + interval '24 hours'
            ORDER BY began_slot DESC, began_at DESC, began_event_id DESC
            LIMIT 1) AS pair ON (pair.began_slot, pair.began_at, pair.began_event_id) > (n.began_slot, n.began_at, n.began_event_id)
        WHERE n.item_key = of_key AND n.order_id IS NOT DISTINCT FROM of_order COLLATE "C" AND n.mode IS NOT DISTINCT FROM of_mode COLLATE "C"
        ORDER BY coalesce(pair.began_slot, n.began_slot), coalesce(pair.began_at, n.began_at), coalesce(pair.began_event_id, n.began_event_id),
            n.began_slot, n.began_at, n.began_event_id
    LOOP
        i := bagelpay_internal.item_after (i, p, p.kind = 'subscription', NULL);
    END LOOP;
    IF i.item_key IS NULL THEN
        DELETE FROM bagelpay_internal.stored_items AS t
        WHERE t.order_id = of_order COLLATE "C" AND t.mode = of_mode COLLATE "C" AND t.item_key = of_key;
        RETURN;
    END IF;
    IF i.latest_subscription IS NOT NULL THEN
        SELECT t.subscription_status INTO i.subscription_status
        FROM bagelpay_internal.stored_items AS t
        WHERE t.order_id = i.order_id AND t.mode = i.mode AND t.customer_id = i.customer_id AND t.user_id = i.user_id AND t.product_id = i.product_id;
    END IF;
    PERFORM bagelpay_internal.store_rows ('{}', ARRAY[i]);
END
$$;

COMMENT ON FUNCTION bagelpay_internal.refold_item IS 'Derives an item from its purchases again';

COMMIT;
