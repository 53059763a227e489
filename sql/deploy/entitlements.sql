-- Deploy bagelpay:entitlements to pg
--
-- Entitlements are computed from purchases, decisions, settings and the moment asked for. They are not stored, so that
-- access ends on time without an event.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns the window of time that a purchase opens; no row if it does not count, or bought a trial.
--
-- setting              the row of bagelpay.settings
-- period               bagelpay.products.period of its product
-- payment_status       for a bought trial: the status of the payment that bought it
-- starts_at, ends_at   [start, end); ends_at is NULL if there is no end
-- is_cut               TRUE if a cancellation cut it
--
-- Reads no table.
CREATE FUNCTION bagelpay_internal.purchase_window (
    p bagelpay_internal.purchases,
    setting bagelpay.settings,
    period interval,
    payment_status text)
RETURNS TABLE (starts_at timestamptz, ends_at timestamptz, is_cut boolean)
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
AS $$
    SELECT
        p.began_at,
        CASE WHEN p.kind = 'subscription' THEN least(
            graced.ends_at,
            CASE WHEN p.cut_at IS NOT NULL THEN greatest(own.ends_at, p.cut_at) END,
            CASE WHEN setting.on_cancel = 'end_now' THEN p.cut_until END) END,
        coalesce(p.kind = 'subscription'
            AND (p.cut_at < graced.ends_at OR floor(extract(epoch FROM p.cut_at)) = floor(extract(epoch FROM p.began_at))), FALSE)
    FROM (
        SELECT CASE
            WHEN p.is_trial AND p.buyer IS NOT NULL THEN greatest(p.began_at, coalesce(p.trial_end, bagelpay.utc_plus (p.began_at, setting.default_period)))
            WHEN p.is_trial THEN least(
                p.replaced_at, greatest(p.began_at, coalesce(p.trial_end, bagelpay.utc_plus (p.began_at, setting.default_period))))
            WHEN p.period_end > p.began_at THEN p.period_end
            -- A payment of 0 does not buy a whole year.
            WHEN p.amount = 0 THEN least(
                bagelpay.utc_plus (p.began_at, coalesce(p.recurring_interval, period, setting.default_period)),
                bagelpay.utc_plus (p.began_at, setting.default_period))
            ELSE bagelpay.utc_plus (p.began_at, coalesce(p.recurring_interval, period, setting.default_period))
        END) AS own (ends_at)
    CROSS JOIN LATERAL (SELECT bagelpay.utc_plus (own.ends_at, setting.grace)) AS graced (ends_at)
    WHERE p.began_at IS NOT NULL
        AND NOT p.bought_trial
        AND CASE WHEN p.is_trial AND p.buyer IS NULL THEN TRUE
            ELSE CASE WHEN p.is_trial THEN payment_status ELSE p.status END IN ('paid', 'partially_refunded')
                OR (CASE WHEN p.is_trial THEN payment_status ELSE p.status END = 'disputed' AND NOT setting.revoke_on_dispute)
        END
$$;

COMMENT ON FUNCTION bagelpay_internal.purchase_window IS 'The window of time that a purchase opens, by the settings';

-- Returns the decision that holds for an item at the moment t: the latest one until then that covers the item, except
-- grants that have ended. No row if there is none. Reads only; waits for no writer.
CREATE FUNCTION bagelpay_internal.decision_on (i bagelpay_internal.all_items, t timestamptz)
    RETURNS SETOF bagelpay_internal.decisions
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    SELECT d.*
    FROM bagelpay_internal.decisions AS d
    WHERE d.order_id = i.order_id AND d.mode = i.mode AND d.occurred_at <= t
        AND (d.decision <> 'grant' OR d.granted_until IS NULL OR t < d.granted_until)
        AND (d.product_id IS NULL OR d.product_id = i.product_id)
        AND (d.customer_id IS NULL OR d.customer_id = i.customer_id)
        AND (d.customer_email IS NULL
            OR i.customer_id = 'email:' || d.customer_email
            OR EXISTS (
                SELECT
                FROM bagelpay_internal.purchases AS p
                WHERE p.item_key = i.item_key AND p.customer_email = d.customer_email))
        -- A grant that names neither product nor customer covers the items that were bought before it.
        AND (d.decision <> 'grant' OR d.product_id IS NOT NULL OR d.customer_email IS NOT NULL
            OR EXISTS (
                SELECT
                FROM bagelpay_internal.purchases AS p
                WHERE p.item_key = i.item_key
                    AND (p.began_slot, p.began_at, p.began_event_id) < (d.fold_slot, d.occurred_at, d.event_id)))
    ORDER BY d.fold_slot DESC, d.occurred_at DESC, d.event_id DESC
    LIMIT 1
$$;

COMMENT ON FUNCTION bagelpay_internal.decision_on IS 'The operator''s decision that holds for an item at a moment';

CREATE TYPE bagelpay.entitlement AS (
    mode text COLLATE "C",
    order_id text COLLATE "C",
    product_id text COLLATE "C",
    product_name text,
    customer_id text COLLATE "C",
    customer_email text COLLATE "C",
    user_id text COLLATE "C",
    kind text,
    status text,
    entitled boolean,
    reason text,
    valid_from timestamptz,
    valid_until timestamptz,
    units integer,
    periods tstzmultirange
);

COMMENT ON TYPE bagelpay.entitlement IS 'An entitlement, as entitlements_at() and the views have it';

-- Returns the entitlement of each item of one mode, and of each order without items, at the moment t. t moves only the
-- clock: the answer uses all events that are stored now. entitled is never NULL.
--
-- Raises invalid_parameter_value if mode is neither test nor live, or t is NULL. Reads only; waits for no writer.
--
-- A plain query, which is inlined: conditions on its rows reach the indexes of bagelpay_internal.stored_items.
CREATE FUNCTION bagelpay.entitlements_at (t timestamptz, mode text DEFAULT 'live')
    RETURNS SETOF bagelpay.entitlement
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    SELECT
        i.mode::text,
        i.order_id,
        nullif(i.product_id, ''),
        i.product_name,
        nullif(i.customer_id, ''),
        i.customer_email,
        nullif(i.user_id, ''),
        CASE WHEN i.subscription_status IS NULL THEN 'one_time' ELSE 'subscription' END,
        coalesce(i.subscription_status::text, bought.latest_status, o.status),
        coalesce(decided.decision = 'grant' OR (decided.decision IS DISTINCT FROM 'revoke' AND rule.first_fitting = 'periods'), FALSE),
        CASE
            WHEN decided.decision = 'revoke' THEN 'revoked'
            WHEN decided.decision = 'grant' THEN 'granted'
            WHEN rule.first_fitting = 'periods' THEN CASE
                WHEN bought.one_time IS NOT NULL THEN bought.one_time
                WHEN bought.all_cut THEN 'canceling'
                WHEN bought.only_trials THEN 'trialing'
                WHEN i.subscription_status = 'past_due' THEN 'past_due'
                ELSE 'active' END
            WHEN rule.first_fitting = 'no_purchase' THEN o.status
            WHEN rule.first_fitting = 'none_counts' THEN bought.latest_status
            ELSE rule.first_fitting
        END,
        lower(bought.periods),
        CASE
            WHEN decided.decision = 'revoke' THEN NULL
            WHEN decided.decision = 'grant' THEN decided.granted_until
            WHEN rule.first_fitting = 'periods' THEN (SELECT upper(r) FROM unnest(bought.periods) AS r WHERE r @> t)
            WHEN rule.first_fitting = 'not_yet' THEN (SELECT upper(r) FROM unnest(bought.periods) AS r ORDER BY r LIMIT 1)
            WHEN rule.first_fitting IN ('canceled', 'expired') THEN (SELECT max(upper(r)) FROM unnest(bought.periods) AS r WHERE upper(r) <= t)
        END,
        coalesce(bought.units, 1),
        coalesce(bought.periods, '{}')
    FROM bagelpay_internal.all_items AS i
    CROSS JOIN bagelpay.settings AS setting
    -- OFFSET keeps this a look-up for each item. A plan that is made while the tables are empty would otherwise read
    -- all orders of the mode to answer for one item.
    CROSS JOIN LATERAL (
        SELECT n.status, n.has_decisions
        FROM bagelpay.orders AS n
        WHERE n.order_id = i.order_id AND n.mode = i.mode
        OFFSET 0
    ) AS o
    CROSS JOIN LATERAL (
        SELECT
            count(*) > 0 AS any_purchase,
            count(*) FILTER (WHERE NOT p.is_trial) > 0 AS any_payment,
            -- A payment that bought a trial counts without a window of its own.
            count(*) FILTER (WHERE NOT p.is_trial AND (p.status IN ('paid', 'partially_refunded')
                OR (p.status = 'disputed' AND NOT setting.revoke_on_dispute))) > 0 AS any_counts,
            (array_agg(p.status ORDER BY p.began_at DESC, p.name DESC) FILTER (WHERE NOT p.is_trial))[1]::text AS latest_status,
            range_agg(tstzrange(w.starts_at, w.ends_at)) FILTER (WHERE w.starts_at < coalesce(w.ends_at, 'infinity')) AS periods,
            bool_or(h.holds) AS holds,
            CASE
                WHEN bool_or(p.status = 'paid') FILTER (WHERE h.holds AND p.kind = 'one_time') THEN 'paid'
                WHEN bool_or(p.status = 'partially_refunded') FILTER (WHERE h.holds AND p.kind = 'one_time') THEN 'partially_refunded'
                WHEN bool_or(TRUE) FILTER (WHERE h.holds AND p.kind = 'one_time') THEN 'disputed'
            END AS one_time,
            bool_and(w.is_cut) FILTER (WHERE h.holds) AS all_cut,
            bool_and(p.is_trial) FILTER (WHERE h.holds) AS only_trials,
            (array_agg(p.units ORDER BY w.starts_at DESC, p.began_slot DESC, p.began_at DESC, p.began_event_id DESC) FILTER (WHERE h.holds))[1] AS units
        FROM bagelpay_internal.purchases AS p
        LEFT JOIN LATERAL (
            SELECT n.period
            FROM bagelpay.products AS n
            WHERE p.kind = 'subscription' AND p.recurring_interval IS NULL AND n.product_id = p.product_id
            OFFSET 0) AS product ON TRUE
        LEFT JOIN LATERAL (
            SELECT n.status::text
            FROM bagelpay_internal.purchases AS n
            WHERE n.order_id = p.order_id AND n.mode = p.mode AND n.name = p.buyer AND NOT n.is_trial
            OFFSET 0) AS buyer ON TRUE
        LEFT JOIN LATERAL bagelpay_internal.purchase_window (p, setting, product.period, buyer.status) AS w ON TRUE
        CROSS JOIN LATERAL (SELECT coalesce(w.starts_at <= t AND (w.ends_at IS NULL OR t < w.ends_at), FALSE)) AS h (holds)
        -- item_key is a hash, so the columns are compared, too.
        WHERE p.item_key = i.item_key AND p.order_id IS NOT DISTINCT FROM i.order_id AND p.mode IS NOT DISTINCT FROM i.mode
            AND coalesce(p.product_id, '') = i.product_id AND coalesce(p.customer_id, '') = i.customer_id AND coalesce(p.user_id, '') = i.user_id
        OFFSET 0
    ) AS bought
    LEFT JOIN LATERAL (
        SELECT d.decision, d.granted_until FROM bagelpay_internal.decision_on (i, t) AS d WHERE o.has_decisions
    ) AS decided ON TRUE
    -- The first rule that fits, without decisions.
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN setting.require_expected_order AND NOT bagelpay_internal.is_expected (i) THEN 'unconfirmed'
            WHEN bought.holds THEN 'periods'
            WHEN NOT bought.any_purchase THEN 'no_purchase'
            WHEN bought.any_payment AND NOT bought.any_counts AND bought.periods IS NULL THEN 'none_counts'
            WHEN t < lower(bought.periods) THEN 'not_yet'
            WHEN i.subscription_status = 'canceled' THEN 'canceled'
            ELSE 'expired'
        END
        OFFSET 0
    ) AS rule (first_fitting)
    WHERE i.mode = entitlements_at.mode COLLATE "C"
        AND bagelpay_internal.given_mode (entitlements_at.mode) IS NOT NULL AND bagelpay_internal.given_moment (t, 't') IS NOT NULL
    UNION ALL
    SELECT o.mode::text, o.order_id, NULL, NULL, NULL, NULL, NULL, NULL, o.status, FALSE, o.status, NULL, NULL, 1, '{}'
    FROM bagelpay.orders AS o
    WHERE o.mode = entitlements_at.mode COLLATE "C"
        AND bagelpay_internal.given_mode (entitlements_at.mode) IS NOT NULL AND bagelpay_internal.given_moment (t, 't') IS NOT NULL
        AND NOT EXISTS (SELECT FROM bagelpay_internal.all_items AS i WHERE i.order_id = o.order_id AND i.mode = o.mode)
$$;

COMMENT ON FUNCTION bagelpay.entitlements_at IS 'Entitlements of one mode at a moment, by all events stored now';

CREATE VIEW bagelpay.entitlements AS
SELECT * FROM bagelpay.entitlements_at (now(), 'live');

COMMENT ON VIEW bagelpay.entitlements IS 'Entitlements now, by live purchases';

CREATE VIEW bagelpay.entitlements_test AS
SELECT * FROM bagelpay.entitlements_at (now(), 'test');

COMMENT ON VIEW bagelpay.entitlements_test IS 'Entitlements now, by test purchases';

-- Returns TRUE if a customer is entitled to a product at a moment, else FALSE.
--
-- customer   BagelPay's customer id, or an e-mail address in any ASCII case; trimmed
-- product    BagelPay's product id; trimmed
--
-- Never returns NULL: an unknown, empty or NULL customer or product is entitled to nothing. Raises
-- invalid_parameter_value if mode is neither test nor live, or at is NULL. Reads only; waits for no writer.
--
-- In PL/pgSQL, which caches plans: planning the query takes ten times as long as running it. The look-up of an item
-- comes first, because the query takes several times as long to start. The planner settings give the plans for large
-- tables, even if plans are made while the tables are small.
CREATE FUNCTION bagelpay.is_entitled (
    customer text,
    product text,
    mode text DEFAULT 'live',
    at timestamptz DEFAULT now())
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    the_customer text COLLATE "C" := nullif(bagelpay_internal.trimmed (customer), '');
    the_email text COLLATE "C" := lower(the_customer COLLATE "C");
    -- The customer's id, or the id of a customer who is known by this e-mail alone.
    the_ids text[] COLLATE "C" := ARRAY[the_customer, 'email:' || the_email];
    the_product text COLLATE "C" := nullif(bagelpay_internal.trimmed (product), '');
BEGIN
    PERFORM bagelpay_internal.given_mode (is_entitled.mode), bagelpay_internal.given_moment (is_entitled.at);
    IF EXISTS (SELECT FROM bagelpay_internal.all_items AS i WHERE nullif(i.customer_id, '') = ANY (the_ids) AND nullif(i.product_id, '') = the_product) THEN
        IF EXISTS (
            SELECT
            FROM bagelpay.entitlements_at (is_entitled.at, is_entitled.mode) AS e
            WHERE e.customer_id = ANY (the_ids) AND e.product_id = the_product AND e.entitled) THEN
            RETURN TRUE;
        END IF;
    END IF;
    IF EXISTS (SELECT FROM bagelpay_internal.all_items AS i WHERE i.customer_email = the_email AND nullif(i.product_id, '') = the_product) THEN
        RETURN EXISTS (
            SELECT
            FROM bagelpay.entitlements_at (is_entitled.at, is_entitled.mode) AS e
            WHERE e.customer_email = the_email AND e.product_id = the_product AND e.entitled);
    END IF;
    RETURN FALSE;
END
$$;

COMMENT ON FUNCTION bagelpay.is_entitled IS 'Returns TRUE if a customer, by id or e-mail, is entitled to a product';

-- Returns whether a customer is entitled to a product, and until when the clock alone cannot change that, so that an
-- application can cache the answer.
--
-- customer, product, mode, at   as for bagelpay.is_entitled(), with the same errors
-- entitled      what is_entitled() returns
-- reason        of the entitlement that ends last, or, if there is none, of the one that began last; NULL without any
-- holds_until   is_entitled() is the same at all moments from at up to this one, by the events that are stored now; NULL
--               if no moment is known at which it changes. It may stay the same for longer.
--
-- Reads only; waits for no writer.
CREATE FUNCTION bagelpay.entitlement (
    customer text,
    product text,
    mode text DEFAULT 'live',
    at timestamptz DEFAULT now(),
    OUT entitled boolean,
    OUT reason text,
    OUT holds_until timestamptz)
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    the_customer text COLLATE "C" := nullif(bagelpay_internal.trimmed (customer), '');
    the_email text COLLATE "C" := lower(the_customer COLLATE "C");
    the_ids text[] COLLATE "C" := ARRAY[the_customer, 'email:' || the_email];
    the_product text COLLATE "C" := nullif(bagelpay_internal.trimmed (product), '');
BEGIN
    PERFORM bagelpay_internal.given_mode (entitlement.mode), bagelpay_internal.given_moment (entitlement.at);
    SELECT
        coalesce(bool_or(e.entitled), FALSE),
        (array_agg(e.reason ORDER BY e.entitled DESC, CASE WHEN e.entitled THEN coalesce(e.valid_until, 'infinity') ELSE e.valid_from END DESC NULLS LAST, e.order_id))[1],
        nullif(least(
            CASE WHEN bool_or(e.entitled) THEN max(coalesce(e.valid_until, 'infinity')) FILTER (WHERE e.entitled) ELSE min(change.next_start) END,
            min(change.next_decision)), 'infinity')
    INTO entitlement.entitled, entitlement.reason, entitlement.holds_until
    FROM (
        SELECT * FROM bagelpay.entitlements_at (entitlement.at, entitlement.mode) AS n WHERE n.customer_id = ANY (the_ids) AND n.product_id = the_product
        UNION
        SELECT * FROM bagelpay.entitlements_at (entitlement.at, entitlement.mode) AS n WHERE n.customer_email = the_email AND n.product_id = the_product
    ) AS e
    CROSS JOIN LATERAL (
        SELECT
            (SELECT min(lower(r)) FROM unnest(e.periods) AS r WHERE lower(r) > entitlement.at) AS next_start,
            -- A grant that ends may end a revocation before it, too.
            (SELECT min(m.at)
             FROM bagelpay_internal.decisions AS d
             CROSS JOIN LATERAL (VALUES (d.occurred_at), (d.granted_until)) AS m (at)
             WHERE d.order_id = e.order_id AND d.mode = e.mode AND m.at > entitlement.at) AS next_decision
    ) AS change;
END
$$;

COMMENT ON FUNCTION bagelpay.entitlement IS 'is_entitled(), the reason, and until when the clock cannot change the answer';

-- Like bagelpay.is_entitled(), for a user by the merchant's own id (see the setting user_key). Same errors and locks.
CREATE FUNCTION bagelpay.is_user_entitled (
    user_id text,
    product text,
    mode text DEFAULT 'live',
    at timestamptz DEFAULT now())
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    the_user text COLLATE "C" := nullif(bagelpay_internal.trimmed (is_user_entitled.user_id), '');
    the_product text COLLATE "C" := nullif(bagelpay_internal.trimmed (product), '');
BEGIN
    PERFORM bagelpay_internal.given_mode (is_user_entitled.mode), bagelpay_internal.given_moment (is_user_entitled.at);
    RETURN EXISTS (SELECT FROM bagelpay_internal.all_items AS i WHERE nullif(i.user_id, '') = the_user AND nullif(i.product_id, '') = the_product)
        AND EXISTS (
            SELECT
            FROM bagelpay.entitlements_at (is_user_entitled.at, is_user_entitled.mode) AS e
            WHERE e.user_id = the_user AND e.product_id = the_product AND e.entitled);
END
$$;

COMMENT ON FUNCTION bagelpay.is_user_entitled IS 'Like is_entitled(), for a user by the merchant''s own id';

COMMIT;
