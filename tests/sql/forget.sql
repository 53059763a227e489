-- forget(): what goes, what stays because a state stands on it, and that nothing else changes;
-- and what takes two sessions to see of forget_customer().
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

-- Every statement is a transaction of its own, unless it says otherwise. The database is
-- this file's.
SELECT plan(90);

\ir builder.psql

CREATE EXTENSION dblink;

-- Every row of state, what the fold says of each event, and who is entitled at some moments.
CREATE FUNCTION pg_temp.everything ()
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT concat_ws(E'\n',
        (SELECT string_agg(bagelpay_internal.state_of (t.mode, t.order_id), E'\n' ORDER BY mode, order_id) FROM bagelpay.orders AS t),
        (SELECT string_agg(concat_ws(' ', event_id, effect), E'\n' ORDER BY event_id)
         FROM bagelpay.events),
        (SELECT string_agg(t::text, E'\n' ORDER BY mode, order_id) FROM bagelpay.order_checks AS t),
        (SELECT string_agg(concat_ws(' ', event_id, outcome, order_id, key_source, user_id, warnings::text, occurred_at), E'\n' ORDER BY event_id) FROM bagelpay.events),
        (SELECT string_agg(concat_ws(' ', t, e), E'\n' ORDER BY t, e::text)
         FROM unnest('{2025-01-01,2025-01-20,2025-03-01,2030-01-01}'::timestamptz[]) AS t
         CROSS JOIN LATERAL bagelpay.entitlements_at (t) AS e))
$$;

-- What an event still holds of a person: e-mail, metadata, payment method, last four, note.
CREATE FUNCTION pg_temp.held (id text)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT concat_ws(' ', coalesce(customer_email, '-'), coalesce(metadata::text, '-'), coalesce(payment_method, '-'), coalesce(last4, '-'), coalesce(note, '-'))
    FROM bagelpay.events
    WHERE event_id = id
$$;

-- Lets the events of some ids be as old as they say that they are.
CREATE FUNCTION pg_temp.aged (ids text[], age interval)
    RETURNS void
    LANGUAGE sql
    AS $$
    UPDATE bagelpay.events SET received_at = now() - age WHERE event_id = ANY (ids)
$$;

SELECT is(bagelpay.forget ('0')::text, '(0,0,0)', 'nothing to do where there is nothing');

-- One order: two payments, and a page that was closed in between.
\set full '{"payment_id":"x","amount":"10","payment_method":"card","last4":"4242","customer_email":"%s@example.com","metadata":{"order_id":"o1","name":"%s"}}'
SELECT pg_temp.take ('a1', 'subscription.paid', '2025-01-01 00:00:00', format(:'full', 'first', 'First')::jsonb) \g /dev/null
SELECT pg_temp.take ('a2', 'subscription.paid', '2025-02-01 00:00:00', (format(:'full', 'second', 'Second')::jsonb || '{"payment_id":"y"}') - 'last4') \g /dev/null
SELECT pg_temp.take ('a3', 'checkout.cancel', '2025-01-01 00:10:00', format(:'full', 'third', 'Third')::jsonb) \g /dev/null
SELECT pg_temp.everything () AS before \gset
SELECT pg_temp.aged ('{a1,a2,a3}', '10 days') \g /dev/null

SELECT is(bagelpay.forget ('11 days')::text, '(0,0,0)', 'what is younger stays');
SELECT is((SELECT count(*) FROM bagelpay.event_bodies), 3::bigint, 'with its bodies');
SELECT is(bagelpay.forget ('9 days')::text, '(3,3,0)', 'three events with their bodies');
SELECT is((SELECT count(*) FROM bagelpay.event_bodies), 0::bigint, 'which are gone');
SELECT is(pg_temp.held ('a1'), 'first@example.com {"order_id": "o1"} card 4242 -', 'a payment keeps what is its own');
SELECT is(pg_temp.held ('a2'), 'second@example.com {"name": "Second", "order_id": "o1"} card - -', 'the latest the metadata, which are the order''s');
SELECT is(pg_temp.held ('a3'), '- {"order_id": "o1"} - - -', 'another event nothing');
SELECT is(pg_temp.everything (), :'before', 'the state is the same');
SELECT is(bagelpay.rebuild (), 0::bigint, 'and follows from what is left');
SELECT is(pg_temp.everything (), :'before', 'all of it');
SELECT is(bagelpay.rekey (), 0::bigint, 'so do the keys');
SELECT is(bagelpay.forget ('9 days')::text, '(0,0,0)', 'a second time there is nothing to do');
SELECT is((SELECT count(*) FROM bagelpay.explain ('o1') WHERE note <> ''), 3::bigint, 'what happened can still be explained');

-- The same bodies again, and one that says something else.
SELECT is(pg_temp.take ('a1', 'subscription.paid', '2025-01-01 00:00:00', format(:'full', 'first', 'First')::jsonb), 'duplicate', 'what was forgotten is a duplicate');
SELECT is((SELECT count(*) FROM bagelpay.event_bodies) + (SELECT count(*) FROM bagelpay.dead_letters), 0::bigint, 'and its bytes are not kept again');
SELECT is(pg_temp.take ('a1', 'subscription.paid', '2025-01-01 00:00:01'), 'duplicate', 'another body of its id, too');
SELECT is((SELECT reason FROM bagelpay.dead_letters), 'conflict', 'that one is a dead letter');
SELECT is(pg_temp.everything (), :'before', 'without a change');
DELETE FROM bagelpay.dead_letters;

-- What the state stood on goes when what took its place is old.
SELECT pg_temp.take ('a4', 'subscription.paid', '2025-02-01 00:00:02', format(:'full', 'fourth', 'Fourth')::jsonb || '{"payment_id":"y"}') \g /dev/null
SELECT is(bagelpay.forget ('9 days')::text, '(0,0,0)', 'a new event is not old');
SELECT is(pg_temp.held ('a2'), 'second@example.com {"name": "Second", "order_id": "o1"} card - -', 'nor is, thereby, what it says anew');
SELECT pg_temp.aged ('{a4}', '10 days') \g /dev/null
SELECT is(bagelpay.forget ('9 days')::text, '(1,1,0)', 'then it is');
SELECT is(pg_temp.held ('a2'), 'second@example.com {"order_id": "o1"} - - -', 'of one payment the later event has the card, not whose it was before');
SELECT is(pg_temp.held ('a4'), 'fourth@example.com {"name": "Fourth", "order_id": "o1"} card 4242 -', 'and all that is the state');
SELECT is(bagelpay.rebuild (), 0::bigint, 'as it turns out');

-- One that comes late, between two events of one payment: it means the e-mail that was the payment's then.
SELECT is(pg_temp.take ('a5', 'checkout.completed', '2025-02-01 00:00:01', '{"customer_id":null,"customer_email":"second@example.com","payment_id":"late"}'), 'applied', 'a late event that names its customer by e-mail');
SELECT is((SELECT customer_id FROM bagelpay.payments WHERE payment_id = 'late'), 'c1', 'finds him by what was forgotten');
SELECT pg_temp.take ('a0', 'subscription.trialing', '2024-12-01 00:00:00', '{"customer_email":"late@example.com","trial_end":"2025-01-01 00:00:00+00"}') \g /dev/null
SELECT is((SELECT customer_email FROM bagelpay.orders), 'fourth@example.com', 'a late event changes no later e-mail');
SELECT pg_temp.everything () AS before \gset
SELECT is(bagelpay.forget ('0')::text, '(2,2,0)', 'both forgotten at once');
SELECT is(bagelpay.rebuild (), 0::bigint, 'without a trace');
SELECT is(pg_temp.everything (), :'before', 'in the state');
SELECT pg_temp.take ('a6', 'subscription.paid', '2025-03-02 00:00:00', '{"customer_id":"c2","payment_id":"z2"}') \g /dev/null
SELECT ok((SELECT conflict FROM bagelpay.orders), 'two customers of one key are noticed after as before');
SELECT pg_temp.forget () \g /dev/null

-- What failed is the payment's until it is paid, and the order's until something is sold.
SELECT pg_temp.take ('f1', 'checkout.failed', '2025-01-01 00:00:00', format(:'full', 'failed', 'Failed')::jsonb) \g /dev/null
SELECT pg_temp.take ('f2', 'checkout.failed', '2025-01-01 00:00:01', format(:'full', 'only', 'Only')::jsonb || '{"payment_id":"y"}') \g /dev/null
SELECT pg_temp.take ('f3', 'checkout.failed', '2025-01-01 00:00:02', format(:'full', 'anybody', 'Anybody')::jsonb || '{"customer_id":null}') \g /dev/null
SELECT pg_temp.take ('f4', 'subscription.canceled', '2025-01-01 00:00:03', format(:'full', 'ended', 'Ended')::jsonb) \g /dev/null
SELECT pg_temp.take ('f5', 'refund.created', '2025-01-03 00:00:00', format(:'full', 'back', 'Back')::jsonb || '{"customer_id":null}') \g /dev/null
SELECT pg_temp.everything () AS before \gset
SELECT is(bagelpay.forget ('0')::text, '(5,5,0)', 'what fails and ends');
SELECT is(pg_temp.everything () || bagelpay.rebuild (), :'before' || '0', 'is the state as long as there is no other');
SELECT is(pg_temp.told ('SELECT event_id, customer_email, last4, metadata ->> ''name'' FROM bagelpay.events ORDER BY 1'),
    'f1 failed@example.com 4242 Failed | f2 only@example.com 4242 Only | f3 anybody@example.com 4242 Anybody | f4 ended@example.com - Ended | f5 back@example.com - Back', 'and has all but cards that nothing was paid with');
SELECT pg_temp.take ('f6', 'subscription.paid', '2025-01-02 00:00:00', format(:'full', 'paid', 'Paid')::jsonb) \g /dev/null
SELECT pg_temp.everything () AS before \gset
SELECT is(bagelpay.forget ('0')::text, '(1,1,0)', 'once it is paid');
SELECT is(pg_temp.told ('SELECT event_id, customer_email, last4, metadata ->> ''name'' FROM bagelpay.events ORDER BY 1'),
    'f1 - - - | f2 only@example.com 4242 - | f3 anybody@example.com - - | f4 - - - | f5 back@example.com - - | f6 paid@example.com 4242 Paid', 'only payments are, and customers known by an e-mail alone');
SELECT is(pg_temp.everything () || bagelpay.rebuild (), :'before' || '0', 'the same state');
SELECT pg_temp.take ('f0', 'subscription.trialing', '2024-12-31 00:00:00', '{"customer_email":null,"metadata":{"order_id":"o1"}}') \g /dev/null
SELECT is((SELECT concat_ws(' ', customer_email, metadata) FROM bagelpay.orders), 'paid@example.com {"name": "Paid", "order_id": "o1"}', 'also where something was sold before them');
SELECT pg_temp.forget () \g /dev/null

-- Events without the merchant's key may yet be another order's.
SELECT pg_temp.take ('l1', 'subscription.paid', '2025-01-01 00:00:00', '{"payment_id":"x","metadata":{"name":"First"},"last4":"1111"}') \g /dev/null
SELECT pg_temp.take ('l2', 'subscription.paid', '2025-01-02 00:00:00', '{"payment_id":"y","metadata":{"name":"Second"},"last4":"2222"}') \g /dev/null
SELECT is(bagelpay.forget ('0')::text, '(2,2,0)', 'events with a key that was made for them');
SELECT pg_temp.take ('l3', 'checkout.failed', '2025-01-01 00:00:01', '{"payment_id":"x","customer_email":null,"metadata":{"order_id":"o1"}}') \g /dev/null
SELECT is((SELECT string_agg(concat_ws(' ', order_id, customer_email, metadata), ', ' ORDER BY order_id) FROM bagelpay.orders),
    'customer:c1:p1 c1@example.com {"name": "Second"}, o1 c1@example.com {"name": "First"}', 'say all that they said in another order, too');
SELECT pg_temp.everything () AS before \gset
SELECT bagelpay.forget ('0') \g /dev/null
SELECT is(pg_temp.everything () || bagelpay.rebuild () || bagelpay.rekey (), :'before' || '00', 'linked or not');
SELECT pg_temp.forget () \g /dev/null

-- Decisions: whom they name is the state, and their notes stay until another says the same.
SELECT bagelpay.grant ('g1', 'one@example.com', 'p1', note => 'a') \g /dev/null
SELECT bagelpay.grant ('g1', 'two@example.com', 'p1', note => 'b') \g /dev/null
SELECT bagelpay.grant ('g1', 'one@example.com', 'p1', '2030-01-01', 'c') \g /dev/null
SELECT bagelpay.revoke ('g1', 'd') \g /dev/null
SELECT bagelpay.clear ('g1', 'e') \g /dev/null
SELECT pg_temp.everything () AS before \gset
SELECT is(bagelpay.forget ('0')::text, '(5,0,0)', 'decisions are events');
SELECT is(pg_temp.told ('SELECT event_type, customer_email, note FROM bagelpay.events ORDER BY occurred_at'),
    'operator.grant one@example.com - | operator.grant two@example.com b | operator.grant one@example.com c | operator.revoke - - | operator.clear - e', 'notes that are no more than history go');
SELECT is(pg_temp.everything () || bagelpay.rebuild (), :'before' || '0', 'without a trace in the state');
SELECT pg_temp.forget () \g /dev/null

-- What is of no order is of no state.
SELECT pg_temp.take ('i1', 'invoice.created', '2025-01-01 00:00:00', '{"last4":"1234"}') \g /dev/null
SELECT pg_temp.take ('u1', 'checkout.failed', '2025-01-01 00:00:00', '{"customer_id":null,"metadata":{"name":"N","order_id":{"a":"b"}}}') \g /dev/null
SELECT pg_temp.everything () AS before \gset
SELECT is(bagelpay.forget ('0')::text, '(2,2,0)', 'events of no order');
SELECT is(pg_temp.held ('i1') || ', ' || pg_temp.held ('u1'), '- {"order_id": "o1"} - - -, - {} - - -', 'keep nothing but what may be a key');
SELECT is(bagelpay.rekey (), 0::bigint, 'and have the one they had');
SELECT is(pg_temp.everything (), :'before', 'and the warnings');
SELECT pg_temp.forget () \g /dev/null

-- Dead letters.
INSERT INTO bagelpay.dead_letters (sha256, body, reason, resolved_at)
SELECT sha256(b::bytea), b::bytea, 'invalid', r FROM (VALUES ('a', now() - interval '10 days'), ('b', now()), ('c', NULL)) AS v (b, r);
SELECT is(bagelpay.forget ('9 days')::text, '(0,0,1)', 'dead letters that were resolved long ago');
SELECT is((SELECT string_agg(body::text, ' ' ORDER BY id) FROM bagelpay.dead_letters), '\x62 \x63', 'and only those');
SELECT pg_temp.forget () \g /dev/null

-- Keys.
SELECT is(bagelpay_internal.key_metadata ('{"a":{"b":"1","c":"2"},"d":[7,8],"e":1.50,"f":null,"g":"x"}', paths::text[]), kept::jsonb, 'of metadata stays: ' || paths)
FROM (VALUES ('{request_id}', '{}'), ('{metadata.a.b,metadata.e}', '{"a":{"b":"1"},"e":1.50}'), ('{metadata.a.c,metadata.a.b}', '{"a":{"b":"1","c":"2"}}'),
    ('{metadata.a.b,metadata.a}', '{"a":{"b":"1"}}'), ('{metadata.a,metadata.d.1,metadata.f}', '{"d":{"1":8}}')) AS v (paths, kept);
SELECT is(bagelpay_internal.key_metadata (NULL, '{metadata.a}'), NULL, 'of none, none');
TRUNCATE bagelpay.forgotten_keys;
SELECT pg_temp.take ('k1', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"o1","orderId":"p1","name":"N","user_id":"u1"},"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('k2', 'checkout.completed', '2025-01-02 00:00:00', '{"metadata":{"order_id":"o1","orderId":"p2","name":"M"},"payment_id":"y"}') \g /dev/null
SELECT bagelpay.forget ('0') \g /dev/null
SELECT pg_temp.everything () AS before \gset
UPDATE bagelpay.settings SET order_key = '{metadata.name}';
SELECT throws_ok('SELECT bagelpay.rekey ()', '55000', 'order_key: what forgotten events had at metadata.name is not known any more', 'keys that cannot be known are not guessed');
UPDATE bagelpay.settings SET order_key = '{metadata.orderId}';
SELECT throws_ok('SELECT bagelpay.rekey ()', '55000', NULL, 'nor what was said in one order only');
SELECT is(pg_temp.everything (), :'before', 'nothing of it was done');
DELETE FROM bagelpay.events WHERE event_id = 'k2';
SELECT is(bagelpay.rekey (), 2::bigint, 'a whole order can get another name');
SELECT is((SELECT string_agg(order_id, ' ') FROM bagelpay.orders), 'p1', 'by what was kept');
UPDATE bagelpay.settings SET user_key = '{metadata.name}';
SELECT is(bagelpay.rebuild (), 0::bigint, 'another key of users finds nobody in what was forgotten');
SELECT is((SELECT user_id FROM bagelpay.items), 'u1', 'who stays as he was');
UPDATE bagelpay.settings SET user_key = DEFAULT, order_key = '{metadata.order_id}';
SELECT pg_temp.forget () \g /dev/null
-- Without the merchant's key they would not stay in their order, and what had none has lost what it said.
SELECT pg_temp.take ('k3', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('k4', 'checkout.failed', '2025-01-01 00:00:00', '{"customer_id":null,"metadata":{},"request_id":"q1"}') \g /dev/null
SELECT bagelpay.forget ('0') \g /dev/null
SELECT pg_temp.everything () AS before \gset
UPDATE bagelpay.settings SET order_key = '{request_id}';
SELECT throws_ok('SELECT bagelpay.rekey ()', '55000', NULL, 'a forgotten event keeps a key of the merchant''s');
UPDATE bagelpay.settings SET order_key = '{metadata.order_id,request_id}';
SELECT throws_ok('SELECT bagelpay.rekey ()', '55000', NULL, 'and comes to no order');
SELECT is(pg_temp.everything (), :'before', 'nothing of that was done');
UPDATE bagelpay.settings SET order_key = DEFAULT;
SELECT pg_temp.forget () \g /dev/null

-- Zones: they may turn around the order that events were forgotten by.
SELECT pg_temp.take (id, 'checkout.failed', at, jsonb_build_object('customer_email', id || '@example.com', 'payment_id', id) || extra)
FROM (VALUES ('z1', '2025-01-01 10:00:00', '{"occurred_at":null,"local_times":{"occurred_at":"2025-01-01 10:00:00"}}'::jsonb),
    ('z2', '2025-01-01 12:00:00', '{}')) AS v (id, at, extra) \g /dev/null
SELECT bagelpay.revoke ('o1') \g /dev/null
SELECT pg_temp.aged ('{z1}', '10 days') \g /dev/null
SELECT bagelpay.forget ('9 days') \g /dev/null
SELECT pg_temp.everything () AS before \gset
UPDATE bagelpay.settings SET provider_timezone = 'America/New_York';
SELECT throws_ok(call, '55000', 'provider_timezone: live order o1 would be folded in another order, of which events were forgotten (z1)', call || ' does not let an event be the last that was forgotten as an earlier one')
FROM unnest('{SELECT bagelpay.rebuild (),SELECT bagelpay.rebuild (''o1'')}'::text[]) AS call;
SELECT is(pg_temp.everything (), :'before', 'nothing of that was done, either');
UPDATE bagelpay.settings SET provider_timezone = 'Europe/Paris';
SELECT bagelpay.rebuild () \g /dev/null
SELECT is((SELECT occurred_at FROM bagelpay.events WHERE event_id = 'z1'), '2025-01-01 09:00:00Z', 'where the order stays, times change');
SELECT is((SELECT customer_email FROM bagelpay.orders), 'z2@example.com', 'and it is whose it was');
UPDATE bagelpay.settings SET provider_timezone = DEFAULT;
SELECT bagelpay.rebuild () \g /dev/null
SELECT is(pg_temp.everything (), :'before', 'and back');
UPDATE bagelpay.events SET occurred_at = '2025-01-01 10:30:00Z', fold_slot = bagelpay_internal.fold_slot ('2025-01-01 10:30:00Z', event_type) WHERE fold_slot & 15 = 8;
SELECT bagelpay.rebuild () \g /dev/null
UPDATE bagelpay.settings SET provider_timezone = 'Atlantic/Azores';
SELECT lives_ok('SELECT bagelpay.rebuild ()', 'a decision may come to stand before what was forgotten');
UPDATE bagelpay.settings SET provider_timezone = DEFAULT;
SELECT pg_temp.forget () \g /dev/null

-- The other way round, nothing is missed: what is earlier now is known still.
SELECT pg_temp.take ('z3', 'checkout.failed', '2025-01-01 12:00:00', '{"customer_email":"z3@example.com","payment_id":"z3"}') \g /dev/null
SELECT pg_temp.take ('z4', 'checkout.failed', '', '{"occurred_at":null,"local_times":{"occurred_at":"2025-01-01 13:00:00"},"customer_email":"z4@example.com","payment_id":"z4"}') \g /dev/null
SELECT pg_temp.aged ('{z4}', '10 days') \g /dev/null
SELECT bagelpay.forget ('9 days') \g /dev/null
UPDATE bagelpay.settings SET provider_timezone = 'Asia/Tokyo';
SELECT lives_ok('SELECT bagelpay.rebuild ()', 'a forgotten event may become an earlier one');
SELECT is((SELECT customer_email FROM bagelpay.orders), 'z3@example.com', 'since of the later one all is known');
UPDATE bagelpay.settings SET provider_timezone = DEFAULT;
SELECT pg_temp.forget () \g /dev/null

-- In bounded numbers, and all of them; while others take the same events in.
SELECT count(*)
FROM (
    SELECT json_agg(pg_temp.made ('b' || n, 'checkout.completed', (timestamp '2025-01-01' + n * interval '1 minute')::text,
            jsonb_build_object('metadata', jsonb_build_object('order_id', 'b' || n % 100), 'payment_id', 'b' || n))) AS events,
        array_agg(convert_to(n::text, 'UTF8')) AS bodies
    FROM generate_series(1, 2500) AS n
    GROUP BY n / 100
    ORDER BY n / 100) AS batch
CROSS JOIN LATERAL bagelpay.ingest (batch.events, batch.bodies) \g /dev/null
SELECT pg_temp.everything () AS before \gset
SELECT is(bagelpay.forget ('0', 100)::text, '(100,100,0)', 'a call goes through as many as it is told');
SELECT dblink_connect('other', format('host=%s port=%s dbname=%s user=%s',
    (string_to_array(current_setting('unix_socket_directories'), ','))[1], current_setting('port'), current_database(), session_user)) \g /dev/null
SELECT dblink_exec('other', 'BEGIN') \g /dev/null
SELECT dblink_exec('other', 'SET LOCAL statement_timeout = 10000') \g /dev/null
BEGIN;
SELECT is(bagelpay.forget ('0', 100)::text, '(100,100,0)', 'and holds no others while it does');
SELECT lives_ok($$SELECT * FROM dblink('other', 'SELECT outcome FROM bagelpay.ingest (
        ''[{"event_id":"n1","event_type":"checkout.failed","mode":"live","occurred_at":"2025-02-01Z","customer_id":"c1","metadata":{"order_id":"b1"}}]'', ''{x}'')') AS t (outcome text)$$,
    'the next events of their orders come in meanwhile');
COMMIT;
SELECT dblink_exec('other', 'ROLLBACK') \g /dev/null
SELECT dblink_disconnect('other') \g /dev/null
CALL bagelpay.forget_all ('0') \gset
SELECT is((:events, :bodies, :dead_letters)::text, '(2300,2300,0)', 'the procedure goes through all');
SELECT is((SELECT count(DISTINCT forgotten_at) FROM bagelpay.events), 5::bigint, 'in several transactions');
SELECT is(pg_temp.everything (), :'before', 'still the same state');
SELECT is(bagelpay.rebuild (), 0::bigint, 'by what is left');

-- Somebody who is forgotten meanwhile is looked for without a lock that rebuild(), and so
-- all responders, would wait for: here it stands before the bodies.
SELECT dblink_connect('other', format('host=%s port=%s dbname=%s user=%s',
    (string_to_array(current_setting('unix_socket_directories'), ','))[1], current_setting('port'), current_database(), session_user)) \g /dev/null
SELECT pid FROM dblink('other', 'SELECT pg_backend_pid()') AS t (pid integer) \gset
BEGIN;
LOCK TABLE bagelpay.event_bodies IN ACCESS EXCLUSIVE MODE;
SELECT dblink_send_query('other', $$SELECT bagelpay.forget_customer ('c1@example.com')::text$$) \g /dev/null
CREATE FUNCTION pg_temp.stands (of_pid integer)
    RETURNS boolean
    LANGUAGE plpgsql
    AS $$
BEGIN
    FOR i IN 1 .. 1000 LOOP
        IF cardinality(pg_blocking_pids(of_pid)) > 0 THEN
            RETURN TRUE;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN FALSE;
END
$$;
SELECT ok(pg_temp.stands (:pid), 'forget_customer() reads bodies');
SELECT lives_ok('LOCK TABLE bagelpay.orders IN EXCLUSIVE MODE NOWAIT', 'and keeps rebuild() from nothing while it does');
COMMIT;
SELECT is((SELECT result FROM dblink_get_result('other') AS t (result text)), '(2500,0,100,0,0,0)', 'then it goes on');
SELECT dblink_disconnect('other') \g /dev/null
SELECT is(bagelpay.rebuild (), 0::bigint, 'to the same end');

-- Arguments.
SELECT throws_ok(call, '22023', NULL, call)
FROM unnest(ARRAY['SELECT bagelpay.forget (NULL)', 'SELECT bagelpay.forget (''-1 day'')', 'SELECT bagelpay.forget (''1 day'', 0)']) WITH ORDINALITY AS v (call, i)
ORDER BY i;

SELECT * FROM finish();
