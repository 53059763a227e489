-- The ends of what is accepted, from what a responder hands over to the rows: numbers
-- beyond 64 bits, the last and first moments, amounts at their bound, long orders.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
SET TimeZone = 'Pacific/Apia';

BEGIN;

SELECT plan(66);

\ir builder.psql

-- Takes what a responder hands over, as text: a number goes through no type on its way.
CREATE FUNCTION pg_temp.hand (delivery text)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT outcome FROM bagelpay.ingest (('[' || delivery || ']')::json, ARRAY[convert_to(delivery, 'UTF8')])
$$;

-- Integers beyond 64 bits.
SELECT is(pg_temp.hand ('{"event_id":"18446744073709551617","event_type":"checkout.completed","mode":"live","occurred_at":"2025-09-12 08:41:24.746000+00",'
    || '"created_at_raw":"1757666484746","customer_id":"36893488147419103232","customer_email":"b@x.com","product_id":"p1",'
    || '"provider_order_id":"98765432109876543210987","payment_id":"18446744073709551616","amount":"999999999999999.999999","currency":"USD",'
    || '"metadata":{"order_id":123456789012345678901234567890123456789,"n":-9223372036854775809}}'), 'applied', 'numbers of many digits');
SELECT is((SELECT concat_ws(' ', order_id, key_source, customer_id, provider_order_id, payment_id, amount, last_event_id) FROM bagelpay.orders),
    '123456789012345678901234567890123456789 metadata 36893488147419103232 98765432109876543210987 18446744073709551616 999999999999999.999999 18446744073709551617',
    'keep each of them');
SELECT is((SELECT metadata::text FROM bagelpay.orders), '{"n": -9223372036854775809, "order_id": 123456789012345678901234567890123456789}', 'also in the metadata');
SELECT is(pg_temp.verdict ('2025-09-12 08:41:24.745', '123456789012345678901234567890123456789'), 'no not_yet', 'milliseconds are times to the millisecond');
SELECT is(pg_temp.verdict ('2025-09-12 08:41:24.746', '123456789012345678901234567890123456789'), 'yes paid', 'not before, and from then on');
SELECT is(pg_temp.hand (format('{"event_id":%s,"event_type":"checkout.failed","mode":"live","occurred_at":"2025-01-01 00:00:00+00","metadata":{"order_id":%s}}',
    to_json('i' || left(digits, 30)), digits)), 'applied', format('an order of %s digits', length(digits)))
FROM unnest(ARRAY['0', '9223372036854775807', '9223372036854775808', '-9223372036854775809', '18446744073709551616', repeat('9', 255)]) AS digits;
SELECT is((SELECT array_agg(order_id ORDER BY length(order_id), order_id) FROM bagelpay.orders WHERE order_id NOT LIKE '1234%'),
    ARRAY['0', '9223372036854775807', '9223372036854775808', '-9223372036854775809', '18446744073709551616', repeat('9', 255)], 'is named by exactly these');
SELECT is(pg_temp.hand (format('{"event_id":"i256","event_type":"checkout.failed","mode":"live","occurred_at":"2025-01-01 00:00:00+00","payment_id":"x","metadata":{"order_id":%s}}', repeat('9', 256))),
    'applied', 'one digit more');
SELECT is((SELECT order_id || ' ' || warnings::text FROM bagelpay.events WHERE event_id = 'i256'),
    'payment:x {"object.metadata.order_id: longer than 255 bytes, not used as the order''s key"}', 'is not taken');
SELECT pg_temp.hand ('{"event_id":"same","event_type":"checkout.failed","mode":"live","occurred_at":"2025-01-01 00:00:01+00","metadata":{"order_id":"18446744073709551616"}}') \g /dev/null
SELECT is((SELECT count(*) FROM bagelpay.events WHERE order_id = '18446744073709551616'), 2::bigint, 'the same digits as text are the same order');
SELECT ok(bagelpay.is_entitled ('36893488147419103232', 'p1'), 'and a customer is found by them');
SELECT bagelpay.grant ('123456789012345678901234567890123456789') \g /dev/null
SELECT is((SELECT count(*) FROM bagelpay.explain ('123456789012345678901234567890123456789')), 2::bigint, 'and an order by operators');
SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'rebuilding and rekeying find the same');

-- The last moments: of a text without zone, of seconds, of milliseconds.
SELECT pg_temp.forget () \g /dev/null
SELECT is(pg_temp.hand ('{"event_id":"far","event_type":"subscription.paid","mode":"live","created_at_raw":"2999-12-31T23:59:59.999999","payment_id":"x",'
    || '"trial_end":"2999-12-31 23:59:59.000000+00","metadata":{"order_id":"o1"},"occurred_at":"2999-12-31T23:59:59.999999","local_times":{"occurred_at":"2999-12-31T23:59:59.999999"}}'), 'applied', 'the last moment');
SELECT is(pg_temp.verdict (at), verdict, at)
FROM (VALUES
    ('2999-12-31 23:59:59.999998', 'no not_yet 3000-02-01 23:59:59'),
    ('2999-12-31 23:59:59.999999', 'yes active 3000-02-01 23:59:59'),
    ('3000-02-01 23:59:59.999998', 'yes active 3000-02-01 23:59:59'),
    ('3000-02-01 23:59:59.999999', 'no expired 3000-02-01 23:59:59')) AS v (at, verdict);
SELECT pg_temp.hand ('{"event_id":"far2","event_type":"subscription.paid","mode":"live","created_at_raw":"32503679999999","occurred_at":"2999-12-31 23:59:59.999000+00",'
    || '"payment_id":"x","billing_period_end":"2999-12-31 23:59:59.999999+00","recurring_interval":"1 year","metadata":{"order_id":"o1"}}') \g /dev/null
SELECT is(pg_temp.verdict (at), verdict, at || ' with a period that ends a microsecond after it was paid')
FROM (VALUES ('3000-01-01 23:59:59.999998', 'yes active 3000-01-01 23:59:59'), ('3000-01-01 23:59:59.999999', 'no expired 3000-01-01 23:59:59')) AS v (at, verdict);
SELECT is((SELECT updated_at FROM bagelpay.orders), '2999-12-31 23:59:59.999999+00', 'the newest event is the one of the last microsecond');
UPDATE bagelpay.settings SET grace = '100 years', default_period = '100 years', provider_timezone = 'America/New_York';
SELECT is(bagelpay.rebuild (), 1::bigint, 'in another zone it may be a moment of the year 3000');
SELECT is((SELECT updated_at FROM bagelpay.orders), '3000-01-01 04:59:59.999999+00', 'namely this');
SELECT pg_temp.take ('far3', 'subscription.paid', '2999-12-31 23:59:59.999999', '{"metadata":{"order_id":"o2"},"payment_id":"y"}') \g /dev/null
SELECT is(pg_temp.verdict ('3199-12-31 23:59:59.999998', 'o2') || ', ' || pg_temp.verdict ('3199-12-31 23:59:59.999999', 'o2'),
    'yes active 3199-12-31 23:59:59, no expired 3199-12-31 23:59:59', 'and the longest period and grace end');
SELECT is(entitled::text || ' ' || reason, verdict, 'asked about ' || t)
FROM (VALUES ('infinity'::timestamptz, 'false expired'), ('-infinity', 'false not_yet')) AS v (t, verdict)
CROSS JOIN LATERAL bagelpay.entitlements_at (t)
WHERE order_id = 'o2';
UPDATE bagelpay.settings SET grace = DEFAULT, default_period = DEFAULT, provider_timezone = 'Asia/Shanghai';
SELECT pg_temp.take ('near', 'checkout.completed', '', '{"metadata":{"order_id":"o3"},"payment_id":"x","occurred_at":null,"local_times":{"occurred_at":"2000-01-01 00:00:00"}}') \g /dev/null
SELECT is((SELECT updated_at FROM bagelpay.orders WHERE order_id = 'o3'), '1999-12-31 16:00:00+00', 'the first moment, likewise');
SELECT is(pg_temp.verdict ('1999-12-31 15:59:59', 'o3') || ', ' || pg_temp.verdict ('1999-12-31 16:00:00', 'o3'), 'no not_yet, yes paid', 'from which on');
UPDATE bagelpay.settings SET provider_timezone = DEFAULT;
SELECT is(bagelpay.rebuild (), 2::bigint, 'and in UTC');
SELECT is((SELECT string_agg(updated_at::text, ' ' ORDER BY order_id) FROM bagelpay.orders WHERE order_id <> 'o2'),
    (timestamptz '2999-12-31 23:59:59.999999+00')::text || ' ' || (timestamptz '2000-01-01 00:00:00+00')::text, 'as they were written');

-- Amounts at their bound, and sums beyond it.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('m0', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"x","amount":"999999999999999.999999","tax_amount":"0.000001"}') \g /dev/null
SELECT pg_temp.take ('m' || i, 'refund.created', (timestamp '2025-01-02' + i * interval '1 second')::text, jsonb_build_object('payment_id', 'x', 'refund_amount', '9009009009009.009009', 'refund_id', 'R' || i))
FROM generate_series(1, 110) AS i \g /dev/null
SELECT is((SELECT refunded_amount || ' ' || status FROM bagelpay.payments), '990990990990990.99099 partially_refunded', '110 refunds of a 111th');
SELECT pg_temp.take ('m111', 'refund.created', '2025-01-03 00:00:00', '{"payment_id":"x","refund_amount":"9009009009009.009008","refund_id":"R111"}') \g /dev/null
SELECT is((SELECT refunded_amount || ' ' || status FROM bagelpay.payments), '999999999999999.999998 partially_refunded', 'a millionth is missing');
SELECT pg_temp.take ('m112', 'refund.created', '2025-01-04 00:00:00', '{"payment_id":"x","refund_amount":"0.000001","refund_id":"R112"}') \g /dev/null
SELECT is((SELECT refunded_amount || ' ' || status FROM bagelpay.payments), '999999999999999.999999 refunded', 'and there it is');
SELECT pg_temp.take ('n' || i, 'refund.created', (timestamp '2025-01-05' + i * interval '1 second')::text, jsonb_build_object('payment_id', 'x', 'refund_amount', '999999999999999.999999', 'refund_id', 'N' || i))
FROM generate_series(1, 100) AS i \g /dev/null
SELECT is((SELECT refunded_amount FROM bagelpay.payments), 101 * 999999999999999.999999, 'a hundred times as much, to the last digit');
SELECT pg_temp.take ('n0', 'refund.created', '2025-01-01 12:00:00', '{"payment_id":"x","refund_running_total":"999999999999999.999999"}') \g /dev/null
SELECT is((SELECT refunded_amount FROM bagelpay.payments), 101 * 999999999999999.999999, 'a lower running total changes nothing');
SELECT is((SELECT sum(amount) FROM bagelpay.refunds), 101 * 999999999999999.999999, 'one refund each');
SELECT is((SELECT count(*) FROM bagelpay.refunds), 213::bigint, 'all of them on record');
SELECT is((SELECT amount || ' ' || tax_amount FROM bagelpay.orders), '999999999999999.999999 0.000001', 'the order''s amounts as they came');
SELECT is(bagelpay.rebuild (), 0::bigint, 'rebuilding adds up to the same');

-- Long orders: the same rows however they come. Event i of a life: payments, failures, refunds, disputes,
-- cancellations and trials of several products, customers, users and subscriptions, some at one moment.
UPDATE bagelpay.settings SET user_key = '{request_id}';
CREATE FUNCTION pg_temp.event_of_life (i integer)
    RETURNS json
    LANGUAGE sql
    AS $$
    SELECT pg_temp.made (
        'l' || lpad(i::text, 2, '0'),
        (ARRAY['subscription.paid', 'checkout.failed', 'checkout.completed', 'refund.created', 'subscription.paid', 'checkout.cancel', 'subscription.canceled', 'subscription.trialing'])[i % 8 + 1],
        (timestamp '2025-01-01' + i / 2 * interval '1 day')::text,
        jsonb_build_object(
            'payment_id', CASE WHEN i % 5 > 0 THEN 'x' || i / 6 END, 'amount', (10 + i)::text, 'provider_order_id', 'O' || i / 4,
            'refund_amount', CASE WHEN i % 8 = 3 AND i % 3 > 0 THEN '7' END, 'refund_id', CASE WHEN i % 8 = 3 AND i % 2 > 0 THEN 'R' || i / 20 END,
            'product_id', CASE WHEN i % 7 > 0 THEN 'p' || i % 2 END, 'customer_id', CASE WHEN i % 11 > 1 THEN 'c' || i % 3 END, 'customer_email', CASE WHEN i % 4 > 0 THEN 'c' || i % 3 || '@example.com' END,
            'request_id', CASE WHEN i % 13 = 0 THEN 'u' || i END, 'subscription_id', CASE WHEN i % 3 = 0 THEN 's' || i % 4 END, 'processor_subscription_id', CASE WHEN i % 10 = 0 THEN 'r' || i % 4 END,
            'units', i, 'trial_end', CASE i % 8 WHEN 7 THEN timestamp '2025-02-01' + i * interval '1 day' END || '+00'))
$$;

-- Delivers events of that life by their numbers, one batch for each of the numbers' arrays, and returns all rows that
-- there are then.
CREATE FUNCTION pg_temp.lived (VARIADIC batches text[])
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    numbers integer[];
BEGIN
    PERFORM pg_temp.forget ();
    FOR b IN 1 .. cardinality(batches) LOOP
        numbers := batches[b]::integer[];
        PERFORM FROM bagelpay.ingest (
            (SELECT json_agg(pg_temp.event_of_life (i) ORDER BY place) FROM unnest(numbers) WITH ORDINALITY AS n (i, place)),
            (SELECT array_agg(convert_to(pg_temp.event_of_life (i)::text, 'UTF8') ORDER BY place) FROM unnest(numbers) WITH ORDINALITY AS n (i, place)));
    END LOOP;
    RETURN pg_temp.all_rows ();
END
$$;

-- The numbers from … to …, as one batch or each alone.
CREATE FUNCTION pg_temp.numbers (first integer, last integer)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT array_agg(i)::text FROM generate_series(first, last, CASE WHEN first < last THEN 1 ELSE -1 END) AS i
$$;

CREATE FUNCTION pg_temp.alone (first integer, last integer)
    RETURNS text[]
    LANGUAGE sql
    AS $$
    SELECT array_agg(ARRAY[i]::text ORDER BY place) FROM generate_series(first, last, CASE WHEN first < last THEN 1 ELSE -1 END) WITH ORDINALITY AS n (i, place)
$$;

SELECT pg_temp.lived (VARIADIC pg_temp.alone (1, 40)) AS life \gset
SELECT is((SELECT count(*) FROM bagelpay.events WHERE order_id = 'o1'), 40::bigint, '40 events of one order');
SELECT cmp_ok((SELECT count(DISTINCT status) FROM bagelpay.payments), '>=', 3::bigint, 'with payments of several statuses');
SELECT cmp_ok((SELECT count(*) FROM bagelpay.items), '>=', 6::bigint, 'and several items');
SELECT is((SELECT count(*) FROM bagelpay.trials) || ' ' || (SELECT count(*) FROM bagelpay.cancellations) || ' ' || (SELECT count(*) FROM bagelpay.refunds), '5 5 5', 'trials, cancellations and refunds');
SELECT is(bagelpay.rebuild (), 0::bigint, 'one at a time, in their order');
SELECT is(pg_temp.lived (VARIADIC pg_temp.alone (40, 1)), :'life', 'newest first, one at a time');
SELECT is(bagelpay.rebuild (), 0::bigint, 'to which a rebuild adds nothing');
SELECT is(pg_temp.lived (pg_temp.numbers (40, 1)), :'life', 'newest first, in one batch');
SELECT is(bagelpay.rebuild (), 0::bigint, 'likewise');
SELECT is(pg_temp.lived (pg_temp.numbers (1, 40)), :'life', 'in their order, in one batch');
SELECT is(pg_temp.lived (pg_temp.numbers (1, 3), pg_temp.numbers (40, 4)), :'life', 'the newest 37 onto what is stored');
SELECT is(pg_temp.lived (pg_temp.numbers (21, 40), pg_temp.numbers (20, 1)), :'life', 'the older half late');
SELECT is(pg_temp.lived (pg_temp.numbers (1, 6), pg_temp.numbers (8, 40), '{7}'), :'life', 'one of them late');
SELECT is((SELECT count(*) FROM bagelpay.explain ('o1')), 40::bigint, 'in its place');
SELECT is(bagelpay.rebuild (), 0::bigint, 'as a rebuild has it');
SELECT is(pg_temp.lived (pg_temp.numbers (40, 1), pg_temp.numbers (1, 40), '{33,3,3}'), :'life', 'duplicates, late or not');
SELECT is(pg_temp.lived (pg_temp.numbers (1, n)), pg_temp.lived (VARIADIC pg_temp.alone (n, 1)), format('%s events', n))
FROM unnest('{15,16,17,32,33}'::integer[]) AS n;

SELECT is(bagelpay.rebuild (), 0::bigint, 'all of it over again');

SELECT * FROM finish();

ROLLBACK;
