-- The tables of statuses, row by row: payments, orders, subscriptions, refunds, disputes,
-- operators. Each case is an order of its own, told as its events.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(65);

\ir builder.psql

-- A case: events as type@second{extra}, ingested in this order or the other way round.
CREATE FUNCTION pg_temp.story (name text, VARIADIC events text[])
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    part text[];
    told text;
    backwards text;
BEGIN
    FOR way IN 1 .. 2 LOOP
        FOR i IN 1 .. cardinality(events) LOOP
            part := regexp_match(events[CASE way WHEN 1 THEN i ELSE cardinality(events) + 1 - i END], '^([a-z.]+)@([0-9]+)(.*)$');
            PERFORM pg_temp.take (
                name || way || part[2], part[1], to_char(timestamp '2025-01-01' + part[2]::integer * interval '1 second', 'YYYY-MM-DD HH24:MI:SS'),
                jsonb_build_object('metadata', jsonb_build_object('order_id', name || way)) || coalesce(nullif(part[3], ''), '{}')::jsonb);
        END LOOP;
    END LOOP;
    told := pg_temp.state (name || '1');
    backwards := pg_temp.state (name || '2');
    RETURN CASE WHEN told = backwards THEN told ELSE told || ' BUT BACKWARDS ' || backwards END;
END
$$;

-- Payments and orders.
SELECT is(pg_temp.story ('a', 'checkout.completed@1{"payment_id":"x"}'), 'paid / - / x=paid', 'a payment');
SELECT is(pg_temp.story ('b', 'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"x"}'), 'paid / - / x=paid', 'the same payment told twice');
SELECT is(pg_temp.story ('c', 'checkout.failed@1{"payment_id":"x"}'), 'failed / - / x=failed', 'a failure');
SELECT is(pg_temp.story ('d', 'checkout.failed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"x"}'), 'paid / - / x=paid', 'a failure, then the payment');
SELECT is(pg_temp.story ('e', 'checkout.completed@1{"payment_id":"x"}', 'checkout.failed@2{"payment_id":"y"}'), 'paid / - / x=paid y=failed', 'a failed further payment leaves the order paid');
SELECT is(pg_temp.story ('f', 'checkout.cancel@1{}'), 'canceled / - /', 'a closed payment page');
SELECT is(pg_temp.story ('g', 'checkout.failed@1{"payment_id":"x"}', 'checkout.cancel@2{}'), 'canceled / - / x=failed', 'closed after a failure');
SELECT is(pg_temp.story ('h', 'checkout.cancel@1{}', 'checkout.failed@2{"payment_id":"x"}'), 'failed / - / x=failed', 'a failure after it was closed');
SELECT is(pg_temp.story ('i', 'checkout.completed@1{"payment_id":"x"}', 'checkout.cancel@2{}'), 'paid / - / x=paid', 'a closed page that names no payment changes nothing');
SELECT is((SELECT warnings FROM bagelpay.events WHERE event_id = 'i12'), ARRAY['event_type: checkout.cancel leaves the order paid'], 'but is remarked on');
SELECT is(pg_temp.story ('j', 'checkout.completed@1{"payment_id":"x"}', 'checkout.cancel@2{"payment_id":"x"}'), 'disputed / - / x=disputed', 'a dispute');
SELECT is(pg_temp.story ('k', 'checkout.completed@1{"payment_id":"x","provider_order_id":"O"}', 'checkout.cancel@2{"provider_order_id":"O"}'), 'disputed / - / x=disputed', 'a dispute by the provider''s order');
SELECT is(pg_temp.story ('l', 'checkout.completed@1{"payment_id":"x","provider_order_id":"O"}', 'checkout.cancel@2{"payment_id":"y","provider_order_id":"O"}'), 'paid / - / x=paid', 'with a payment id, the provider''s order names nothing');
SELECT is(pg_temp.story ('m', 'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}', 'checkout.cancel@3{"payment_id":"x"}'), 'paid / - / x=disputed y=paid', 'a dispute of an older payment');
SELECT is(pg_temp.story ('n', 'checkout.completed@1{"payment_id":"x"}', 'checkout.cancel@2{"payment_id":"x"}', 'checkout.completed@3{"payment_id":"x"}'), 'disputed / - / x=disputed', 'the payment told again does not end the dispute');
SELECT is(pg_temp.story ('o', 'checkout.failed@1{"payment_id":"x"}', 'checkout.cancel@2{"payment_id":"x"}'), 'canceled / - / x=failed', 'what was never paid cannot be disputed');

-- Keys of payments.
SELECT is(pg_temp.story ('p', 'checkout.completed@1{"provider_order_id":"O"}', 'checkout.completed@2{}'), 'paid / - / event:p12=paid order:O=paid BUT BACKWARDS paid / - / event:p22=paid order:O=paid', 'without an id: by the provider''s order, or by the event');

-- Refunds.
SELECT is(pg_temp.story ('q', 'checkout.completed@1{"payment_id":"x","amount":"10"}', 'refund.created@2{"payment_id":"x","refund_label":"full"}'), 'refunded / - / x=refunded', 'labelled full');
SELECT is(pg_temp.story ('r', 'checkout.completed@1{"payment_id":"x","amount":"10"}', 'refund.created@2{"payment_id":"x","refund_label":"partial"}'), 'partially_refunded / - / x=partially_refunded', 'labelled partial');
SELECT is(pg_temp.story ('s', 'checkout.completed@1{"payment_id":"x","amount":"10"}', 'refund.created@2{"payment_id":"x","refund_amount":"4"}'), 'partially_refunded / - / x=partially_refunded', 'a part of the amount');
SELECT is(pg_temp.story ('t', 'checkout.completed@1{"payment_id":"x","amount":"10"}', 'refund.created@2{"payment_id":"x","refund_amount":"4"}', 'refund.created@3{"payment_id":"x","refund_amount":"6"}'), 'refunded / - / x=refunded', 'parts that add up to all');
SELECT is(pg_temp.story ('u', 'checkout.completed@1{"payment_id":"x","amount":"10"}', 'refund.created@2{"payment_id":"x","refund_running_total":"4"}', 'refund.created@3{"payment_id":"x","refund_running_total":"9"}'), 'partially_refunded / - / x=partially_refunded', 'running totals do not add up');
SELECT is((SELECT refunded_amount FROM bagelpay.payments WHERE order_id = 'u1'), 9::numeric, 'the latest counts');
SELECT is(pg_temp.story ('v', 'checkout.completed@1{"payment_id":"x","amount":"0.3"}', 'refund.created@2{"payment_id":"x","refund_amount":"0.1"}', 'refund.created@3{"payment_id":"x","refund_amount":"0.2"}'), 'refunded / - / x=refunded', 'a tenth and two tenths are three tenths');
SELECT is(pg_temp.story ('w', 'checkout.completed@1{"payment_id":"x","amount":"10"}', 'refund.created@2{"payment_id":"x","refund_label":"partial","refund_amount":"10"}'), 'refunded / - / x=refunded', 'labelled partial, but all of it');
SELECT is(pg_temp.story ('x', 'checkout.completed@1{"payment_id":"x","amount":"10"}', 'refund.created@2{"payment_id":"x"}'), 'refunded / - / x=refunded', 'neither label nor amount: as the setting says');
SELECT is((SELECT warnings FROM bagelpay.events WHERE event_id = 'x12'), ARRAY['object.refund: neither label nor amount, taken for a full refund'], 'with a warning');
UPDATE bagelpay.settings SET unknown_refund = 'partial';
SELECT is(pg_temp.take ('x1late', 'checkout.failed', '2024-01-01 00:00:00', '{"metadata":{"order_id":"x1"}}') || ' ' || pg_temp.state ('x1'), 'applied refunded / - / event:x1late=failed x=refunded', 'a late event does not bring a changed setting to what is stored');
DELETE FROM bagelpay.events WHERE event_id = 'x1late';
SELECT is(bagelpay.rebuild ('x1') + bagelpay.rebuild ('w1'), 1::bigint, 'rebuild does');
SELECT is(pg_temp.state ('x1'), 'partially_refunded / - / x=partially_refunded', 'to what it is about');
UPDATE bagelpay.settings SET unknown_refund = 'full';
SELECT is((SELECT bagelpay.rebuild ('x1')), 1::bigint, 'and back');
SELECT is(pg_temp.story ('y', 'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}', 'refund.created@3{"refund_label":"full"}'), 'refunded / - / x=paid y=refunded', 'without a name it is the latest payment''s');
SELECT is(pg_temp.story ('z', 'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}', 'refund.created@3{"payment_id":"x","refund_label":"full"}'), 'paid / - / x=refunded y=paid', 'of an older payment it leaves the order paid');
SELECT is(pg_temp.story ('ab', 'checkout.completed@1{"payment_id":"x"}', 'refund.created@2{"payment_id":"nix","refund_label":"full"}'), 'refunded / - / x=refunded', 'a name that is unknown is the latest''s, too');
SELECT is((SELECT warnings FROM bagelpay.events WHERE event_id = 'ab12'), ARRAY['object.payment_id: no paid payment of this order has this name, the refund counts against the latest'], 'with a warning');
SELECT is(pg_temp.story ('ac', 'refund.created@1{"payment_id":"x","refund_label":"full"}', 'checkout.completed@2{"payment_id":"x"}'), 'paid / - / x=paid', 'a refund before any payment takes nothing');
SELECT results_eq('SELECT payment_id IS NULL, label FROM bagelpay.refunds WHERE order_id = ''ac1''', $$VALUES (TRUE, 'full')$$, 'but is on record');
SELECT is(pg_temp.story ('ad', 'checkout.completed@1{"payment_id":"x","amount":"10"}', 'checkout.cancel@2{"payment_id":"x"}', 'refund.created@3{"payment_id":"x","refund_amount":"1"}'), 'disputed / - / x=disputed', 'a partial refund does not end a dispute');
SELECT is(pg_temp.story ('ae', 'checkout.completed@1{"payment_id":"x","amount":"10"}', 'checkout.cancel@2{"payment_id":"x"}', 'refund.created@3{"payment_id":"x","refund_label":"full"}'), 'refunded / - / x=refunded', 'a full one does');
SELECT is(pg_temp.story ('af', 'checkout.completed@1{"payment_id":"x","amount":"0"}', 'refund.created@2{"payment_id":"x","refund_amount":"0"}'), 'partially_refunded / - / x=partially_refunded', 'nothing of nothing is no full refund');

-- Subscriptions.
SELECT is(pg_temp.story ('ba', 'subscription.trialing@1{"amount":"0"}'), 'trialing / trialing /', 'a trial');
SELECT is(pg_temp.story ('bb', 'subscription.trialing@1', 'checkout.completed@2{"payment_id":"x","amount":"0","billing_type":"subscription"}'), 'trialing / trialing /', 'its checkout at no price is no payment');
SELECT is(pg_temp.story ('bc', 'checkout.completed@1{"payment_id":"x","amount":"0"}'), 'paid / - / x=paid', 'one time at no price is one');
SELECT is(pg_temp.story ('bd', 'subscription.trialing@1', 'subscription.paid@2{"payment_id":"x"}'), 'paid / active / x=paid', 'a trial that was paid for');
SELECT is(pg_temp.story ('be', 'subscription.trialing@1', 'checkout.failed@2{"payment_id":"x"}'), 'trialing / past_due / x=failed', 'a trial that was not');
SELECT is(pg_temp.story ('bf', 'subscription.paid@1{"payment_id":"x"}', 'checkout.failed@2{"payment_id":"y"}', 'subscription.paid@3{"payment_id":"y"}'), 'paid / active / x=paid y=paid', 'past due, and paid after all');
SELECT is(pg_temp.story ('bg', 'subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2'), 'paid / canceled / x=paid', 'a cancellation');
SELECT is(pg_temp.story ('bh', 'subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2', 'checkout.failed@3{"payment_id":"y"}'), 'paid / canceled / x=paid y=failed', 'stays one when a charge fails');
SELECT is(pg_temp.story ('bi', 'subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2', 'subscription.paid@3{"payment_id":"x"}'), 'paid / canceled / x=paid', 'a payment told again does not take it back');
SELECT is(pg_temp.story ('bj', 'subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2', 'subscription.paid@3{"payment_id":"y"}'), 'paid / active / x=paid y=paid', 'a new one does');
SELECT is((SELECT ends_at FROM bagelpay.subscriptions WHERE order_id = 'bj1'), NULL, 'and there is no end any more');
SELECT is(pg_temp.story ('bk', 'checkout.completed@1{"payment_id":"x"}', 'subscription.canceled@2'), 'paid / canceled / x=paid', 'what came before the first event billed as a subscription counts, too');
SELECT is(pg_temp.story ('bl', 'subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2{"cancel_at":"2026-01-01 00:00:00+00","canceled_at":"2024-01-01 00:00:00+00","cancel_at_period_end":true}'), 'paid / canceled / x=paid', 'a cancellation for later');
SELECT results_eq('SELECT ends_at, cancel_at_period_end FROM bagelpay.subscriptions WHERE order_id = ''bl1''', $$VALUES ('2026-01-01 00:00:00+00'::timestamptz, TRUE)$$, 'ends at the latest of its times');

-- An event writes the payment that it is about, and no other; that the order was updated, all show.
SELECT ctid AS place FROM bagelpay.stored_payments WHERE order_id = 'bf1' AND payment_id = 'x' \gset
SELECT pg_temp.take ('bf1_4', 'subscription.paid', '2025-06-01 00:00:00', '{"metadata":{"order_id":"bf1"},"payment_id":"z"}') \g /dev/null
SELECT results_eq('SELECT ctid, xmax::text FROM bagelpay.stored_payments WHERE order_id = ''bf1'' AND payment_id = ''x''',
    format('VALUES (%L::tid, ''0'')', :'place'), 'one payment leaves the others alone, and unlocked');
SELECT results_eq('SELECT payment_id, updated_at FROM bagelpay.payments WHERE order_id = ''bf1'' ORDER BY payment_id',
    $$SELECT unnest('{x,y,z}'::text[] COLLATE "C"), '2025-06-01 00:00:00+00'::timestamptz$$, 'the newest event is that of the order');

-- Who the customer is.
SELECT is(pg_temp.story ('ca', 'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","customer_id":"c2"}'), 'paid / - / x=paid y=paid', 'two customers');
SELECT is((SELECT conflict FROM bagelpay.orders WHERE order_id = 'ca1'), TRUE, 'under one key are a conflict');

-- Numbers that are equal, but not written alike: the newest event's is kept, whenever it came.
SELECT pg_temp.take ('eq1', 'subscription.paid', '2025-01-01 00:00:00', '{"metadata":{"n":1.0},"customer_id":"eq","payment_id":"x","amount":5.0,"billing_amount":5.0}') \g /dev/null
SELECT pg_temp.take ('eq3', 'subscription.paid', '2025-01-03 00:00:00', '{"metadata":null,"customer_id":"eq","payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('eq2', 'subscription.paid', '2025-01-02 00:00:00', '{"metadata":{"n":1.00},"customer_id":"eq","payment_id":"x","amount":5.00,"billing_amount":5.00}') \g /dev/null
SELECT is(concat_ws(' ', o.metadata, o.amount, s.billing_amount, p.amount), '{"n": 1.00} 5.00 5.00 5.00', 'what equals is the same whatever came first')
FROM bagelpay.orders AS o JOIN bagelpay.subscriptions AS s USING (mode, order_id) JOIN bagelpay.payments AS p USING (mode, order_id)
WHERE o.order_id = 'customer:eq:p1';

-- All of it over again.
SELECT is(bagelpay.rebuild (), 0::bigint, 'rebuilding changes nothing');

-- More orders than are folded at once, of which every third has lost something, another kind of row each time.
SELECT is(count(*), 350::bigint, 'many orders')
FROM generate_series(1, 350) AS i
CROSS JOIN LATERAL pg_temp.take ('many' || i, 'subscription.paid', '2026-01-01 00:00:00', jsonb_build_object(
    'payment_id', 'many' || i, 'refund_label', NULL, 'metadata', jsonb_build_object('order_id', 'many' || i))) AS outcome
WHERE outcome = 'applied';
CREATE TEMPORARY TABLE sound AS
SELECT o.order_id, bagelpay.state_of (o.mode, o.order_id) AS state FROM bagelpay.orders AS o;
UPDATE bagelpay.orders SET status = 'failed' WHERE order_id IN (SELECT 'many' || i FROM generate_series(1, 350, 9) AS i);
DELETE FROM bagelpay.stored_payments WHERE order_id IN (SELECT 'many' || i FROM generate_series(4, 350, 9) AS i);
UPDATE bagelpay.subscriptions SET status = 'canceled' WHERE order_id IN (SELECT 'many' || i FROM generate_series(7, 350, 9) AS i);
INSERT INTO bagelpay.refunds (mode, order_id, event_id, occurred_at) SELECT 'live', 'nobody' || i, 'r', now() FROM generate_series(1, 3) AS i;
INSERT INTO bagelpay.orders (mode, order_id, key_source, status) SELECT 'live', 'nobody' || i, 'metadata', 'paid' FROM generate_series(1, 3) AS i;
SELECT is(bagelpay.rebuild (), 120::bigint, 'those that were not what their events say are mended, and counted');
SELECT set_eq('SELECT order_id, bagelpay.state_of (mode, order_id) FROM bagelpay.orders', 'SELECT * FROM sound', 'and are as before');
SELECT is((SELECT count(*) FROM bagelpay.refunds WHERE order_id LIKE 'nobody%'), 0::bigint, 'what belongs to no event is gone');
SELECT is(bagelpay.rebuild (), 0::bigint, 'there is no more to mend');

SELECT * FROM finish();

ROLLBACK;
