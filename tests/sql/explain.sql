-- What explain() says of an order's life: the order of the fold, who came late, the
-- statuses after each event, and what each one changed.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
-- The session's zone must not matter.
SET TimeZone = 'Pacific/Apia';

-- Every statement is a transaction of its own: what came when is what late is about. The
-- database is this file's.
SELECT plan(32);

\ir builder.psql

-- Each event of an order as one short text.
CREATE FUNCTION pg_temp.told (of_order text DEFAULT 'o1', of_mode text DEFAULT 'live')
    RETURNS SETOF text
    LANGUAGE sql
    AS $$
    SELECT format('%s %s%s: %s/%s: %s', position, event_id, CASE WHEN late THEN ' late' END, order_status, subscription_status, note)
    FROM bagelpay.explain (of_order, of_mode)
$$;

-- A subscription, in the order of its events: e1 to e7.
SELECT pg_temp.take ('e1', 'subscription.trialing', '2025-01-01 00:00:00', '{"trial_end":"2025-01-08 00:00:00+00"}') \g /dev/null
SELECT pg_temp.take ('e2', 'subscription.paid', '2025-01-08 00:00:00', '{"payment_id":"x","amount":"10"}') \g /dev/null
SELECT pg_temp.take ('e3', 'subscription.paid', '2025-02-08 00:00:00', '{"payment_id":"y","amount":"10"}') \g /dev/null
SELECT results_eq($$SELECT pg_temp.told ()$$,
    $$VALUES ('1 e1: trialing/trialing: order pending → trialing; subscription pending → trialing'),
        ('2 e2: paid/active: order trialing → paid; subscription trialing → active; payment x: paid'),
        ('3 e3: paid/active: payment y: paid')$$,
    'a trial that was paid for, and paid for again');

-- Two of one moment, the terminal one delivered first: it is not what makes the other late.
SELECT pg_temp.take ('e5', 'subscription.canceled', '2025-02-10 00:00:00') \g /dev/null
SELECT pg_temp.take ('e4', 'refund.created', '2025-02-10 00:00:00', '{"payment_id":"y","refund_amount":"4"}') \g /dev/null
SELECT results_eq($$SELECT pg_temp.told () OFFSET 3$$,
    $$VALUES ('4 e4 late: partially_refunded/active: order paid → partially_refunded; payment y: paid → partially_refunded'),
        ('5 e5: partially_refunded/canceled: subscription active → canceled')$$,
    'of one moment, by rank; the one that sorts before what was received before it is late');

-- A failed charge that comes after all of them, and happened between the first two.
SELECT pg_temp.take ('e0', 'checkout.failed', '2025-01-07 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT results_eq($$SELECT pg_temp.told () LIMIT 3$$,
    $$VALUES ('1 e1: trialing/trialing: order pending → trialing; subscription pending → trialing'),
        ('2 e0 late: trialing/past_due: subscription trialing → past_due; payment x: failed'),
        ('3 e2: paid/active: order trialing → paid; subscription past_due → active; payment x: failed → paid')$$,
    'a late event stands where it happened, and what follows changes something else');
SELECT is((SELECT string_agg(event_id, ' ' ORDER BY position) FROM bagelpay.explain ('o1')), 'e1 e0 e2 e3 e4 e5', 'the order of the fold');
SELECT is((SELECT string_agg(event_id, ' ' ORDER BY position) FROM bagelpay.explain ('o1') WHERE late), 'e0 e4', 'those that came late');
SELECT is((SELECT string_agg(position::text, ' ' ORDER BY position) FROM bagelpay.explain ('o1')), '1 2 3 4 5 6', 'positions count from 1');
SELECT results_eq(
    $$SELECT event_id COLLATE "C", event_type, occurred_at, received_at FROM bagelpay.explain ('o1') ORDER BY position$$,
    $$SELECT event_id, event_type, occurred_at, received_at FROM bagelpay.events WHERE order_id = 'o1' ORDER BY occurred_at, rank, event_id$$,
    'with what is stored of each');

-- A duplicate is no other time of receipt.
SELECT pg_temp.take ('e1', 'subscription.trialing', '2025-01-01 00:00:00', '{"trial_end":"2025-01-08 00:00:00+00"}') \g /dev/null
SELECT is((SELECT late FROM bagelpay.explain ('o1') WHERE event_id = 'e1'), FALSE, 'one that is delivered again is not late');

-- Warnings of the fold.
SELECT pg_temp.take ('e6', 'checkout.cancel', '2025-02-12 00:00:00') \g /dev/null
SELECT is((SELECT note FROM bagelpay.explain ('o1') WHERE event_id = 'e6'), 'event_type: checkout.cancel leaves the order partially_refunded', 'a warning');
SELECT pg_temp.take ('e7', 'refund.created', '2025-02-13 00:00:00', '{"payment_id":"nix","customer_id":"c2"}') \g /dev/null
SELECT is((SELECT note FROM bagelpay.explain ('o1') WHERE event_id = 'e7'),
    'object.customer.id: another customer than in an earlier event of this order; '
        || 'object.payment_id: no paid payment of this order has this name, the refund counts against the latest',
    'several');
SELECT is((SELECT array_to_string(fold_warnings, '; ') FROM bagelpay.events WHERE event_id = 'e7'),
    (SELECT note FROM bagelpay.explain ('o1') WHERE event_id = 'e7'), 'the same ones that are stored with the event');
SELECT pg_temp.take ('e8', 'refund.created', '2025-02-14 00:00:00', '{"payment_id":"x","refund_label":"full"}') \g /dev/null
SELECT is((SELECT format('%s/%s: %s', order_status, subscription_status, note) FROM bagelpay.explain ('o1') WHERE event_id = 'e8'), 'partially_refunded/canceled: payment x: paid → refunded; object.customer.id: another customer than in an earlier event of this order', 'a refund of the older payment leaves both');
SELECT pg_temp.take ('e9', 'refund.created', '2025-02-15 00:00:00', '{"payment_id":"y","refund_label":"full"}') \g /dev/null
SELECT is((SELECT note FROM bagelpay.explain ('o1') WHERE event_id = 'e9'), 'order partially_refunded → refunded; payment y: partially_refunded → refunded', 'one of the latest does not');

-- What operators decide.
SELECT bagelpay.grant ('o1', until => '2030-01-01 00:00:00+00', note => 'a gift') \g /dev/null
SELECT bagelpay.revoke ('o1', 'enough') \g /dev/null
SELECT bagelpay.clear ('o1', 'peace') \g /dev/null
SELECT bagelpay.grant ('o1') \g /dev/null
SELECT results_eq(
    $$SELECT event_type, note, order_status, subscription_status, late FROM bagelpay.explain ('o1') WHERE event_type ~ '^operator' ORDER BY position$$,
    $$VALUES ('operator.grant', 'granted until 2030-01-01 00:00:00 UTC; a gift', 'refunded', 'canceled', FALSE),
        ('operator.revoke', 'revoked; enough', 'refunded', 'canceled', FALSE),
        ('operator.clear', 'cleared; peace', 'refunded', 'canceled', FALSE),
        ('operator.grant', 'granted without end', 'refunded', 'canceled', FALSE)$$,
    'decisions, what they say and what was said of them');
SELECT is((SELECT count(*) FROM bagelpay.explain ('o1') WHERE event_type ~ '^operator' AND position > 10), 4::bigint, 'after everything that came before them');
SELECT pg_temp.take ('f1', 'checkout.failed', '2025-02-16 00:00:00', '{"payment_id":"z"}') \g /dev/null
SELECT is((SELECT late || note FROM bagelpay.explain ('o1') WHERE event_id = 'f1'), 'truepayment z: failed', 'one that happened before a decision and came after it is late');

-- The last row says what the tables do.
SELECT is(
    (SELECT order_status || '/' || subscription_status FROM bagelpay.explain ('o1') ORDER BY position DESC LIMIT 1),
    (SELECT o.status || '/' || s.status FROM bagelpay.orders AS o JOIN bagelpay.subscriptions AS s USING (mode, order_id) WHERE order_id = 'o1'),
    'what it comes to is what is stored');

-- One time: no subscription's status; the first event billed as a subscription makes it.
SELECT pg_temp.take ('g1', 'checkout.failed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"o2"},"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('g2', 'checkout.completed', '2025-01-02 00:00:00', '{"metadata":{"order_id":"o2"},"payment_id":"x"}') \g /dev/null
SELECT results_eq($$SELECT pg_temp.told ('o2')$$,
    $$VALUES ('1 g1: failed/: order pending → failed; payment x: failed'), ('2 g2: paid/: order failed → paid; payment x: failed → paid')$$, 'a one-time purchase');
SELECT is((SELECT count(*) FROM bagelpay.explain ('o2') WHERE subscription_status IS NULL), 2::bigint, 'has no subscription');
SELECT pg_temp.take ('g3', 'subscription.canceled', '2025-01-03 00:00:00', '{"metadata":{"order_id":"o2"}}') \g /dev/null
SELECT is((SELECT string_agg(told, ' | ') FROM pg_temp.told ('o2') AS told),
    '1 g1: failed/: order pending → failed; payment x: failed | 2 g2: paid/: order failed → paid; payment x: failed → paid | 3 g3: paid/canceled: subscription pending → canceled',
    'until an event is billed as one');

-- Batches: events of one batch were received together.
SELECT count(*) FROM bagelpay.ingest (
    json_build_array(
        pg_temp.made ('h2', 'checkout.completed', '2025-01-02 00:00:00', '{"metadata":{"order_id":"o3"},"payment_id":"x"}'),
        pg_temp.made ('h1', 'checkout.failed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"o3"},"payment_id":"x"}')),
    ARRAY['h2', 'h1']::bytea[]) \g /dev/null
SELECT results_eq($$SELECT pg_temp.told ('o3')$$,
    $$VALUES ('1 h1: failed/: order pending → failed; payment x: failed'), ('2 h2: paid/: order failed → paid; payment x: failed → paid')$$, 'of one batch, none is late');

-- Modes are apart; what has no part in the fold is not shown.
SELECT pg_temp.take ('i1', 'checkout.cancel', '2025-01-01 00:00:00', '{"mode":"test"}') \g /dev/null
SELECT pg_temp.take ('i2', 'invoice.created', '2025-01-02 00:00:00', '{"mode":"test"}') \g /dev/null
SELECT results_eq($$SELECT pg_temp.told ('o1', 'test')$$, $$VALUES ('1 i1: canceled/: order pending → canceled')$$, 'the test order of the same name');
SELECT is((SELECT count(*) FROM bagelpay.explain ('o1') WHERE event_id LIKE 'i%'), 0::bigint, 'is another');
SELECT is((SELECT count(*) FROM bagelpay.explain (E' o1\n')), (SELECT count(*) FROM bagelpay.events WHERE order_id = 'o1' AND mode = 'live'), 'named with white space around it');
SELECT is_empty($$SELECT * FROM bagelpay.explain ('nix')$$, 'there is no such order');
SELECT throws_ok($$SELECT * FROM bagelpay.explain (' ')$$, '22023', 'order_id: missing', 'none is named');
SELECT throws_ok($$SELECT * FROM bagelpay.explain ('o1', 'Live')$$, '22023', NULL, 'nor a mode that there is');

-- More events than the fold has in memory at once.
SELECT pg_temp.take ('k' || lpad(i::text, 3, '0'), 'subscription.paid', (timestamp '2025-01-01' + i * interval '1 hour')::text,
    jsonb_build_object('metadata', '{"order_id":"o4"}'::jsonb, 'payment_id', 'k' || i))
FROM generate_series(1, 50) AS i \g /dev/null
SELECT is((SELECT string_agg(event_id, ' ' ORDER BY position) FROM bagelpay.explain ('o4')), (SELECT string_agg('k' || lpad(i::text, 3, '0'), ' ' ORDER BY i) FROM generate_series(1, 50) AS i), 'a long life, too');

-- It writes nothing, in whatever transaction it is asked.
CREATE TEMPORARY TABLE before AS
SELECT 'events' AS name, xmin::text AS writer, ctid AS place FROM bagelpay.events
UNION ALL SELECT 'orders', xmin::text, ctid FROM bagelpay.orders
UNION ALL SELECT 'payments', xmin::text, ctid FROM bagelpay.stored_payments;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT * FROM bagelpay.explain ('o1') \g /dev/null
COMMIT;
SELECT pass('it may be asked where nothing may be written');
SELECT * FROM bagelpay.explain ('o1') \g /dev/null
SELECT is_empty($$
    SELECT 'events', xmin::text, ctid FROM bagelpay.events
    UNION ALL SELECT 'orders', xmin::text, ctid FROM bagelpay.orders
    UNION ALL SELECT 'payments', xmin::text, ctid FROM bagelpay.stored_payments
    EXCEPT SELECT * FROM before$$, 'and leaves every row alone');
SELECT is(bagelpay.rebuild (), 0::bigint, 'all of it is what a rebuild says');
SELECT is((SELECT count(*) FROM bagelpay.explain ('o1') WHERE late), 3::bigint, 'which changes nothing of who was late');

SELECT * FROM finish();
