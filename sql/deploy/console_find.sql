-- Deploy bagelpay:console_find to pg
--
-- The console's answers to "a customer writes": what a name is about, and all that is known of a customer. Names are
-- looked up as bagelpay.find() does it.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- An order that names are about, with these names: kind, value, and keys, the items that it is about (NULL: all of them).
CREATE TYPE bagelpay_internal.console_named AS (
    mode text COLLATE "C",
    order_id text COLLATE "C",
    names jsonb
);

-- Returns the orders that some names belong to, each once, with the names. Reads only; waits for no writer.
CREATE FUNCTION bagelpay_internal.console_orders_named (names bagelpay_internal.found_name[])
    RETURNS SETOF bagelpay_internal.console_named
    LANGUAGE sql
    STABLE
    SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT n.mode, n.order_id, jsonb_agg(jsonb_build_object('kind', n.kind, 'value', n.value, 'keys', bagelpay_internal.items_named (n)))
    FROM (
        SELECT DISTINCT f.kind, f.value, f.mode, f.order_id, NULL::text COLLATE "C" AS outcome, NULL::text COLLATE "C" AS product_id,
            NULL::text COLLATE "C" AS customer_email, NULL::text COLLATE "C" AS event_id, NULL::bigint AS letter_id
        FROM unnest(names) AS f
        WHERE f.order_id IS NOT NULL) AS n
    GROUP BY n.mode, n.order_id
$$;

COMMENT ON FUNCTION bagelpay_internal.console_orders_named IS 'The orders that names belong to; a part of the console''s search';

-- Returns those of the names of an order that an item is about, NULL if there are none: [{kind, value}].
CREATE FUNCTION bagelpay_internal.console_names_of (names jsonb, e bagelpay.entitlement)
    RETURNS jsonb
    LANGUAGE sql
    STABLE
    AS $$
    SELECT jsonb_agg(n - 'keys' ORDER BY n ->> 'kind', n ->> 'value')
    FROM jsonb_array_elements(names) AS n
    WHERE n -> 'keys' = 'null' OR e.kind IS NULL
        OR (n ->> 'kind' = 'email' AND e.customer_id = 'email:' || (n ->> 'value'))
        OR EXISTS (
            SELECT
            FROM bagelpay_internal.stored_items AS i
            WHERE i.order_id = e.order_id AND i.mode = e.mode AND i.customer_id = coalesce(e.customer_id, '') AND i.user_id = coalesce(e.user_id, '')
                AND i.product_id = coalesce(e.product_id, '') AND n -> 'keys' @> to_jsonb(i.item_key))
$$;

COMMENT ON FUNCTION bagelpay_internal.console_names_of IS 'The names of an order that an item is about; a part of the console''s search';

-- Returns names, with more about those that an item no longer has:
--
-- former   TRUE: an e-mail, and the item has another one now
-- until    when the other one was first seen after it
CREATE FUNCTION bagelpay_internal.console_former (names jsonb, e bagelpay.entitlement)
    RETURNS jsonb
    LANGUAGE sql
    STABLE
    AS $$
    SELECT jsonb_agg(CASE
        WHEN n ->> 'kind' = 'email' AND e.customer_email <> (n ->> 'value') THEN n || jsonb_build_object('former', TRUE, 'until', (
            SELECT min(o.occurred_at)
            FROM bagelpay.events AS o
            WHERE o.order_id = e.order_id AND o.mode = e.mode AND o.customer_email = e.customer_email
                AND o.occurred_at > (
                    SELECT max(f.occurred_at)
                    FROM bagelpay.events AS f
                    WHERE f.order_id = e.order_id AND f.mode = e.mode AND f.customer_email = n ->> 'value')))
        ELSE n
    END)
    FROM jsonb_array_elements(names) AS n
$$;

COMMENT ON FUNCTION bagelpay_internal.console_former IS 'Until when an item had a former e-mail; a part of the console''s search';

-- Returns the events that belong to no order and carry one of some names, and the open dead letters that do.
--
-- events, dead_letters             the newest 20 of each
-- more_events, more_dead_letters   TRUE: there are more
CREATE FUNCTION bagelpay_internal.console_loose (names bagelpay_internal.found_name[])
    RETURNS json
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    most CONSTANT integer := 20;
    event_ids text[] := array(SELECT DISTINCT f.event_id FROM unnest(names) AS f WHERE f.order_id IS NULL AND f.event_id IS NOT NULL);
    letter_ids bigint[] := array(SELECT DISTINCT f.letter_id FROM unnest(names) AS f WHERE f.letter_id IS NOT NULL);
BEGIN
    RETURN json_build_object(
        'events', (
            SELECT coalesce(json_agg(l ORDER BY l.received_at DESC), '[]')
            FROM (
                SELECT e.event_id, e.event_type, e.mode, e.outcome, e.received_at
                FROM unnest(event_ids) AS u (id)
                JOIN bagelpay.events AS e ON e.event_id = u.id
                ORDER BY e.received_at DESC
                LIMIT most) AS l),
        'more_events', cardinality(event_ids) > most,
        'dead_letters', (
            SELECT coalesce(json_agg(l ORDER BY l.id DESC), '[]')
            FROM (
                SELECT d.id, d.reason, d.detail, d.event_id, d.order_id, d.customer_email, d.received_at
                FROM unnest(letter_ids) AS u (id)
                JOIN bagelpay.dead_letters AS d ON d.id = u.id
                ORDER BY d.id DESC
                LIMIT most) AS l),
        'more_dead_letters', cardinality(letter_ids) > most);
END
$$;

COMMENT ON FUNCTION bagelpay_internal.console_loose IS 'Events without an order, and dead letters, that carry a name';

-- Returns the items, and the orders without items, that a name is about: all that bagelpay.find() finds. If nothing has
-- exactly this name, those with names that begin with it; with a trailing *, these alone. Exact matches: live before test
-- ones, those that give access before the others, then those of orders that changed last. 20 rows, after the first skip
-- rows.
--
-- items                   rows as of console_item(), with names: why it matched, see console_former()
-- event                   the event's id, if the name is one
-- exact, live, entitled   how many match exactly; how many of those are live; how many of these give access
-- cut                     TRUE: these are lower bounds; only 500 were judged, orders with purchases or decisions first
-- begins                  TRUE: nothing matches exactly, and these begin so
-- many                    TRUE: there may be more that begin so, because more than 20 of one kind do
-- more                    TRUE: there is a next page
-- expected                orders that are expected under this name, and have not come: at most 20
-- more_expected           TRUE: there are more of them
-- loose                   see console_loose()
--
-- Raises invalid_parameter_value for an empty name.
CREATE FUNCTION bagelpay_internal.console_search (wanted text, skip integer DEFAULT NULL)
    RETURNS json
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    most CONSTANT integer := 20;
    most_judged CONSTANT integer := 500;
    most_found CONSTANT integer := 5000;
    needle text COLLATE "C" := bagelpay_internal.trimmed (rtrim(bagelpay_internal.trimmed (wanted), '*'));
    skipped integer := greatest(skip, 0);
    names bagelpay_internal.found_name[] := '{}';
    begins boolean := FALSE;
    answer json;
BEGIN
    IF coalesce(needle, '') = '' THEN
        RAISE EXCEPTION 'q: nothing to look for' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF bagelpay_internal.trimmed (wanted) NOT LIKE '%*' THEN
        names := array(
            SELECT n
            FROM bagelpay_internal.names_between (needle, needle || chr(1), most_found) AS n
            WHERE n.value = CASE n.kind WHEN 'email' THEN lower(needle) ELSE needle END);
    END IF;
    IF cardinality(names) = 0 AND char_length(needle) >= 3 THEN
        begins := TRUE;
        names := array(SELECT n FROM bagelpay_internal.names_between (needle, needle || chr(1114111), most + 1) AS n);
    END IF;
    WITH found AS MATERIALIZED (
        SELECT f.mode, f.order_id, f.names, o.updated_at
        FROM bagelpay_internal.console_orders_named (names) AS f
        JOIN bagelpay.orders AS o ON o.mode = f.mode AND o.order_id = f.order_id
        ORDER BY NOT o.has_sold AND NOT o.has_decisions, f.mode = 'test', o.updated_at DESC, o.order_id
        LIMIT most_judged + 1
    ),
    judged AS MATERIALIZED (
        SELECT n.e, f.updated_at, m.names
        FROM found AS f
        CROSS JOIN LATERAL (
            SELECT e
            FROM bagelpay.entitlements_at (now(), f.mode) AS e
            WHERE e.order_id = f.order_id
            LIMIT most_judged + 1) AS n
        CROSS JOIN LATERAL (SELECT bagelpay_internal.console_names_of (f.names, n.e) AS names OFFSET 0) AS m
        WHERE m.names IS NOT NULL
        LIMIT most_judged + 1
    ),
    listed AS (
        SELECT row_number() OVER (ORDER BY (j.e).mode = 'test', NOT (j.e).entitled, j.updated_at DESC, (j.e).order_id,
            (j.e).product_id, (j.e).customer_id, (j.e).user_id) AS place, j.e, j.names
        FROM judged AS j
        ORDER BY place
        LIMIT most
        OFFSET skipped
    ),
    counted AS (
        SELECT count(*) AS of_all,
            count(*) FILTER (WHERE (j.e).mode = 'live') AS live,
            count(*) FILTER (WHERE (j.e).mode = 'live' AND (j.e).entitled) AS entitled
        FROM judged AS j
    )
    SELECT json_build_object(
        'now', now(),
        'event', (SELECT e.event_id FROM bagelpay.events AS e WHERE e.event_id = needle),
        'exact', CASE WHEN begins THEN 0 ELSE c.of_all END,
        'live', CASE WHEN begins THEN 0 ELSE c.live END,
        'entitled', CASE WHEN begins THEN 0 ELSE c.entitled END,
        'cut', NOT begins AND greatest(c.of_all, (SELECT count(DISTINCT (n.mode, n.order_id)) FROM unnest(names) AS n WHERE n.order_id IS NOT NULL)) > most_judged,
        'begins', begins,
        'many', begins AND EXISTS (SELECT FROM unnest(names) AS n GROUP BY n.kind HAVING count(*) > most),
        'more', c.of_all > skipped + most,
        'items', (
            SELECT coalesce(json_agg(bagelpay_internal.console_item (l.e) || jsonb_build_object('names', bagelpay_internal.console_former (l.names, l.e))
                ORDER BY l.place), '[]')
            FROM listed AS l),
        'expected', (
            SELECT coalesce(json_agg(x), '[]')
            FROM (
                SELECT DISTINCT n.kind, n.value, n.mode, n.product_id, n.customer_email
                FROM unnest(names) AS n
                WHERE n.outcome = 'expected'
                LIMIT most) AS x),
        'more_expected', (
            SELECT count(DISTINCT (n.kind, n.value, n.mode, n.product_id, n.customer_email)) > most
            FROM unnest(names) AS n
            WHERE n.outcome = 'expected'),
        'loose', bagelpay_internal.console_loose (names))
    INTO answer
    FROM counted AS c;
    RETURN answer;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.console_search IS 'The entitlements that a name is about, as JSON for the console';

-- Returns the orders of a customer: those with the customer id, e-mail (also a former one) or user, and all other orders
-- of the same customer ids. At most 500: first those that have sold or have decisions; of each kind, those that changed
-- last first. Of a name that more than 5000 events carry, only 5000 are looked at, in the order of the index: others of
-- its orders may be missing.
CREATE FUNCTION bagelpay_internal.console_customer_orders (kind text, value text)
    RETURNS SETOF bagelpay_internal.console_named
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    most_found CONSTANT integer := 5000;
    most_ids CONSTANT integer := 20;
    of_kind text COLLATE "C" := kind;
    name text COLLATE "C" := CASE kind WHEN 'email' THEN lower(bagelpay_internal.trimmed (value) COLLATE "C") ELSE bagelpay_internal.trimmed (value) END;
    names bagelpay_internal.found_name[];
    ids text[];
BEGIN
    names := array(
        SELECT n
        FROM bagelpay_internal.names_between (name, name || chr(1), most_found) AS n
        WHERE n.kind = of_kind AND n.value = name AND n.order_id IS NOT NULL);
    ids := array(
        SELECT DISTINCT i.customer_id
        FROM bagelpay_internal.console_orders_named (names[1:most_ids * 10]) AS f
        CROSS JOIN LATERAL jsonb_array_elements(f.names) AS n
        JOIN bagelpay_internal.stored_items AS i ON i.order_id = f.order_id AND i.mode = f.mode AND n -> 'keys' @> to_jsonb(i.item_key)
        WHERE i.customer_id > '' AND i.customer_id <> name
        LIMIT most_ids);
    names := names || array(
        SELECT n
        FROM unnest(ids) AS c (id)
        CROSS JOIN LATERAL bagelpay_internal.names_between (c.id, c.id || chr(1), most_found) AS n
        WHERE n.kind = 'customer' AND n.value = c.id AND n.order_id IS NOT NULL);
    RETURN QUERY
    SELECT f.mode, f.order_id, f.names
    FROM bagelpay_internal.console_orders_named (names) AS f
    JOIN bagelpay.orders AS o ON o.mode = f.mode AND o.order_id = f.order_id
    ORDER BY NOT (o.has_sold OR o.has_decisions), o.updated_at DESC, o.order_id
    LIMIT 500;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.console_customer_orders IS 'The orders of a customer, user or e-mail; a part of console_customer()';

-- Returns all that is known of a customer, by customer id, user or e-mail (see console_customer_orders()); empty lists if
-- nothing is.
--
-- names           their e-mails, customer ids and users: kind, value, first and last time seen, in the order of the first
-- items           at most 100, as of console_item()
-- purchases, refunds, cancellations   of these orders and customers, the last 500 of each
-- orders          at most 500
-- events          the last 200
-- loose           see console_loose()
CREATE FUNCTION bagelpay_internal.console_customer (kind text, value text)
    RETURNS json
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
DECLARE
    most_items CONSTANT integer := 100;
    most_events CONSTANT integer := 200;
    most_named CONSTANT integer := 2000;
    most_found CONSTANT integer := 5000;
    most CONSTANT integer := 500;
    name text COLLATE "C" := CASE $1 WHEN 'email' THEN lower(bagelpay_internal.trimmed ($2) COLLATE "C") ELSE bagelpay_internal.trimmed ($2) END;
    setting bagelpay.settings;
    answer json;
BEGIN
    SELECT * INTO setting FROM bagelpay.settings;
    WITH found AS MATERIALIZED (
        SELECT * FROM bagelpay_internal.console_customer_orders ($1, $2)
    ),
    judged AS MATERIALIZED (
        SELECT n.e
        FROM found AS f
        CROSS JOIN LATERAL (SELECT e FROM bagelpay.entitlements_at (now(), f.mode) AS e WHERE e.order_id = f.order_id LIMIT most_items) AS n
        WHERE bagelpay_internal.console_names_of (f.names, n.e) IS NOT NULL
        LIMIT most_items
    ),
    who AS MATERIALIZED (
        SELECT array_remove(array_agg(DISTINCT (j.e).customer_id) FILTER (WHERE (j.e).customer_id NOT LIKE 'email:%')
                || CASE WHEN $1 = 'customer' THEN name END, NULL) AS ids,
            array_remove(array_agg(DISTINCT (j.e).customer_email) || CASE WHEN $1 = 'email' THEN name END, NULL) AS emails,
            CASE WHEN $1 = 'email' THEN name END AS email,
            CASE WHEN $1 = 'user' THEN name END AS user_id
        FROM judged AS j
    ),
    -- In an order of several customers, the events of others are not theirs.
    own AS MATERIALIZED (
        SELECT e.event_id, e.event_type, e.mode, e.order_id, e.occurred_at, e.received_at, e.product_id, e.product_name, e.payment_id, e.customer_id,
            e.customer_email, e.user_id, e.amount::text AS amount, e.refund_amount::text AS refund_amount, e.currency
        FROM found AS f
        CROSS JOIN who AS w
        CROSS JOIN LATERAL (
            SELECT *
            FROM bagelpay.events AS n
            WHERE n.order_id = f.order_id AND n.mode = f.mode
            ORDER BY n.fold_slot DESC
            LIMIT most_named) AS e
        WHERE e.customer_id = ANY (w.ids) OR e.customer_email = w.email OR e.user_id = w.user_id
            OR (e.customer_id IS NULL AND (e.customer_email IS NULL OR e.customer_email = ANY (w.emails)))
        ORDER BY e.occurred_at DESC
        LIMIT most_named
    ),
    bought AS MATERIALIZED (
        SELECT p
        FROM judged AS j
        JOIN bagelpay_internal.all_items AS i ON i.order_id = (j.e).order_id AND i.mode = (j.e).mode AND i.customer_id = coalesce((j.e).customer_id, '')
            AND i.user_id = coalesce((j.e).user_id, '') AND i.product_id = coalesce((j.e).product_id, '')
        JOIN bagelpay_internal.purchases AS p ON p.item_key = i.item_key AND p.order_id = i.order_id AND p.mode = i.mode
        ORDER BY p.began_at DESC
        LIMIT most
    ),
    failed AS MATERIALIZED (
        SELECT p
        FROM found AS f
        JOIN bagelpay_internal.purchases AS p ON p.order_id = f.order_id AND p.mode = f.mode
        CROSS JOIN who AS w
        WHERE p.item_key IS NULL AND (p.customer_id = ANY (w.ids) OR p.customer_email = w.email OR p.user_id = w.user_id
            OR (p.customer_id IS NULL AND (p.customer_email IS NULL OR p.customer_email = ANY (w.emails))))
        LIMIT most
    )
    SELECT json_build_object(
        'now', now(),
        'names', (
            SELECT coalesce(json_agg(n ORDER BY n.first, n.kind), '[]')
            FROM (
                SELECT v.kind, v.value, min(e.occurred_at) AS first, max(e.occurred_at) AS last
                FROM own AS e
                CROSS JOIN LATERAL (VALUES ('email', e.customer_email), ('customer', e.customer_id), ('user', e.user_id)) AS v (kind, value)
                WHERE v.value IS NOT NULL
                GROUP BY v.kind, v.value) AS n),
        'items', (
            SELECT coalesce(json_agg(bagelpay_internal.console_item (j.e) ORDER BY (j.e).mode = 'test', NOT (j.e).entitled, (j.e).valid_from DESC NULLS LAST, (j.e).order_id,
                (j.e).product_id, (j.e).customer_id, (j.e).user_id), '[]')
            FROM judged AS j),
        'purchases', (
            SELECT coalesce(json_agg(bagelpay_internal.console_purchase (b.p, setting) ORDER BY (b.p).began_at, (b.p).name), '[]')
            FROM (SELECT p FROM bought UNION ALL SELECT p FROM failed) AS b),
        'refunds', (
            SELECT coalesce(json_agg(to_jsonb(r) || jsonb_build_object('amount', r.amount::text) ORDER BY r.occurred_at), '[]')
            FROM (
                SELECT n.*
                FROM own AS e
                JOIN bagelpay.refunds AS n ON n.order_id = e.order_id AND n.mode = e.mode AND n.event_id = e.event_id
                WHERE e.event_type = 'refund.created'
                LIMIT most) AS r),
        'cancellations', (
            SELECT coalesce(json_agg(c ORDER BY c.occurred_at), '[]')
            FROM (
                SELECT n.*
                FROM own AS e
                JOIN bagelpay.cancellations AS n ON n.order_id = e.order_id AND n.mode = e.mode AND n.event_id = e.event_id
                WHERE e.event_type = 'subscription.canceled'
                LIMIT most) AS c),
        'orders', (
            SELECT coalesce(json_agg(json_build_object('mode', o.mode, 'order_id', o.order_id, 'status', o.status, 'amount', o.amount::text, 'currency', o.currency,
                'product_id', o.product_id, 'product_name', o.product_name, 'provider_order_id', o.provider_order_id, 'updated_at', o.updated_at, 'conflict', o.conflict)
                ORDER BY o.updated_at DESC), '[]')
            FROM found AS f
            JOIN bagelpay.orders AS o ON o.mode = f.mode AND o.order_id = f.order_id),
        'events', (
            SELECT coalesce(json_agg(e ORDER BY e.occurred_at), '[]')
            FROM (SELECT * FROM own AS n ORDER BY n.occurred_at DESC LIMIT most_events) AS e),
        'most_items', most_items,
        'most_events', most_events,
        'loose', bagelpay_internal.console_loose (array(
            SELECT n
            FROM bagelpay_internal.names_between (name, name || chr(1), most_found) AS n
            WHERE n.kind = $1 COLLATE "C" AND n.value = name)))
    INTO answer;
    RETURN answer;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.console_customer IS 'All that is known of a customer, as JSON for the console';

-- Returns the open rows of bagelpay.attention that concern a customer: their orders, or their e-mails where a row has no
-- order. Of each kind the newest 50. Reads the whole list, which takes long if it is long.
--
-- rows    as of the view
-- kinds   of each kind that has rows: kind, count
CREATE FUNCTION bagelpay_internal.console_customer_attention (kind text, value text)
    RETURNS json
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    most CONSTANT integer := 50;
    customer json := bagelpay_internal.console_customer ($1, $2);
    emails text[] := array(SELECT n ->> 'value' FROM json_array_elements(customer -> 'names') AS n WHERE n ->> 'kind' = 'email')
        || CASE WHEN $1 = 'email' THEN ARRAY[lower(bagelpay_internal.trimmed ($2) COLLATE "C")] END;
BEGIN
    RETURN (
        WITH orders AS MATERIALIZED (
            SELECT o ->> 'mode' AS mode, o ->> 'order_id' AS order_id FROM json_array_elements(customer -> 'orders') AS o
        ),
        open AS MATERIALIZED (
            SELECT a, row_number() OVER (PARTITION BY a.kind ORDER BY a.since DESC, a.id) AS place, max(a.since) OVER (PARTITION BY a.kind) AS newest
            FROM bagelpay_internal.attention_rows () AS a
            WHERE ((a.order_id, a.mode) IN (SELECT o.order_id, o.mode FROM orders AS o)
                    -- Dead letters have no mode.
                    OR (a.mode IS NULL AND a.order_id IN (SELECT o.order_id FROM orders AS o))
                    OR ((a.order_id IS NULL OR a.mode IS NULL) AND a.customer_email = ANY (emails)))
                AND NOT EXISTS (SELECT FROM bagelpay.dismissals AS d WHERE d.id = a.id)
        )
        SELECT json_build_object(
            'now', now(),
            'kinds', (SELECT coalesce(json_agg(k), '[]') FROM (SELECT (o.a).kind AS kind, count(*) AS count FROM open AS o GROUP BY 1 ORDER BY 1) AS k),
            'rows', (
                SELECT coalesce(json_agg(o.a ORDER BY o.newest DESC, (o.a).kind, o.place), '[]')
                FROM open AS o
                WHERE o.place <= most)));
END
$$;

COMMENT ON FUNCTION bagelpay_internal.console_customer_attention IS 'What a person should look at of a customer, as JSON for the console';

GRANT USAGE ON TYPE bagelpay_internal.console_named TO bagelpay_console;

GRANT EXECUTE ON FUNCTION bagelpay_internal.console_orders_named (bagelpay_internal.found_name[]),
    bagelpay_internal.console_names_of (jsonb, bagelpay.entitlement), bagelpay_internal.console_former (jsonb, bagelpay.entitlement),
    bagelpay_internal.console_loose (bagelpay_internal.found_name[]), bagelpay_internal.console_search (text, integer),
    bagelpay_internal.console_customer_orders (text, text), bagelpay_internal.console_customer (text, text),
    bagelpay_internal.console_customer_attention (text, text)
TO bagelpay_console;

COMMIT;
