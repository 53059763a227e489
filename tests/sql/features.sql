-- Features of products: who has one, how much of it, until when.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

-- The database is this file's.
SELECT plan(69);

\ir builder.psql

INSERT INTO bagelpay.products (product_id, name) VALUES ('p1', 'Club'), ('p2', 'Pro'), ('p3', 'Nobody''s');
INSERT INTO bagelpay.product_features (product_id, feature, quantity)
VALUES ('p1', 'chat', NULL), ('p1', 'seats', 5), ('p1', 'gb', 0.5), ('p2', 'seats', 10), ('p2', 'export', NULL), ('p3', 'gold', NULL);

SELECT pg_temp.take ('a1', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"a","customer_email":"ann@example.com","units":3,"metadata":{"order_id":"o1","user_id":"u1"}}') \g /dev/null
SELECT pg_temp.take ('a2', 'checkout.completed', '2025-01-01 00:00:00', '{"mode":"test","payment_id":"b","customer_id":"c2","customer_email":"test@example.com","metadata":{"order_id":"o2","user_id":"u2"}}') \g /dev/null
SELECT pg_temp.take ('a3', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"c","customer_id":null,"customer_email":"bob@example.com","product_id":"p2","metadata":{"order_id":"o3"}}') \g /dev/null
SELECT pg_temp.take ('a5', 'subscription.paid', '2025-01-01 00:00:00', '{"payment_id":"e","customer_id":"c5","customer_email":"eve@example.com","metadata":{"order_id":"o5","user_id":"u5"}}') \g /dev/null
SELECT pg_temp.take ('a6', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"f","customer_id":"c5","customer_email":"eve@example.com","product_id":"p2","metadata":{"order_id":"o6","user_id":"u5"}}') \g /dev/null

-- By customer id or e-mail.
SELECT is(bagelpay.has_feature (customer, feature), has, concat_ws(', ', to_json(customer), to_json(feature)))
FROM (VALUES ('c1', 'chat', TRUE), (E' \tc1\r\n', E'\x0Bchat ', TRUE), ('c1', 'seats', TRUE), ('c1', 'Chat', FALSE), ('C1', 'chat', FALSE), ('c1', 'export', FALSE), ('c1', 'gold', FALSE), ('c1', 'nothing', FALSE),
    ('ann@example.com', 'gb', TRUE), (' Ann@EXAMPLE.com ', 'gb', TRUE), ('bob@example.com', 'export', TRUE), ('email:bob@example.com', 'export', TRUE), ('bob@example.com', 'chat', FALSE), ('nobody', 'chat', FALSE),
    ('c5', 'seats', TRUE), ('c5', 'chat', FALSE), ('eve@example.com', 'export', TRUE), ('u1', 'chat', FALSE), ('c2', 'chat', FALSE), ('test@example.com', 'chat', FALSE),
    (NULL, 'chat', FALSE), ('', 'chat', FALSE), (' ', 'chat', FALSE), ('c1', NULL, FALSE), ('c1', '', FALSE), ('c1', ' ', FALSE), (NULL, NULL, FALSE)) AS v (customer, feature, has);
SELECT is(bagelpay.has_feature (customer, 'chat', mode, at), has, format('%L in %s mode at %s', customer, mode, at))
FROM (VALUES ('c2', 'test', now(), TRUE), ('Test@example.com', 'test', now(), TRUE), ('c1', 'test', now(), FALSE), ('c1', 'live', '2024-12-31 23:59:59Z', FALSE), ('c1', 'live', '2025-01-01Z', TRUE),
    ('c5', 'live', '2025-02-01 23:59:59Z', TRUE), ('c5', 'live', '2025-02-02Z', FALSE)) AS v (customer, mode, at, has);

-- By the merchant's user.
SELECT is(bagelpay.user_has_feature (u, feature), has, format('user %L, %L', u, feature))
FROM (VALUES ('u1', 'chat', TRUE), (' u1 ', ' chat ', TRUE), ('u5', 'export', TRUE), ('u5', 'chat', FALSE), ('u2', 'chat', FALSE), ('c1', 'chat', FALSE), (NULL, 'chat', FALSE), ('', 'chat', FALSE), ('u1', NULL, FALSE), ('u1', '', FALSE)) AS v (u, feature, has);
SELECT is(bagelpay.user_has_feature ('u2', 'chat', 'test'), TRUE, 'user in test mode');

SELECT throws_ok(format('SELECT bagelpay.%s(%L, %L, %s)', f, customer, feature, wrong), '22023', NULL, format('%s(%L, %L, %s)', f, customer, feature, wrong))
FROM unnest('{has_feature,user_has_feature}'::text[]) AS f
CROSS JOIN (VALUES ('c1', 'chat', '''Live'''), (NULL, 'chat', 'NULL'), ('nobody', NULL, '''live'', NULL')) AS v (customer, feature, wrong);

-- A feature that is added is there at once, one that is removed is gone.
INSERT INTO bagelpay.product_features (product_id, feature) VALUES ('p1', 'new');
SELECT is(bagelpay.has_feature ('c1', 'new') AND bagelpay.user_has_feature ('u1', 'new'), TRUE, 'a new feature');
DELETE FROM bagelpay.product_features WHERE feature = 'new';
SELECT is(bagelpay.has_feature ('c1', 'new') OR bagelpay.user_has_feature ('u1', 'new'), FALSE, 'that goes again');

-- A grant gives its product's features; a revocation takes them.
SELECT bagelpay.grant ('gift', 'gus@example.com', 'p3', '2999-01-01Z') \g /dev/null
SELECT is(bagelpay.has_feature ('Gus@example.com', 'gold'), TRUE, 'a grant');
SELECT bagelpay.revoke ('gift') \g /dev/null
SELECT is(bagelpay.has_feature ('gus@example.com', 'gold'), FALSE, 'and a revocation');
SELECT bagelpay.grant ('gift', 'gus@example.com', 'p3', '2999-01-01Z') \g /dev/null

-- How much of each, and until when.
SELECT is(pg_temp.told ('SELECT mode, customer_id, customer_email, user_id, feature, quantity, pg_temp.utc (valid_until) FROM bagelpay.entitled_features WHERE customer_id ' || condition || ' ORDER BY feature COLLATE "C"'), told, condition)
FROM (VALUES
    ('= ''c1''', 'live c1 ann@example.com u1 chat - - | live c1 ann@example.com u1 gb 1.5 - | live c1 ann@example.com u1 seats 15 -'),
    ('= ''c2''', 'test c2 test@example.com u2 chat - - | test c2 test@example.com u2 gb 0.5 - | test c2 test@example.com u2 seats 5 -'),
    ('= ''c5''', 'live c5 eve@example.com u5 export - - | live c5 eve@example.com u5 seats 10 -'),
    ('= ''email:gus@example.com''', 'live email:gus@example.com gus@example.com - gold - 2999-01-01')) AS v (condition, told);
SELECT pg_temp.take ('a7', 'subscription.paid', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '{"payment_id":"g","customer_id":"c1","customer_email":"ann@example.com","product_id":"p2","billing_period_end":"2998-01-01 00:00:00+00","units":2,"metadata":{"order_id":"o7","user_id":"u1"}}') \g /dev/null
SELECT is(pg_temp.told ('SELECT feature, quantity, pg_temp.utc (valid_until) FROM bagelpay.entitled_features WHERE user_id = ''u1'' ORDER BY feature COLLATE "C"'),
    'chat - - | export - 2998-01-02 | gb 1.5 - | seats 35 -', 'the sum over items; no end is the latest');
SELECT is((SELECT count(*) FROM bagelpay.entitled_features WHERE feature = 'gold'), 1::bigint, 'and who has a feature');

-- Straight to their rows, among several thousand orders.
DO $$
BEGIN
    FOR start IN 1 .. 4000 BY 100 LOOP
        PERFORM FROM (
            SELECT json_agg(m.made) AS deliveries, array_agg(convert_to(m.made::text, 'UTF8')) AS bodies
            FROM (
                SELECT pg_temp.made ('n' || n, 'checkout.completed', '2025-01-01 00:00:00',
                    jsonb_build_object('customer_id', 'n' || n, 'customer_email', 'n' || n || '@example.com', 'product_id', 'p' || n % 7, 'payment_id', 'n' || n,
                        'metadata', jsonb_build_object('order_id', 'n' || n, 'user_id', 'n' || n))) AS made
                FROM generate_series(start, start + 99) AS n) AS m) AS batch
        CROSS JOIN LATERAL bagelpay.ingest (batch.deliveries, batch.bodies);
        COMMIT;
    END LOOP;
END
$$;
ANALYZE;
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
    SELECT ARRAY[sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), sum(seq_scan) FILTER (WHERE relname NOT IN ('settings', 'products', 'product_features', 'expected_orders', 'decisions'))] INTO before
    FROM pg_stat_xact_user_tables WHERE schemaname IN ('bagelpay', 'bagelpay_internal');
    EXECUTE question INTO answer;
    RETURN (SELECT format('%s, %s rows, %s whole', answer,
        CASE WHEN sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) - before[1] <= 60 THEN 'few' ELSE (sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) - before[1])::text END,
        sum(seq_scan) FILTER (WHERE relname NOT IN ('settings', 'products', 'product_features', 'expected_orders', 'decisions')) - before[2])
        FROM pg_stat_xact_user_tables WHERE schemaname IN ('bagelpay', 'bagelpay_internal'));
END
$$;
SELECT is(pg_temp.read_by ('SELECT ' || question), answer || ', few rows, 0 whole', question)
FROM (VALUES ('bagelpay.has_feature (''n8'', ''chat'')', 'true'), ('bagelpay.has_feature (''N8@example.com'', ''chat'')', 'true'), ('bagelpay.user_has_feature (''n8'', ''chat'')', 'true'), ('bagelpay.has_feature (''n7'', ''chat'')', 'false'), ('bagelpay.user_has_feature (''nobody'', ''chat'')', 'false'),
    ('count(*) FROM bagelpay.entitled_features WHERE customer_id = ''n8''', '3'), ('count(*) FROM bagelpay.entitled_features WHERE customer_email = ''n8@example.com''', '3'), ('count(*) FROM bagelpay.entitled_features WHERE user_id = ''n8''', '3')) AS v (question, answer);

SELECT * FROM finish();
