-- find(): what carries a name, whatever it is the name of.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

-- The database is this file's.
SELECT plan(98);

\ir builder.psql

-- kind, value, mode, order, product, e-mail, entitled, reason of what is found, as one short text.
CREATE FUNCTION pg_temp.found (name text, of_mode text DEFAULT NULL)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.told (format('SELECT * FROM bagelpay.find (%L, %L)', name, of_mode))
$$;

SELECT pg_temp.take ('evt_a', 'subscription.paid', '2025-01-01 00:00:00', '{"payment_id":"pay_a","provider_order_id":"ORD_a","subscription_id":"sub_a","processor_subscription_id":"sp_a","request_id":"req_a","customer_id":"cus_a","customer_email":"ann@example.com","billing_period_end":"2999-01-01 00:00:00+00","metadata":{"order_id":"o1","user_id":"u1"}}') \g /dev/null
-- Her renewal: only payment and provider order are new names.
SELECT pg_temp.take ('evt_b', 'subscription.paid', '2025-02-01 00:00:00', '{"payment_id":"pay_b","provider_order_id":"ORD_b","subscription_id":"sub_a","processor_subscription_id":"sp_a","request_id":"req_a","customer_id":"cus_a","customer_email":"ann@example.com","metadata":{"order_id":"o1","user_id":"u1"}}') \g /dev/null
-- And one with another e-mail.
SELECT pg_temp.take ('evt_c', 'subscription.paid', '2025-03-01 00:00:00', '{"payment_id":"pay_c","provider_order_id":"ORD_c","subscription_id":"sub_a","request_id":"req_c","customer_id":"cus_a","customer_email":"new@example.com","metadata":{"order_id":"o1","user_id":"u1"}}') \g /dev/null
SELECT is(string_agg(event_id, ' ' ORDER BY event_id), 'evt_b', 'a renewal without a new name has no entries') FROM bagelpay.events WHERE NOT has_new_name;

SELECT is(pg_temp.found (name), kind || ' ' || name || ' live o1 p1 new@example.com true active', kind || ' ' || name)
FROM (VALUES ('order', 'o1'), ('event', 'evt_a'), ('event', 'evt_b'), ('payment', 'pay_a'), ('payment', 'pay_b'), ('payment', 'pay_c'), ('provider_order', 'ORD_a'), ('provider_order', 'ORD_b'),
    ('subscription', 'sub_a'), ('processor_subscription', 'sp_a'), ('request', 'req_a'), ('request', 'req_c'), ('user', 'u1'), ('customer', 'cus_a'), ('email', 'ann@example.com'), ('email', 'new@example.com')) AS v (kind, name);

-- What is around a name, and case.
SELECT is(pg_temp.found (name), 'email ann@example.com live o1 p1 new@example.com true active', to_json(name)::text)
FROM (VALUES ('Ann@Example.COM'), (E' \t\r\nann@example.com\n'), ('<ann@example.com>'), ('"ann@example.com",'), ('''ann@example.com'';'), ('“ann@example.com”'), (E'\u00a0ann@example.com')) AS v (name);
SELECT is(pg_temp.found (name), '', 'not ' || name)
FROM (VALUES ('CUS_A'), ('cus_'), ('us_a'), ('cus_a b'), ('%'), ('_'), ('ann@example.co'), ('nobody')) AS v (name);

-- What is no purchase.
SELECT pg_temp.take ('evt_f', 'checkout.failed', '2025-01-01 00:00:00', '{"payment_id":"pay_f","provider_order_id":"ORD_f","subscription_id":"sub_f","request_id":"req_f","customer_id":"cus_f","customer_email":"fay@example.com","metadata":{"order_id":"o2","user_id":"u2"}}') \g /dev/null
SELECT pg_temp.take ('evt_x', 'subscription.canceled', '2025-04-01 00:00:00', '{"payment_id":"pay_x","provider_order_id":"ORD_x","subscription_id":"sub_x","customer_id":"cus_x","customer_email":"xia@example.com","metadata":{"order_id":"o1"}}') \g /dev/null
SELECT pg_temp.take ('evt_t', 'subscription.trialing', '2025-01-01 00:00:00', '{"mode":"test","payment_id":"pay_t","subscription_id":"sub_t","customer_id":null,"customer_email":"tim@example.com","metadata":{"order_id":"o3"}}') \g /dev/null
SELECT pg_temp.take ('evt_u', 'checkout.failed', '2025-01-01 00:00:00', '{"metadata":null,"customer_id":null,"customer_email":"una@example.com"}') \g /dev/null
SELECT pg_temp.take ('evt_i', 'invoice.created', '2025-01-01 00:00:00', '{"payment_id":"pay_i","customer_email":"ian@example.com"}') \g /dev/null
SELECT bagelpay.ingest ('[{"outcome":"invalid","detail":"x","event_id":"evt_d","customer_email":"dan@example.com","metadata":{"order_id":"od"}}]', '{x}') \g /dev/null
SELECT bagelpay.expect_order ('oe', 'Eli@example.com', 'p1', 10, 'EUR') \g /dev/null
SELECT bagelpay.grant ('gift', 'gus@example.com', 'p9') \g /dev/null

SELECT is(pg_temp.found (name), kind || ' ' || name || ' live o2 - - false failed', kind || ' ' || name || ' of a failed payment')
FROM (VALUES ('payment', 'pay_f'), ('provider_order', 'ORD_f'), ('subscription', 'sub_f'), ('request', 'req_f'), ('user', 'u2'), ('customer', 'cus_f'), ('email', 'fay@example.com')) AS v (kind, name);
SELECT is(pg_temp.found (name), kind || ' ' || name || ' live o1 p1 new@example.com true active', kind || ' ' || name || ' that only a cancellation carries')
FROM (VALUES ('payment', 'pay_x'), ('provider_order', 'ORD_x'), ('subscription', 'sub_x'), ('customer', 'cus_x'), ('email', 'xia@example.com')) AS v (kind, name);
SELECT is(pg_temp.found (name), told, told)
FROM (VALUES
    ('pay_t', 'payment pay_t test o3 p1 tim@example.com false expired'), ('tim@example.com', 'email tim@example.com test o3 p1 tim@example.com false expired'),
    ('email:tim@example.com', 'customer email:tim@example.com test o3 p1 tim@example.com false expired'), ('evt_t', 'event evt_t test o3 p1 tim@example.com false expired'),
    ('una@example.com', 'email una@example.com live - p1 una@example.com false unmatched'), ('evt_u', 'event evt_u live - p1 una@example.com false unmatched'),
    ('pay_i', 'payment pay_i live - p1 ian@example.com false ignored'), ('ian@example.com', 'email ian@example.com live - p1 ian@example.com false ignored'),
    ('od', 'order od - - - dan@example.com false dead_letter'), ('evt_d', 'event evt_d - - - dan@example.com false dead_letter'), ('dan@example.com', 'email dan@example.com - - - dan@example.com false dead_letter'),
    ('oe', 'order oe live - p1 eli@example.com false expected'), ('ELI@example.com', 'email eli@example.com live - p1 eli@example.com false expected'),
    ('gus@example.com', 'email gus@example.com live gift p9 gus@example.com true granted'), ('gift', 'order gift live gift p9 gus@example.com true granted')) AS v (name, told);

-- A mode, or both.
SELECT is(pg_temp.found ('pay_t', 'test'), 'payment pay_t test o3 p1 tim@example.com false expired', 'in its mode');
SELECT is(pg_temp.found ('pay_t', 'live'), '', 'not in the other');
SELECT is(pg_temp.told ('SELECT order_id FROM bagelpay.find (''pay_t'', mode => ''test'')'), 'o3', 'by name');
SELECT pg_temp.take ('evt_2', 'checkout.completed', '2025-01-01 00:00:00', '{"mode":"test","payment_id":"two","metadata":{"order_id":"o1"}}') \g /dev/null
SELECT is(pg_temp.found ('o1'), 'order o1 live o1 p1 new@example.com true active | order o1 test o1 p1 c1@example.com true paid', 'live before test');

-- What begins with it.
SELECT is(pg_temp.told ('SELECT kind, value FROM bagelpay.find (''pay_*'', ''live'')'), 'payment pay_a | payment pay_b | payment pay_c | payment pay_f | payment pay_i | payment pay_x', 'payments');
SELECT is(pg_temp.told ('SELECT kind, value FROM bagelpay.find ('' "NEW@*", '')'), 'email new@example.com', 'an e-mail in any case');
SELECT is(pg_temp.told ('SELECT kind, value FROM bagelpay.find (''pay_a*'')'), 'payment pay_a', 'itself, too');
SELECT is(pg_temp.found ('ay_*'), '', 'not within');
SELECT throws_ok(format('SELECT * FROM bagelpay.find (%L)', wrong), '22023', message, format('find (%L)', wrong))
FROM (VALUES (NULL, 'text: nothing to look for in NULL'), ('', 'text: nothing to look for in '''''), (' <>', 'text: nothing to look for in '' <>'''), ('*', 'text: nothing to look for in ''*'''), ('pa*', 'text: needs at least 3 characters before *, not ''pa*''')) AS v (wrong, message);
SELECT throws_ok('SELECT * FROM bagelpay.find (''o1'', ''Live'')', '22023', 'mode: must be ''test'' or ''live'', not ''Live''', 'another mode');

-- An order of several customers: only the items that the name is about.
SELECT pg_temp.take ('m' || n, 'checkout.completed', '2025-01-01 00:00:00', format('{"payment_id":"m%s","provider_order_id":"M%s","customer_id":"m%s","customer_email":"m%s@example.com","metadata":{"order_id":"many","user_id":"mu%s"}}', n, n, n, n, n)::jsonb) FROM generate_series(1, 3) AS n \g /dev/null
SELECT is(pg_temp.told (format('SELECT order_id, customer_email FROM bagelpay.find (%L)', name)), told, name || ' among many')
FROM (VALUES ('M2', 'many m2@example.com'), ('m2@example.com', 'many m2@example.com'), ('mu2', 'many m2@example.com'), ('many', 'many m1@example.com | many m2@example.com | many m3@example.com')) AS v (name, told);
SELECT is(pg_temp.told ('SELECT kind, customer_email FROM bagelpay.find (''m2'')'), 'event m2@example.com | payment m2@example.com | customer m2@example.com', 'one name of three kinds');

-- Orders that lose events to another keep their names; and so do those that gain them.
SELECT pg_temp.take ('k1', 'subscription.paid', '2025-01-01 00:00:00', '{"metadata":null,"payment_id":"k1","customer_id":"kim","customer_email":"kim@example.com","subscription_id":"sk","request_id":"rk"}') \g /dev/null
SELECT pg_temp.take ('k2', 'subscription.paid', '2025-02-01 00:00:00', '{"metadata":null,"payment_id":"k2","customer_id":"kim","customer_email":"kim@example.com","subscription_id":"sk","request_id":"rk"}') \g /dev/null
SELECT pg_temp.take ('k3', 'checkout.failed', '2025-03-01 00:00:00', '{"metadata":{"order_id":"ko"},"payment_id":"k1","customer_id":null,"customer_email":null}') \g /dev/null
SELECT is(pg_temp.told (format('SELECT order_id FROM bagelpay.find (%L)', name)), 'customer:kim:p1 | ko', name || ' of an order that was divided')
FROM (VALUES ('kim'), ('sk'), ('rk'), ('kim@example.com')) AS v (name);
SELECT pg_temp.take ('r' || n, 'subscription.paid', '2025-0' || n || '-01 00:00:00', format('{"metadata":{"order_id":"ro","other":"ro%s"},"payment_id":"r%s","customer_id":"rob","customer_email":"rob@example.com","subscription_id":"sr"}', n, n)::jsonb) FROM generate_series(1, 2) AS n \g /dev/null
UPDATE bagelpay.settings SET order_key = '{metadata.other,metadata.order_id}';
SELECT bagelpay.rekey () \g /dev/null
SELECT is(pg_temp.told (format('SELECT order_id FROM bagelpay.find (%L)', name)), 'ro1 | ro2', name || ' by other keys')
FROM (VALUES ('rob'), ('sr'), ('rob@example.com')) AS v (name);
UPDATE bagelpay.settings SET order_key = DEFAULT;
SELECT bagelpay.rekey () \g /dev/null
UPDATE bagelpay.settings SET user_key = '{metadata.other}';
SELECT bagelpay.rebuild () \g /dev/null
SELECT is(pg_temp.told ('SELECT order_id FROM bagelpay.find (''ro2'')'), 'ro', 'by another user');
UPDATE bagelpay.settings SET user_key = DEFAULT;
SELECT bagelpay.rebuild () \g /dev/null

-- What was erased is not found.
SELECT bagelpay.forget_customer ('ann@example.com') \g /dev/null
SELECT is(pg_temp.found ('ann@example.com'), '', 'an e-mail that was erased');

-- Straight to its rows.
DO $$
BEGIN
    FOR start IN 1 .. 4000 BY 100 LOOP
        PERFORM FROM (
            SELECT json_agg(m.made) AS deliveries, array_agg(convert_to(m.made::text, 'UTF8')) AS bodies
            FROM (
                SELECT pg_temp.made ('e' || n, 'subscription.paid', '2025-01-01 00:00:00',
                    jsonb_build_object('customer_id', 'n' || n, 'customer_email', 'n' || n || '@example.com', 'payment_id', 'q' || n, 'provider_order_id', 'po' || n, 'subscription_id', 's' || n,
                        'processor_subscription_id', 'r' || n, 'request_id', 'rq' || n, 'metadata', jsonb_build_object('order_id', 'z' || n, 'user_id', 'w' || n))) AS made
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
    SELECT ARRAY[sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), sum(seq_scan) FILTER (WHERE relname NOT IN ('settings', 'products', 'expected_orders', 'decisions'))] INTO before
    FROM pg_stat_xact_user_tables WHERE schemaname IN ('bagelpay', 'bagelpay_internal');
    EXECUTE question INTO answer;
    RETURN (SELECT format('%s, %s rows, %s whole', answer,
        CASE WHEN sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) - before[1] <= 80 THEN 'few' ELSE (sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) - before[1])::text END,
        sum(seq_scan) FILTER (WHERE relname NOT IN ('settings', 'products', 'expected_orders', 'decisions')) - before[2])
        FROM pg_stat_xact_user_tables WHERE schemaname IN ('bagelpay', 'bagelpay_internal'));
END
$$;
SELECT is(pg_temp.read_by (format('SELECT string_agg(kind || '' '' || order_id, '', '') FROM bagelpay.find (%L)', name)), kind || ' z777, few rows, 0 whole', name)
FROM (VALUES ('order', 'z777'), ('event', 'e777'), ('payment', 'q777'), ('provider_order', 'po777'), ('subscription', 's777'), ('processor_subscription', 'r777'), ('request', 'rq777'), ('user', 'w777'), ('customer', 'n777'), ('email', 'N777@example.com'), ('payment', 'q777*')) AS v (kind, name);

SELECT * FROM finish();
