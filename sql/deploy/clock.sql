-- Deploy bagelpay:clock to pg
--
-- What the clock alone does to entitlements: windows that begin and end, and decisions that take effect and end. They
-- are not stored, because they depend on settings. The indexes lead to the purchases whose bounds may be in a span.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

CREATE INDEX purchases_by_start ON bagelpay_internal.purchases (began_at)
WHERE began_at IS NOT NULL;

CREATE INDEX purchases_by_period_end ON bagelpay_internal.purchases (period_end)
WHERE period_end > began_at AND kind = 'subscription' AND NOT is_trial;

-- A trial whose end is earlier than its start ends at its start; grace comes after that.
CREATE INDEX purchases_by_trial_end ON bagelpay_internal.purchases (greatest(began_at, trial_end))
WHERE is_trial AND trial_end IS NOT NULL;

-- Those whose end follows from a length.
CREATE INDEX purchases_by_length ON bagelpay_internal.purchases (recurring_interval, began_at)
WHERE kind = 'subscription' AND (CASE WHEN is_trial THEN trial_end IS NULL ELSE (period_end > began_at) IS NOT TRUE END);

CREATE INDEX purchases_by_replacement ON bagelpay_internal.purchases (replaced_at)
WHERE replaced_at IS NOT NULL;

CREATE INDEX purchases_by_cut ON bagelpay_internal.purchases (cut_at)
WHERE cut_at IS NOT NULL;

CREATE INDEX purchases_by_cut_end ON bagelpay_internal.purchases (cut_until)
WHERE cut_until IS NOT NULL;

CREATE INDEX decisions_by_time ON bagelpay_internal.decisions (occurred_at);

CREATE INDEX decisions_by_end ON bagelpay_internal.decisions (granted_until)
WHERE granted_until IS NOT NULL;

-- Returns the earliest, or the latest, moment from which a calendar length may lead to a moment (see
-- bagelpay.utc_plus()). Months lead from several days to the last ones of a month, so there it may be days off.
CREATE FUNCTION bagelpay_internal.utc_minus (moment timestamptz, length interval, latest boolean)
    RETURNS timestamptz
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT (moment AT TIME ZONE 'UTC' - length) AT TIME ZONE 'UTC'
        + CASE
            WHEN extract(year FROM length) = 0 AND extract(month FROM length) = 0 THEN interval '0'
            WHEN extract(day FROM moment AT TIME ZONE 'UTC') < 28 THEN interval '0'
            WHEN latest THEN interval '4 days'
            ELSE interval '-4 days'
        END
$$;

COMMENT ON FUNCTION bagelpay_internal.utc_minus IS 'A bound of the moments from which a calendar length leads to a moment';

-- Returns lengths that are equal by comparison: 30 days and 1 month.
CREATE FUNCTION bagelpay_internal.equal_lengths (length interval)
    RETURNS SETOF interval
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT make_interval(days => n.days)
    FROM (SELECT 360 * extract(year FROM length)::integer + 30 * extract(month FROM length)::integer + extract(day FROM length)::integer) AS n (days)
    UNION ALL
    SELECT make_interval(months => n.days / 30)
    FROM (SELECT 360 * extract(year FROM length)::integer + 30 * extract(month FROM length)::integer + extract(day FROM length)::integer) AS n (days)
    WHERE n.days % 30 = 0
$$;

COMMENT ON FUNCTION bagelpay_internal.equal_lengths IS 'Lengths in days and in months that are equal by comparison';

-- Returns the moments after one moment, up to another, at which the entitlement of an item may change; each item and
-- moment once. It leaves out the bounds of windows that another window of the item covers, as those of most renewals.
--
-- Reads only; waits for no writer. A plain query, which is inlined. OFFSET keeps look-ups what they are.
CREATE FUNCTION bagelpay_internal.clock_moments (after timestamptz, until timestamptz, mode text)
    RETURNS TABLE (order_id text, product_id text, customer_id text, user_id text, at timestamptz)
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    WITH RECURSIVE lengths AS (
        (SELECT q.recurring_interval AS length
         FROM bagelpay_internal.purchases AS q
         WHERE q.kind = 'subscription' AND (CASE WHEN q.is_trial THEN q.trial_end IS NULL ELSE (q.period_end > q.began_at) IS NOT TRUE END)
            AND q.recurring_interval IS NOT NULL
         ORDER BY q.recurring_interval
         LIMIT 1)
        UNION ALL
        SELECT (
            SELECT q.recurring_interval
            FROM bagelpay_internal.purchases AS q
            WHERE q.kind = 'subscription' AND (CASE WHEN q.is_trial THEN q.trial_end IS NULL ELSE (q.period_end > q.began_at) IS NOT TRUE END)
                AND q.recurring_interval > l.length
            ORDER BY q.recurring_interval
            LIMIT 1)
        FROM lengths AS l
        WHERE l.length IS NOT NULL
    )
    SELECT DISTINCT (c.p).order_id::text, coalesce((c.p).product_id, ''), coalesce((c.p).customer_id, ''), coalesce((c.p).user_id, ''), m.at
    FROM bagelpay.settings AS setting
    -- Ends with grace, and those of purchases that a cancellation cut, without.
    CROSS JOIN LATERAL (
        VALUES (bagelpay_internal.utc_minus (clock_moments.after, setting.grace, FALSE), bagelpay_internal.utc_minus (clock_moments.until, setting.grace, TRUE), FALSE),
            (clock_moments.after, clock_moments.until, TRUE)
    ) AS span (after, until, is_cut)
    CROSS JOIN LATERAL (
        SELECT p
        FROM bagelpay_internal.purchases AS p
        WHERE p.period_end > span.after AND p.period_end <= span.until
            AND p.period_end > p.began_at AND p.kind = 'subscription' AND NOT p.is_trial AND (NOT span.is_cut OR p.cut_at IS NOT NULL)
        UNION ALL
        SELECT p
        FROM bagelpay_internal.purchases AS p
        WHERE greatest(p.began_at, p.trial_end) > span.after AND greatest(p.began_at, p.trial_end) <= span.until
            AND p.is_trial AND p.trial_end IS NOT NULL AND (NOT span.is_cut OR p.cut_at IS NOT NULL)
        UNION ALL
        SELECT p
        FROM bagelpay_internal.purchases AS p
        WHERE p.replaced_at > span.after AND p.replaced_at <= span.until
            AND p.replaced_at IS NOT NULL AND (NOT span.is_cut OR p.cut_at IS NOT NULL)
        UNION ALL
        SELECT t.p
        FROM lengths AS l
        CROSS JOIN LATERAL (
            -- Not UNION: 30 days and a month are equal by comparison.
            SELECT n.length FROM bagelpay_internal.equal_lengths (l.length) AS n (length)
            -- Payments of 0, and trials.
            UNION ALL
            SELECT setting.default_period) AS n (length)
        CROSS JOIN LATERAL (
            SELECT p
            FROM bagelpay_internal.purchases AS p
            WHERE p.recurring_interval = l.length
                AND p.began_at > bagelpay_internal.utc_minus (span.after, n.length, FALSE) AND p.began_at <= bagelpay_internal.utc_minus (span.until, n.length, TRUE)
                AND p.kind = 'subscription' AND (CASE WHEN p.is_trial THEN p.trial_end IS NULL ELSE (p.period_end > p.began_at) IS NOT TRUE END)
                AND (NOT span.is_cut OR p.cut_at IS NOT NULL)
            OFFSET 0) AS t
        WHERE l.length IS NOT NULL
        UNION ALL
        SELECT t.p
        FROM (
            SELECT DISTINCT ON (interval_send(x.period)) x.period FROM bagelpay.products AS x WHERE x.period IS NOT NULL
            UNION ALL
            SELECT setting.default_period) AS n (length)
        CROSS JOIN LATERAL (
            SELECT p
            FROM bagelpay_internal.purchases AS p
            WHERE p.recurring_interval IS NULL
                AND p.began_at > bagelpay_internal.utc_minus (span.after, n.length, FALSE) AND p.began_at <= bagelpay_internal.utc_minus (span.until, n.length, TRUE)
                AND p.kind = 'subscription' AND (CASE WHEN p.is_trial THEN p.trial_end IS NULL ELSE (p.period_end > p.began_at) IS NOT TRUE END)
                AND (NOT span.is_cut OR p.cut_at IS NOT NULL)
            OFFSET 0) AS t
        UNION ALL
        SELECT p
        FROM bagelpay_internal.purchases AS p
        WHERE span.is_cut AND p.cut_until > span.after AND p.cut_until <= span.until AND p.cut_until IS NOT NULL
        UNION ALL
        SELECT p
        FROM bagelpay_internal.purchases AS p
        WHERE span.is_cut AND p.cut_at > span.after AND p.cut_at <= span.until AND p.cut_at IS NOT NULL
        UNION ALL
        SELECT p
        FROM bagelpay_internal.purchases AS p
        WHERE span.is_cut AND p.began_at > span.after AND p.began_at <= span.until AND p.began_at IS NOT NULL
    ) AS c (p)
    LEFT JOIN LATERAL (
        SELECT n.period FROM bagelpay.products AS n WHERE (c.p).recurring_interval IS NULL AND n.product_id = (c.p).product_id OFFSET 0
    ) AS product ON TRUE
    LEFT JOIN LATERAL (
        SELECT n.status::text
        FROM bagelpay_internal.purchases AS n
        WHERE n.order_id = (c.p).order_id AND n.mode = (c.p).mode AND n.name = (c.p).buyer AND NOT n.is_trial
        OFFSET 0) AS buyer ON TRUE
    CROSS JOIN LATERAL bagelpay_internal.purchase_window (c.p, setting, product.period, buyer.status) AS w
    CROSS JOIN LATERAL (VALUES (w.starts_at), (w.ends_at)) AS m (at)
    WHERE (c.p).mode = clock_moments.mode COLLATE "C" AND m.at > clock_moments.after AND m.at <= clock_moments.until
        -- The purchases that began last before the moment.
        AND NOT EXISTS (
            SELECT
            FROM (
                SELECT q
                FROM bagelpay_internal.purchases AS q
                WHERE q.item_key = (c.p).item_key AND q.began_slot <= bagelpay_internal.fold_slot (m.at, 'subscription.canceled')
                ORDER BY q.began_slot DESC
                LIMIT 3) AS n
            LEFT JOIN LATERAL (
                SELECT x.period FROM bagelpay.products AS x WHERE (n.q).recurring_interval IS NULL AND x.product_id = (n.q).product_id OFFSET 0
            ) AS its_product ON TRUE
            LEFT JOIN LATERAL (
                SELECT x.status::text
                FROM bagelpay_internal.purchases AS x
                WHERE x.order_id = (n.q).order_id AND x.mode = (n.q).mode AND x.name = (n.q).buyer AND NOT x.is_trial
                OFFSET 0) AS its_buyer ON TRUE
            CROSS JOIN LATERAL bagelpay_internal.purchase_window (n.q, setting, its_product.period, its_buyer.status) AS v
            WHERE (n.q).order_id = (c.p).order_id AND (n.q).mode = (c.p).mode AND (n.q).product_id IS NOT DISTINCT FROM (c.p).product_id
                AND (n.q).customer_id IS NOT DISTINCT FROM (c.p).customer_id AND (n.q).user_id IS NOT DISTINCT FROM (c.p).user_id
                AND v.starts_at < m.at AND (v.ends_at IS NULL OR v.ends_at > m.at))
    UNION
    SELECT d.order_id::text, i.product_id, i.customer_id, i.user_id, d.at
    FROM (
        SELECT n.mode, n.order_id, n.product_id, n.customer_id, n.occurred_at AS at
        FROM bagelpay_internal.decisions AS n
        WHERE n.occurred_at > clock_moments.after AND n.occurred_at <= clock_moments.until
        UNION
        SELECT n.mode, n.order_id, n.product_id, n.customer_id, n.granted_until
        FROM bagelpay_internal.decisions AS n
        WHERE n.granted_until > clock_moments.after AND n.granted_until <= clock_moments.until AND n.granted_until IS NOT NULL) AS d
    CROSS JOIN LATERAL (
        SELECT n.product_id, n.customer_id, n.user_id
        FROM bagelpay_internal.all_items AS n
        WHERE n.order_id = d.order_id AND n.mode = d.mode
            AND (d.product_id IS NULL OR n.product_id = d.product_id) AND (d.customer_id IS NULL OR n.customer_id = d.customer_id)
        OFFSET 0) AS i
    WHERE d.mode = clock_moments.mode COLLATE "C"
$$;

COMMENT ON FUNCTION bagelpay_internal.clock_moments IS 'The moments of a span at which the entitlement of an item may change';

CREATE TYPE bagelpay.entitlement_change AS (
    at timestamptz,
    mode text COLLATE "C",
    order_id text COLLATE "C",
    product_id text COLLATE "C",
    customer_id text COLLATE "C",
    customer_email text COLLATE "C",
    user_id text COLLATE "C",
    entitled boolean,
    reason text
);

COMMENT ON TYPE bagelpay.entitlement_change IS 'An item that gains or loses access';

-- Returns which items gain or lose access after one moment, up to another, by the clock alone: by all that is known now,
-- in the sequence of the moments. entitled and reason are those from that moment on. The entitlements at "to" are those
-- at "from" with these changes, so that spans which follow each other leave nothing out.
--
-- Raises invalid_parameter_value if a moment is NULL or infinite, "from" is later than "to", or mode is neither test nor
-- live. Reads only; waits for no writer. Costs time that is linear in the windows that begin or end in the span.
CREATE FUNCTION bagelpay.entitlement_changes ("from" timestamptz, "to" timestamptz, mode text DEFAULT 'live')
    RETURNS SETOF bagelpay.entitlement_change
    LANGUAGE plpgsql
    STABLE
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    after CONSTANT timestamptz := bagelpay_internal.given_moment ($1, 'from');
    until CONSTANT timestamptz := bagelpay_internal.given_moment ($2, 'to');
    of_mode CONSTANT text := bagelpay_internal.given_mode ($3);
BEGIN
    IF NOT (isfinite(after) AND isfinite(until)) OR after > until THEN
        RAISE EXCEPTION 'from: must be a finite moment and not later than to: % and %', after, until
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY
    SELECT c.at, of_mode COLLATE "C", e.order_id, e.product_id, e.customer_id, e.customer_email, e.user_id, e.entitled, e.reason
    FROM bagelpay_internal.clock_moments (after, until, of_mode) AS c
    CROSS JOIN LATERAL (
        SELECT n.*
        FROM bagelpay.entitlements_at (c.at, of_mode) AS n
        WHERE c.customer_id <> '' AND n.order_id = c.order_id COLLATE "C" AND n.customer_id = c.customer_id COLLATE "C"
            AND coalesce(n.product_id, '') = c.product_id AND coalesce(n.user_id, '') = c.user_id
        UNION ALL
        SELECT n.*
        FROM bagelpay.entitlements_at (c.at, of_mode) AS n
        WHERE c.customer_id = '' AND n.order_id = c.order_id COLLATE "C" AND n.customer_id IS NULL AND n.kind IS NOT NULL
            AND coalesce(n.product_id, '') = c.product_id AND coalesce(n.user_id, '') = c.user_id
        OFFSET 0) AS e
    CROSS JOIN LATERAL (
        SELECT CASE
            -- Without decisions, the periods tell.
            WHEN NOT o.has_decisions THEN e.reason <> 'unconfirmed' AND e.periods @> (c.at - interval '1 microsecond')
            ELSE (
                SELECT n.entitled
                FROM bagelpay.entitlements_at (c.at - interval '1 microsecond', of_mode) AS n
                WHERE n.order_id = c.order_id COLLATE "C" AND coalesce(n.customer_id, '') = c.customer_id
                    AND coalesce(n.product_id, '') = c.product_id AND coalesce(n.user_id, '') = c.user_id
                    AND n.kind IS NOT NULL)
            END
        FROM bagelpay.orders AS o
        WHERE o.order_id = c.order_id COLLATE "C" AND o.mode = of_mode COLLATE "C"
        OFFSET 0) AS before (entitled)
    WHERE e.entitled IS DISTINCT FROM coalesce(before.entitled, FALSE)
    ORDER BY c.at, e.order_id, e.product_id, e.customer_id, e.user_id;
END
$$;

COMMENT ON FUNCTION bagelpay.entitlement_changes IS 'The items that gain or lose access between two moments, by the clock alone';

COMMIT;
