-- Deploy bagelpay:console_orders to pg
--
-- What the console shows of orders, and of who is entitled by them. As in its other views the work is bounded, but
-- for an order's payments, all of which make its verdict.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- The parts of entitlements_at()'s verdict that are told one by one: whether a payment counts, until
-- when it pays, and until when a trial lasts.
CREATE FUNCTION bagelpay.console_counts (p bagelpay.stored_payments, setting bagelpay.settings)
    RETURNS boolean
    LANGUAGE sql
    IMMUTABLE
    AS $$
    SELECT (p).status IN ('paid', 'partially_refunded') OR ((p).status = 'disputed' AND NOT (setting).revoke_on_dispute)
$$;

CREATE FUNCTION bagelpay.console_paid_until (p bagelpay.stored_payments, s bagelpay.subscriptions, setting bagelpay.settings)
    RETURNS timestamptz
    LANGUAGE sql
    IMMUTABLE
    AS $$
    SELECT CASE
        WHEN (p).paid_at IS NULL THEN NULL
        WHEN (p).period_end > (p).paid_at THEN (p).period_end
        ELSE bagelpay.utc_plus ((p).paid_at, coalesce(bagelpay.interval_length ((s).recurring_interval), (setting).default_period))
    END
$$;

CREATE FUNCTION bagelpay.console_trial_until (s bagelpay.subscriptions, setting bagelpay.settings)
    RETURNS timestamptz
    LANGUAGE sql
    IMMUTABLE
    AS $$
    SELECT coalesce((s).trial_end, bagelpay.utc_plus ((s).last_trialing_at, (setting).default_period))
$$;

-- Who is entitled by an order now, as entitlements_at() has it, and what its reason can be told with:
--
-- decision, granted_at, granted_until   the operator's; revoked_at: when it was revoked
-- paid_until, trial_until               until when what was paid for lasts, and the trial, both without grace
-- ends_at                               when a canceled subscription ends by its cancelation
-- paid_at                               when it was first paid for
-- taken_back_at                         when the payment that the reason is about was refunded or disputed
-- mismatches                            in what it differs from what was expected, where that is required
--
-- NULL where there is no such order.
CREATE FUNCTION bagelpay.console_verdict (mode text, order_id text)
    RETURNS jsonb
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT to_jsonb(e) || jsonb_build_object(
            'mode', o.mode, 'updated_at', o.updated_at,
            'decision', o.decision, 'granted_at', o.granted_at, 'granted_until', o.granted_until,
            'revoked_at', CASE WHEN e.reason = 'revoked' THEN (
                SELECT d.occurred_at
                FROM bagelpay.events AS d
                WHERE d.mode = $1 COLLATE "C" AND d.order_id = $2 COLLATE "C" AND d.rank = 8
                ORDER BY d.occurred_at DESC, d.rank DESC, d.event_id DESC
                LIMIT 1) END,
            'paid_at', paid.first_at,
            'paid_until', paid.paid_until,
            'trial_until', bagelpay.console_trial_until (s, setting),
            'ends_at', CASE WHEN s.status = 'canceled' THEN s.ends_at END,
            'taken_back_at', CASE
                WHEN latest.payment_id IS NULL THEN NULL
                WHEN e.reason = 'refunded' THEN (
                    -- Of several the one that made it whole: one that says so, else the last.
                    SELECT coalesce(min(r.occurred_at) FILTER (WHERE r.label = 'full'), max(r.occurred_at))
                    FROM bagelpay.refunds AS r
                    WHERE r.mode = $1 COLLATE "C" AND r.order_id = $2 COLLATE "C" AND r.payment_id = latest.payment_id)
                ELSE (
                    SELECT min(c.occurred_at)
                    FROM bagelpay.events AS c
                    WHERE c.mode = $1 COLLATE "C" AND c.order_id = $2 COLLATE "C" AND c.rank = 2 AND c.occurred_at > latest.paid_at
                        AND (c.payment_id = latest.payment_id
                            OR (c.payment_id IS NULL AND c.provider_order_id = latest.provider_order_id)))
            END,
            'mismatches', CASE WHEN setting.require_expected_order THEN (
                SELECT to_jsonb(c.mismatches) FROM bagelpay.order_checks AS c WHERE c.mode = $1 COLLATE "C" AND c.order_id = $2 COLLATE "C") END)
        FROM bagelpay.orders AS o
        CROSS JOIN bagelpay.settings AS setting
        CROSS JOIN LATERAL (
            SELECT * FROM bagelpay.entitlements_at (now(), $1) AS n WHERE n.order_id = $2 COLLATE "C" OFFSET 0) AS e
        LEFT JOIN bagelpay.subscriptions AS s ON s.mode = o.mode AND s.order_id = o.order_id
        CROSS JOIN LATERAL (
            SELECT min(p.paid_at) AS first_at,
                max(bagelpay.console_paid_until (p, s, setting)) FILTER (
                    WHERE s.order_id IS NOT NULL AND bagelpay.console_counts (p, setting)) AS paid_until
            FROM bagelpay.stored_payments AS p
            WHERE p.mode = $1 COLLATE "C" AND p.order_id = $2 COLLATE "C") AS paid
        LEFT JOIN LATERAL (
            SELECT p.payment_id, p.provider_order_id, p.paid_at
            FROM bagelpay.stored_payments AS p
            WHERE NOT e.entitled AND e.reason IN ('refunded', 'disputed')
                AND p.mode = $1 COLLATE "C" AND p.order_id = $2 COLLATE "C" AND p.paid_at IS NOT NULL
            ORDER BY p.paid_at DESC, p.payment_id DESC
            LIMIT 1) AS latest ON TRUE
        WHERE o.mode = $1 COLLATE "C" AND o.order_id = $2 COLLATE "C");
END
$$;

COMMENT ON FUNCTION bagelpay.console_verdict IS 'Who is entitled by an order now, and what its reason can be told with';

-- When an order entitles, by all that is known now: from, to (NULL: without end), entitled, reason,
-- without gaps from the order's beginning on.
CREATE FUNCTION bagelpay.console_spans (mode text, order_id text)
    RETURNS TABLE (from_at timestamptz, to_at timestamptz, entitled boolean, reason text)
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH known AS (
        SELECT o.granted_until, v.valid_from, v.valid_until, after.valid_until AS later_until
        FROM bagelpay.orders AS o
        LEFT JOIN LATERAL (
            SELECT * FROM bagelpay.entitlements_at (now(), $1) AS e WHERE e.order_id = $2 COLLATE "C") AS v ON TRUE
        -- What holds when a grant has run out.
        LEFT JOIN LATERAL (
            SELECT * FROM bagelpay.entitlements_at (o.granted_until, $1) AS e
            WHERE o.granted_until IS NOT NULL AND e.order_id = $2 COLLATE "C") AS after ON TRUE
        WHERE o.mode = $1 COLLATE "C" AND o.order_id = $2 COLLATE "C"
    ),
    -- The verdict can change at these moments only.
    moments AS (
        SELECT DISTINCT moment
        FROM known
        CROSS JOIN LATERAL unnest(ARRAY[granted_until, valid_from, valid_until, later_until]) AS moment
        WHERE moment IS NOT NULL
    )
    SELECT m.moment, lead(m.moment) OVER (ORDER BY m.moment), v.entitled, v.reason
    FROM moments AS m
    CROSS JOIN LATERAL (
        SELECT * FROM bagelpay.entitlements_at (m.moment, $1) AS e WHERE e.order_id = $2 COLLATE "C") AS v
    ORDER BY m.moment;
END
$$;

COMMENT ON FUNCTION bagelpay.console_spans IS 'When an order entitles, by all that is known now';

-- One order: its rows (of payments and refunds the last 500), who is entitled by it and when, what each payment
-- bought, and its events as explain() tells them. Of a large order the last 200 events come without
-- what each changed, and of the times when it entitles only the one by its last state. NULL where there is no such order.
CREATE FUNCTION bagelpay.console_order (mode text, order_id text)
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
    most CONSTANT integer := 500;
    large boolean := bagelpay.console_is_large (mode, order_id);
    verdict jsonb := bagelpay.console_verdict (mode, order_id);
    events json;
    spans json;
BEGIN
    IF large THEN
        SELECT json_agg(e ORDER BY e.occurred_at, e.rank, e.event_id) INTO events
        FROM (
            SELECT n.event_id, n.event_type, n.occurred_at, n.received_at, n.rank,
                concat_ws('; ', nullif(array_to_string(n.warnings, '; '), ''), n.note) AS note
            FROM bagelpay.events AS n
            WHERE n.mode = $1 COLLATE "C" AND n.order_id = $2 COLLATE "C"
            ORDER BY n.occurred_at DESC, n.rank DESC, n.event_id DESC
            LIMIT 200) AS e;
        IF verdict ->> 'valid_from' IS NOT NULL AND ((verdict ->> 'entitled')::boolean OR verdict ->> 'valid_until' IS NOT NULL) THEN
            spans := json_build_array(json_build_object('from_at', verdict -> 'valid_from', 'to_at', verdict -> 'valid_until',
                'entitled', TRUE));
        END IF;
    ELSE
        SELECT json_agg(x ORDER BY x.position) INTO events FROM bagelpay.explain ($2, $1) AS x;
        SELECT json_agg(x) INTO spans FROM bagelpay.console_spans ($1, $2) AS x;
    END IF;
    RETURN (
        SELECT json_build_object(
            'now', now(),
            'order', to_jsonb(o) || jsonb_build_object('amount', o.amount::text, 'tax_amount', o.tax_amount::text,
                'metadata', o.metadata::text),
            'entitlement', verdict,
            'spans', coalesce(spans, '[]'),
            'subscription', to_jsonb(s) || jsonb_build_object('billing_amount', s.billing_amount::text),
            'trial', (
                SELECT json_build_object('from_at', t.from_at, 'to_at', t.to_at)
                FROM (
                    SELECT coalesce(s.trial_start, s.first_trialing_at) AS from_at,
                        bagelpay.console_trial_until (s, setting) AS to_at) AS t
                WHERE t.from_at < t.to_at),
            'payments', (
                SELECT coalesce(json_agg(to_jsonb(p) || jsonb_build_object(
                    'amount', p.amount::text, 'tax_amount', p.tax_amount::text, 'refunded_amount', p.refunded_amount::text,
                    'refund_running_total', p.refund_running_total::text, 'refund_sum', p.refund_sum::text,
                    -- What one purchase bought has no end.
                    'paid_until', CASE WHEN s.order_id IS NOT NULL THEN bagelpay.console_paid_until (p, s, setting) END,
                    'counts', bagelpay.console_counts (p, setting))
                    ORDER BY p.paid_at, p.payment_id), '[]')
                FROM (
                    SELECT *
                    FROM bagelpay.stored_payments AS n
                    WHERE n.mode = $1 COLLATE "C" AND n.order_id = $2 COLLATE "C"
                    ORDER BY n.paid_at DESC, n.payment_id DESC
                    LIMIT most) AS p),
            'refunds', (
                SELECT coalesce(json_agg(to_jsonb(r) || jsonb_build_object('amount', r.amount::text) ORDER BY r.occurred_at, r.event_id), '[]')
                FROM (
                    SELECT *
                    FROM bagelpay.refunds AS n
                    WHERE n.mode = $1 COLLATE "C" AND n.order_id = $2 COLLATE "C"
                    ORDER BY n.occurred_at DESC, n.event_id DESC
                    LIMIT most) AS r),
            'expected', (SELECT to_json(c) FROM bagelpay.order_checks AS c WHERE c.mode = $1 COLLATE "C" AND c.order_id = $2 COLLATE "C"),
            'settings', (SELECT to_jsonb(setting) - 'singleton'),
            'large', large,
            'most', most,
            'events', coalesce(events, '[]'))
        FROM bagelpay.orders AS o
        CROSS JOIN bagelpay.settings AS setting
        LEFT JOIN bagelpay.subscriptions AS s ON s.mode = o.mode AND s.order_id = o.order_id
        WHERE o.mode = $1 COLLATE "C" AND o.order_id = $2 COLLATE "C");
END
$$;

COMMENT ON FUNCTION bagelpay.console_order IS 'One order with all that is known of it, as JSON for the console';

-- The orders that a text names: their own id (or the provider's, where they are named by it), an event's,
-- a customer's id or e-mail (in any case), or the beginning of one of the ids of orders and customers or of
-- the e-mail. Each with who is entitled by it now: those by which somebody is before the others, live
-- before test ones, exact ones before those that only begin so, then those that changed last; 20 at a
-- time, from the given number on.
--
-- exact, live, entitled   how many have exactly this name; how many of those are live; by how many of these
--                         somebody is entitled
-- cut                     those numbers are at least that: not all have been looked at, only 500, of which those that can
--                         entitle at all come first
-- more                    there are others behind these
CREATE FUNCTION bagelpay.console_search (wanted text, skip integer DEFAULT NULL)
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
    needle text COLLATE "C" := bagelpay.trimmed (wanted);
    email text COLLATE "C" := lower(needle);
    -- Behind everything that begins so.
    needle_end text COLLATE "C" := needle || chr(1114111);
    email_end text COLLATE "C" := email || chr(1114111);
    skipped integer := greatest(skip, 0);
    answer json;
BEGIN
    IF coalesce(needle, '') = '' THEN
        RAISE EXCEPTION 'q: nothing to look for' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WITH found AS MATERIALIZED (
        SELECT DISTINCT ON (f.mode, f.order_id) f.mode, f.order_id, f.by_what, f.distance > 4 AS vague
        FROM (
            (SELECT o.mode, o.order_id, 'order' AS by_what, 1 AS distance
             FROM bagelpay.orders AS o WHERE o.order_id IN (needle, 'order:' || needle, 'payment:' || needle))
            UNION ALL
            (SELECT e.mode, e.order_id, 'event', 2
             FROM bagelpay.events AS e WHERE e.event_id = needle AND e.order_id IS NOT NULL)
            UNION ALL
            (SELECT o.mode, o.order_id, 'customer', 3
             FROM bagelpay.orders AS o WHERE o.customer_id = needle LIMIT most_found)
            UNION ALL
            (SELECT o.mode, o.order_id, 'e-mail', 4
             FROM bagelpay.orders AS o WHERE o.customer_email = email LIMIT most_found)
            UNION ALL
            (SELECT o.mode, o.order_id, 'beginning of order', 5
             FROM bagelpay.orders AS o WHERE o.order_id > needle AND o.order_id < needle_end ORDER BY o.order_id LIMIT most)
            UNION ALL
            (SELECT o.mode, o.order_id, 'beginning of customer', 6
             FROM bagelpay.orders AS o WHERE o.customer_id > needle AND o.customer_id < needle_end ORDER BY o.customer_id LIMIT most)
            UNION ALL
            (SELECT o.mode, o.order_id, 'beginning of e-mail', 7
             FROM bagelpay.orders AS o WHERE o.customer_email > email AND o.customer_email < email_end ORDER BY o.customer_email LIMIT most)
        ) AS f
        ORDER BY f.mode, f.order_id, f.distance
    ),
    judged AS MATERIALIZED (
        SELECT f.mode, f.order_id, f.by_what, f.vague, f.updated_at, e.entitled
        FROM (
            SELECT n.*, o.updated_at
            FROM found AS n
            JOIN bagelpay.orders AS o ON o.mode = n.mode AND o.order_id = n.order_id
            -- With such a status nothing was ever paid or tried.
            ORDER BY n.vague, o.status IN ('pending', 'failed', 'canceled') AND o.decision IS DISTINCT FROM 'grant', n.mode = 'test',
                o.updated_at DESC NULLS LAST, o.order_id
            LIMIT most_judged) AS f
        CROSS JOIN LATERAL (
            SELECT n.entitled FROM bagelpay.entitlements_at (now(), f.mode) AS n WHERE n.order_id = f.order_id COLLATE "C" OFFSET 0) AS e
    ),
    listed AS (
        SELECT row_number() OVER (ORDER BY j.vague, j.mode = 'test', NOT j.entitled, j.updated_at DESC NULLS LAST, j.order_id) AS place, j.*
        FROM judged AS j
        ORDER BY place
        LIMIT most
        OFFSET skipped
    ),
    counted AS (
        SELECT count(*) FILTER (WHERE NOT j.vague) AS exact,
            count(*) FILTER (WHERE NOT j.vague AND j.mode = 'live') AS live,
            count(*) FILTER (WHERE NOT j.vague AND j.mode = 'live' AND j.entitled) AS entitled,
            count(*) AS of_all
        FROM judged AS j
    )
    SELECT json_build_object(
        'now', now(),
        'event', (SELECT e.event_id FROM bagelpay.events AS e WHERE e.event_id = needle),
        'exact', c.exact,
        'live', c.live,
        'entitled', c.entitled,
        'cut', (SELECT count(*) FROM found AS f WHERE NOT f.vague) > c.exact,
        'more', c.of_all > skipped + most,
        'orders', (
            SELECT coalesce(json_agg(bagelpay.console_verdict (l.mode, l.order_id)
                || jsonb_build_object('by_what', l.by_what, 'vague', l.vague) ORDER BY l.place), '[]')
            FROM listed AS l))
    INTO answer
    FROM counted AS c;
    RETURN answer;
END
$$;

COMMENT ON FUNCTION bagelpay.console_search IS 'The orders that a text names and who is entitled by them, as JSON for the console';

GRANT EXECUTE ON FUNCTION bagelpay.console_counts (bagelpay.stored_payments, bagelpay.settings),
    bagelpay.console_paid_until (bagelpay.stored_payments, bagelpay.subscriptions, bagelpay.settings),
    bagelpay.console_trial_until (bagelpay.subscriptions, bagelpay.settings), bagelpay.console_verdict (text, text),
    bagelpay.console_spans (text, text), bagelpay.console_order (text, text), bagelpay.console_search (text, integer)
TO bagelpay_console;

COMMIT;
