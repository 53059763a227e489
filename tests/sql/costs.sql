-- What one event costs that is the newest of its order: the same, however many events the order has; unless it is of all of
-- them, or names none of them, and then a few rows for each. Counted are the rows that it reads and writes, on an order of
-- few and on one of many events.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

-- The database is this file's.
SELECT plan(23);

\ir builder.psql

-- Rows that this transaction has read and written so far.
CREATE FUNCTION pg_temp.touched ()
    RETURNS bigint
    LANGUAGE sql
    AS $$
    SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0) + n_tup_ins + n_tup_upd + n_tup_del)::bigint
    FROM pg_stat_xact_user_tables
    WHERE schemaname IN ('bagelpay', 'bagelpay_internal')
$$;

CREATE FUNCTION pg_temp.cost (id text, type text, at text, extra jsonb)
    RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    before bigint := pg_temp.touched ();
BEGIN
    PERFORM pg_temp.take (id, type, at, extra);
    RETURN pg_temp.touched () - before;
END
$$;

-- What orders have many of: the type of event n (the first one is a subscription.paid), and what it says. @ stands for the order.
CREATE TEMPORARY TABLE kinds (kind text, type text, extra text);
INSERT INTO kinds VALUES
    ('payments', 'subscription.paid', '{"payment_id":"@n","provider_order_id":"@n"}'),
    ('payments without an id', 'subscription.paid', '{}'),
    ('products', 'subscription.paid', '{"payment_id":"@n","product_id":"pn"}'),
    ('customers', 'subscription.paid', '{"payment_id":"@n","customer_id":"cn","customer_email":"cn@example.com"}'),
    ('subscriptions', 'subscription.paid', '{"payment_id":"@n","subscription_id":"sn"}'),
    ('subscriptions by two ids', 'subscription.paid', '{"payment_id":"@n","subscription_id":"sn","processor_subscription_id":"rn"}'),
    ('trials', 'subscription.trialing', '{"payment_id":"@n"}'),
    ('refunds', 'refund.created', '{"payment_id":"@1","refund_id":"n"}'),
    ('failures', 'checkout.failed', '{"payment_id":"@n"}');

-- rows_each: what it may touch of each purchase or item of the order.
CREATE TEMPORARY TABLE newest (n integer, rows_each integer, what text, type text, extra text);
INSERT INTO newest VALUES
    (1, 0, 'a payment', 'subscription.paid', '{"payment_id":"@a"}'),
    (2, 0, 'the same told again', 'subscription.paid', '{"payment_id":"@a","units":3}'),
    (3, 0, 'a payment by the provider''s order', 'subscription.paid', '{"provider_order_id":"@b"}'),
    (4, 0, 'a payment without a name', 'subscription.paid', '{}'),
    (5, 0, 'a payment that inherits everything', 'subscription.paid', '{"payment_id":"@c","product_id":null,"customer_id":null,"customer_email":null}'),
    (6, 0, 'a payment of an e-mail', 'subscription.paid', '{"payment_id":"@d","customer_id":null}'),
    (7, 0, 'a checkout without a billing_type', 'checkout.completed', '{"payment_id":"@e"}'),
    (8, 2, 'an older payment told again', 'subscription.paid', '{"payment_id":"@5"}'),
    (9, 1, 'a failure', 'checkout.failed', '{"payment_id":"@f"}'),
    (10, 1, 'a failure of a subscription', 'checkout.failed', '{"payment_id":"@g","subscription_id":"s3"}'),
    (11, 0, 'a dispute', 'checkout.cancel', '{"payment_id":"@5"}'),
    (12, 0, 'a dispute by the provider''s order', 'checkout.cancel', '{"provider_order_id":"@5"}'),
    (13, 0, 'a refund', 'refund.created', '{"payment_id":"@4"}'),
    (14, 0, 'a refund by the provider''s order', 'refund.created', '{"provider_order_id":"@3"}'),
    (15, 2, 'a refund by subscription', 'refund.created', '{"subscription_id":"s3"}'),
    (16, 2, 'a refund without a name', 'refund.created', '{}'),
    (17, 0, 'a refund of an unknown payment', 'refund.created', '{"payment_id":"nix"}'),
    (18, 6, 'a cancellation of a subscription', 'subscription.canceled', '{"subscription_id":"s3"}'),
    (19, 6, 'a cancellation', 'subscription.canceled', '{}'),
    (20, 0, 'a trial', 'subscription.trialing', '{}'),
    (21, 0, 'a trial of a payment', 'subscription.trialing', '{"payment_id":"@a"}'),
    (22, 0, 'a user', 'subscription.paid', '{"payment_id":"@h","metadata":{"order_id":"@","user_id":"u1"}}');

CREATE TEMPORARY TABLE costs (kind text, what text, size integer, cost bigint);

-- In transactions of their own, because the locks of names last as long as they do.
DO $do$
DECLARE
    k kinds;
    e newest;
    of_order text;
BEGIN
    FOR k IN SELECT * FROM kinds LOOP
        FOREACH of_order IN ARRAY '{10,300}'::text[] LOOP
            FOR start IN 1 .. of_order::integer BY 50 LOOP
                PERFORM FROM (
                    SELECT json_agg(m.made ORDER BY m.n) AS deliveries, array_agg(convert_to(m.made::text, 'UTF8') ORDER BY m.n) AS bodies
                    FROM (
                        SELECT pg_temp.made (
                            format('%s %s %s', k.kind, of_order, n), CASE n WHEN 1 THEN 'subscription.paid' ELSE k.type END, (timestamp '2025-01-01' + n * interval '1 hour')::text,
                            jsonb_build_object('metadata', jsonb_build_object('order_id', k.kind || of_order))
                                || regexp_replace(replace(k.extra, '@', k.kind || of_order || '-'), '(?<=["cprs-])n(?=["@])', n::text, 'g')::jsonb) AS made, n
                        FROM generate_series(start, least(start + 49, of_order::integer)) AS n) AS m) AS batch
                CROSS JOIN LATERAL bagelpay.ingest (batch.deliveries, batch.bodies);
                COMMIT;
            END LOOP;
            FOR e IN SELECT * FROM newest ORDER BY n LOOP
                INSERT INTO costs VALUES (k.kind, e.what, of_order::integer, pg_temp.cost (
                    format('%s %s newest %s', k.kind, of_order, e.n), e.type, (timestamp '2026-01-01' + e.n * interval '1 hour')::text,
                    jsonb_build_object('metadata', jsonb_build_object('order_id', k.kind || of_order)) || replace(replace(e.extra, '"@"', to_json(k.kind || of_order)::text), '@', k.kind || of_order || '-')::jsonb));
                COMMIT;
            END LOOP;
        END LOOP;
    END LOOP;
END
$do$;

SELECT is((SELECT count(*) FROM bagelpay.orders) || ' ' || (SELECT count(*) FROM bagelpay.events), format('18 %s', 9 * (310 + 2 * 22)), 'orders of few and of many events');
SELECT is(
    (SELECT string_agg(format('%s: %s → %s', kind, few.cost, many.cost), ', ' ORDER BY kind)
     FROM costs AS few
     JOIN costs AS many USING (kind, what)
     WHERE few.size = 10 AND many.size = 300 AND what = newest.what AND many.cost > few.cost + 20 + 290 * newest.rows_each), NULL, newest.what || ' costs the same')
FROM newest
ORDER BY n;

SELECT * FROM finish();
