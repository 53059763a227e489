-- Deploy bagelpay:cancellations to pg
--
-- The fold's steps for events that are about a subscription without naming a purchase: cancellations and failed
-- payments. They work on stored rows. The caller holds the lock of the order, and has stored its rows in memory.
--
-- Look-ups by a name compare the order with IS NOT DISTINCT FROM, which cannot use an index. With =, a plan made while
-- the tables are small would read all rows of an order, which may be very many. Joins are nested loops for the same
-- reason.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns the purchases that an event without a payment_id is about: the paid payments if payments is TRUE, else the
-- subscription purchases. They are those of its subscription. If there are none, they are those that name no other
-- subscription and have its product and customer; an unknown product or customer on either side matches any.
CREATE FUNCTION bagelpay_internal.purchases_meant (e bagelpay.events, payments boolean)
    RETURNS SETOF bagelpay_internal.purchases
    LANGUAGE plpgsql
    STABLE
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    AS $$
DECLARE
    named text[] := bagelpay_internal.named_subscriptions (e);
    customer text COLLATE "C" := coalesce(
        e.customer_id,
        bagelpay_internal.customer_by_email (e.mode, e.order_id, e.customer_email, e.fold_slot, e.occurred_at, e.event_id));
BEGIN
    IF named <> '{}' THEN
        RETURN QUERY
        SELECT *
        FROM bagelpay_internal.purchases AS p
        WHERE p.subscription_key = ANY (named) AND p.order_id IS NOT DISTINCT FROM e.order_id AND p.mode IS NOT DISTINCT FROM e.mode AND p.began_at IS NOT NULL
            AND CASE WHEN payments THEN NOT p.is_trial ELSE p.kind = 'subscription' END;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    -- By items, because an order may have very many purchases, but few of one customer.
    RETURN QUERY
    SELECT p.*
    FROM (
        SELECT n.item_key, n.product_id
        FROM bagelpay_internal.stored_items AS n
        WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.customer_id = customer
        UNION ALL
        SELECT n.item_key, n.product_id
        FROM bagelpay_internal.stored_items AS n
        WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.customer_id = '' AND customer IS NOT NULL
        UNION ALL
        SELECT n.item_key, n.product_id
        FROM bagelpay_internal.stored_items AS n
        WHERE n.order_id = e.order_id AND n.mode = e.mode AND customer IS NULL) AS i
    JOIN bagelpay_internal.purchases AS p ON p.item_key = i.item_key
    WHERE (e.product_id IS NULL OR i.product_id IN ('', e.product_id))
        AND CASE WHEN payments THEN NOT p.is_trial ELSE p.kind = 'subscription' END
        AND NOT bagelpay_internal.names_other (p.subscription_key, named);
END
$$;

COMMENT ON FUNCTION bagelpay_internal.purchases_meant IS 'The purchases of an event''s subscription, or product and customer';

-- The key of a purchase within its order.
CREATE TYPE bagelpay_internal.purchase_name AS (
    name text,
    is_trial boolean
);

-- Folds a subscription.canceled: marks the purchases that it concerns, and sets the items canceled whose latest
-- subscription purchase is one of them. Returns 0 if it concerns no purchase, else a positive number.
CREATE FUNCTION bagelpay_internal.fold_cancellation (e bagelpay.events)
    RETURNS integer
    LANGUAGE plpgsql
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    AS $$
DECLARE
    ends_at timestamptz := greatest(e.occurred_at, e.canceled_at, e.cancel_at);
    concerned bagelpay_internal.purchase_name[];
BEGIN
    INSERT INTO bagelpay.cancellations (mode, order_id, event_id, product_id, customer_id, subscription_id, processor_subscription_id, occurred_at,
        ends_at, at_period_end)
    VALUES (e.mode, e.order_id, e.event_id, e.product_id, e.customer_id, e.subscription_id, e.processor_subscription_id, e.occurred_at,
        ends_at, e.cancel_at_period_end);
    SELECT array_agg(ROW (p.name, p.is_trial)::bagelpay_internal.purchase_name) INTO concerned
    FROM bagelpay_internal.purchases_meant (e, FALSE) AS p;
    IF concerned IS NULL THEN
        RETURN 0;
    END IF;
    -- A payment and the trials that it bought are cancelled together.
    concerned := concerned || array(
        SELECT ROW (t.buyer, FALSE)::bagelpay_internal.purchase_name
        FROM unnest(concerned) AS c
        JOIN bagelpay_internal.purchases AS t ON t.order_id = e.order_id AND t.mode = e.mode AND t.name = c.name AND t.is_trial AND c.is_trial AND t.buyer IS NOT NULL);
    concerned := concerned || array(
        SELECT ROW (t.name, TRUE)::bagelpay_internal.purchase_name
        FROM unnest(concerned) AS c
        JOIN bagelpay_internal.purchases AS t ON t.order_id = e.order_id AND t.mode = e.mode AND t.is_trial AND t.buyer = c.name AND NOT c.is_trial);
    UPDATE bagelpay_internal.purchases AS p
    SET cut_at = least(p.cut_at, e.occurred_at),
        cut_until = least(p.cut_until, CASE WHEN e.cancel_at_period_end IS NOT TRUE THEN ends_at END),
        canceled_at = e.canceled_at, cancel_at = e.cancel_at, cancel_at_period_end = e.cancel_at_period_end
    FROM (SELECT DISTINCT c.name, c.is_trial FROM unnest(concerned) AS c) AS c
    WHERE p.order_id = e.order_id AND p.mode = e.mode AND p.name = c.name AND p.is_trial = c.is_trial;
    UPDATE bagelpay_internal.stored_items AS i
    SET subscription_status = 'canceled', canceled_at = e.canceled_at, cancel_at = e.cancel_at, cancel_at_period_end = e.cancel_at_period_end
    FROM bagelpay_internal.purchases AS p
    JOIN unnest(concerned) AS c ON c.name = p.name AND c.is_trial = p.is_trial
    WHERE p.order_id = e.order_id AND p.mode = e.mode
        AND i.order_id = p.order_id AND i.mode = p.mode AND i.customer_id = coalesce(p.customer_id, '') AND i.user_id = coalesce(p.user_id, '')
        AND i.product_id = coalesce(p.product_id, '')
        AND i.latest_subscription = p.name AND i.latest_is_trial = p.is_trial;
    RETURN cardinality(concerned);
END
$$;

COMMENT ON FUNCTION bagelpay_internal.fold_cancellation IS 'Folds a subscription.canceled; returns 0 if it concerns no purchase';

-- Returns the subscription keys of the latest subscription purchase of an item. A payment and the trials that it bought
-- count as one purchase, as far as they are of the item.
CREATE FUNCTION bagelpay_internal.latest_subscriptions (i bagelpay_internal.stored_items)
    RETURNS text[]
    LANGUAGE plpgsql
    STABLE
    AS $$
DECLARE
    payment text COLLATE "C" := i.latest_subscription;
BEGIN
    IF i.latest_is_trial THEN
        SELECT t.buyer INTO payment
        FROM bagelpay_internal.purchases AS t
        WHERE t.order_id = i.order_id AND t.mode = i.mode AND t.name = i.latest_subscription AND t.is_trial;
    END IF;
    RETURN array(
        SELECT i.latest_subscription_key
        UNION
        SELECT p.subscription_key
        FROM bagelpay_internal.purchases AS p
        WHERE p.order_id = i.order_id AND p.mode = i.mode AND p.name = payment AND NOT p.is_trial AND p.item_key = i.item_key
            AND p.kind = 'subscription'
        UNION
        SELECT t.subscription_key
        FROM bagelpay_internal.purchases AS t
        WHERE t.order_id = i.order_id AND t.mode = i.mode AND t.is_trial AND t.buyer = payment AND t.item_key = i.item_key);
END
$$;

-- Folds a checkout.failed: the items that it concerns become past_due if they were trialing or active. Returns how many
-- did.
CREATE FUNCTION bagelpay_internal.fold_failure (e bagelpay.events, has_trials boolean)
    RETURNS bigint
    LANGUAGE plpgsql
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    AS $$
DECLARE
    named text[] := bagelpay_internal.named_subscriptions (e);
    customer text COLLATE "C" := coalesce(
        e.customer_id,
        bagelpay_internal.customer_by_email (e.mode, e.order_id, e.customer_email, e.fold_slot, e.occurred_at, e.event_id));
    i bagelpay_internal.stored_items;
    keys text[];
    items bigint := 0;
BEGIN
    FOR i IN
        SELECT n.*
        FROM bagelpay_internal.stored_items AS n
        WHERE customer IS NULL AND n.order_id = e.order_id AND n.mode = e.mode
        UNION ALL
        SELECT n.*
        FROM bagelpay_internal.stored_items AS n
        WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.customer_id = customer
        UNION ALL
        SELECT n.*
        FROM bagelpay_internal.stored_items AS n
        WHERE customer IS NOT NULL AND n.order_id = e.order_id AND n.mode = e.mode AND n.customer_id = ''
        UNION ALL
        SELECT n.*
        FROM bagelpay_internal.purchases AS p
        JOIN bagelpay_internal.stored_items AS n ON n.order_id = p.order_id AND n.mode = p.mode AND n.customer_id = coalesce(p.customer_id, '')
            AND n.user_id = coalesce(p.user_id, '') AND n.product_id = coalesce(p.product_id, '')
        WHERE p.subscription_key = ANY (named) AND p.order_id IS NOT DISTINCT FROM e.order_id AND p.mode IS NOT DISTINCT FROM e.mode AND p.began_at IS NOT NULL
    LOOP
        CONTINUE WHEN i.subscription_status IS NULL OR i.subscription_status NOT IN ('trialing', 'active');
        keys := ARRAY[i.latest_subscription_key];
        IF has_trials THEN
            keys := bagelpay_internal.latest_subscriptions (i);
        END IF;
        CONTINUE WHEN NOT keys && named
            AND (EXISTS (SELECT FROM unnest(keys) AS key WHERE bagelpay_internal.names_other (key, named))
                OR (i.customer_id <> '' AND i.customer_id <> customer)
                OR (i.product_id <> '' AND i.product_id <> e.product_id));
        UPDATE bagelpay_internal.stored_items AS n
        SET subscription_status = 'past_due'
        WHERE n.order_id = i.order_id AND n.mode = i.mode AND n.customer_id = i.customer_id AND n.user_id = i.user_id AND n.product_id = i.product_id;
        items := items + 1;
    END LOOP;
    RETURN items;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.fold_failure IS 'Folds a checkout.failed; returns how many items became past_due';

COMMIT;
