-- Deploy bagelpay:console to pg
--
-- What the console shows, each view as one JSON document, and the role that may see it.
-- Amounts are text in it, as whoever reads JSON may take its numbers for floating point.
--
-- Each function does a bounded amount of work, however much is stored: what it looks through
-- is found by an index, and limited, but for an order's payments, which make its verdict. Orders
-- that are too large to be folded while somebody waits are shown without what each event changed. Plans are those for large tables, even if they are made
-- while these are small; where planning takes longer than running, it is PL/pgSQL that keeps them.

BEGIN;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'bagelpay_console') THEN
        CREATE ROLE bagelpay_console NOLOGIN;
    END IF;
    IF NOT pg_catalog.pg_has_role('bagelpay_console', 'bagelpay_reader', 'MEMBER') THEN
        GRANT bagelpay_reader TO bagelpay_console;
    END IF;
END
$$;

COMMENT ON ROLE bagelpay_console IS 'bagelpay: a reader that sees bodies, too, and can change nothing';

SET LOCAL ROLE bagelpay_owner;

-- New entries come at the end of it, and many have the same time, as a batch has one.
CREATE INDEX events_by_receipt ON bagelpay.events (received_at);

CREATE INDEX dead_letters_by_receipt ON bagelpay.dead_letters (received_at);

CREATE INDEX dead_letters_open ON bagelpay.dead_letters (id)
WHERE resolved_at IS NULL;

-- Whether an order has more events than can be folded while somebody waits: 200. FALSE for NULL.
CREATE FUNCTION bagelpay.console_is_large (mode text, order_id text)
    RETURNS boolean
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
BEGIN
    RETURN (SELECT count(*) FROM (SELECT FROM bagelpay.events AS e WHERE e.mode = $1 AND e.order_id = $2 LIMIT 201) AS e) > 200;
END
$$;

COMMENT ON FUNCTION bagelpay.console_is_large IS 'Whether an order has more events than can be folded while somebody waits';

-- What came, newest first: events and dead letters, 50 at a time.
--
-- before_at, before_id   the page's cursor: only what came before that row
-- since                  only what came then or later
-- of_mode … of_event     only those; NULL: any
-- warned                 TRUE: only events with warnings
--
-- rows: kind (event, dead_letter), id, at, type, mode, order, outcome, warnings, deliveries.
-- next: the cursor of the next page, NULL at the end. Where a filter lets little through, a page
-- may be short, or empty, and yet have a next one: a call looks through about 20000 events.
CREATE FUNCTION bagelpay.console_deliveries (
    before_at timestamptz DEFAULT NULL,
    before_id text DEFAULT NULL,
    since timestamptz DEFAULT NULL,
    of_mode text DEFAULT NULL,
    of_type text DEFAULT NULL,
    of_outcome text DEFAULT NULL,
    of_order text DEFAULT NULL,
    of_event text DEFAULT NULL,
    warned boolean DEFAULT NULL)
RETURNS json
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    page_size CONSTANT integer := 50;
    upper_at timestamptz := coalesce(before_at, 'infinity');
    upper_id text := coalesce(before_id, '');
    -- How far back this call looks, and whether that is less far than was asked for.
    floor_at timestamptz := coalesce(since, '-infinity');
    cut boolean := FALSE;
    reached timestamptz;
    found_ids text[] := '{}';
    -- The events of a large order are found among all that came, as each page of them is a few
    -- of many, and most of what came is likely to be of it.
    large boolean := of_event IS NULL AND of_order IS NOT NULL
        AND (bagelpay.console_is_large ('live', of_order) OR bagelpay.console_is_large ('test', of_order));
    letters boolean := num_nonnulls(of_mode, of_type, of_order, of_event) = 0 AND warned IS NOT TRUE
        AND coalesce(of_outcome, 'dead_letter') = 'dead_letter';
    filtered boolean := num_nonnulls(of_mode, of_type, of_outcome, of_order) > 0 OR warned IS TRUE;
    answer json;
BEGIN
    IF of_event IS NOT NULL OR (of_order IS NOT NULL AND NOT large) THEN
        found_ids := array(
            SELECT e.event_id
            FROM bagelpay.events AS e
            WHERE e.event_id IN (
                    SELECT of_event
                    UNION ALL
                    SELECT o.event_id
                    FROM bagelpay.events AS o
                    WHERE of_event IS NULL AND o.mode IN ('live', 'test') AND o.order_id = of_order)
                AND (of_order IS NULL OR e.order_id = of_order)
                AND e.received_at >= floor_at
                AND (e.received_at, e.event_id) < (upper_at, upper_id)
                AND (of_mode IS NULL OR e.mode = of_mode)
                AND (of_type IS NULL OR e.event_type = of_type)
                AND (of_outcome IS NULL OR e.outcome = of_outcome)
                AND (warned IS NOT TRUE OR cardinality(e.warnings) > 0)
            ORDER BY e.received_at DESC, e.event_id DESC
            LIMIT page_size);
    ELSIF of_outcome IS DISTINCT FROM 'dead_letter' THEN
        IF filtered THEN
            SELECT e.received_at INTO reached
            FROM bagelpay.events AS e
            WHERE e.received_at >= floor_at AND e.received_at <= upper_at
            ORDER BY e.received_at DESC
            OFFSET 20000
            LIMIT 1;
            IF reached > floor_at THEN
                floor_at := reached;
                cut := TRUE;
            END IF;
        END IF;
        found_ids := array(
            SELECT e.event_id
            FROM bagelpay.events AS e
            WHERE e.received_at >= floor_at
                AND (e.received_at, e.event_id) < (upper_at, upper_id)
                AND (of_mode IS NULL OR e.mode = of_mode)
                AND (of_type IS NULL OR e.event_type = of_type)
                AND (of_outcome IS NULL OR e.outcome = of_outcome)
                AND (of_order IS NULL OR e.order_id = of_order)
                AND (warned IS NOT TRUE OR cardinality(e.warnings) > 0)
            ORDER BY e.received_at DESC, e.event_id DESC
            LIMIT page_size);
    END IF;
    WITH page AS (
        SELECT *
        FROM (
            SELECT 'event' AS kind, e.event_id AS id, e.received_at AS at, e.event_type AS type, e.mode, e.order_id AS "order",
                e.outcome, e.warnings, e.deliveries, NULL AS detail
            FROM bagelpay.events AS e
            WHERE e.event_id = ANY (found_ids)
            UNION ALL (
                SELECT 'dead_letter', 'dead:' || d.id, d.received_at, NULL, NULL, NULL,
                    'dead_letter', '{}', d.deliveries, concat_ws(': ', d.reason, d.detail)
                FROM bagelpay.dead_letters AS d
                WHERE letters AND d.received_at >= floor_at
                    AND d.received_at <= upper_at
                    AND (d.received_at, ('dead:' || d.id) COLLATE "C") < (upper_at, upper_id)
                ORDER BY d.received_at DESC, ('dead:' || d.id) COLLATE "C" DESC
                LIMIT page_size)) AS both_kinds
        ORDER BY at DESC, id COLLATE "C" DESC
        LIMIT page_size
    )
    SELECT json_build_object(
        'now', clock_timestamp(),
        'rows', coalesce(json_agg(p ORDER BY p.at DESC, p.id COLLATE "C" DESC), '[]'),
        'next', CASE
            WHEN count(*) = page_size
                THEN json_build_object('at', min(p.at), 'id', (array_agg(p.id ORDER BY p.at, p.id COLLATE "C"))[1])
            WHEN cut THEN json_build_object('at', floor_at, 'id', '')
        END)
    INTO answer
    FROM page AS p;
    RETURN answer;
END
$$;

COMMENT ON FUNCTION bagelpay.console_deliveries IS 'What came, newest first, as JSON for the console';

-- One event: its columns, its body in base64 (NULL once retention has removed it), and what
-- explain() says of it, unless its order is large. NULL where there is none of this id.
CREATE FUNCTION bagelpay.console_delivery (event_id text)
    RETURNS json
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
        SELECT (to_jsonb(e) || jsonb_build_object(
            'amount', e.amount::text, 'tax_amount', e.tax_amount::text, 'billing_amount', e.billing_amount::text,
            'refund_amount', e.refund_amount::text, 'refund_running_total', e.refund_running_total::text,
            'metadata', e.metadata::text,
            'body_sha256', encode(e.body_sha256, 'hex'),
            'body', encode(b.body, 'base64'),
            'large', it.large, 'late', x.late, 'note', x.note, 'order_status', x.order_status, 'subscription_status', x.subscription_status))::json
        FROM bagelpay.events AS e
        LEFT JOIN bagelpay.event_bodies AS b ON b.event_id = e.event_id
        CROSS JOIN LATERAL (SELECT bagelpay.console_is_large (e.mode, e.order_id) AS large OFFSET 0) AS it
        LEFT JOIN LATERAL (
            SELECT n.*
            FROM (SELECT e.mode, e.order_id WHERE e.order_id IS NOT NULL AND NOT it.large OFFSET 0) AS small
            CROSS JOIN LATERAL bagelpay.explain (small.order_id, small.mode) AS n
            WHERE n.event_id = e.event_id
        ) AS x ON TRUE
        WHERE e.event_id = $1);
END
$$;

COMMENT ON FUNCTION bagelpay.console_delivery IS 'One event with its body, as JSON for the console';

-- The parts of entitlements_at()'s verdict that are told one by one: whether a payment counts, until
-- when it pays, and until when a trial lasts.
CREATE FUNCTION bagelpay.console_counts (p bagelpay.payments, setting bagelpay.settings)
    RETURNS boolean
    LANGUAGE sql
    IMMUTABLE
    AS $$
    SELECT (p).status IN ('paid', 'partially_refunded') OR ((p).status = 'disputed' AND NOT (setting).revoke_on_dispute)
$$;

CREATE FUNCTION bagelpay.console_paid_until (p bagelpay.payments, s bagelpay.subscriptions, setting bagelpay.settings)
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
                WHERE d.mode = $1 AND d.order_id = $2 AND d.rank = 8
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
                    WHERE r.mode = $1 AND r.order_id = $2 AND r.payment_id = latest.payment_id)
                ELSE (
                    SELECT min(c.occurred_at)
                    FROM bagelpay.events AS c
                    WHERE c.mode = $1 AND c.order_id = $2 AND c.rank = 2 AND c.occurred_at > latest.paid_at
                        AND (c.payment_id = latest.payment_id
                            OR (c.payment_id IS NULL AND c.provider_order_id = latest.provider_order_id)))
            END,
            'mismatches', CASE WHEN setting.require_expected_order THEN (
                SELECT to_jsonb(c.mismatches) FROM bagelpay.order_checks AS c WHERE c.mode = $1 AND c.order_id = $2) END)
        FROM bagelpay.orders AS o
        CROSS JOIN bagelpay.settings AS setting
        CROSS JOIN LATERAL (
            SELECT * FROM bagelpay.entitlements_at (now(), $1) AS n WHERE n.order_id = $2 COLLATE "C" OFFSET 0) AS e
        LEFT JOIN bagelpay.subscriptions AS s ON s.mode = o.mode AND s.order_id = o.order_id
        CROSS JOIN LATERAL (
            SELECT min(p.paid_at) AS first_at,
                max(bagelpay.console_paid_until (p, s, setting)) FILTER (
                    WHERE s.order_id IS NOT NULL AND bagelpay.console_counts (p, setting)) AS paid_until
            FROM bagelpay.payments AS p
            WHERE p.mode = $1 AND p.order_id = $2) AS paid
        LEFT JOIN LATERAL (
            SELECT p.payment_id, p.provider_order_id, p.paid_at
            FROM bagelpay.payments AS p
            WHERE NOT e.entitled AND e.reason IN ('refunded', 'disputed')
                AND p.mode = $1 AND p.order_id = $2 AND p.paid_at IS NOT NULL
            ORDER BY p.paid_at DESC, p.payment_id DESC
            LIMIT 1) AS latest ON TRUE
        WHERE o.mode = $1 AND o.order_id = $2);
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
        WHERE o.mode = $1 AND o.order_id = $2
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
            WHERE n.mode = $1 AND n.order_id = $2
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
                    FROM bagelpay.payments AS n
                    WHERE n.mode = $1 AND n.order_id = $2
                    ORDER BY n.paid_at DESC, n.payment_id DESC
                    LIMIT most) AS p),
            'refunds', (
                SELECT coalesce(json_agg(to_jsonb(r) || jsonb_build_object('amount', r.amount::text) ORDER BY r.occurred_at, r.event_id), '[]')
                FROM (
                    SELECT *
                    FROM bagelpay.refunds AS n
                    WHERE n.mode = $1 AND n.order_id = $2
                    ORDER BY n.occurred_at DESC, n.event_id DESC
                    LIMIT most) AS r),
            'expected', (SELECT to_json(c) FROM bagelpay.order_checks AS c WHERE c.mode = $1 AND c.order_id = $2),
            'settings', (SELECT to_jsonb(setting) - 'singleton'),
            'large', large,
            'most', most,
            'events', coalesce(events, '[]'))
        FROM bagelpay.orders AS o
        CROSS JOIN bagelpay.settings AS setting
        LEFT JOIN bagelpay.subscriptions AS s ON s.mode = o.mode AND s.order_id = o.order_id
        WHERE o.mode = $1 AND o.order_id = $2);
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

-- How it goes: by minute of the last hour (or of what came since, at most an hour) events, dead
-- letters, and the median and 95th percentile of the seconds from event to commit; the last event
-- that was applied (of the newest 20000); dead letters that are open. Of a minute at most 10000 events are counted, and the last 100 timed.
CREATE FUNCTION bagelpay.console_overview (since timestamptz DEFAULT NULL)
    RETURNS json
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
        SELECT json_build_object(
            'now', clock_timestamp(),
            'last', (
                SELECT json_build_object('id', e.event_id, 'at', e.received_at, 'type', e.event_type)
                FROM (SELECT * FROM bagelpay.events AS n ORDER BY n.received_at DESC LIMIT 20000) AS e
                WHERE e.outcome = 'applied' AND e.event_type !~ '^operator\.'
                ORDER BY e.received_at DESC
                LIMIT 1),
            'stored', (SELECT c.reltuples::bigint FROM pg_class AS c WHERE c.oid = 'bagelpay.events'::regclass),
            'open_dead_letters', (
                SELECT count(*) FROM (SELECT FROM bagelpay.dead_letters AS d WHERE d.resolved_at IS NULL LIMIT 1001) AS d),
            'last_dead_letter', (
                SELECT json_build_object('id', d.id, 'at', d.received_at)
                FROM bagelpay.dead_letters AS d
                ORDER BY d.received_at DESC
                LIMIT 1),
            'minutes', (
                SELECT json_agg(json_build_object('at', m.minute, 'events', counted.events, 'dead_letters', dead.letters,
                    'median', timed.percentiles[1], 'p95', timed.percentiles[2]) ORDER BY m.minute)
                FROM generate_series(
                    date_trunc('minute', greatest($1, now() - interval '59 minutes')), now(), interval '1 minute') AS m (minute)
                CROSS JOIN LATERAL (
                    SELECT count(*) AS events
                    FROM (
                        SELECT FROM bagelpay.events AS e
                        WHERE e.received_at >= m.minute AND e.received_at < m.minute + interval '1 minute'
                        LIMIT 10000) AS e) AS counted
                CROSS JOIN LATERAL (
                    SELECT count(*) AS letters
                    FROM (
                        SELECT FROM bagelpay.dead_letters AS d
                        WHERE d.received_at >= m.minute AND d.received_at < m.minute + interval '1 minute'
                        LIMIT 10000) AS d) AS dead
                CROSS JOIN LATERAL (
                    SELECT percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY e.seconds) AS percentiles
                    FROM (
                        SELECT round(greatest(extract(epoch FROM e.received_at - e.occurred_at), 0), 3) AS seconds
                        FROM bagelpay.events AS e
                        WHERE e.received_at >= m.minute AND e.received_at < m.minute + interval '1 minute'
                            AND e.event_type !~ '^operator\.'
                        ORDER BY e.received_at DESC
                        LIMIT 100) AS e) AS timed)));
END
$$;

COMMENT ON FUNCTION bagelpay.console_overview IS 'How it goes, as JSON for the console';

-- Dead letters, newest first, 50 at a time: before an id, and only those that are not resolved unless
-- asked for all.
CREATE FUNCTION bagelpay.console_dead_letters (before_id bigint DEFAULT NULL, resolved_too boolean DEFAULT NULL)
    RETURNS json
    LANGUAGE sql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    AS $$
    SELECT json_build_object(
        'now', clock_timestamp(),
        'rows', coalesce(json_agg(d ORDER BY d.id DESC), '[]'),
        'next', CASE WHEN count(*) = 50 THEN min(d.id) END)
    FROM (
        (SELECT d.id, d.reason, d.detail, d.received_at, d.resolved_at, d.deliveries, octet_length(d.body) AS bytes
        FROM bagelpay.dead_letters AS d
        WHERE d.resolved_at IS NULL AND $2 IS NOT TRUE AND d.id < coalesce($1, 9223372036854775807)
        ORDER BY d.id DESC
        LIMIT 50)
        UNION ALL
        (SELECT d.id, d.reason, d.detail, d.received_at, d.resolved_at, d.deliveries, octet_length(d.body)
        FROM bagelpay.dead_letters AS d
        WHERE $2 AND d.id < coalesce($1, 9223372036854775807)
        ORDER BY d.id DESC
        LIMIT 50)) AS d
$$;

COMMENT ON FUNCTION bagelpay.console_dead_letters IS 'Dead letters, newest first, as JSON for the console';

-- One dead letter with its bytes in base64. NULL where there is none of this id.
CREATE FUNCTION bagelpay.console_dead_letter (id bigint)
    RETURNS json
    LANGUAGE sql
    STABLE
    SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT json_build_object('id', d.id, 'reason', d.reason, 'detail', d.detail, 'received_at', d.received_at,
        'resolved_at', d.resolved_at, 'deliveries', d.deliveries, 'signed_timestamp', d.signed_timestamp,
        'sha256', encode(d.sha256, 'hex'), 'bytes', octet_length(d.body), 'body', encode(d.body, 'base64'))
    FROM bagelpay.dead_letters AS d
    WHERE d.id = $1
$$;

COMMENT ON FUNCTION bagelpay.console_dead_letter IS 'One dead letter with its bytes, as JSON for the console';

GRANT USAGE ON SCHEMA bagelpay TO bagelpay_console;

GRANT SELECT ON bagelpay.event_bodies, bagelpay.dead_letters TO bagelpay_console;

GRANT EXECUTE ON FUNCTION bagelpay.trimmed (text),
    bagelpay.console_deliveries (timestamptz, text, timestamptz, text, text, text, text, text, boolean),
    bagelpay.console_is_large (text, text), bagelpay.console_counts (bagelpay.payments, bagelpay.settings),
    bagelpay.console_paid_until (bagelpay.payments, bagelpay.subscriptions, bagelpay.settings),
    bagelpay.console_trial_until (bagelpay.subscriptions, bagelpay.settings), bagelpay.console_verdict (text, text),
    bagelpay.console_delivery (text), bagelpay.console_spans (text, text), bagelpay.console_order (text, text),
    bagelpay.console_search (text, integer), bagelpay.console_overview (timestamptz),
    bagelpay.console_dead_letters (bigint, boolean), bagelpay.console_dead_letter (bigint)
TO bagelpay_console;

COMMIT;
