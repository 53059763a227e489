-- What ingest() makes of deliveries: outcomes, keys, duplicates, conflicts, dead letters,
-- warnings, times without zone.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(84);

\ir builder.psql

-- Outcomes.
SELECT is(pg_temp.take ('a', 'checkout.completed', '2025-01-01 00:00:00'), 'applied', 'a known type with a key');
SELECT is(pg_temp.take ('a', 'checkout.completed', '2025-01-01 00:00:00'), 'duplicate', 'the same again');
SELECT is(pg_temp.take ('b', 'invoice.created', '2025-01-01 00:00:00'), 'ignored', 'an unknown type');
SELECT is(pg_temp.take ('c', 'operator.grant', '2025-01-01 00:00:00'), 'ignored', 'an operator''s word from outside');
SELECT is(pg_temp.take ('d', 'checkout.failed', '2025-01-01 00:00:00', '{"metadata":null,"customer_id":null}'), 'unmatched', 'nothing that names an order');
SELECT is(pg_temp.told ('SELECT event_id, outcome, order_id FROM bagelpay.events ORDER BY event_id'),
    'a applied o1 | b ignored - | c ignored - | d unmatched -', 'every one of them is kept');
SELECT is(pg_temp.told ('SELECT order_id, last_event_id FROM bagelpay.orders'), 'o1 a', 'only the applied one has a part in the state');
SELECT is((SELECT count(*) FROM bagelpay.event_bodies), 4::bigint, 'with its body');
SELECT is((SELECT convert_from(body, 'UTF8') FROM bagelpay.event_bodies WHERE event_id = 'a'),
    pg_temp.made ('a', 'checkout.completed', '2025-01-01 00:00:00')::text, 'byte by byte');

-- Duplicates and conflicts: by the digest of the content, not by the bytes.
SELECT is(pg_temp.take ('a', 'checkout.completed', '2025-01-02 00:00:00'), 'duplicate', 'another content under a taken id');
SELECT is((SELECT occurred_at FROM bagelpay.events WHERE event_id = 'a'), '2025-01-01 00:00:00+00', 'the first stays');
SELECT is(pg_temp.told ('SELECT reason, detail, event_id, order_id, customer_email, deliveries FROM bagelpay.dead_letters'),
    'conflict event_id: already taken by an event with another content: a a o1 c1@example.com 1', 'the other is a dead letter, with what it says');
SELECT is(pg_temp.take ('a', 'checkout.completed', '2025-01-02 00:00:00'), 'duplicate', 'the same conflict again');
SELECT is((SELECT deliveries FROM bagelpay.dead_letters), 2, 'is counted, not kept twice');
SELECT is((SELECT deliveries FROM bagelpay.events WHERE event_id = 'a'), 2, 'and is no delivery of the first');
SELECT is(
    pg_temp.told (format('SELECT outcome FROM bagelpay.ingest (%L, %L)', json_build_array(pg_temp.made (id, 'checkout.completed', '2025-01-01 00:00:00', jsonb_build_object('digest', '\x' || repeat(digest, 64)))), ARRAY[body]::bytea[])) || ' '
        || pg_temp.told (format('SELECT deliveries FROM bagelpay.events WHERE event_id = %L', id)) || ' ' || pg_temp.told ('SELECT count(*) FROM bagelpay.dead_letters'), outcome, what)
FROM (VALUES
    ('g', 'a', '{ }', 'applied 1 1', 'an event with its digest'),
    ('g', 'a', '{  }', 'duplicate 2 1', 'other bytes of the same content'),
    ('g', 'A', '{ }', 'duplicate 3 1', 'hexadecimal in either case'),
    ('g', 'b', '{   }', 'duplicate 3 2', 'another content'),
    ('h', 'a', '{ }', 'applied 1 2', 'the same content under another id')) AS v (id, digest, body, outcome, what);
SELECT cmp_ok((SELECT last_delivered_at FROM bagelpay.events WHERE event_id = 'g'),
    '>=', (SELECT received_at FROM bagelpay.events WHERE event_id = 'g'), 'when it was last delivered');
DELETE FROM bagelpay.dead_letters WHERE event_id = 'g';

-- One batch with all of it.
SELECT is(
    pg_temp.told ($$SELECT ordinal, event_id, outcome FROM bagelpay.ingest (
        json_build_array(
            pg_temp.made ('e', 'subscription.paid', '2025-01-03 00:00:00', '{"digest":"\\x00"}'),
            pg_temp.made ('e', 'subscription.paid', '2025-01-03 00:00:00', '{"digest":"\\x00"}'),
            pg_temp.made ('e', 'subscription.paid', '2025-01-04 00:00:00'),
            '{"outcome":"invalid","detail":"object.mode: missing","signed_timestamp":7}'::json,
            pg_temp.made (NULL, 'what', '2025-01-03 00:00:00'),
            pg_temp.made ('f', 'checkout.failed', '2025-01-03 00:00:00', '{"metadata":{"order_id":"o2"}}')),
        ARRAY['e', 'e ', 'E', 'x', 'y', 'f']::bytea[], ARRAY[NULL, NULL, NULL, 'ab', NULL, NULL])$$),
    '1 e applied | 2 e duplicate | 3 e duplicate | 4 - dead_letter | 5 sha256:' || encode(sha256('y'), 'hex') || ' ignored | 6 f applied',
    'each delivery of a batch has its own outcome');
SELECT is((SELECT deliveries FROM bagelpay.events WHERE event_id = 'e'), 2, 'a duplicate within the batch is counted');
SELECT is(
    (SELECT concat_ws(' | ', detail, signed_timestamp, signature, convert_from(body, 'UTF8'), sha256 = sha256(body)) FROM bagelpay.dead_letters WHERE reason = 'invalid'),
    'object.mode: missing | 7 | ab | x | t', 'a body that is no event is kept with its reason');
SELECT is(
    pg_temp.told (format('SELECT event_id, outcome FROM bagelpay.ingest (%L, %L)',
        '[{"outcome":"mode","detail":"x","event_id":"i","customer_email":"i@example.com","metadata":{"order_id":"customer:1","orderId":" o7 "},"received_at":"2025-01-05 00:00:00+00"},{"digest":"\\x' || repeat('0', 64) || '","event_type":"what","mode":"test","occurred_at":"2025-01-01Z","received_at":"2025-01-06 00:00:00+00"}]',
        ARRAY['mode', 'no id']::bytea[])),
    '- dead_letter | sha256:' || repeat('0', 64) || ' ignored', 'one of a mode that its secret does not cover; one without an id');
SELECT is(pg_temp.told ($$SELECT reason, event_id, order_id, customer_email, pg_temp.utc (received_at), resolved_at FROM bagelpay.dead_letters WHERE reason = 'mode'$$),
    'mode i o7 i@example.com 2025-01-05 -', 'what of it can be read, and when it came');
SELECT is(pg_temp.told ($$SELECT pg_temp.utc (received_at), outcome, order_id, key_source FROM bagelpay.events WHERE event_id LIKE 'sha256:00%'$$),
    '2025-01-06 ignored - -', 'likewise of an event');
SELECT is_empty('SELECT outcome FROM bagelpay.ingest (''[]'', ''{}'')', 'an empty batch');
SELECT throws_ok($$SELECT bagelpay.ingest ('[{}]', '{}')$$, '22023', NULL, 'as many bodies as deliveries');
SELECT is(current_setting('synchronous_commit'), 'on', 'synchronous_commit');
SET LOCAL synchronous_commit = off;
SELECT bagelpay.ingest ('[]', '{}');
SELECT is(current_setting('synchronous_commit'), 'on', 'is raised for the rest of the transaction');
SET LOCAL synchronous_commit = remote_apply;
SELECT bagelpay.ingest ('[]', '{}');
SELECT is(current_setting('synchronous_commit'), 'remote_apply', 'and never lowered');

-- Keys: (metadata …, billed) → order_id, key_source, warnings.
CREATE FUNCTION pg_temp.key (metadata jsonb, request_id text, customer_id text, product_id text, provider_order_id text, payment_id text, billed boolean)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT concat_ws(' | ', order_id, key_source, array_to_string(warnings, ', '))
    FROM bagelpay_internal.order_key ('{metadata.order_id,metadata.orderId,metadata.deep.id,request_id}', $1, $2, $3, $4, $5, $6, $7)
$$;
SELECT is(pg_temp.key ('{"order_id":" 7 ","orderId":"8"}', 'r', 'c', 'p', 'o', 'ch', TRUE), '7 | metadata | ', 'the first path, trimmed');
SELECT is(pg_temp.key ('{"order_id":"\t\u000b v7v\f\r\n"}', NULL, NULL, NULL, NULL, NULL, FALSE), 'v7v | metadata | ', 'of white space, and of nothing else');
SELECT is(pg_temp.key (format('{"order_id":%s}', number)::jsonb, NULL, NULL, NULL, NULL, NULL, FALSE), digits || ' | metadata | ', number)
FROM (VALUES ('123.0', '123'), ('1e2', '100'), ('1.23e2', '123'), ('-0', '0'), ('-7', '-7'), ('12345678901234567890.00', '12345678901234567890'), ('1e30', '1000000000000000000000000000000')) AS v (number, digits);
SELECT is(pg_temp.key ('{"order_id":"","orderId":123456789012345678901234567890}', 'r', 'c', 'p', 'o', 'ch', TRUE),
    '123456789012345678901234567890 | metadata | ', 'an empty one is passed over, an integer keeps its digits');
SELECT is(pg_temp.key ('{"order_id":null,"deep":{"id":"x.y"}}', 'r', 'c', 'p', 'o', 'ch', TRUE), 'x.y | metadata | ', 'a path of several steps');
SELECT is(pg_temp.key ('{"order_id":"customer:1:2","orderId":"order:1"}', 'r', 'c', 'p', 'o', 'ch', TRUE),
    'r | metadata | object.metadata.order_id: begins with a reserved prefix, not used as the order''s key, object.metadata.orderId: begins with a reserved prefix, not used as the order''s key', 'reserved prefixes');
SELECT is(pg_temp.key (jsonb_build_object('order_id', repeat('é', 128), 'orderId', repeat('é', 127)), 'r', 'c', 'p', 'o', 'ch', TRUE),
    repeat('é', 127) || ' | metadata | object.metadata.order_id: longer than 255 bytes, not used as the order''s key', 'bytes, not characters');
SELECT is(pg_temp.key ('{"order_id":1.5,"orderId":true,"deep":[]}', NULL, 'c', 'p', 'o', 'ch', TRUE),
    'customer:c:p | customer | object.metadata.order_id: neither text nor an integer, not used as the order''s key, object.metadata.orderId: neither text nor an integer, not used as the order''s key', 'what is no text and no integer');
SELECT is(pg_temp.key (NULL, NULL, 'c', 'p', 'o', 'ch', TRUE), 'customer:c:p | customer | ', 'billed as a subscription: by customer and product');
SELECT is(pg_temp.key (NULL, NULL, 'c', 'p', 'o', 'ch', FALSE), 'order:o | order | ', 'otherwise: by the provider''s order');
SELECT is(pg_temp.key (NULL, NULL, 'c', NULL, NULL, 'ch', TRUE), 'payment:ch | payment | ', 'by the payment');
SELECT is(pg_temp.key (NULL, NULL, 'c', 'p', NULL, NULL, FALSE), 'customer:c:p | customer | ', 'at last, by customer and product');
SELECT is(pg_temp.key (NULL, NULL, 'c', NULL, NULL, NULL, TRUE), '', 'or by nothing');

SELECT is(pg_temp.take (
        'k1', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"payment:9","orderId":"o8"},"payment_id":"k","warnings":["object.units: not an integer"]}') || ' ' || pg_temp.told ($$SELECT order_id, warnings FROM bagelpay.events WHERE event_id = 'k1'$$),
    'applied o8 ["object.units: not an integer","object.metadata.order_id: begins with a reserved prefix, not used as the order''s key"]', 'warnings of the body and of the key');
SELECT pg_temp.take ('k0', 'refund.created', '2024-01-01 00:00:00', '{"metadata":{"order_id":"o8"},"payment_id":"nix"}') \g /dev/null
SELECT bagelpay.rebuild () \g /dev/null
SELECT is(pg_temp.told ($$SELECT cardinality(warnings) FROM bagelpay.events WHERE order_id = 'o8' ORDER BY event_id$$),
    '0 | 2', 'never change, whatever other events say');

-- The merchant's user.
SELECT is(pg_temp.take ('u' || n, 'checkout.failed', '2025-01-01 00:00:00', jsonb_build_object('metadata', '{"order_id":"users"}' || metadata::jsonb)) || ' ' || pg_temp.told (format('SELECT user_id, warnings FROM bagelpay.events WHERE event_id = %L', 'u' || n)), told, metadata)
FROM (VALUES
    (1, '{"user_id":" u1 "}', 'applied u1 []'), (2, '{"userId":17.0}', 'applied 17 []'), (3, '{"user_id":"","userId":"u2"}', 'applied u2 []'), (4, '{"user_id":"order:1"}', 'applied order:1 []'),
    (5, '{"user_id":null}', 'applied - []'), (6, '{"user_id":1.5,"userId":"u3"}', 'applied u3 ["object.metadata.user_id: neither text nor an integer, not used as the user''s key"]')) AS v (n, metadata, told);
SELECT is(pg_temp.take (
        'u7', 'checkout.failed', '2025-01-01 00:00:00', jsonb_build_object('metadata', jsonb_build_object('order_id', 'users', 'user_id', repeat('x', 256)))) || ' ' || pg_temp.told ($$SELECT user_id, warnings FROM bagelpay.events WHERE event_id = 'u7'$$),
    'applied - ["object.metadata.user_id: longer than 255 bytes, not used as the user''s key"]', 'one that is too long');
UPDATE bagelpay.settings SET user_key = '{metadata.member.id,request_id}';
SELECT is(pg_temp.take (
        'u8', 'what', '2025-01-01 00:00:00', '{"metadata":{"user_id":"u9","member":{"id":"m1"}}}') || ' ' || pg_temp.take ('u9', 'checkout.failed', '2025-01-01 00:00:00', '{"request_id":"r1"}') || ' ' || pg_temp.told ($$SELECT user_id FROM bagelpay.events WHERE event_id IN ('u8', 'u9') ORDER BY event_id$$),
    'ignored applied m1 | r1', 'as the setting says');
SELECT cmp_ok(bagelpay.rebuild (), '>', 0::bigint, 'rebuild applies it to what is stored');
SELECT is(pg_temp.told ($$SELECT count(user_id) FROM bagelpay.events WHERE event_id LIKE 'u_'$$), '2', 'all of it');
UPDATE bagelpay.settings SET user_key = DEFAULT;

-- Times without zone are read in the setting; their text stays.
UPDATE bagelpay.settings SET provider_timezone = 'Asia/Shanghai';
SELECT is(pg_temp.take (
        'z1', 'subscription.paid', '',
        '{"occurred_at":null,"created_at_raw":"2025-09-12 16:41:24.746","local_times":{"occurred_at":"2025-09-12 16:41:24.746","trial_end":"2025-09-13T00:00:00"},"signed_timestamp":1757666485}'),
    'applied', 'a zone-less event');
SELECT results_eq($$SELECT occurred_at, trial_end, local_times ->> 'trial_end', warnings FROM bagelpay.events WHERE event_id = 'z1'$$,
    $$VALUES ('2025-09-12 08:41:24.746+00'::timestamptz, '2025-09-12 16:00:00+00'::timestamptz, '2025-09-13T00:00:00', '{}'::text[])$$, 'read in the provider''s zone');
UPDATE bagelpay.settings SET provider_timezone = 'UTC';
SELECT is(pg_temp.take (
        'z2', 'subscription.paid', '',
        '{"occurred_at":null,"created_at_raw":"2025-09-12 16:41:24.746","local_times":{"occurred_at":"2025-09-12 16:41:24.746"},"signed_timestamp":1757666485}'),
    'applied', 'the same with a wrong setting');
SELECT is((SELECT warnings FROM bagelpay.events WHERE event_id = 'z2'),
    ARRAY['created_at: 16 half hours ahead of the signed timestamp: another time zone, or delivered late'], 'is noticed');
SELECT is(bagelpay_internal.zone_half_hours (1757666485, to_timestamp(1757666485 + seconds), '{"occurred_at":"x"}', 'x'), half_hours, format('%s s ahead', seconds))
FROM (VALUES (0, NULL), (1800, 1), (1861, NULL), (-1800 * 28 - 60, -28), (1800 * 29, NULL)) AS v (seconds, half_hours);
SELECT is(bagelpay_internal.zone_half_hours (1757666485, to_timestamp(1757666485 + 28800), '{}', 'x'), NULL, 'a time with zone is no evidence');

-- In a gap of summer time the offset before it counts, in the hour that comes twice the second.
SELECT is(bagelpay_internal.local_time (jsonb_build_object('t', t), 't', 'Europe/Berlin'), meant::timestamptz, t || ' in Berlin')
FROM (VALUES ('2025-03-30 02:30:00', '2025-03-30 01:30:00+00'), ('2025-10-26 02:30:00', '2025-10-26 01:30:00+00'), ('2999-07-01 00:00:00', '2999-06-30 22:00:00+00')) AS v (t, meant);

-- Ignored events are taken in again when their type is known.
SELECT pg_get_functiondef('bagelpay_internal.event_rank (text)'::regprocedure) AS newer \gset
SELECT replace(:'newer', $$WHEN 'refund.created' THEN 6$$, '') AS older \gset
SELECT pg_temp.take ('k', 'checkout.completed', '2025-03-01 00:00:00', '{"payment_id":"k","metadata":{"order_id":"k"}}') \g /dev/null
:older;
SELECT is(pg_temp.take ('r1', 'refund.created', '2025-03-02 00:00:00', '{"payment_id":"k","digest":"\\x01"}'), 'ignored', 'a refund that is not known');
SELECT is(pg_temp.take ('r1', 'refund.created', '2025-03-02 00:00:00', '{"payment_id":"k","digest":"\\x01"}'), 'duplicate', 'twice');
UPDATE bagelpay.events SET received_at = '2025-03-02', last_delivered_at = '2025-03-03' WHERE event_id = 'r1';
SELECT is((SELECT outcome FROM bagelpay.readmit (
        json_build_array(pg_temp.made ('r1', 'refund.created', '2025-03-02 00:00:00', '{"payment_id":"k","metadata":null}')), ARRAY['r1'::bytea])), 'ignored', 'is not known yet');
:newer;
SELECT is((SELECT outcome FROM bagelpay.readmit (
        json_build_array(pg_temp.made ('r1', 'refund.created', '2025-03-02 00:00:00', '{"payment_id":"k","metadata":null}')), ARRAY['r1'::bytea])), 'applied', 'when it is known');
SELECT is(pg_temp.told ($$SELECT order_id, outcome, deliveries, pg_temp.utc (received_at), pg_temp.utc (last_delivered_at) FROM bagelpay.events WHERE event_id = 'r1'$$),
    'k applied 2 2025-03-02 2025-03-03', 'it is an event of its order, that came when it came');
SELECT is(pg_temp.state ('k'), 'refunded / - / k=refunded', 'with its effect');
SELECT is((SELECT body FROM bagelpay.event_bodies WHERE event_id = 'r1'), 'r1'::bytea, 'and its body');
SELECT throws_ok(format('SELECT bagelpay.readmit (%L, %L)', json_build_array(pg_temp.made ('r1', 'refund.created', '2025-03-02 00:00:00'), pg_temp.made ('k', 'x', '')), '{a,b}'),
    '55000', 'readmit: 0 of 2 events are stored as ignored', 'no other event is');

SELECT * FROM finish();

ROLLBACK;
