-- Deploy bagelpay:console to pg
--
-- The console's views, each as one JSON document, and the role that may read them. Amounts are JSON strings, because a
-- JSON parser may read numbers as floating point.
--
-- Each function reads a limited number of rows by an index; only an order's own events and purchases are read whole.
-- The planner settings give the plans for large tables, even if plans are made while the tables are small. If planning
-- takes longer than running, the function is in PL/pgSQL, which caches plans.

BEGIN;

-- Deployments of several databases at once may create the role at the same moment, see roles.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'bagelpay_console') THEN
        CREATE ROLE bagelpay_console NOLOGIN;
        COMMENT ON ROLE bagelpay_console IS 'bagelpay: a reader that sees bodies, too, and can change nothing';
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL;
END
$$;

DO $$
BEGIN
    IF NOT pg_catalog.pg_has_role('bagelpay_console', 'bagelpay_reader', 'MEMBER') THEN
        GRANT bagelpay_reader TO bagelpay_console;
    END IF;
EXCEPTION
    WHEN unique_violation THEN
        NULL;
END
$$;

SET LOCAL ROLE bagelpay_owner;

-- Deduplicated: many entries have the same time.
CREATE INDEX events_by_receipt ON bagelpay.events (received_at);

CREATE INDEX dead_letters_by_receipt ON bagelpay.dead_letters (received_at);

CREATE INDEX dead_letters_open_by_id ON bagelpay.dead_letters (id)
WHERE resolved_at IS NULL;

-- Returns a page of events and dead letters, newest first, 50 rows.
--
-- before_at, before_id   the page's cursor: only rows before that one
-- since                  only rows received at this time or later
-- of_mode … of_event     only rows with this value; NULL: any
-- warned                 TRUE: only events with warnings
--
-- rows             kind (event, dead_letter), id, at, type, mode, order, outcome, warnings, deliveries, detail, resolved,
--                  customer_id, email, product_id, product, amount, currency
-- next             the cursor of the next page, NULL at the end
-- looked           the number of events read if the limit of about 20000 ended the page, else NULL
-- hidden_letters   the number of dead letters of that time (at most 1001) that a filter leaves out
--
-- A page that the limit ended may be short or empty and still have a next one, from where it stopped reading.
CREATE FUNCTION bagelpay_internal.console_deliveries (
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
    most_looked CONSTANT integer := 20000;
    upper_at timestamptz := coalesce(before_at, 'infinity');
    upper_id text := coalesce(before_id, '');
    -- The oldest time that this call reads; cut is TRUE if the limit on events made it later than since.
    floor_at timestamptz := coalesce(since, '-infinity');
    cut boolean := FALSE;
    reached timestamptz;
    found_ids text[] := '{}';
    letters boolean := num_nonnulls(of_mode, of_type, of_order, of_event) = 0 AND warned IS NOT TRUE
        AND coalesce(of_outcome, 'dead_letter') = 'dead_letter';
    filtered boolean := num_nonnulls(of_mode, of_type, of_order, of_outcome) > 0 OR warned IS TRUE;
    named boolean := num_nonnulls(of_event, of_order) > 0;
    answer json;
BEGIN
    -- Events of an order are found by its index and sorted. If it has more than 2000, all events are read from the
    -- newest on, as for the other filters.
    IF of_event IS NULL AND of_order IS NOT NULL THEN
        PERFORM FROM bagelpay.events AS e
        WHERE e.mode IN ('live', 'test') AND e.order_id = of_order
        OFFSET 2000
        LIMIT 1;
        named := NOT FOUND;
    END IF;
    IF named THEN
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
                -- A cursor without an id excludes all events of its time, so they do not count.
                AND (upper_id <> '' OR e.received_at < upper_at)
            ORDER BY e.received_at DESC
            OFFSET most_looked
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
                AND (of_order IS NULL OR e.order_id = of_order)
                AND (of_outcome IS NULL OR e.outcome = of_outcome)
                AND (warned IS NOT TRUE OR cardinality(e.warnings) > 0)
            ORDER BY e.received_at DESC, e.event_id DESC
            LIMIT page_size);
    END IF;
    WITH page AS (
        SELECT *
        FROM (
            SELECT 'event' AS kind, e.event_id AS id, e.received_at AS at, e.event_type AS type, e.mode, e.order_id AS "order",
                e.outcome, e.warnings, e.deliveries, NULL AS detail, NULL::boolean AS resolved, e.customer_id, e.customer_email AS email,
                e.product_id, e.product_name AS product, coalesce(e.refund_amount, e.amount)::text AS amount, e.currency
            FROM bagelpay.events AS e
            WHERE e.event_id = ANY (found_ids)
            UNION ALL (
                SELECT 'dead_letter', 'dead:' || d.id, d.received_at, NULL, NULL, d.order_id,
                    'dead_letter', '{}', d.deliveries, concat_ws(': ', d.reason, d.detail),
                    d.resolved_at IS NOT NULL, NULL, d.customer_email, NULL, NULL, NULL, NULL
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
        END,
        'looked', CASE WHEN cut AND count(*) < page_size THEN most_looked END,
        'hidden_letters', (
            SELECT count(*)
            FROM (
                SELECT
                FROM bagelpay.dead_letters AS d
                WHERE NOT letters AND d.received_at >= coalesce(since, '-infinity') AND d.received_at <= upper_at
                LIMIT 1001) AS d))
    INTO answer
    FROM page AS p;
    RETURN answer;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.console_deliveries IS 'Events and dead letters, newest first, as JSON for the console';

-- Returns one event: its columns, its body in base64 (NULL once it was removed), and late, note and statuses as in
-- explain(). NULL if there is no event of this id.
CREATE FUNCTION bagelpay_internal.console_delivery (event_id text)
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
            'now', clock_timestamp(),
            'amount', e.amount::text, 'tax_amount', e.tax_amount::text, 'billing_amount', e.billing_amount::text,
            'refund_amount', e.refund_amount::text, 'refund_running_total', e.refund_running_total::text,
            'metadata', e.metadata::text,
            'body', encode(b.body, 'base64'),
            'late', x.late, 'note', x.note, 'order_status', x.order_status, 'subscription_status', x.subscription_status))::json
        FROM bagelpay.events AS e
        LEFT JOIN bagelpay.event_bodies AS b ON b.event_id = e.event_id
        LEFT JOIN LATERAL (
            SELECT n.*
            FROM (SELECT e.mode, e.order_id WHERE e.order_id IS NOT NULL OFFSET 0) AS o
            CROSS JOIN LATERAL bagelpay.explain (o.order_id, o.mode) AS n
            WHERE n.event_id = e.event_id
        ) AS x ON TRUE
        WHERE e.event_id = $1);
END
$$;

COMMENT ON FUNCTION bagelpay_internal.console_delivery IS 'One event with its body, as JSON for the console';

-- Returns dead letters, newest first, 50 rows.
--
-- before_id      the page's cursor: only rows with an id below it
-- resolved_too   TRUE: not only open ones
-- wanted         only those whose event id, order, e-mail, reason or detail contains this text, in any case; NULL: any
--
-- next     the before_id of the next page, NULL at the end
-- looked   the number of rows read if the limit of 5000 ended the page, else NULL
CREATE FUNCTION bagelpay_internal.console_dead_letters (before_id bigint DEFAULT NULL, resolved_too boolean DEFAULT NULL, wanted text DEFAULT NULL)
    RETURNS json
    LANGUAGE sql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    AS $$
    WITH looked_at AS (
        (SELECT d.id, d.reason, d.detail, d.event_id, d.order_id, d.customer_email, d.received_at, d.resolved_at, d.deliveries
         FROM bagelpay.dead_letters AS d
         WHERE d.resolved_at IS NULL AND $2 IS NOT TRUE AND d.id < coalesce($1, 9223372036854775807)
         ORDER BY d.id DESC
         LIMIT 5000)
        UNION ALL
        (SELECT d.id, d.reason, d.detail, d.event_id, d.order_id, d.customer_email, d.received_at, d.resolved_at, d.deliveries
         FROM bagelpay.dead_letters AS d
         WHERE $2 AND d.id < coalesce($1, 9223372036854775807)
         ORDER BY d.id DESC
         LIMIT 5000)
    ),
    page AS (
        SELECT *
        FROM looked_at AS d
        WHERE $3 IS NULL OR strpos(lower(concat_ws(E'\n', d.event_id, d.order_id, d.customer_email, d.reason, d.detail)), lower(bagelpay_internal.trimmed ($3))) > 0
        ORDER BY d.id DESC
        LIMIT 50
    )
    SELECT json_build_object(
        'now', clock_timestamp(),
        'rows', coalesce(json_agg(to_jsonb(p) || jsonb_build_object('bytes', octet_length(b.body)) ORDER BY p.id DESC) FILTER (WHERE p.id IS NOT NULL), '[]'),
        'next', CASE WHEN count(p.id) = 50 THEN min(p.id) WHEN l.looked = 5000 THEN l.last END,
        'looked', CASE WHEN count(p.id) < 50 AND l.looked = 5000 THEN l.looked END)
    FROM (SELECT count(*) AS looked, min(n.id) AS last FROM looked_at AS n) AS l
    LEFT JOIN page AS p ON TRUE
    LEFT JOIN bagelpay.dead_letters AS b ON b.id = p.id
    GROUP BY l.looked, l.last
$$;

COMMENT ON FUNCTION bagelpay_internal.console_dead_letters IS 'Dead letters, newest first, as JSON for the console';

-- Returns one dead letter with its body in base64. NULL if there is no dead letter of this id.
--
-- other          the event that is stored under its event id: as in console_delivery(); NULL if there is none
-- attention_id   the id under which it is in bagelpay.attention while it is open, for bagelpay.dismiss()
CREATE FUNCTION bagelpay_internal.console_dead_letter (id bigint)
    RETURNS json
    LANGUAGE sql
    STABLE
    SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT json_build_object('now', clock_timestamp(), 'id', d.id, 'reason', d.reason, 'detail', d.detail, 'event_id', d.event_id,
        'order_id', d.order_id, 'customer_email', d.customer_email, 'received_at', d.received_at,
        'resolved_at', d.resolved_at, 'deliveries', d.deliveries, 'signed_timestamp', d.signed_timestamp,
        'sha256', encode(d.sha256, 'hex'), 'bytes', octet_length(d.body), 'body', encode(d.body, 'base64'),
        'other', bagelpay_internal.console_delivery (d.event_id),
        'attention_id', (bagelpay_internal.attention_row ('dead_letter', ARRAY[d.id::text], d.received_at, NULL, d.order_id, d.event_id, NULL, NULL, NULL)).id)
    FROM bagelpay.dead_letters AS d
    WHERE d.id = $1
$$;

COMMENT ON FUNCTION bagelpay_internal.console_dead_letter IS 'One dead letter with its bytes, as JSON for the console';

GRANT USAGE ON SCHEMA bagelpay, bagelpay_internal TO bagelpay_console;

GRANT SELECT ON bagelpay.event_bodies, bagelpay.dead_letters TO bagelpay_console;

GRANT EXECUTE ON FUNCTION bagelpay_internal.trimmed (text),
    bagelpay_internal.console_deliveries (timestamptz, text, timestamptz, text, text, text, text, text, boolean),
    bagelpay_internal.console_delivery (text),
    bagelpay_internal.console_dead_letters (bigint, boolean, text), bagelpay_internal.console_dead_letter (bigint)
TO bagelpay_console;

COMMIT;
