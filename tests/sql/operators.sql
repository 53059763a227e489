-- Operators' decisions: grant, revoke, clear, dispute_won; which items each covers, and when it holds.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

-- Every statement is a transaction of its own, as decisions are. The database is this file's.
SELECT plan(120);

\ir builder.psql

-- Each item of an order, with whether it is entitled, as one short text.
CREATE FUNCTION pg_temp.now (of_order text DEFAULT 'o1')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT string_agg(format('%s/%s %s %s', product_id, customer_id, CASE WHEN entitled THEN 'yes' ELSE 'no' END, reason), ' | ' ORDER BY product_id, customer_id, user_id)
    FROM bagelpay.entitlements_at (clock_timestamp())
    WHERE order_id = of_order
$$;

-- Lets the decisions of an order be made at moments, in their order.
CREATE FUNCTION pg_temp.decided_at (VARIADIC moments timestamptz[])
    RETURNS bigint
    LANGUAGE sql
    AS $$
    UPDATE bagelpay.events AS e
    SET occurred_at = moments[d.n], fold_slot = bagelpay_internal.fold_slot (moments[d.n], e.event_type)
    FROM (SELECT event_id, row_number() OVER (ORDER BY occurred_at) AS n FROM bagelpay.events WHERE event_type LIKE 'operator.%' AND order_id = 'o1') AS d
    WHERE e.event_id = d.event_id;
    SELECT bagelpay.rebuild ('o1')
$$;

-- Two products of two customers.
CREATE FUNCTION pg_temp.shop ()
    RETURNS void
    LANGUAGE sql
    AS $$
    SELECT pg_temp.forget ();
    SELECT pg_temp.take (customer || product, 'checkout.completed', '2025-01-01 00:00:00', jsonb_build_object('payment_id', customer || product, 'product_id', product, 'customer_id', customer, 'customer_email', customer || '@example.com'))
    FROM unnest('{c1,c2}'::text[]) AS customer, unnest('{p1,p2}'::text[]) AS product;
$$;

-- What a revocation covers, and what a clearing does.
SELECT pg_temp.shop () \g /dev/null
SELECT bagelpay.revoke ('o1', 'enough') \g /dev/null
SELECT is(pg_temp.now (), 'p1/c1 no revoked | p1/c2 no revoked | p2/c1 no revoked | p2/c2 no revoked', 'all of an order');
SELECT bagelpay.clear (' o1 ', product_id => ' p1 ') \g /dev/null
SELECT is(pg_temp.now (), 'p1/c1 yes paid | p1/c2 yes paid | p2/c1 no revoked | p2/c2 no revoked', 'a product cleared');
SELECT bagelpay.clear ('o1', customer => 'c1') \g /dev/null
SELECT is(pg_temp.now (), 'p1/c1 yes paid | p1/c2 yes paid | p2/c1 yes paid | p2/c2 no revoked', 'a customer cleared');
SELECT bagelpay.revoke ('o1', product_id => 'p1', customer => ' C1@Example.com ') \g /dev/null
SELECT is(pg_temp.now (), 'p1/c1 no revoked | p1/c2 yes paid | p2/c1 yes paid | p2/c2 no revoked', 'one item revoked, by its e-mail');
SELECT bagelpay.clear ('o1') \g /dev/null
SELECT is(pg_temp.now (), 'p1/c1 yes paid | p1/c2 yes paid | p2/c1 yes paid | p2/c2 yes paid', 'all cleared');
SELECT is(pg_temp.told ($$SELECT product_id, customer_id, entitled, reason FROM bagelpay.revoke ('o1', product_id => 'p2', customer => 'c2') ORDER BY 1, 2$$),
    'p1 c1 true paid | p1 c2 true paid | p2 c1 true paid | p2 c2 false revoked', 'each returns all rows of the order as they are then');
SELECT is(pg_temp.told (
        $$SELECT event_type, order_id, mode, product_id, customer_id, customer_email, note, outcome FROM bagelpay.events WHERE event_type LIKE 'operator.%' ORDER BY occurred_at LIMIT 2$$),
    'operator.revoke o1 live - - - enough applied | operator.clear o1 live p1 - - - applied', 'they are events');
SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'that survive a rebuild');
SELECT pg_temp.take ('late', 'checkout.completed', '2025-01-02 00:00:00', '{"payment_id":"late","product_id":"p2","customer_id":"c2"}') \g /dev/null
SELECT is(pg_temp.now (), 'p1/c1 yes paid | p1/c2 yes paid | p2/c1 yes paid | p2/c2 no revoked', 'and what arrives late');
SELECT pg_temp.take ('p3', 'checkout.completed', '2025-01-02 00:00:00', '{"payment_id":"p3","product_id":"p3"}') \g /dev/null
SELECT bagelpay.revoke ('o1') \g /dev/null
SELECT pg_temp.take ('p4', 'checkout.completed', '2999-01-01 00:00:00', '{"payment_id":"p4","product_id":"p4"}') \g /dev/null
SELECT is(pg_temp.now (),
    'p1/c1 no revoked | p1/c2 no revoked | p2/c1 no revoked | p2/c2 no revoked | p3/c1 no revoked | p4/c1 no revoked', 'also what is bought after it');

-- An item by a former e-mail, and one that is known by e-mail alone.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('e1', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"x","customer_email":"old@example.com"}') \g /dev/null
SELECT pg_temp.take ('e2', 'checkout.completed', '2025-01-02 00:00:00', '{"payment_id":"y","customer_email":"new@example.com"}') \g /dev/null
SELECT pg_temp.take ('e3', 'checkout.completed', '2025-01-03 00:00:00', '{"payment_id":"z","customer_id":null,"customer_email":"else@example.com"}') \g /dev/null
SELECT bagelpay.revoke ('o1', customer => 'OLD@example.com') \g /dev/null
SELECT is(pg_temp.now (), 'p1/c1 no revoked | p1/email:else@example.com yes paid', 'by an e-mail that it had');
SELECT bagelpay.revoke ('o1', customer => 'else@example.com') \g /dev/null
SELECT is(pg_temp.now (), 'p1/c1 no revoked | p1/email:else@example.com no revoked', 'by the only one');
SELECT bagelpay.clear ('o1') \g /dev/null
SELECT lives_ok($$SELECT bagelpay.revoke ('o1', customer => 'email:else@example.com')$$, 'by the customer_id as it is shown');
SELECT is(pg_temp.now (), 'p1/c1 yes paid | p1/email:else@example.com no revoked', 'too');

-- Grants: of an item by product and e-mail, which is made if there is none.
SELECT pg_temp.shop () \g /dev/null
SELECT is(pg_temp.told (
        $$SELECT product_id, customer_id, customer_email, user_id, kind, status, entitled, reason, valid_from, pg_temp.utc (valid_until), units, periods FROM bagelpay.grant ('gift', ' G@Example.com', ' p9 ', '2999-01-01 00:00:00+00', 'a gift')$$),
    'p9 email:g@example.com g@example.com - one_time pending true granted - 2999-01-01 1 {}', 'a gift to somebody new');
SELECT is(pg_temp.told ($$SELECT mode, order_id, product_id, customer_id, user_id, customer_email, subscription_status FROM bagelpay.items WHERE order_id = 'gift'$$),
    'live gift p9 email:g@example.com  g@example.com -', 'is an item');
SELECT is(pg_temp.told ($$SELECT key_source, status, product_id, customer_email FROM bagelpay.orders WHERE order_id = 'gift'$$),
    'metadata pending p9 g@example.com', 'of an order like others');
SELECT ok(bagelpay.is_entitled ('g@EXAMPLE.com', 'p9'), 'found by its e-mail');
SELECT bagelpay.grant ('o1', 'c1@example.com', 'p1') \g /dev/null
SELECT is(pg_temp.now (), 'p1/c1 yes granted | p1/c2 yes paid | p2/c1 yes paid | p2/c2 yes paid', 'of an item that there is');
SELECT bagelpay.grant ('o1', 'c1@example.com', 'p3') \g /dev/null
SELECT is(pg_temp.now (),
    'p1/c1 yes granted | p1/c2 yes paid | p2/c1 yes paid | p2/c2 yes paid | p3/email:c1@example.com yes granted', 'of another product, one is made');
SELECT bagelpay.revoke ('o1', product_id => 'p3') \g /dev/null
SELECT bagelpay.grant ('o1', product_id => 'p2') \g /dev/null
SELECT is(pg_temp.now (),
    'p1/c1 yes granted | p1/c2 yes paid | p2/c1 yes granted | p2/c2 yes granted | p3/email:c1@example.com no revoked', 'of all items of a product; the one that was made can be revoked');
SELECT bagelpay.grant ('o1', 'C2@example.com') \g /dev/null
SELECT is(pg_temp.now (), 'p1/c1 yes granted | p1/c2 yes granted | p2/c1 yes granted | p2/c2 yes granted | p3/email:c1@example.com no revoked', 'or of a customer');
SELECT bagelpay.clear ('o1') \g /dev/null
SELECT is(pg_temp.now (),
    'p1/c1 yes paid | p1/c2 yes paid | p2/c1 yes paid | p2/c2 yes paid | p3/email:c1@example.com no paid', 'cleared, it is an item without a purchase, with the order''s status');
SELECT bagelpay.grant ('o1') \g /dev/null
SELECT is(pg_temp.now (),
    'p1/c1 yes granted | p1/c2 yes granted | p2/c1 yes granted | p2/c2 yes granted | p3/email:c1@example.com no paid', 'a grant of all is of what was bought');
SELECT pg_temp.take ('p4', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"p4","product_id":"p4"}') \g /dev/null
SELECT pg_temp.take ('p5', 'checkout.completed', '2999-01-01 00:00:00', '{"payment_id":"p5","product_id":"p5"}') \g /dev/null
SELECT is(pg_temp.now (),
    'p1/c1 yes granted | p1/c2 yes granted | p2/c1 yes granted | p2/c2 yes granted | p3/email:c1@example.com no paid | p4/c1 yes granted | p5/c1 no not_yet', 'before it, even if that was not known then');
SELECT pg_temp.take ('p3', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"p3","product_id":"p3"}') \g /dev/null
SELECT is((SELECT string_agg(customer_id, ' ') FROM bagelpay.items WHERE order_id = 'o1' AND product_id = 'p3'),
    'c1', 'an item that was made becomes what is bought with its e-mail');
SELECT pg_temp.take ('g', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"g","product_id":"p9","customer_id":"c7","customer_email":"g@example.com","metadata":{"order_id":"gift"}}') \g /dev/null
SELECT is(pg_temp.now ('gift'), 'p9/c7 yes granted', 'with what was granted');
SELECT pg_temp.take ('g2', 'checkout.completed', '2025-01-02 00:00:00', '{"payment_id":"g","product_id":"p9","customer_id":"c7","customer_email":"moved@example.com","metadata":{"order_id":"gift"}}') \g /dev/null
SELECT is(pg_temp.now ('gift'), 'p9/c7 yes paid | p9/email:g@example.com yes granted', 'judged by what all purchases say now');
SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'that is all');

-- When a decision holds: from its moment on; a grant to its end, after which it counts as not made.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('e1', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('e2', 'refund.created', '2025-01-02 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT bagelpay.grant ('o1', until => '2999-01-01 00:00:00+00') \g /dev/null
SELECT bagelpay.revoke ('o1') \g /dev/null
SELECT bagelpay.grant ('o1', until => '2998-01-01 00:00:00+00') \g /dev/null
SELECT bagelpay.clear ('o1') \g /dev/null
SELECT bagelpay.grant ('o1', until => '2997-01-01 00:00:00+00') \g /dev/null
SELECT is(pg_temp.decided_at ('2026-01-01Z', '2026-02-01Z', '2026-03-01Z', '2026-04-01Z', '2026-05-01Z'), 1::bigint, 'a history of decisions');
SELECT is(pg_temp.verdict (at), told, at)
FROM (VALUES ('2025-12-31 23:59:59', 'no refunded'), ('2026-01-01', 'yes granted 2999-01-01 00:00:00'), ('2026-02-01', 'no revoked'), ('2026-03-01', 'yes granted 2998-01-01 00:00:00'),
    ('2026-04-01', 'no refunded'), ('2026-05-01', 'yes granted 2997-01-01 00:00:00'), ('2997-01-01', 'no refunded')) AS v (at, told);
DELETE FROM bagelpay.events WHERE event_type = 'operator.clear';
SELECT bagelpay.rebuild () \g /dev/null
SELECT is(pg_temp.verdict ('2997-01-01') || ', ' || pg_temp.verdict ('2998-01-01') || ', ' || pg_temp.verdict ('2999-01-01'),
    'yes granted 2998-01-01 00:00:00, no revoked, no revoked', 'an end that has passed leaves what was decided before');
SELECT bagelpay.grant ('o1', until => 'infinity') \g /dev/null
SELECT is(pg_temp.verdict ('9999-12-31'), 'yes granted', 'infinity is no end');
SELECT bagelpay.grant ('o1', until => '2025-06-01 00:00:00+00') \g /dev/null
SELECT is(pg_temp.verdict ('9999-12-31'), 'yes granted', 'a grant to an end in the past is none');
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('e1', 'checkout.completed', '2999-01-01 00:00:00.5', '{"payment_id":"x"}') \g /dev/null
SELECT bagelpay.revoke ('o1') \g /dev/null
SELECT bagelpay.clear ('o1') \g /dev/null
SELECT is(pg_temp.told ($$SELECT occurred_at >= '2999-01-01 00:00:00.5Z', late FROM bagelpay.explain ('o1') WHERE event_type LIKE 'operator.%'$$),
    'true false | true false', 'a decision comes after the newest event of its order');
SELECT is(pg_temp.told ($$SELECT string_agg(event_type, ' ' ORDER BY position) FROM bagelpay.explain ('o1')$$),
    'checkout.completed operator.revoke operator.clear', 'and after another decision');

-- Modes, and keys that are derived.
SELECT pg_temp.shop () \g /dev/null
SELECT pg_temp.take ('t1', 'subscription.paid', '2025-01-01 00:00:00', '{"mode":"test","payment_id":"t"}') \g /dev/null
SELECT is(pg_temp.told ($$SELECT mode, reason FROM bagelpay.revoke ('o1', mode => 'test')$$), 'test revoked', 'in test mode');
SELECT is(pg_temp.now (), 'p1/c1 yes paid | p1/c2 yes paid | p2/c1 yes paid | p2/c2 yes paid', 'and not in live mode');
SELECT is(pg_temp.told (format('SELECT count(*) FROM bagelpay.grant (%L, ''a@example.com'', ''p1'')', of_order)) || ' ' || pg_temp.told (format('SELECT key_source FROM bagelpay.orders WHERE order_id = %L', of_order)), '1 ' || key_source, of_order)
FROM (VALUES ('customer:c9:p9', 'customer'), ('order:9', 'order'), ('payment:9', 'payment'), ('orders:9', 'metadata')) AS v (of_order, key_source);

-- A dispute that was won: what its payment is by its refunds.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('x' || n, type, '2025-01-0' || n || ' 00:00:00', '{"payment_id":"x","provider_order_id":"O","amount":"10"}'::jsonb || extra::jsonb)
FROM (VALUES (1, 'checkout.completed', '{}'), (2, 'checkout.cancel', '{}')) AS v (n, type, extra) \g /dev/null
SELECT is(pg_temp.state () || ', ' || pg_temp.now (), 'disputed / - / x=disputed, p1/c1 no disputed', 'a dispute');
SELECT is(pg_temp.told ($$SELECT product_id, entitled, reason FROM bagelpay.dispute_won (' x ', 'well')$$) || ', ' || pg_temp.state (),
    'p1 true paid, paid / - / x=paid', 'that was won');
SELECT pg_temp.take ('x3', 'refund.created', '2025-01-03 00:00:00', '{"payment_id":"x","refund_amount":"4"}') \g /dev/null
SELECT is(pg_temp.state (), 'partially_refunded / - / x=partially_refunded', 'refunded in part');
SELECT pg_temp.take ('x4', 'refund.created', '2025-01-04 00:00:00', '{"payment_id":"x","refund_amount":"6"}') \g /dev/null
SELECT is(pg_temp.state (), 'refunded / - / x=refunded', 'or in full');
DELETE FROM bagelpay.events WHERE event_id IN ('x3', 'x4');
SELECT bagelpay.rebuild ('o1') \g /dev/null
SELECT pg_temp.take ('x5', 'checkout.cancel', '2999-01-01 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.state (), 'disputed / - / x=disputed', 'and disputed again');
SELECT bagelpay.dispute_won ('x') \g /dev/null
SELECT is(pg_temp.state () || ' ' || bagelpay.rebuild (), 'paid / - / x=paid 0', 'won again');
SELECT pg_temp.take ('y1', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"y","metadata":{"order_id":"o2"}}') \g /dev/null
SELECT is(pg_temp.told ($$SELECT reason FROM bagelpay.dispute_won ('y')$$) || ' ' || pg_temp.state ('o2'),
    'paid paid / - / y=paid', 'where there is no dispute it changes nothing');
SELECT pg_temp.take ('y2', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"y","metadata":{"order_id":"o3"}}') \g /dev/null
SELECT pg_temp.take ('y3', 'checkout.cancel', '2025-01-02 00:00:00', '{"payment_id":"y","metadata":{"order_id":"o3"}}') \g /dev/null
SELECT throws_ok($$SELECT bagelpay.dispute_won ('y')$$, '22023', NULL, 'of two orders with a payment of this name');
SELECT bagelpay.dispute_won ('y', order_id => 'o3') \g /dev/null
SELECT is(pg_temp.state ('o3'), 'paid / - / y=paid', 'one has to be named');
SELECT pg_temp.take ('z1', 'checkout.completed', '2025-01-01 00:00:00', '{"provider_order_id":"Q","metadata":{"order_id":"o4"}}') \g /dev/null
SELECT pg_temp.take ('z2', 'checkout.cancel', '2025-01-02 00:00:00', '{"provider_order_id":"Q","metadata":{"order_id":"o4"}}') \g /dev/null
SELECT lives_ok($$SELECT bagelpay.dispute_won ('order:Q')$$, 'of a payment without a payment_id');
SELECT is(pg_temp.state ('o4'), 'paid / - / order:Q=paid', 'by the name that it has');

-- What is not there is an error, and nothing is stored.
SELECT pg_temp.shop () \g /dev/null
SELECT pg_temp.take ('f', 'checkout.failed', '2025-01-01 00:00:00', '{"payment_id":"f","metadata":{"order_id":"failed"}}') \g /dev/null
SELECT throws_ok('SELECT bagelpay.' || call, '22023', NULL, call)
FROM unnest(ARRAY[
    'grant (''nix'')', 'grant (''nix'', ''a@example.com'')', 'grant (''nix'', product_id => ''p1'')', 'grant (''failed'')', 'grant (''o1'', ''nobody@example.com'')', 'grant (''o1'', product_id => ''p9'')', 'grant (''o1'', mode => ''test'')',
    'revoke (''nix'')', 'revoke (''O1'')', 'revoke (''o1'', mode => ''test'')', 'revoke (''o1'', product_id => ''p9'')', 'revoke (''o1'', customer => ''c9'')', 'revoke (''o1'', customer => ''nobody@example.com'')', 'revoke (''o1'', product_id => ''p9'', customer => ''c1'')',
    'clear (''nix'')', 'clear (''o1'', product_id => ''p9'')', 'clear (''o1'', customer => ''c9'')', 'dispute_won (''nix'')', 'dispute_won (''f'')', 'dispute_won ('''')', 'dispute_won (NULL)', 'dispute_won (''c1p1'', order_id => ''nix'')', 'dispute_won (''c1p1'', mode => ''test'')',
    'grant (NULL)', 'grant ('' '')', 'revoke ('''')', 'clear (NULL)', 'grant (''o1'', mode => NULL)', 'revoke (''o1'', mode => ''Live'')', 'clear (''o1'', mode => '''')', 'dispute_won (''c1p1'', mode => ''LIVE'')', 'clear (repeat(''x'', 256))',
    'grant (''o1'', until => ''-infinity'')', 'grant (''o1'', until => ''1999-12-31 23:59:59+00'')', 'grant (''o1'', until => ''10000-01-01 00:00:00+00'')']) AS call;
SELECT is((SELECT count(*) FROM bagelpay.events WHERE event_type LIKE 'operator.%'), 0::bigint, 'nothing of it is stored');
SELECT is(pg_temp.told ($$SELECT reason FROM bagelpay.revoke ('failed')$$), 'failed', 'an order that there is can be revoked');
SELECT pg_temp.take ('f2', 'checkout.completed', '2025-01-02 00:00:00', '{"payment_id":"f","metadata":{"order_id":"failed"}}') \g /dev/null
SELECT is(pg_temp.now ('failed'), 'p1/c1 no revoked', 'before anything is bought');

-- Customers of before: granted once, whoever asks by whichever name.
SELECT pg_temp.forget () \g /dev/null
CREATE FUNCTION pg_temp.adopted (customers json)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT string_agg(outcome, ' ' ORDER BY ordinal) FROM bagelpay.adopt (customers)
$$;

SELECT '[{"user_id":" u1 ","email":" Ann@Example.com","product_id":"p1 ","until":"2100-01-01Z","note":"moved"},
    {"user_id":"u1","email":"ann@example.com","product_id":"p2","until":null},
    {"order_id":"o7","user_id":"","email":"bob@example.com","product_id":"p1","until":"infinity"}]' AS file \gset
SELECT is(pg_temp.adopted (:'file'), 'granted granted granted', 'customers of before');
SELECT is(pg_temp.told ($$SELECT order_id, product_id, customer_id, customer_email, user_id, reason, pg_temp.utc (valid_until) AS until FROM bagelpay.entitlements ORDER BY order_id, product_id$$),
    'adopted:u1 p1 email:ann@example.com ann@example.com u1 granted 2100-01-01 | adopted:u1 p2 email:ann@example.com ann@example.com u1 granted - | o7 p1 email:bob@example.com bob@example.com - granted -',
    'have what they had');
SELECT is(pg_temp.told ($$SELECT note, user_id, received_at = now() FROM bagelpay.events WHERE product_id = 'p1' AND order_id = 'adopted:u1'$$), 'moved u1 false', 'as events');
SELECT ok(bagelpay.is_user_entitled ('u1', 'p1') AND bagelpay.is_user_entitled ('u1', 'p2') AND bagelpay.is_entitled ('ann@example.com', 'p1'), 'asked by the user or by the e-mail');
SELECT ok(NOT bagelpay.is_user_entitled ('u1', 'p3') AND NOT bagelpay.is_user_entitled ('u2', 'p1') AND NOT bagelpay.is_user_entitled ('', 'p1'), 'and nothing else');
INSERT INTO bagelpay.products (product_id) VALUES ('p1');
INSERT INTO bagelpay.product_features (product_id, feature, quantity) VALUES ('p1', 'seats', 3);
SELECT ok(bagelpay.user_has_feature ('u1', 'seats'), 'with its features');
SELECT is(pg_temp.adopted (:'file'), 'unchanged unchanged unchanged', 'the same again');
SELECT is((SELECT count(*) FROM bagelpay.events), 3::bigint, 'stores nothing');
SELECT is(pg_temp.adopted (replace(:'file', '2100', '2101')::json), 'changed unchanged unchanged', 'another end');
SELECT is(pg_temp.told ($$SELECT count(*), min(pg_temp.utc (valid_until)) FROM bagelpay.entitlements WHERE user_id = 'u1' AND product_id = 'p1'$$), '1 2101-01-01', 'replaces the first');
SELECT bagelpay.revoke ('adopted:u1', product_id => 'p1') \g /dev/null
SELECT is(pg_temp.adopted (replace(:'file', '2100', '2101')::json), 'unchanged unchanged unchanged', 'the same after a revocation');
SELECT ok(NOT bagelpay.is_user_entitled ('u1', 'p1'), 'does not undo it');
SELECT bagelpay.grant ('adopted:u1', 'ann@example.com', 'p1') \g /dev/null
SELECT is(pg_temp.told ($$SELECT user_id, quantity FROM bagelpay.entitled_features WHERE customer_email = 'ann@example.com'$$), 'u1 3', 'a later grant is about the same item');
SELECT is(pg_temp.adopted ('[{"order_id":"o8","user_id":"u3","email":"cy@example.com","product_id":"p1"},{"order_id":"o8","user_id":"u3","email":"cy@example.com","product_id":"p1"}]'),
    'granted unchanged', 'twice in one file');
SELECT is((SELECT count(*) FROM bagelpay.adopt (:'file', 'test') WHERE outcome = 'granted'), 3::bigint, 'modes are apart');
SELECT is(bagelpay.rebuild (), 0::bigint, 'it follows from the events');
SELECT throws_ok(format('SELECT bagelpay.adopt (%L)', ('[' || customer || ']')::text), '22023', NULL, customer)
FROM unnest(ARRAY['{"user_id":"u","product_id":"p"}', '{"user_id":"u","email":"@x","product_id":"p"}', '{"user_id":"u","email":"a@x"}', '{"user_id":"u","email":"a@x","product_id":" "}',
    '{"email":"a@x","product_id":"p"}', '{"user_id":"u","email":"a@x","product_id":"p","until":"1999-01-01"}']) AS customer;
SELECT throws_ok($$SELECT bagelpay.adopt ('[]', 'Live')$$, '22023', NULL, 'a mode that there is not');

SELECT * FROM finish();
