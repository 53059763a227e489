-- Items: which product, customer and user a purchase is of, what it inherits from earlier ones, and the columns that
-- items have from their purchases.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(79);

\ir builder.psql

-- A story, and the items that it makes, each as product/customer/user.
CREATE FUNCTION pg_temp.items (VARIADIC events text[])
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    complaint text := substring(pg_temp.story (VARIADIC events) FROM ' BUT .*');
BEGIN
    RETURN concat(
        (SELECT string_agg(format('%s/%s/%s', product_id, customer_id, user_id), ' ' ORDER BY product_id, customer_id, user_id) FROM bagelpay.items),
        complaint);
END
$$;

-- What the payment z is of.
CREATE FUNCTION pg_temp.of_z (what text)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.told (format('SELECT %I FROM bagelpay.payments WHERE payment_id = ''z''', what))
$$;

-- The product_name of an item.
CREATE FUNCTION pg_temp.name_of (customer text)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.told (format('SELECT product_name FROM bagelpay.items WHERE customer_id = %L', customer))
$$;

-- The merchant's user, in few words.
UPDATE bagelpay.settings SET user_key = '{request_id}';

-- Which purchases are one item.
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}'), 'p1/c1/', 'one item of two payments');
SELECT is(pg_temp.items ('subscription.trialing@1', 'checkout.completed@2d{"payment_id":"y"}'), 'p1/c1/', 'of a trial and a payment');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","product_id":"p2"}'), 'p1/c1/ p2/c1/', 'two products');
SELECT is((SELECT conflict FROM bagelpay.orders), FALSE, 'of one customer');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","customer_id":"c2"}'), 'p1/c1/ p1/c2/', 'two customers');
SELECT is((SELECT conflict FROM bagelpay.orders), TRUE, 'are a conflict');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","request_id":"u1"}', 'checkout.completed@2{"payment_id":"y","request_id":"u2"}'),
    'p1/c1/u1 p1/c1/u2', 'two users');
SELECT is((SELECT conflict FROM bagelpay.orders), FALSE, 'are none');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","customer_id":null,"customer_email":"else@example.com"}'),
    'p1/c1/ p1/email:else@example.com/', 'a customer by id and one by e-mail');
SELECT is((SELECT conflict FROM bagelpay.orders), TRUE, 'are two');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x"}', 'checkout.failed@2{"payment_id":"y","product_id":"p2","customer_id":"c2"}', 'checkout.cancel@3{"product_id":"p3","customer_id":"c3"}',
    'subscription.canceled@4{"product_id":"p4","customer_id":"c4"}', 'refund.created@5{"product_id":"p5","customer_id":"c5"}'), 'p1/c1/', 'nothing but purchases makes items');
SELECT is((SELECT conflict FROM bagelpay.orders), FALSE, 'or conflicts');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","product_id":null,"customer_id":null,"customer_email":null}'), '//', 'of which nothing is known');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","customer_id":null,"customer_email":null}', 'checkout.completed@2{"payment_id":"y","customer_id":"c2"}'),
    'p1// p1/c2/', 'an unknown customer');
SELECT is((SELECT conflict FROM bagelpay.orders), FALSE, 'contradicts nobody');

-- Product: of its own selling events the first.
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"x","product_id":"p2"}'),
    'p1/c1/', 'the first product of a payment stays');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","product_id":null}', 'checkout.completed@2{"payment_id":"x","product_id":"p2"}'),
    'p2/c1/', 'it may come with a later event');
SELECT is(pg_temp.items (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","product_id":null}', 'checkout.completed@3{"payment_id":"y","product_id":"p2"}'),
    'p1/c1/ p2/c1/', 'and goes before what was inherited');
SELECT is(pg_temp.items ('checkout.failed@1{"payment_id":"x","product_id":"p2"}', 'checkout.completed@2{"payment_id":"x","product_id":null}'),
    '/c1/', 'a failure is no selling event');
SELECT is(pg_temp.items ('subscription.paid@1{"payment_id":"x","product_id":"p1"}', 'subscription.trialing@2{"product_id":"p2"}'),
    'p1/c1/ p2/c1/', 'trials have their own');

-- Inherited: from the same subscription, else the only one that is known.
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","product_id":null}'), 'p1/c1/', 'the only product');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","product_id":null}', 'checkout.completed@2{"payment_id":"y"}'), '/c1/ p1/c1/', 'of an earlier purchase');
SELECT is(pg_temp.items (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","product_id":"p2"}', 'checkout.completed@3{"payment_id":"z","product_id":null}'),
    '/c1/ p1/c1/ p2/c1/', 'of two, none');
SELECT is(pg_temp.items (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","product_id":null}', 'checkout.completed@3{"payment_id":"z","product_id":"p2"}',
        'checkout.completed@4{"payment_id":"y","amount":"5"}'),
    'p1/c1/ p2/c1/', 'what was inherited stays');
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1"}', 'subscription.paid@2{"payment_id":"y","subscription_id":"s2","product_id":"p2"}',
        'subscription.paid@3{"payment_id":"z","subscription_id":"s1","product_id":null}') || ' ' || pg_temp.of_z ('product_id'),
    'p1/c1/ p2/c1/ p1', 'the product of the same subscription');
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"w","subscription_id":"s1"}', 'subscription.paid@2{"payment_id":"x","subscription_id":"s1","product_id":"p3"}',
        'subscription.paid@3{"payment_id":"y","subscription_id":"s2","product_id":"p2"}', 'subscription.paid@4{"payment_id":"z","subscription_id":"s1","product_id":null}') || ' ' || pg_temp.of_z ('product_id'),
    'p1/c1/ p2/c1/ p3/c1/ p3', 'namely of its latest purchase');
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1","product_id":null}', 'checkout.completed@2{"payment_id":"y","product_id":"p2"}',
        'subscription.paid@3{"payment_id":"z","subscription_id":"s1","product_id":null}') || ' ' || pg_temp.of_z ('product_id'),
    '/c1/ p2/c1/ p2', 'if that is not known, the only one');
SELECT is(pg_temp.items (
        'subscription.trialing@1{"processor_subscription_id":"r1"}', 'subscription.paid@2{"payment_id":"y","product_id":"p2"}',
        'subscription.paid@3{"payment_id":"z","processor_subscription_id":"r1","product_id":null}') || ' ' || pg_temp.of_z ('product_id'),
    'p1/c1/ p2/c1/ p1', 'by the processor''s id, and from a trial');
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1","processor_subscription_id":"r1"}', 'subscription.paid@2{"payment_id":"y","product_id":"p2"}',
        'subscription.paid@3{"payment_id":"z","processor_subscription_id":"r1","product_id":null}') || ' ' || pg_temp.of_z ('product_id'),
    'p1/c1/ p2/c1/ p1', 'by ids that belong together');
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1"}', 'subscription.paid@2{"payment_id":"y","product_id":"p2"}',
        'subscription.paid@3{"payment_id":"z","product_id":null}', 'subscription.paid@4{"payment_id":"z","subscription_id":"s1"}') || ' ' || pg_temp.of_z ('product_id'),
    'p1/c1/ p2/c1/ p1', 'its own event brings the product');
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1"}', 'subscription.paid@2{"payment_id":"y","product_id":"p2"}',
        'subscription.paid@3{"payment_id":"z","product_id":null}', 'subscription.paid@4{"payment_id":"z","subscription_id":"s1","product_id":null}') || ' ' || pg_temp.of_z ('product_id'),
    '/c1/ p1/c1/ p2/c1/ -', 'but nothing is inherited after the beginning');

-- Customers: by id; an e-mail alone is the latest id that had it.
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","customer_id":null}'), 'p1/email:c1@example.com/', 'by e-mail');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","customer_id":null}'),
    'p1/c1/', 'an e-mail that an earlier customer has');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","customer_id":null}', 'checkout.completed@2{"payment_id":"y"}'),
    'p1/c1/ p1/email:c1@example.com/', 'a later one does not count');
SELECT is(pg_temp.items (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","customer_id":"c2"}', 'checkout.completed@3{"payment_id":"z","customer_id":null}') || ' ' || pg_temp.of_z ('customer_id'),
    'p1/c1/ p1/c2/ c2', 'of two the latest');
SELECT is(pg_temp.items (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"x","customer_email":"new@example.com"}',
        'checkout.completed@3{"payment_id":"z","customer_id":null}'),
    'p1/c1/ p1/email:c1@example.com/', 'an e-mail that it had before is not its own any more');
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1"}',
        'subscription.paid@2{"payment_id":"y","subscription_id":"s1","customer_id":null,"customer_email":"else@example.com"}'),
    'p1/c1/ p1/email:else@example.com/', 'an own e-mail goes before what could be inherited');
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1"}', 'subscription.paid@2{"payment_id":"y","subscription_id":"s2","customer_id":"c2"}',
        'subscription.paid@3{"payment_id":"z","subscription_id":"s1","customer_id":null,"customer_email":null}') || ' ' || pg_temp.of_z ('customer_id'),
    'p1/c1/ p1/c2/ c1', 'the customer of the same subscription');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","customer_id":null}', 'checkout.completed@2{"payment_id":"z","customer_id":null,"customer_email":null}'),
    'p1/email:c1@example.com/', 'the only one, be it an e-mail');
SELECT is(pg_temp.items (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","customer_id":"c2"}',
        'checkout.completed@3{"payment_id":"z","customer_id":null,"customer_email":null}'),
    'p1// p1/c1/ p1/c2/', 'of two, none');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","customer_id":null}', 'checkout.completed@2{"payment_id":"x","customer_email":"new@example.com"}'),
    'p1/c1/', 'an own id that comes later goes before the own e-mail');
SELECT is(pg_temp.items (
        'checkout.completed@1{"payment_id":"x","customer_id":null}', 'checkout.completed@2{"payment_id":"x","customer_id":null,"customer_email":"new@example.com"}'),
    'p1/email:new@example.com/', 'of own e-mails the latest counts');
SELECT is(pg_temp.items (
        'checkout.completed@1{"payment_id":"w","customer_id":"c7"}', 'checkout.completed@2{"payment_id":"x","customer_id":null,"customer_email":null}',
        'checkout.completed@3{"payment_id":"x","customer_id":null,"customer_email":"new@example.com"}'),
    'p1/c7/ p1/email:new@example.com/', 'an own e-mail that comes later goes before what was inherited');

-- Users: inherited from purchases of the same customer.
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","request_id":"u1"}', 'checkout.completed@2{"payment_id":"y"}'), 'p1/c1/u1', 'the only user');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","request_id":"u1"}', 'checkout.completed@2{"payment_id":"y","customer_id":"c2"}'),
    'p1/c1/u1 p1/c2/', 'not that of another customer');
SELECT is(pg_temp.items (
        'checkout.completed@1{"payment_id":"x","request_id":"u1"}', 'checkout.completed@2{"payment_id":"y","request_id":"u2","customer_id":"c2"}',
        'checkout.completed@3{"payment_id":"z","customer_id":"c2","product_id":"p2"}'),
    'p1/c1/u1 p1/c2/u2 p2/c2/u2', 'the only one of the customer, whatever the product');
SELECT is(pg_temp.items (
        'checkout.completed@1{"payment_id":"x","request_id":"u1"}', 'checkout.completed@2{"payment_id":"y","request_id":"u2"}', 'checkout.completed@3{"payment_id":"z"}'),
    'p1/c1/ p1/c1/u1 p1/c1/u2', 'of two, none');
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1","request_id":"u1"}', 'subscription.paid@2{"payment_id":"y","subscription_id":"s2","request_id":"u2"}',
        'subscription.paid@3{"payment_id":"z","subscription_id":"s1"}'),
    'p1/c1/u1 p1/c1/u2', 'that of the same subscription');
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"w","subscription_id":"s1","request_id":"u1"}',
        'subscription.paid@2{"payment_id":"x","subscription_id":"s1","request_id":"u9","customer_id":"c2"}',
        'subscription.paid@3{"payment_id":"y","subscription_id":"s2","request_id":"u2"}', 'subscription.paid@4{"payment_id":"z","subscription_id":"s1"}') || ' ' || pg_temp.of_z ('user_id'),
    'p1/c1/u1 p1/c1/u2 p1/c2/u9 u1', 'and of the same customer');
SELECT is(pg_temp.items (
        'checkout.completed@1{"payment_id":"x","request_id":"u1","customer_id":null,"customer_email":null}',
        'checkout.completed@2{"payment_id":"y","customer_id":null,"customer_email":null}'),
    'p1//u1', 'an unknown customer''s is inherited by an unknown one');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","request_id":"u1","customer_id":null,"customer_email":null}', 'checkout.completed@2{"payment_id":"y"}'),
    'p1//u1 p1/c1/', 'and by no other');
SELECT is(pg_temp.items (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"x","request_id":"u1"}', 'checkout.completed@3{"payment_id":"x","request_id":"u2"}'),
    'p1/c1/u1', 'an own one may come later, and the first stays');
SELECT is(pg_temp.told ('SELECT user_id FROM bagelpay.orders'), 'u2', 'the order''s is the latest');

-- Columns: the latest that a purchase carries, of the purchases as they began.
\set columns 'SELECT product_name, customer_email, units, recurring_interval, subscription_id, processor_subscription_id, pg_temp.utc (billing_period_start), pg_temp.utc (billing_period_end), payment_method, last4, billing_amount FROM bagelpay.items'
\set full '"product_name":"%s","units":%s,"recurring_interval":"%s mons","subscription_id":"s%s","processor_subscription_id":"r%s","billing_period_start":"2025-0%s-01 00:00:00+00","billing_period_end":"2025-0%s-02 00:00:00+00","payment_method":"m%s","last4":"%s","billing_amount":"%s.50"}'
SELECT is(pg_temp.items (
    'subscription.paid@1{"payment_id":"x",' || format(:'full', 1, 1, 1, 1, 1, 1, 1, 1, 1, 1),
    'subscription.paid@2{"payment_id":"y","customer_email":"y@example.com","units":2}'), 'p1/c1/', 'an item');
SELECT is(pg_temp.told (:'columns'),
    '1 y@example.com 2 1 mon s1 r1 2025-01-01 2025-01-02 m1 1 1.50', 'has what its latest purchase carries, and else what an earlier one does');
SELECT pg_temp.take ('x2', 'subscription.paid', '2025-01-05 00:00:00', ('{"payment_id":"x","customer_email":"x@example.com",' || format(:'full', 3, 3, 3, 1, 1, 3, 3, 3, 3, 3))::jsonb) \g /dev/null
SELECT is(pg_temp.told (:'columns'),
    '3 y@example.com 2 3 mons s1 r1 2025-03-01 2025-03-02 m3 3 3.50', 'a later event of an earlier purchase does not go before the later purchase');
SELECT is(pg_temp.told ('SELECT pg_temp.utc (updated_at) FROM bagelpay.items'), '2025-01-05', 'updated by the last event of the order');
\set trial 'SELECT pg_temp.utc (trial_start), pg_temp.utc (trial_end) FROM bagelpay.items'
SELECT is(pg_temp.items (
        'subscription.trialing@1{"trial_start":"2025-01-01 00:00:00+00","trial_end":"2025-01-08 00:00:00+00"}',
        'subscription.paid@2{"payment_id":"x","trial_end":"2025-02-02 00:00:00+00"}') || ' ' || pg_temp.told (:'trial'),
    'p1/c1/ 2025-01-01 2025-01-08', 'the trial is the latest trial''s');
SELECT is(pg_temp.items (
        'subscription.trialing@1{"trial_start":"2025-01-01 00:00:00+00","trial_end":"2025-01-08 00:00:00+00"}',
        'subscription.trialing@2d{"trial_start":"2025-01-03 00:00:00+00"}') || ' ' || pg_temp.told (:'trial'),
    'p1/c1/ 2025-01-03 -', 'whole');
\set canceled 'SELECT pg_temp.utc (canceled_at), pg_temp.utc (cancel_at), cancel_at_period_end FROM bagelpay.items'
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2{"canceled_at":"2025-01-02 00:00:00+00","cancel_at":"2025-01-03 00:00:00+00"}',
        'subscription.canceled@3{"canceled_at":"2025-01-04 00:00:00+00","cancel_at_period_end":true}') || ' ' || pg_temp.told (:'canceled'),
    'p1/c1/ 2025-01-04 - true', 'of cancellations, too, the latest, whole');
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2{"canceled_at":"2025-01-02 00:00:00+00"}', 'subscription.paid@3{"payment_id":"y"}') || ' ' || pg_temp.told (:'canceled'),
    'p1/c1/ - - -', 'that concerns the latest subscription purchase');
SELECT is(pg_temp.items (
        'subscription.paid@1{"payment_id":"x"}', 'subscription.canceled@2{"canceled_at":"2025-01-02 00:00:00+00"}',
        'checkout.completed@3{"payment_id":"y","billing_type":"single_payment"}') || ' ' || pg_temp.told (:'canceled'),
    'p1/c1/ 2025-01-02 - -', 'whatever was bought once since');
SELECT is(pg_temp.told ('SELECT status, product_id, customer_id, pg_temp.utc (canceled_at) FROM bagelpay.subscriptions'),
    'canceled p1 c1 2025-01-02', 'subscriptions show it');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x"}') || ' ' || pg_temp.told ('SELECT * FROM bagelpay.subscriptions'), 'p1/c1/ ', 'but no item without one');

-- A purchase may change its item, as long as its own events say more.
SELECT is(pg_temp.story (
        'checkout.completed@1{"payment_id":"x","product_id":null,"units":1}', 'checkout.completed@2{"payment_id":"y","product_id":null,"units":2}',
        'checkout.completed@3{"payment_id":"y","product_id":"p2"}'),
    'paid / - - / x=paid y=paid', 'one of two leaves');
SELECT is(pg_temp.told ('SELECT product_id <> '''', units FROM bagelpay.items ORDER BY product_id'), 'false 1 | true 2', 'with its columns');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x","product_id":null}', 'subscription.canceled@2', 'subscription.paid@3{"payment_id":"x"}'),
    'paid / active / x=paid', 'the new item has the status that a purchase gives');
SELECT is(pg_temp.story (
        'subscription.paid@1{"payment_id":"x","product_id":null}', 'subscription.paid@2{"payment_id":"y","product_id":null}', 'subscription.canceled@3',
        'subscription.paid@4{"payment_id":"y"}'),
    'paid / canceled active / x=paid y=paid', 'the old one keeps its own while it has subscription purchases');
SELECT is(pg_temp.story (
        'checkout.completed@1{"payment_id":"x","product_id":null,"billing_type":"single_payment"}', 'subscription.paid@2{"payment_id":"y","product_id":null}',
        'subscription.paid@4{"payment_id":"y"}'),
    'paid / - active / x=paid y=paid', 'and has none without');
SELECT is(pg_temp.told ('SELECT latest_subscription, billing_period_end FROM bagelpay_internal.stored_items WHERE product_id = '''''),
    '- -', 'nothing of the subscription is left in it');

SELECT is(pg_temp.story (
        'subscription.paid@1{"payment_id":"x","product_id":null}', 'checkout.completed@2{"payment_id":"y","product_id":null}', 'subscription.paid@3{"payment_id":"x"}',
        'checkout.completed@4{"payment_id":"y","product_id":null}'),
    'paid / - active / x=paid y=paid', 'nor if what is left turns out to be bought once');

-- Two items of one order live apart.
SELECT is(pg_temp.story (
        'subscription.paid@1{"payment_id":"x"}', 'subscription.paid@2{"payment_id":"y","product_id":"p2"}', 'subscription.canceled@3',
        'checkout.failed@4{"payment_id":"z","product_id":"p2"}'),
    'paid / canceled past_due / x=paid y=paid z=failed', 'each has a status');
SELECT is(pg_temp.story (
        'subscription.paid@1{"payment_id":"x"}', 'subscription.paid@2{"payment_id":"y","customer_id":"c2","customer_email":"c2@example.com"}',
        'subscription.canceled@3{"customer_id":"c2"}'),
    'paid / active canceled / x=paid y=paid', 'likewise two customers');

SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'rebuilding changes nothing');

-- A payment and the trial that it bought count as one purchase, which began when the later of them did.
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","product_name":"A"}', 'subscription.trialing@2{"product_name":"B"}',
        'subscription.trialing@3{"payment_id":"x"}') || ' ' || pg_temp.name_of ('c1'), 'p1/c1/ A', 'a payment that buys a later trial');
SELECT is(pg_temp.items ('subscription.trialing@1{"payment_id":"x","product_name":"A"}', 'subscription.trialing@2{"product_name":"B"}',
        'checkout.completed@3{"payment_id":"x"}') || ' ' || pg_temp.name_of ('c1'), 'p1/c1/ A', 'or an earlier one');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","product_name":"A"}', 'subscription.trialing@2{"product_name":"B"}',
        'subscription.trialing@3{"payment_id":"x"}', 'subscription.paid@4{"payment_id":"x"}') || ' ' || pg_temp.name_of ('c1'), 'p1/c1/ B', 'until it is paid for itself');
SELECT is(pg_temp.items ('checkout.completed@1{"payment_id":"x","product_name":"A"}', 'checkout.completed@2{"payment_id":"y","product_name":"B"}',
        'subscription.trialing@3{"payment_id":"x","customer_id":"c2"}') || ' ' || pg_temp.name_of ('c1'), 'p1/c1/ p1/c2/ A', 'also one of another item');
SELECT is(pg_temp.items (
        'subscription.trialing@1{"payment_id":"x","trial_end":"2025-01-08 00:00:00+00"}',
        'subscription.trialing@2{"trial_end":"2025-01-09 00:00:00+00"}',
        'checkout.completed@3{"payment_id":"x"}') || ' ' || pg_temp.told ('SELECT pg_temp.utc (trial_end) FROM bagelpay.items'),
    'p1/c1/ 2025-01-08', 'so that its end is the item''s');

SELECT * FROM finish();

ROLLBACK;
