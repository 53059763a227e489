-- Dead letters: kept once, and resolved when their body is committed as an event.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(20);

\ir builder.psql

-- Delivers a body that is not a valid event, for a reason; returns what became of it.
CREATE FUNCTION pg_temp.bury (body text, reason text, extra jsonb DEFAULT '{}')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT outcome
    FROM bagelpay.ingest (json_build_array(jsonb_build_object('outcome', reason, 'detail', 'a detail') || extra), ARRAY[convert_to(body, 'UTF8')])
$$;

\set letters 'SELECT reason, deliveries, resolved_at = now() FROM bagelpay.dead_letters ORDER BY id'

-- Kept once, counted, and left as it was first.
SELECT is(pg_temp.bury (
        'a', 'invalid') || ' ' || pg_temp.told ('SELECT reason, detail, convert_from(body, ''UTF8''), sha256 = sha256(body), event_id, order_id, customer_email, deliveries, resolved_at FROM bagelpay.dead_letters'),
    'dead_letter invalid a detail a true - - - 1 -', 'a body that is no event');
SELECT is(pg_temp.bury ('a', 'invalid') || ' ' || pg_temp.bury ('a', 'mode') || ' ' || pg_temp.told (:'letters'),
    'dead_letter dead_letter invalid 3 -', 'again and again');
SELECT is(pg_temp.bury ('b', reason) || ' ' || reason, 'dead_letter ' || reason, 'kept for its ' || reason)
FROM unnest('{database,mode,conflict}'::text[]) AS reason;
SELECT throws_ok($$SELECT pg_temp.bury ('c', 'boredom')$$, '23514', NULL, 'there are no other reasons');
SELECT is(pg_temp.told (
        $$SELECT outcome FROM bagelpay.ingest ('[{"outcome":"invalid"},{"outcome":"invalid"},{"outcome":"invalid"}]', ARRAY['x','y','x']::bytea[])$$) || ' ' || pg_temp.told ($$SELECT convert_from(body, 'UTF8'), deliveries FROM bagelpay.dead_letters WHERE body IN ('x', 'y') ORDER BY body$$),
    'dead_letter | dead_letter | dead_letter x 2 | y 1', 'in one batch likewise');
SELECT is((SELECT count(*) FROM bagelpay.events) + (SELECT count(*) FROM bagelpay.orders), 0::bigint, 'none of them is an event');

-- What can be read of it.
SELECT is(pg_temp.bury ('d', 'invalid', extra::jsonb) || ' ' || pg_temp.told ('SELECT event_id, order_id, customer_email FROM bagelpay.dead_letters WHERE body = ''d'''), told, extra)
FROM (VALUES ('{"event_id":"e9","customer_email":"c@example.com","metadata":{"orderId":17}}', 'dead_letter e9 17 c@example.com')) AS v (extra, told);
SELECT is(pg_temp.bury (
        'e', 'invalid', '{"payment_id":"x","metadata":{"order_id":"order:1"}}') || ' ' || pg_temp.told ('SELECT event_id, order_id FROM bagelpay.dead_letters WHERE body = ''e'''),
    'dead_letter - -', 'the merchant''s key or none');

-- Resolved when the same body is committed.
DELETE FROM bagelpay.dead_letters;
SELECT pg_temp.made ('a', 'checkout.completed', '2025-01-01 00:00:00')::text AS body \gset
SELECT pg_temp.bury (:'body', 'invalid') \g /dev/null
SELECT pg_temp.bury ('else', 'invalid') \g /dev/null
SELECT is(pg_temp.take ('b', 'checkout.completed', '2025-01-01 00:00:00') || ' ' || pg_temp.told (:'letters'),
    'applied invalid 1 - | invalid 1 -', 'another body resolves nothing');
SELECT is(pg_temp.take ('a', 'checkout.completed', '2025-01-01 00:00:00') || ' ' || pg_temp.told (:'letters'), 'applied invalid 1 true | invalid 1 -', 'the same does');
SELECT is(pg_temp.bury (:'body', 'invalid') || ' ' || pg_temp.told (:'letters'), 'dead_letter invalid 2 true | invalid 1 -', 'for good');
SELECT pg_temp.made ('c', 'invoice.created', '2025-01-01 00:00:00')::text AS body \gset
SELECT pg_temp.bury (:'body', 'mode') \g /dev/null
SELECT is(pg_temp.take (
        'c', 'invoice.created', '2025-01-01 00:00:00') || ' ' || pg_temp.told ('SELECT reason, resolved_at = now() FROM bagelpay.dead_letters WHERE reason = ''mode'''),
    'ignored mode true', 'also one of a type that is not known');

-- A duplicate resolves what its bytes were, a conflict nothing.
DELETE FROM bagelpay.dead_letters;
SELECT pg_temp.made ('d', 'checkout.completed', '2025-01-01 00:00:00', '{"digest":"\\x0d"}')::text AS body \gset
SELECT pg_temp.bury (:'body', 'database') \g /dev/null
SELECT is(pg_temp.told (
        $$SELECT outcome FROM bagelpay.ingest (json_build_array(pg_temp.made ('d', 'checkout.completed', '2025-01-01 00:00:00', '{"digest":"\\x0d"}')), ARRAY['indented']::bytea[])$$) || ' ' || pg_temp.told (:'letters'),
    'applied database 1 -', 'an event with other bytes');
SELECT is(pg_temp.take ('d', 'checkout.completed', '2025-01-01 00:00:00', '{"digest":"\\x0d"}') || ' ' || pg_temp.told (:'letters'),
    'duplicate database 1 true', 'then as a duplicate of it');
SELECT is(pg_temp.take (
        'd', 'checkout.completed', '2025-01-02 00:00:00', '{"digest":"\\x1d"}') || ' ' || pg_temp.told ('SELECT reason, deliveries, resolved_at FROM bagelpay.dead_letters WHERE reason = ''conflict'''),
    'duplicate conflict 1 -', 'a conflict');
SELECT is(pg_temp.take (
        'd', 'checkout.completed', '2025-01-02 00:00:00', '{"digest":"\\x1d"}') || ' ' || pg_temp.told ('SELECT reason, deliveries, resolved_at FROM bagelpay.dead_letters WHERE reason = ''conflict'''),
    'duplicate conflict 2 -', 'stays one');
DELETE FROM bagelpay.events WHERE event_id = 'd';
SELECT is(pg_temp.take (
        'd', 'checkout.completed', '2025-01-02 00:00:00', '{"digest":"\\x1d"}') || ' ' || pg_temp.told ('SELECT reason, deliveries, resolved_at = now() FROM bagelpay.dead_letters WHERE reason = ''conflict'''),
    'applied conflict 2 true', 'until its id is free');

-- In one batch: what is buried and committed at once.
DELETE FROM bagelpay.dead_letters;
SELECT is(pg_temp.told (
        $$SELECT outcome FROM bagelpay.ingest (json_build_array('{"outcome":"invalid"}'::json, pg_temp.made ('e', 'checkout.failed', '2025-01-01 00:00:00')), ARRAY['one', 'two']::bytea[])$$) || ' ' || pg_temp.told (:'letters'),
    'dead_letter | applied invalid 1 -', 'two bodies');

SELECT * FROM finish();

ROLLBACK;
