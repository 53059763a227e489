-- Deploy bagelpay:attention to pg
--
-- The list of what a person should look at. It is computed when it is asked for, from indexes that hold little else.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

CREATE INDEX orders_in_conflict ON bagelpay.orders (order_id)
WHERE conflict;

CREATE INDEX events_not_applied ON bagelpay.events (outcome, event_type, received_at)
WHERE outcome <> 'applied';

CREATE INDEX events_of_closed_pages ON bagelpay.events (order_id)
WHERE event_type = 'checkout.cancel' AND order_id IS NOT NULL AND (payment_id IS NOT NULL OR provider_order_id IS NOT NULL);

CREATE INDEX events_of_mismatch ON bagelpay.events (order_id)
WHERE (effect).note LIKE 'names another %';

CREATE INDEX purchases_disputed ON bagelpay_internal.purchases (order_id)
WHERE status = 'disputed';

CREATE INDEX purchases_without_billing_type ON bagelpay_internal.purchases (began_at)
WHERE NOT has_billing_type AND NOT is_trial AND began_at IS NOT NULL;

CREATE INDEX refunds_without_payment ON bagelpay.refunds (order_id)
WHERE payment_id IS NULL;

CREATE INDEX decisions_revoked ON bagelpay_internal.decisions (order_id)
WHERE decision = 'revoke';

CREATE INDEX stored_items_without_product ON bagelpay_internal.stored_items (order_id)
WHERE product_id = '';

CREATE INDEX stored_items_without_customer ON bagelpay_internal.stored_items (order_id)
WHERE customer_id = '';

CREATE INDEX stored_items_subscribed ON bagelpay_internal.stored_items (customer_id, mode)
WHERE subscription_status IN ('trialing', 'active', 'past_due') AND customer_id <> '';

CREATE INDEX stored_items_subscribed_users ON bagelpay_internal.stored_items (user_id, mode)
WHERE subscription_status IN ('trialing', 'active', 'past_due') AND user_id <> '';

CREATE TABLE bagelpay.dismissals (
    id text COLLATE "C" PRIMARY KEY,
    note text,
    dismissed_at timestamptz NOT NULL DEFAULT now(),
    dismissed_by text NOT NULL DEFAULT session_user
);

COMMENT ON TABLE bagelpay.dismissals IS 'What is off the list bagelpay.attention, by dismiss()';

CREATE TYPE bagelpay.attention_row AS (
    id text COLLATE "C",
    kind text COLLATE "C",
    since timestamptz,
    mode text COLLATE "C",
    order_id text COLLATE "C",
    event_id text COLLATE "C",
    payment_id text COLLATE "C",
    customer_email text COLLATE "C",
    detail text,
    remedy text
);

COMMENT ON TYPE bagelpay.attention_row IS 'A row of the view attention';

-- Returns a row of the list. its_key: what makes it the same row as before; part of the id as a hash, because ids are
-- stored and may not hold personal data. Without a remedy, it is to look at the order or event, and to dismiss the row.
CREATE FUNCTION bagelpay_internal.attention_row (
    kind text, its_key text[], since timestamptz, mode text, order_id text, event_id text, payment_id text, customer_email text,
    detail text, remedy text DEFAULT NULL)
RETURNS bagelpay.attention_row
LANGUAGE plpgsql
IMMUTABLE
AS $$
DECLARE
    id text := $1 || ':' || left(encode(sha256(convert_to(array_to_string(ARRAY[$4] || its_key, E'\x1f', '-'), 'UTF8')), 'hex'), 16);
BEGIN
    RETURN ROW (id, $1, $3, $4, $5, $6, $7, $8, $9, coalesce($10,
        CASE WHEN $5 IS NOT NULL THEN bagelpay_internal.statement ('SELECT * FROM bagelpay.explain(%L, %L);', $5, $4)
            ELSE bagelpay_internal.statement ('SELECT * FROM bagelpay.events WHERE event_id = %L;', $6) END
            || bagelpay_internal.statement (' SELECT bagelpay.dismiss(%L, %L);', id, 'checked')))::bagelpay.attention_row;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.attention_row IS 'A row of the list bagelpay.attention';

-- Returns the whole list, with what was dismissed. The view bagelpay.attention shows the rest. Reads only; waits for no
-- writer.
CREATE FUNCTION bagelpay_internal.attention_rows ()
    RETURNS SETOF bagelpay.attention_row
    LANGUAGE plpgsql
    STABLE
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    -- For conflict: more customers than this reuse the key.
    most_customers CONSTANT integer := 100;
    recent CONSTANT interval := '31 days';
    setting bagelpay.settings;
    graceless bagelpay.settings;
BEGIN
    SELECT * INTO setting FROM bagelpay.settings;
    graceless := setting;
    graceless.grace := '0';

    -- One order id for several customers.
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        CASE WHEN n.customers > most_customers THEN 'reused_key' ELSE 'conflict' END, ARRAY[o.order_id], o.updated_at, o.mode, o.order_id, o.last_event_id,
        NULL, NULL,
        format('%s customers have purchases under one order id', CASE WHEN n.customers > most_customers THEN 'more than ' || most_customers ELSE n.customers::text END),
        CASE WHEN n.customers > most_customers THEN
            bagelpay_internal.statement ('SELECT customer_id, customer_email, product_id FROM bagelpay.items WHERE order_id = %L AND mode = %L LIMIT 200; '
                'SELECT metadata FROM bagelpay.events WHERE order_id = %L AND mode = %L LIMIT 20; -- then send an order_id that is unique to each purchase',
                o.order_id, o.mode, o.order_id, o.mode) END)).*
    FROM bagelpay.orders AS o
    CROSS JOIN LATERAL (
        SELECT count(*) AS customers
        FROM (
            SELECT DISTINCT i.customer_id
            FROM bagelpay_internal.stored_items AS i
            WHERE i.order_id = o.order_id AND i.mode = o.mode AND i.customer_id > ''
            LIMIT most_customers + 1) AS c
        OFFSET 0) AS n
    WHERE o.conflict;

    -- Recent payments that are not as expected.
    IF setting.require_expected_order OR EXISTS (SELECT FROM bagelpay.expected_orders) THEN
        RETURN QUERY
        SELECT (bagelpay_internal.attention_row (
            'unconfirmed', ARRAY[p.order_id, p.name], p.began_at, p.mode, p.order_id, p.began_event_id, p.name, p.customer_email,
            'paid, but not as expected: ' || array_to_string(CASE WHEN x.order_id IS NULL THEN '{unexpected}' ELSE bagelpay_internal.item_mismatches (i, x) END, ', '),
            bagelpay_internal.statement ('SELECT * FROM bagelpay.grant(%L, %L, %L, NULL, %L, %L);', p.order_id, p.customer_email, p.product_id, 'sale confirmed', p.mode))).*
        FROM bagelpay_internal.purchases AS p
        LEFT JOIN bagelpay.expected_orders AS x ON x.order_id = p.order_id AND x.mode = p.mode
        JOIN bagelpay_internal.all_items AS i ON i.order_id = p.order_id AND i.mode = p.mode AND i.customer_id = coalesce(p.customer_id, '')
            AND i.user_id = coalesce(p.user_id, '') AND i.product_id = coalesce(p.product_id, '')
        WHERE p.began_at > now() - recent AND NOT p.is_trial AND p.status IN ('paid', 'partially_refunded')
            AND (x.order_id IS NOT NULL OR setting.require_expected_order)
            -- A payment that is as expected makes its item so, most often.
            AND NOT coalesce(x.order_id IS NOT NULL AND coalesce(x.customer_email = p.customer_email, TRUE) AND coalesce(x.product_id = p.product_id, TRUE)
                AND coalesce(x.amount = p.amount, TRUE) AND coalesce(x.currency = p.currency, TRUE), FALSE)
            AND NOT bagelpay_internal.is_expected (i)
            AND NOT EXISTS (SELECT FROM bagelpay_internal.decision_on (i, now()));
    END IF;

    -- Events without an order, and of unknown types.
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'unmatched', ARRAY[e.event_id], e.received_at, e.mode, NULL, e.event_id, e.payment_id, e.customer_email,
        format('%s of %s has nothing that names its order', e.event_type, e.occurred_at))).*
    FROM bagelpay.events AS e
    WHERE e.outcome = 'unmatched' AND e.outcome <> 'applied';
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'ignored_type', ARRAY[n.event_type], n.since, n.mode, NULL, n.event_id, NULL, NULL,
        format('%s events of the type %s, which this version does not know', n.events, n.event_type),
        'bagelhook redrive --ignored')).*
    FROM (
        SELECT e.event_type, e.mode, count(*) AS events, min(e.received_at) AS since, min(e.event_id) AS event_id
        FROM bagelpay.events AS e
        WHERE e.outcome = 'ignored' AND e.outcome <> 'applied'
        GROUP BY e.event_type, e.mode) AS n;
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'dead_letter', ARRAY[d.id::text], d.received_at, NULL, d.order_id, d.event_id, NULL, d.customer_email,
        concat_ws(': ', d.reason, d.detail),
        CASE WHEN d.reason = 'conflict' THEN bagelpay_internal.statement ('SELECT * FROM bagelpay.events WHERE event_id = %L;', d.event_id) ELSE 'bagelhook redrive --id ' || d.id END)).*
    FROM (SELECT t.id, t.received_at, t.order_id, t.event_id, t.customer_email, t.reason, t.detail FROM bagelpay.dead_letters AS t WHERE t.resolved_at IS NULL) AS d;

    -- Disputes, and what may be one.
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'open_dispute', ARRAY[p.order_id, p.name], coalesce(n.occurred_at, p.began_at), p.mode, p.order_id, n.event_id, p.name, p.customer_email,
        format('%s %s are disputed', p.amount, p.currency),
        bagelpay_internal.statement ('SELECT * FROM bagelpay.dispute_won(%L, %L, %L, %L); -- once it is won', p.name, 'won', p.mode, p.order_id))).*
    FROM bagelpay_internal.purchases AS p
    LEFT JOIN LATERAL (
        SELECT e.occurred_at, e.event_id
        FROM bagelpay.events AS e
        WHERE e.order_id = p.order_id AND e.mode = p.mode AND e.event_type = 'checkout.cancel' AND (e.effect).payment_id = p.name
            AND (e.payment_id IS NOT NULL OR e.provider_order_id IS NOT NULL)
        ORDER BY e.fold_slot DESC
        LIMIT 1) AS n ON TRUE
    WHERE p.status = 'disputed' AND NOT p.is_trial;
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'possible_dispute', ARRAY[e.event_id], e.occurred_at, e.mode, e.order_id, e.event_id, p.name, p.customer_email,
        format('cancelled %s after it was paid: a page that was closed, or a dispute', e.occurred_at - p.began_at),
        bagelpay_internal.statement ('SELECT * FROM bagelpay.revoke(%L, %L, %L, %L, %L); -- if it is a dispute', e.order_id, 'disputed', e.mode, p.product_id,
            coalesce(p.customer_id, p.customer_email)))).*
    FROM bagelpay.events AS e
    CROSS JOIN LATERAL (
        SELECT n.*
        FROM bagelpay_internal.purchases AS n
        WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.name = coalesce(e.payment_id, bagelpay_internal.payment_by_provider_order (e.mode, e.order_id, e.provider_order_id))
            AND NOT n.is_trial AND n.status IN ('paid', 'partially_refunded')
        OFFSET 0) AS p
    WHERE e.event_type = 'checkout.cancel' AND e.order_id IS NOT NULL AND (e.payment_id IS NOT NULL OR e.provider_order_id IS NOT NULL)
        AND (e.effect).payment_id IS NULL AND e.occurred_at BETWEEN p.began_at AND p.began_at + interval '1 hour';

    -- Revoked, though paid time is left.
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'paid_but_revoked', ARRAY[v.order_id, v.product_id, v.customer_id, v.user_id], d.occurred_at, v.mode, v.order_id, d.event_id, NULL, v.customer_email,
        'revoked, but paid for until ' || coalesce((SELECT upper(r)::text FROM unnest(v.periods) AS r WHERE r @> now()), 'ever'),
        bagelpay_internal.statement ('SELECT * FROM bagelpay.clear(%L, %L, %L, %L, %L);', v.order_id, 'paid', v.mode, v.product_id, coalesce(v.customer_id, v.customer_email)))).*
    FROM (
        SELECT n.order_id, n.mode, max(n.occurred_at) AS occurred_at, (array_agg(n.event_id ORDER BY n.fold_slot DESC, n.event_id DESC))[1] AS event_id
        FROM bagelpay_internal.decisions AS n
        WHERE n.decision = 'revoke'
        GROUP BY n.order_id, n.mode) AS d
    CROSS JOIN LATERAL (
        SELECT n.* FROM bagelpay.entitlements_at (now(), d.mode) AS n WHERE n.order_id = d.order_id AND n.reason = 'revoked' AND n.periods @> now() OFFSET 0) AS v;

    -- Events that do not fit together.
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'payment_mismatch', ARRAY[e.order_id, (e.effect).payment_id], min(e.occurred_at), e.mode, e.order_id, min(e.event_id), (e.effect).payment_id, min(e.customer_email),
        'an event of the payment ' || min((e.effect).note))).*
    FROM bagelpay.events AS e
    WHERE (e.effect).note LIKE 'names another %'
    GROUP BY e.mode, e.order_id, (e.effect).payment_id;
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'refund_without_payment', ARRAY[r.event_id], r.occurred_at, r.mode, r.order_id, r.event_id, r.named_payment_id, e.customer_email,
        concat('a refund', ' of ' || r.amount, ' counts against no payment', ': ' || coalesce(r.named_payment_id, r.named_provider_order_id) || ' is not known as paid'))).*
    FROM bagelpay.refunds AS r
    JOIN bagelpay.events AS e ON e.event_id = r.event_id
    WHERE r.payment_id IS NULL;

    -- What purchases lack.
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'no_product', ARRAY[i.order_id, i.customer_id, i.user_id], i.latest_at, i.mode, i.order_id, i.latest_event_id, NULL, i.customer_email,
        'paid for an unknown product, which entitles to none')).*
    FROM bagelpay_internal.stored_items AS i
    WHERE i.product_id = '';
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'no_customer', ARRAY[i.order_id, i.product_id, i.user_id], i.latest_at, i.mode, i.order_id, i.latest_event_id, NULL, i.customer_email,
        'paid by an unknown customer' || coalesce('; by the user ' || nullif(i.user_id, ''), ', whom nothing entitles'))).*
    FROM bagelpay_internal.stored_items AS i
    WHERE i.customer_id = '';
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'unknown_billing_type', ARRAY[p.order_id, p.name], p.began_at, p.mode, p.order_id, p.began_event_id, p.name, p.customer_email,
        format('no event says how it is billed; it counts as %s', p.kind))).*
    FROM bagelpay_internal.purchases AS p
    WHERE NOT p.has_billing_type AND NOT p.is_trial AND p.began_at IS NOT NULL;
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'no_period', ARRAY[n.product_id], n.since, n.mode, n.order_id, n.event_id, n.payment_id, n.customer_email,
        format('%s payments of %s say no period and run for %s by default', n.payments, coalesce('the product ' || n.product_id, 'no product'), setting.default_period),
        CASE WHEN n.product_id IS NOT NULL THEN
            bagelpay_internal.statement ('INSERT INTO bagelpay.products (product_id, period) VALUES (%L, %L) ON CONFLICT (product_id) DO UPDATE SET period = excluded.period; -- how long one lasts',
                n.product_id, '1 month') END)).*
    FROM (
        SELECT p.mode, p.product_id, count(*) AS payments, min(p.began_at) AS since,
            (array_agg(p.order_id ORDER BY p.began_at DESC))[1] AS order_id, (array_agg(p.began_event_id ORDER BY p.began_at DESC))[1] AS event_id,
            (array_agg(p.name ORDER BY p.began_at DESC))[1] AS payment_id, (array_agg(p.customer_email ORDER BY p.began_at DESC))[1] AS customer_email
        FROM bagelpay_internal.purchases AS p
        LEFT JOIN bagelpay.products AS x ON x.product_id = p.product_id
        WHERE p.recurring_interval IS NULL AND p.began_at > bagelpay.utc_plus (now(), -setting.default_period - setting.grace)
            AND p.kind = 'subscription' AND (CASE WHEN p.is_trial THEN p.trial_end IS NULL ELSE (p.period_end > p.began_at) IS NOT TRUE END)
            AND NOT p.is_trial AND p.status IN ('paid', 'partially_refunded') AND NOT p.bought_trial AND x.period IS NULL
        GROUP BY p.mode, p.product_id) AS n;

    -- Two subscriptions at once: of a customer, or of a user with several customers.
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'double_subscription', ARRAY[n.who, n.id], n.since, n.mode, n.order_id, n.event_id, n.payment_id, n.customer_email,
        format('the %s has %s live subscriptions, of the orders %s', n.who, n.subscriptions, n.orders))).*
    FROM (
        SELECT c.who, c.id, c.mode, count(DISTINCT coalesce(p.subscription_key, p.item_key::text)) AS subscriptions, max(p.began_at) AS since,
            (array_agg(p.order_id ORDER BY p.began_at DESC, p.name))[1] AS order_id, (array_agg(p.began_event_id ORDER BY p.began_at DESC, p.name))[1] AS event_id,
            (array_agg(p.name ORDER BY p.began_at DESC, p.name) FILTER (WHERE NOT p.is_trial))[1] AS payment_id, max(p.customer_email) AS customer_email,
            string_agg(DISTINCT p.order_id, ', ') AS orders, count(DISTINCT p.customer_id) AS customers
        FROM (
            SELECT 'customer' AS who, i.customer_id AS id, i.mode
            FROM bagelpay_internal.stored_items AS i
            WHERE i.subscription_status IN ('trialing', 'active', 'past_due') AND i.customer_id <> ''
            GROUP BY i.customer_id, i.mode
            HAVING count(*) > 1
            UNION ALL
            SELECT 'user', i.user_id, i.mode
            FROM bagelpay_internal.stored_items AS i
            WHERE i.subscription_status IN ('trialing', 'active', 'past_due') AND i.user_id <> ''
            GROUP BY i.user_id, i.mode
            HAVING count(*) > 1) AS c
        CROSS JOIN LATERAL (
            SELECT i.item_key, i.order_id, i.mode
            FROM bagelpay_internal.stored_items AS i
            WHERE c.who = 'customer' AND i.customer_id = c.id AND i.mode = c.mode AND i.subscription_status IN ('trialing', 'active', 'past_due') AND i.customer_id <> ''
            UNION ALL
            SELECT i.item_key, i.order_id, i.mode
            FROM bagelpay_internal.stored_items AS i
            WHERE c.who = 'user' AND i.user_id = c.id AND i.mode = c.mode AND i.subscription_status IN ('trialing', 'active', 'past_due') AND i.user_id <> ''
            OFFSET 0) AS i
        CROSS JOIN LATERAL (
            SELECT q
            FROM bagelpay_internal.purchases AS q
            WHERE q.item_key = i.item_key AND q.kind = 'subscription'
            ORDER BY q.began_slot DESC
            LIMIT 10) AS b
        CROSS JOIN LATERAL (SELECT (b.q).*) AS p
        LEFT JOIN bagelpay.products AS x ON x.product_id = p.product_id
        LEFT JOIN LATERAL (
            SELECT m.status::text FROM bagelpay_internal.purchases AS m WHERE m.order_id = p.order_id AND m.mode = p.mode AND m.name = p.buyer AND NOT m.is_trial OFFSET 0) AS buyer ON TRUE
        CROSS JOIN LATERAL bagelpay_internal.purchase_window (b.q, graceless, x.period, buyer.status) AS w
        WHERE p.order_id = i.order_id AND p.mode = i.mode AND w.starts_at <= now() AND now() < w.ends_at
        GROUP BY c.who, c.id, c.mode) AS n
    WHERE n.subscriptions > 1 AND (n.who = 'customer' OR n.customers > 1);

    -- What differs from BagelPay's lists.
    RETURN QUERY
    SELECT d.id, 'drift', d.since, d.mode, d.order_id, NULL, d.payment_id, d.customer_email,
        d.detail || CASE WHEN d.affects_access THEN '; it affects access now' ELSE '' END, d.remedy
    FROM bagelpay.differences AS d;

    -- Most of the latest times without zone are off by the same half hours.
    RETURN QUERY
    SELECT (bagelpay_internal.attention_row (
        'wrong_zone', ARRAY[n.half_hours::text, setting.provider_timezone], n.since, NULL, NULL, n.event_id, NULL, NULL,
        format('%s of the latest %s events are %s half hours ahead of their signed timestamps', n.events, n.of_all, n.half_hours),
        bagelpay_internal.statement ('UPDATE bagelpay.settings SET provider_timezone = %L; SELECT bagelpay.rebuild();', (
            SELECT z.name
            FROM pg_timezone_names AS z
            WHERE z.utc_offset = (
                    SELECT h.utc_offset FROM pg_timezone_names AS h WHERE h.name = setting.provider_timezone) + n.half_hours * interval '30 minutes'
                AND z.name ~ '^(Etc/GMT|[A-Z][a-z]+/[A-Z])'
            ORDER BY z.name !~ '^Etc/GMT[-+]', z.name
            LIMIT 1)))).*
    FROM (
        SELECT h.half_hours, count(*) AS events, max(h.of_all) AS of_all, min(h.received_at) AS since, min(h.event_id) AS event_id
        FROM (
            SELECT e.received_at, e.event_id, count(*) OVER () AS of_all,
                bagelpay_internal.zone_half_hours (e.signed_timestamp, e.occurred_at, e.local_times, e.created_at_raw) AS half_hours
            FROM (SELECT * FROM bagelpay.events AS t ORDER BY t.received_at DESC LIMIT 100) AS e
            WHERE e.signed_timestamp IS NOT NULL AND e.local_times ->> 'occurred_at' = e.created_at_raw) AS h
        WHERE h.half_hours IS NOT NULL
        GROUP BY h.half_hours) AS n
    WHERE 2 * n.events > n.of_all;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.attention_rows IS 'What a person should look at, dismissed or not';

CREATE VIEW bagelpay.attention AS
SELECT a.id, a.kind, a.since, a.mode, a.order_id, a.event_id, a.payment_id, a.customer_email, a.detail, a.remedy
FROM bagelpay_internal.attention_rows () AS a
WHERE NOT EXISTS (SELECT FROM bagelpay.dismissals AS d WHERE d.id = a.id);

COMMENT ON VIEW bagelpay.attention IS 'What a person should look at, each with a remedy; dismiss(id, note) takes it off';

-- Takes a row off the list bagelpay.attention, for as long as its id stays the same. Returns the row; none if it was
-- dismissed before. Raises invalid_parameter_value if the list has no such id. Waits for nobody who does not dismiss
-- the same id.
CREATE FUNCTION bagelpay.dismiss (id text, note text DEFAULT NULL)
    RETURNS SETOF bagelpay.attention_row
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
#variable_conflict use_column
DECLARE
    the_id text COLLATE "C" := bagelpay_internal.trimmed ($1);
    dismissed bagelpay.attention_row;
BEGIN
    SELECT * INTO dismissed FROM bagelpay_internal.attention_rows () AS a WHERE a.id = the_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'id: bagelpay.attention has no row %', quote_nullable($1)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT id, kind, detail FROM bagelpay.attention;';
    END IF;
    INSERT INTO bagelpay.dismissals (id, note)
    VALUES (the_id, $2)
    ON CONFLICT (id) DO NOTHING;
    IF FOUND THEN
        RETURN NEXT dismissed;
    END IF;
END
$$;

COMMENT ON FUNCTION bagelpay.dismiss IS 'Takes a row off the list bagelpay.attention';

COMMIT;
