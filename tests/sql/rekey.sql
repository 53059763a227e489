-- rekey(): stored events under the keys that a changed setting makes of them, and what
-- becomes of the orders that lose and gain them.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(63);

\ir builder.psql

-- All orders, each with its events, as one short text.
CREATE FUNCTION pg_temp.keyed ()
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT string_agg(
        format('%s %s%s: %s', o.mode, o.order_id, CASE WHEN o.conflict THEN ' conflict' END,
            (SELECT string_agg(CASE WHEN e.event_type LIKE 'operator.%' THEN e.event_type ELSE e.event_id END, ' ' ORDER BY e.fold_slot, e.occurred_at, e.event_id)
             FROM bagelpay.events AS e WHERE e.mode = o.mode AND e.order_id = o.order_id)),
        ' | ' ORDER BY o.mode, o.order_id)
    FROM bagelpay.orders AS o
$$;

-- Every row of state, and what events say of their keys.
CREATE FUNCTION pg_temp.everything ()
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.all_rows () || (SELECT string_agg(concat_ws(' ', event_id, outcome, order_id, key_source, warnings::text), E'\n' ORDER BY event_id) FROM bagelpay.events)
$$;

CREATE FUNCTION pg_temp.set_key (paths text[])
    RETURNS bigint
    LANGUAGE sql
    AS $$
    UPDATE bagelpay.settings SET order_key = paths;
    SELECT bagelpay.rekey ()
$$;

SELECT is(bagelpay.rekey (), 0::bigint, 'nothing to do where there is nothing');

-- Two orders by metadata.order_id; by metadata.ref, what was the second one's is the first's.
SELECT pg_temp.take ('a1', 'subscription.trialing', '2025-01-01 00:00:00', '{"metadata":{"order_id":"o1","ref":"r1"},"trial_end":"2025-01-08 00:00:00+00"}') \g /dev/null
SELECT pg_temp.take ('a2', 'subscription.paid', '2025-01-08 00:00:00', '{"metadata":{"order_id":"o2","ref":"r1"},"payment_id":"x","amount":"10"}') \g /dev/null
SELECT pg_temp.take ('a3', 'refund.created', '2025-01-09 00:00:00', '{"metadata":{"order_id":"o2","ref":"r1"},"payment_id":"x","refund_amount":"4"}') \g /dev/null
SELECT pg_temp.take ('a4', 'checkout.completed', '2025-01-02 00:00:00', '{"metadata":{"order_id":"o3"},"payment_id":"y"}') \g /dev/null
SELECT pg_temp.everything () AS first \gset
SELECT is(pg_temp.keyed (), 'live o1: a1 | live o2: a2 a3 | live o3: a4', 'before');
SELECT is(bagelpay.rekey (), 0::bigint, 'the same setting changes nothing');
SELECT is(pg_temp.everything (), :'first', 'at all');

UPDATE bagelpay.settings SET order_key = '{metadata.ref,metadata.order_id}';
SELECT is(pg_temp.keyed (), 'live o1: a1 | live o2: a2 a3 | live o3: a4', 'nor does another one, of itself');
SELECT is(bagelpay.rebuild (), 0::bigint, 'nor a rebuild');
SELECT is(bagelpay.rekey (), 3::bigint, 'two orders went, one came');
SELECT is(pg_temp.keyed (), 'live o3: a4 | live r1: a1 a2 a3', 'their events are its own');
SELECT is(pg_temp.state ('r1'), 'partially_refunded / active / x=partially_refunded', 'folded into one state');
SELECT is((SELECT refunded_amount FROM bagelpay.payments WHERE order_id = 'r1'), 4::numeric, 'with the refund');
SELECT is(pg_temp.told ('SELECT order_id, event_id, pg_temp.utc (trial_end) FROM bagelpay.trials'), 'r1 a1 2025-01-08', 'and the trial');
SELECT is_empty($$
    SELECT 'orders', order_id FROM bagelpay.orders WHERE order_id IN ('o1', 'o2')
    UNION ALL SELECT 'items', order_id FROM bagelpay.items WHERE order_id IN ('o1', 'o2')
    UNION ALL SELECT 'trials', order_id FROM bagelpay.trials WHERE order_id IN ('o1', 'o2')
    UNION ALL SELECT 'payments', order_id FROM bagelpay.payments WHERE order_id IN ('o1', 'o2')
    UNION ALL SELECT 'refunds', order_id FROM bagelpay.refunds WHERE order_id IN ('o1', 'o2')
    UNION ALL SELECT 'events', order_id FROM bagelpay.events WHERE order_id IN ('o1', 'o2')
    UNION ALL SELECT 'explain', event_id FROM bagelpay.explain ('o2')
    UNION ALL SELECT 'entitlements', order_id FROM bagelpay.entitlements WHERE order_id IN ('o1', 'o2')$$, 'nothing is left of what lost all its events');
SELECT is(bagelpay.rekey (), 0::bigint, 'a second time there is nothing to do');
SELECT is(bagelpay.rebuild (), 0::bigint, 'and nothing to mend');

-- An event that comes now gets the new key, and folds into what was rekeyed.
SELECT pg_temp.take ('a5', 'subscription.canceled', '2025-01-10 00:00:00', '{"metadata":{"order_id":"o9","ref":"r1"}}') \g /dev/null
SELECT is(pg_temp.state ('r1'), 'partially_refunded / canceled / x=partially_refunded', 'life goes on under the new key');
SELECT is(pg_temp.set_key ('{metadata.order_id,metadata.orderId}'), 4::bigint, 'back: one order goes, three come');
SELECT is(pg_temp.keyed (), 'live o1: a1 | live o2: a2 a3 | live o3: a4 | live o9: a5', 'the two of before, and one that had never been');
DELETE FROM bagelpay.events WHERE event_id = 'a5';
SELECT is(bagelpay.rebuild (), 1::bigint, 'which goes with its only event');
SELECT is(pg_temp.everything (), :'first', 'then all is as it was');

-- An order that keeps some of its events.
SELECT pg_temp.take ('b1', 'checkout.completed', '2025-01-03 00:00:00', '{"metadata":{"order_id":"o3","ref":"r3"},"payment_id":"z"}') \g /dev/null
SELECT is(pg_temp.state ('o3'), 'paid / - / y=paid z=paid', 'two payments of one order');
SELECT is(pg_temp.set_key ('{metadata.ref,metadata.order_id}'), 5::bigint, 'one more order lost an event, one more came');
SELECT is(pg_temp.state ('o3') || ' | ' || pg_temp.state ('r3'), 'paid / - / y=paid | paid / - / z=paid', 'one of each');
SELECT is((SELECT last_event_id || ' ' || payment_id FROM bagelpay.orders WHERE order_id = 'o3'), 'a4 y', 'nothing of the other is left in it');
SELECT pg_temp.set_key ('{metadata.order_id,metadata.orderId}') \g /dev/null

-- Unmatched events find an order, and lose it.
SELECT pg_temp.forget () \g /dev/null
SELECT is(pg_temp.take ('c1', 'checkout.failed', '2025-01-01 00:00:00', '{"metadata":{"ref":"r1"},"customer_id":null}'), 'unmatched', 'nothing names an order');
SELECT is(pg_temp.take ('c2', 'refund.created', '2025-01-02 00:00:00', '{"metadata":{"ref":"r1"},"customer_id":null}'), 'unmatched', 'of either');
SELECT is(pg_temp.take ('c3', 'invoice.created', '2025-01-03 00:00:00', '{"metadata":{"ref":"r1"}}'), 'ignored', 'a type that is not known');
SELECT is(pg_temp.set_key ('{metadata.ref}'), 1::bigint, 'they have one now');
SELECT is(pg_temp.told ('SELECT event_id, outcome, order_id, key_source FROM bagelpay.events ORDER BY event_id'),
    'c1 applied r1 metadata | c2 applied r1 metadata | c3 ignored - -', 'but for the one that has no part in any');
SELECT is(pg_temp.state ('r1'), 'failed / - / event:c1=failed', 'and a state');
SELECT is(bagelpay.rekey () + bagelpay.rebuild (), 0::bigint, 'that is all');
SELECT is(pg_temp.set_key ('{metadata.order_id,metadata.orderId}'), 1::bigint, 'and back');
SELECT is(pg_temp.told ('SELECT event_id, outcome, order_id, key_source FROM bagelpay.events ORDER BY event_id'),
    'c1 unmatched - - | c2 unmatched - - | c3 ignored - -', 'without an order');
SELECT is((SELECT count(*) FROM bagelpay.orders) + (SELECT count(*) FROM bagelpay.payments) + (SELECT count(*) FROM bagelpay.refunds), 0::bigint, 'and there is none');
SELECT is(bagelpay.rekey () + bagelpay.rebuild (), 0::bigint, 'that is all, again');

-- Two customers under a key that is not unique to a purchase: two items, and a conflict.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('d1', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"shop"},"request_id":"q1","payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('d2', 'checkout.completed', '2025-01-02 00:00:00', '{"metadata":{"order_id":"shop"},"request_id":"q2","payment_id":"y","customer_id":"c2","customer_email":"c2@example.com"}') \g /dev/null
SELECT is(pg_temp.keyed (), 'live shop conflict: d1 d2', 'are a conflict');
SELECT ok(bagelpay.is_entitled ('c1', 'p1') AND bagelpay.is_entitled ('C2@example.com', 'p1'), 'by which everybody is entitled');
SELECT is(pg_temp.set_key ('{request_id,metadata.order_id}'), 3::bigint, 'a key that is unique mends it');
SELECT is(pg_temp.keyed (), 'live q1: d1 | live q2: d2', 'each has an order');
SELECT ok(bagelpay.is_entitled ('c1', 'p1') AND bagelpay.is_entitled ('C2@example.com', 'p1'), 'each is entitled still');
SELECT is(bagelpay.rekey () + bagelpay.rebuild (), 0::bigint, 'mended for good');
SELECT is(pg_temp.set_key ('{metadata.order_id,metadata.orderId}'), 3::bigint, 'the old key brings it back');
SELECT is(pg_temp.keyed (), 'live shop conflict: d1 d2', 'whole');

-- Links follow from the keys.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('l1', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"o1","ref":"r1"},"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('l2', 'checkout.completed', '2025-01-02 00:00:00', '{"metadata":{"order_id":"o2"},"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('l3', 'refund.created', '2025-01-03 00:00:00', '{"metadata":null,"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('l4', 'subscription.paid', '2025-01-04 00:00:00', '{"metadata":{"ref":"a9"},"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.keyed (), 'live o1: l1 l3 l4 | live o2: l2', 'linked to the bytewise first');
SELECT is(pg_temp.set_key ('{metadata.ref}'), 4::bigint, 'by another key');
SELECT is(pg_temp.keyed (), 'live a9: l2 l3 l4 | live r1: l1', 'other orders are found');
SELECT is(pg_temp.told ('SELECT event_id, key_source FROM bagelpay.events ORDER BY event_id'),
    'l1 metadata | l2 linked | l3 linked | l4 metadata', 'by events that had no key');
SELECT is(pg_temp.state ('a9'), 'refunded / active / x=refunded', 'and folded together');
SELECT is(bagelpay.rekey () + bagelpay.rebuild (), 0::bigint, 'that is all, with links');
SELECT is(pg_temp.set_key ('{metadata.nothing}'), 4::bigint, 'if no event has a key');
SELECT is(pg_temp.keyed (), 'live customer:c1:p1: l4 | live payment:x: l1 l2 l3', 'there is nothing to link to');
SELECT is(pg_temp.set_key ('{metadata.order_id,metadata.orderId}') || ' ' || pg_temp.keyed (), '4 live o1: l1 l3 l4 | live o2: l2', 'and back');

-- What operators decided stays with the order that they named.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('d1', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"shop"},"request_id":"q1","payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('d2', 'checkout.completed', '2025-01-02 00:00:00', '{"metadata":{"order_id":"shop"},"request_id":"q2","payment_id":"y","customer_id":"c2","customer_email":"c2@example.com"}') \g /dev/null
SELECT bagelpay.grant ('shop', 'Gift@example.com', 'p9', note => 'sorry') \g /dev/null
SELECT is(pg_temp.verdict ('2999-01-01 00:00:00', 'shop'), 'yes paid | yes paid | yes granted', 'a grant');
SELECT is(pg_temp.set_key ('{request_id}'), 3::bigint, 'the events go, and the order changes');
SELECT is(pg_temp.keyed (), 'live q1: d1 | live q2: d2 | live shop: operator.grant', 'the decision stays');
SELECT is(pg_temp.told ('SELECT status, key_source, customer_email, product_id, customer_id FROM bagelpay.orders WHERE order_id = ''shop'''),
    'pending metadata gift@example.com p9 -', 'now nothing else says whose it is');
SELECT is(pg_temp.verdict ('2999-01-01 00:00:00', 'shop'), 'yes granted', 'its item, too');
SELECT bagelpay.revoke ('q1') \g /dev/null
SELECT is(pg_temp.set_key ('{metadata.order_id,metadata.orderId}'), 3::bigint, 'and back again');
SELECT is(pg_temp.keyed (), 'live q1: operator.revoke | live shop conflict: d1 d2 operator.grant', 'each decision where it was made');
SELECT is((SELECT customer_email || ' ' || product_id FROM bagelpay.orders WHERE order_id = 'shop'), 'c2@example.com p1', 'a grant does not overrule what events say');
SELECT is(bagelpay.rekey () + bagelpay.rebuild (), 0::bigint, 'that is all, with decisions');

-- Modes stay apart; warnings stay as they are.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('f1', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"o1","ref":"r"},"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('f2', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"o1","ref":"r"},"payment_id":"x","mode":"test","customer_id":"c2"}') \g /dev/null
SELECT pg_temp.set_key ('{metadata.ref}') \g /dev/null
SELECT is(pg_temp.keyed (), 'live r: f1 | test r: f2', 'test and live are never one order');
SELECT pg_temp.take ('f3', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"ref":"s","bad":"order:1"},"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.set_key ('{metadata.bad,metadata.ref}'), 0::bigint, 'no order changed');
SELECT is(pg_temp.told ('SELECT event_id, order_id, warnings FROM bagelpay.events ORDER BY event_id'), 'f1 r [] | f2 r [] | f3 s []', 'and nothing is said');

SELECT * FROM finish();

ROLLBACK;
