-- Deploy bagelpay:entitlements to pg
--
-- Who is entitled to what. Nothing is stored: a row follows from the state, the settings
-- and the moment asked for, so that access ends on time without an event.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- A moment and a length of calendar time after it, in UTC whatever zone the session has.
CREATE FUNCTION bagelpay.utc_plus (moment timestamptz, length interval)
    RETURNS timestamptz
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT (moment AT TIME ZONE 'UTC' + length) AT TIME ZONE 'UTC'
$$;

COMMENT ON FUNCTION bagelpay.utc_plus IS 'Calendar arithmetic in UTC';

-- The length of a recurring_interval as the provider names it, NULL for other words.
CREATE FUNCTION bagelpay.interval_length (recurring_interval text)
    RETURNS interval
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE recurring_interval
        WHEN 'daily' THEN interval '1 day'
        WHEN 'weekly' THEN interval '7 days'
        WHEN 'monthly' THEN interval '1 month'
        WHEN '3months' THEN interval '3 months'
        WHEN '6months' THEN interval '6 months'
        WHEN 'yearly' THEN interval '1 year'
    END
$$;

COMMENT ON FUNCTION bagelpay.interval_length IS 'daily, weekly, monthly, 3months, 6months, yearly as an interval';

-- The orders of one mode and who is entitled by each at the moment t: by all that is
-- known now, t moves only the clock. entitled is never NULL.
--
-- A plain query, so that conditions on its rows reach the indexes of bagelpay.orders
-- (those with COLLATE "C": of the views, all do).
CREATE FUNCTION bagelpay.entitlements_at (t timestamptz, mode text DEFAULT 'live')
    RETURNS TABLE (
        order_id text,
        customer_id text,
        customer_email text,
        product_id text,
        product_name text,
        kind text,
        status text,
        entitled boolean,
        reason text,
        valid_from timestamptz,
        valid_until timestamptz,
        units integer)
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    SELECT
        o.order_id,
        o.customer_id,
        o.customer_email,
        o.product_id,
        o.product_name,
        CASE WHEN s.order_id IS NULL THEN 'one_time' ELSE 'subscription' END,
        known.status,
        coalesce(verdict.entitled, FALSE),
        verdict.reason,
        coalesce(known.began, CASE WHEN o.decision = 'grant' THEN o.granted_at END),
        CASE WHEN rule.first_fitting IN ('revoked', 'ambiguous', 'unconfirmed', 'never_began') THEN NULL
            WHEN rule.first_fitting = 'granted' THEN o.granted_until
            ELSE term.valid_until
        END,
        coalesce(s.units, 1)
    FROM bagelpay.orders AS o
    CROSS JOIN bagelpay.settings AS setting
    -- By itself for each order (OFFSET keeps it so): a plan that is made while the table is
    -- empty would otherwise read all of a mode for the question about one.
    LEFT JOIN LATERAL (
        SELECT n.order_id, n.status, n.units, n.recurring_interval, n.trial_end, n.first_trialing_at, n.last_trialing_at,
            n.cancel_at_period_end, n.ends_at
        FROM bagelpay.subscriptions AS n
        WHERE n.mode = o.mode AND n.order_id = o.order_id
        OFFSET 0
    ) AS s ON TRUE
    CROSS JOIN LATERAL (
        SELECT
            min(p.paid_at) AS first_paid_at,
            bool_or(c.counts) AS any_counts,
            bool_or(c.counts AND p.status = 'paid') AS any_paid,
            bool_or(c.counts AND p.status = 'partially_refunded') AS any_partially_refunded,
            max(CASE
                WHEN NOT c.counts THEN NULL
                WHEN p.period_end > p.paid_at THEN p.period_end
                ELSE bagelpay.utc_plus (p.paid_at,
                    coalesce(bagelpay.interval_length (s.recurring_interval), setting.default_period))
            END) AS paid_until
        FROM bagelpay.stored_payments AS p
        CROSS JOIN LATERAL (
            SELECT p.status IN ('paid', 'partially_refunded') OR (p.status = 'disputed' AND NOT setting.revoke_on_dispute)
        ) AS c (counts)
        WHERE p.mode = o.mode AND p.order_id = o.order_id
    ) AS paid
    CROSS JOIN LATERAL (
        SELECT
            coalesce(nullif(s.status, 'pending'), o.status) AS status,
            -- least() passes over NULLs. A grant begins nothing here: a lapsed one must not
            -- revive what was never paid for.
            least(paid.first_paid_at, s.first_trialing_at) AS began,
            coalesce(s.trial_end, bagelpay.utc_plus (s.last_trialing_at, setting.default_period)) AS trial_end
    ) AS known
    -- The rules from one_time downwards: which fits, and how long it reaches.
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN s.order_id IS NULL THEN CASE WHEN paid.any_counts THEN 'bought' ELSE 'not_bought' END
            WHEN s.status = 'trialing' THEN 'trialing'
            WHEN paid.first_paid_at IS NOT NULL AND paid.any_counts IS NOT TRUE THEN 'taken_back'
            WHEN s.status = 'canceled' AND (s.cancel_at_period_end OR setting.on_cancel = 'keep_paid_time') THEN 'canceled_later'
            WHEN s.status = 'canceled' THEN 'canceled_now'
            WHEN s.status = 'past_due' AND paid.first_paid_at IS NULL THEN 'trial_unpaid'
            WHEN s.status IN ('active', 'past_due') THEN 'paid_time'
            ELSE 'other'
        END
    ) AS later (rule)
    CROSS JOIN LATERAL (
        SELECT CASE later.rule
            WHEN 'trialing' THEN bagelpay.utc_plus (greatest(known.trial_end, paid.paid_until), setting.grace)
            WHEN 'canceled_later' THEN coalesce(paid.paid_until, s.trial_end, s.ends_at)
            WHEN 'canceled_now' THEN s.ends_at
            WHEN 'trial_unpaid' THEN bagelpay.utc_plus (known.trial_end, setting.grace)
            WHEN 'paid_time' THEN bagelpay.utc_plus (paid.paid_until, setting.grace)
        END
    ) AS term (valid_until)
    -- Evaluated once for each order (OFFSET again), and not once for each mention of it.
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN o.decision = 'revoke' THEN 'revoked'
            WHEN o.decision = 'grant' AND (o.granted_until IS NULL OR t < o.granted_until) THEN 'granted'
            WHEN o.conflict THEN 'ambiguous'
            WHEN setting.require_expected_order AND NOT bagelpay.matches_expectation (o.mode, o.order_id) THEN 'unconfirmed'
            WHEN known.began IS NULL THEN 'never_began'
            WHEN t < known.began THEN 'not_yet'
            ELSE later.rule
        END
        OFFSET 0
    ) AS rule (first_fitting)
    CROSS JOIN LATERAL (
        SELECT
            CASE
                WHEN rule.first_fitting IN ('granted', 'bought') THEN TRUE
                WHEN rule.first_fitting IN ('trialing', 'canceled_later', 'canceled_now', 'trial_unpaid', 'paid_time')
                    THEN t < term.valid_until
                ELSE FALSE
            END AS entitled,
            CASE rule.first_fitting
                WHEN 'bought' THEN CASE
                    WHEN paid.any_paid THEN 'paid'
                    WHEN paid.any_partially_refunded THEN 'partially_refunded'
                    ELSE 'disputed' END
                WHEN 'not_bought' THEN o.status
                WHEN 'taken_back' THEN o.status
                WHEN 'trialing' THEN CASE WHEN t < term.valid_until THEN 'trialing' ELSE 'expired' END
                WHEN 'canceled_later' THEN CASE WHEN t < term.valid_until THEN 'canceling' ELSE 'canceled' END
                WHEN 'canceled_now' THEN CASE WHEN t < term.valid_until THEN 'canceling' ELSE 'canceled' END
                WHEN 'trial_unpaid' THEN CASE WHEN t < term.valid_until THEN 'past_due' ELSE 'expired' END
                WHEN 'paid_time' THEN CASE WHEN t < term.valid_until THEN s.status ELSE 'expired' END
                WHEN 'never_began' THEN known.status
                WHEN 'other' THEN known.status
                ELSE rule.first_fitting
            END AS reason
    ) AS verdict
    WHERE o.mode = entitlements_at.mode COLLATE "C"
$$;

COMMENT ON FUNCTION bagelpay.entitlements_at IS 'Who is entitled to what at a moment, by all that is known now';

-- A function's columns lose the collation of the tables', and a condition on them the
-- tables' indexes; here they get it back.
CREATE VIEW bagelpay.entitlements AS
SELECT e.order_id COLLATE "C" AS order_id, e.customer_id COLLATE "C" AS customer_id,
    e.customer_email COLLATE "C" AS customer_email, e.product_id COLLATE "C" AS product_id, e.product_name, e.kind, e.status,
    e.entitled, e.reason, e.valid_from, e.valid_until, e.units
FROM bagelpay.entitlements_at (now(), 'live') AS e;

COMMENT ON VIEW bagelpay.entitlements IS 'Who is entitled to what now, by live purchases';

CREATE VIEW bagelpay.entitlements_test AS
SELECT e.order_id COLLATE "C" AS order_id, e.customer_id COLLATE "C" AS customer_id,
    e.customer_email COLLATE "C" AS customer_email, e.product_id COLLATE "C" AS product_id, e.product_name, e.kind, e.status,
    e.entitled, e.reason, e.valid_from, e.valid_until, e.units
FROM bagelpay.entitlements_at (now(), 'test') AS e;

COMMENT ON VIEW bagelpay.entitlements_test IS 'Who would be entitled to what now, by test purchases';

-- Whether a customer, by id or by e-mail in any case, is entitled to a product. Never
-- NULL; what is not known is not entitled.
--
-- In PL/pgSQL, which plans it once a session: to plan the query takes ten times as long as
-- to run it. To begin it takes several times as long as to see that the customer has no such
-- order, so that this comes first, in a statement of its own. The plans have to be those for
-- large tables, even if they are made while they are small.
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
BEGIN
    IF EXISTS (
        SELECT
        FROM bagelpay.orders AS o
        WHERE o.customer_id = customer COLLATE "C" AND o.product_id = product COLLATE "C") THEN
        IF EXISTS (
            SELECT
            FROM bagelpay.entitlements_at (is_entitled.at, is_entitled.mode) AS e
            WHERE e.customer_id = customer COLLATE "C" AND e.product_id = product COLLATE "C" AND e.entitled) THEN
            RETURN TRUE;
        END IF;
    END IF;
    IF EXISTS (
        SELECT
        FROM bagelpay.orders AS o
        WHERE o.customer_email = lower(customer COLLATE "C") AND o.product_id = product COLLATE "C") THEN
        RETURN EXISTS (
            SELECT
            FROM bagelpay.entitlements_at (is_entitled.at, is_entitled.mode) AS e
            WHERE e.customer_email = lower(customer COLLATE "C") AND e.product_id = product COLLATE "C" AND e.entitled);
    END IF;
    RETURN FALSE;
END
$$;

COMMENT ON FUNCTION bagelpay.is_entitled IS 'Whether a customer, by id or e-mail, is entitled to a product';

COMMIT;
