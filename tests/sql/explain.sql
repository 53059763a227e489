-- What explain() says of an order's life: the order of the fold, which events came late, the statuses after each
-- event, and what each one changed.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
-- The session's zone must not matter.
SET TimeZone = 'Pacific/Apia';

-- Every statement is a transaction of its own: late is about when each was received. The database is this file's.
SELECT plan(31);

\ir builder.psql

-- Events of an order as one short text each.
CREATE FUNCTION pg_temp.said (of_order text DEFAULT 'o1', of_mode text DEFAULT 'live', ids text DEFAULT '%')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT string_agg(format('%s%s: %s/%s: %s', event_id, CASE WHEN late THEN ' late' END, order_status, coalesce(subscription_status, '-'), note), ' | ' ORDER BY position)
    FROM bagelpay.explain (of_order, of_mode)
    WHERE event_id LIKE ids
$$;

-- A subscription, in the order of its events.
SELECT pg_temp.take ('e1', 'subscription.trialing', '2025-01-01 00:00:00', '{"trial_end":"2025-01-08 00:00:00+00"}') \g /dev/null
SELECT pg_temp.take ('e2', 'subscription.paid', '2025-01-08 00:00:00', '{"payment_id":"x","amount":"10"}') \g /dev/null
SELECT pg_temp.take ('e3', 'subscription.paid', '2025-02-08 00:00:00', '{"payment_id":"y","amount":"10"}') \g /dev/null
SELECT is(pg_temp.said (), 'e1: trialing/trialing: order pending → trialing; subscription trialing | e2: paid/active: order trialing → paid; subscription active; payment x: paid | e3: paid/active: subscription active; payment y: paid',
    'a trial that was paid for, and paid for again');

-- Two of one second, the terminal one delivered first: it is not what makes the other late.
SELECT pg_temp.take ('e5', 'subscription.canceled', '2025-02-10 00:00:00') \g /dev/null
SELECT pg_temp.take ('e4', 'refund.created', '2025-02-10 00:00:00', '{"payment_id":"y","refund_amount":"4"}') \g /dev/null
SELECT is(pg_temp.said (ids => 'e4') || ' | ' || pg_temp.said (ids => 'e5'), 'e4 late: partially_refunded/-: order paid → partially_refunded; payment y: paid → partially_refunded | e5: partially_refunded/canceled: subscription canceled',
    'of one second, by rank; the one that sorts before what was received before it is late');

-- A failed charge that comes after all of them, and happened between the first two.
SELECT pg_temp.take ('e0', 'checkout.failed', '2025-01-07 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.said (ids => 'e0') || ' | ' || pg_temp.said (ids => 'e2'), 'e0 late: trialing/past_due: subscription past_due; payment x: failed | e2: paid/active: order trialing → paid; subscription active; payment x: failed → paid',
    'a late event stands where it happened, and what follows changes something else');
SELECT is(pg_temp.told (
        $$SELECT string_agg(event_id, ' ' ORDER BY position), string_agg(position::text, ',' ORDER BY position), string_agg(event_id, ' ' ORDER BY position) FILTER (WHERE late) FROM bagelpay.explain ('o1')$$),
    'e1 e0 e2 e3 e4 e5 1,2,3,4,5,6 e0 e4', 'the order of the fold, counted from 1, and those that came late');
SELECT is(pg_temp.told ($$SELECT event_id, event_type, occurred_at, received_at, product_id, customer_id FROM bagelpay.explain ('o1') ORDER BY event_id$$),
    pg_temp.told ($$SELECT event_id, event_type, occurred_at, received_at, product_id, customer_id FROM bagelpay.events WHERE order_id = 'o1' ORDER BY event_id$$), 'with what is stored of each');
SELECT pg_temp.take ('e1', 'subscription.trialing', '2025-01-01 00:00:00', '{"trial_end":"2025-01-08 00:00:00+00"}') \g /dev/null
SELECT is((SELECT late FROM bagelpay.explain ('o1') WHERE event_id = 'e1'), FALSE, 'one that is delivered again is not late');

-- What changes nothing says so; what depends on other events is told here, and not in events.warnings.
SELECT pg_temp.take ('f1', 'checkout.cancel', '2025-02-12 00:00:00') \g /dev/null
SELECT pg_temp.take ('f2', 'refund.created', '2025-02-13 00:00:00', '{"payment_id":"nix"}') \g /dev/null
SELECT pg_temp.take ('f3', 'subscription.canceled', '2025-02-13 00:00:00', '{"product_id":"p9","warnings":["object.units: not an integer"]}') \g /dev/null
SELECT alike(pg_temp.said (ids => 'f1'), 'f1: partially_refunded/-: %payment page%', 'a payment page that was closed');
SELECT is(pg_temp.said (ids => 'f2'), 'f2: partially_refunded/-: finds no payment to count against', 'a refund of nothing');
SELECT is(pg_temp.said (ids => 'f3'),
    'f3: partially_refunded/-: finds no subscription to end; object.units: not an integer', 'a cancellation of nothing, with a warning of its own');
SELECT is(pg_temp.told ($$SELECT count(*) FROM bagelpay.events WHERE warnings <> '{}'$$), '1', 'which alone is stored');

-- Refunds and disputes of one payment and another.
SELECT pg_temp.take ('g1', 'refund.created', '2025-02-14 00:00:00', '{"payment_id":"x","refund_label":"full"}') \g /dev/null
SELECT pg_temp.take ('g2', 'refund.created', '2025-02-15 00:00:00', '{"payment_id":"y","refund_label":"full"}') \g /dev/null
SELECT pg_temp.take ('g3', 'checkout.completed', '2025-02-16 00:00:00', '{"payment_id":"z","product_id":"p3"}') \g /dev/null
SELECT pg_temp.take ('g4', 'checkout.cancel', '2025-02-17 00:00:00', '{"metadata":null,"payment_id":"z"}') \g /dev/null
SELECT is(pg_temp.said (ids => 'g1'), 'g1: partially_refunded/-: payment x: paid → refunded', 'a refund of the older payment leaves the order');
SELECT is(pg_temp.said (ids => 'g2'), 'g2: refunded/-: order partially_refunded → refunded; payment y: partially_refunded → refunded', 'one of the latest does not');
SELECT is(pg_temp.said (ids => 'g3'), 'g3: paid/-: order refunded → paid; payment z: paid', 'another product, bought once');
SELECT alike(pg_temp.said (ids => 'g4'), 'g4: disputed/-: order paid → disputed; payment z: paid → disputed; linked%', 'a dispute that was linked');

-- Items have statuses of their own.
SELECT pg_temp.take ('h1', 'subscription.paid', '2025-03-01 00:00:00', '{"payment_id":"h","product_id":"p2","customer_id":"c2","customer_email":"c2@example.com"}') \g /dev/null
SELECT pg_temp.take ('h2', 'checkout.failed', '2025-03-02 00:00:00', '{"payment_id":"i","product_id":"p2","customer_id":"c2"}') \g /dev/null
SELECT pg_temp.take ('h3', 'checkout.failed', '2025-03-03 00:00:00', '{"payment_id":"j","product_id":"p3"}') \g /dev/null
SELECT is(pg_temp.said (ids => 'h%'),
    'h1: paid/active: order disputed → paid; subscription active; payment h: paid | h2: paid/past_due: subscription past_due; payment i: failed | h3: paid/-: payment j: failed', 'a failure of one of two');

-- What operators decide.
SELECT bagelpay.dispute_won ('z', 'well') \g /dev/null
SELECT bagelpay.grant ('o1', until => '2030-01-01 00:00:00+00', note => 'a gift') \g /dev/null
SELECT bagelpay.revoke ('o1', 'enough', product_id => 'p2') \g /dev/null
SELECT bagelpay.clear ('o1', 'peace') \g /dev/null
SELECT bagelpay.grant ('o1', 'G@Example.com', 'p9') \g /dev/null
SELECT is(pg_temp.told ($$SELECT event_type, product_id, order_status, note, late FROM bagelpay.explain ('o1') WHERE event_type ~ '^operator' ORDER BY position$$),
    'operator.dispute_won - paid payment z: disputed → paid; dispute won; well false | operator.grant - paid granted until 2030-01-01 00:00:00 UTC; a gift false | operator.revoke p2 paid revoked; enough false | operator.clear - paid cleared; peace false | operator.grant p9 paid granted without end false',
    'decisions, what they say and what was said of them');
SELECT pg_temp.take ('i1', 'checkout.failed', '2025-03-04 00:00:00', '{"payment_id":"k","product_id":"p3"}') \g /dev/null
SELECT is(pg_temp.said (ids => 'i1'), 'i1 late: paid/-: payment k: failed', 'one that happened before a decision and came after it is late');
SELECT is((SELECT order_status FROM bagelpay.explain ('o1') ORDER BY position DESC LIMIT 1),
    (SELECT status::text FROM bagelpay.orders WHERE order_id = 'o1'), 'what it comes to is what is stored');

-- Batches: events of one batch were received together.
SELECT count(*) FROM bagelpay.ingest (
    json_build_array(
        pg_temp.made ('k2', 'checkout.completed', '2025-01-02 00:00:00', '{"metadata":{"order_id":"o3"},"payment_id":"x"}'),
        pg_temp.made ('k1', 'checkout.failed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"o3"},"payment_id":"x"}')),
    ARRAY['k2', 'k1']::bytea[]) \g /dev/null
SELECT is(pg_temp.said ('o3'),
    'k1: failed/-: order pending → failed; payment x: failed | k2: paid/-: order failed → paid; payment x: failed → paid', 'of one batch, none is late');
SELECT pg_temp.take ('k3', 'checkout.cancel', '2025-01-03 00:00:00', '{"metadata":{"order_id":"o3"},"received_at":"2025-01-03 00:00:01+00"}') \g /dev/null
SELECT pg_temp.take ('k4', 'checkout.cancel', '2025-01-04 00:00:00', '{"metadata":{"order_id":"o3"},"received_at":"2025-01-04 00:00:01+00"}') \g /dev/null
SELECT is(pg_temp.told ($$SELECT event_id, late FROM bagelpay.explain ('o3')$$),
    'k1 true | k2 true | k3 false | k4 false', 'late by when each was received, not by when it was committed');

-- Modes are apart; what has no part in the fold is not shown.
SELECT pg_temp.take ('l1', 'checkout.cancel', '2025-01-01 00:00:00', '{"mode":"test"}') \g /dev/null
SELECT pg_temp.take ('l2', 'invoice.created', '2025-01-02 00:00:00', '{"mode":"test"}') \g /dev/null
SELECT is(pg_temp.said (of_mode => 'test'), 'l1: canceled/-: order pending → canceled', 'the test order of the same name');
SELECT is(pg_temp.said (ids => 'l%'), NULL, 'is another');
SELECT is((SELECT count(*) FROM bagelpay.explain (E' o1\n')),
    (SELECT count(*) FROM bagelpay.events WHERE order_id = 'o1' AND mode = 'live'), 'named with white space around it');
SELECT is_empty($$SELECT * FROM bagelpay.explain ('nix')$$, 'there is no such order');
SELECT throws_ok($$SELECT * FROM bagelpay.explain (' ')$$, '22023', 'order_id: missing, not '' ''', 'none is named');
SELECT throws_ok($$SELECT * FROM bagelpay.explain ('o1', 'Live')$$, '22023', NULL, 'nor a mode that there is');

-- A long life.
SELECT pg_temp.take ('m' || lpad(i::text, 3, '0'), 'subscription.paid', (timestamp '2025-01-01' + i * interval '1 hour')::text, jsonb_build_object('metadata', '{"order_id":"o4"}'::jsonb, 'payment_id', 'm' || i))
FROM generate_series(1, 150) AS i \g /dev/null
SELECT is((SELECT string_agg(event_id, ' ' ORDER BY position) FROM bagelpay.explain ('o4')),
    (SELECT string_agg('m' || lpad(i::text, 3, '0'), ' ' ORDER BY i) FROM generate_series(1, 150) AS i), 'a long life, too');

-- It writes nothing, in whatever transaction it is asked.
CREATE FUNCTION pg_temp.places ()
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT string_agg(xmin::text || ctid::text, ' ' ORDER BY event_id) FROM bagelpay.events
$$;
SELECT md5(pg_temp.places () || pg_temp.all_rows ()) AS before, md5(pg_temp.all_rows ()) AS rows \gset
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT * FROM bagelpay.explain ('o1') \g /dev/null
COMMIT;
SELECT pass('it may be asked where nothing may be written');
SELECT is(md5(pg_temp.places () || pg_temp.all_rows ()), :'before', 'and leaves every row alone');
SELECT is(bagelpay.rebuild (), 0::bigint, 'all of it is what a rebuild says');
SELECT is(md5(pg_temp.all_rows ()), :'rows', 'with every note');

SELECT * FROM finish();
