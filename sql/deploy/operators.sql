-- Deploy bagelpay:operators to pg
--
-- Manual overrides: events of their own, folded like the others, so that a decision survives whatever arrives late and
-- every rebuild. And expected orders.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Stores what an application is about to sell. A later call for the same order replaces it.
--
-- order_id                   trimmed like those in events
-- customer_email, currency   trimmed, in any ASCII case
-- amount                     as in bagelpay.payments
--
-- NULL, or an empty text, matches anything. Returns the order's entitlements after that; none if it has no events.
-- Raises invalid_parameter_value if order_id is NULL, empty or too long, or mode is neither test nor live. Waits for other transactions that expect the same order; holds its row lock until the
-- transaction ends.
CREATE FUNCTION bagelpay.expect_order (
    order_id text,
    customer_email text,
    product_id text,
    amount numeric,
    currency text,
    mode text DEFAULT 'live')
RETURNS SETOF bagelpay.entitlement
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    the_mode text COLLATE "C" := bagelpay_internal.given_mode (expect_order.mode);
    the_order text COLLATE "C" := bagelpay_internal.given_order_id (expect_order.order_id);
BEGIN
    INSERT INTO bagelpay.expected_orders (mode, order_id, customer_email, product_id, amount, currency)
    VALUES (
        the_mode,
        the_order,
        nullif(bagelpay_internal.trimmed (lower(expect_order.customer_email COLLATE "C")), ''),
        nullif(bagelpay_internal.trimmed (expect_order.product_id COLLATE "C"), ''),
        expect_order.amount,
        nullif(bagelpay_internal.trimmed (upper(expect_order.currency COLLATE "C")), ''))
    ON CONFLICT (mode, order_id) DO UPDATE SET
        customer_email = excluded.customer_email, product_id = excluded.product_id,
        amount = excluded.amount, currency = excluded.currency, expected_at = excluded.expected_at;
    RETURN QUERY
    SELECT * FROM bagelpay.entitlements_at (now(), the_mode) AS v WHERE v.order_id = the_order;
END
$$;

COMMENT ON FUNCTION bagelpay.expect_order IS 'Stores what an application is about to sell';

-- Stores an operator event and folds its order. The caller holds the order's lock, or an EXCLUSIVE lock on
-- bagelpay.orders.
--
-- order_id, customer, product_id   trimmed; customer is BagelPay's customer id, or an e-mail in any case
-- until                            the end of a grant; NULL or 'infinity' for none
-- user_id                          the user of the item that a grant makes
--
-- Raises invalid_parameter_value if order_id is NULL, empty or too long, mode is neither test nor live, until is not in
-- the years 2000 to 9999, or the decision would cover nothing; invalid_transaction_state unless the transaction is READ
-- COMMITTED.
CREATE FUNCTION bagelpay_internal.store_decision (
    decision text,
    order_id text,
    customer text,
    product_id text,
    payment_id text,
    until timestamptz,
    note text,
    mode text,
    user_id text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    the_mode text COLLATE "C" := bagelpay_internal.given_mode (store_decision.mode);
    the_order text COLLATE "C" := bagelpay_internal.given_order_id (store_decision.order_id);
    the_product text COLLATE "C" := nullif(bagelpay_internal.trimmed (store_decision.product_id), '');
    the_customer text COLLATE "C" := nullif(bagelpay_internal.trimmed (store_decision.customer), '');
    the_email text COLLATE "C";
    the_end timestamptz := nullif(store_decision.until, 'infinity');
    newest bagelpay.orders;
    moment timestamptz;
    e bagelpay.events;
BEGIN
    IF the_end < '2000-01-01 00:00:00+00' OR the_end >= '10000-01-01 00:00:00+00' THEN
        RAISE EXCEPTION 'until: must be in the years 2000 to 9999, or NULL for without end, not %', the_end
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF strpos(the_customer, '@') > 0 THEN
        -- Items show a customer who is known by e-mail alone as email:<e-mail>.
        the_email := regexp_replace(lower(the_customer), '^email:', '');
        the_customer := NULL;
    END IF;
    SELECT * INTO newest FROM bagelpay.orders AS o WHERE o.order_id = the_order AND o.mode = the_mode;
    IF NOT (decision = 'grant' AND the_product IS NOT NULL AND the_email IS NOT NULL) THEN
        IF newest.order_id IS NULL THEN
            RAISE EXCEPTION 'order_id: there is no % order %', the_mode, the_order
                USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT mode, order_id FROM bagelpay.orders ORDER BY updated_at DESC LIMIT 20;';
        END IF;
        IF (decision = 'grant' OR the_product IS NOT NULL OR the_customer IS NOT NULL OR the_email IS NOT NULL) AND NOT EXISTS (
                SELECT
                FROM bagelpay_internal.all_items AS i
                WHERE i.order_id = the_order AND i.mode = the_mode
                    AND (the_product IS NULL OR i.product_id = the_product)
                    AND (the_customer IS NULL OR i.customer_id = the_customer)
                    AND (the_email IS NULL OR i.customer_id = 'email:' || the_email OR EXISTS (
                        SELECT
                        FROM bagelpay_internal.purchases AS p
                        WHERE p.item_key = i.item_key AND p.customer_email = the_email))
                    -- A grant that names neither product nor customer covers only items that were bought.
                    AND (decision <> 'grant' OR the_product IS NOT NULL OR the_email IS NOT NULL OR i.item_key IS NOT NULL)) THEN
            RAISE EXCEPTION '%: % order % has no item%', decision, the_mode, the_order,
                concat(' of product ' || the_product, ' of customer ' || coalesce(the_customer, the_email))
                USING ERRCODE = 'invalid_parameter_value',
                    HINT = format('SELECT * FROM bagelpay.items WHERE order_id = %L; a grant that names product and e-mail needs no item.', the_order);
        END IF;
    END IF;
    -- A moment that sorts behind the newest event, also behind a decision of the same moment.
    moment := greatest(clock_timestamp(), newest.last_event_at + CASE WHEN newest.last_slot & 15 = 8 THEN interval '1 microsecond' ELSE '0' END);
    e.event_id := 'operator:' || gen_random_uuid();
    e.event_type := 'operator.' || decision;
    e.mode := the_mode;
    e.occurred_at := moment;
    e.fold_slot := bagelpay_internal.fold_slot (moment, e.event_type);
    e.order_id := the_order;
    e.key_source := coalesce(substring(the_order FROM '^(customer|order|payment):'), 'metadata');
    e.outcome := 'applied';
    e.warnings := '{}';
    e.received_at := now();
    e.deliveries := 1;
    e.last_delivered_at := now();
    e.stored_xid := pg_current_xact_id()::text::bigint;
    e.customer_id := the_customer;
    e.customer_email := the_email;
    e.product_id := the_product;
    e.payment_id := store_decision.payment_id;
    e.user_id := nullif(bagelpay_internal.trimmed (store_decision.user_id), '');
    e.granted_until := the_end;
    e.note := store_decision.note;
    e.has_new_name := TRUE;
    PERFORM bagelpay_internal.fold ('{}', ARRAY[e]);
END
$$;

COMMENT ON FUNCTION bagelpay_internal.store_decision IS 'Stores an operator event and folds its order';

-- Makes a decision by its arguments as bagelpay_internal.store_decision(), and with its errors. Returns the order's
-- entitlements after that.
--
-- Waits for rebuild(), rekey(), forget_customer(), and for the advisory lock of the order, which it holds until the
-- transaction ends. The event's time is taken with the lock held, so that of two decisions the one that waited is the
-- later.
CREATE FUNCTION bagelpay_internal.decide (
    decision text,
    order_id text,
    customer text,
    product_id text,
    payment_id text,
    until timestamptz,
    note text,
    mode text)
RETURNS SETOF bagelpay.entitlement
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    the_mode text COLLATE "C" := bagelpay_internal.given_mode (decide.mode);
    the_order text COLLATE "C" := bagelpay_internal.given_order_id (decide.order_id);
    afterwards timestamptz;
BEGIN
    LOCK TABLE bagelpay.orders IN ROW EXCLUSIVE MODE;
    PERFORM bagelpay_internal.take_locks (ARRAY[bagelpay_internal.order_lock (the_mode, the_order)]);
    PERFORM bagelpay_internal.store_decision (decision, the_order, customer, product_id, payment_id, until, note, the_mode);
    PERFORM bagelpay_internal.notify_orders (TRUE);
    -- In a variable: a volatile argument would keep the condition on the order from the indexes.
    afterwards := clock_timestamp();
    RETURN QUERY
    SELECT * FROM bagelpay.entitlements_at (afterwards, the_mode) AS v WHERE v.order_id = the_order;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.decide IS 'Makes a decision; returns the entitlements of its order';

-- Entitles to items of an order until a moment, or, with NULL or 'infinity', until it is revoked or cleared. With
-- product and e-mail: the item of both, which is made if there is none. With one of them: the items that have it. With
-- neither: all items that were bought so far. Returns the order's entitlements after that.
--
-- Raises invalid_parameter_value if customer_email has no @. For other errors and locks, see
-- bagelpay_internal.decide().
CREATE FUNCTION bagelpay.grant (
    order_id text,
    customer_email text DEFAULT NULL,
    product_id text DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    note text DEFAULT NULL,
    mode text DEFAULT 'live')
RETURNS SETOF bagelpay.entitlement
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF bagelpay_internal.trimmed (customer_email) <> '' AND strpos(customer_email, '@') = 0 THEN
        RAISE EXCEPTION 'customer_email: % is no e-mail address', quote_literal(customer_email)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY SELECT * FROM bagelpay_internal.decide ('grant', $1, $2, $3, NULL, $4, $5, $6);
END
$$;

COMMENT ON FUNCTION bagelpay.grant IS 'Entitles to items of an order, whatever was paid';

-- Grants what customers have who bought before bagelhook was there, in the caller's transaction.
--
-- customers   a JSON array of objects with the texts order_id, user_id, email, product_id, until, note; trimmed. email and
--             product_id are needed, and one of order_id and user_id. The order is adopted:<user_id> unless it is named.
--             until as for bagelpay.grant()
--
-- Returns the outcome for each, by its position from 1: granted; changed, if the last grant of the same order, product,
-- e-mail and user has another end; or unchanged, without an event, if it has the same, whatever was decided since.
--
-- Raises invalid_parameter_value if one of them lacks what is needed. For other errors, see
-- bagelpay_internal.store_decision(). Holds an EXCLUSIVE lock on bagelpay.orders until the transaction ends, because
-- the locks of thousands of orders have no room in the server's lock table: responders wait, queries do not.
CREATE FUNCTION bagelpay.adopt (customers json, mode text DEFAULT 'live')
    RETURNS TABLE (ordinal integer, outcome text)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    the_mode text COLLATE "C" := bagelpay_internal.given_mode (adopt.mode);
    has_changed boolean := FALSE;
    c record;
    former record;
BEGIN
    LOCK TABLE bagelpay.orders IN EXCLUSIVE MODE;
    ordinal := 0;
    FOR c IN
        SELECT bagelpay_internal.trimmed (coalesce(nullif(bagelpay_internal.trimmed (n.order_id), ''), 'adopted:' || nullif(bagelpay_internal.trimmed (n.user_id), ''))) AS order_id,
            bagelpay_internal.trimmed (n.user_id) AS user_id, lower(bagelpay_internal.trimmed (n.email)) AS email, bagelpay_internal.trimmed (n.product_id) AS product_id,
            nullif(n.until, 'infinity') AS until, n.note
        FROM json_to_recordset(customers) AS n (order_id text, user_id text, email text, product_id text, until timestamptz, note text)
    LOOP
        ordinal := ordinal + 1;
        IF strpos(c.email, '@') > 1 IS NOT TRUE OR c.product_id = '' IS NOT FALSE THEN
            RAISE EXCEPTION 'customers: number % needs an email and a product_id', ordinal USING ERRCODE = 'invalid_parameter_value';
        END IF;
        SELECT d.granted_until INTO former
        FROM bagelpay_internal.decisions AS d
        WHERE d.order_id = c.order_id AND d.mode = the_mode AND d.decision = 'grant' AND d.product_id = c.product_id
            AND d.customer_email = c.email AND d.user_id = coalesce(c.user_id, '')
        ORDER BY d.fold_slot DESC, d.occurred_at DESC, d.event_id DESC
        LIMIT 1;
        outcome := CASE WHEN NOT FOUND THEN 'granted' WHEN former.granted_until IS DISTINCT FROM c.until THEN 'changed' ELSE 'unchanged' END;
        IF outcome <> 'unchanged' THEN
            PERFORM bagelpay_internal.store_decision ('grant', c.order_id, c.email, c.product_id, NULL, c.until, c.note, the_mode, c.user_id);
            has_changed := TRUE;
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM bagelpay_internal.notify_orders (has_changed);
END
$$;

COMMENT ON FUNCTION bagelpay.adopt IS 'Grants what customers have who bought before; for bagelhook adopt';

-- Ends the entitlement to items of an order: of a product, of a customer (id or e-mail), of both, or all. Returns the
-- order's entitlements after that. For errors and locks, see bagelpay_internal.decide().
CREATE FUNCTION bagelpay.revoke (
    order_id text,
    note text DEFAULT NULL,
    mode text DEFAULT 'live',
    product_id text DEFAULT NULL,
    customer text DEFAULT NULL)
RETURNS SETOF bagelpay.entitlement
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM bagelpay_internal.decide ('revoke', $1, $5, $4, NULL, NULL, $2, $3)
$$;

COMMENT ON FUNCTION bagelpay.revoke IS 'Ends the entitlement to items of an order, whatever was paid';

-- Removes the override of items of an order, named as for bagelpay.revoke(): the purchases decide again. Returns the
-- order's entitlements after that. For errors and locks, see bagelpay_internal.decide().
CREATE FUNCTION bagelpay.clear (
    order_id text,
    note text DEFAULT NULL,
    mode text DEFAULT 'live',
    product_id text DEFAULT NULL,
    customer text DEFAULT NULL)
RETURNS SETOF bagelpay.entitlement
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM bagelpay_internal.decide ('clear', $1, $5, $4, NULL, NULL, $2, $3)
$$;

COMMENT ON FUNCTION bagelpay.clear IS 'Removes the override of items of an order';

-- Ends the dispute of a payment: it counts again, unless it was refunded in full. order_id is needed only if several
-- orders have the payment. Returns the order's entitlements after that.
--
-- Raises invalid_parameter_value if no order, or more than one, has the payment as a paid one. For other errors and
-- locks, see bagelpay_internal.decide().
CREATE FUNCTION bagelpay.dispute_won (
    payment_id text,
    note text DEFAULT NULL,
    mode text DEFAULT 'live',
    order_id text DEFAULT NULL)
RETURNS SETOF bagelpay.entitlement
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    the_mode text COLLATE "C" := bagelpay_internal.given_mode (dispute_won.mode);
    the_payment text COLLATE "C" := bagelpay_internal.trimmed (dispute_won.payment_id);
    orders text[];
BEGIN
    SELECT array_agg(n.order_id ORDER BY n.order_id) INTO orders
    FROM (
        SELECT bagelpay_internal.trimmed (dispute_won.order_id) COLLATE "C" AS order_id
        WHERE dispute_won.order_id IS NOT NULL
        UNION
        SELECT e.order_id
        FROM bagelpay.events AS e
        WHERE dispute_won.order_id IS NULL AND e.payment_id = the_payment AND e.key_source = 'metadata'
            AND e.event_type IN ('checkout.failed', 'checkout.completed', 'subscription.paid')
        UNION
        SELECT e.order_id
        FROM bagelpay.events AS e
        WHERE dispute_won.order_id IS NULL AND e.payment_id = the_payment AND e.key_source <> 'metadata'
        UNION
        -- A payment without payment_id is named by its provider order or event.
        SELECT e.order_id
        FROM bagelpay.events AS e
        WHERE dispute_won.order_id IS NULL AND e.provider_order_id = substring(the_payment FROM '^order:(.*)$') AND e.key_source = 'metadata'
            AND e.event_type IN ('checkout.failed', 'checkout.completed', 'subscription.paid')
        UNION
        SELECT e.order_id
        FROM bagelpay.events AS e
        WHERE dispute_won.order_id IS NULL AND e.provider_order_id = substring(the_payment FROM '^order:(.*)$') AND e.key_source <> 'metadata'
        UNION
        SELECT e.order_id
        FROM bagelpay.events AS e
        WHERE dispute_won.order_id IS NULL AND e.event_id = substring(the_payment FROM '^event:(.*)$') AND e.order_id IS NOT NULL) AS n
    WHERE EXISTS (
        SELECT
        FROM bagelpay_internal.purchases AS p
        WHERE p.order_id = n.order_id AND p.mode = the_mode AND p.name = the_payment AND NOT p.is_trial AND p.began_at IS NOT NULL);
    IF orders IS NULL THEN
        RAISE EXCEPTION 'payment_id: no % order% has a paid payment %', the_mode, coalesce(' ' || dispute_won.order_id, ''), quote_nullable(the_payment)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT * FROM bagelpay.payments WHERE status = ''disputed'';';
    ELSIF cardinality(orders) > 1 THEN
        RAISE EXCEPTION 'payment_id: several orders have a payment %: %', the_payment, array_to_string(orders, ', ')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Pass the order_id as the last argument.';
    END IF;
    RETURN QUERY SELECT * FROM bagelpay_internal.decide ('dispute_won', orders[1], NULL, NULL, the_payment, NULL, $2, $3);
END
$$;

COMMENT ON FUNCTION bagelpay.dispute_won IS 'Ends the dispute of a payment: it counts again';

COMMIT;
