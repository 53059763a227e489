-- Windows of time: what each purchase opens, what prolongs and what cuts it, their union, and calendar arithmetic.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
-- The session's zone must not matter: this one has a day that never was.
SET TimeZone = 'Pacific/Apia';

BEGIN;

SELECT plan(95);

\ir builder.psql

-- The periods of each item of the order o1, as begin..end.
CREATE FUNCTION pg_temp.periods ()
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT string_agg(
        coalesce((SELECT string_agg(pg_temp.utc (lower(r)) || '..' || coalesce(pg_temp.utc (upper(r)), ''), ', ' ORDER BY r) FROM unnest(e.periods) AS r), 'none'),
        ' | ' ORDER BY e.product_id, e.customer_id)
    FROM bagelpay.entitlements AS e
    WHERE e.order_id = 'o1'
$$;

-- A story, and the periods that it comes to.
CREATE FUNCTION pg_temp.windows (VARIADIC events text[])
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    complaint text := substring(pg_temp.story (VARIADIC events) FROM ' BUT .*');
BEGIN
    RETURN concat(pg_temp.periods (), complaint);
END
$$;

-- One-time payments.
SELECT is(pg_temp.windows ('checkout.completed@0{"payment_id":"x"}'), '2025-01-01..', 'one time is for ever');
SELECT is(pg_temp.windows ('checkout.completed@0{"payment_id":"x","billing_period_end":"2025-02-01 00:00:00+00","recurring_interval":"1 mon"}'),
    '2025-01-01..', 'whatever period it names');
SELECT is(pg_temp.windows ('checkout.completed@0{"payment_id":"x"}', 'checkout.completed@1d{"payment_id":"x"}'), '2025-01-01..', 'from the first of its events');
SELECT is(pg_temp.windows ('checkout.completed@0{"payment_id":"x"}', 'subscription.canceled@1d'), '2025-01-01..', 'and not cut by a cancellation');
SELECT is(pg_temp.windows ('checkout.completed@0{"payment_id":"x","amount":"2"}', 'refund.created@1d{"payment_id":"x","refund_amount":"1"}'),
    '2025-01-01..', 'refunded in part it counts');
SELECT is(pg_temp.windows ('checkout.completed@0{"payment_id":"x"}', 'refund.created@1d{"payment_id":"x"}'), 'none', 'refunded in full it does not');
SELECT is(pg_temp.windows ('checkout.completed@0{"payment_id":"x"}', 'checkout.completed@2d{"payment_id":"y"}', 'refund.created@3d{"payment_id":"x"}'),
    '2025-01-03..', 'the other one does');
SELECT is(pg_temp.windows ('checkout.completed@0{"payment_id":"x"}', 'checkout.cancel@1d{"payment_id":"x"}'), 'none', 'disputed it does not');
UPDATE bagelpay.settings SET revoke_on_dispute = FALSE;
SELECT is(pg_temp.periods (), '2025-01-01..', 'unless the setting says that it does');
UPDATE bagelpay.settings SET revoke_on_dispute = TRUE;

-- Payments of a subscription: period, interval, product, default; and a day of grace.
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","recurring_interval":"1 year","billing_period_end":"2025-02-01 00:00:00+00"}'),
    '2025-01-01..2025-02-02', 'to the end of its period');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","recurring_interval":"1 year","billing_period_end":"2025-01-01 00:00:00.000001+00"}'),
    '2025-01-01..2025-01-02', 'be it short');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","recurring_interval":"7 days","billing_period_end":"2025-01-01 00:00:00+00"}'),
    '2025-01-01..2025-01-09', 'if that is later than the payment; else for its interval');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x"}'), '2025-01-01..2025-02-02', 'else for the default, which is 31 days');
INSERT INTO bagelpay.products (product_id, period) VALUES ('p1', '2 days'), ('p2', '3 days');
SELECT is(pg_temp.periods (), '2025-01-01..2025-01-04', 'which a product goes before');
UPDATE bagelpay.products SET period = NULL;
SELECT is(pg_temp.periods (), '2025-01-01..2025-02-02', 'if it has a period');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","recurring_interval":"7 days"}'), '2025-01-01..2025-01-09', 'an interval');
INSERT INTO bagelpay.products (product_id, period) VALUES ('p1', '2 days');
SELECT is(pg_temp.periods (), '2025-01-01..2025-01-09', 'goes before the product');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","product_id":null}', 'subscription.paid@50d{"payment_id":"x","billing_period_end":"2025-03-01 00:00:00+00"}'),
    '2025-01-01..2025-03-02', 'a later event of the payment may say more, and leave its beginning');
UPDATE bagelpay.settings SET default_period = '1 week', grace = '0';
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x"}'), '2025-01-01..2025-01-08', 'settings');
UPDATE bagelpay.settings SET default_period = '1 month', grace = '1 month';
SELECT is(pg_temp.periods (), '2025-01-01..2025-03-01', 'hold at once');
UPDATE bagelpay.settings SET default_period = DEFAULT, grace = DEFAULT;
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","amount":"0","recurring_interval":"1 year"}'),
    '2025-01-01..2025-02-02', 'nothing paid buys no more than the default');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","amount":"0.00","recurring_interval":"7 days"}'), '2025-01-01..2025-01-09', 'but less');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","amount":"0","billing_period_end":"2026-01-01 00:00:00+00"}'),
    '2025-01-01..2026-01-02', 'or its period');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","recurring_interval":"1 year"}'), '2025-01-01..2026-01-02', 'an unknown amount is no nothing');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x"}', 'refund.created@1{"payment_id":"x"}'), 'none', 'a refund takes it');
SELECT is(pg_temp.windows ('checkout.failed@0{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@1d{"trial_end":"2025-01-01 00:00:00+00"}'),
    '2025-01-02..2025-01-03', 'what failed opens none');

-- Their union.
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","recurring_interval":"7 days"}', 'subscription.paid@5d{"payment_id":"y","recurring_interval":"7 days"}'),
    '2025-01-01..2025-01-14', 'windows overlap, and do not add up');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","recurring_interval":"7 days"}', 'subscription.paid@8d{"payment_id":"y","recurring_interval":"7 days"}'),
    '2025-01-01..2025-01-17', 'one after the other without a gap');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","recurring_interval":"7 days"}', 'subscription.paid@9d{"payment_id":"y","recurring_interval":"7 days"}'),
    '2025-01-01..2025-01-09, 2025-01-10..2025-01-18', 'a gap stays a gap');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","recurring_interval":"7 days"}', 'checkout.completed@20d{"payment_id":"y","billing_type":"single_payment"}'),
    '2025-01-01..2025-01-09, 2025-01-21..', 'whatever comes after it');
SELECT is(pg_temp.windows ('subscription.paid@0{"payment_id":"x","recurring_interval":"1 year"}', 'subscription.paid@1d{"payment_id":"y","recurring_interval":"7 days"}'),
    '2025-01-01..2026-01-02', 'a shorter one shortens none');
SELECT is(pg_temp.windows (
        'subscription.paid@0{"payment_id":"x","recurring_interval":"7 days"}', 'subscription.paid@1d{"payment_id":"y","product_id":"p2","recurring_interval":"7 days"}',
        'checkout.failed@2d{"product_id":"p3"}'),
    '2025-01-01..2025-01-09 | 2025-01-02..2025-01-10', 'each item has its own');

-- Trials.
SELECT is(pg_temp.windows ('subscription.trialing@0{"trial_end":"2025-01-08 00:00:00+00"}'), '2025-01-01..2025-01-09', 'a trial');
SELECT is(pg_temp.windows ('subscription.trialing@0{"trial_end":"2024-12-08 00:00:00+00"}'), '2025-01-01..2025-01-02', 'one that ended before has its grace');
SELECT is(pg_temp.windows ('subscription.trialing@0{"recurring_interval":"7 days"}'), '2025-01-01..2025-02-02', 'without an end: the default');
SELECT is(pg_temp.windows ('subscription.trialing@0{"trial_start":"2024-12-01 00:00:00+00","trial_end":"2025-01-08 00:00:00+00"}'),
    '2025-01-01..2025-01-09', 'not before it was told');
SELECT is(pg_temp.windows ('subscription.trialing@0{"trial_end":"2025-02-01 00:00:00+00"}', 'subscription.trialing@9d{"trial_end":"2025-01-01 00:00:00+00"}'),
    '2025-01-01..2025-01-11', 'a later one replaces it from its own beginning on');
SELECT is(pg_temp.windows (
        'subscription.trialing@0{"trial_end":"2025-02-01 00:00:00+00"}', 'subscription.trialing@9d{"trial_end":"2025-01-01 00:00:00+00"}',
        'subscription.trialing@14d{"trial_end":"2025-01-20 00:00:00+00"}'),
    '2025-01-01..2025-01-11, 2025-01-15..2025-01-21', 'namely the next');
SELECT is(pg_temp.windows ('subscription.trialing@0{"trial_end":"2025-02-01 00:00:00+00"}', 'subscription.trialing@9d{"product_id":"p2","trial_end":"2025-01-15 00:00:00+00"}'),
    '2025-01-01..2025-02-02 | 2025-01-10..2025-01-16', 'of the same item');
SELECT is(pg_temp.windows (
        'subscription.trialing@0{"trial_end":"2025-01-08 00:00:00+00"}', 'subscription.paid@7d{"payment_id":"x","recurring_interval":"7 days"}',
        'refund.created@8d{"payment_id":"x"}'),
    '2025-01-01..2025-01-09', 'a refund of what followed takes no trial');
SELECT is(pg_temp.windows (
        'checkout.completed@0{"payment_id":"x","billing_type":"subscription","recurring_interval":"1 year"}',
        'subscription.trialing@1{"payment_id":"x","trial_end":"2025-01-08 00:00:00+00"}'),
    '2025-01-01 00:00:01..2025-01-09', 'what bought a trial opens nothing else');
SELECT is(pg_temp.windows (
        'checkout.completed@0{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@1{"payment_id":"x","trial_end":"2025-01-08 00:00:00+00"}',
        'refund.created@2{"payment_id":"x"}'),
    'none', 'and refunded takes it back');
SELECT is(pg_temp.windows (
        'checkout.completed@0{"payment_id":"x","billing_type":"subscription","amount":"2"}', 'subscription.trialing@1{"payment_id":"x","trial_end":"2025-01-08 00:00:00+00"}',
        'refund.created@2{"payment_id":"x","refund_amount":"1"}'),
    '2025-01-01 00:00:01..2025-01-09', 'not in part');
SELECT is(pg_temp.windows (
        'checkout.completed@0{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@1{"payment_id":"x","trial_end":"2025-01-08 00:00:00+00"}',
        'checkout.cancel@1d{"payment_id":"x"}'),
    'none', 'nor disputed');
UPDATE bagelpay.settings SET revoke_on_dispute = FALSE;
SELECT is(pg_temp.periods (), '2025-01-01 00:00:01..2025-01-09', 'if that matters');
UPDATE bagelpay.settings SET revoke_on_dispute = TRUE;
SELECT is(pg_temp.windows (
        'checkout.completed@0{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@1{"payment_id":"x","trial_end":"2025-02-08 00:00:00+00"}',
        'subscription.trialing@9d{"trial_end":"2025-01-12 00:00:00+00"}'),
    '2025-01-01 00:00:01..2025-02-09', 'what was bought is not replaced');
SELECT is(pg_temp.windows (
        'subscription.trialing@0{"trial_end":"2025-02-08 00:00:00+00"}', 'checkout.completed@9d{"payment_id":"x","billing_type":"subscription"}',
        'subscription.trialing@9d{"payment_id":"x","trial_end":"2025-01-12 00:00:00+00"}'),
    '2025-01-01..2025-01-13', 'but may replace');
SELECT is(pg_temp.windows (
        'checkout.completed@0{"payment_id":"x","billing_type":"subscription","recurring_interval":"1 mon"}',
        'subscription.trialing@1{"payment_id":"x","trial_end":"2025-01-08 00:00:00+00"}', 'subscription.paid@7d{"payment_id":"x"}'),
    '2025-01-01..2025-02-02', 'a payment for more has its own window');

-- Cancellations: what is cut loses its grace, and ends at the end that they say, if that is earlier.
\set paid 'subscription.paid@0{"payment_id":"x","billing_period_end":"2025-02-01 00:00:00+00"}'
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@9d'), '2025-01-01..2025-01-10', 'cancelled at once');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@9d{"canceled_at":"2025-01-05 00:00:00+00"}'), '2025-01-01..2025-01-10', 'never before it was told');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@9d{"cancel_at":"2025-01-20 00:00:00+00","canceled_at":"2025-01-25 00:00:00+00"}'),
    '2025-01-01..2025-01-25', 'at the latest of its times');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@9d{"cancel_at":"2026-01-01 00:00:00+00"}'), '2025-01-01..2025-02-01', 'never longer');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@9d{"cancel_at_period_end":true}'), '2025-01-01..2025-02-01', 'at the end of the period');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@9d{"cancel_at_period_end":true,"cancel_at":"2025-01-20 00:00:00+00"}'),
    '2025-01-01..2025-02-01', 'whatever else it says');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@9d{"cancel_at_period_end":false}'), '2025-01-01..2025-01-10', 'or not');
UPDATE bagelpay.settings SET on_cancel = 'keep_paid_time';
SELECT is(pg_temp.periods (), '2025-01-01..2025-02-01', 'if the setting keeps what was paid for, likewise');
UPDATE bagelpay.settings SET on_cancel = DEFAULT;
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@31.5d'), '2025-01-01..2025-02-01 12:00:00', 'within the grace it ends that');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@31.5d{"cancel_at_period_end":true}'), '2025-01-01..2025-02-01 12:00:00', 'but not for the time before');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@32d'), '2025-01-01..2025-02-02', 'after the grace there is nothing to cut');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@40d{"canceled_at":"2025-01-05 00:00:00+00"}'), '2025-01-01..2025-02-02', 'whatever it says');
SELECT is(pg_temp.windows ('subscription.paid@0.5{"payment_id":"x"}', 'subscription.canceled@0.1'), 'none', 'of one second, the cancellation is the later');
SELECT is(pg_temp.windows ('subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@0.9'),
    '2025-01-01 00:00:01..2025-02-02 00:00:01', 'before the payment it does not count');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@9d{"cancel_at_period_end":true}', 'subscription.canceled@19d'),
    '2025-01-01..2025-01-20', 'of two the earlier end');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@9d', 'subscription.canceled@19d{"cancel_at_period_end":true}'),
    '2025-01-01..2025-01-10', 'whichever was first');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@31.25d{"cancel_at_period_end":true}', 'subscription.canceled@31.5d'),
    '2025-01-01..2025-02-01 06:00:00', 'also within the grace');
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@40d', 'subscription.paid@45d{"payment_id":"y","billing_period_end":"2025-03-01 00:00:00+00"}'),
    '2025-01-01..2025-02-02, 2025-02-15..2025-03-02', 'what is bought afterwards is whole');
SELECT is(pg_temp.windows (:'paid', 'subscription.paid@5d{"payment_id":"y","billing_period_end":"2025-03-01 00:00:00+00"}', 'subscription.canceled@9d'),
    '2025-01-01..2025-01-10', 'all windows that hold it are cut');
SELECT is(pg_temp.windows (
        'subscription.paid@0{"payment_id":"x","subscription_id":"s1","billing_period_end":"2025-02-01 00:00:00+00"}',
        'subscription.paid@5d{"payment_id":"y","subscription_id":"s2","billing_period_end":"2025-01-20 00:00:00+00"}', 'subscription.canceled@9d{"subscription_id":"s1"}'),
    '2025-01-01..2025-01-21', 'of the subscription that it names');
SELECT is(pg_temp.windows ('subscription.trialing@0{"trial_end":"2025-02-01 00:00:00+00"}', 'subscription.canceled@9d{"cancel_at_period_end":true}'),
    '2025-01-01..2025-02-01', 'a cancelled trial runs to its end');
SELECT is(pg_temp.windows ('subscription.trialing@0{"trial_end":"2025-02-01 00:00:00+00"}', 'subscription.canceled@9d'), '2025-01-01..2025-01-10', 'or not');
SELECT is(pg_temp.windows (
        'subscription.trialing@0{"trial_end":"2025-02-01 00:00:00+00"}', 'subscription.canceled@9d{"cancel_at_period_end":true}',
        'subscription.trialing@14d{"trial_end":"2025-01-20 00:00:00+00"}'),
    '2025-01-01..2025-01-21', 'to where another begins');
SELECT is(pg_temp.windows (
        'checkout.completed@0{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@1{"payment_id":"x","trial_end":"2025-01-08 00:00:00+00"}',
        'subscription.canceled@2d'),
    '2025-01-01 00:00:01..2025-01-03', 'likewise one that was bought');
UPDATE bagelpay.settings SET grace = '0';
SELECT is(pg_temp.windows (:'paid', 'subscription.canceled@31.5d'), '2025-01-01..2025-02-01', 'without grace it is over by then');
UPDATE bagelpay.settings SET grace = DEFAULT;

-- The calendar, in UTC: from the last day of a month, months and years lead to the last day of a month.
SELECT is(bagelpay.utc_plus (t::timestamptz, length::interval), ends::timestamptz, t || ' + ' || length)
FROM (VALUES
    ('2025-01-31 10:00:00+00', '1 day', '2025-02-01 10:00:00+00'), ('2025-01-31 10:00:00+00', '7 days', '2025-02-07 10:00:00+00'),
    ('2025-01-31 10:00:00+00', '1 month', '2025-02-28 10:00:00+00'), ('2025-02-28 10:00:00+00', '1 month', '2025-03-31 10:00:00+00'),
    ('2025-04-30 10:00:00+00', '3 months', '2025-07-31 10:00:00+00'), ('2025-01-30 10:00:00+00', '1 month', '2025-02-28 10:00:00+00'),
    ('2024-01-31 10:00:00+00', '1 month', '2024-02-29 10:00:00+00'), ('2024-02-28 10:00:00+00', '1 month', '2024-03-28 10:00:00+00'),
    ('2024-02-29 10:00:00+00', '1 year', '2025-02-28 10:00:00+00'), ('2025-02-28 10:00:00+00', '3 years', '2028-02-29 10:00:00+00'),
    ('2025-02-28 10:00:00+00', '1 year 2 months', '2026-04-30 10:00:00+00'), ('2025-02-28 10:00:00+00', '1 month 5 days', '2025-04-05 10:00:00+00'),
    ('2025-02-28 23:30:00+00', '1 month 1 hour', '2025-04-01 00:30:00+00'), ('2025-02-28 10:00:00+00', '31 days', '2025-03-31 10:00:00+00'),
    ('2025-02-28 10:00:00+00', '45 days', '2025-04-14 10:00:00+00'), ('2025-02-28 23:30:00-01', '1 month', '2025-04-01 00:30:00+00'),
    ('2011-12-29 10:00:00+00', '1 day', '2011-12-30 10:00:00+00'), ('2999-12-31 23:59:59+00', '100 years', '3099-12-31 23:59:59+00')) AS v (t, length, ends);
SELECT is(pg_temp.windows ('subscription.paid@58d{"payment_id":"x","recurring_interval":"1 mon"}'),
    '2025-02-28..2025-04-01', 'a month paid for on its last day, and a day');
UPDATE bagelpay.settings SET default_period = '1 month', grace = '1 month';
SELECT is(pg_temp.windows ('subscription.paid@58d{"payment_id":"x"}'), '2025-02-28..2025-04-30', 'settings likewise');
SELECT is(pg_temp.windows ('subscription.trialing@58d{"trial_end":"2025-04-30 00:00:00+00"}'), '2025-02-28..2025-05-31', 'from the end of a trial, too');
SELECT is(pg_temp.windows (
        'subscription.paid@58d{"payment_id":"x"}') || ' ' || pg_temp.told ($$INSERT INTO bagelpay.products (product_id, period) VALUES ('p1', '2 months') RETURNING product_id$$) || ' ' || pg_temp.periods (),
    '2025-02-28..2025-04-30 p1 2025-02-28..2025-05-31', 'and a product''s period');

SELECT * FROM finish();

ROLLBACK;
