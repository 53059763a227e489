-- is_entitled() and is_user_entitled(): what they take for arguments; and that they, and questions to the view of
-- entitlements, go straight to their rows.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

-- The database is this file's.
SELECT plan(101);

\ir builder.psql

SELECT pg_temp.take ('a1', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"a","customer_email":"ann@example.com","metadata":{"order_id":"o1","user_id":"u1"}}') \g /dev/null
SELECT pg_temp.take ('a2', 'checkout.completed', '2025-01-01 00:00:00', '{"mode":"test","payment_id":"b","customer_id":"c2","customer_email":"test@example.com","metadata":{"order_id":"o2","user_id":"u2"}}') \g /dev/null
SELECT pg_temp.take ('a3', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"c","customer_id":null,"customer_email":"bob@example.com","metadata":{"order_id":"o3"}}') \g /dev/null
SELECT pg_temp.take ('a4', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"d","customer_id":null,"customer_email":null,"product_id":null,"metadata":{"order_id":"o4"}}') \g /dev/null
SELECT pg_temp.take ('a5', 'subscription.paid', '2025-01-01 00:00:00', '{"payment_id":"e","customer_id":"c5","customer_email":"old@example.com","metadata":{"order_id":"o5"}}') \g /dev/null
SELECT pg_temp.take ('a6', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"f","customer_id":"c5","customer_email":"old@example.com","product_id":"p5","metadata":{"order_id":"o6"}}') \g /dev/null

-- By customer id or e-mail.
SELECT is(bagelpay.is_entitled (customer, product), entitled, concat_ws(', ', to_json(customer), to_json(product)))
FROM (VALUES ('c1', 'p1', TRUE), (E' \tc1\r\n', E'\x0Bp1 ', TRUE), ('C1', 'p1', FALSE), ('c1', 'P1', FALSE), ('c1', 'p2', FALSE), ('c9', 'p1', FALSE), ('ann@example.com', 'p1', TRUE), (' Ann@EXAMPLE.com ', 'p1', TRUE),
    ('bob@example.com', 'p1', TRUE), ('ann@example.co', 'p1', FALSE), ('%', 'p1', FALSE), (NULL, 'p1', FALSE), ('', 'p1', FALSE), (' ', 'p1', FALSE), ('c1', NULL, FALSE), ('c1', '', FALSE), ('c1', ' ', FALSE), ('', '', FALSE), (NULL, NULL, FALSE),
    ('c5', 'p1', FALSE), ('c5', 'p5', TRUE), ('u1', 'p1', FALSE), ('c2', 'p1', FALSE), ('test@example.com', 'p1', FALSE)) AS v (customer, product, entitled);
SELECT is(bagelpay.is_entitled (customer, 'p1', mode, at), entitled, format('%L in %s mode at %s', customer, mode, at))
FROM (VALUES ('c2', 'test', now(), TRUE), ('Test@example.com', 'test', now(), TRUE), ('c1', 'test', now(), FALSE), ('c1', 'live', '2024-12-31 23:59:59Z', FALSE), ('c1', 'live', '2025-01-01Z', TRUE), ('c5', 'live', '2025-02-01 23:59:59Z', TRUE), ('c5', 'live', '2025-02-02Z', FALSE)) AS v (customer, mode, at, entitled);

-- By the merchant's user.
SELECT is(bagelpay.is_user_entitled (u, product), entitled, format('user %L, %L', u, product))
FROM (VALUES ('u1', 'p1', TRUE), (' u1 ', ' p1 ', TRUE), ('U1', 'p1', FALSE), ('u1', 'p2', FALSE), ('u2', 'p1', FALSE), ('c1', 'p1', FALSE), (NULL, 'p1', FALSE), ('', 'p1', FALSE), ('u1', NULL, FALSE), ('u1', '', FALSE), ('', '', FALSE)) AS v (u, product, entitled);
SELECT is(bagelpay.is_user_entitled ('u2', 'p1', 'test', '2025-01-01Z'), TRUE, 'user in test mode');
SELECT is(bagelpay.is_user_entitled ('u1', 'p1', at => '2024-12-31Z'), FALSE, 'before');

-- Another mode than test and live, and no moment, are errors, whoever is asked about.
SELECT throws_ok(format('SELECT bagelpay.%s(%L, %L, %s)', f, customer, product, wrong), '22023', NULL, format('%s(%L, %L, %s)', f, customer, product, wrong))
FROM unnest('{is_entitled,is_user_entitled}'::text[]) AS f
CROSS JOIN (VALUES ('c1', 'p1', '''Live'''), ('c1', 'p1', '''prod'''), ('c1', 'p1', 'NULL'), ('c1', 'p1', '''live'', NULL'), (NULL, 'p1', '''prod'''), ('c1', '', '''live'', NULL'), ('nobody', 'p1', '''''')) AS v (customer, product, wrong);
SELECT throws_ok('SELECT * FROM bagelpay.entitlements_at (' || wrong || ')', '22023', NULL, 'entitlements_at (' || wrong || ')')
FROM unnest(ARRAY['NULL', 'NULL, ''live''', 'now(), ''Live''', 'now(), NULL', 'now(), ''''']) AS wrong;
SELECT throws_ok('SELECT bagelpay.is_entitled (''c1'', ''p1'', ''LIVE'')', '22023', 'mode: must be ''test'' or ''live'', not ''LIVE''', 'which say what is wrong');

-- Several thousand orders: each of a customer, some with a user, one in ten of a subscription, some with decisions.
DO $$
BEGIN
    FOR start IN 1 .. 4000 BY 100 LOOP
        PERFORM FROM (
            SELECT json_agg(m.made) AS deliveries, array_agg(convert_to(m.made::text, 'UTF8')) AS bodies
            FROM (
                SELECT pg_temp.made ('n' || n, CASE n % 10 WHEN 0 THEN 'subscription.paid' ELSE 'checkout.completed' END, '2025-01-01 00:00:00',
                    jsonb_build_object('customer_id', 'n' || n, 'customer_email', 'n' || n || '@example.com', 'product_id', 'p' || n % 7, 'payment_id', 'n' || n,
                        'recurring_interval', '1000 years', 'metadata', jsonb_build_object('order_id', 'n' || n, 'user_id', 'n' || n))) AS made
                FROM generate_series(start, start + 99) AS n) AS m) AS batch
        CROSS JOIN LATERAL bagelpay.ingest (batch.deliveries, batch.bodies);
        COMMIT;
    END LOOP;
    PERFORM bagelpay.grant ('gift' || n, 'gift' || n || '@example.com', 'p' || n % 7) FROM generate_series(1, 1000) AS n;
END
$$;
ANALYZE;

-- The scans of a query's plan that read a table whole, but for small ones.
CREATE FUNCTION pg_temp.whole (query text)
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    line text;
    found text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line ~ 'Seq Scan on ' AND line !~ 'on (settings|products|expected_orders)' THEN
            found := concat_ws(', ', found, ltrim(line, ' >-'));
        END IF;
    END LOOP;
    RETURN found;
END
$$;

SELECT is(current_setting('enable_seqscan'), 'on', 'with the server''s own settings');
SELECT is(pg_temp.whole ('SELECT * FROM bagelpay.' || question), NULL, question)
FROM unnest(ARRAY[
    'entitlements WHERE customer_id = ''n7''', 'entitlements WHERE customer_email = ''n7@example.com''', 'entitlements WHERE user_id = ''n7''', 'entitlements WHERE order_id = ''n7''',
    'entitlements WHERE customer_id = ''n7'' AND product_id = ''p0'' AND entitled', 'entitlements WHERE customer_email = ''n7@example.com'' AND product_id = ''p0''', 'entitlements WHERE user_id = ''n7'' AND product_id = ''p0''',
    'entitlements_test WHERE customer_id = ''n7''', 'entitlements_at (now()) WHERE order_id = ''n7''',
    'items WHERE order_id = ''n7''', 'items WHERE order_id = ''n7'' AND mode = ''live''', 'subscriptions WHERE order_id = ''n7''', 'payments WHERE order_id = ''n7''', 'trials WHERE order_id = ''n7''', 'orders WHERE order_id = ''n7''', 'order_checks WHERE order_id = ''n7''']) AS question;

-- Rows that were read to answer a question, and tables that were read whole.
CREATE FUNCTION pg_temp.read_by (question text)
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    answer text;
    before bigint[];
BEGIN
    -- Once to plan.
    EXECUTE question INTO answer;
    SELECT ARRAY[sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), sum(seq_scan) FILTER (WHERE relname NOT IN ('settings', 'products', 'expected_orders'))] INTO before
    FROM pg_stat_xact_user_tables WHERE schemaname IN ('bagelpay', 'bagelpay_internal');
    EXECUTE question INTO answer;
    RETURN (SELECT format('%s, %s rows, %s whole', answer,
        CASE WHEN sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) - before[1] <= 50 THEN 'few' ELSE (sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) - before[1])::text END,
        sum(seq_scan) FILTER (WHERE relname NOT IN ('settings', 'products', 'expected_orders')) - before[2])
        FROM pg_stat_xact_user_tables WHERE schemaname IN ('bagelpay', 'bagelpay_internal'));
END
$$;
SELECT is(pg_temp.read_by ('SELECT ' || question), answer || ', few rows, 0 whole', question)
FROM (VALUES ('bagelpay.is_entitled (''n7'', ''p0'')', 'true'), ('bagelpay.is_entitled (''N7@example.com'', ''p0'')', 'true'), ('bagelpay.is_user_entitled (''n7'', ''p0'')', 'true'), ('bagelpay.is_entitled (''gift7@example.com'', ''p0'')', 'true'), ('bagelpay.is_entitled (''n10'', ''p3'')', 'true'),
    ('bagelpay.is_entitled (''n7'', ''p1'')', 'false'), ('bagelpay.is_entitled (''nobody'', ''p1'')', 'false'), ('bagelpay.is_entitled (''nobody@example.com'', ''p1'')', 'false'), ('bagelpay.is_user_entitled (''nobody'', ''p1'')', 'false'), ('bagelpay.is_entitled (NULL, ''p1'')', 'false'), ('bagelpay.is_entitled ('''', ''p1'')', 'false'), ('bagelpay.is_user_entitled ('''', ''p1'')', 'false'),
    ('count(*) FROM bagelpay.entitlements WHERE customer_id = ''n7''', '1'), ('count(*) FROM bagelpay.entitlements WHERE customer_email = ''n7@example.com''', '1'), ('count(*) FROM bagelpay.entitlements WHERE user_id = ''n7''', '1'), ('count(*) FROM bagelpay.entitlements WHERE order_id = ''n7''', '1'), ('count(*) FROM bagelpay.entitlements WHERE order_id = ''gift7''', '1'), ('count(*) FROM bagelpay.entitlements WHERE customer_email = ''gift7@example.com''', '1')) AS v (question, answer);
SELECT is((SELECT count(*) FROM generate_series(1, 700) AS n WHERE bagelpay.is_entitled (CASE n % 2 WHEN 0 THEN 'n' || n ELSE 'N' || n || '@Example.com' END, 'p' || n % 7)),
    700::bigint, 'each of 700 is entitled');
CREATE FUNCTION pg_temp.average_ms ()
    RETURNS numeric
    LANGUAGE plpgsql
    AS $$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    -- Each in a statement of its own, as applications ask.
    FOR n IN 1 .. 1000 LOOP
        EXECUTE format('SELECT bagelpay.is_entitled (%L, %L)', 'n' || n || '@example.com', 'p' || n % 7);
    END LOOP;
    RETURN extract(epoch FROM clock_timestamp() - began);
END
$$;
SELECT cmp_ok(pg_temp.average_ms (), '<', 4.0, 'in few milliseconds each, on a busy machine');

SELECT * FROM finish();
