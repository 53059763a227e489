-- Deploy bagelpay:console_overview to pg
--
-- The console's overview, and its list of what a person should look at.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns the numbers of events and dead letters, in columns of equal length that end with the present one.
--
-- range   1h, 24h, 7d or 30d: columns of 1 minute, 15 minutes, 2 hours, 8 hours
-- since   only columns that end after this moment; NULL: all of them
--
-- columns             those that are not empty: at, events (at most 20000 are counted), dead_letters; of the last 50
--                     events of a column the seconds from event to receipt: median, p95, and how many there are, timed
-- thin                1; or 8 if the range has more than about 200000 events: then events are estimates, for which an
--                     eighth of the time of each column was counted
-- last                the last applied event (among the newest 20000)
-- stored              about how many events are stored
-- open_dead_letters   at most 1001
-- last_dead_letter    the newest one, open or not
-- verification        the last run of bagelhook-verify, of live mode if there is one: mode, at, differences
--
-- Raises invalid_parameter_value for another range.
CREATE FUNCTION bagelpay_internal.console_overview (range text DEFAULT '1h', since timestamptz DEFAULT NULL)
    RETURNS json
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    most CONSTANT integer := 20000;
    most_timed CONSTANT integer := 50;
    slices CONSTANT integer := 8;
    thin integer := 1;
    slice interval;
    width interval;
    columns integer;
    current timestamptz;
    first timestamptz;
BEGIN
    CASE range
        WHEN '1h' THEN width := '1 minute'; columns := 60;
        WHEN '24h' THEN width := '15 minutes'; columns := 96;
        WHEN '7d' THEN width := '2 hours'; columns := 84;
        WHEN '30d' THEN width := '8 hours'; columns := 90;
        ELSE
            RAISE EXCEPTION 'range: must be 1h, 24h, 7d or 30d, not %', coalesce(quote_literal(range), 'NULL') USING ERRCODE = 'invalid_parameter_value';
    END CASE;
    current := date_bin(width, now(), '2000-01-01T00:00:00Z');
    first := greatest(current - (columns - 1) * width, date_bin(width, since, '2000-01-01T00:00:00Z'));
    slice := width / slices;
    IF (SELECT c.reltuples * least(1, extract(epoch FROM columns * width)
            / extract(epoch FROM greatest(now() - (SELECT min(e.received_at) FROM bagelpay.events AS e), interval '1 second')))
        FROM pg_class AS c
        WHERE c.oid = 'bagelpay.events'::regclass) > 200000 THEN
        thin := 8;
    END IF;
    RETURN (
        SELECT json_build_object(
            'now', clock_timestamp(),
            'thin', thin,
            'width', extract(epoch FROM width)::integer,
            'count', columns,
            'verification', (
                SELECT json_build_object('mode', v.mode, 'at', v.finished_at, 'differences', v.differences)
                FROM bagelpay.verifications AS v
                ORDER BY v.mode, v.started_at DESC, v.id DESC
                LIMIT 1),
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
            'columns', (
                SELECT coalesce(json_agg(json_build_object('at', m.at, 'events', counted.events, 'capped', counted.capped, 'dead_letters', dead.letters,
                    'median', timed.percentiles[1], 'p95', timed.percentiles[2], 'timed', timed.number) ORDER BY m.at), '[]')
                FROM generate_series(first, current, width) AS m (at)
                CROSS JOIN LATERAL (
                    SELECT thin * sum(counted.events) AS events, bool_or(counted.events = most / slices) AS capped
                    FROM generate_series(0, slices - 1) AS n (n)
                    CROSS JOIN LATERAL (
                        SELECT count(*) AS events
                        FROM (
                            SELECT FROM bagelpay.events AS e
                            WHERE e.received_at >= m.at + n.n * slice AND e.received_at < m.at + n.n * slice + slice / thin
                            LIMIT most / slices) AS e) AS counted) AS counted
                CROSS JOIN LATERAL (
                    SELECT count(*) AS letters
                    FROM (
                        SELECT FROM bagelpay.dead_letters AS d
                        WHERE d.received_at >= m.at AND d.received_at < m.at + width
                        LIMIT most) AS d) AS dead
                CROSS JOIN LATERAL (
                    SELECT percentile_disc(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY e.seconds) AS percentiles, count(*) AS number
                    FROM (
                        SELECT round(greatest(extract(epoch FROM e.received_at - e.occurred_at), 0), 3) AS seconds
                        FROM bagelpay.events AS e
                        WHERE e.received_at >= m.at AND e.received_at < m.at + width
                            AND e.event_type !~ '^operator\.'
                        ORDER BY e.received_at DESC
                        LIMIT most_timed) AS e) AS timed
                WHERE counted.events > 0 OR dead.letters > 0)));
END
$$;

COMMENT ON FUNCTION bagelpay_internal.console_overview IS 'Numbers and delays of some time, as JSON for the console';

-- Returns money and subscriptions by day (in UTC) of the last 30 days and today, of live purchases.
--
-- days      day; revenue: by currency what was paid, and what of these payments went back; subscriptions: how many windows
--           of trials and subscriptions were open at the end of the day (today: now), without grace
-- sampled   NULL if all purchases were read for the subscriptions; else how many were, and of about how many: these numbers
--           are estimates
CREATE FUNCTION bagelpay_internal.console_days ()
    RETURNS json
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    most CONSTANT real := 5000;
    today CONSTANT timestamptz := date_trunc('day', now(), 'UTC');
    stored real;
    share real;
    graceless bagelpay.settings;
BEGIN
    SELECT greatest(c.reltuples, 0) INTO stored FROM pg_class AS c WHERE c.oid = 'bagelpay_internal.purchases'::regclass;
    share := least(1, most / greatest(stored, 1));
    SELECT * INTO graceless FROM bagelpay.settings;
    graceless.grace := '0';
    RETURN (
        WITH read AS MATERIALIZED (
            SELECT p
            FROM bagelpay_internal.purchases AS p TABLESAMPLE SYSTEM (100 * share) REPEATABLE (1)
            WHERE p.mode = 'live' AND p.began_at IS NOT NULL
        ),
        money AS (
            SELECT date_trunc('day', p.began_at, 'UTC') AS day, coalesce(p.currency, '') AS currency, sum(p.amount) AS paid, sum(p.refunded_amount) AS refunded,
                count(*) AS payments
            FROM bagelpay_internal.purchases AS p
            WHERE p.mode = 'live' AND NOT p.is_trial AND p.began_at >= today - interval '30 days' AND p.amount > 0
            GROUP BY 1, 2
        ),
        windows AS MATERIALIZED (
            SELECT w.starts_at, w.ends_at
            FROM read AS r
            LEFT JOIN bagelpay.products AS n ON n.product_id = (r.p).product_id
            LEFT JOIN LATERAL (
                SELECT b.status
                FROM bagelpay_internal.purchases AS b
                WHERE (r.p).is_trial AND b.order_id = (r.p).order_id AND b.mode = (r.p).mode AND b.name = (r.p).buyer AND NOT b.is_trial
                OFFSET 0) AS b ON TRUE
            CROSS JOIN LATERAL bagelpay_internal.purchase_window (r.p, graceless, n.period, b.status) AS w
            WHERE (r.p).kind = 'subscription' AND w.ends_at > today - interval '30 days'
        )
        SELECT json_build_object(
            'now', now(),
            'sampled', CASE WHEN share < 1 THEN json_build_object('read', (SELECT count(*) FROM read), 'stored', stored::bigint) END,
            'days', (
                SELECT json_agg(json_build_object(
                    'day', to_char(d.day AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
                    'revenue', (
                        SELECT coalesce(json_object_agg(m.currency, json_build_object('paid', round(m.paid, 2)::text,
                            'refunded', round(m.refunded, 2)::text, 'payments', m.payments) ORDER BY m.currency), '{}')
                        FROM money AS m
                        WHERE m.day = d.day),
                    'subscriptions', (
                        SELECT round(count(*) / share::numeric)
                        FROM windows AS w
                        WHERE w.starts_at <= least(d.day + interval '1 day', now()) AND w.ends_at > least(d.day + interval '1 day', now()))) ORDER BY d.day)
                FROM generate_series(today - interval '30 days', today, interval '1 day') AS d (day))));
END
$$;

COMMENT ON FUNCTION bagelpay_internal.console_days IS 'Revenue and subscriptions by day, as JSON for the console';

-- Returns what a person should look at, as bagelpay.attention has it: of each kind the newest 50, kinds with the newest
-- row first.
--
-- rows        as of the view
-- kinds       of each kind that has rows: kind, count
-- count       of all rows
-- dismissed   the newest 100 rows that were taken off, with note, dismissed_at, dismissed_by
-- database    the name of this database, for commands
CREATE FUNCTION bagelpay_internal.console_attention ()
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
    most_dismissed CONSTANT integer := 100;
BEGIN
    RETURN (
        WITH every AS MATERIALIZED (
            SELECT a, d.note, d.dismissed_at, d.dismissed_by
            FROM bagelpay_internal.attention_rows () AS a
            LEFT JOIN bagelpay.dismissals AS d ON d.id = a.id
        ),
        open AS MATERIALIZED (
            SELECT e.a, row_number() OVER (PARTITION BY (e.a).kind ORDER BY (e.a).since DESC, (e.a).id) AS place,
                max((e.a).since) OVER (PARTITION BY (e.a).kind) AS newest
            FROM every AS e
            WHERE e.dismissed_at IS NULL
        )
        SELECT json_build_object(
            'now', now(),
            'database', current_database(),
            'count', (SELECT count(*) FROM open),
            'kinds', (SELECT coalesce(json_agg(k), '[]') FROM (SELECT (o.a).kind AS kind, count(*) AS count FROM open AS o GROUP BY 1 ORDER BY 1) AS k),
            'rows', (
                SELECT coalesce(json_agg(o.a ORDER BY o.newest DESC, (o.a).kind, o.place), '[]')
                FROM open AS o
                WHERE o.place <= most),
            'dismissed', (
                SELECT coalesce(json_agg(to_jsonb(d.a) || jsonb_build_object('note', d.note, 'dismissed_at', d.dismissed_at, 'dismissed_by', d.dismissed_by)
                    ORDER BY d.dismissed_at DESC), '[]')
                FROM (SELECT * FROM every AS e WHERE e.dismissed_at IS NOT NULL ORDER BY e.dismissed_at DESC LIMIT most_dismissed) AS d)));
END
$$;

COMMENT ON FUNCTION bagelpay_internal.console_attention IS 'What a person should look at, as JSON for the console';

GRANT EXECUTE ON FUNCTION bagelpay_internal.console_overview (text, timestamptz), bagelpay_internal.console_days (),
    bagelpay_internal.console_attention ()
TO bagelpay_console;

COMMIT;
