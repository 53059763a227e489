-- Subscriptions: subscription_status row by row of its table, trials and what bought them, cancellations and what they
-- concern, and when two events name the same subscription.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(89);

\ir builder.psql

-- A story, and for each purchase (by its beginning) whether a cancellation concerns it: c, or -.
CREATE FUNCTION pg_temp.concerned (VARIADIC events text[])
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.story (VARIADIC events) || ': '
        || pg_temp.told ('SELECT string_agg(CASE WHEN cut_at IS NULL THEN ''-'' ELSE ''c'' END, '' '' ORDER BY began_slot, began_at, began_event_id) FROM bagelpay_internal.purchases WHERE began_at IS NOT NULL')
$$;

-- The table of subscription_status.
SELECT is(pg_temp.story ('subscription.trialing@1'), 'trialing / trialing /', 'a trial');
SELECT is(pg_temp.story ('subscription.trialing@1', 'subscription.paid@2d{"payment_id":"x"}'), 'paid / active / x=paid', 'a trial that was paid for');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'subscription.trialing@2'), 'trialing / trialing / x=paid', 'a trial after a payment');
SELECT is(pg_temp.story ('subscription.trialing@1', 'checkout.failed@2d{"payment_id":"x"}'), 'trialing / past_due / x=failed', 'a trial that was not paid for');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'checkout.failed@2{"payment_id":"y"}', 'subscription.paid@3{"payment_id":"y"}'),
    'paid / active / x=paid y=paid', 'past due, and paid after all');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'checkout.failed@2{"payment_id":"x"}'),
    'paid / past_due / x=paid', 'be the failure of the same payment');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'checkout.failed@2{"payment_id":"y"}', 'subscription.paid@3{"payment_id":"x"}'),
    'paid / past_due / x=paid y=failed', 'a payment told again does not say more');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2'), 'paid / canceled / x=paid', 'a cancellation');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2', 'checkout.failed@3{"payment_id":"y"}'),
    'paid / canceled / x=paid y=failed', 'stays one when a charge fails');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2', 'subscription.paid@3{"payment_id":"x"}'),
    'paid / canceled / x=paid', 'a payment told again does not take it back');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2', 'subscription.paid@3{"payment_id":"y"}'),
    'paid / active / x=paid y=paid', 'a new one does');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2', 'subscription.trialing@3'),
    'trialing / trialing / x=paid', 'so does a trial');
SELECT is(pg_temp.story ('subscription.canceled@1', 'subscription.paid@2{"payment_id":"x"}'), 'paid / active / x=paid', 'a cancellation before it does not count');
SELECT is(pg_temp.story ('subscription.canceled@1', 'subscription.paid@1{"payment_id":"x"}'), 'paid / canceled / x=paid', 'of one second, it is the last');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'subscription.canceled@2'), 'paid / - / x=paid', 'what was bought once is no subscription');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'subscription.canceled@2', 'subscription.paid@3{"payment_id":"x"}'),
    'paid / active / x=paid', 'until its payment is billed as one');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","billing_type":"single_payment"}', 'checkout.failed@3'),
    'paid / past_due / event:e3=failed x=paid y=paid', 'it is one beside what is bought once');

-- A failure is of an item by the subscription of its latest purchase; or else by product and customer, as far as both say.
\set club 'subscription.paid@1{"payment_id":"x","subscription_id":"s1"}'
SELECT is(pg_temp.story (:'club', 'checkout.failed@2{"payment_id":"y",' || names || '}'), 'paid / ' || status || ' / x=paid y=failed', names)
FROM (VALUES ('"product_id":"pro"', 'active'), ('"product_id":null', 'past_due'), ('"customer_id":"c2"', 'active'), ('"customer_id":null', 'past_due'),
    ('"customer_id":null,"customer_email":"else@example.com"', 'active'), ('"customer_id":null,"customer_email":null,"product_id":null', 'past_due'),
    ('"subscription_id":"s1"', 'past_due'), ('"subscription_id":"s1","product_id":"pro","customer_id":"c2"', 'past_due'), ('"subscription_id":"s2"', 'active'),
    ('"processor_subscription_id":"r2"', 'past_due'), ('"processor_subscription_id":"r2","product_id":"pro"', 'active')) AS v (names, status);
SELECT is(pg_temp.story (:'club', 'subscription.paid@2{"payment_id":"y","subscription_id":"s2"}', 'checkout.failed@3{"subscription_id":"s1"}'),
    'paid / active / event:e3=failed x=paid y=paid', 'the subscription of an older purchase is another');
SELECT is(pg_temp.story (:'club', 'subscription.paid@2{"payment_id":"y","product_id":null,"customer_id":null,"customer_email":null}', 'checkout.failed@3{"product_id":"pro"}'),
    'paid / active / event:e3=failed x=paid y=paid', 'an item has the product that its purchase inherited');
SELECT is(pg_temp.story (
        'subscription.paid@1{"payment_id":"x","product_id":null}', 'subscription.paid@2{"payment_id":"y","customer_id":"c2","product_id":"p2"}',
        'checkout.failed@3{"product_id":"pro"}'),
    'paid / past_due active / event:e3=failed x=paid y=paid', 'one of no product may be any');
SELECT is(pg_temp.story (:'club', 'subscription.paid@2{"payment_id":"y","product_id":"p2"}', 'checkout.failed@3{"product_id":null}'),
    'paid / past_due past_due / event:e3=failed x=paid y=paid', 'it may be of several items');

SELECT is(pg_temp.story (
        'checkout.completed@1{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@2{"payment_id":"x","subscription_id":"s1"}',
        'checkout.failed@3{"product_id":"pro","subscription_id":"s1"}'),
    'trialing / past_due / event:e3=failed x=paid', 'a trial and what bought it are one purchase');
SELECT is(pg_temp.story (
        'subscription.trialing@1{"payment_id":"x","subscription_id":"s1"}', 'checkout.completed@2{"payment_id":"x","billing_type":"subscription"}',
        'checkout.failed@3{"product_id":"pro","subscription_id":"s1"}'),
    'paid / past_due / event:e3=failed x=paid', 'whichever came last');
SELECT is(pg_temp.story (
        'checkout.completed@1{"payment_id":"x","product_id":"p2","billing_type":"subscription","subscription_id":"s1"}',
        'subscription.trialing@2{"payment_id":"x"}', 'checkout.failed@3{"product_id":"p2","subscription_id":"s1"}'),
    'trialing / trialing past_due / event:e3=failed x=paid', 'as far as they are of the same item');
SELECT is(pg_temp.story (
        'subscription.trialing@1{"payment_id":"x","subscription_id":"s1"}', 'checkout.completed@2{"payment_id":"x","billing_type":"subscription"}',
        'checkout.failed@3{"subscription_id":"s2"}'),
    'paid / trialing / event:e3=failed x=paid', 'also for what names another');

-- Trials and what bought them: a payment of checkout.completed events only, within a day, that the trial names.
CREATE FUNCTION pg_temp.bought (VARIADIC events text[])
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.story (VARIADIC events) || ': ' || pg_temp.told ('SELECT event_id, payment_id FROM bagelpay.trials ORDER BY event_id')
$$;
SELECT is(pg_temp.bought ('checkout.completed@1{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@2{"payment_id":"x"}'),
    'trialing / trialing / x=paid: e2 x', 'a trial after its checkout');
SELECT is(pg_temp.bought ('subscription.trialing@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"x","billing_type":"subscription"}'),
    'paid / trialing / x=paid: e1 x', 'before it');
SELECT is(pg_temp.bought ('checkout.completed@0{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@1d{"payment_id":"x"}'),
    'trialing / trialing / x=paid: e2 x', 'a day after it');
SELECT is(pg_temp.bought ('checkout.completed@0{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@86400.000001{"payment_id":"x"}'),
    'trialing / trialing / x=paid: e2 -', 'and no later');
SELECT is(pg_temp.bought ('subscription.trialing@0{"payment_id":"x"}', 'checkout.completed@1d{"payment_id":"x","billing_type":"subscription"}'),
    'paid / trialing / x=paid: e1 x', 'a day before it');
SELECT is(pg_temp.bought ('subscription.trialing@0{"payment_id":"x"}', 'checkout.completed@86400.000001{"payment_id":"x","billing_type":"subscription"}'),
    'paid / active / x=paid: e1 -', 'and no earlier');
SELECT is(pg_temp.bought ('subscription.trialing@1{"payment_id":"x"}', 'subscription.paid@2{"payment_id":"x"}'),
    'paid / active / x=paid: e1 -', 'a payment for more than the trial');
SELECT is(pg_temp.bought (
        'checkout.completed@1{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@2{"payment_id":"x"}', 'subscription.paid@8d{"payment_id":"x"}'),
    'paid / active / x=paid: e2 -', 'a later event may show it');
SELECT is(pg_temp.bought (
        'checkout.completed@1{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@2{"payment_id":"x"}', 'subscription.paid@3{"payment_id":"x"}',
        'checkout.completed@4{"payment_id":"x"}', 'subscription.trialing@5{"payment_id":"x"}'),
    'trialing / trialing / x=paid: e2 - | e5 -', 'for good');
SELECT is(pg_temp.bought (
        'subscription.trialing@1{"provider_order_id":"O"}', 'checkout.completed@2{"payment_id":"x","billing_type":"subscription","provider_order_id":"O"}',
        'subscription.paid@3{"payment_id":"x"}', 'checkout.completed@4{"payment_id":"y","billing_type":"subscription","provider_order_id":"O"}'),
    'paid / active / x=paid y=paid: e1 -', 'and is bought by no other then');
SELECT is(pg_temp.bought ('checkout.completed@1{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@2'),
    'trialing / trialing / x=paid: e2 -', 'a trial that names no payment');
SELECT is(pg_temp.bought ('checkout.completed@1{"payment_id":"x","billing_type":"subscription","provider_order_id":"O"}', 'subscription.trialing@2{"provider_order_id":"O"}'),
    'trialing / trialing / x=paid: e2 x', 'by the provider''s order');
SELECT is(pg_temp.bought ('subscription.trialing@1{"provider_order_id":"O"}', 'checkout.completed@2{"payment_id":"x","billing_type":"subscription","provider_order_id":"O"}'),
    'paid / trialing / x=paid: e1 x', 'likewise before it');
SELECT is(pg_temp.bought (
        'checkout.completed@1{"payment_id":"x","billing_type":"subscription","provider_order_id":"O"}', 'subscription.trialing@2{"payment_id":"y","provider_order_id":"O"}'),
    'trialing / trialing / x=paid: e2 -', 'not if it names another payment');
SELECT is(pg_temp.bought (
        'checkout.completed@1{"payment_id":"x","billing_type":"subscription","provider_order_id":"O"}',
        'checkout.completed@2{"payment_id":"y","billing_type":"subscription","provider_order_id":"O"}', 'subscription.trialing@3{"provider_order_id":"O"}'),
    'trialing / trialing / x=paid y=paid: e3 y', 'of several, the latest paid');
SELECT is(pg_temp.bought (
        'checkout.completed@1{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@2{"payment_id":"x"}', 'subscription.trialing@3{"payment_id":"x"}'),
    'trialing / trialing / x=paid: e2 x | e3 x', 'a payment may have bought two');
SELECT is(pg_temp.bought ('checkout.completed@1{"payment_id":"x","provider_order_id":"O"}', 'subscription.trialing@2{"payment_id":"x","product_id":"p2"}'),
    'trialing / - trialing / x=paid: e2 x', 'of whatever item');
SELECT is(pg_temp.bought (
        'checkout.completed@1{"provider_order_id":"O","billing_type":"subscription"}', 'subscription.trialing@2{"provider_order_id":"O"}',
        'checkout.completed@3{"payment_id":"x","provider_order_id":"O"}'),
    'paid / trialing / x=paid: e2 x', 'a payment that is renamed has bought it still');
SELECT is(pg_temp.bought ('checkout.failed@1{"payment_id":"x"}', 'subscription.trialing@2{"payment_id":"x"}'),
    'trialing / trialing / x=failed: e2 -', 'what failed buys nothing');
SELECT is(pg_temp.bought ('subscription.trialing@1{"payment_id":"x"}', 'subscription.canceled@2', 'checkout.completed@3{"payment_id":"x","billing_type":"subscription"}'),
    'paid / canceled / x=paid: e1 x', 'a cancelled one stays cancelled when its checkout is told');
SELECT is(pg_temp.story ('subscription.trialing@1{"payment_id":"x","units":2,"subscription_id":"s1","trial_start":"2025-01-01 00:00:00+00","trial_end":"2025-01-08 00:00:00+00"}'),
    'trialing / trialing /', 'a trial');
SELECT is(pg_temp.told (
        'SELECT mode, order_id, event_id, product_id, customer_id, customer_email, user_id, units, subscription_id, pg_temp.utc (starts_at), pg_temp.utc (trial_end), payment_id FROM bagelpay.trials'),
    'live o1 e1 p1 c1 c1@example.com - 2 s1 2025-01-01 00:00:01 2025-01-08 -', 'is a row');

-- Which purchases a cancellation concerns.
SELECT is(pg_temp.concerned ('subscription.paid@1{"payment_id":"x"}', 'subscription.paid@2{"payment_id":"y"}', 'subscription.trialing@3', 'subscription.canceled@4'),
    'trialing / canceled / x=paid y=paid: c c c', 'all of product and customer');
SELECT is(pg_temp.concerned ('subscription.paid@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","billing_type":"single_payment"}', 'subscription.canceled@3'),
    'paid / canceled / x=paid y=paid: c -', 'that are of a subscription');
SELECT is(pg_temp.concerned ('subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2', 'subscription.paid@3{"payment_id":"y"}'),
    'paid / active / x=paid y=paid: c -', 'before it');
\set other 'subscription.paid@2{"payment_id":"y","subscription_id":"s2"}'
SELECT is(pg_temp.concerned (:'club', :'other', 'subscription.canceled@3{"subscription_id":"s1"}'),
    'paid / active / x=paid y=paid: c -', 'those that name its subscription');
SELECT is(pg_temp.concerned (:'club', :'other', 'subscription.canceled@3{"subscription_id":"s2"}'),
    'paid / canceled / x=paid y=paid: - c', 'the latest of which decides');
SELECT is(pg_temp.concerned (:'club', :'other', 'subscription.canceled@3{"subscription_id":"s1","product_id":"p9","customer_id":"c9"}'),
    'paid / active / x=paid y=paid: c -', 'whatever product and customer');
SELECT is(pg_temp.concerned (:'club', 'subscription.paid@2{"payment_id":"y"}', 'subscription.canceled@3{"subscription_id":"s1"}'),
    'paid / active / x=paid y=paid: c -', 'and no others, if there are some');
SELECT is(pg_temp.concerned (:'club', 'subscription.paid@2{"payment_id":"y"}', 'subscription.canceled@3{"subscription_id":"s9"}'),
    'paid / canceled / x=paid y=paid: - c', 'if there are none, those that name no other');
SELECT is(pg_temp.concerned (:'club', :'other', 'subscription.canceled@3'),
    'paid / canceled / x=paid y=paid: c c', 'one that names none concerns all of product and customer');
SELECT is(pg_temp.concerned (:'club', :'other', 'subscription.canceled@3{"processor_subscription_id":"r1"}'),
    'paid / canceled / x=paid y=paid: c c', 'so does one that names the processor''s, of which the others say nothing');
SELECT is(pg_temp.concerned (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1","processor_subscription_id":"r1"}', :'other', 'subscription.canceled@3{"processor_subscription_id":"r1"}'),
    'paid / active / x=paid y=paid: c -', 'by the processor''s id');
SELECT is(pg_temp.concerned (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1","processor_subscription_id":"r1"}', :'other', 'subscription.canceled@3{"processor_subscription_id":"r9"}'),
    'paid / canceled / x=paid y=paid: - c', 'two of the processor''s ids are two subscriptions');
SELECT is(pg_temp.concerned (
        :'club', 'subscription.paid@2{"payment_id":"y","subscription_id":"s1","processor_subscription_id":"r1"}', 'subscription.canceled@3{"processor_subscription_id":"r1"}'),
    'paid / canceled / x=paid y=paid: c c', 'ids that one purchase carries belong together');
SELECT is(pg_temp.concerned (
        'subscription.paid@1{"payment_id":"x","processor_subscription_id":"r1"}', 'checkout.completed@2{"payment_id":"x","subscription_id":"s1","billing_type":"subscription"}',
        'subscription.paid@3{"payment_id":"y","subscription_id":"s2"}', 'subscription.canceled@4{"processor_subscription_id":"r1"}'),
    'paid / active / x=paid y=paid: c -', 'also if its events carry one each');
SELECT is(pg_temp.concerned (
        :'club', 'subscription.paid@2{"payment_id":"y","subscription_id":"s1","processor_subscription_id":"r1"}', 'subscription.canceled@3{"processor_subscription_id":"r9"}'),
    'paid / active / x=paid y=paid: - -', 'so that both are another''s');
SELECT is(pg_temp.concerned (
        :'club', 'subscription.paid@2{"payment_id":"y","subscription_id":"s1","processor_subscription_id":"r1"}',
        'subscription.paid@3{"payment_id":"z","subscription_id":"s3","processor_subscription_id":"r1"}', 'subscription.canceled@4{"subscription_id":"s3"}'),
    'paid / canceled / x=paid y=paid z=paid: c c c', 'also at one remove');
SELECT is(pg_temp.concerned (
        :'club', 'subscription.canceled@2{"processor_subscription_id":"r1","product_id":"p9"}',
        'subscription.paid@3{"payment_id":"y","subscription_id":"s1","processor_subscription_id":"r1"}'),
    'paid / active / x=paid y=paid: - -', 'as far as it is known by then');
SELECT is(pg_temp.concerned (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1"}', 'checkout.completed@2{"payment_id":"x","processor_subscription_id":"r1"}',
        'subscription.canceled@3{"processor_subscription_id":"r1","product_id":"p9"}'),
    'paid / canceled / x=paid: c', 'ids of two events of one payment belong together');
SELECT is(pg_temp.concerned (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1","processor_subscription_id":"r1"}', 'subscription.paid@2{"payment_id":"x","subscription_id":"s2"}',
        'subscription.canceled@3{"subscription_id":"s1","product_id":"p9"}'),
    'paid / canceled / x=paid: c', 'and stay together when one is replaced');
SELECT is(pg_temp.concerned ('subscription.paid@1{"payment_id":"x","product_id":null}', 'subscription.canceled@2{"product_id":"p9"}'),
    'paid / canceled / x=paid: c', 'a purchase of no product may be of any');
SELECT is(pg_temp.concerned ('subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2{"product_id":"p9"}'),
    'paid / active / x=paid: -', 'one of another is not');
SELECT is(pg_temp.concerned ('subscription.paid@1{"payment_id":"x"}', 'subscription.paid@2{"payment_id":"y","product_id":"p2"}', 'subscription.canceled@3{"product_id":null}'),
    'paid / canceled canceled / x=paid y=paid: c c', 'a cancellation of no product is of all');
SELECT is(pg_temp.concerned (
        'subscription.paid@1{"payment_id":"x"}', 'subscription.paid@2{"payment_id":"y","customer_id":"c2","customer_email":"c2@example.com"}',
        'subscription.canceled@3{"customer_id":null,"customer_email":null}'),
    'paid / canceled canceled / x=paid y=paid: c c', 'likewise of no customer');
SELECT is(pg_temp.concerned (
        'subscription.paid@1{"payment_id":"x"}', 'subscription.paid@2{"payment_id":"y","customer_id":"c2","customer_email":"c2@example.com"}',
        'subscription.canceled@3{"customer_id":null,"customer_email":"c2@example.com"}'),
    'paid / active canceled / x=paid y=paid: - c', 'of one by e-mail');
SELECT is(pg_temp.concerned ('subscription.paid@1{"payment_id":"x","customer_id":null,"customer_email":null}', 'subscription.canceled@2{"customer_id":"c9"}'),
    'paid / canceled / x=paid: c', 'or of one that the purchase does not say');
SELECT is(pg_temp.concerned (
        'checkout.completed@1{"payment_id":"x","billing_type":"subscription"}', 'subscription.trialing@2{"payment_id":"x","subscription_id":"s1"}',
        'subscription.canceled@3{"subscription_id":"s1"}'),
    'trialing / canceled / x=paid: c c', 'the payment that bought a trial is one with it');
SELECT is(pg_temp.concerned (
        'checkout.completed@1{"payment_id":"x","billing_type":"subscription","subscription_id":"s1"}', 'subscription.trialing@2{"payment_id":"x"}',
        'subscription.canceled@3{"subscription_id":"s1"}'),
    'trialing / canceled / x=paid: c c', 'either way');
SELECT is(pg_temp.concerned (
        'subscription.trialing@1{"payment_id":"x","subscription_id":"s1"}', 'checkout.completed@2{"payment_id":"x","billing_type":"subscription"}',
        'subscription.canceled@3{"subscription_id":"s1"}'),
    'paid / canceled / x=paid: c c', 'whichever came last');
SELECT is(pg_temp.story (
        'subscription.paid@1{"payment_id":"x"}',
        'subscription.canceled@2{"subscription_id":"s1","processor_subscription_id":"r1","cancel_at":"2026-01-01 00:00:00+00","canceled_at":"2024-01-01 00:00:00+00","cancel_at_period_end":true}',
        'subscription.canceled@3{"canceled_at":"2025-02-01 00:00:00+00"}', 'subscription.canceled@4'),
    'paid / canceled / x=paid', 'cancellations');
SELECT is(pg_temp.told (
        'SELECT mode, order_id, event_id, product_id, customer_id, subscription_id, processor_subscription_id, pg_temp.utc (occurred_at), pg_temp.utc (ends_at), at_period_end FROM bagelpay.cancellations ORDER BY event_id'),
    'live o1 e2 p1 c1 s1 r1 2025-01-01 00:00:02 2026-01-01 true | live o1 e3 p1 c1 - - 2025-01-01 00:00:03 2025-02-01 - | live o1 e4 p1 c1 - - 2025-01-01 00:00:04 2025-01-01 00:00:04 -', 'are rows that end at the latest of their times');

SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'rebuilding changes nothing');

SELECT * FROM finish();

ROLLBACK;
