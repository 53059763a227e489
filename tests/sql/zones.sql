-- Times that came without a zone, before and after provider_timezone was changed and
-- applied by rebuild(); and what tells that it is wrong.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
-- The session's zone must not matter: this one has a day that never was.
SET TimeZone = 'Pacific/Apia';

BEGIN;

SELECT plan(51);

\ir builder.psql

-- Delivers an event whose occurred_at, and whatever else local names, has no zone.
CREATE FUNCTION pg_temp.take_local (id text, type text, at text, local jsonb DEFAULT '{}', extra jsonb DEFAULT '{}')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.take (id, type, '', jsonb_build_object('occurred_at', NULL, 'created_at_raw', at,
        'local_times', jsonb_build_object('occurred_at', at) || local) || extra)
$$;

-- The times of an event, an order, its item and its payments.
CREATE FUNCTION pg_temp.times (of_event text)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT concat_ws(' | ', pg_temp.utc (occurred_at), pg_temp.utc (trial_start), pg_temp.utc (trial_end), pg_temp.utc (billing_period_start),
        pg_temp.utc (billing_period_end), pg_temp.utc (cancel_at), pg_temp.utc (canceled_at))
    FROM bagelpay.events
    WHERE event_id = of_event
$$;

CREATE FUNCTION pg_temp.order_times (of_order text DEFAULT 'o1')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT concat_ws(' | ', pg_temp.utc (last_event_at), pg_temp.utc (updated_at)) FROM bagelpay.orders WHERE order_id = of_order
$$;

CREATE FUNCTION pg_temp.item_times (of_order text DEFAULT 'o1')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT concat_ws(' | ', pg_temp.utc (trial_start), pg_temp.utc (trial_end), pg_temp.utc (billing_period_start), pg_temp.utc (billing_period_end),
        pg_temp.utc (cancel_at), pg_temp.utc (canceled_at), pg_temp.utc (updated_at))
    FROM bagelpay.items
    WHERE order_id = of_order
$$;

CREATE FUNCTION pg_temp.payment_times (of_order text DEFAULT 'o1')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT string_agg(concat_ws(' ', payment_id, pg_temp.utc (paid_at), pg_temp.utc (period_end), pg_temp.utc (updated_at)), ' | ' ORDER BY payment_id)
    FROM bagelpay.payments
    WHERE order_id = of_order
$$;

CREATE FUNCTION pg_temp.set_zone (zone text)
    RETURNS bigint
    LANGUAGE sql
    AS $$
    UPDATE bagelpay.settings SET provider_timezone = zone;
    SELECT bagelpay.rebuild ()
$$;

-- A subscription, all of whose times came without a zone.
SELECT pg_temp.take_local ('a1', 'subscription.trialing', '2025-01-01 10:00:00', '{"trial_start":"2025-01-01 10:00:00","trial_end":"2025-01-08T10:00:00"}') \g /dev/null
SELECT pg_temp.take_local ('a2', 'subscription.paid', '2025-01-08 10:00:00.5', '{"billing_period_start":"2025-01-08 10:00:00","billing_period_end":"2025-02-08 10:00:00"}', '{"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take_local ('a3', 'subscription.canceled', '2025-01-20 10:00:00', '{"cancel_at":"2025-07-01 10:00:00","canceled_at":"2025-01-20 10:00:00"}') \g /dev/null
-- An order with a time of its own zone; an event with one of both kinds.
SELECT pg_temp.take ('b1', 'subscription.paid', '2025-01-08 10:00:00', '{"metadata":{"order_id":"o2"},"payment_id":"x","billing_period_end":"2025-02-08 10:00:00+00","created_at_raw":"2025-01-08 10:00:00Z"}') \g /dev/null
SELECT pg_temp.take ('c1', 'subscription.paid', '2025-01-08 10:00:00', '{"metadata":{"order_id":"o3"},"payment_id":"x","local_times":{"billing_period_end":"2025-02-08 10:00:00"}}') \g /dev/null
-- Events of no order.
SELECT pg_temp.take_local ('d1', 'invoice.created', '2025-01-01 10:00:00') \g /dev/null
SELECT pg_temp.take_local ('d2', 'checkout.failed', '2025-01-01 10:00:00', extra => '{"metadata":null,"customer_id":null}') \g /dev/null

SELECT is(pg_temp.times ('a1'), '2025-01-01 10:00:00 | 2025-01-01 10:00:00 | 2025-01-08 10:00:00', 'read in UTC');
SELECT is(pg_temp.order_times (), '2025-01-20 10:00:00 | 2025-01-20 10:00:00', 'so is the order');
SELECT is(pg_temp.item_times (), '2025-01-01 10:00:00 | 2025-01-08 10:00:00 | 2025-01-08 10:00:00 | 2025-02-08 10:00:00 | 2025-07-01 10:00:00 | 2025-01-20 10:00:00 | 2025-01-20 10:00:00', 'and the item');
SELECT is(pg_temp.told ('SELECT pg_temp.utc (t.starts_at), pg_temp.utc (t.trial_end), pg_temp.utc (c.occurred_at), pg_temp.utc (c.ends_at) FROM bagelpay.trials AS t, bagelpay.cancellations AS c'), '2025-01-01 10:00:00 2025-01-08 10:00:00 2025-01-20 10:00:00 2025-07-01 10:00:00', 'and what the windows follow from');
SELECT is(pg_temp.payment_times (), 'x 2025-01-08 10:00:00 2025-02-08 10:00:00 2025-01-20 10:00:00', 'and the payment');
SELECT is(pg_temp.verdict ('2025-01-21 00:00:00'), 'yes canceling 2025-02-08 10:00:00', 'and who is entitled');

UPDATE bagelpay.settings SET provider_timezone = 'America/New_York';
SELECT is(pg_temp.order_times (), '2025-01-20 10:00:00 | 2025-01-20 10:00:00', 'the setting alone changes nothing that is stored');
SELECT is(bagelpay.rebuild (), 2::bigint, 'a rebuild does, where a time has no zone');
SELECT is(pg_temp.times ('a1'), '2025-01-01 15:00:00 | 2025-01-01 15:00:00 | 2025-01-08 15:00:00', 'read in New York');
SELECT is(pg_temp.times ('a3'), '2025-01-20 15:00:00 | 2025-07-01 14:00:00 | 2025-01-20 15:00:00', 'each with the offset of its day');
SELECT is(pg_temp.order_times (), '2025-01-20 15:00:00 | 2025-01-20 15:00:00', 'so is the order');
SELECT is(pg_temp.item_times (), '2025-01-01 15:00:00 | 2025-01-08 15:00:00 | 2025-01-08 15:00:00 | 2025-02-08 15:00:00 | 2025-07-01 14:00:00 | 2025-01-20 15:00:00 | 2025-01-20 15:00:00', 'and the item');
SELECT is(pg_temp.told ('SELECT pg_temp.utc (t.starts_at), pg_temp.utc (t.trial_end), pg_temp.utc (c.occurred_at), pg_temp.utc (c.ends_at) FROM bagelpay.trials AS t, bagelpay.cancellations AS c'), '2025-01-01 15:00:00 2025-01-08 15:00:00 2025-01-20 15:00:00 2025-07-01 14:00:00', 'and what the windows follow from');
SELECT is(pg_temp.payment_times (), 'x 2025-01-08 15:00:00 2025-02-08 15:00:00 2025-01-20 15:00:00', 'and the payment');
SELECT is(pg_temp.verdict ('2025-01-21 00:00:00'), 'yes canceling 2025-02-08 15:00:00', 'and who is entitled');
SELECT is(pg_temp.times ('b1') || ' | ' || pg_temp.payment_times ('o2'), '2025-01-08 10:00:00 | 2025-02-08 10:00:00 | x 2025-01-08 10:00:00 2025-02-08 10:00:00 2025-01-08 10:00:00', 'times with a zone do not move');
SELECT is(pg_temp.times ('c1') || ' | ' || pg_temp.payment_times ('o3'), '2025-01-08 10:00:00 | 2025-02-08 15:00:00 | x 2025-01-08 10:00:00 2025-02-08 15:00:00 2025-01-08 10:00:00', 'of one event, those without do');
SELECT is(pg_temp.times ('d1') || ' ' || pg_temp.times ('d2'), '2025-01-01 15:00:00 2025-01-01 15:00:00', 'also where they are of no order');
SELECT is((SELECT local_times ->> 'occurred_at' || ' ' || created_at_raw FROM bagelpay.events WHERE event_id = 'a2'), '2025-01-08 10:00:00.5 2025-01-08 10:00:00.5', 'their text stays');
SELECT is(bagelpay.rebuild (), 0::bigint, 'a second time there is nothing to do');
SELECT is(bagelpay.rekey (), 0::bigint, 'no key changed');

-- One order alone.
UPDATE bagelpay.settings SET provider_timezone = 'Asia/Kolkata';
SELECT is(bagelpay.rebuild ('o3') + bagelpay.rebuild ('o2'), 1::bigint, 'one order rebuilt');
SELECT is(pg_temp.payment_times ('o3') || ' | ' || pg_temp.order_times (), 'x 2025-01-08 10:00:00 2025-02-08 04:30:00 2025-01-08 10:00:00 | 2025-01-20 15:00:00 | 2025-01-20 15:00:00', 'and no other');
SELECT is(pg_temp.set_zone ('UTC'), 2::bigint, 'back again');
SELECT is(pg_temp.verdict ('2025-01-21 00:00:00'), 'yes canceling 2025-02-08 10:00:00', 'all is as it was');

-- A zone may turn the order of events around.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take_local ('e1', 'subscription.canceled', '2025-01-01 10:00:00') \g /dev/null
SELECT pg_temp.take ('e2', 'subscription.paid', '2025-01-01 12:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.state (), 'paid / active / x=paid', 'cancelled before it was paid');
SELECT is(pg_temp.set_zone ('America/New_York'), 1::bigint, 'in New York');
SELECT is(pg_temp.state () || ' ' || (SELECT string_agg(event_id, ' ' ORDER BY position) FROM bagelpay.explain ('o1')), 'paid / canceled / x=paid e2 e1', 'after it');
SELECT is(pg_temp.order_times (), '2025-01-01 15:00:00 | 2025-01-01 15:00:00', 'now that is the newest event');

-- The hour that is left out and the one that comes twice, through ingest() and the fold.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take_local ('f1', 'subscription.paid', '2025-03-09 02:30:00', '{"billing_period_end":"2025-11-02 01:30:00"}', '{"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.payment_times (), 'x 2025-03-09 07:30:00 2025-11-02 06:30:00 2025-03-09 07:30:00', 'in the gap the offset before it counts, of the two the second');
SELECT is(pg_temp.verdict ('2025-03-09 07:29:59') || ', ' || pg_temp.verdict ('2025-03-09 07:30:00'), 'no not_yet 2025-11-03 06:30:00, yes active 2025-11-03 06:30:00', 'a day of grace has 24 hours');
SELECT pg_temp.take_local ('f2', 'checkout.failed', '2025-03-09 03:15:00', extra => '{"payment_id":"y"}') \g /dev/null
SELECT is((SELECT string_agg(event_id, ' ' ORDER BY position) FROM bagelpay.explain ('o1')), 'f2 f1', 'what the clock showed after the gap may have been before');
SELECT is(bagelpay.rebuild (), 0::bigint, 'rebuilding finds the same');
SELECT is(pg_temp.set_zone ('UTC'), 1::bigint, 'in UTC there is neither gap nor repetition');
SELECT is(pg_temp.payment_times (), 'x 2025-03-09 02:30:00 2025-11-02 01:30:00 2025-03-09 03:15:00 | y 2025-03-09 03:15:00', 'the texts are times as they stand');
SELECT is(pg_temp.set_zone ('America/New_York') || ' ' || pg_temp.payment_times (), '1 x 2025-03-09 07:30:00 2025-11-02 06:30:00 2025-03-09 07:30:00 | y 2025-03-09 07:30:00', 'and back');
SELECT pg_temp.set_zone ('UTC') \g /dev/null

-- Evidence: created_at without zone, against the signed timestamp of the delivery.
SELECT pg_temp.forget () \g /dev/null
SELECT extract(epoch FROM timestamptz '2025-06-01 12:00:00+00')::bigint AS noon \gset
SELECT pg_temp.take_local (id, type, at, extra => jsonb_build_object('signed_timestamp', :noon + seconds, 'payment_id', id))
FROM (VALUES
    ('g1', 'checkout.completed', '2025-06-01 20:00:00', 1),      -- read as UTC, 16 half hours ahead
    ('g2', 'checkout.completed', '2025-06-01 20:00:00', 59),
    ('g3', 'checkout.failed', '2025-06-01 20:00:30', 0),
    ('g4', 'checkout.completed', '2025-06-02 20:00:00', 86400),  -- another day
    ('g5', 'checkout.completed', '2025-06-01 06:30:00', 0),      -- behind: -11
    ('g6', 'checkout.completed', '2025-06-01 12:00:00', 5),      -- none
    ('g7', 'checkout.completed', '2025-06-01 20:02:00', 0),      -- no whole half hours
    ('g8', 'checkout.completed', '2025-06-02 02:30:00', 0),      -- more than 14 hours
    ('g9', 'invoice.created', '2025-06-01 20:00:00', 0)) AS v (id, type, at, seconds) \g /dev/null
SELECT pg_temp.take ('h1', 'checkout.completed', '2025-06-01 20:00:00', jsonb_build_object('signed_timestamp', :noon, 'created_at_raw', '2025-06-01 20:00:00Z')) \g /dev/null
SELECT pg_temp.take_local ('h2', 'checkout.completed', '2025-06-01 20:00:00') \g /dev/null
SELECT pg_temp.take_local ('h3', 'checkout.completed', '2025-06-01 20:00:00', extra => jsonb_build_object('signed_timestamp', :noon, 'created_at_raw', NULL)) \g /dev/null
SELECT is(pg_temp.told ('SELECT event_type, day, half_hours, events FROM bagelpay.zone_evidence ORDER BY event_type, day, half_hours'),
    'checkout.completed 2025-06-01 -11 1 | checkout.completed 2025-06-01 16 2 | checkout.completed 2025-06-02 16 1 | checkout.failed 2025-06-01 16 1 | invoice.created 2025-06-01 16 1', 'counted by type and day');
SELECT is((SELECT string_agg(event_id, ' ' ORDER BY event_id) FROM bagelpay.events WHERE warnings::text LIKE '%another time zone%'), 'g1 g2 g3 g4 g5 g9', 'each of these has a warning');
SELECT is((SELECT warnings FROM bagelpay.events WHERE event_id = 'g5'), ARRAY['created_at: -11 half hours ahead of the signed timestamp: another time zone, or delivered late'], 'that says by how much');
SELECT pg_temp.take_local ('g1', 'checkout.completed', '2025-06-01 20:00:00', extra => jsonb_build_object('signed_timestamp', :noon + 1, 'payment_id', 'g1')) \g /dev/null
SELECT is((SELECT sum(events) FROM bagelpay.zone_evidence), 6::numeric, 'a duplicate is no further evidence');
SELECT is(bagelpay.rebuild (), 0::bigint, 'the same zone leaves all of it');
SELECT is((SELECT sum(events) FROM bagelpay.zone_evidence), 6::numeric, 'as it is');
UPDATE bagelpay.event_bodies SET signed_timestamp = NULL;
SELECT is((SELECT sum(events) FROM bagelpay.zone_evidence), 6::numeric, 'it does not hang on what retention removes');

SELECT is(pg_temp.set_zone ('Asia/Shanghai'), 1::bigint, 'the zone is mended');
SELECT is(pg_temp.told ('SELECT event_type, day, half_hours, events FROM bagelpay.zone_evidence ORDER BY half_hours'),
    'checkout.completed 2025-05-31 -27 1 | checkout.completed 2025-06-01 -16 1 | checkout.completed 2025-06-01 13 1', 'what spoke for it is no evidence any more, what was right without it is');
SELECT is((SELECT string_agg(event_id, ' ' ORDER BY event_id) FROM bagelpay.events WHERE warnings::text LIKE '%another time zone%'), 'g1 g2 g3 g4 g5 g9', 'the warnings are those of then');
DELETE FROM bagelpay.events WHERE event_id IN ('g5', 'g6', 'g8');
SELECT is_empty('SELECT * FROM bagelpay.zone_evidence', 'none is left');
SELECT is(bagelpay.rebuild (), 1::bigint, 'the order is what remains of it');
SELECT pg_temp.take_local ('i1', 'checkout.completed', '2025-06-01 20:00:00', extra => jsonb_build_object('signed_timestamp', :noon)) \g /dev/null
SELECT is((SELECT warnings FROM bagelpay.events WHERE event_id = 'i1'), '{}', 'and none comes');

SELECT is(pg_temp.set_zone ('UTC'), 1::bigint, 'and back again');
SELECT is((SELECT sum(events) FROM bagelpay.zone_evidence WHERE half_hours = 16), 6::numeric, 'with what speaks against it');

SELECT * FROM finish();

ROLLBACK;
