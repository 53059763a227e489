-- changes_since(): what is in the feed, what a cursor continues from, and that nothing is
-- skipped where transactions overlap.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

-- Every statement is a transaction of its own, unless it says otherwise. The database is
-- this file's.
SELECT plan(66);

\ir builder.psql

CREATE EXTENSION dblink;

-- Changes are shown once every transaction that began before them has ended, be it the
-- server's own (autovacuum, in whatever database). Waits for those; to be called before
-- the feed is asked.
CREATE PROCEDURE pg_temp.settle ()
    LANGUAGE plpgsql
    AS $$
DECLARE
    mine bigint := pg_current_xact_id()::text::bigint;
BEGIN
    COMMIT;
    FOR i IN 1 .. 500 LOOP
        EXIT WHEN pg_snapshot_xmin(pg_current_snapshot())::text::bigint > mine;
        PERFORM pg_sleep(0.02);
    END LOOP;
END
$$;

-- The orders that changed since a cursor, in the order of the feed; * stands for a change that may concern any.
CREATE FUNCTION pg_temp.whole_feed (since text)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT coalesce(string_agg(CASE WHEN f.order_id IS NULL THEN '*' ELSE f.mode || ' ' || f.order_id END, ' | ' ORDER BY f.ordinality), '')
    FROM bagelpay.changes_since (since) WITH ORDINALITY AS f (cursor, mode, order_id, changed_at, ordinality)
$$;

-- The same without the latter.
CREATE FUNCTION pg_temp.feed (since text)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT coalesce(string_agg(f.mode || ' ' || f.order_id, ' | ' ORDER BY f.ordinality), '')
    FROM bagelpay.changes_since (since) WITH ORDINALITY AS f (cursor, mode, order_id, changed_at, ordinality)
$$;

-- The cursor of the feed's last row.
CREATE FUNCTION pg_temp.newest ()
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT f.cursor
    FROM bagelpay.changes_since ('') WITH ORDINALITY AS f (cursor, mode, order_id, changed_at, ordinality)
    ORDER BY f.ordinality DESC
    LIMIT 1
$$;

CREATE FUNCTION pg_temp.take_of (of_order text, id text, type text, at text, extra jsonb DEFAULT '{}')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.take (id, type, at, jsonb_build_object('metadata', jsonb_build_object('order_id', of_order), 'payment_id', id) || extra)
$$;

SELECT is(pg_temp.feed (''), '', 'nothing happened yet');

-- Ingest.
SELECT pg_temp.take_of ('b', 'b1', 'checkout.completed', '2025-01-02 00:00:00') \g /dev/null
SELECT pg_temp.take_of ('a', 'a1', 'checkout.completed', '2025-01-01 00:00:00') \g /dev/null
SELECT pg_temp.take_of ('t', 't1', 'checkout.completed', '2025-01-03 00:00:00', '{"mode":"test"}') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (''), 'live b | live a | test t', 'orders that events came for, in the order in which that happened');
SELECT results_eq($$SELECT order_id COLLATE "C", changed_at FROM bagelpay.changes_since ('')$$,
    $$SELECT order_id, received_at FROM bagelpay.events ORDER BY received_at$$, 'changed when it was received');
SELECT is((SELECT count(DISTINCT cursor) FROM bagelpay.changes_since ('')), 3::bigint, 'each transaction has a cursor');
SELECT is(pg_temp.feed (cursor), rest, 'from the cursor of ' || order_id)
FROM bagelpay.changes_since ('')
JOIN (VALUES ('b', 'live a | test t'), ('a', 'test t'), ('t', '')) AS v (of_order, rest) ON of_order = order_id;
SELECT is(pg_temp.feed (pg_temp.newest ()), '', 'the same cursor again gives nothing again');
SELECT pg_temp.newest () AS before \gset

-- What is no change of an order.
SELECT pg_temp.take_of ('a', 'a1', 'checkout.completed', '2025-01-01 00:00:00') \g /dev/null
SELECT pg_temp.take_of ('a', 'a1', 'checkout.completed', '2025-01-01 00:00:01') \g /dev/null
SELECT pg_temp.take_of ('a', 'u1', 'invoice.created', '2025-01-01 00:00:00') \g /dev/null
SELECT pg_temp.take ('u2', 'checkout.failed', '2025-01-01 00:00:00', '{"metadata":null,"customer_id":null}') \g /dev/null
SELECT bagelpay.ingest ('[{"outcome":"invalid","detail":"x"}]', '{x}') \g /dev/null
SELECT bagelpay.rebuild () \g /dev/null
SELECT bagelpay.rekey () \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), '', 'duplicates, conflicts, dead letters, what is ignored or unmatched, and mending what is whole');

-- An order comes once, with its newest change.
SELECT pg_temp.take_of ('a', 'a2', 'refund.created', '2025-01-05 00:00:00', '{"payment_id":"a1","refund_amount":"1"}') \g /dev/null
SELECT pg_temp.take_of ('b', 'b0', 'checkout.failed', '2024-01-01 00:00:00') \g /dev/null
SELECT pg_temp.take_of ('a', 'a3', 'checkout.cancel', '2025-01-06 00:00:00') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live b | live a', 'each order once, at its newest change; a late event is one, too');
SELECT is(pg_temp.feed (''), 'test t | live b | live a', 'likewise from the beginning');
SELECT is((SELECT changed_at FROM bagelpay.changes_since ('') WHERE order_id = 'a'), (SELECT received_at FROM bagelpay.events WHERE event_id = 'a3'), 'with the time of that');
SELECT pg_temp.newest () AS before \gset

-- Decisions.
SELECT bagelpay.grant ('a') \g /dev/null
SELECT bagelpay.grant ('gift', 'g@example.com', 'p1', mode => 'test') \g /dev/null
SELECT bagelpay.revoke ('b') \g /dev/null
SELECT bagelpay.clear ('b') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live a | test gift | live b', 'decisions are changes');
SELECT results_eq($$SELECT order_id COLLATE "C", max(changed_at) FROM bagelpay.changes_since ('') WHERE order_id IN ('a', 'b', 'gift') GROUP BY 1 ORDER BY 1$$,
    $$SELECT order_id, max(received_at) FROM bagelpay.events WHERE event_type ~ '^operator' GROUP BY order_id ORDER BY order_id$$, 'of their time');
SELECT pg_temp.newest () AS before \gset

-- Several changes of one transaction: stopping among them repeats them.
BEGIN;
SELECT pg_temp.take_of ('m1', 'm1', 'checkout.completed', '2025-01-01 00:00:00') \g /dev/null
SELECT pg_temp.take_of ('m3', 'm3', 'checkout.completed', '2025-01-01 00:00:00') \g /dev/null
SELECT bagelpay.grant ('m2', 'g@example.com', 'p1') \g /dev/null
SELECT is(pg_temp.feed (:'before'), '', 'a transaction does not see what it has not committed');
COMMIT;
SELECT pg_temp.take_of ('m4', 'm4', 'checkout.completed', '2025-01-01 00:00:00') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live m1 | live m2 | live m3 | live m4', 'of one transaction, by name');
SELECT is(pg_temp.feed (cursor), rest, 'from the cursor of ' || order_id)
FROM bagelpay.changes_since (:'before')
JOIN (VALUES
    ('m1', 'live m1 | live m2 | live m3 | live m4'), ('m2', 'live m1 | live m2 | live m3 | live m4'),
    ('m3', 'live m4'), ('m4', '')) AS v (of_order, rest) ON of_order = order_id;
SELECT count(*) FROM bagelpay.ingest (
    json_build_array(
        pg_temp.made ('n1', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"n2"}}'),
        pg_temp.made ('n2', 'checkout.completed', '2025-01-02 00:00:00', '{"metadata":{"order_id":"n1"}}'),
        pg_temp.made ('n3', 'checkout.failed', '2025-01-03 00:00:00', '{"metadata":{"order_id":"n2"}}'),
        pg_temp.made ('n4', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"n2"},"mode":"test"}')),
    '{n1,n2,n3,n4}') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (cursor), 'live n1 | live n2 | test n2', 'a batch')
FROM bagelpay.changes_since ('') WHERE order_id = 'm4';
SELECT pg_temp.newest () AS before \gset

-- Rebuild: orders that came out different.
UPDATE bagelpay.orders SET status = 'pending' WHERE order_id IN ('a', 'm1');
DELETE FROM bagelpay.events WHERE event_id = 'm4';
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), '', 'what is done to the tables by hand is not in the feed');
SELECT clock_timestamp() AS began \gset
SELECT is(bagelpay.rebuild (), 3::bigint, 'three to be mended');
SELECT clock_timestamp() AS ended \gset
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live a | live m1 | live m4', 'what a rebuild mended or removed is');
SELECT is((SELECT count(*) FROM bagelpay.changes_since (:'before') WHERE changed_at BETWEEN :'began' AND :'ended'), 3::bigint, 'of the time when it did');
SELECT is((SELECT count(*) FROM bagelpay.orders WHERE order_id = 'm4'), 0::bigint, 'one of them is not there any more');
SELECT pg_temp.newest () AS before \gset
UPDATE bagelpay.orders SET status = 'pending' WHERE order_id = 'a' AND mode = 'live';
SELECT bagelpay.rebuild ('a') + bagelpay.rebuild ('b') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live a', 'one mended alone, and for the second time');
SELECT pg_temp.take_of ('m1', 'm1b', 'checkout.failed', '2025-02-01 00:00:00') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live a | live m1', 'one that was mended goes on with its events');
SELECT is((SELECT count(*) FROM bagelpay.changes_since ('') WHERE order_id = 'm1'), 1::bigint, 'and is there once');
SELECT pg_temp.newest () AS before \gset

-- Rekey: orders that lost, gained, came and went.
SELECT pg_temp.take ('r1', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"r1","ref":"s1"},"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('r2', 'checkout.failed', '2025-01-01 00:00:00', '{"metadata":{"ref":"s2"},"customer_id":null}') \g /dev/null
SELECT pg_temp.take ('r3', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"m1","ref":"s1"},"payment_id":"y"}') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live r1 | live m1', 'an unmatched event is of no order');
SELECT pg_temp.newest () AS before \gset
UPDATE bagelpay.settings SET order_key = '{metadata.ref,metadata.order_id}';
SELECT is(bagelpay.rekey (), 4::bigint, 'four changed');
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live m1 | live r1 | live s1 | live s2', 'each of them, with the one that disappeared');
SELECT is((SELECT count(*) FROM bagelpay.orders WHERE order_id = 'r1'), 0::bigint, 'it did');
SELECT is((SELECT string_agg(order_id, ' ' ORDER BY order_id) FROM bagelpay.changes_since ('') WHERE order_id ~ '^[rs]'), 'r1 s1 s2', 'also for whoever begins now');
SELECT pg_temp.newest () AS before \gset

-- Links: an order that lost an event, and one that gained it.
SELECT pg_temp.take ('l1', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":null,"payment_id":"l"}') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live payment:l', 'an order by payment');
SELECT pg_temp.newest () AS before \gset
SELECT pg_temp.take ('l2', 'checkout.failed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"l","ref":"l"},"payment_id":"l"}') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live l | live payment:l', 'goes, and becomes another');
SELECT is((SELECT count(*) FROM bagelpay.orders WHERE order_id = 'payment:l'), 0::bigint, 'it does');
SELECT pg_temp.newest () AS before \gset
SELECT pg_temp.take ('l3', 'refund.created', '2025-01-02 00:00:00', '{"metadata":null,"payment_id":"l"}') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live l', 'an event that is linked as it comes changes one');
SELECT pg_temp.newest () AS before \gset

-- What may concern any entitlement: settings, products, expectations.
SELECT max(cursor::bigint) AS before FROM bagelpay.changes_since ('') \gset
UPDATE bagelpay.settings SET grace = '2 days';
CALL pg_temp.settle ();
SELECT is(pg_temp.whole_feed (:'before'), '*', 'a setting');
SELECT is((SELECT changed_at IS NOT NULL FROM bagelpay.changes_since (:'before')), TRUE, 'with its time');
SELECT coalesce(max(cursor::bigint), :before) AS before FROM bagelpay.changes_since ('') \gset
SELECT is(pg_temp.whole_feed (:'before'), '', 'once');
INSERT INTO bagelpay.products (product_id, period) VALUES ('p1', '2 months');
CALL pg_temp.settle ();
SELECT is(pg_temp.whole_feed (:'before'), '*', 'a product');
SELECT coalesce(max(cursor::bigint), :before) AS before FROM bagelpay.changes_since ('') \gset
INSERT INTO bagelpay.product_features (product_id, feature) VALUES ('p1', 'f1');
CALL pg_temp.settle ();
SELECT is(pg_temp.whole_feed (:'before'), '*', 'a feature of it');
SELECT coalesce(max(cursor::bigint), :before) AS before FROM bagelpay.changes_since ('') \gset
DELETE FROM bagelpay.products;
CALL pg_temp.settle ();
SELECT is(pg_temp.whole_feed (:'before'), '*', 'one that goes');
SELECT coalesce(max(cursor::bigint), :before) AS before FROM bagelpay.changes_since ('') \gset
SELECT bagelpay.expect_order ('x1', NULL, NULL, NULL, NULL) \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.whole_feed (:'before'), '*', 'an expectation');
SELECT coalesce(max(cursor::bigint), :before) AS before FROM bagelpay.changes_since ('') \gset
BEGIN;
UPDATE bagelpay.settings SET grace = '1 day';
SELECT bagelpay.expect_order ('x2', NULL, NULL, NULL, NULL) \g /dev/null
SELECT pg_temp.take_of ('x3', 'x3', 'checkout.completed', '2025-01-01 00:00:00') \g /dev/null
COMMIT;
CALL pg_temp.settle ();
SELECT is((SELECT string_agg(part, ' | ' ORDER BY part) FROM unnest(string_to_array(pg_temp.whole_feed (:'before'), ' | ')) AS part), '* | live x3', 'beside orders, in one transaction');
SELECT pg_temp.newest () AS before \gset

-- Transactions that overlap: another session's began first and ends last.
SELECT dblink_connect('other', format('host=%s port=%s dbname=%s user=%s',
    (string_to_array(current_setting('unix_socket_directories'), ','))[1], current_setting('port'), current_database(), session_user)) \g /dev/null
SELECT dblink_exec('other', 'BEGIN') \g /dev/null
SELECT * FROM dblink('other', $$SELECT bagelpay.grant ('slow', 'g@example.com', 'p1')::text$$) AS t (nothing text) \g /dev/null
SELECT pg_temp.take_of ('quick', 'q1', 'checkout.completed', '2025-01-01 00:00:00') \g /dev/null
SELECT is(pg_temp.feed (:'before'), '', 'what was committed before an older transaction ended is not shown yet');
SELECT is(pg_temp.newest (), :'before', 'so that no cursor gets ahead of that one');
SELECT dblink_exec('other', 'COMMIT') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live slow | live quick', 'then both are, in the order in which they began');
SELECT pg_temp.newest () AS before \gset
SELECT dblink_exec('other', 'BEGIN') \g /dev/null
SELECT * FROM dblink('other', $$SELECT bagelpay.grant ('never', 'g@example.com', 'p1')::text$$) AS t (nothing text) \g /dev/null
SELECT pg_temp.take_of ('quick', 'q2', 'checkout.failed', '2025-01-02 00:00:00') \g /dev/null
SELECT dblink_exec('other', 'ROLLBACK') \g /dev/null
CALL pg_temp.settle ();
SELECT is(pg_temp.feed (:'before'), 'live quick', 'one that was rolled back leaves nothing behind');
-- Listeners are told once a transaction that something changed, and not what.
SELECT dblink_exec('other', 'LISTEN bagelpay_orders') \g /dev/null
CREATE FUNCTION pg_temp.heard ()
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_sleep(0.3);
    SELECT format('%s%s', count(*), string_agg(n.extra, ' ')) FROM dblink_get_notify('other') AS n WHERE n.notify_name = 'bagelpay_orders'
$$;
SELECT pg_temp.take_of ('a', 'h1', 'checkout.failed', '2025-03-01 00:00:00') \g /dev/null
SELECT is(pg_temp.heard (), '1', 'an event');
SELECT pg_temp.take_of ('a', 'h1', 'checkout.failed', '2025-03-01 00:00:00') \g /dev/null
SELECT bagelpay.rebuild () + bagelpay.rekey () \g /dev/null
SELECT is(pg_temp.heard (), '0', 'a duplicate, and mending what is whole');
BEGIN;
SELECT pg_temp.take_of ('a', 'h2', 'checkout.failed', '2025-03-02 00:00:00') \g /dev/null
SELECT pg_temp.take_of ('b', 'h3', 'checkout.failed', '2025-03-02 00:00:00') \g /dev/null
SELECT bagelpay.grant ('a') \g /dev/null
COMMIT;
SELECT is(pg_temp.heard (), '1', 'several of one transaction');
SELECT bagelpay.clear ('a') \g /dev/null
SELECT is(pg_temp.heard (), '1', 'a decision');
UPDATE bagelpay.settings SET grace = '3 days';
SELECT is(pg_temp.heard (), '1', 'a setting');
INSERT INTO bagelpay.products (product_id) VALUES ('p7');
SELECT is(pg_temp.heard (), '1', 'a product');
SELECT bagelpay.expect_order ('x7', NULL, NULL, NULL, NULL) \g /dev/null
SELECT is(pg_temp.heard (), '1', 'an expected order');
UPDATE bagelpay.settings SET notify = FALSE;
SELECT pg_temp.heard () \g /dev/null
SELECT pg_temp.take_of ('a', 'h4', 'checkout.failed', '2025-03-03 00:00:00') \g /dev/null
SELECT bagelpay.grant ('a') \g /dev/null
SELECT is(pg_temp.heard (), '0', 'unless the setting says otherwise');
UPDATE bagelpay.settings SET notify = TRUE;

SELECT dblink_disconnect('other') \g /dev/null

-- Cursors.
SELECT throws_ok(format('SELECT * FROM bagelpay.changes_since (%L)', wrong), '22023', NULL, format('no cursor: %L', wrong))
FROM unnest(ARRAY[NULL, ' ', '-1', '1.0', '99999999999999999', '9999999999999999999']) WITH ORDINALITY AS v (wrong, i) ORDER BY i;
BEGIN READ ONLY;
SELECT * FROM bagelpay.changes_since ('') \g /dev/null
COMMIT;
SELECT pass('it may be asked where nothing may be written');

-- Moved by dump and restore from a server that is ahead: one may stop at any row.
UPDATE bagelpay.events SET stored_xid = pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1000;
SELECT is((SELECT count(*) FROM bagelpay.changes_since ('') AS c CROSS JOIN LATERAL bagelpay.changes_since (c.cursor)) > 0, TRUE, 'and go on from each');

SELECT * FROM finish();
