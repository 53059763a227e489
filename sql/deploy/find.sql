-- Deploy bagelpay:find to pg
--
-- One look-up for whatever name a customer, a bank statement or a log gives.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Of letters that could not become events, and of sales that have not taken place.
CREATE INDEX dead_letters_open_by_order ON bagelpay.dead_letters (order_id)
WHERE resolved_at IS NULL AND order_id IS NOT NULL;

CREATE INDEX dead_letters_open_by_event ON bagelpay.dead_letters (event_id)
WHERE resolved_at IS NULL AND event_id IS NOT NULL;

CREATE INDEX dead_letters_open_by_email ON bagelpay.dead_letters (customer_email)
WHERE resolved_at IS NULL AND customer_email IS NOT NULL;

CREATE INDEX expected_orders_by_email ON bagelpay.expected_orders (customer_email)
WHERE customer_email IS NOT NULL;

CREATE TYPE bagelpay_internal.found_name AS (
    kind text COLLATE "C",
    value text COLLATE "C",
    mode text COLLATE "C",
    order_id text COLLATE "C",
    -- Of what has no order, or no order yet: unmatched, ignored, dead_letter or expected.
    outcome text COLLATE "C",
    product_id text COLLATE "C",
    customer_email text COLLATE "C",
    -- The event, or the number of the dead letter, that carries the name; NULL if neither does.
    event_id text COLLATE "C",
    letter_id bigint
);

-- Returns where the names between two texts occur, at most most rows of each kind and table.
--
-- first, behind   names from first to before behind, bytewise; e-mails are compared with both in lower case
--
-- Reads only; waits for no writer.
CREATE FUNCTION bagelpay_internal.names_between (first text, behind text, most integer)
    RETURNS SETOF bagelpay_internal.found_name
    LANGUAGE plpgsql
    STABLE
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    a text COLLATE "C" := first;
    z text COLLATE "C" := behind;
    a_email text COLLATE "C" := lower(a);
    z_email text COLLATE "C" := lower(z);
BEGIN
    -- By the merchant's name or a derived one.
    RETURN QUERY
    SELECT 'order', o.order_id, o.mode::text, o.order_id, NULL, NULL, NULL, NULL, NULL::bigint
    FROM bagelpay.orders AS o
    WHERE o.order_id >= a AND o.order_id < z
    ORDER BY o.order_id
    LIMIT most;
    RETURN QUERY
    SELECT 'order', x.order_id, x.mode::text, NULL, 'expected', x.product_id, x.customer_email, NULL, NULL::bigint
    FROM bagelpay.expected_orders AS x
    WHERE x.order_id >= a AND x.order_id < z
        AND NOT EXISTS (SELECT FROM bagelpay.orders AS o WHERE o.order_id = x.order_id AND o.mode = x.mode)
    ORDER BY x.order_id
    LIMIT most;
    RETURN QUERY
    SELECT 'email', x.customer_email, x.mode::text, NULL, 'expected', x.product_id, x.customer_email, NULL, NULL::bigint
    FROM bagelpay.expected_orders AS x
    WHERE x.customer_email >= a_email AND x.customer_email < z_email
        AND NOT EXISTS (SELECT FROM bagelpay.orders AS o WHERE o.order_id = x.order_id AND o.mode = x.mode)
    ORDER BY x.customer_email
    LIMIT most;

    -- By the events that carry it.
    RETURN QUERY
    SELECT n.kind, n.value, e.mode::text, e.order_id, CASE WHEN e.order_id IS NULL THEN e.outcome END, e.product_id, e.customer_email, e.event_id, NULL::bigint
    FROM (
        (SELECT 'event' COLLATE "C" AS kind, t.event_id AS value, t.event_id
         FROM bagelpay.events AS t
         WHERE t.event_id >= a AND t.event_id < z ORDER BY t.event_id LIMIT most)
        UNION ALL
        (SELECT 'payment', t.payment_id, t.event_id
         FROM bagelpay.events AS t
         WHERE t.payment_id >= a AND t.payment_id < z
            AND t.key_source = 'metadata' AND t.event_type IN ('checkout.failed', 'checkout.completed', 'subscription.paid')
         ORDER BY t.payment_id LIMIT most)
        UNION ALL
        (SELECT 'payment', t.payment_id, t.event_id
         FROM bagelpay.events AS t
         WHERE t.payment_id >= a AND t.payment_id < z AND t.key_source <> 'metadata' ORDER BY t.payment_id LIMIT most)
        UNION ALL
        (SELECT 'payment', t.payment_id, t.event_id
         FROM bagelpay.events AS t
         WHERE t.payment_id >= a AND t.payment_id < z
            AND (t.key_source IS NULL OR (t.key_source = 'metadata' AND t.event_type NOT IN ('checkout.failed', 'checkout.completed', 'subscription.paid')))
         ORDER BY t.payment_id LIMIT most)
        UNION ALL
        (SELECT 'provider_order', t.provider_order_id, t.event_id
         FROM bagelpay.events AS t
         WHERE t.provider_order_id >= a AND t.provider_order_id < z
            AND t.key_source = 'metadata' AND t.event_type IN ('checkout.failed', 'checkout.completed', 'subscription.paid')
         ORDER BY t.provider_order_id LIMIT most)
        UNION ALL
        (SELECT 'provider_order', t.provider_order_id, t.event_id
         FROM bagelpay.events AS t
         WHERE t.provider_order_id >= a AND t.provider_order_id < z AND t.key_source <> 'metadata' ORDER BY t.provider_order_id LIMIT most)
        UNION ALL
        (SELECT 'provider_order', t.provider_order_id, t.event_id
         FROM bagelpay.events AS t
         WHERE t.provider_order_id >= a AND t.provider_order_id < z
            AND (t.key_source IS NULL OR (t.key_source = 'metadata' AND t.event_type NOT IN ('checkout.failed', 'checkout.completed', 'subscription.paid')))
         ORDER BY t.provider_order_id LIMIT most)
        UNION ALL
        (SELECT 'subscription', t.subscription_id, t.event_id
         FROM bagelpay.events AS t
         WHERE t.has_new_name AND t.subscription_id >= a AND t.subscription_id < z ORDER BY t.subscription_id LIMIT most)
        UNION ALL
        (SELECT 'processor_subscription', t.processor_subscription_id, t.event_id
         FROM bagelpay.events AS t
         WHERE t.has_new_name AND t.processor_subscription_id >= a AND t.processor_subscription_id < z
         ORDER BY t.processor_subscription_id LIMIT most)
        UNION ALL
        (SELECT 'request', t.request_id, t.event_id
         FROM bagelpay.events AS t
         WHERE t.has_new_name AND t.request_id >= a AND t.request_id < z ORDER BY t.request_id LIMIT most)
        UNION ALL
        (SELECT 'user', t.user_id, t.event_id
         FROM bagelpay.events AS t
         WHERE t.has_new_name AND t.user_id >= a AND t.user_id < z ORDER BY t.user_id LIMIT most)
        UNION ALL
        (SELECT 'customer', t.customer_id, t.event_id
         FROM bagelpay.events AS t
         WHERE t.has_new_name AND t.customer_id >= a AND t.customer_id < z ORDER BY t.customer_id LIMIT most)
        UNION ALL
        (SELECT 'email', t.customer_email, t.event_id
         FROM bagelpay.events AS t
         WHERE t.has_new_name AND t.customer_email >= a_email AND t.customer_email < z_email ORDER BY t.customer_email LIMIT most)) AS n
    JOIN bagelpay.events AS e ON e.event_id = n.event_id;

    -- Items of customers who are known by an e-mail alone are shown as those of email:<e-mail>.
    RETURN QUERY
    SELECT 'customer', i.customer_id, i.mode::text, i.order_id, NULL, NULL, NULL, NULL, NULL::bigint
    FROM bagelpay_internal.stored_items AS i
    WHERE nullif(i.customer_id, '') >= a AND nullif(i.customer_id, '') < z AND i.customer_id LIKE 'email:%'
    ORDER BY nullif(i.customer_id, '')
    LIMIT most;

    RETURN QUERY
    SELECT n.kind, n.value, NULL, NULL, 'dead_letter', NULL, d.customer_email, NULL, d.id
    FROM (
        (SELECT 'order' COLLATE "C" AS kind, t.order_id AS value, t.id
         FROM bagelpay.dead_letters AS t
         WHERE t.resolved_at IS NULL AND t.order_id >= a AND t.order_id < z ORDER BY t.order_id LIMIT most)
        UNION ALL
        (SELECT 'event', t.event_id, t.id
         FROM bagelpay.dead_letters AS t
         WHERE t.resolved_at IS NULL AND t.event_id >= a AND t.event_id < z ORDER BY t.event_id LIMIT most)
        UNION ALL
        (SELECT 'email', t.customer_email, t.id
         FROM bagelpay.dead_letters AS t
         WHERE t.resolved_at IS NULL AND t.customer_email >= a_email AND t.customer_email < z_email ORDER BY t.customer_email LIMIT most)) AS n
    JOIN bagelpay.dead_letters AS d ON d.id = n.id;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.names_between IS 'Where the names between two texts occur; a part of find()';

-- Returns the items of an order that a name is about, by their keys; NULL if it is about all of them. Items that exist
-- only by a grant have no key. Reads only; waits for no writer.
CREATE FUNCTION bagelpay_internal.items_named (n bagelpay_internal.found_name)
    RETURNS bigint[]
    LANGUAGE plpgsql
    STABLE
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    keys bigint[];
    payment text COLLATE "C";
BEGIN
    CASE n.kind
        WHEN 'payment' THEN
            keys := array(
                SELECT p.item_key
                FROM bagelpay_internal.purchases AS p
                WHERE p.order_id = n.order_id AND p.mode = n.mode AND p.name = n.value AND p.item_key IS NOT NULL);
        WHEN 'event' THEN
            SELECT (e.effect).payment_id INTO payment FROM bagelpay.events AS e WHERE e.event_id = n.value;
            keys := array(
                SELECT p.item_key
                FROM bagelpay_internal.purchases AS p
                WHERE p.order_id = n.order_id AND p.mode = n.mode AND p.item_key IS NOT NULL
                    AND ((p.name = payment AND NOT p.is_trial) OR (p.name = n.value AND p.is_trial)));
        WHEN 'provider_order' THEN
            keys := array(
                SELECT p.item_key
                FROM bagelpay_internal.purchases AS p
                WHERE p.provider_order_id = n.value AND p.order_id IS NOT DISTINCT FROM n.order_id AND p.mode IS NOT DISTINCT FROM n.mode
                    AND p.item_key IS NOT NULL);
        WHEN 'subscription', 'processor_subscription' THEN
            keys := array(
                SELECT DISTINCT p.item_key
                FROM bagelpay_internal.purchases AS p
                WHERE p.subscription_key = bagelpay_internal.subscription_key (n.mode, n.order_id, CASE n.kind WHEN 'subscription' THEN 'p' ELSE 'r' END, n.value) COLLATE "C"
                    AND p.order_id IS NOT DISTINCT FROM n.order_id AND p.mode IS NOT DISTINCT FROM n.mode AND p.item_key IS NOT NULL);
        WHEN 'customer' THEN
            keys := array(
                SELECT i.item_key
                FROM bagelpay_internal.stored_items AS i
                WHERE i.order_id = n.order_id AND i.mode = n.mode AND i.customer_id = n.value);
        WHEN 'email' THEN
            keys := array(
                SELECT i.item_key
                FROM bagelpay_internal.stored_items AS i
                WHERE i.order_id = n.order_id AND i.mode = n.mode AND i.customer_id = 'email:' || n.value
                UNION
                SELECT p.item_key
                FROM bagelpay_internal.purchases AS p
                WHERE p.customer_email = n.value AND p.order_id = n.order_id AND p.mode IS NOT DISTINCT FROM n.mode
                    AND p.customer_id NOT LIKE 'email:%' AND p.item_key IS NOT NULL);
        WHEN 'user' THEN
            keys := array(
                SELECT i.item_key
                FROM bagelpay_internal.stored_items AS i
                WHERE nullif(i.user_id, '') = n.value AND i.order_id IS NOT DISTINCT FROM n.order_id AND i.mode IS NOT DISTINCT FROM n.mode);
        ELSE
            NULL;
    END CASE;
    RETURN nullif(keys, '{}');
END
$$;

COMMENT ON FUNCTION bagelpay_internal.items_named IS 'The items of an order that a name is about; a part of find()';

CREATE TYPE bagelpay.finding AS (
    kind text COLLATE "C",
    value text COLLATE "C",
    mode text COLLATE "C",
    order_id text COLLATE "C",
    product_id text COLLATE "C",
    customer_email text COLLATE "C",
    entitled boolean,
    reason text
);

COMMENT ON TYPE bagelpay.finding IS 'An entitlement that a name is about';

-- Returns what carries a name, with the entitlements that it is about, as of now.
--
-- text     the name: an order, event, payment, provider order, subscription (BagelPay's id or the card processor's),
--          request, user, customer, or e-mail in any case, also a former one. White space, angle brackets, commas and
--          quotes around it are cut off. With a trailing *, behind at least 3 characters: names that begin with it
-- mode     NULL: live and test
--
-- kind         order, event, payment, provider_order, subscription, processor_subscription, request, user, customer, email
-- value        the whole name
-- order_id     NULL if it belongs to none: then the reason is unmatched, ignored, dead_letter or expected
-- entitled     and reason: as in bagelpay.entitlements_at(); of the items that the name is about, or if there are none,
--              of all items of the order
--
-- Returns at most 100 names of each kind, or 20 that begin with it; and at most 100 items of each. Live comes first.
--
-- Raises invalid_parameter_value if the name is NULL or empty, a beginning has fewer than 3 characters, or mode is
-- neither test nor live nor NULL. Reads only; waits for no writer.
CREATE FUNCTION bagelpay.find (text text, mode text DEFAULT NULL)
    RETURNS SETOF bagelpay.finding
    LANGUAGE plpgsql
    STABLE
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
DECLARE
    around CONSTANT text := E' \t\n\x0B\f\r\u00A0<>,;"''`´“”„‘’‚«»';
    kinds CONSTANT text[] := '{order,event,payment,provider_order,subscription,processor_subscription,request,user,customer,email}';
    most_names CONSTANT integer := 100;
    most_begun CONSTANT integer := 20;
    most_items CONSTANT integer := 100;
    of_mode text COLLATE "C" := $2;
    name text COLLATE "C" := btrim($1 COLLATE "C", around);
    is_beginning boolean := name LIKE '%*';
    n bagelpay_internal.found_name;
    keys bigint[];
BEGIN
    IF of_mode IS NOT NULL THEN
        PERFORM bagelpay_internal.given_mode (of_mode);
    END IF;
    IF is_beginning THEN
        name := btrim(rtrim(name, '*'), around);
    END IF;
    IF coalesce(name, '') = '' THEN
        RAISE EXCEPTION 'text: nothing to look for in %', coalesce(quote_literal($1), 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF is_beginning AND char_length(name) < 3 THEN
        RAISE EXCEPTION 'text: needs at least 3 characters before *, not %', quote_literal($1)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR n IN
        SELECT DISTINCT ON (array_position(kinds, f.kind), f.value, coalesce(f.mode = 'test', TRUE), f.order_id, f.outcome) f.*
        FROM bagelpay_internal.names_between (name, name || CASE WHEN is_beginning THEN chr(1114111) ELSE chr(1) END,
            CASE WHEN is_beginning THEN most_begun ELSE most_names END) AS f
        WHERE (is_beginning OR f.value = CASE f.kind WHEN 'email' THEN lower(name) ELSE name END)
            AND (of_mode IS NULL OR f.mode = of_mode OR f.mode IS NULL)
        ORDER BY array_position(kinds, f.kind), f.value, coalesce(f.mode = 'test', TRUE), f.order_id, f.outcome
    LOOP
        IF n.order_id IS NULL THEN
            RETURN NEXT ROW (n.kind, n.value, n.mode, NULL, n.product_id, n.customer_email, FALSE, n.outcome)::bagelpay.finding;
            CONTINUE;
        END IF;
        keys := bagelpay_internal.items_named (n);
        RETURN QUERY
        SELECT n.kind, n.value, n.mode, n.order_id, e.product_id, e.customer_email, e.entitled, e.reason
        FROM bagelpay.entitlements_at (now(), n.mode) AS e
        WHERE e.order_id = n.order_id
            AND (keys IS NULL OR EXISTS (
                SELECT
                FROM bagelpay_internal.stored_items AS i
                WHERE i.item_key = ANY (keys) AND i.order_id = n.order_id AND i.mode = n.mode AND i.customer_id = coalesce(e.customer_id, '')
                    AND i.user_id = coalesce(e.user_id, '') AND i.product_id = coalesce(e.product_id, ''))
                OR (n.kind = 'email' AND e.customer_id = 'email:' || n.value))
        ORDER BY e.entitled DESC, e.product_id, e.customer_id, e.user_id
        LIMIT most_items;
    END LOOP;
END
$$;

COMMENT ON FUNCTION bagelpay.find IS 'What carries a name: order, event, payment, subscription, user, customer, e-mail …';

COMMIT;
