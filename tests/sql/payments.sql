-- Payments, row by row of their table: statuses, names, kinds, columns; and what follows for the order.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(82);

\ir builder.psql

-- Payment events and failures.
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}'), 'paid / - / x=paid', 'a payment');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x","amount":"0"}'), 'paid / - / x=paid', 'a payment of nothing is one');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"x"}'), 'paid / - / x=paid', 'the same payment told twice');
SELECT is(pg_temp.told ('SELECT pg_temp.utc (paid_at), pg_temp.utc (updated_at) FROM bagelpay.payments'),
    '2025-01-01 00:00:01 2025-01-01 00:00:02', 'is paid at the first, updated at the last');
SELECT is(pg_temp.story ('checkout.failed@1{"payment_id":"x"}'), 'failed / - / x=failed', 'a failure');
SELECT is(pg_temp.told ('SELECT paid_at, refunded_amount, pg_temp.utc (updated_at) FROM bagelpay.payments'), '- 0 2025-01-01 00:00:01', 'was not paid');
SELECT is((SELECT count(*) FROM bagelpay.items), 0::bigint, 'and makes no item');
SELECT is(pg_temp.story ('checkout.failed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"x"}'), 'paid / - / x=paid', 'a failure, then the payment');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'checkout.failed@2{"payment_id":"x"}'), 'paid / - / x=paid', 'what was paid does not fail');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'checkout.failed@2{"payment_id":"y"}'),
    'paid / - / x=paid y=failed', 'a failed further payment leaves the order paid');
SELECT is(pg_temp.story ('checkout.failed@1{"payment_id":"x"}', 'subscription.paid@1{"payment_id":"x"}'),
    'paid / active / x=paid', 'of one second, the failure comes first');

-- Disputes: a checkout.cancel more than an hour after the payment.
SELECT is(pg_temp.story ('checkout.completed@0{"payment_id":"x"}', 'checkout.cancel@3601{"payment_id":"x"}'), 'disputed / - / x=disputed', 'a dispute');
SELECT is(pg_temp.story ('checkout.completed@0{"payment_id":"x"}', 'checkout.cancel@3600{"payment_id":"x"}'),
    'paid / - / x=paid', 'within an hour it is a page that was closed');
SELECT is(pg_temp.story ('checkout.completed@0.5{"payment_id":"x"}', 'checkout.cancel@3600.500001{"payment_id":"x"}'),
    'disputed / - / x=disputed', 'an hour and a microsecond');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2d{"payment_id":"x"}', 'checkout.cancel@2d{"payment_id":"x"}'),
    'disputed / - / x=disputed', 'counted from the first event of the payment');
SELECT is(pg_temp.story ('checkout.cancel@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"x"}'), 'paid / - / x=paid', 'before the payment it was a page');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'checkout.cancel@2d'), 'paid / - / x=paid', 'what names no payment disputes none');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'checkout.cancel@2d{"payment_id":"y"}'), 'paid / - / x=paid', 'nor does what names an unknown one');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x","provider_order_id":"O"}', 'checkout.cancel@2d{"provider_order_id":"O"}'),
    'disputed / - / x=disputed', 'a dispute by the provider''s order');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x","provider_order_id":"O"}', 'checkout.cancel@2d{"payment_id":"y","provider_order_id":"O"}'),
    'paid / - / x=paid', 'with a payment id, the provider''s order names nothing');
SELECT is(pg_temp.story (
        'checkout.completed@2{"payment_id":"x","provider_order_id":"O"}', 'checkout.completed@1{"payment_id":"y","provider_order_id":"O"}',
        'checkout.cancel@2d{"provider_order_id":"O"}'),
    'disputed / - / x=disputed y=paid', 'of several of the provider''s order, the latest paid');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}', 'checkout.cancel@3d{"payment_id":"x"}'),
    'paid / - / x=disputed y=paid', 'a dispute of an older payment leaves the order paid');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'checkout.cancel@2d{"payment_id":"x"}', 'checkout.completed@3d{"payment_id":"x"}'),
    'disputed / - / x=disputed', 'the payment told again does not end a dispute');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x","amount":"10"}', 'refund.created@2{"payment_id":"x","refund_amount":"1"}', 'checkout.cancel@2d{"payment_id":"x"}'),
    'disputed / - / x=disputed', 'what is refunded in part can be disputed');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'refund.created@2{"payment_id":"x","refund_label":"full"}', 'checkout.cancel@2d{"payment_id":"x"}'),
    'refunded / - / x=refunded', 'what is refunded cannot');
SELECT is(pg_temp.story ('checkout.failed@1{"payment_id":"x"}', 'checkout.cancel@2d{"payment_id":"x"}'), 'canceled / - / x=failed', 'nor what was never paid');

-- orders.status where no payment decides.
SELECT is(pg_temp.story ('checkout.cancel@1'), 'canceled / - /', 'a closed payment page');
SELECT is(pg_temp.story ('checkout.failed@1{"payment_id":"x"}', 'checkout.cancel@2'), 'canceled / - / x=failed', 'closed after a failure');
SELECT is(pg_temp.story ('checkout.cancel@1', 'checkout.failed@2{"payment_id":"x"}'), 'failed / - / x=failed', 'a failure after it was closed');
SELECT is(pg_temp.story ('refund.created@1{"refund_label":"full"}'), 'pending / - /', 'a refund alone leaves it pending');
SELECT is(pg_temp.story ('subscription.canceled@1'), 'pending / - /', 'so does a cancellation');
SELECT is(pg_temp.story ('subscription.trialing@1', 'checkout.failed@2{"payment_id":"x"}', 'checkout.cancel@3'),
    'trialing / past_due / x=failed', 'a trial is not ended by failures and closed pages');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x","billing_type":"single_payment"}', 'subscription.trialing@2{"product_id":"p2"}'),
    'trialing / - trialing / x=paid', 'a trial after a payment');
SELECT is(pg_temp.story (
        'checkout.completed@1{"payment_id":"x","billing_type":"single_payment"}', 'subscription.trialing@2{"product_id":"p2"}', 'refund.created@3{"payment_id":"nix"}'),
    'paid / - trialing / x=paid', 'a refund, of whatever, has the latest payment say it again');

-- The latest paid payment decides, whatever payment the event is about.
SELECT is(pg_temp.story (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}', 'refund.created@3{"payment_id":"y","refund_label":"full"}',
        'checkout.completed@4{"payment_id":"x"}'),
    'refunded / - / x=paid y=refunded', 'an older payment told again');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"B"}', 'checkout.completed@1{"payment_id":"a"}', 'refund.created@3{"payment_id":"a","refund_label":"full"}'),
    'refunded / - / B=paid a=refunded', 'of two paid at one moment the bytewise last is the latest');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"9"}', 'checkout.completed@1{"payment_id":"10"}', 'refund.created@3{"payment_id":"10","refund_label":"full"}'),
    'paid / - / 10=refunded 9=paid', 'as text, not as numbers');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}', 'checkout.cancel@2d{"payment_id":"y"}'),
    'disputed / - / x=paid y=disputed', 'a dispute of the latest');

-- Names.
SELECT is(pg_temp.story ('checkout.completed@1{"provider_order_id":"O"}', 'checkout.completed@2'),
    'paid / - / event:e2=paid order:O=paid', 'without an id: by the provider''s order, or by the event');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x","provider_order_id":"O"}', 'checkout.completed@2{"provider_order_id":"O","amount":"5"}'),
    'paid / - / x=paid', 'the provider''s order leads to the payment before');
SELECT is((SELECT amount FROM bagelpay.payments), 5::numeric, 'which takes what it says');
SELECT is(pg_temp.story (
        'checkout.completed@1{"provider_order_id":"O"}', 'checkout.completed@2{"payment_id":"x"}', 'checkout.completed@3{"payment_id":"y","provider_order_id":"Q"}',
        'subscription.paid@4{"provider_order_id":"O"}'),
    'paid / active / order:O=paid x=paid y=paid', 'or to the one that has no id yet');
SELECT is(pg_temp.story (
        'subscription.paid@1{"payment_id":"x","provider_order_id":"O"}', 'subscription.paid@2{"payment_id":"y","provider_order_id":"O"}',
        'subscription.paid@3{"provider_order_id":"O","amount":"5"}'),
    'paid / active / x=paid y=paid', 'of several, the latest paid');
SELECT is(pg_temp.told ('SELECT payment_id, amount FROM bagelpay.payments ORDER BY payment_id'), 'x - | y 5', 'is the one');
SELECT is(pg_temp.story ('checkout.completed@1{"provider_order_id":"O"}', 'checkout.completed@2{"payment_id":"x","provider_order_id":"O"}'),
    'paid / - / x=paid', 'an id that comes later renames it');
SELECT is((SELECT pg_temp.utc (paid_at) FROM bagelpay.payments), '2025-01-01 00:00:01', 'and it was paid when it was');
SELECT is(pg_temp.story (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"provider_order_id":"O"}', 'checkout.completed@3{"payment_id":"x","provider_order_id":"O"}'),
    'paid / - / order:O=paid x=paid', 'an id that a paid payment has does not');
SELECT is(pg_temp.story ('checkout.completed@1{"provider_order_id":"O"}', 'checkout.failed@2{"payment_id":"x"}', 'checkout.completed@3{"payment_id":"x","provider_order_id":"O"}'),
    'paid / - / x=paid', 'a row of that id that only failed becomes part of it');
SELECT is(pg_temp.story ('checkout.completed@1{"provider_order_id":"O"}', 'checkout.failed@2{"payment_id":"x","provider_order_id":"O"}'),
    'paid / - / order:O=paid x=failed', 'a failure renames nothing');
SELECT is(pg_temp.story ('checkout.failed@1{"provider_order_id":"O"}', 'checkout.completed@2{"payment_id":"x","provider_order_id":"O"}'),
    'paid / - / x=paid', 'what only failed is taken over likewise');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x","provider_order_id":"O"}', 'checkout.failed@2{"provider_order_id":"O"}'),
    'paid / - / x=paid', 'a failure belongs to the paid payment of its provider''s order');
SELECT is(pg_temp.story ('checkout.failed@1{"provider_order_id":"O"}', 'checkout.completed@2{"provider_order_id":"O"}'),
    'paid / - / order:O=paid', 'and what failed can be paid');
SELECT is(pg_temp.story (
        'checkout.completed@1{"provider_order_id":"O"}', 'checkout.completed@1{"payment_id":"m"}', 'checkout.completed@3{"payment_id":"a","provider_order_id":"O"}',
        'refund.created@4{"payment_id":"m","refund_label":"full"}'),
    'refunded / - / a=paid m=refunded', 'of two paid at one moment, the new name decides');

-- Kinds.
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x",' || billed || '}') || ' ' || pg_temp.told ('SELECT kind FROM bagelpay.payments'), 'paid / ' || state || ' / x=paid ' || kind, billed)
FROM (VALUES ('"billing_type":"subscription"', 'active', 'subscription'), ('"kind":"subscription"', 'active', 'subscription'), ('"has_subscription":true', 'active', 'subscription'),
    ('"billing_type":"single_payment"', '-', 'one_time'), ('"has_subscription":false', '-', 'one_time'), ('"kind":"checkout","subscription_id":"s1"', '-', 'one_time')) AS v (billed, state, kind);
\set kinds 'SELECT payment_id, kind FROM bagelpay.payments ORDER BY payment_id'
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}') || ': ' || pg_temp.told (:'kinds'),
    'paid / active / x=paid y=paid: x subscription | y subscription', 'without a billing_type: as an earlier purchase of its item');
SELECT is(pg_temp.story ('subscription.trialing@1', 'checkout.completed@2d{"payment_id":"y"}') || ': ' || pg_temp.told (:'kinds'),
    'paid / active / y=paid: y subscription', 'also if that is a trial');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'subscription.paid@2{"payment_id":"y"}') || ': ' || pg_temp.told (:'kinds'),
    'paid / active / x=paid y=paid: x one_time | y subscription', 'not as a later one');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","billing_type":"single_payment"}') || ': ' || pg_temp.told (:'kinds'),
    'paid / active / x=paid y=paid: x subscription | y one_time', 'nor with a billing_type');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","billing_type":"weekly"}') || ': ' || pg_temp.told (:'kinds'),
    'paid / active / x=paid y=paid: x subscription | y subscription', 'another billing_type counts as none');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","product_id":"p2"}') || ': ' || pg_temp.told (:'kinds'),
    'paid / active - / x=paid y=paid: x subscription | y one_time', 'nor as one of another item');
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x"}', 'subscription.paid@2{"payment_id":"x"}') || ': ' || pg_temp.told (:'kinds'),
    'paid / active / x=paid: x subscription', 'a later event of the payment may say that it is one');
SELECT is(pg_temp.story (
        'subscription.paid@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}', 'checkout.completed@3{"payment_id":"y","billing_type":"single_payment"}') || ': ' || pg_temp.told (:'kinds'),
    'paid / active / x=paid y=paid: x subscription | y one_time', 'or that it is none');
SELECT is(pg_temp.story (
        'checkout.failed@1{"payment_id":"x","billing_type":"subscription"}', 'checkout.failed@2{"payment_id":"x"}', 'checkout.failed@3{"payment_id":"y"}') || ': ' || pg_temp.told (:'kinds'),
    'failed / - / x=failed y=failed: x subscription | y one_time', 'what failed has a kind, too');
SELECT is(pg_temp.story ('checkout.failed@1{"payment_id":"x","billing_type":"subscription"}', 'checkout.completed@2{"payment_id":"x"}') || ': ' || pg_temp.told (:'kinds'),
    'paid / - / x=paid: x one_time', 'of which a payment takes nothing');

-- Columns.
\set columns 'SELECT payment_id, product_id, product_name, customer_id, customer_email, units, recurring_interval, amount, tax_amount, currency, provider_order_id, subscription_id, processor_subscription_id FROM bagelpay.payments ORDER BY payment_id'
SELECT is(pg_temp.story (
    'checkout.completed@1{"payment_id":"x","product_name":"A","units":1,"recurring_interval":"1 mon","amount":"10.50","tax_amount":"1","currency":"EUR","provider_order_id":"O","subscription_id":"s1"}',
    'subscription.paid@2{"payment_id":"x","product_name":"B","customer_email":"b@example.com","amount":"11","processor_subscription_id":"r1"}'), 'paid / active / x=paid', 'two events of a payment');
SELECT is(pg_temp.told (:'columns'), 'x p1 B c1 b@example.com 1 1 mon 11 1 EUR O s1 r1', 'each column is the latest that one of them carries');
SELECT pg_temp.take ('late', 'checkout.failed', '2025-01-02 00:00:00', '{"payment_id":"x","product_name":"C","amount":"12","units":9}') \g /dev/null
SELECT is(pg_temp.told (:'columns'), 'x p1 B c1 b@example.com 1 1 mon 11 1 EUR O s1 r1', 'a failure changes none');
SELECT is(pg_temp.story (
    'checkout.failed@1{"payment_id":"x","product_id":"p2","customer_id":null,"amount":"9","units":3}', 'checkout.failed@2{"payment_id":"x","product_id":null,"customer_id":null,"amount":"8"}'), 'failed / - / x=failed', 'two failures');
SELECT is(pg_temp.told (:'columns'), 'x p2 - - c1@example.com 3 - 8 - - - - -', 'have the latest of theirs, and nothing that is derived');
SELECT pg_temp.take ('paid', 'checkout.completed', '2025-01-02 00:00:00', '{"payment_id":"x","amount":"10"}') \g /dev/null
SELECT is(pg_temp.told (:'columns'), 'x p1 - c1 c1@example.com - - 10 - - - - -', 'when it is paid, nothing of it is left');
SELECT is(pg_temp.story ('subscription.paid@1{"payment_id":"x","billing_period_start":"2025-01-01 00:00:00+00","billing_period_end":"2025-02-01 00:00:00+00"}'),
    'paid / active / x=paid', 'a payment with its period');
SELECT is(pg_temp.told ('SELECT pg_temp.utc (period_start), pg_temp.utc (period_end) FROM bagelpay.payments'), '2025-01-01 2025-02-01', 'which it bought');

-- The order: what it is of is said by selling events, and by others only until there is one.
\set order_columns 'SELECT product_id, product_name, customer_id, customer_email, amount, payment_id, key_source, last_event_id FROM bagelpay.orders'
SELECT is(pg_temp.story (
        'checkout.failed@1{"payment_id":"x","product_id":"p2","amount":"9"}', 'checkout.cancel@2{"product_id":"p3","customer_id":"c3"}') || ': ' || pg_temp.told (:'order_columns'),
    'canceled / - / x=failed: p3 - c3 c1@example.com 9 x metadata e2', 'before anything was sold');
SELECT is(pg_temp.story (
        'checkout.failed@1{"payment_id":"x","product_id":"p2","amount":"9"}', 'subscription.trialing@2{"product_name":"A"}',
        'checkout.failed@3{"payment_id":"y","product_id":"p4","product_name":"D","amount":"8"}') || ': ' || pg_temp.told (:'order_columns'),
    'trialing / trialing / x=failed y=failed: p1 A c1 c1@example.com 9 x metadata e3', 'what is sold, and nothing of what fails later');
SELECT is(pg_temp.story (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","product_id":"p2","customer_id":"c2","amount":"5"}',
        'subscription.canceled@3{"product_id":"p9"}', 'refund.created@3{"payment_id":"z"}') || ': ' || pg_temp.told (:'order_columns'),
    'paid / - - / x=paid y=paid: p2 - c2 c1@example.com 5 y metadata e3', 'the latest selling event; of one second, a cancellation is the last event');
SELECT is((SELECT conflict FROM bagelpay.orders), TRUE, 'with two customers it is in conflict');

SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'rebuilding changes nothing');

SELECT * FROM finish();

ROLLBACK;
