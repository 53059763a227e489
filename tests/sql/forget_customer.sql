-- forget_customer(): that an address is nowhere afterwards, and nobody's access is another.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(117);

\ir builder.psql

-- In how many rows of each table a text stands, anywhere, bodies included.
CREATE FUNCTION pg_temp.places (wanted text)
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    place text;
    found_rows bigint;
    places text := '';
BEGIN
    FOR place IN SELECT oid::regclass::text FROM pg_class WHERE relnamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace) AND relkind = 'r' ORDER BY relname LOOP
        EXECUTE format('SELECT count(*) FROM %s AS t WHERE strpos(lower(t::text), $1) > 0 OR strpos(t::text, encode(convert_to($1, ''UTF8''), ''hex'')) > 0', place)
        INTO found_rows USING wanted;
        IF found_rows > 0 THEN
            places := places || format(' %s=%s', regexp_replace(place, '^\w+\.', ''), found_rows);
        END IF;
    END LOOP;
    RETURN ltrim(places);
END
$$;

-- Who is entitled to what, and whether it was expected, without the e-mails.
CREATE FUNCTION pg_temp.verdicts ()
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT concat_ws(E'\n',
        (SELECT string_agg(v, E'\n' ORDER BY v)
         FROM bagelpay.entitlements_at ('2025-01-20') AS e
         CROSS JOIN LATERAL concat_ws(' ', e.order_id, regexp_replace(e.customer_id, '^email:.*', 'by e-mail'), e.product_id, e.user_id, e.kind, e.status,
             e.entitled, e.reason, e.valid_from, e.valid_until, e.units) AS v),
        (SELECT string_agg(concat_ws(' ', mode, order_id, matches, mismatches::text), E'\n' ORDER BY mode, order_id)
         FROM bagelpay.order_checks JOIN bagelpay.orders USING (mode, order_id) WHERE expected),
        (SELECT string_agg(concat_ws(' ', mode, order_id, payment_id, status, amount, paid_at), E'\n' ORDER BY mode, order_id, payment_id)
         FROM bagelpay.payments))
$$;

CREATE FUNCTION pg_temp.take_of (of_order text, id text, email text, extra jsonb DEFAULT '{}')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.take (id, 'subscription.paid', '2025-01-' || right(id, 2) || ' 00:00:00', jsonb_build_object('customer_email', email, 'payment_id', id,
        'amount', '10', 'last4', '4242', 'payment_method', 'card', 'metadata', jsonb_build_object('order_id', of_order, 'contact', email)) || extra)
$$;

-- Mentions: whole addresses only, however they are written.
SELECT is(bagelpay_internal.mentions (body, ARRAY[email]), wanted, format('%s %s in %s', CASE WHEN wanted THEN 'is' ELSE 'is not' END, email, body))
FROM (VALUES
    (1, '"ann@example.com"', 'ann@example.com', TRUE), (2, 'ANN@Example.com', 'ann@example.com', TRUE),
    (3, 'to:ann@example.com.', 'ann@example.com', TRUE), (4, 'x\nann@example.com\n', 'ann@example.com', TRUE),
    (5, '?mail=ann%40example.com&', 'ann@example.com', TRUE), (6, '{"a":"ann\u0040example.com"}', 'ann@example.com', TRUE),
    (7, '{"a":"o\u0027hara@example.com"}', 'o''hara@example.com', TRUE), (8, '{"a":"o''hara@example.com"}', 'o''hara@example.com', TRUE),
    (9, '{"a":"\"ann b\"@example.com"}', '"ann b"@example.com', TRUE), (10, 'é ann@example.com é', 'ann@example.com', TRUE),
    (11, '{"a":"ren\u00e9@example.com"}', 'rené@example.com', TRUE), (12, 'rené@example.com', 'rené@example.com', TRUE),
    (13, 'joann@example.com', 'ann@example.com', FALSE), (14, 'jo.ann@example.com', 'ann@example.com', FALSE),
    (15, 'ann@example.com.au', 'ann@example.com', FALSE), (16, 'ann@example.community', 'ann@example.com', FALSE),
    -- Nobody's, or Ann's after a word of a language without spaces: taken for hers.
    (17, 'éann@example.com', 'ann@example.com', TRUE), (18, 'annXexample.com', 'ann@example.com', FALSE),
    (19, 'ann@exampleXcom', 'ann@example.com', FALSE), (20, '{"a":"ann\u0040example.com"', 'ann@example.com', FALSE),
    (21, '', 'ann@example.com', FALSE), (22, 'a+b@example.com', 'a+b@example.com', TRUE),
    (23, '邮箱：ann@example.com', 'ann@example.com', TRUE), (24, '联系ann@example.com。', 'ann@example.com', TRUE),
    (25, '{"a":"\uff1aann@example.com"}', 'ann@example.com', TRUE), (26, '«ann@example.com»', 'ann@example.com', TRUE),
    (27, '{"a":"\u003cann@example.com"', 'ann@example.com', TRUE), (28, 'ann%2Bshop%40example.com', 'ann+shop@example.com', TRUE),
    (29, '?m=ann%2bshop%40example.com', 'ann+shop@example.com', TRUE), (30, 'mailto%3Aann%2Bshop@example.com', 'ann+shop@example.com', TRUE),
    (31, 'ren%C3%A9%40example.com', 'rené@example.com', TRUE), (32, 'joann%40example.com', 'ann@example.com', FALSE),
    (33, 'ann%40example.com%2Eau', 'ann@example.com', FALSE), (34, '{"a":"\u0025 ann%2Bshop%40example.com"}', 'ann+shop@example.com', TRUE)) AS v (i, body, email, wanted)
ORDER BY i;
SELECT ok(bagelpay_internal.mentions ('\x00ff80'::bytea || 'ann@example.com'::bytea || '\xfe00'::bytea, 'ann@example.com') IS NOT NULL, 'any bytes can be looked through');
SELECT ok(bagelpay_internal.mentions ('\x00ff20'::bytea || 'ann@example.com'::bytea || '\xfe00'::bytea, 'ann@example.com'), 'and found in');
SELECT is(bagelpay_internal.mentions (NULL::bytea, '{ann@example.com}'::text[]), FALSE, 'but not in nothing');

-- Dead letters are found by that alone.
INSERT INTO bagelpay.dead_letters (sha256, body, reason)
SELECT sha256(b), b, 'invalid'
FROM unnest('{邮箱：zoe+x@example.com,«zoe+x@example.com»,?mail=zoe%2Bx%40example.com,?mail=zoe%2bx%40example.com,joe+zoe+x@example.com}'::text[]) AS body
CROSS JOIN convert_to(body, 'UTF8') AS b;
SELECT is(bagelpay.forget_customer ('zoe+x@example.com')::text, '(0,0,0,0,4,0)', 'however the address is written there');
DELETE FROM bagelpay.dead_letters;

-- Ann: a subscription of two events, a decision of hers, events that name nobody, an order
-- that was expected, one that was expected of another and one that has not come.
SELECT pg_temp.take_of ('ann1', 'a01', 'old@example.com') \g /dev/null
SELECT pg_temp.take_of ('ann1', 'a02', 'ann@example.com') \g /dev/null
SELECT pg_temp.take_of ('ann1', 'a03', NULL, '{"last4":"1111"}') \g /dev/null
SELECT bagelpay.grant ('ann1', note => 'she rang') \g /dev/null
SELECT bagelpay.clear ('ann1', 'ann@example.com rang again') \g /dev/null
SELECT pg_temp.take_of ('ann2', 'b01', 'ann@example.com') \g /dev/null
SELECT bagelpay.expect_order ('ann1', 'Ann@Example.com', 'p1', 10, NULL) \g /dev/null
SELECT bagelpay.expect_order ('ann2', 'bob@example.com', 'p1', 10, NULL) \g /dev/null
SELECT bagelpay.expect_order ('bob1', 'ann@example.com', 'p1', 10, NULL) \g /dev/null
SELECT bagelpay.expect_order ('nobody1', 'ann@example.com', 'p1', 10, NULL) \g /dev/null
SELECT bagelpay.expect_order ('never', 'ann@example.com', 'p1', 10, NULL) \g /dev/null
SELECT bagelpay.grant ('gift', 'ANN@example.com ', 'p2') \g /dev/null
SELECT pg_temp.take_of ('nobody1', 'n01', NULL) \g /dev/null
SELECT pg_temp.take ('i1', 'invoice.created', '2025-01-01 00:00:00', '{"customer_email":"ann@example.com"}') \g /dev/null
-- Bob, who bought something for Ann, once in metadata and once in what is kept of the body only.
SELECT pg_temp.take_of ('bob1', 'c01', 'bob@example.com', '{"customer_id":"c2","metadata":{"order_id":"bob1","for":"ann@example.com","wrap":"red"}}') \g /dev/null
SELECT pg_temp.take_of ('bob1', 'c02', 'bob@example.com', '{"customer_id":"c2","refund_label":null,"unknown":"ann@example.com"}') \g /dev/null
SELECT pg_temp.take_of ('bob1', 'c03', NULL, '{"customer_id":"c2","last4":"7777"}') \g /dev/null
-- Two who share an order's key, which is a conflict.
SELECT pg_temp.take_of ('both', 'd01', 'bob@example.com', '{"customer_id":"c2"}') \g /dev/null
SELECT pg_temp.take_of ('both', 'd02', 'ann@example.com') \g /dev/null
-- Another Ann.
SELECT pg_temp.take_of ('joann', 'j01', 'joann@example.com', '{"customer_id":"c3"}') \g /dev/null
SELECT bagelpay.ingest (json_build_array(json_build_object('outcome', 'invalid')), ARRAY[convert_to(body, 'UTF8')])
FROM unnest(ARRAY['{"email":"ann@example.com', '{"email":"joann@example.com"']) AS body \g /dev/null
UPDATE bagelpay.settings SET require_expected_order = TRUE;
SELECT pg_temp.verdicts () AS before, row_to_json(s)::text AS joann FROM (SELECT * FROM bagelpay.orders WHERE order_id = 'joann') AS s \gset

SELECT is(pg_temp.places ('ann@example.com'), 'dead_letters=2 decisions=1 event_bodies=7 events=8 expected_orders=4 orders=5 purchases=4 stored_items=4', 'Ann is everywhere');
SELECT results_eq($$SELECT * FROM bagelpay.forget_customer (' ANN@example.com')$$,
    $$VALUES (10::bigint, 7::bigint, 4::bigint, 4::bigint, 1::bigint, 0::bigint)$$, 'events, bodies, orders, expected orders, dead letters');
SELECT is(pg_temp.places ('ann@example.com'), 'dead_letters=1 event_bodies=1 events=1 orders=1 purchases=1 stored_items=1', 'what is left');
SELECT is(pg_temp.places ('joann@example.com'), 'dead_letters=1 event_bodies=1 events=1 orders=1 purchases=1 stored_items=1', 'is Joann''s');
SELECT is((SELECT row_to_json(s)::text FROM (SELECT * FROM bagelpay.orders WHERE order_id = 'joann') AS s), :'joann', 'who has lost nothing');
SELECT is(pg_temp.verdicts (), :'before', 'everybody is as entitled as before, to what was expected');
UPDATE bagelpay.settings SET require_expected_order = FALSE;
SELECT is(bagelpay.rebuild (), 0::bigint, 'the state follows from the events');
SELECT is(bagelpay.rekey (), 0::bigint, 'and the keys');

SELECT matches(customer_email, '^forgotten-[0-9a-f]{32}@bagelpay\.invalid$', order_id || ' has nobody''s address')
FROM bagelpay.orders WHERE order_id IN ('ann1', 'ann2', 'both', 'gift') ORDER BY order_id;
SELECT is((SELECT customer_email FROM bagelpay.events WHERE event_id = 'a01'), 'old@example.com', 'an earlier address of hers is another one');
SELECT is((SELECT count(*) FROM bagelpay.event_bodies WHERE event_id = 'a01'), 1::bigint, 'with its body');
SELECT is((SELECT metadata FROM bagelpay.orders WHERE order_id = 'ann1'), '{"order_id": "ann1"}', 'of metadata the key is left');
SELECT is((SELECT metadata FROM bagelpay.events WHERE event_id = 'a03'), '{"order_id": "ann1"}', 'of an event that names nobody, too');
SELECT is((SELECT count(*) FROM bagelpay.events WHERE order_id = 'ann1' AND note IS NOT NULL), 0::bigint, 'notes are gone');
SELECT is((SELECT string_agg(last4, ' ' ORDER BY order_id) FROM bagelpay.subscriptions WHERE order_id IN ('ann2', 'both', 'bob1')), '7777 4242', 'so are the digits of her card, not those of others');
SELECT is((SELECT metadata FROM bagelpay.events WHERE event_id = 'c01'), '{"order_id": "bob1"}', 'what Bob said of her');
SELECT is((SELECT customer_email FROM bagelpay.events WHERE event_id = 'c01'), 'bob@example.com', 'not who Bob is');
SELECT is((SELECT count(*) FROM bagelpay.event_bodies WHERE event_id IN ('c01', 'c02')), 0::bigint, 'bodies that speak of her');
SELECT is((SELECT count(*) FROM bagelpay.event_bodies WHERE event_id IN ('c03', 'd01')), 2::bigint, 'but no others');
SELECT is((SELECT customer_email FROM bagelpay.expected_orders WHERE order_id = 'ann1'), NULL, 'what was expected and came is not compared again');
SELECT is((SELECT customer_email FROM bagelpay.expected_orders WHERE order_id = 'ann2'), 'bob@example.com', 'what was expected of Bob stays so');
SELECT matches((SELECT customer_email FROM bagelpay.expected_orders WHERE order_id = the_order), '^forgotten-', the_order || ' still differs from what was expected')
FROM unnest('{bob1,nobody1}'::text[]) AS the_order;
SELECT is((SELECT count(*) FROM bagelpay.expected_orders WHERE order_id = 'never'), 0::bigint, 'what never came is not expected any more');
SELECT ok(NOT bagelpay.is_entitled ('ann@example.com', 'p1', 'live', '2025-01-20'), 'nobody is entitled by that address');
SELECT ok(bagelpay.is_entitled ('c1', 'p1', 'live', '2025-01-20'), 'but by the customer''s id');
SELECT is((SELECT string_agg(order_id, ' ' ORDER BY order_id) FROM bagelpay_internal.changed_orders), 'ann1 ann2 both gift', 'the feed tells which orders changed');

-- Again, and what comes after.
SELECT is(bagelpay.forget_customer ('ann@example.com')::text, '(0,0,0,0,0,0)', 'a second time there is nothing to do');
SELECT is(pg_temp.take_of ('ann1', 'a02', 'ann@example.com'), 'duplicate', 'what was forgotten is a duplicate');
SELECT is(pg_temp.places ('''ann@example.com'''), '', 'which brings nothing back');
SELECT is(pg_temp.take_of ('ann1', 'a09', 'ann@example.com'), 'applied', 'a new event does');
SELECT is((SELECT customer_email FROM bagelpay.orders WHERE order_id = 'ann1'), 'ann@example.com', 'as it says');
SELECT ok((SELECT matches FROM bagelpay.order_checks WHERE order_id = 'ann1'), 'and is what was expected');
SELECT is(bagelpay.forget_customer ('ann@example.com')::text, '(1,1,1,0,0,0)', 'until it is forgotten, too');
UPDATE bagelpay.events SET received_at = now() - interval '1 day';
SELECT is(bagelpay.forget ('1 hour')::text, (SELECT format('(%s,%s,0)', count(*), (SELECT count(*) FROM bagelpay.event_bodies)) FROM bagelpay.events WHERE forgotten_at IS NULL), 'retention has less to do');
SELECT is(bagelpay.rebuild (), 0::bigint, 'and changes nothing');

-- Ids cannot be changed.
SELECT pg_temp.take_of ('ann@example.com/1', 'e01', 'ann@example.com', '{"request_id":"for ann@example.com"}') \g /dev/null
SELECT is(bagelpay.forget_customer ('ann@example.com')::text, '(1,1,1,0,0,1)', 'an address in an id is counted');
SELECT is((SELECT metadata FROM bagelpay.orders WHERE order_id = 'ann@example.com/1'), '{"order_id": "ann@example.com/1"}', 'and stays');
SELECT is(bagelpay.forget_customer ('ann@example.com')::text, '(0,0,0,0,0,1)', 'for good');
SELECT is(bagelpay.rebuild (), 0::bigint, 'with its state');

-- Of what may name the order only what does is kept, whatever else the setting names.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take_of ('-', id, email, jsonb_build_object('metadata', metadata))
FROM (VALUES
    ('f01', 'eve@example.com', '{"order_id":"o1","orderId":"eve@example.com"}'::jsonb), ('f02', 'bob@example.com', '{"order_id":"o2","orderId":"of EVE@example.com"}'),
    ('f03', 'bob@example.com', '{"order_id":"o3","orderId":"steve@example.com"}'), ('f04', 'bob@example.com', '{"orderId":" eve@example.com/1"}'),
    ('f05', 'bob@example.com', '{"order_id":"order:eve@example.com","orderId":"o5"}'),
    ('f06', 'bob@example.com', jsonb_build_object('order_id', repeat('x', 250) || ' eve@example.com', 'orderId', 'o6'))) AS v (id, email, metadata) \g /dev/null
DELETE FROM bagelpay.event_bodies;
SELECT jsonb_object_agg(event_id, warnings)::text AS warnings FROM bagelpay.events \gset
SELECT is(bagelpay.forget_customer ('eve@example.com')::text, '(4,0,4,0,0,1)', 'an address where another key might have been');
SELECT results_eq('SELECT metadata::text FROM bagelpay.events ORDER BY event_id',
    format('VALUES (%L), (%L), (%L), (%L), (%L), (%L)', '{"order_id": "o1"}', '{"order_id": "o2"}', '{"orderId": "steve@example.com", "order_id": "o3"}',
        '{"orderId": " eve@example.com/1"}', '{"orderId": "o5"}', '{"orderId": "o6"}'), 'is taken out');
SELECT is(pg_temp.places (' eve@example.com') || pg_temp.places ('"eve@example.com'), 'events=1 orders=1', 'of orders, too, but for the one that has its name of it');
SELECT is(bagelpay.forget_customer ('eve@example.com')::text, '(0,0,0,0,0,1)', 'once');
SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'no state is another, and no key');
SELECT is((SELECT jsonb_object_agg(event_id, warnings)::text FROM bagelpay.events), :'warnings', 'with the same warnings');
SELECT is(bagelpay_internal.erased_metadata ('{"a":{"b":"eve@example.com"},"c":["x","eve@example.com","y"]}', '{metadata.a.b,metadata.c.1,metadata.c.2}', NULL, '{eve@example.com}'),
    '{"c":{"2":"y"}}', 'below others');

-- By the id of BagelPay's: all addresses, and what has none.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take_of ('q1', 'q01', 'old@example.com', '{"customer_id":"Cus_1"}') \g /dev/null
SELECT pg_temp.take_of ('q1', 'q02', 'new@example.com', '{"customer_id":"Cus_1"}') \g /dev/null
SELECT pg_temp.take_of ('q2', 'q03', NULL, '{"customer_id":"Cus_1"}') \g /dev/null
SELECT pg_temp.take ('q4', 'invoice.created', '2025-01-01 00:00:00', '{"customer_email":null,"customer_id":"Cus_1","last4":"1111"}') \g /dev/null
SELECT pg_temp.take_of ('q3', 'q05', 'bob@example.com', '{"customer_id":"cus_1"}') \g /dev/null
SELECT bagelpay.expect_order ('q1', 'old@example.com', 'p1', 10, NULL) \g /dev/null
SELECT bagelpay.expect_order ('q3', 'bob@example.com', 'p1', 10, NULL) \g /dev/null
SELECT pg_temp.verdicts () AS before \gset
SELECT is(bagelpay.forget_customer ('new@example.com')::text, '(1,1,1,0,0,0)', 'an address reaches its orders only');
SELECT is(bagelpay.forget_customer (' Cus_1 ')::text, '(3,3,2,1,0,0)', 'the id all the rest, though no other case of it');
SELECT is((SELECT string_agg(concat_ws(' ', event_id, last4, payment_method, regexp_replace(customer_email, '-.*', '')), ', ' ORDER BY event_id) FROM bagelpay.events),
    'q01 forgotten, q02 forgotten, q03, q05 4242 card bob@example.com, q4', 'of which nothing is left');
SELECT is((SELECT string_agg(event_id, ' ') FROM bagelpay.event_bodies), 'q05', 'nor a body');
SELECT is(pg_temp.verdicts (), :'before', 'everybody is as entitled as before by then');
SELECT is(bagelpay.forget_customer ('Cus_1')::text, '(0,0,0,0,0,0)', 'nothing a second time');
SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'and the state follows');

-- Customers who are known by an e-mail alone stay as many as they were.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take_of ('m1', 'm01', 'one@example.com', '{"customer_id":null}') \g /dev/null
SELECT pg_temp.take_of ('m1', 'm02', 'two@example.com', '{"customer_id":null}') \g /dev/null
SELECT pg_temp.take_of ('m1', 'm03', 'one@example.com', '{"customer_id":"Cus_1","product_id":"p2"}') \g /dev/null
SELECT pg_temp.take_of ('m1', 'm04', 'two@example.com', '{"customer_id":"Cus_1","product_id":"p2"}') \g /dev/null
SELECT pg_temp.take_of ('m1', 'm05', 'one@example.com', '{"customer_id":null,"product_id":"p3"}') \g /dev/null
SELECT bagelpay.grant ('m1', 'two@example.com', 'p4') \g /dev/null
SELECT bagelpay.revoke ('m1', product_id => 'p1', customer => 'two@example.com') \g /dev/null
SELECT bagelpay.expect_order ('m1', 'one@example.com', NULL, NULL, NULL) \g /dev/null
UPDATE bagelpay.settings SET require_expected_order = TRUE;
SELECT pg_temp.verdicts () AS before \gset
SELECT is(bagelpay.forget_customer ('Cus_1')::text, '(7,5,1,1,0,0)', 'an id with two addresses, of which customers are known');
SELECT is((SELECT count(DISTINCT customer_id) FROM bagelpay.items WHERE product_id = 'p1'), 2::bigint, 'who are two');
SELECT is(pg_temp.places ('one@example.com') || pg_temp.places ('two@example.com'), '', 'and nobody''s name');
SELECT is(pg_temp.verdicts (), :'before', 'each with his own access');
SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'and the state follows');
SELECT is(pg_temp.take_of ('m2', 'm06', 'six@example.com', '{"customer_id":null}'), 'applied', 'what the entitlements show for a customer id');
SELECT is(bagelpay.forget_customer ('email:Six@example.com')::text, '(1,1,1,0,0,0)', 'will do');
UPDATE bagelpay.settings SET require_expected_order = DEFAULT;

-- Of an order that several share, nobody else loses anything.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take_of ('s1', 's01', 'ann@example.com') \g /dev/null
SELECT pg_temp.take_of ('s1', 's02', NULL, '{"customer_id":"c2","last4":"2222"}') \g /dev/null
SELECT pg_temp.take_of ('s1', 's03', NULL, '{"last4":"3333"}') \g /dev/null
SELECT pg_temp.take_of ('s2', 's04', NULL, '{"customer_id":"c2","last4":"4444","for":"ann@example.com"}') \g /dev/null
SELECT pg_temp.take_of ('s2', 's05', 'bob@example.com', '{"customer_id":"c2","metadata":{"order_id":"s2","user_id":"ann@example.com"}}') \g /dev/null
INSERT INTO bagelpay.dead_letters (sha256, body, reason, customer_email) VALUES (sha256('y'), 'y', 'invalid', 'ann@example.com'), (sha256('n'), 'n', 'invalid', 'bob@example.com');
INSERT INTO bagelpay.dead_letters (sha256, body, reason, order_id) VALUES (sha256('o'), 'o', 'invalid', 'of ann@example.com');
SELECT pg_temp.verdicts () AS before \gset
SELECT is(bagelpay.forget_customer ('ann@example.com')::text, '(4,4,2,0,2,1)', 'hers, what names nobody, what mentions her, and her dead letters');
SELECT is(pg_temp.told ('SELECT event_id, last4 FROM bagelpay.events ORDER BY 1'), 's01 - | s02 2222 | s03 - | s04 4444 | s05 4242', 'the cards are those of others');
SELECT is(pg_temp.told ('SELECT event_id FROM bagelpay.event_bodies'), 's02', 'and so is the body');
SELECT is((SELECT string_agg(convert_from(body, 'UTF8'), ' ') FROM bagelpay.dead_letters), 'n', 'and the dead letter');
SELECT is(pg_temp.verdicts (), :'before', 'with the same access');
SELECT ok(bagelpay.is_user_entitled ('ann@example.com', 'p1', 'live', '2025-01-20'), 'also by a user id that looks like her address');
SELECT is(bagelpay.forget_customer ('ann@example.com')::text, '(0,0,0,0,0,1)', 'which is counted again');

SELECT throws_ok(format('SELECT bagelpay.forget_customer (%L)', wrong), '22023', 'email: missing', format('no address: %L', wrong))
FROM unnest(ARRAY[NULL, '', E' \t']) WITH ORDINALITY AS v (wrong, i) ORDER BY i;
SELECT ok(NOT has_function_privilege(r, f, 'EXECUTE'), r || ' may not call ' || f)
FROM unnest('{bagelpay_app,bagelpay_ingest}'::text[]) AS r
CROSS JOIN unnest('{"bagelpay.forget(interval, integer)",bagelpay.forget_customer(text)}'::text[]) AS f;
SELECT ok(NOT has_function_privilege('bagelpay_app', 'bagelpay.forget_all(interval, bigint, bigint, bigint)', 'EXECUTE'), 'nor the procedure');

SELECT * FROM finish();

ROLLBACK;
