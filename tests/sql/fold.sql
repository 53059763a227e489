-- The fold as such: the order of events, what one event writes and reads, orders apart from each other, and rebuild().
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(22);

\ir builder.psql

-- The ids of an order's events as they are folded.
\set folded 'SELECT string_agg(event_id, '' '' ORDER BY position) FROM bagelpay.explain (''o1'')'

-- By second, rank, moment, and event id, the ids by their bytes.
SELECT is(pg_temp.story (
    'subscription.canceled@1{"event_id":"7"}', 'refund.created@1{"event_id":"6"}', 'subscription.paid@1{"event_id":"5"}', 'subscription.trialing@1{"event_id":"4"}',
    'checkout.completed@1{"event_id":"3"}', 'checkout.cancel@1{"event_id":"2"}', 'checkout.failed@1{"event_id":"1"}'), 'refunded / canceled / event:1=failed event:3=paid event:5=refunded', 'events of one second');
SELECT is(pg_temp.told (:'folded'), '1 2 3 4 5 6 7', 'by their ranks');
SELECT is(pg_temp.story (
    'subscription.canceled@1.0{"event_id":"7"}', 'refund.created@1.1{"event_id":"6"}', 'subscription.paid@1.2{"event_id":"5"}', 'subscription.trialing@1.3{"event_id":"4"}',
    'checkout.completed@1.4{"event_id":"3"}', 'checkout.cancel@1.5{"event_id":"2"}', 'checkout.failed@1.999999{"event_id":"1"}') || ' ' || pg_temp.told (:'folded'), 'refunded / canceled / event:1=failed event:3=refunded event:5=paid 1 2 3 4 5 6 7', 'whatever the fraction, by which only the latest payment is known');
SELECT is(pg_temp.story ('checkout.failed@2{"event_id":"1"}', 'subscription.canceled@1.999999{"event_id":"7"}') || ' ' || pg_temp.told (:'folded'),
    'failed / - / event:1=failed 7 1', 'another second is another');
SELECT is(pg_temp.story (
        'checkout.failed@1.2{"event_id":"a"}', 'checkout.failed@1.1{"event_id":"b"}', 'checkout.failed@1.1{"event_id":"Z"}', 'checkout.failed@1.1{"event_id":"é"}',
        'checkout.failed@1.1{"event_id":"aa"}') || ' ' || pg_temp.told (:'folded'),
    'failed / - / event:Z=failed event:a=failed event:aa=failed event:b=failed event:é=failed Z aa b é a', 'of one rank by moment, then by id');
SELECT is(pg_temp.told ('SELECT last_event_id, last_event_at = updated_at, to_char(updated_at AT TIME ZONE ''UTC'', ''SS.US'') FROM bagelpay.orders'),
    'a true 01.200000', 'the last one is the order''s');
SELECT is(pg_temp.story (
        'subscription.canceled@1.1', 'checkout.failed@1.9') || ' ' || pg_temp.told ('SELECT last_event_id, to_char(updated_at AT TIME ZONE ''UTC'', ''SS.US'') FROM bagelpay.orders'),
    'failed / - / event:e2=failed e1 01.100000', 'even if it is not the newest');

-- Orders, modes, and orders' payments of one name are apart.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take (id, type, '2025-01-01 00:00:00', json::jsonb) FROM (VALUES
    ('a', 'subscription.paid', '{"payment_id":"x"}'), ('b', 'subscription.paid', '{"payment_id":"x","mode":"test"}'), ('c', 'subscription.paid', '{"payment_id":"x","metadata":{"order_id":"o2"}}'),
    ('d', 'refund.created', '{"payment_id":"x","mode":"test"}'), ('e', 'subscription.canceled', '{"metadata":{"order_id":"o2"}}')) AS v (id, type, json) \g /dev/null
SELECT is(pg_temp.told (
        'SELECT o.mode, o.order_id, o.status, i.subscription_status, p.status FROM bagelpay.orders AS o JOIN bagelpay.items AS i USING (mode, order_id) JOIN bagelpay.payments AS p USING (mode, order_id) ORDER BY 1, 2'),
    'live o1 paid active paid | live o2 paid canceled paid | test o1 refunded active refunded', 'test and live, one order and another');

-- An event writes the payment that it is about, and no other.
SELECT pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'subscription.paid@2{"payment_id":"y"}') \g /dev/null
SELECT ctid AS place FROM bagelpay_internal.purchases WHERE name = 'x' \gset
SELECT pg_temp.take ('z', 'subscription.paid', '2025-06-01 00:00:00', '{"payment_id":"z"}') \g /dev/null
SELECT results_eq('SELECT ctid, xmax::text FROM bagelpay_internal.purchases WHERE name = ''x''', format('VALUES (%L::tid, ''0'')', :'place'), 'one payment leaves the others alone, and unlocked');
SELECT is(pg_temp.told ('SELECT payment_id, pg_temp.utc (updated_at) FROM bagelpay.payments ORDER BY payment_id'),
    'x 2025-06-01 | y 2025-06-01 | z 2025-06-01', 'though all show when the order was updated');

-- Numbers that are equal, but not written alike: the newest event's is kept, whenever it came.
SELECT is(pg_temp.story (
        'subscription.paid@1{"payment_id":"x","amount":5.0,"billing_amount":5.0,"metadata":{"order_id":"o1","n":1.0}}',
        'subscription.paid@2{"payment_id":"x","amount":5.00,"billing_amount":5.00,"metadata":{"order_id":"o1","n":1.00}}'),
    'paid / active / x=paid', 'numbers that are equal');
SELECT is(pg_temp.told (
        'SELECT o.metadata ->> ''n'', o.amount, i.billing_amount, p.amount FROM bagelpay.orders AS o JOIN bagelpay.items AS i USING (mode, order_id) JOIN bagelpay.payments AS p USING (mode, order_id)'),
    '1.00 5.00 5.00 5.00', 'are the same rows whatever came first');

-- The key's source: the merchant's of any event, else the first event's.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('k2', 'checkout.completed', '2025-01-02 00:00:00', '{"metadata":null,"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('k1', 'subscription.paid', '2025-01-01 00:00:00', '{"metadata":null,"payment_id":"y"}') \g /dev/null
SELECT is(pg_temp.told ('SELECT order_id, key_source FROM bagelpay.orders ORDER BY order_id COLLATE "C"'),
    'customer:c1:p1 customer | payment:x payment', 'keys that are derived');

-- More items in one batch than are kept in memory, with later events of the first ones.
SELECT pg_temp.forget () \g /dev/null
CREATE TEMPORARY TABLE many AS
SELECT pg_temp.made ('m' || lpad(n::text, 3, '0'), CASE n % 3 WHEN 0 THEN 'subscription.trialing' ELSE 'subscription.paid' END, (timestamp '2025-01-01' + n * interval '1 hour')::text,
    jsonb_build_object('product_id', 'p' || n % 100, 'customer_id', 'c' || n % 7, 'payment_id', 'm' || n % 130, 'units', n)) AS made, n
FROM generate_series(1, 260) AS n;
SELECT count(*) FROM bagelpay.ingest ((SELECT json_agg(made ORDER BY n) FROM many), (SELECT array_agg(convert_to(made::text, 'UTF8') ORDER BY n) FROM many)) \g /dev/null
SELECT cmp_ok((SELECT count(*) FROM bagelpay.items), '>', 150::bigint, 'an order of many items');
SELECT pg_temp.all_rows () AS at_once \gset
SELECT is(bagelpay.rebuild (), 0::bigint, 'is the same again');
SELECT pg_temp.forget () \g /dev/null
SELECT count(*) FROM (SELECT * FROM many ORDER BY n) AS m CROSS JOIN LATERAL bagelpay.ingest (json_build_array(made), ARRAY[convert_to(made::text, 'UTF8')]) \g /dev/null
SELECT is(md5(pg_temp.all_rows ()), md5(:'at_once'), 'and one event by one');

-- Every table of state, some rows of it lost, changed or made up, in more orders than are folded at once.
SELECT pg_temp.forget () \g /dev/null
SELECT count(pg_temp.take (e.id || n, e.type, '2025-01-01 00:00:0' || e.second, e.extra::jsonb || jsonb_build_object('metadata', jsonb_build_object('order_id', 'many' || n))))
FROM generate_series(1, 150) AS n
CROSS JOIN (VALUES ('t', 'subscription.trialing', 1, '{"subscription_id":"s1","processor_subscription_id":"r1"}'), ('p', 'subscription.paid', 2, '{"payment_id":"x"}'),
    ('r', 'refund.created', 3, '{"payment_id":"x"}'), ('c', 'subscription.canceled', 4, '{}')) AS e (id, type, second, extra) \g /dev/null
SELECT bagelpay.grant ('many' || n) FROM generate_series(1, 150, 30) AS n \g /dev/null
CREATE TEMPORARY TABLE sound AS
SELECT o.order_id, bagelpay_internal.state_of (o.mode, o.order_id) AS state FROM bagelpay.orders AS o;
UPDATE bagelpay.orders SET status = 'failed' WHERE order_id = 'many1';
DELETE FROM bagelpay.orders WHERE order_id = 'many2';
UPDATE bagelpay_internal.purchases SET units = 9 WHERE order_id = 'many3' AND NOT is_trial;
DELETE FROM bagelpay_internal.purchases WHERE order_id = 'many4' AND is_trial;
UPDATE bagelpay_internal.stored_items SET subscription_status = 'active' WHERE order_id = 'many5';
DELETE FROM bagelpay_internal.stored_items WHERE order_id = 'many6';
DELETE FROM bagelpay.cancellations WHERE order_id = 'many7';
UPDATE bagelpay.refunds SET payment_id = 'y' WHERE order_id = 'many8';
DELETE FROM bagelpay.refunds WHERE order_id = 'many9';
DELETE FROM bagelpay_internal.decisions WHERE order_id = 'many31';
UPDATE bagelpay.orders SET last_event_id = 'x' WHERE order_id = 'many149';
INSERT INTO bagelpay.orders SELECT (jsonb_populate_record(o, '{"order_id":"nobody"}')).* FROM bagelpay.orders AS o WHERE order_id = 'many10';
SELECT is(bagelpay.rebuild (), 12::bigint, 'those that are not what their events say are mended, and counted');
SELECT set_eq('SELECT order_id, bagelpay_internal.state_of (mode, order_id) FROM bagelpay.orders', 'SELECT * FROM sound', 'and are as before');
SELECT is(bagelpay.rebuild (), 0::bigint, 'there is no more to mend');
DELETE FROM bagelpay_internal.subscription_links WHERE order_id = 'many11';
UPDATE bagelpay.events SET effect = NULL WHERE event_id = 'p12';
SELECT bagelpay.rebuild () \g /dev/null
SELECT is((SELECT count(*) FROM bagelpay_internal.subscription_links WHERE order_id = 'many11') || ' ' || (SELECT count(effect) FROM bagelpay.events WHERE event_id = 'p12'),
    '2 1', 'what no row of the contract shows is mended, too');
DELETE FROM bagelpay.events WHERE order_id IN ('many12', 'many31');
SELECT is(bagelpay.rebuild (), 2::bigint, 'an order without events');
SELECT is((SELECT count(*) FROM bagelpay.orders WHERE order_id IN ('many12', 'many31')) + (SELECT count(*) FROM bagelpay_internal.purchases WHERE order_id IN ('many12', 'many31'))
    + (SELECT count(*) FROM bagelpay_internal.all_items WHERE order_id IN ('many12', 'many31')), 0::bigint, 'has no row');

SELECT * FROM finish();

ROLLBACK;
