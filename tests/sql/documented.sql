-- The seven documented bodies: what they leave behind, in whatever order they came, and
-- whom they entitled when.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(36);

\ir builder.psql
\ir documented.psql

\set names '''{checkout.cancel,checkout.completed,checkout.failed,refund.created,subscription.canceled,subscription.paid,subscription.trialing}''::text[]'

SELECT is(pg_temp.deliver (name), 'applied', name || ' is applied')
FROM unnest(:names) AS name;
SELECT is(pg_temp.deliver (name), 'duplicate', name || ' again is a duplicate')
FROM unnest('{checkout.cancel,refund.created}'::text[]) AS name;
SELECT is(pg_temp.told ('SELECT event_id, deliveries FROM bagelpay.events WHERE deliveries > 1 ORDER BY event_id'),
    '19a9e3a8-5ebb-43fc-b94a-251f85f05717 2 | 902742f8-8b0c-4e0e-a9f7-eda837b45d17 2', 'a duplicate is counted and nothing else');
SELECT is(pg_temp.told ('SELECT DISTINCT warnings FROM bagelpay.events'), '[]', 'there is nothing to be warned of');

SELECT is(pg_temp.told (
        'SELECT mode, order_id, key_source, status, conflict, amount, tax_amount, currency, product_id, product_name, billing_type, customer_id, customer_email, user_id, provider_order_id, payment_id, request_id, last_event_id, pg_temp.utc (updated_at) FROM bagelpay.orders WHERE order_id = ''333'''),
    'test 333 metadata trialing false 0 0 USD prod_1966423597650190338 Product name subscription 1966380027341860866 user@gmail.com 222 ORD_1966423704764325891 ch_1966423704747548674 6f5c7ee8-3690-4758-a837-21e742aae2f9 902742f8-8b0c-4e0e-a9f7-eda837b45d17 2025-09-12 19:12:44',
    'the order that six of them are of: what was sold last, and nothing of the cancellation');
SELECT is(pg_temp.told (
        'SELECT mode, order_id, key_source, status, conflict, amount, tax_amount, currency, product_id, product_name, billing_type, customer_id, customer_email, user_id, provider_order_id, payment_id, request_id, last_event_id, pg_temp.utc (updated_at) FROM bagelpay.orders WHERE order_id <> ''333'''),
    'test req_20250914_162923 metadata paid false 397.16 0 USD prod_1967143613700870145 New_Product_6987 subscription 1967143106647265282 andrew@gettrust.ai - ORD_1967143798153777154 ch_1967143798107639810 c9b1a4c1-f8ac-40dd-8dea-ba20c92744bb evt_1S7BJuG2wtflaO0u6Vx3DefT 2025-09-14 08:30:00',
    'and the other one');
SELECT is(pg_temp.told (
        'SELECT order_id, product_id, customer_id, customer_email, user_id, subscription_status, units, recurring_interval, subscription_id, processor_subscription_id, pg_temp.utc (trial_start), pg_temp.utc (trial_end), pg_temp.utc (billing_period_start), pg_temp.utc (billing_period_end), canceled_at, payment_method, last4, billing_amount FROM bagelpay.items ORDER BY order_id, product_id'),
    '333 prod_1966354925946605570 1966380027341860866 z916722885@gmail.com 222 active 1 1 mon sub_1966423205633761281 - - - 2025-09-12 16:46:35 2025-10-12 16:46:35 - card 4242 10'
        || ' | 333 prod_1966423597650190338 1966380027341860866 user@gmail.com 222 trialing 1 1 mon sub_1966423704764325890 - 2025-09-12 16:48:37 2025-09-19 16:48:37 - - - - - 10'
        || ' | req_20250914_162923 prod_1967143613700870145 1967143106647265282 andrew@gettrust.ai  active - - - - - - - - - - - -',
    'three items: two products of one customer in one order, a third in the other');
SELECT is(pg_temp.told (
        'SELECT order_id, payment_id, kind, status, product_id, customer_id, amount, pg_temp.utc (paid_at), pg_temp.utc (period_end), refunded_amount FROM bagelpay.payments ORDER BY order_id, payment_id'),
    '333 ch_1966406841422503937 one_time failed prod_1966379396824723457 - 12210 - - 0'
        || ' | 333 ch_1966423205621178370 subscription paid prod_1966354925946605570 1966380027341860866 10 2025-09-12 16:46:41 2025-10-12 16:46:35 0'
        || ' | req_20250914_162923 ch_1967143798107639810 subscription paid prod_1967143613700870145 1967143106647265282 397.16 2025-09-14 08:30:00 - 0',
    'the payments');
SELECT is(pg_temp.told ('SELECT order_id, event_id, product_id, subscription_id, pg_temp.utc (starts_at), pg_temp.utc (trial_end), payment_id FROM bagelpay.trials'),
    '333 ffcc4978-c860-4ba6-b3cd-2ef075ef0185 prod_1966423597650190338 sub_1966423704764325890 2025-09-12 16:48:40 2025-09-19 16:48:37 -', 'the trial, whose payment nobody told of');
SELECT is(pg_temp.told (
        'SELECT event_id, product_id, customer_id, subscription_id, processor_subscription_id, pg_temp.utc (occurred_at), pg_temp.utc (ends_at), at_period_end FROM bagelpay.cancellations ORDER BY event_id'),
    '19a9e3a8-5ebb-43fc-b94a-251f85f05717 prod_1966354925946605570 1966380027341860866 - sub_1S6SXS2YqhGdWPuNGTacUBaw 2025-09-12 16:41:24 2025-09-12 16:41:24 -'
        || ' | 902742f8-8b0c-4e0e-a9f7-eda837b45d17 prod_1966354925946605570 1966380027341860866 sub_1966459918691274753 sub_1S6Uu02YqhGdWPuNNnQY42yo 2025-09-12 19:12:44 2025-09-12 19:12:45 false'
        || ' | evt_3S6SWZ2YqhGdWPuN1sP6L9aR prod_1966354925946605570 1966380027341860866 - sub_1S6SXS2YqhGdWPuNGTacUBaw 2025-09-12 16:41:24 2025-09-12 16:41:24 -',
    'three cancellations: two before the payment, one of another subscription, which concern nothing');
SELECT is_empty('SELECT * FROM bagelpay.refunds', 'no body of the seven says refund.created');
SELECT is_empty('SELECT * FROM bagelpay.dead_letters', 'nothing was refused');

-- Who is entitled when.
CREATE FUNCTION pg_temp.judged (of_order text, at timestamptz)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.told (format('SELECT entitled, reason, pg_temp.utc (valid_from), pg_temp.utc (valid_until), units FROM bagelpay.entitlements_at (%L, ''test'') WHERE order_id = %L ORDER BY product_id', at, of_order))
$$;
SELECT is(pg_temp.judged ('333', at::timestamptz), told, '333 at ' || at)
FROM (VALUES
    ('2025-09-12 16:46:41.788Z', 'false not_yet 2025-09-12 16:46:41 2025-10-13 16:46:35 1 | false not_yet 2025-09-12 16:48:40 2025-09-20 16:48:37 1'),
    ('2025-09-12 16:46:41.789Z', 'true active 2025-09-12 16:46:41 2025-10-13 16:46:35 1 | false not_yet 2025-09-12 16:48:40 2025-09-20 16:48:37 1'),
    ('2025-09-12 19:12:45Z', 'true active 2025-09-12 16:46:41 2025-10-13 16:46:35 1 | true trialing 2025-09-12 16:48:40 2025-09-20 16:48:37 1'),
    ('2025-09-20 16:48:37Z', 'true active 2025-09-12 16:46:41 2025-10-13 16:46:35 1 | false expired 2025-09-12 16:48:40 2025-09-20 16:48:37 1'),
    ('2025-10-13 16:46:35Z', 'false expired 2025-09-12 16:46:41 2025-10-13 16:46:35 1 | false expired 2025-09-12 16:48:40 2025-09-20 16:48:37 1')) AS v (at, told);
SELECT is(pg_temp.judged ('req_20250914_162923', at::timestamptz), told, 'the other order at ' || at)
FROM (VALUES
    ('2025-09-14 08:29:59Z', 'false not_yet 2025-09-14 08:30:00 2025-10-16 08:30:00 1'),
    ('2025-10-16 08:29:59Z', 'true active 2025-09-14 08:30:00 2025-10-16 08:30:00 1'),
    ('2025-10-16 08:30:00Z', 'false expired 2025-09-14 08:30:00 2025-10-16 08:30:00 1')) AS v (at, told);
SELECT ok(bagelpay.is_entitled ('andrew@GetTrust.ai', 'prod_1967143613700870145', 'test', '2025-09-15'), 'by e-mail, in any case');
SELECT ok(bagelpay.is_entitled ('1967143106647265282', 'prod_1967143613700870145', 'test', '2025-09-15'), 'by id');
SELECT ok(bagelpay.is_user_entitled ('222', 'prod_1966354925946605570', 'test', '2025-09-15'), 'by the merchant''s user');
SELECT ok(NOT bagelpay.is_entitled ('1967143106647265282', 'prod_1967143613700870145', 'live', '2025-09-15'), 'never in live mode');
SELECT is_empty('SELECT * FROM bagelpay.entitlements', 'test purchases are no live ones');

-- Any other order of arrival, one transaction a body or all in one: the same rows.
SELECT pg_temp.all_rows () AS before \gset
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.deliver (name) FROM unnest(:names) WITH ORDINALITY AS v (name, n) ORDER BY n DESC \g /dev/null
SELECT is(pg_temp.all_rows (), :'before', 'the other way round');
SELECT pg_temp.forget () \g /dev/null
SELECT is(
    pg_temp.told (format('SELECT DISTINCT outcome FROM bagelpay.ingest (%L, %L)',
        (SELECT json_agg(pg_temp.documented (name) ORDER BY md5(name)) FROM unnest(:names) AS name), (SELECT array_agg(convert_to(name, 'UTF8') ORDER BY md5(name)) FROM unnest(:names) AS name))), 'applied', 'all seven in one batch');
SELECT is(pg_temp.all_rows (), :'before', 'leave the same rows');
SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'which are whole');

SELECT * FROM finish();

ROLLBACK;
