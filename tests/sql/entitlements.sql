-- Who is entitled: the rules of entitlements_at() one by one, its columns, and settings.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
SET TimeZone = 'Pacific/Apia';

BEGIN;

SELECT plan(96);

\ir builder.psql

-- A story, and the verdict at a moment.
CREATE FUNCTION pg_temp.judged (at text, VARIADIC events text[])
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    complaint text := substring(pg_temp.story (VARIADIC events) FROM ' BUT .*');
BEGIN
    RETURN concat(pg_temp.verdict (at), complaint);
END
$$;

-- One time.
SELECT is(pg_temp.judged ('2025-01-01 23:59:59.999', 'checkout.completed@1d{"payment_id":"x"}'), 'no not_yet', 'not before it was paid');
SELECT is(pg_temp.verdict ('2025-01-02'), 'yes paid', 'from the moment on');
SELECT is(pg_temp.verdict ('2999-12-31'), 'yes paid', 'for ever');
SELECT is(pg_temp.judged ('2025-01-02', 'checkout.completed@0{"payment_id":"x","amount":"2"}', 'refund.created@5d{"payment_id":"x","refund_amount":"1"}'),
    'yes partially_refunded', 'refunded in part: the moment moves the clock, not the knowledge');
SELECT is(pg_temp.judged ('2025-01-02', 'checkout.completed@0{"payment_id":"x"}', 'refund.created@5d{"payment_id":"x"}'), 'no refunded', 'refunded');
SELECT is(pg_temp.judged ('2025-01-02', 'checkout.completed@0{"payment_id":"x"}', 'checkout.cancel@5d{"payment_id":"x"}'), 'no disputed', 'disputed');
UPDATE bagelpay.settings SET revoke_on_dispute = FALSE;
SELECT is(pg_temp.verdict ('2025-01-02'), 'yes disputed', 'disputed, if that does not matter');
SELECT is(pg_temp.judged (
        '2025-01-02', 'checkout.completed@0{"payment_id":"w"}', 'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","amount":"2"}',
        'refund.created@3{"payment_id":"y","refund_amount":"1"}', 'checkout.cancel@1d{"payment_id":"x"}', 'refund.created@2d{"payment_id":"w","refund_label":"partial"}'),
    'yes partially_refunded', 'of several the best');
SELECT pg_temp.take ('more', 'checkout.completed', '2025-01-03 00:00:00', '{"payment_id":"z"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-01-02') || ', ' || pg_temp.verdict ('2025-01-03'), 'yes partially_refunded, yes paid', 'of those that hold the moment');
UPDATE bagelpay.settings SET revoke_on_dispute = TRUE;
SELECT is(pg_temp.judged ('2025-01-02', 'checkout.completed@0{"payment_id":"x"}', 'checkout.completed@1{"payment_id":"y"}', 'refund.created@2{"payment_id":"y"}'),
    'yes paid', 'one of two refunded');
SELECT pg_temp.take ('more', 'checkout.cancel', '2025-01-03 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-01-02'), 'no refunded', 'if none counts, the status of the latest paid');

-- Subscriptions, from the first day to the last.
\set paid 'subscription.paid@0{"payment_id":"x","billing_period_end":"2025-02-01 00:00:00+00"}'
\set again 'subscription.paid@40d{"payment_id":"y","billing_period_end":"2025-03-10 00:00:00+00"}'
SELECT is(pg_temp.judged (at, :'paid', :'again'), told, at)
FROM (VALUES ('2024-12-31 23:59:59', 'no not_yet 2025-02-02 00:00:00'), ('2025-01-01', 'yes active 2025-02-02 00:00:00'), ('2025-02-01 23:59:59', 'yes active 2025-02-02 00:00:00'),
    ('2025-02-02', 'no expired 2025-02-02 00:00:00'), ('2025-02-09', 'no expired 2025-02-02 00:00:00'), ('2025-02-10', 'yes active 2025-03-11 00:00:00'),
    ('2025-03-11', 'no expired 2025-03-11 00:00:00')) AS v (at, told);
SELECT is(pg_temp.told ('SELECT kind, status, entitled, reason, pg_temp.utc (valid_from), pg_temp.utc (valid_until) FROM bagelpay.entitlements_at (''2025-02-20Z'')'),
    'subscription active true active 2025-01-01 2025-03-11', 'valid_from is where the first range begins');
SELECT is(pg_temp.judged ('2025-01-20', :'paid', 'checkout.failed@18d{"payment_id":"y"}'), 'yes past_due 2025-02-02 00:00:00', 'past due within what was paid for');
SELECT is(pg_temp.verdict ('2025-02-02'), 'no expired 2025-02-02 00:00:00', 'and beyond');
SELECT is(pg_temp.judged ('2025-01-05', :'paid', 'subscription.canceled@9d'), 'yes canceling 2025-01-10 00:00:00', 'cancelled, until then');
SELECT is(pg_temp.verdict ('2025-01-10'), 'no canceled 2025-01-10 00:00:00', 'and no longer');
UPDATE bagelpay.settings SET on_cancel = 'keep_paid_time';
SELECT is(pg_temp.verdict ('2025-01-10') || ', ' || pg_temp.verdict ('2025-02-01'),
    'yes canceling 2025-02-01 00:00:00, no canceled 2025-02-01 00:00:00', 'or to the end of what was paid for');
UPDATE bagelpay.settings SET on_cancel = DEFAULT;
SELECT is(pg_temp.judged ('2025-02-05', :'paid', :'again', 'subscription.canceled@50d'), 'no canceled 2025-02-02 00:00:00', 'cancelled, in an earlier gap');
SELECT is(pg_temp.verdict ('2025-01-10') || ', ' || pg_temp.verdict ('2025-02-15'),
    'yes active 2025-02-02 00:00:00, yes canceling 2025-02-20 00:00:00', 'what was not cut is not canceling');
SELECT is(pg_temp.judged ('2024-12-01', :'paid', 'subscription.canceled@9d'), 'no not_yet 2025-01-10 00:00:00', 'before all of it');
SELECT is(pg_temp.judged ('2025-02-15', :'paid', 'subscription.canceled@40d'), 'no canceled 2025-02-02 00:00:00', 'cancelled after its end');
SELECT is(pg_temp.verdict ('2025-01-15'), 'yes active 2025-02-02 00:00:00', 'which changes nothing before');
SELECT is(pg_temp.judged (
        '2025-01-10', 'subscription.paid@0{"payment_id":"x","subscription_id":"s1"}', 'subscription.paid@1{"payment_id":"y","subscription_id":"s2"}',
        'subscription.canceled@2d{"subscription_id":"s1","cancel_at_period_end":true}'),
    'yes active 2025-02-02 00:00:01', 'canceling only if every window is cut');
SELECT pg_temp.take ('more', 'subscription.canceled', '2025-01-04 00:00:00', '{"subscription_id":"s2","cancel_at_period_end":true}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-01-10'), 'yes canceling 2025-02-01 00:00:01', 'as it is now');
SELECT is(pg_temp.judged ('2025-01-20', :'paid', 'refund.created@5d{"payment_id":"x"}'), 'no refunded', 'refunded');
SELECT is(pg_temp.judged ('2025-01-20', :'paid', :'again', 'refund.created@50d{"payment_id":"x"}'),
    'no not_yet 2025-03-11 00:00:00', 'the first refunded, before the second');
SELECT is(pg_temp.judged ('2025-02-20', :'paid', :'again', 'refund.created@50d{"payment_id":"y"}'), 'no expired 2025-02-02 00:00:00', 'the second refunded');
SELECT is(pg_temp.judged ('2025-01-20', 'subscription.paid@0.5{"payment_id":"x"}', 'subscription.canceled@0.6'), 'no canceled 2025-01-01 00:00:00', 'cancelled at once');
SELECT is(pg_temp.judged ('2025-01-20', 'subscription.paid@0.6{"payment_id":"x"}', 'subscription.canceled@0.5'), 'no canceled', 'even before');

-- Trials.
\set trial 'subscription.trialing@0{"trial_end":"2025-01-08 00:00:00+00"}'
SELECT is(pg_temp.judged ('2025-01-08 23:59:59', :'trial'), 'yes trialing 2025-01-09 00:00:00', 'on trial, and a day of grace');
SELECT is(pg_temp.verdict ('2025-01-09'), 'no expired 2025-01-09 00:00:00', 'it ends without an event');
SELECT is(pg_temp.judged ('2025-01-08', :'trial', 'checkout.failed@7d{"payment_id":"x"}'), 'yes trialing 2025-01-09 00:00:00', 'also if it was not paid for');
SELECT is(pg_temp.told ('SELECT kind, status FROM bagelpay.entitlements'), 'subscription past_due', 'as the status says');
SELECT is(pg_temp.judged ('2025-01-05', :'trial', 'subscription.canceled@2d{"cancel_at_period_end":true}'), 'yes canceling 2025-01-08 00:00:00', 'a cancelled trial');
SELECT is(pg_temp.verdict ('2025-01-08'), 'no canceled 2025-01-08 00:00:00', 'to its end');
SELECT is(pg_temp.judged ('2025-01-08 12:00:00', :'trial', 'subscription.paid@7d{"payment_id":"x","recurring_interval":"1 mon"}'),
    'yes active 2025-02-09 00:00:00', 'not only a trial');
SELECT is(pg_temp.verdict ('2025-01-07'), 'yes trialing 2025-02-09 00:00:00', 'at the moment that is asked about');
SELECT is(pg_temp.judged ('2025-01-20', :'trial', 'subscription.paid@7d{"payment_id":"x"}', 'refund.created@8d{"payment_id":"x"}'),
    'no expired 2025-01-09 00:00:00', 'what was refunded after a trial leaves the trial');
SELECT is(pg_temp.judged (
        '2025-01-05', 'checkout.completed@0{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@0{"payment_id":"x","trial_end":"2025-01-08 00:00:00+00"}'),
    'yes trialing 2025-01-09 00:00:00', 'one that was bought');
SELECT pg_temp.take ('more', 'refund.created', '2025-01-03 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.verdict ('2025-01-05'), 'no refunded', 'and refunded');

-- Once and as a subscription.
SELECT is(pg_temp.judged ('2025-01-20', :'paid', 'checkout.completed@10d{"payment_id":"y","billing_type":"single_payment"}', 'subscription.canceled@12d'),
    'yes paid', 'bought once, it is had for ever');
SELECT is(pg_temp.told ('SELECT kind, status FROM bagelpay.entitlements'), 'subscription canceled', 'though it was a subscription');
SELECT is(pg_temp.verdict ('2025-01-05'), 'yes canceling', 'and had been before');

-- Items, and orders without any.
SELECT is(pg_temp.judged ('2025-01-20', 'checkout.failed@0{"payment_id":"x"}'), 'no failed', 'an order that only failed');
SELECT is(pg_temp.told (
        'SELECT mode, order_id, product_id, product_name, customer_id, customer_email, user_id, kind, status, entitled, reason, valid_from, valid_until, units, periods FROM bagelpay.entitlements'),
    'live o1 - - - - - - failed false failed - - 1 {}', 'is a row without an item');
SELECT is(pg_temp.judged ('2025-01-20', event), told, 'likewise after ' || event)
FROM (VALUES ('checkout.cancel@0', 'no canceled'), ('refund.created@0', 'no pending'), ('subscription.canceled@0', 'no pending')) AS v (event, told);
SELECT is(pg_temp.judged (
        '2025-01-20', 'checkout.completed@0{"payment_id":"x"}', 'subscription.paid@1{"payment_id":"y","product_id":"p2"}',
        'checkout.completed@2{"payment_id":"z","product_id":"p3"}', 'refund.created@3{"payment_id":"z"}', 'checkout.failed@3{"product_id":"p4"}'),
    'yes paid | yes active 2025-02-02 00:00:01 | no refunded', 'each item for itself');
SELECT is(pg_temp.told ('SELECT product_id, kind, status FROM bagelpay.entitlements ORDER BY product_id'),
    'p1 one_time paid | p2 subscription active | p3 one_time refunded', 'with a status of its own');
UPDATE bagelpay.settings SET user_key = '{request_id}';
SELECT is(pg_temp.judged (
        '2025-01-20', 'checkout.completed@0{"payment_id":"x","product_name":"A","units":3,"request_id":"u1"}',
        'checkout.completed@1{"payment_id":"y","product_id":null,"customer_id":null,"customer_email":null,"request_id":"u2"}', 'subscription.trialing@2{"mode":"test"}'),
    'yes paid | yes paid', 'two of one product and customer');
SELECT is(pg_temp.told (
        'SELECT mode, order_id, product_id, product_name, customer_id, customer_email, user_id, kind, status, entitled, reason, pg_temp.utc (valid_from), valid_until, units FROM bagelpay.entitlements ORDER BY user_id'),
    'live o1 p1 A c1 c1@example.com u1 one_time paid true paid 2025-01-01 - 3 | live o1 p1 - c1 - u2 one_time paid true paid 2025-01-01 00:00:01 - 1', 'every column');
SELECT is(pg_temp.told ('SELECT mode, kind, status, reason FROM bagelpay.entitlements_test'),
    'test subscription trialing expired', 'test purchases are in a view of their own');
SELECT is(pg_temp.told ('SELECT mode, reason FROM bagelpay.entitlements_at (''2025-01-02Z'', ''test'')'), 'test trialing', 'and asked for by mode');
SELECT is(pg_temp.judged ('2025-01-20', 'checkout.completed@0{"payment_id":"x","product_id":null,"customer_id":null,"customer_email":null}'),
    'yes paid', 'of an unknown product and customer');
SELECT is(pg_temp.told ('SELECT product_id, customer_id, user_id FROM bagelpay.entitlements'), '- - -', 'which are NULL');

-- Units: of the window that started last among those that hold the moment.
SELECT is(pg_temp.judged (
        '2025-01-20', 'subscription.paid@0{"payment_id":"x","units":2,"recurring_interval":"1 mon"}',
        'subscription.paid@9d{"payment_id":"y","units":5,"recurring_interval":"7 days"}', 'subscription.paid@14d{"payment_id":"z","recurring_interval":"2 days"}'),
    'yes active 2025-02-02 00:00:00', 'three sizes');
SELECT is(pg_temp.told (format('SELECT units FROM bagelpay.entitlements_at (%L)', at)), units, 'units on ' || at)
FROM (VALUES ('2024-12-01Z', '1'), ('2025-01-05Z', '2'), ('2025-01-12Z', '5'), ('2025-01-16Z', '1'), ('2025-01-18Z', '2'), ('2025-03-01Z', '1')) AS v (at, units);
SELECT is(pg_temp.judged (
        '2025-01-02', 'checkout.completed@0{"event_id":"b","payment_id":"x","units":2}', 'checkout.completed@0{"event_id":"a","payment_id":"y","units":3}') || ' ' || pg_temp.told ('SELECT units FROM bagelpay.entitlements'),
    'yes paid 2', 'of two that started together, the later event''s');

-- What settings cannot be.
SELECT throws_ok(format('UPDATE bagelpay.settings SET %s', wrong), state, NULL, wrong)
FROM (VALUES ('provider_timezone = ''Mars/Olympus''', '22023'), ('provider_timezone = ''CET''', '22023'), ('order_key = ''{object.id}''', '23514'), ('order_key = ''{}''', '23514'), ('user_key = ''{id}''', '23514'), ('user_key = ''{NULL}''', '23514'),
    ('grace = ''-1 s''', '23514'), ('default_period = ''0''', '23514'), ('unknown_refund = ''none''', '23514'), ('on_cancel = ''now''', '23514')) AS v (wrong, state);
SELECT throws_ok(format('UPDATE bagelpay.settings SET %I = NULL', c.column_name), '23502', NULL, c.column_name || ' is not NULL')
FROM information_schema.columns AS c
WHERE c.table_schema = 'bagelpay' AND c.table_name = 'settings' AND c.column_name NOT IN ('singleton', 'provider_timezone')
ORDER BY c.ordinal_position;
SELECT throws_ok('UPDATE bagelpay.settings SET provider_timezone = NULL', NULL, NULL, 'nor provider_timezone');
SELECT throws_ok('DELETE FROM bagelpay.settings', '23001', NULL, 'the row stays');
SELECT throws_ok('TRUNCATE bagelpay.settings', '23001', NULL, 'in whatever way');
SELECT throws_ok('INSERT INTO bagelpay.settings DEFAULT VALUES', '23505', NULL, 'and is one');
SELECT is(pg_temp.told (
        'SELECT order_key, provider_timezone, grace, default_period, revoke_on_dispute, unknown_refund, on_cancel, require_expected_order, notify FROM bagelpay.settings'),
    '["metadata.order_id","metadata.orderId"] UTC 1 day 31 days true full end_now false true', 'the defaults');
SELECT throws_ok($$INSERT INTO bagelpay.products (product_id, period) VALUES ('p', '0')$$, '23514', NULL, 'a product''s period is above zero');

SELECT * FROM finish();

ROLLBACK;
