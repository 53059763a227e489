-- The seven documented bodies: what they leave behind, in whatever order they came, and
-- whom they entitled when.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(23);

\ir documented.psql

SELECT is(pg_temp.deliver (name), 'applied', name || ' is applied')
FROM unnest('{checkout.cancel,checkout.completed,checkout.failed,refund.created,subscription.canceled,subscription.paid,subscription.trialing}'::text[]) AS name;

SELECT is(pg_temp.deliver (name), 'duplicate', name || ' again is a duplicate')
FROM unnest('{checkout.cancel,refund.created}'::text[]) AS name;

SELECT results_eq(
    'SELECT event_id, deliveries FROM bagelpay.events WHERE deliveries > 1 ORDER BY event_id',
    $$VALUES ('19a9e3a8-5ebb-43fc-b94a-251f85f05717' COLLATE "C", 2), ('902742f8-8b0c-4e0e-a9f7-eda837b45d17', 2)$$,
    'a duplicate is counted and nothing else');

SELECT results_eq(
    $$SELECT order_id, key_source, status, conflict, amount, currency, customer_email, product_name, last_event_id, updated_at
    FROM bagelpay.orders ORDER BY order_id$$,
    $$VALUES
        ('333' COLLATE "C", 'metadata', 'trialing', FALSE, 0::numeric, 'USD', 'user@example.com' COLLATE "C", 'Product Name',
            '902742f8-8b0c-4e0e-a9f7-eda837b45d17' COLLATE "C", '2025-09-12 19:12:44+00'::timestamptz),
        ('req_20250914_162923', 'metadata', 'paid', FALSE, 397.16, 'USD', 'andrew@gettrust.ai', 'New_Product_6987',
            'evt_1S7BJuG2wtflaO0u6Vx3DefT', '2025-09-14 08:30:00+00')$$,
    'the orders');

SELECT results_eq(
    $$SELECT order_id, status, subscription_id, processor_subscription_id, trial_end, billing_period_end, cancel_at_period_end,
        ends_at, recurring_interval, units, last4, billing_amount
    FROM bagelpay.subscriptions ORDER BY order_id$$,
    $$VALUES
        ('333' COLLATE "C", 'canceled', 'sub_1966459918691274753', 'sub_1S6Uu02YqhGdWPuNNnQY42yo',
            '2025-09-19 16:48:37+00'::timestamptz, '2025-10-12 19:12:28+00'::timestamptz, FALSE,
            '2025-09-12 19:12:45+00'::timestamptz, 'monthly', 1, '4242', 10::numeric),
        ('req_20250914_162923', 'active', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)$$,
    'the subscriptions');

SELECT results_eq(
    $$SELECT order_id, payment_id, status, amount, paid_at, period_end, refunded_amount FROM bagelpay.payments ORDER BY order_id, payment_id$$,
    $$VALUES
        ('333' COLLATE "C", 'ch_1966406841422503937' COLLATE "C", 'failed', 12210::numeric, NULL::timestamptz, NULL::timestamptz, 0::numeric),
        ('333', 'ch_1966423205621178370', 'paid', 10, '2025-09-12 16:46:41.789+00', '2025-10-12 16:46:35+00', 0),
        ('req_20250914_162923', 'ch_1967143798107639810', 'paid', 397.16, '2025-09-14 08:30:00+00', NULL, 0)$$,
    'the payments');

SELECT is_empty('SELECT * FROM bagelpay.refunds', 'no body of the seven says refund.created');

SELECT is_empty('SELECT * FROM bagelpay.dead_letters', 'nothing was refused');

-- The subscription of order 333 was paid, went on trial, and was cancelled, all in one
-- evening; the other order paid for a month of unknown length.
SELECT results_eq(
    $$SELECT t, order_id, entitled, reason, valid_until
    FROM unnest('{2025-09-12 16:46:41+00,2025-09-12 16:46:42+00,2025-09-12 19:12:44.9+00,2025-09-12 19:12:45+00}'::timestamptz[]) AS t,
        bagelpay.entitlements_at (t, 'test')
    WHERE order_id = '333' ORDER BY t$$,
    $$VALUES
        ('2025-09-12 16:46:41+00'::timestamptz, '333' COLLATE "C", FALSE, 'not_yet', '2025-09-12 19:12:45+00'::timestamptz),
        ('2025-09-12 16:46:42+00', '333', TRUE, 'canceling', '2025-09-12 19:12:45+00'),
        ('2025-09-12 19:12:44.9+00', '333', TRUE, 'canceling', '2025-09-12 19:12:45+00'),
        ('2025-09-12 19:12:45+00', '333', FALSE, 'canceled', '2025-09-12 19:12:45+00')$$,
    'order 333 is entitled until it is cancelled');

SELECT results_eq(
    $$SELECT t, entitled, reason, valid_from, valid_until
    FROM unnest('{2025-09-14 08:29:59+00,2025-09-14 08:30:00+00,2025-10-16 08:29:59+00,2025-10-16 08:30:00+00}'::timestamptz[]) AS t,
        bagelpay.entitlements_at (t, 'test')
    WHERE order_id = 'req_20250914_162923' ORDER BY t$$,
    $$VALUES
        ('2025-09-14 08:29:59+00'::timestamptz, FALSE, 'not_yet', '2025-09-14 08:30:00+00'::timestamptz, '2025-10-16 08:30:00+00'::timestamptz),
        ('2025-09-14 08:30:00+00', TRUE, 'active', '2025-09-14 08:30:00+00', '2025-10-16 08:30:00+00'),
        ('2025-10-16 08:29:59+00', TRUE, 'active', '2025-09-14 08:30:00+00', '2025-10-16 08:30:00+00'),
        ('2025-10-16 08:30:00+00', FALSE, 'expired', '2025-09-14 08:30:00+00', '2025-10-16 08:30:00+00')$$,
    'the other order is entitled for 31 days and a day of grace');

SELECT ok(bagelpay.is_entitled ('andrew@GetTrust.ai', 'prod_1967143613700870145', 'test', '2025-09-15'), 'by e-mail, in any case');

SELECT ok(bagelpay.is_entitled ('1967143106647265282', 'prod_1967143613700870145', 'test', '2025-09-15'), 'by id');

SELECT ok(NOT bagelpay.is_entitled ('1967143106647265282', 'prod_1967143613700870145', 'live', '2025-09-15'), 'never in live mode');

SELECT is_empty('SELECT * FROM bagelpay.entitlements', 'test purchases are no live ones');

-- Any other order of arrival, one transaction a body or all in one: the same rows.
CREATE TEMPORARY TABLE before AS
SELECT 'order' AS what, to_jsonb(o) AS content FROM bagelpay.orders AS o
UNION ALL SELECT 'subscription', to_jsonb(s) FROM bagelpay.subscriptions AS s
UNION ALL SELECT 'payment', to_jsonb(p) FROM bagelpay.payments AS p;

TRUNCATE bagelpay.events, bagelpay.event_bodies, bagelpay.orders, bagelpay.subscriptions, bagelpay.stored_payments;

SELECT is(
    (SELECT array_agg(outcome ORDER BY ordinal)
     FROM bagelpay.ingest (
        (SELECT json_agg(pg_temp.documented (name) ORDER BY name DESC)
         FROM unnest('{checkout.cancel,checkout.completed,checkout.failed,refund.created,subscription.canceled,subscription.paid,subscription.trialing}'::text[]) AS name),
        (SELECT array_agg(convert_to(name, 'UTF8') ORDER BY name DESC)
         FROM unnest('{checkout.cancel,checkout.completed,checkout.failed,refund.created,subscription.canceled,subscription.paid,subscription.trialing}'::text[]) AS name))),
    array_fill('applied'::text, ARRAY[7]), 'all seven in one batch');

SELECT set_eq(
    $$SELECT 'order', to_jsonb(o) FROM bagelpay.orders AS o
    UNION ALL SELECT 'subscription', to_jsonb(s) FROM bagelpay.subscriptions AS s
    UNION ALL SELECT 'payment', to_jsonb(p) FROM bagelpay.payments AS p$$,
    'SELECT what, content FROM before', 'leave the same rows');

SELECT * FROM finish();

ROLLBACK;
