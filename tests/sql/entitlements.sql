-- Who is entitled, rule by rule, and the calendar.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
-- The session's zone must not matter: this one has a day that never was.
SET TimeZone = 'Pacific/Apia';

BEGIN;

SELECT plan(74);

\ir builder.psql

-- One time.
SELECT pg_temp.take ('a1', 'checkout.completed', '2025-01-31 00:00:00', '{"payment_id":"x","amount":"10"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-01-30 23:59:59'), 'no not_yet', 'not before it was paid');
SELECT is(pg_temp.verdict ('2025-01-31 00:00:00'), 'yes paid', 'from the moment on');
SELECT is(pg_temp.verdict ('2999-12-31 00:00:00'), 'yes paid', 'for ever');
SELECT pg_temp.take ('a2', 'refund.created', '2025-02-01 00:00:00', '{"payment_id":"x","refund_amount":"1"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-02-02 00:00:00'), 'yes partially_refunded', 'partially refunded');
SELECT pg_temp.take ('a3', 'checkout.cancel', '2025-02-02 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-02-02 00:00:00'), 'no disputed', 'disputed');
UPDATE bagelpay.settings SET revoke_on_dispute = FALSE;
SELECT is(pg_temp.verdict ('2025-02-02 00:00:00'), 'yes disputed', 'disputed, where that does not matter');
UPDATE bagelpay.settings SET revoke_on_dispute = TRUE;
SELECT pg_temp.take ('a4', 'checkout.completed', '2025-02-03 00:00:00', '{"payment_id":"y"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-02-04 00:00:00'), 'yes paid', 'bought again');
SELECT pg_temp.take ('a5', 'refund.created', '2025-02-04 00:00:00', '{"payment_id":"y","refund_label":"full"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-02-04 00:00:00'), 'no refunded', 'and refunded');

-- Operators.
SELECT bagelpay.grant ('o1', 'G@Example.com', 'p9', '2030-01-01 00:00:00+00', 'a gift') \g /dev/null
SELECT is(pg_temp.verdict ('2029-12-31 23:59:59'), 'yes granted 2030-01-01 00:00:00', 'granted until');
SELECT is(pg_temp.verdict ('2030-01-01 00:00:00'), 'no refunded', 'and no longer');
SELECT is((SELECT customer_email || ' ' || product_id FROM bagelpay.orders), 'c1@example.com p1', 'a grant does not overrule what events say');
SELECT bagelpay.revoke ('o1', 'enough') \g /dev/null
SELECT is(pg_temp.verdict ('2029-01-01 00:00:00'), 'no revoked', 'revoked');
SELECT bagelpay.clear ('o1') \g /dev/null
SELECT is(pg_temp.verdict ('2029-01-01 00:00:00'), 'no refunded', 'cleared');
SELECT bagelpay.grant ('gift', 'G@Example.com ', 'p9') \g /dev/null
SELECT is(pg_temp.verdict ('2999-01-01 00:00:00', 'gift'), 'yes granted', 'a mere grant, without end');
SELECT ok(bagelpay.is_entitled ('g@EXAMPLE.com', 'p9'), 'by its e-mail in any case');
SELECT is((SELECT valid_from BETWEEN now() AND clock_timestamp() FROM bagelpay.entitlements WHERE order_id = 'gift'), TRUE, 'from the moment of the grant');
SELECT is((SELECT key_source || ' ' || status FROM bagelpay.orders WHERE order_id = 'gift'), 'metadata pending', 'an order like others');
SELECT bagelpay.grant ('endless', until => 'infinity') \g /dev/null
SELECT is(granted_until, NULL, 'infinity is no end') FROM bagelpay.orders WHERE order_id = 'endless';
SELECT throws_ok(format('SELECT bagelpay.grant (''o1'', until => %L)', until), '22023', NULL, 'not until ' || until)
FROM unnest('{-infinity,1999-12-31 23:59:59+00,10000-01-01 00:00:00+00}'::text[]) AS until;
SELECT throws_ok($$SELECT bagelpay.grant (' ')$$, '22023', 'order_id: missing', 'not without an order');
SELECT throws_ok($$SELECT bagelpay.revoke ('o1', mode => 'Live')$$, '22023', 'mode: must be ''test'' or ''live'', not ''Live''', 'nor in another mode');
SELECT throws_ok(format('SELECT bagelpay.clear (%L)', repeat('x', 256)), '22023', 'order_id: longer than 255 bytes', 'nor for an order that cannot be');
SELECT is(bagelpay.rebuild (), 0::bigint, 'decisions survive a rebuild');

-- Conflicts.
SELECT pg_temp.take ('b1', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"o2"},"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('b2', 'checkout.completed', '2025-01-02 00:00:00', '{"metadata":{"order_id":"o2"},"payment_id":"y","customer_id":"c2"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-02-01 00:00:00', 'o2'), 'no ambiguous', 'two customers under one key');
SELECT bagelpay.grant ('o2') \g /dev/null
SELECT is(pg_temp.verdict ('2025-02-01 00:00:00', 'o2'), 'yes granted', 'until somebody decides');

-- Subscriptions: trial, paid time, grace; a month from 31 January is 28 February.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('c1', 'subscription.trialing', '2025-01-24 00:00:00', '{"trial_end":"2025-01-31 00:00:00+00"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-01-31 23:59:59'), 'yes trialing 2025-02-01 00:00:00', 'on trial, and a day of grace');
SELECT is(pg_temp.verdict ('2025-02-01 00:00:00'), 'no expired 2025-02-01 00:00:00', 'a trial ends without an event');
SELECT pg_temp.take ('c2', 'checkout.failed', '2025-01-31 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-01-31 23:59:59'), 'yes past_due 2025-02-01 00:00:00', 'past due within the grace of the trial');
SELECT is(pg_temp.verdict ('2025-02-01 00:00:00'), 'no expired 2025-02-01 00:00:00', 'and beyond');
SELECT pg_temp.take ('c3', 'subscription.paid', '2025-01-31 12:00:00', '{"payment_id":"x","recurring_interval":"monthly"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-02-01 00:00:00'), 'yes active 2025-03-01 12:00:00', 'paid for a month, to 28 February, and a day');
SELECT pg_temp.take ('c4', 'subscription.paid', '2025-02-28 12:00:00', '{"payment_id":"y","billing_period_end":"2025-03-31 12:00:00+00"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-03-01 00:00:00'), 'yes active 2025-04-01 12:00:00', 'or as long as the period says');
SELECT pg_temp.take ('c5', 'checkout.failed', '2025-03-31 12:00:00', '{"payment_id":"z"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-04-01 11:59:59'), 'yes past_due 2025-04-01 12:00:00', 'past due within the grace');
SELECT is(pg_temp.verdict ('2025-04-01 12:00:00'), 'no expired 2025-04-01 12:00:00', 'and beyond it');
UPDATE bagelpay.settings SET grace = '3 days';
SELECT is(pg_temp.verdict ('2025-04-01 12:00:00'), 'yes past_due 2025-04-03 12:00:00', 'a longer grace holds at once');
UPDATE bagelpay.settings SET grace = '1 day';
SELECT pg_temp.take ('c6', 'refund.created', '2025-03-01 00:00:00', '{"payment_id":"y","refund_label":"full"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-03-01 11:59:59'), 'yes past_due 2025-03-01 12:00:00', 'a refund takes what that payment bought');
SELECT pg_temp.take ('c7', 'refund.created', '2025-03-02 00:00:00', '{"payment_id":"x","refund_label":"full"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-02-02 00:00:00'), 'no refunded', 'the refund of the last one, all');
-- Cancelled: now, at the end of the period, or as the setting says.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('d1', 'subscription.paid', '2025-01-31 00:00:00', '{"payment_id":"x","billing_period_end":"2025-02-28 00:00:00+00"}') \g /dev/null
SELECT pg_temp.take ('d2', 'subscription.canceled', '2025-02-10 00:00:00', '{"cancel_at_period_end":false}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-02-09 23:59:59'), 'yes canceling 2025-02-10 00:00:00', 'cancelled, until then');
SELECT is(pg_temp.verdict ('2025-02-10 00:00:00'), 'no canceled 2025-02-10 00:00:00', 'and no longer');
UPDATE bagelpay.settings SET on_cancel = 'keep_paid_time';
SELECT is(pg_temp.verdict ('2025-02-10 00:00:00'), 'yes canceling 2025-02-28 00:00:00', 'keeping what was paid for, without grace');
SELECT is(pg_temp.verdict ('2025-02-28 00:00:00'), 'no canceled 2025-02-28 00:00:00', 'to its end');
UPDATE bagelpay.settings SET on_cancel = 'end_now';
SELECT pg_temp.take ('d3', 'subscription.canceled', '2025-02-11 00:00:00', '{"cancel_at_period_end":true}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-02-12 00:00:00'), 'yes canceling 2025-02-28 00:00:00', 'at the period''s end, by the event');
SELECT pg_temp.take ('d4', 'subscription.trialing', '2025-01-30 00:00:00', '{"metadata":{"order_id":"o3"},"trial_end":"2025-02-05 00:00:00+00"}') \g /dev/null
SELECT pg_temp.take ('d5', 'subscription.canceled', '2025-01-31 00:00:00', '{"metadata":{"order_id":"o3"},"cancel_at_period_end":true}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-02-04 00:00:00', 'o3'), 'yes canceling 2025-02-05 00:00:00', 'a cancelled trial runs to its end');

-- Lengths of time.
SELECT is(bagelpay.utc_plus ('2025-01-31 10:00:00+00', bagelpay.interval_length (word)), ends::timestamptz, word)
FROM (VALUES ('daily', '2025-02-01 10:00:00+00'), ('weekly', '2025-02-07 10:00:00+00'), ('monthly', '2025-02-28 10:00:00+00'),
    ('3months', '2025-04-30 10:00:00+00'), ('6months', '2025-07-31 10:00:00+00'), ('yearly', '2026-01-31 10:00:00+00')) AS v (word, ends);
SELECT is(bagelpay.interval_length ('fortnightly'), NULL, 'a word that is not known has no length');
SELECT is(bagelpay.utc_plus ('2011-12-29 10:00:00+00', '1 day'), '2011-12-30 10:00:00+00', 'a day is a day, also across one that the session''s zone left out');
SELECT is(bagelpay.utc_plus ('2024-02-29 00:00:00+00', '1 year'), '2025-02-28 00:00:00+00', 'a year from a leap day');
SELECT is(bagelpay.utc_plus ('2999-12-31 23:59:59+00', '100 years'), '3099-12-31 23:59:59+00', 'the longest from the last moment');

-- Expected orders.
SELECT pg_temp.forget () \g /dev/null
SELECT bagelpay.expect_order ('o1', ' C1@Example.com', 'p1', 10.00, 'usd') \g /dev/null
SELECT pg_temp.take ('e1', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"x","amount":"10","currency":"USD"}') \g /dev/null
SELECT pg_temp.take ('e2', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"o2"},"payment_id":"x","amount":"1"}') \g /dev/null
SELECT bagelpay.expect_order ('o3', 'other@example.com', 'p2', 11, 'EUR') \g /dev/null
SELECT pg_temp.take ('e3', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"o3"},"payment_id":"x","amount":"10","currency":"USD"}') \g /dev/null
SELECT bagelpay.expect_order ('o4', NULL, NULL, NULL, NULL, 'test') \g /dev/null
SELECT pg_temp.take ('e4', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":{"order_id":"o4"},"payment_id":"x"}') \g /dev/null
SELECT is((SELECT string_agg(format('%s %s %s %s', order_id, expected, matches, mismatches), ' | ' ORDER BY order_id) FROM bagelpay.order_checks),
    'o1 t t {} | o2 f f {unexpected} | o3 t f {customer,product,amount,currency} | o4 f f {mode}', 'what was expected');
SELECT is((SELECT string_agg(entitled::text, ' ' ORDER BY order_id) FROM bagelpay.entitlements), 'true true true true', 'does not matter');
UPDATE bagelpay.settings SET require_expected_order = TRUE;
SELECT is((SELECT string_agg(reason, ' ' ORDER BY order_id) FROM bagelpay.entitlements), 'paid unconfirmed unconfirmed unconfirmed', 'unless it is required');
UPDATE bagelpay.settings SET require_expected_order = FALSE;

-- Cursors and transactions that cannot be right.
SELECT throws_ok($$SELECT * FROM bagelpay.changes_since ('99999999999')$$, '22023', 'cursor: not of this server, begin again with the empty text', 'a cursor of another server');
SELECT throws_ok($$SELECT * FROM bagelpay.changes_since ('x')$$, '22023', NULL, 'no cursor');

-- Settings say what is wrong with them.
SELECT throws_ok($$UPDATE bagelpay.settings SET provider_timezone = 'Mars/Olympus'$$, '22023', NULL, 'no such zone');
SELECT throws_ok($$UPDATE bagelpay.settings SET order_key = '{object.id}'$$, '23514', NULL, 'no such path');
SELECT throws_ok($$UPDATE bagelpay.settings SET grace = NULL$$, '23502', NULL, 'no setting is NULL');
SELECT throws_ok($$DELETE FROM bagelpay.settings$$, '23001', NULL, 'the row stays');

-- Look-ups read no table whole, and fast.
INSERT INTO bagelpay.orders (mode, order_id, key_source, status, customer_id, customer_email, product_id, last_event_id, last_event_at, updated_at)
SELECT 'live', 'n' || i, 'metadata', 'paid', 'n' || i, 'n' || i || '@example.com', 'p' || i % 7, 'n' || i, now(), now()
FROM generate_series(1, 50000) AS i;
INSERT INTO bagelpay.stored_payments (mode, order_id, payment_id, status, paid_at)
SELECT 'live', 'n' || i, 'x', 'paid', now() FROM generate_series(1, 50000) AS i;
INSERT INTO bagelpay.subscriptions (mode, order_id, status)
SELECT 'live', 'n' || i, 'active' FROM generate_series(1, 50000, 3) AS i;
ANALYZE bagelpay.orders, bagelpay.stored_payments, bagelpay.subscriptions;
-- The plans of the two look-ups, with the settings that the function has.
PREPARE by_id (text, text, text, timestamptz) AS
SELECT EXISTS (
    SELECT
    FROM bagelpay.entitlements_at ($4, $3) AS e
    WHERE e.customer_id = $1 COLLATE "C" AND e.product_id = $2 COLLATE "C" AND e.entitled);
PREPARE by_email (text, text, text, timestamptz) AS
SELECT EXISTS (
    SELECT
    FROM bagelpay.entitlements_at ($4, $3) AS e
    WHERE e.customer_email = lower($1 COLLATE "C") AND e.product_id = $2 COLLATE "C" AND e.entitled);
-- The scans of a query's plan, each with what it looks up in its index; functions that the
-- planner does not put in their place (the check of expected orders) are not among them.
CREATE FUNCTION pg_temp.scans_of (query text)
    RETURNS SETOF text
    LANGUAGE plpgsql
    AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line ~ '^[ >-]*(Parallel )?(Seq|Index|Index Only|Bitmap Heap|Bitmap Index) Scan ' OR line ~ '^ *Index Cond:' THEN
            RETURN NEXT ltrim(line, ' >-');
        END IF;
    END LOOP;
END
$$;
SELECT set_config(split_part(setting, '=', 1), split_part(setting, '=', 2), TRUE)
FROM pg_proc, unnest(proconfig) AS setting
WHERE oid = 'bagelpay.is_entitled'::regproc \g /dev/null
SELECT ok((SELECT prosrc LIKE '%WHERE e.customer_id = customer COLLATE "C" AND e.product_id = product COLLATE "C" AND e.entitled%'
    AND prosrc LIKE '%WHERE e.customer_email = lower(customer COLLATE "C") AND e.product_id = product COLLATE "C" AND e.entitled%'
    FROM pg_proc WHERE oid = 'bagelpay.is_entitled'::regproc), 'these are the function''s queries');
SELECT set_eq($$SELECT scan FROM pg_temp.scans_of ('EXECUTE by_id (''n7'', ''p0'', ''live'', now())') AS scan WHERE scan LIKE '%Scan %'$$,
    ARRAY['Index Scan using orders_by_customer on orders o', 'Index Scan using subscriptions_pkey on subscriptions n',
        'Index Scan using stored_payments_pkey on stored_payments p', 'Seq Scan on settings setting'], 'by id: index scans but for the one row of settings');
SELECT set_eq($$SELECT scan FROM pg_temp.scans_of ('EXECUTE by_email (''n7@example.com'', ''p0'', ''live'', now())') AS scan WHERE scan LIKE '%Scan %'$$,
    ARRAY['Index Scan using orders_by_email on orders o', 'Index Scan using subscriptions_pkey on subscriptions n',
        'Index Scan using stored_payments_pkey on stored_payments p', 'Seq Scan on settings setting'], 'by e-mail, too');
SELECT is_empty($$SELECT cond FROM unnest('{by_id,by_email}'::text[]) AS name, pg_temp.scans_of (format('EXECUTE %s (''n7'', ''p0'', ''live'', now())', name)) AS cond
    WHERE cond LIKE 'Index Cond:%' AND cond !~ 'customer_id = .* AND .*product_id = |customer_email = .* AND .*product_id = |order_id = o.order_id'$$,
    'each goes straight to its rows');
RESET enable_seqscan;
RESET jit;
RESET plan_cache_mode;
SELECT is_empty($$SELECT scan FROM unnest('{by_id,by_email}'::text[]) AS name, pg_temp.scans_of (format('EXECUTE %s (''n7'', ''p0'', ''live'', now())', name)) AS scan
    WHERE scan LIKE 'Seq Scan %' AND scan <> 'Seq Scan on settings setting'$$, 'none is there for the settings'' sake alone');
SELECT is_empty($$SELECT scan FROM unnest('{customer_id = ''n7'',customer_email = ''n9@example.com'',order_id = ''n9''}'::text[]) AS condition,
        pg_temp.scans_of ('SELECT * FROM bagelpay.entitlements WHERE ' || condition) AS scan
    WHERE scan LIKE 'Seq Scan %' AND scan <> 'Seq Scan on settings setting'$$, 'nor where the view is asked');
CREATE TEMPORARY TABLE scans AS
SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE schemaname = 'bagelpay';
SELECT is((SELECT count(*) FROM generate_series(1, 700) AS i
    WHERE bagelpay.is_entitled (CASE i % 2 WHEN 0 THEN 'n' || i ELSE 'N' || i || '@Example.com' END, 'p' || i % 7)), 700::bigint, 'each of 700 is entitled');
SELECT is_empty($$SELECT n.relname FROM pg_stat_xact_user_tables AS n JOIN scans USING (relname)
    WHERE n.schemaname = 'bagelpay' AND n.seq_scan > scans.seq_scan AND n.relname <> 'settings'$$, 'found by index scans alone');
CREATE FUNCTION pg_temp.average_ms ()
    RETURNS numeric
    LANGUAGE plpgsql
    AS $$
DECLARE
    began timestamptz := clock_timestamp();
BEGIN
    -- Each in a statement of its own, as applications ask.
    FOR i IN 1 .. 1000 LOOP
        EXECUTE format('SELECT bagelpay.is_entitled (%L, %L)', 'n' || i || '@example.com', 'p' || i % 7);
    END LOOP;
    RETURN extract(epoch FROM clock_timestamp() - began);
END
$$;
SELECT is((SELECT count(*) FROM bagelpay.entitlements WHERE customer_id = 'n7' OR customer_email = 'n9@example.com'), 2::bigint, 'the view is asked');
SELECT is_empty($$SELECT n.relname FROM pg_stat_xact_user_tables AS n JOIN scans USING (relname)
    WHERE n.schemaname = 'bagelpay' AND n.seq_scan > scans.seq_scan AND n.relname <> 'settings'$$, 'by index scans, too');
SELECT cmp_ok(pg_temp.average_ms (), '<', 1.0, 'in less than a millisecond each');

SELECT * FROM finish();

ROLLBACK;
