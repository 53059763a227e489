-- Deploy bagelpay:listings to pg
--
-- What BagelPay's API lists, compared with what is stored. bagelhook-verify reads the lists and calls verify(), which
-- needs no more than a reader's rights.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- One difference; or a listed transaction or subscription without one, of the kind agree, recent (an event of it may be
-- on its way) or other (a transaction that is no payment).
CREATE TYPE bagelpay_internal.difference AS (
    kind text COLLATE "C",
    mode text COLLATE "C",
    order_id text COLLATE "C",
    payment_id text COLLATE "C",
    provider_order_id text COLLATE "C",
    subscription_id text COLLATE "C",
    product_id text COLLATE "C",
    customer_id text COLLATE "C",
    customer_email text COLLATE "C",
    since timestamptz,
    -- The end of what is paid for, by BagelPay.
    until timestamptz,
    -- What is here, and what BagelPay says.
    ours text,
    theirs text,
    is_guess boolean,
    -- NULL: not known, because BagelPay lists no product with a transaction.
    affects_access boolean,
    -- The listed transaction or subscription, with which the difference is looked for again.
    listed jsonb
);

-- Returns a listed time, which has no zone or ends with +00; NULL for NULL.
CREATE FUNCTION bagelpay_internal.listed_time (value text, zone text)
    RETURNS timestamptz
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    SELECT CASE WHEN value LIKE '%+00' THEN value::timestamptz ELSE value::timestamp AT TIME ZONE zone END
$$;

-- Returns whether a customer has access to a product now: yes, no, or revoked if an operator took it. Either name of the
-- customer may be NULL. Reads only; waits for no writer.
CREATE FUNCTION bagelpay_internal.access_now (the_mode text, the_customer text, the_email text, the_product text)
    RETURNS text
    LANGUAGE plpgsql
    STABLE
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
BEGIN
    RETURN CASE
        WHEN bagelpay.is_entitled (the_customer, the_product, the_mode) OR bagelpay.is_entitled (the_email, the_product, the_mode) THEN 'yes'
        WHEN EXISTS (
            SELECT
            FROM bagelpay.entitlements_at (now(), the_mode) AS e
            WHERE e.customer_id = the_customer COLLATE "C" AND e.product_id = the_product COLLATE "C" AND e.reason = 'revoked') THEN 'revoked'
        WHEN EXISTS (
            SELECT
            FROM bagelpay.entitlements_at (now(), the_mode) AS e
            WHERE e.customer_email = the_email COLLATE "C" AND e.product_id = the_product COLLATE "C" AND e.reason = 'revoked') THEN 'revoked'
        ELSE 'no' END;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.access_now IS 'Whether a customer has access to a product now: yes, no or revoked';

-- Returns listed subscriptions with their times.
CREATE FUNCTION bagelpay_internal.listed_subscriptions (subscriptions json, zone text)
    RETURNS TABLE (
        subscription_id text, status text, product_id text, customer_id text, customer_email text, units integer,
        period_start timestamptz, period_end timestamptz, cancel_at timestamptz, trial_end timestamptz, changed_at timestamptz,
        is_ending boolean, unread text, listed jsonb)
    LANGUAGE sql
    STABLE
    ROWS 1000
    AS $$
    SELECT x.subscription_id, x.status, x.product_id, x.customer_id, x.customer_email, x.units,
        bagelpay_internal.listed_time (x.billing_period_start, zone), bagelpay_internal.listed_time (x.billing_period_end, zone),
        bagelpay_internal.listed_time (x.cancel_at, zone), bagelpay_internal.listed_time (x.trial_end, zone),
        bagelpay_internal.listed_time (coalesce(x.updated_at, x.created_at), zone),
        x.cancel_at IS NOT NULL OR x.canceled_at IS NOT NULL OR coalesce(x.cancel_at_period_end, FALSE), x.unread, to_jsonb(x)
    FROM json_to_recordset(subscriptions) AS x (
        subscription_id text, status text, product_id text, customer_id text, customer_email text, units integer, billing_period_start text,
        billing_period_end text, cancel_at text, canceled_at text, cancel_at_period_end boolean, trial_end text, created_at text,
        updated_at text, unread text)
$$;

-- Returns a row for each listed transaction since a moment, and one for each payment of that time that is not listed.
--
-- transactions    a JSON array of objects with texts and numbers as texts, as verify/listing.c makes them; they may begin
--                 before since, so that a payment here finds its transaction whatever the clocks say
-- subscriptions   the same; they tell what a transaction is for
-- began           when the lists began to be read; what happened within 15 minutes before that may still be on its way
-- is_complete     TRUE if the list has all transactions since then
--
-- A transaction is the payment with its provider_order_id (of several, one within a day); or else, as a guess, the only
-- payment without a provider_order_id that has its customer, amount and currency, within an hour. A transaction that is
-- not here is for a subscription if it is the only one of its customer at the start of the only period that starts then.
-- Reads only; waits for no writer.
--
-- The planner does not know how long the lists are. Without nested loops it joins them by hashes; what is LATERAL with
-- OFFSET or LIMIT is looked up by an index for each row nevertheless.
CREATE FUNCTION bagelpay_internal.compare_transactions (
    the_mode text, since timestamptz, began timestamptz, transactions json, subscriptions json, is_complete boolean)
RETURNS SETOF bagelpay_internal.difference
LANGUAGE plpgsql
STABLE
SET enable_seqscan = off
SET enable_mergejoin = off
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    settled CONSTANT timestamptz := began - interval '15 minutes';
    setting bagelpay.settings;
BEGIN
    SELECT * INTO setting FROM bagelpay.settings;
    RETURN QUERY
    WITH t AS MATERIALIZED (
        SELECT row_number() OVER () AS n, x.*, bagelpay_internal.listed_time (x.created_at, setting.provider_timezone) AS at,
            bagelpay_internal.listed_time (x.updated_at, setting.provider_timezone) AS changed_at,
            coalesce(x.type, '') !~* 'refund|dispute|chargeback|payout|adjustment|fee|fail|cancel|void|pending|unpaid|expire' AS is_payment, to_jsonb(x) AS listed
        FROM json_to_recordset(transactions) AS x (
            order_id text COLLATE "C", transaction_id text COLLATE "C", amount numeric, amount_paid numeric, discount_amount numeric, currency text COLLATE "C",
            refunded_amount numeric, type text, customer_id text COLLATE "C", customer_email text COLLATE "C", created_at text, updated_at text, unread text,
            of_order bigint)
    ),
    counted AS MATERIALIZED (
        SELECT t.*, coalesce(t.of_order, count(*) OVER (PARTITION BY t.order_id)) AS listings
        FROM t
        WHERE t.is_payment
    ),
    -- With the purchase of the same provider order. A trial may be listed, too.
    named AS MATERIALIZED (
        SELECT c.*, p.order_id AS our_order, p.name, p.is_trial
        FROM counted AS c
        LEFT JOIN LATERAL (
            SELECT q.order_id, q.name, q.is_trial
            FROM bagelpay_internal.purchases AS q
            WHERE q.provider_order_id = c.order_id AND q.mode = the_mode COLLATE "C" AND q.began_at IS NOT NULL
                AND (c.listings = 1 OR abs(extract(epoch FROM q.began_at - c.at)) <= 86400)
            ORDER BY q.is_trial, abs(extract(epoch FROM q.began_at - c.at)), q.order_id, q.name
            LIMIT 1) AS p ON TRUE
    ),
    guessed AS MATERIALIZED (
        SELECT g.n, g.order_id, g.name
        FROM (
            SELECT m.n, q.order_id, q.name, count(*) OVER (PARTITION BY m.n) AS payments, count(*) OVER (PARTITION BY q.order_id, q.name) AS listings
            FROM named AS m
            CROSS JOIN LATERAL (
                SELECT i.item_key FROM bagelpay_internal.stored_items AS i WHERE nullif(i.customer_id, '') = m.customer_id
                UNION
                SELECT i.item_key FROM bagelpay_internal.stored_items AS i WHERE i.customer_email = m.customer_email) AS i
            CROSS JOIN LATERAL (
                SELECT p.order_id, p.name
                FROM bagelpay_internal.purchases AS p
                WHERE p.item_key = i.item_key AND p.provider_order_id IS NULL AND p.mode = the_mode COLLATE "C" AND NOT p.is_trial
                    AND p.amount IN (m.amount, m.amount_paid) AND p.currency = m.currency AND abs(extract(epoch FROM p.began_at - m.at)) <= 3600
                OFFSET 0) AS q
            WHERE m.our_order IS NULL) AS g
        WHERE g.payments = 1 AND g.listings = 1
    ),
    matched AS MATERIALIZED (
        SELECT m.n, m.order_id AS provider_order_id, m.amount, m.amount_paid, m.currency, m.refunded_amount, m.customer_id, m.customer_email, m.at,
            m.listed || jsonb_build_object('of_order', m.listings) AS listed,
            coalesce(m.our_order, g.order_id) AS our_order, coalesce(m.name, g.name) AS name, coalesce(m.is_trial, FALSE) AS is_trial, g.n IS NOT NULL AS is_guess,
            coalesce(m.changed_at > settled, FALSE) AS is_recent,
            coalesce(m.refunded_amount >= coalesce(nullif(m.amount_paid, 0), m.amount), FALSE) AS is_refunded,
            m.amount_paid = 0 AND m.amount > coalesce(m.discount_amount, 0) AS is_unpaid
        FROM named AS m
        LEFT JOIN guessed AS g ON g.n = m.n
    ),
    periods AS MATERIALIZED (
        SELECT *
        FROM (
            SELECT m.n, s.subscription_id, s.product_id, s.customer_email, s.period_end, count(*) OVER (PARTITION BY m.n) AS periods,
                count(*) OVER (PARTITION BY s.subscription_id) AS payments
            FROM matched AS m
            JOIN bagelpay_internal.listed_subscriptions (subscriptions, setting.provider_timezone) AS s ON s.customer_id = m.customer_id
            WHERE s.status IN ('active', 'paused', 'canceled')
                AND abs(extract(epoch FROM s.period_start - m.at)) <= least(86400, extract(epoch FROM s.period_end - s.period_start) / 2)) AS p
        WHERE p.periods = 1 AND p.payments = 1
    ),
    missing AS MATERIALIZED (
        SELECT m.*, p.subscription_id, p.product_id, coalesce(m.customer_email, p.customer_email) AS email, p.period_end, i.order_id AS item_order,
            CASE WHEN p.product_id IS NOT NULL THEN bagelpay_internal.access_now (the_mode, m.customer_id, coalesce(m.customer_email, p.customer_email), p.product_id) END AS access
        FROM matched AS m
        LEFT JOIN periods AS p ON p.n = m.n
        LEFT JOIN LATERAL (
            SELECT q.order_id
            FROM bagelpay_internal.purchases AS q
            WHERE q.subscription_key IN ('p:' || p.subscription_id, 'b:p:' || p.subscription_id) AND q.mode = the_mode COLLATE "C"
            ORDER BY q.began_slot DESC
            LIMIT 1) AS i ON TRUE
        WHERE m.our_order IS NULL AND m.provider_order_id IS NOT NULL AND m.is_unpaid IS NOT TRUE AND m.at >= since AND m.at <= settled
            -- One that failed here may have failed there, too.
            AND (m.amount_paid IS NOT NULL OR NOT EXISTS (
                SELECT FROM bagelpay_internal.purchases AS q WHERE q.provider_order_id = m.provider_order_id AND q.mode = the_mode COLLATE "C"
                OFFSET 0))
    ),
    found AS (
        SELECT m.n, 'missing_payment' AS kind, m.item_order AS order_id, NULL AS payment_id, m.subscription_id, m.product_id, m.customer_id, m.email,
            m.period_end AS until, NULL AS ours, concat_ws(' ', m.amount, m.currency, CASE WHEN m.is_refunded THEN 'refunded' END) AS theirs,
            CASE WHEN m.is_refunded OR m.access = 'revoked' THEN FALSE WHEN m.access IS NOT NULL THEN m.access = 'no' AND m.period_end > now() END AS affects_access
        FROM missing AS m
        UNION ALL
        SELECT m.n, d.kind, m.our_order, m.name, p.subscription_id, p.product_id, coalesce(p.customer_id, m.customer_id),
            coalesce(p.customer_email, m.customer_email), p.period_end, d.ours, d.theirs,
            CASE
                WHEN d.kind = 'amount' OR m.is_refunded = (p.status = 'refunded') THEN FALSE
                WHEN m.is_refunded THEN bagelpay_internal.access_now (the_mode, p.customer_id, p.customer_email, p.product_id) = 'yes'
                ELSE bagelpay_internal.access_now (the_mode, p.customer_id, p.customer_email, p.product_id) = 'no'
            END
        FROM matched AS m
        CROSS JOIN LATERAL (
            SELECT q.*
            FROM bagelpay_internal.purchases AS q
            WHERE q.order_id = m.our_order AND q.mode = the_mode COLLATE "C" AND q.name = m.name AND NOT q.is_trial
            OFFSET 0) AS p
        CROSS JOIN LATERAL (
            SELECT 'amount' AS kind, concat_ws(' ', p.amount, p.currency) AS ours, concat_ws(' ', m.amount, m.currency) AS theirs
            WHERE (p.amount NOT IN (m.amount, coalesce(m.amount_paid, m.amount)) OR p.currency <> m.currency)
            UNION ALL
            SELECT 'refund', concat_ws(' ', p.refunded_amount, p.currency, 'refunded,', p.status), concat_ws(' ', m.refunded_amount, m.currency, 'refunded')
            WHERE NOT m.is_recent
                -- A refund may have come after the list was read.
                AND NOT EXISTS (
                    SELECT FROM bagelpay.orders AS o WHERE o.order_id = m.our_order AND o.mode = the_mode COLLATE "C" AND o.last_event_at > settled)
                AND CASE
                    WHEN m.refunded_amount IS NULL THEN FALSE
                    WHEN m.refunded_amount = 0 THEN p.refunded_amount > 0 OR p.status IN ('refunded', 'partially_refunded')
                    -- A refund whose amount no event told is compared by its status alone.
                    WHEN p.refunded_amount = 0 THEN p.status NOT IN ('refunded', 'partially_refunded') OR m.is_refunded <> (p.status = 'refunded')
                    ELSE p.refunded_amount <> m.refunded_amount OR (p.status <> 'disputed' AND m.is_refunded <> (p.status = 'refunded')) END) AS d
        WHERE m.at >= since
    )
    SELECT f.kind, the_mode, f.order_id, f.payment_id, m.provider_order_id, f.subscription_id, f.product_id, f.customer_id, f.email,
        m.at, f.until, f.ours, f.theirs, m.is_guess, f.affects_access, m.listed
    FROM found AS f
    JOIN matched AS m ON m.n = f.n
    UNION ALL
    SELECT CASE WHEN m.our_order IS NOT NULL THEN 'agree' WHEN m.at > settled THEN 'recent' ELSE 'other' END,
        the_mode, m.our_order, m.name, coalesce(m.provider_order_id, m.n::text), NULL, NULL, NULL, NULL, m.at, NULL, NULL, NULL, m.is_guess, FALSE, NULL
    FROM matched AS m
    WHERE m.at >= since AND coalesce(m.our_order, m.provider_order_id) IS NOT NULL AND NOT EXISTS (SELECT FROM found AS f WHERE f.n = m.n)
    UNION ALL
    SELECT 'other', the_mode, NULL, NULL, coalesce(t.order_id, t.n::text), NULL, NULL, NULL, NULL, t.at, NULL, NULL, NULL, FALSE, FALSE, NULL
    FROM t
    WHERE NOT t.is_payment AND t.at >= since
    UNION ALL
    SELECT 'unreadable', the_mode, NULL, NULL, min(coalesce(t.order_id, t.transaction_id)), NULL, NULL, NULL, NULL, coalesce(min(t.at), since), NULL,
        count(*) || ' transactions', t.unread, FALSE, NULL, NULL
    FROM t
    WHERE t.is_payment AND t.unread IS NOT NULL AND (t.at IS NULL OR t.at >= since)
    GROUP BY t.unread
    UNION ALL
    SELECT 'unlisted_payment', the_mode, p.order_id, p.name, p.provider_order_id, p.subscription_id, p.product_id, p.customer_id, p.customer_email,
        p.began_at, NULL, concat_ws(' ', p.amount, p.currency), NULL, FALSE,
        bagelpay_internal.access_now (the_mode, p.customer_id, p.customer_email, p.product_id) = 'yes', NULL
    FROM bagelpay_internal.purchases AS p
    WHERE is_complete AND p.mode = the_mode COLLATE "C" AND NOT p.is_trial AND p.began_at >= since AND p.began_at <= settled AND p.amount > 0
        AND NOT EXISTS (SELECT FROM t WHERE t.order_id = p.provider_order_id)
        AND NOT EXISTS (SELECT FROM guessed AS g WHERE g.order_id = p.order_id AND g.name = p.name);
END
$$;

COMMENT ON FUNCTION bagelpay_internal.compare_transactions IS 'Listed transactions, each compared with the payments here';

-- Returns a row for each difference of a listed subscription, for each without one, and for each subscription here that
-- gives access now and is not listed.
--
-- explained   subscriptions whose differences follow from a missing payment, which is reported
--
-- The other arguments are as for compare_transactions(). A subscription is the item whose latest purchase with its id is
-- the latest of all; or else, as a guess, the item of its customer and product that names no subscription. Times agree
-- within 10 minutes. If most periods end by the same half hours earlier or later, that is one difference, of the zone.
-- Reads only; waits for no writer.
CREATE FUNCTION bagelpay_internal.compare_subscriptions (
    the_mode text, began timestamptz, subscriptions json, explained text[], is_complete boolean)
RETURNS SETOF bagelpay_internal.difference
LANGUAGE plpgsql
STABLE
SET enable_seqscan = off
SET enable_mergejoin = off
SET enable_nestloop = off
SET jit = off
SET TimeZone = 'UTC'
SET DateStyle = 'ISO'
AS $$
#variable_conflict use_column
DECLARE
    settled CONSTANT timestamptz := began - interval '15 minutes';
    setting bagelpay.settings;
BEGIN
    SELECT * INTO setting FROM bagelpay.settings;
    RETURN QUERY
    WITH s AS MATERIALIZED (
        SELECT row_number() OVER () AS n, l.*, l.status IN ('active', 'trialing') AS is_live, coalesce(l.changed_at > settled, FALSE) AS is_recent,
            coalesce(l.subscription_id IN (SELECT unnest(explained)), FALSE) AS is_explained,
            CASE WHEN l.status = 'trialing' THEN coalesce(l.trial_end, l.period_end) ELSE l.period_end END AS paid_until,
            -- Of several of one customer and product, a guess is made of one.
            row_number() OVER (PARTITION BY l.customer_id, l.customer_email, l.product_id ORDER BY l.status = 'canceled', l.period_end DESC NULLS LAST, l.subscription_id) AS nth
        FROM bagelpay_internal.listed_subscriptions (subscriptions, setting.provider_timezone) AS l
    ),
    matched AS MATERIALIZED (
        SELECT s.*, s.is_recent OR coalesce(o.last_event_at > settled, FALSE) AS is_unsettled, i.order_id, i.product_id AS our_product, i.customer_id AS our_customer, i.user_id AS our_user, i.customer_email AS our_email, i.subscription_status, i.units AS our_units,
            i.billing_period_end, i.trial_end AS our_trial_end, i.cancel_at AS our_cancel_at, p.subscription_key IS NULL AND i.order_id IS NOT NULL AS is_guess,
            i.order_id IS NOT NULL AND coalesce(p.subscription_key = i.latest_subscription_key, TRUE) AS is_latest
        FROM s
        LEFT JOIN LATERAL (
            SELECT q.order_id, q.mode, q.customer_id, q.user_id, q.product_id, q.subscription_key
            FROM bagelpay_internal.purchases AS q
            WHERE q.subscription_key IN ('p:' || s.subscription_id, 'b:p:' || s.subscription_id) AND q.mode = the_mode COLLATE "C" AND q.began_at IS NOT NULL
            ORDER BY q.began_slot DESC, q.began_at DESC
            LIMIT 1) AS p ON TRUE
        LEFT JOIN LATERAL (
            (SELECT t.*
             FROM bagelpay_internal.stored_items AS t
             WHERE p.subscription_key IS NOT NULL AND t.order_id = p.order_id AND t.mode = p.mode AND t.customer_id = coalesce(p.customer_id, '')
                AND t.user_id = coalesce(p.user_id, '') AND t.product_id = coalesce(p.product_id, ''))
            UNION ALL
            (SELECT t.*
             FROM bagelpay_internal.stored_items AS t
             WHERE p.subscription_key IS NULL AND s.nth = 1 AND nullif(t.customer_id, '') IN (s.customer_id, 'email:' || s.customer_email)
                AND nullif(t.product_id, '') = s.product_id AND t.mode = the_mode COLLATE "C" AND t.subscription_status IS NOT NULL AND t.subscription_id IS NULL
             ORDER BY t.latest_slot DESC
             LIMIT 1)) AS i ON TRUE
        -- An event may have come after the list was read.
        LEFT JOIN LATERAL (
            SELECT n.last_event_at FROM bagelpay.orders AS n WHERE n.order_id = i.order_id AND n.mode = the_mode COLLATE "C" OFFSET 0) AS o ON TRUE
        WHERE s.status IS NOT NULL
    ),
    -- How far the ends of periods, in half hours, are apart.
    shifted AS MATERIALIZED (
        SELECT a.half_hours
        FROM (
            SELECT CASE WHEN abs(m.apart - 1800 * round(m.apart / 1800)) <= 60 AND abs(m.apart) <= 50400 THEN round(m.apart / 1800) END AS half_hours,
                count(*) AS periods, sum(count(*)) OVER () AS of_all
            FROM (SELECT extract(epoch FROM m.period_end - m.billing_period_end) AS apart FROM matched AS m WHERE m.is_latest AND m.is_live) AS m
            WHERE m.apart IS NOT NULL
            GROUP BY 1) AS a
        WHERE a.half_hours <> 0 AND a.periods >= 3 AND 2 * a.periods > a.of_all
    ),
    -- wrong_access: the access that would be wrong; NULL if the difference does not affect it. only_then: there is no
    -- difference otherwise.
    suspected AS MATERIALIZED (
        SELECT m.n, d.kind, d.ours, d.theirs, d.wrong_access, d.only_then
        FROM matched AS m
        LEFT JOIN shifted AS z ON TRUE
        CROSS JOIN LATERAL (
            SELECT 'missing_subscription' AS kind, NULL AS ours, concat_ws(' ', m.status, 'until ' || m.paid_until) AS theirs,
                CASE WHEN m.is_live AND m.paid_until > now() THEN 'no' END AS wrong_access, FALSE AS only_then
            WHERE m.order_id IS NULL AND m.status <> 'canceled'
            UNION ALL
            SELECT 'status', m.subscription_status, m.status,
                CASE
                    WHEN m.is_live AND coalesce(m.paid_until > now(), TRUE) THEN 'no'
                    WHEN m.status = 'canceled' AND coalesce(m.cancel_at <= now(), TRUE)
                        AND (setting.on_cancel = 'end_now' OR m.period_end <= now()) THEN 'yes'
                END, FALSE
            WHERE m.is_latest AND CASE m.status
                WHEN 'active' THEN m.subscription_status = 'trialing' OR (m.subscription_status = 'canceled' AND NOT m.is_ending)
                WHEN 'trialing' THEN m.subscription_status = 'active' OR (m.subscription_status = 'canceled' AND NOT m.is_ending)
                ELSE m.subscription_status <> 'canceled' END
            UNION ALL
            -- An earlier subscription of the item, which goes on.
            SELECT 'status', 'replaced by a later one', m.status, 'no', TRUE
            WHERE m.order_id IS NOT NULL AND NOT m.is_latest AND m.is_live AND m.paid_until > now()
            UNION ALL
            SELECT 'product', m.our_product, m.product_id, CASE WHEN m.paid_until > now() THEN 'no' END, FALSE
            WHERE m.is_latest AND m.is_live AND m.our_product <> m.product_id
            UNION ALL
            SELECT 'units', m.our_units::text, m.units::text, 'yes', FALSE
            WHERE m.is_latest AND m.is_live AND m.our_units <> m.units
            UNION ALL
            SELECT e.kind, e.ours::text, e.theirs::text, CASE WHEN e.kind = 'cancel_at' THEN NULL WHEN e.theirs > now() THEN 'no' ELSE 'yes' END,
                -- Without an end, the interval decides here, and access tells whether that is enough.
                e.ours IS NULL AND e.kind <> 'cancel_at'
            FROM (VALUES
                ('period_end', m.billing_period_end, CASE WHEN m.status = 'active' THEN m.period_end END),
                ('trial_end', m.our_trial_end, CASE WHEN m.status = 'trialing' THEN m.trial_end END),
                ('cancel_at', m.our_cancel_at, CASE WHEN m.is_live AND m.subscription_status <> 'canceled' THEN m.cancel_at END)) AS e (kind, ours, theirs)
            WHERE m.is_latest
                AND CASE
                    WHEN e.ours IS NOT NULL THEN abs(extract(epoch FROM e.theirs - e.ours)) > 600
                        AND abs(extract(epoch FROM e.theirs - e.ours) - 1800 * coalesce(z.half_hours, 0)) > 60
                    WHEN e.kind = 'cancel_at' THEN e.theirs IS NOT NULL
                    ELSE e.theirs > now() END) AS d
        WHERE NOT m.is_unsettled AND NOT m.is_explained
    ),
    found AS MATERIALIZED (
        SELECT d.n, d.kind, d.ours, d.theirs, d.wrong_access, d.access
        FROM (
            SELECT u.*, bagelpay_internal.access_now (
                the_mode, coalesce(nullif(m.our_customer, ''), m.customer_id), coalesce(m.our_email, m.customer_email), coalesce(m.product_id, m.our_product)) AS access
            FROM suspected AS u
            JOIN matched AS m ON m.n = u.n
            OFFSET 0) AS d
        WHERE d.access = d.wrong_access OR NOT d.only_then
    )
    SELECT f.kind, the_mode, m.order_id, NULL, NULL, m.subscription_id, coalesce(m.product_id, m.our_product), coalesce(nullif(m.our_customer, ''), m.customer_id),
        coalesce(m.our_email, m.customer_email), m.changed_at, m.paid_until, f.ours, f.theirs, m.is_guess, coalesce(f.access = f.wrong_access, FALSE), m.listed
    FROM found AS f
    JOIN matched AS m ON m.n = f.n
    UNION ALL
    SELECT CASE WHEN m.is_unsettled THEN 'recent' ELSE 'agree' END, the_mode, m.order_id, NULL, NULL, coalesce(m.subscription_id, m.n::text), NULL, NULL, NULL,
        m.changed_at, NULL, NULL, NULL, m.is_guess, FALSE, NULL
    FROM matched AS m
    WHERE NOT EXISTS (SELECT FROM found AS f WHERE f.n = m.n) AND NOT m.is_explained
    UNION ALL
    SELECT 'unreadable', the_mode, NULL, NULL, NULL, min(s.subscription_id), NULL, NULL, NULL, coalesce(min(s.changed_at), began), NULL,
        count(*) || ' subscriptions', s.unread, FALSE, NULL, NULL
    FROM s
    WHERE s.unread IS NOT NULL
    GROUP BY s.unread
    UNION ALL
    SELECT 'zone', the_mode, NULL, NULL, NULL, NULL, NULL, NULL, NULL, began, NULL, setting.provider_timezone, z.half_hours || ' half hours', FALSE, TRUE, NULL
    FROM shifted AS z
    UNION ALL
    SELECT 'unlisted_subscription', the_mode, i.order_id, NULL, NULL, i.subscription_id, nullif(i.product_id, ''), nullif(i.customer_id, ''), i.customer_email,
        i.latest_at, NULL, i.subscription_status, NULL, FALSE, TRUE, NULL
    FROM (
        SELECT t.*
        FROM bagelpay_internal.stored_items AS t
        WHERE is_complete AND t.subscription_status IN ('trialing', 'active', 'past_due') AND t.customer_id <> '' AND t.mode = the_mode COLLATE "C" AND t.latest_at <= settled
            AND NOT EXISTS (SELECT FROM s WHERE s.subscription_id = t.subscription_id)
            AND NOT EXISTS (
                SELECT FROM matched AS m
                WHERE m.order_id = t.order_id AND m.our_customer = t.customer_id AND m.our_user = t.user_id AND m.our_product = t.product_id)
        -- Only of those that are not listed is it asked whether they give access.
        OFFSET 0) AS i
    WHERE bagelpay_internal.access_now (the_mode, i.customer_id, i.customer_email, i.product_id) = 'yes';
END
$$;

COMMENT ON FUNCTION bagelpay_internal.compare_subscriptions IS 'Listed subscriptions, each compared with the items here';

-- Returns the rows of both. For arguments, see there.
CREATE FUNCTION bagelpay_internal.compare (
    mode text, since timestamptz, began timestamptz, transactions json, subscriptions json, is_complete boolean)
RETURNS SETOF bagelpay_internal.difference
LANGUAGE sql
STABLE
AS $$
    WITH t AS MATERIALIZED (
        SELECT * FROM bagelpay_internal.compare_transactions ($1, $2, $3, $4, $5, $6)
    )
    SELECT * FROM t
    UNION ALL
    SELECT *
    FROM bagelpay_internal.compare_subscriptions ($1, $3, $5, array(
        SELECT t.subscription_id FROM t WHERE t.kind = 'missing_payment' AND t.subscription_id IS NOT NULL), $6)
$$;

COMMENT ON FUNCTION bagelpay_internal.compare IS 'What BagelPay lists, compared with what is stored';

-- Returns the id of a difference, by which bagelpay.dismiss() knows it: the same as long as BagelPay says the same.
CREATE FUNCTION bagelpay_internal.difference_id (d bagelpay_internal.difference)
    RETURNS text
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT 'drift:' || left(encode(sha256(convert_to(array_to_string(
        ARRAY[d.mode, d.kind, CASE d.kind WHEN 'unreadable' THEN split_part(d.ours, ' ', 2) ELSE coalesce(d.provider_order_id, d.subscription_id) END, d.theirs]
            || CASE WHEN starts_with(d.kind, 'unlisted') THEN ARRAY[d.order_id, d.payment_id, d.product_id, d.customer_id] ELSE '{}' END,
        E'\x1f', '-'), 'UTF8')), 'hex'), 16)
$$;

-- Returns a difference in a sentence.
CREATE FUNCTION bagelpay_internal.difference_detail (d bagelpay_internal.difference)
    RETURNS text
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE d.kind
        WHEN 'missing_payment' THEN format('BagelPay lists a payment of %s, provider order %s, of which no event came', d.theirs, d.provider_order_id)
        WHEN 'unlisted_payment' THEN format('a payment of %s is here that BagelPay does not list', d.ours)
        WHEN 'amount' THEN format('the payment is of %s here, and of %s at BagelPay', d.ours, d.theirs)
        WHEN 'refund' THEN format('here %s, at BagelPay %s', d.ours, d.theirs)
        WHEN 'missing_subscription' THEN format('BagelPay lists a subscription, %s, of which no event came', d.theirs)
        WHEN 'unlisted_subscription' THEN format('a subscription, %s, gives access here that BagelPay does not list', d.ours)
        WHEN 'status' THEN format('the subscription is %s here, and %s at BagelPay', d.ours, d.theirs)
        WHEN 'product' THEN format('the subscription is of the product %s here, and of %s at BagelPay', d.ours, d.theirs)
        WHEN 'units' THEN format('the subscription has %s units here, and %s at BagelPay', d.ours, d.theirs)
        WHEN 'period_end' THEN format('the paid period ends %s here, and %s at BagelPay', coalesce(d.ours, 'by its interval'), d.theirs)
        WHEN 'trial_end' THEN format('the trial ends %s here, and %s at BagelPay', coalesce(d.ours, 'by default_period'), d.theirs)
        WHEN 'cancel_at' THEN format('the subscription is to be canceled %s here, and %s at BagelPay', coalesce(d.ours, 'never'), d.theirs)
        WHEN 'unreadable' THEN format('of %s that BagelPay lists, not all could be read: %s', d.ours, d.theirs)
        WHEN 'zone' THEN format('most periods end %s later at BagelPay than here, where provider_timezone is %s', d.theirs, d.ours)
    END
$$;

-- Returns what mends a difference: a complete statement or command. Where a webhook tells of it, to have BagelPay deliver
-- that again is better still.
CREATE FUNCTION bagelpay_internal.difference_remedy (d bagelpay_internal.difference)
    RETURNS text
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE
        WHEN d.kind = 'zone' THEN 'SELECT bagelpay.rebuild(); -- as bagelpay_owner, once provider_timezone in bagelpay.settings is the zone of BagelPay''s times'
        WHEN d.kind = 'unreadable' THEN bagelpay_internal.statement ('SELECT bagelpay.dismiss(%L, %L); -- they were not compared; a newer bagelhook may read them', dismissal.id, 'checked')
        WHEN g.until > now() AND d.product_id IS NOT NULL AND d.customer_email IS NOT NULL AND g.is_grant THEN bagelpay_internal.statement (
            'SELECT * FROM bagelpay.grant(%L, %L, %L, %L, %L, %L); -- or have BagelPay deliver the events again',
            g.order_id, d.customer_email, d.product_id, g.until::text, g.note, d.mode)
        WHEN d.affects_access AND NOT g.is_grant AND d.order_id IS NOT NULL AND (d.kind = 'refund' OR (d.kind = 'status' AND d.theirs = 'canceled')) THEN bagelpay_internal.statement (
            'SELECT * FROM bagelpay.revoke(%L, %L, %L, %L, %L); -- or have BagelPay deliver the event again',
            d.order_id, CASE d.kind WHEN 'refund' THEN 'refunded' ELSE 'canceled' END || ' at BagelPay', d.mode, d.product_id, coalesce(d.customer_id, d.customer_email))
        WHEN d.kind = 'missing_payment' THEN concat(
            bagelpay_internal.statement ('SELECT * FROM bagelpay.find(%L, %L);', coalesce(d.customer_id, d.customer_email, d.provider_order_id), d.mode),
            ' -- what the customer has; then have BagelPay deliver the events of ', regexp_replace(d.provider_order_id, '[^[:alnum:]_.:-]', '?', 'g'),
            ' again, or save their bodies and run: bagelhook import FILE')
        WHEN d.order_id IS NOT NULL THEN bagelpay_internal.statement ('SELECT * FROM bagelpay.explain(%L, %L); SELECT bagelpay.dismiss(%L, %L);',
            d.order_id, d.mode, dismissal.id, 'checked') || CASE
                WHEN d.kind = 'units' THEN ' -- the next renewal brings the number of units'
                WHEN d.theirs = 'paused' THEN ' -- access ends with the paid period; bagelpay.revoke() ends it now' ELSE '' END
        ELSE bagelpay_internal.statement ('SELECT * FROM bagelpay.find(%L, %L); SELECT bagelpay.dismiss(%L, %L);', coalesce(d.subscription_id, d.provider_order_id), d.mode, dismissal.id, 'checked')
    END
    FROM (SELECT bagelpay_internal.difference_id (d)) AS dismissal (id)
    CROSS JOIN LATERAL (
        SELECT coalesce(d.order_id, 'order:' || d.provider_order_id, 'customer:' || d.customer_id || ':' || d.product_id) AS order_id, d.until,
            'bagelhook-verify: ' || coalesce('transaction ' || d.provider_order_id, 'subscription ' || d.subscription_id) AS note,
            d.kind IN ('missing_payment', 'missing_subscription', 'status', 'product', 'period_end', 'trial_end', 'refund') AND d.affects_access
                AND NOT (d.kind = 'status' AND d.theirs = 'canceled') AND NOT (d.kind = 'refund' AND d.ours NOT LIKE '% refunded') AS is_grant) AS g
$$;

COMMIT;
