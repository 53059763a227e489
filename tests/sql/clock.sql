-- entitlement_changes(): what the clock alone does, told without looking at every item.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
SET TimeZone = 'UTC';

-- The database is this file's.
SELECT plan(66);

\ir builder.psql

-- The changes in a span, as one short text.
CREATE FUNCTION pg_temp.changes (after text, until text, of_mode text DEFAULT 'live')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.told (format('SELECT pg_temp.utc (at) AS at, order_id, product_id, customer_id, entitled, reason FROM bagelpay.entitlement_changes (%L, %L, %L)', after || '+00', until || '+00', of_mode))
$$;

-- Moments before holds_until at which entitlement() would not be the same, of each customer and product, asked at each
-- moment at which the clock changes any item, and just before; or at one in several of these moments.
CREATE FUNCTION pg_temp.broken_promises (one_in integer DEFAULT 1)
    RETURNS bigint
    LANGUAGE sql
    AS $$
    WITH moments AS MATERIALIZED (
        SELECT DISTINCT c.at + n.span AS at
        FROM bagelpay.entitlement_changes ('2000-01-01Z', '3000-01-01Z') AS c
        CROSS JOIN (VALUES (interval '0'), (interval '-1 microsecond')) AS n (span)
        WHERE hashtext (c.at::text) % one_in = 0
        UNION
        SELECT d.occurred_at FROM bagelpay_internal.decisions AS d
    ), asked AS MATERIALIZED (
        SELECT i.customer, i.product_id, m.at, e.entitled, e.holds_until, e.reason
        FROM (
            SELECT DISTINCT nullif(i.customer_id, '') AS customer, i.product_id FROM bagelpay.items AS i
            UNION
            SELECT i.customer_email, i.product_id FROM bagelpay.items AS i) AS i
        CROSS JOIN moments AS m
        CROSS JOIN LATERAL bagelpay.entitlement (i.customer, i.product_id, 'live', m.at) AS e
    )
    SELECT count(*)
    FROM asked AS a
    WHERE a.entitled <> bagelpay.is_entitled (a.customer, a.product_id, 'live', a.at)
        OR a.holds_until <= a.at
        OR (a.entitled AND a.reason IS NULL)
        OR EXISTS (
            SELECT
            FROM asked AS b
            WHERE b.customer = a.customer AND b.product_id = a.product_id AND b.entitled <> a.entitled
                AND b.at > a.at AND b.at < coalesce(a.holds_until, 'infinity'))
$$;

-- A subscription, its renewal, a gap, another payment.
SELECT pg_temp.take ('s1', 'subscription.paid', '2025-01-01 00:00:00', '{"payment_id":"s1","billing_period_end":"2025-02-01 00:00:00+00"}') \g /dev/null
SELECT pg_temp.take ('s2', 'subscription.paid', '2025-02-01 00:00:00', '{"payment_id":"s2","billing_period_end":"2025-03-01 00:00:00+00"}') \g /dev/null
SELECT pg_temp.take ('s3', 'subscription.paid', '2025-03-10 00:00:00', '{"payment_id":"s3","recurring_interval":"1 month"}') \g /dev/null
SELECT is(pg_temp.changes (after, until), told, after || ' to ' || until)
FROM (VALUES
    ('2024-12-31', '2025-01-01', '2025-01-01 o1 p1 c1 true active'), ('2025-01-01', '2025-03-01', ''), ('2025-03-01', '2025-03-02', '2025-03-02 o1 p1 c1 false expired'),
    ('2025-03-01', '2025-03-01 23:59:59', ''), ('2025-03-02', '2025-03-31', '2025-03-10 o1 p1 c1 true active'), ('2025-03-10', '2025-04-10 23:59:59', ''), ('2025-04-10', '2025-04-11', '2025-04-11 o1 p1 c1 false expired'),
    ('2025-01-01', '2999-01-01', '2025-03-02 o1 p1 c1 false expired | 2025-03-10 o1 p1 c1 true active | 2025-04-11 o1 p1 c1 false expired'), ('2025-04-11', '2999-01-01', ''), ('2025-02-01', '2025-02-01', '')) AS v (after, until, told);
SELECT is(pg_temp.changes ('2000-01-01', '2999-01-01', 'test'), '', 'not of the other mode');

SELECT is(pg_temp.told (format('SELECT entitled, reason, pg_temp.utc (holds_until) FROM bagelpay.entitlement (''c1'', ''p1'', at => %L)', at)), told, 'at ' || at)
FROM (VALUES
    ('2024-12-31Z', 'false not_yet 2025-01-01'), ('2025-01-15Z', 'true active 2025-03-02'), ('2025-03-05Z', 'false expired 2025-03-10'),
    ('2025-04-10Z', 'true active 2025-04-11'), ('2025-04-11Z', 'false expired -')) AS v (at, told);
SELECT is(pg_temp.told ('SELECT entitled, reason, holds_until FROM bagelpay.entitlement (''nobody'', ''p1'')'), 'false - -', 'nobody');
SELECT throws_ok('SELECT bagelpay.entitlement (''c1'', ''p1'', ''Live'')', '22023', 'mode: must be ''test'' or ''live'', not ''Live''', 'no such mode');

-- Settings.
UPDATE bagelpay.settings SET grace = '0';
SELECT is(pg_temp.changes ('2025-02-15', '2025-05-01'), '2025-03-01 o1 p1 c1 false expired | 2025-03-10 o1 p1 c1 true active | 2025-04-10 o1 p1 c1 false expired', 'without grace');
UPDATE bagelpay.settings SET grace = '1 month';
SELECT is(pg_temp.changes ('2025-02-15', '2025-06-01'), '2025-05-10 o1 p1 c1 false expired', 'a month of grace closes the gap');
UPDATE bagelpay.settings SET grace = '1 day';

-- Lengths that are equal by comparison, and are not the same.
SELECT pg_temp.take ('l1', 'subscription.paid', '2026-01-27 16:00:00', '{"payment_id":"l1","recurring_interval":"30 days","metadata":{"order_id":"l1"}}') \g /dev/null
SELECT pg_temp.take ('l2', 'subscription.paid', '2026-01-27 16:00:00', '{"payment_id":"l2","recurring_interval":"1 month","metadata":{"order_id":"l2"}}') \g /dev/null
SELECT pg_temp.take ('l3', 'subscription.paid', '2026-01-27 16:00:00', '{"payment_id":"l3","product_id":"30 days","metadata":{"order_id":"l3"}}') \g /dev/null
SELECT pg_temp.take ('l4', 'subscription.paid', '2026-01-27 16:00:00', '{"payment_id":"l4","product_id":"1 month","metadata":{"order_id":"l4"}}') \g /dev/null
INSERT INTO bagelpay.products (product_id, period) VALUES ('30 days', '30 days'), ('1 month', '1 month');
UPDATE bagelpay.settings SET default_period = '3 days';
SET enable_hashagg = off;
SELECT is(pg_temp.changes ('2026-02-27', '2026-02-28 00:00:00'), '2026-02-27 16:00:00 l1 p1 c1 false expired | 2026-02-27 16:00:00 l3 30 days c1 false expired', '30 days');
SELECT is(pg_temp.changes ('2026-02-28', '2026-03-01 00:00:00'), '2026-02-28 16:00:00 l2 p1 c1 false expired | 2026-02-28 16:00:00 l4 1 month c1 false expired', 'a month');
SET enable_hashagg = on;
SET enable_sort = off;
SELECT is(pg_temp.changes ('2026-02-27', '2026-02-28 00:00:00'), '2026-02-27 16:00:00 l1 p1 c1 false expired | 2026-02-27 16:00:00 l3 30 days c1 false expired', '30 days, without sorting');
SELECT is(pg_temp.changes ('2026-02-28', '2026-03-01 00:00:00'), '2026-02-28 16:00:00 l2 p1 c1 false expired | 2026-02-28 16:00:00 l4 1 month c1 false expired', 'a month, without sorting');
RESET enable_sort;
UPDATE bagelpay.settings SET default_period = DEFAULT;

-- Decisions.
SELECT bagelpay.grant ('g1', 'gus@example.com', 'p1', '2999-06-01Z') \g /dev/null
SELECT is(regexp_replace(pg_temp.changes ('2999-01-01', '2999-07-01'), 'false .*', 'false'), '2999-06-01 g1 p1 email:gus@example.com false', 'a grant that ends');
SELECT pg_temp.take ('h1', 'subscription.paid', '2998-01-01 00:00:00', '{"payment_id":"h1","billing_period_end":"2998-02-01 00:00:00+00","metadata":{"order_id":"h1"}}') \g /dev/null
SELECT is(pg_temp.changes ('2997-01-01', '2998-07-01'), '2998-01-01 h1 p1 c1 true active | 2998-02-02 h1 p1 c1 false expired', 'a payment of the future');
SELECT bagelpay.revoke ('h1') \g /dev/null
SELECT is(pg_temp.changes ('2997-01-01', '2998-07-01'), '', 'which is revoked');
SELECT is(pg_temp.broken_promises (), 0::bigint, 'entitlement() holds until it says');

-- Expected orders.
UPDATE bagelpay.settings SET require_expected_order = TRUE;
SELECT is(pg_temp.changes ('2025-02-15', '2025-06-01'), '', 'what is unconfirmed neither gains nor loses access');
UPDATE bagelpay.settings SET require_expected_order = FALSE;

-- Arguments.
SELECT throws_ok(call, '22023', message, call)
FROM (VALUES
    ('SELECT * FROM bagelpay.entitlement_changes (NULL, now())', NULL), ('SELECT * FROM bagelpay.entitlement_changes (now(), NULL)', NULL),
    ('SELECT * FROM bagelpay.entitlement_changes (now(), now(), ''Live'')', 'mode: must be ''test'' or ''live'', not ''Live'''),
    ('SELECT * FROM bagelpay.entitlement_changes (''2025-01-02'', ''2025-01-01'')', 'from: must be a finite moment and not later than to: 2025-01-02 00:00:00+00 and 2025-01-01 00:00:00+00'),
    ('SELECT * FROM bagelpay.entitlement_changes (''-infinity'', now())', NULL), ('SELECT * FROM bagelpay.entitlement_changes (now(), ''infinity'')', NULL)) AS v (call, message);
SELECT is(pg_temp.told ('SELECT mode, entitled FROM bagelpay.entitlement_changes ("from" => date ''2025-03-01'', "to" => date ''2025-03-03'', mode => ''live'')'), 'live false', 'by names, and by dates');
SELECT pg_temp.forget () \g /dev/null

-- Random histories against every moment at which any item could change, whatever the settings.
CREATE FUNCTION pg_temp.brute (after timestamptz, until timestamptz, of_mode text)
    RETURNS TABLE (at timestamptz, order_id text, product_id text, customer_id text, user_id text, entitled boolean, reason text)
    LANGUAGE plpgsql
    AS $$
DECLARE
    m timestamptz;
BEGIN
    FOR m IN
        SELECT DISTINCT x.at
        FROM (
            SELECT unnest(ARRAY[lower(r), upper(r)]) AS at FROM bagelpay.entitlements_at (after, of_mode) AS e CROSS JOIN LATERAL unnest(e.periods) AS r
            UNION ALL
            SELECT unnest(ARRAY[d.occurred_at, d.granted_until]) FROM bagelpay_internal.decisions AS d) AS x
        WHERE x.at > after AND x.at <= until
    LOOP
        RETURN QUERY
        SELECT m, e.order_id::text, e.product_id::text, e.customer_id::text, e.user_id::text, e.entitled, e.reason
        FROM bagelpay.entitlements_at (m, of_mode) AS e
        JOIN bagelpay.entitlements_at (m - interval '1 microsecond', of_mode) AS b
            ON (b.order_id, b.product_id, b.customer_id, b.user_id, b.kind) IS NOT DISTINCT FROM (e.order_id, e.product_id, e.customer_id, e.user_id, e.kind)
        WHERE e.entitled <> b.entitled;
    END LOOP;
END
$$;

CREATE FUNCTION pg_temp.differences (after text, until text)
    RETURNS bigint
    LANGUAGE sql
    AS $$
    WITH told AS (
        SELECT c.at, c.order_id::text, c.product_id::text, c.customer_id::text, c.user_id::text, c.entitled, c.reason FROM bagelpay.entitlement_changes (after::timestamptz, until::timestamptz) AS c
    ),
    brute AS (SELECT * FROM pg_temp.brute (after::timestamptz, until::timestamptz, 'live'))
    SELECT (SELECT count(*) FROM (SELECT * FROM told EXCEPT ALL SELECT * FROM brute) AS x) + (SELECT count(*) FROM (SELECT * FROM brute EXCEPT ALL SELECT * FROM told) AS x)
$$;

-- Several hundred orders, of events at random moments of four months, about month ends among others.
SELECT setseed(0.19) \g /dev/null
DO $$
DECLARE
    types CONSTANT text[] := '{subscription.paid,subscription.paid,subscription.paid,subscription.trialing,checkout.completed,subscription.canceled,refund.created,checkout.cancel}';
    lengths CONSTANT text[] := '{1 month,30 days,3 months,7 days,1 year,12 months,360 days}';
    n integer := 0;
    at timestamptz;
    extra jsonb;
    type text;
BEGIN
    FOR o IN 1 .. 150 LOOP
        FOR k IN 1 .. 1 + (random() * 5)::integer LOOP
            n := n + 1;
            type := types[1 + floor(random() * 8)];
            at := timestamptz '2025-01-01Z' + floor(random() * 120) * interval '1 day' + floor(random() * 3) * interval '8 hours';
            extra := jsonb_build_object('payment_id', 'p' || (n - floor(random() * 3)::integer), 'amount', floor(random() * 3)::text, 'customer_id', 'c' || floor(random() * 1.3), 'product_id', 'p' || floor(random() * 2.5),
                'metadata', jsonb_build_object('order_id', 'o' || o, 'user_id', 'u' || o % 5));
            IF random() < 0.4 THEN
                extra := extra || jsonb_build_object('billing_period_end', (at + (random() * 40 - 3) * interval '1 day')::text);
            END IF;
            IF random() < 0.5 THEN
                extra := extra || jsonb_build_object('recurring_interval', lengths[1 + floor(random() * 7)]);
            END IF;
            IF random() < 0.5 THEN
                extra := extra || jsonb_build_object('trial_end', (at + (random() * 20 - 4) * interval '1 day')::text);
            END IF;
            IF type = 'subscription.canceled' THEN
                extra := extra - 'payment_id' || jsonb_build_object('cancel_at_period_end', random() < 0.3, 'cancel_at', (at + random() * interval '9 days')::text);
            ELSIF type = 'refund.created' THEN
                extra := extra || jsonb_build_object('refund_amount', floor(random() * 3)::text);
            END IF;
            PERFORM pg_temp.take ('e' || n, type, (at AT TIME ZONE 'UTC')::text, extra);
        END LOOP;
        COMMIT;
    END LOOP;
END
$$;
-- Decisions of the time of the events.
DO $$
BEGIN
    PERFORM bagelpay.grant ('o' || n, until => CASE WHEN n % 4 < 3 THEN '2025-03-01Z'::timestamptz + n * interval '1 day' END) FROM generate_series(1, 60) AS n WHERE EXISTS (SELECT FROM bagelpay.items AS i WHERE i.order_id = 'o' || n);
    PERFORM bagelpay.grant ('o' || n, 'gus@example.com', 'p1', '2025-03-01Z'::timestamptz + n * interval '1 day') FROM generate_series(50, 90) AS n;
    PERFORM bagelpay.revoke ('o' || n) FROM generate_series(40, 80) AS n WHERE EXISTS (SELECT FROM bagelpay.orders AS o WHERE o.order_id = 'o' || n);
    UPDATE bagelpay_internal.decisions SET occurred_at = timestamptz '2025-01-10Z' + (hashtext(event_id) & 63) * interval '1 day';
END
$$;
SELECT cmp_ok((SELECT count(*) FROM bagelpay_internal.purchases WHERE cut_at IS NOT NULL), '>', 5::bigint, 'purchases that were cut');
SELECT cmp_ok((SELECT count(*) FROM bagelpay_internal.purchases WHERE replaced_at IS NOT NULL), '>', 2::bigint, 'trials that were replaced');
SELECT cmp_ok((SELECT count(*) FROM bagelpay.entitlement_changes ('2024-01-01Z', '2026-12-31Z')), '>', 200::bigint, 'changes');
SELECT is(pg_temp.broken_promises (30), 0::bigint, 'entitlement() holds until it says, in random histories');
-- Where fewer orders count, there are more gaps.
UPDATE bagelpay.settings SET require_expected_order = TRUE;
SELECT bagelpay.expect_order ('o' || n, NULL, NULL, NULL::numeric, NULL) FROM generate_series(1, 150, 9) AS n \g /dev/null
SELECT is(pg_temp.broken_promises (15), 0::bigint, 'and with fewer orders');
UPDATE bagelpay.settings SET require_expected_order = FALSE;

INSERT INTO bagelpay.products (product_id, period) VALUES ('p2', '45 days');
CREATE TEMPORARY TABLE variants (n integer, setting text);
INSERT INTO variants VALUES (1, 'grace = ''1 day'''), (2, 'grace = ''0'''), (3, 'grace = ''1 month'', default_period = ''1 month'''), (4, 'grace = ''40 days'', on_cancel = ''keep_paid_time'''), (5, 'revoke_on_dispute = FALSE, default_period = ''14 days''');
CREATE FUNCTION pg_temp.under (setting text, after text, until text)
    RETURNS bigint
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE bagelpay.settings SET grace = DEFAULT, default_period = DEFAULT, on_cancel = DEFAULT, revoke_on_dispute = DEFAULT;
    EXECUTE 'UPDATE bagelpay.settings SET ' || setting;
    RETURN pg_temp.differences (after, until);
END
$$;
SELECT is(pg_temp.under (setting, after, until), 0::bigint, concat_ws(' ', setting, after, until))
FROM variants
CROSS JOIN (VALUES ('2025-02-01Z', '2025-02-15Z'), ('2025-02-27Z', '2025-02-28Z'), ('2025-02-28Z', '2025-03-01Z'), ('2025-03-30 12:00Z', '2025-04-01 12:00Z')) AS v (after, until)
ORDER BY n, after;
UPDATE bagelpay.settings SET grace = DEFAULT, default_period = DEFAULT, on_cancel = DEFAULT, revoke_on_dispute = DEFAULT;
SELECT is((SELECT count(*) FROM bagelpay.entitlement_changes ('2025-01-01Z', '2025-07-02Z')),
    (SELECT sum(n.changes)::bigint FROM generate_series(timestamptz '2025-01-01Z', '2025-06-25Z', '7 days') AS d CROSS JOIN LATERAL (SELECT count(*) AS changes FROM bagelpay.entitlement_changes (d, d + interval '7 days')) AS n),
    'weeks that follow each other leave nothing out');

-- Straight to what begins and ends, among many.
DO $$
BEGIN
    FOR start IN 1 .. 8000 BY 100 LOOP
        PERFORM FROM (
            SELECT json_agg(m.made) AS deliveries, array_agg(convert_to(m.made::text, 'UTF8')) AS bodies
            FROM (
                SELECT pg_temp.made ('n' || n, CASE n % 9 WHEN 0 THEN 'subscription.trialing' ELSE 'subscription.paid' END, (timestamp '2022-01-01' + n * interval '3 hours')::text,
                    jsonb_build_object('customer_id', 'n' || n, 'payment_id', 'n' || n, 'metadata', jsonb_build_object('order_id', 'n' || n))
                        || CASE n % 4 WHEN 0 THEN jsonb_build_object('recurring_interval', '1 month') WHEN 1 THEN '{}' ELSE jsonb_build_object('billing_period_end', (timestamptz '2022-02-01Z' + n * interval '3 hours')::text) END) AS made
                FROM generate_series(start, start + 99) AS n) AS m) AS batch
        CROSS JOIN LATERAL bagelpay.ingest (batch.deliveries, batch.bodies);
        COMMIT;
    END LOOP;
END
$$;
ANALYZE;
CREATE FUNCTION pg_temp.plan_of (query text)
    RETURNS SETOF text
    LANGUAGE plpgsql
    AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query;
END
$$;
SELECT is((SELECT string_agg(ltrim(line, ' >-'), ', ') FROM pg_temp.plan_of ('SELECT * FROM bagelpay_internal.clock_moments (''2024-06-01Z'', ''2024-06-02Z'', ''live'')') AS line WHERE line ~ 'Seq Scan on ' AND line !~ 'on (settings|products|decisions)'), NULL, 'no table is read whole, with the server''s own settings');
SELECT is((SELECT string_agg(n, ' ' ORDER BY n) FROM unnest('{purchases_by_start,purchases_by_period_end,purchases_by_length,purchases_by_item}'::text[]) AS n WHERE EXISTS (SELECT FROM pg_temp.plan_of ('SELECT * FROM bagelpay_internal.clock_moments (''2024-06-01Z'', ''2024-06-02Z'', ''live'')') AS line WHERE line ~ (' using ' || n || ' | on ' || n || '$'))),
    'purchases_by_item purchases_by_length purchases_by_period_end purchases_by_start', 'the indexes lead to the bounds');

-- Rows that were read to answer.
CREATE FUNCTION pg_temp.rows_read (question text)
    RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    before bigint;
BEGIN
    -- Once to plan.
    EXECUTE question;
    SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) INTO before FROM pg_stat_xact_user_tables WHERE schemaname IN ('bagelpay', 'bagelpay_internal');
    EXECUTE question;
    RETURN (SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) - before FROM pg_stat_xact_user_tables WHERE schemaname IN ('bagelpay', 'bagelpay_internal'));
END
$$;
SELECT cmp_ok(pg_temp.rows_read ('SELECT * FROM bagelpay.entitlement_changes (''2024-06-01Z'', ''2024-06-02Z'')'), '<', 1500::bigint, 'a day reads that day''s rows');
SELECT cmp_ok((SELECT count(*) FROM bagelpay.entitlement_changes ('2024-06-01Z', '2024-06-02Z')), '>', 10::bigint, 'of which there are some');

SELECT * FROM finish();
