-- Refunds: which payment each counts against, and what a payment is by all that count against it.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(85);

\ir builder.psql

-- A story, and the payment that each refund counts against.
CREATE FUNCTION pg_temp.against (VARIADIC events text[])
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.story (VARIADIC events) || ': ' || pg_temp.told ('SELECT event_id, payment_id FROM bagelpay.refunds ORDER BY event_id')
$$;

-- What a payment x of an amount is after refunds of it, each written as {extra}: its status and refunded_amount.
CREATE FUNCTION pg_temp.judged (amount text, VARIADIC refunds text[])
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.story (VARIADIC
        'checkout.completed@0' || json_build_object('payment_id', 'x', 'amount', amount)
            || (SELECT array_agg(format('refund.created@%s%s', n, '{"payment_id":"x"}'::jsonb || refund::jsonb) ORDER BY n) FROM unnest(refunds) WITH ORDINALITY AS r (refund, n)))
        || ' ' || pg_temp.told ('SELECT refunded_amount FROM bagelpay.payments')
$$;

-- In full, in part, or as the setting says.
SELECT is(pg_temp.judged ('10', '{"refund_label":"full"}'), 'refunded / - / x=refunded 0', 'labelled full');
SELECT is(pg_temp.judged ('10', '{"refund_label":"full","refund_amount":"1"}'), 'refunded / - / x=refunded 1', 'whatever its amount');
SELECT is(pg_temp.judged ('10', '{"refund_label":"full"}', '{"refund_label":"partial","refund_amount":"1"}'), 'refunded / - / x=refunded 1', 'whatever another says');
SELECT is(pg_temp.judged ('10', '{"refund_label":"partial"}'), 'partially_refunded / - / x=partially_refunded 0', 'labelled partial');
SELECT is(pg_temp.judged (NULL, '{"refund_label":"partial"}'), 'partially_refunded / - / x=partially_refunded 0', 'of an unknown amount');
SELECT is(pg_temp.judged ('10', '{"refund_amount":"4"}'), 'partially_refunded / - / x=partially_refunded 4', 'a part of the amount');
SELECT is(pg_temp.judged ('10', '{"refund_amount":"10.00"}'), 'refunded / - / x=refunded 10', 'all of it');
SELECT is(pg_temp.judged ('10', '{"refund_amount":"4"}', '{"refund_amount":"6"}'), 'refunded / - / x=refunded 10', 'parts that add up to all');
SELECT is(pg_temp.judged ('0.3', '{"refund_amount":"0.1"}', '{"refund_amount":"0.2"}'), 'refunded / - / x=refunded 0.3', 'a tenth and two tenths are three tenths');
SELECT is(pg_temp.judged ('10', '{"refund_running_total":"4"}', '{"refund_running_total":"9"}', '{"refund_running_total":"6"}'),
    'partially_refunded / - / x=partially_refunded 9', 'of running totals the greatest');
SELECT is(pg_temp.judged ('10', '{"refund_running_total":"10"}'), 'refunded / - / x=refunded 10', 'which may reach the amount');
SELECT is(pg_temp.judged ('10', '{"refund_amount":"8"}', '{"refund_running_total":"3"}'),
    'partially_refunded / - / x=partially_refunded 3', 'beside one, an amount without refund_id does not count');
SELECT is(pg_temp.judged ('10', '{"refund_id":"R1","refund_amount":"4"}', '{"refund_id":"R1","refund_amount":"4"}'),
    'partially_refunded / - / x=partially_refunded 4', 'one refund told twice');
SELECT is(pg_temp.judged ('10', '{"refund_id":"R1","refund_amount":"4"}', '{"refund_id":"R2","refund_amount":"6"}'), 'refunded / - / x=refunded 10', 'two refunds');
SELECT is(pg_temp.judged ('10', '{"refund_id":"R1","refund_amount":"9"}', '{"refund_id":"R1","refund_amount":"4"}'),
    'partially_refunded / - / x=partially_refunded 4', 'of one, its latest amount');
SELECT is(pg_temp.judged ('10', '{"refund_id":"R1","refund_amount":"4"}', '{"refund_id":"R1"}'), 'partially_refunded / - / x=partially_refunded 4', 'that it has one');
SELECT is(pg_temp.judged ('10', '{"refund_id":"R1","refund_amount":"4"}', '{"refund_amount":"2"}'),
    'partially_refunded / - / x=partially_refunded 6', 'with and without refund_id');
SELECT is(pg_temp.judged ('10', '{"refund_id":"R1","refund_amount":"4"}', '{"refund_amount":"6"}', '{"refund_running_total":"5"}'),
    'partially_refunded / - / x=partially_refunded 5', 'the greater of the sum and the running total');
SELECT is(pg_temp.judged ('10', '{"refund_id":"R1","refund_amount":"4"}', '{"refund_id":"R2","refund_amount":"5"}', '{"refund_running_total":"5"}'),
    'partially_refunded / - / x=partially_refunded 9', 'either way');
SELECT is(pg_temp.judged ('10', '{"refund_label":"partial","refund_amount":"10"}'),
    'partially_refunded / - / x=partially_refunded 10', 'labelled partial without refund_id, an amount does not make it full');
SELECT is(pg_temp.judged ('10', '{"refund_label":"partial","refund_amount":"6"}', '{"refund_amount":"6"}'),
    'partially_refunded / - / x=partially_refunded 12', 'nor a part of it');
SELECT is(pg_temp.judged ('10', '{"refund_label":"partial","refund_amount":"10","refund_id":"R1"}'), 'refunded / - / x=refunded 10', 'with one it does');
SELECT is(pg_temp.judged ('10', '{"refund_label":"partial","refund_running_total":"10"}'), 'refunded / - / x=refunded 10', 'so does a running total');
SELECT is(pg_temp.judged ('0', '{"refund_amount":"0"}'), 'partially_refunded / - / x=partially_refunded 0', 'nothing of nothing is in part');
SELECT is(pg_temp.judged ('10', '{}'), 'refunded / - / x=refunded 0', 'neither label nor amount: as the setting says');
SELECT is(pg_temp.judged (NULL, '{"refund_amount":"4"}'), 'refunded / - / x=refunded 4', 'likewise if the amount of the payment is not known');
SELECT is(pg_temp.judged ('10', '{}', '{"refund_amount":"4"}'), 'partially_refunded / - / x=partially_refunded 4', 'unless another refund tells');
UPDATE bagelpay.settings SET unknown_refund = 'partial';
SELECT is(pg_temp.judged ('10', '{}'), 'partially_refunded / - / x=partially_refunded 0', 'set otherwise');
UPDATE bagelpay.settings SET unknown_refund = 'full';
SELECT is(pg_temp.take ('late', 'checkout.failed', '2024-01-01 00:00:00') || ' ' || pg_temp.state (),
    'applied partially_refunded / - / event:late=failed x=partially_refunded', 'a late event does not bring a changed setting to what is stored');
SELECT is(bagelpay.rebuild ('o1') || ' ' || pg_temp.state (), '1 refunded / - / event:late=failed x=refunded', 'rebuild does');
UPDATE bagelpay.settings SET unknown_refund = 'partial';
SELECT pg_temp.take ('again', 'refund.created', '2025-01-02 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.state (), 'partially_refunded / - / event:late=failed x=partially_refunded', 'the latest refund brings its own');
UPDATE bagelpay.settings SET unknown_refund = 'full';
SELECT is(pg_temp.story (
        'checkout.completed@1{"payment_id":"x"}', 'refund.created@2{"payment_id":"x","refund_amount":"4"}', 'checkout.completed@3{"payment_id":"x","amount":"10"}'),
    'partially_refunded / - / x=partially_refunded', 'a payment that tells its amount later is judged by it');

-- Beside disputes.
SELECT is(pg_temp.story ('checkout.completed@1{"payment_id":"x","amount":"10"}', 'checkout.cancel@2d{"payment_id":"x"}', 'refund.created@3d{"payment_id":"x","refund_amount":"1"}'),
    'disputed / - / x=disputed', 'a partial refund does not end a dispute');
SELECT is(pg_temp.story (
        'checkout.completed@1{"payment_id":"x","amount":"10"}', 'checkout.cancel@2d{"payment_id":"x"}', 'refund.created@3d{"payment_id":"x","refund_label":"full"}'),
    'refunded / - / x=refunded', 'a full one does');
SELECT is(pg_temp.story (
        'checkout.completed@1{"payment_id":"x","amount":"10"}', 'checkout.cancel@2d{"payment_id":"x"}', 'refund.created@3d{"payment_id":"x","refund_amount":"4"}',
        'refund.created@4d{"payment_id":"x","refund_amount":"6"}'),
    'refunded / - / x=refunded', 'so do two parts');

-- By name: payment_id, whenever it is paid.
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}', 'refund.created@3{"payment_id":"x"}'),
    'paid / - / x=refunded y=paid: e3 x', 'an older payment');
SELECT is(pg_temp.against ('refund.created@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"x"}'), 'refunded / - / x=refunded: e1 x', 'one that is paid later');
SELECT is(pg_temp.against ('refund.created@1{"payment_id":"x"}', 'checkout.failed@2{"payment_id":"x"}'), 'failed / - / x=failed: e1 -', 'but not one that only failed');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x"}', 'refund.created@2{"payment_id":"nix"}'),
    'paid / - / x=paid: e2 -', 'a name that is unknown takes nothing else');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x","product_id":"p2","customer_id":"c2"}', 'refund.created@2{"payment_id":"x"}'),
    'refunded / - / x=refunded: e2 x', 'whatever product and customer it names');

-- By the provider's order: the latest paid, or the next.
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x","provider_order_id":"O"}', 'checkout.completed@2{"payment_id":"y"}', 'refund.created@3{"provider_order_id":"O"}'),
    'paid / - / x=refunded y=paid: e3 x', 'the payment of it');
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"x","provider_order_id":"O"}', 'checkout.completed@2{"payment_id":"y","provider_order_id":"O"}',
        'refund.created@3{"provider_order_id":"O"}'),
    'refunded / - / x=paid y=refunded: e3 y', 'of several the latest paid');
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"x","provider_order_id":"O"}', 'refund.created@2{"provider_order_id":"O"}',
        'checkout.completed@3{"payment_id":"y","provider_order_id":"O"}'),
    'paid / - / x=refunded y=paid: e2 x', 'by then');
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"w"}', 'refund.created@2{"provider_order_id":"O"}', 'checkout.completed@3{"payment_id":"x","provider_order_id":"O"}',
        'checkout.completed@4{"payment_id":"y","provider_order_id":"O"}'),
    'paid / - / w=paid x=refunded y=paid: e2 x', 'if there is none, the first that comes');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x"}', 'refund.created@2{"provider_order_id":"O"}', 'checkout.completed@3{"payment_id":"x","provider_order_id":"O"}'),
    'refunded / - / x=refunded: e2 x', 'also if it was paid before and is known to be of it now');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"y","provider_order_id":"O"}', 'refund.created@2{"payment_id":"x","provider_order_id":"O"}'),
    'paid / - / y=paid: e2 -', 'with a payment_id it names no other payment');
SELECT is(pg_temp.against ('checkout.completed@1{"provider_order_id":"O"}', 'refund.created@2{"payment_id":"x","provider_order_id":"O"}'),
    'refunded / - / order:O=refunded: e2 order:O', 'but one that has none itself');
SELECT is(pg_temp.against (
        'checkout.completed@1{"provider_order_id":"O"}', 'refund.created@2{"payment_id":"x","provider_order_id":"O"}',
        'checkout.completed@3{"payment_id":"x","provider_order_id":"O"}'),
    'refunded / - / x=refunded: e2 x', 'which may take that name');
SELECT is(pg_temp.against (
        'checkout.completed@1{"provider_order_id":"O"}', 'refund.created@2{"payment_id":"x","provider_order_id":"O"}',
        'checkout.completed@3{"payment_id":"y","provider_order_id":"O"}'),
    'refunded / - / y=refunded: e2 y', 'or another');
SELECT is(pg_temp.against ('checkout.completed@1{"provider_order_id":"O"}', 'refund.created@2{"payment_id":"x","provider_order_id":"O"}', 'checkout.completed@3{"payment_id":"x"}'),
    'refunded / - / order:O=paid x=refunded: e2 x', 'until the payment that it names is paid');
SELECT is(pg_temp.against ('refund.created@1{"payment_id":"x","provider_order_id":"O"}', 'checkout.completed@2{"provider_order_id":"O"}'),
    'refunded / - / order:O=refunded: e1 order:O', 'likewise if that comes later');
SELECT is(pg_temp.against (
        'checkout.completed@1{"provider_order_id":"O"}', 'refund.created@2{"provider_order_id":"O"}', 'checkout.completed@3{"payment_id":"x","provider_order_id":"O"}'),
    'refunded / - / x=refunded: e2 x', 'a renamed payment keeps its refunds');

-- By nothing: subscription, else product and customer.
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}', 'refund.created@3'),
    'refunded / - / x=paid y=refunded: e3 y', 'the latest payment');
SELECT is(pg_temp.against ('refund.created@1', 'checkout.completed@2{"payment_id":"x"}'), 'paid / - / x=paid: e1 -', 'before it');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x"}', 'checkout.failed@2{"payment_id":"y"}', 'refund.created@3'),
    'refunded / - / x=refunded y=failed: e3 x', 'that was paid');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x"}', 'subscription.trialing@2', 'refund.created@3'),
    'refunded / trialing / x=refunded: e3 x', 'not a trial');
SELECT is(pg_temp.against (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1"}', 'subscription.paid@2{"payment_id":"y","subscription_id":"s2"}',
        'refund.created@3{"subscription_id":"s1"}'),
    'paid / active / x=refunded y=paid: e3 x', 'of its subscription');
SELECT is(pg_temp.against (
        'subscription.paid@1{"payment_id":"x","subscription_id":"s1","product_id":"p2","customer_id":"c2"}', 'subscription.paid@2{"payment_id":"y"}',
        'refund.created@3{"subscription_id":"s1"}'),
    'paid / active active / x=refunded y=paid: e3 x', 'whatever product and customer');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x"}', 'subscription.paid@2{"payment_id":"y","subscription_id":"s2"}', 'refund.created@3{"subscription_id":"s1"}'),
    'paid / active / x=refunded y=paid: e3 x', 'if there is none, one that names no other');
SELECT is(pg_temp.against ('subscription.paid@1{"payment_id":"y","subscription_id":"s2"}', 'refund.created@2{"subscription_id":"s1"}'),
    'paid / active / y=paid: e2 -', 'or none');
SELECT is(pg_temp.against ('subscription.paid@1{"payment_id":"y","subscription_id":"s2"}', 'refund.created@2{"processor_subscription_id":"r1"}'),
    'refunded / active / y=refunded: e2 y', 'an id of the other kind is no other');
SELECT is(pg_temp.against ('subscription.paid@1{"payment_id":"y","subscription_id":"s2","processor_subscription_id":"r2"}', 'refund.created@2{"processor_subscription_id":"r1"}'),
    'paid / active / y=paid: e2 -', 'but if one of its kind belongs to it');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","product_id":"p2"}', 'refund.created@3'),
    'paid / - - / x=refunded y=paid: e3 x', 'of its product');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","product_id":"p2"}', 'refund.created@3{"product_id":null}'),
    'refunded / - - / x=paid y=refunded: e3 y', 'if it says one');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x"}', 'refund.created@2{"product_id":"p9"}'),
    'paid / - / x=paid: e2 -', 'if there is none, it takes nothing');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x","product_id":null}', 'refund.created@2{"product_id":"p9"}'),
    'refunded / - / x=refunded: e2 x', 'as far as the payment says one');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","customer_id":"c2"}', 'refund.created@3'),
    'paid / - - / x=refunded y=paid: e3 x', 'of its customer');
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","customer_id":"c2","customer_email":"c2@example.com"}',
        'refund.created@3{"customer_id":null}'),
    'paid / - - / x=refunded y=paid: e3 x', 'also by e-mail alone');
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y","customer_id":"c2","customer_email":"c2@example.com"}',
        'refund.created@3{"customer_id":null,"customer_email":null}'),
    'refunded / - - / x=paid y=refunded: e3 y', 'if it says one');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x","customer_id":null,"customer_email":null}', 'refund.created@2{"customer_id":"c9"}'),
    'refunded / - / x=refunded: e2 x', 'as far as the payment says one');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"b"}', 'checkout.completed@1{"payment_id":"a"}', 'refund.created@3'),
    'refunded / - / a=paid b=refunded: e3 b', 'of two paid at one moment the bytewise last');
SELECT is(pg_temp.against ('checkout.completed@1', 'refund.created@2'),
    'refunded / - / event:e1=refunded: e2 event:e1', 'a payment without any name can be refunded only so');

-- One refund, told several times, is of one payment.
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}', 'refund.created@3{"refund_id":"R","payment_id":"x"}',
        'refund.created@4{"refund_id":"R"}'),
    'paid / - / x=refunded y=paid: e3 x | e4 x', 'the one that the first names');
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}', 'refund.created@3{"refund_id":"R"}',
        'refund.created@4{"refund_id":"R","payment_id":"x"}'),
    'paid / - / x=refunded y=paid: e3 x | e4 x', 'or the second');
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"x"}', 'checkout.completed@2{"payment_id":"y"}', 'refund.created@3{"refund_id":"R","payment_id":"y"}',
        'refund.created@4{"refund_id":"R","payment_id":"x"}'),
    'refunded / - / x=paid y=refunded: e3 y | e4 y', 'of two names the first');
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"x","provider_order_id":"O"}', 'checkout.completed@2{"payment_id":"y"}',
        'refund.created@3{"refund_id":"R","provider_order_id":"O"}', 'refund.created@4{"refund_id":"R","payment_id":"y"}'),
    'refunded / - / x=paid y=refunded: e3 y | e4 y', 'payment_id before the provider''s order');
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"x"}', 'refund.created@2{"refund_id":"R"}', 'checkout.completed@3{"payment_id":"y"}', 'refund.created@4{"refund_id":"R"}'),
    'paid / - / x=refunded y=paid: e2 x | e4 x', 'without names, the one found for the first');
SELECT is(pg_temp.against ('refund.created@1{"refund_id":"R"}', 'checkout.completed@2{"payment_id":"y"}', 'refund.created@3{"refund_id":"R"}'),
    'paid / - / y=paid: e1 - | e3 -', 'even if that is none');
SELECT is(pg_temp.against ('checkout.completed@1{"payment_id":"x"}', 'refund.created@2{"refund_id":"R"}', 'refund.created@3{"refund_id":"R","payment_id":"nix"}'),
    'paid / - / x=paid: e2 - | e3 -', 'with an unknown name, none');
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"x"}', 'refund.created@2{"refund_id":"R"}', 'refund.created@3{"refund_id":"R","payment_id":"y"}',
        'checkout.completed@4{"payment_id":"y"}'),
    'refunded / - / x=paid y=refunded: e2 y | e3 y', 'until it is known');
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"x"}', 'refund.created@2{"refund_id":"R","payment_id":"y"}', 'refund.created@3{"refund_id":"R","payment_id":"x"}',
        'checkout.completed@4{"payment_id":"y"}'),
    'refunded / - / x=paid y=refunded: e2 y | e3 y', 'which may move it from one to the other');
SELECT is(pg_temp.against (
        'checkout.completed@1{"payment_id":"x","amount":"10"}', 'checkout.completed@2{"payment_id":"y","amount":"10"}',
        'refund.created@3{"refund_id":"R","payment_id":"x","refund_amount":"4"}', 'refund.created@4{"refund_id":"S","refund_amount":"6"}'),
    'partially_refunded / - / x=partially_refunded y=partially_refunded: e3 x | e4 y', 'two refunds are two');

-- What is on record.
SELECT is(pg_temp.story (
        'checkout.completed@1{"payment_id":"x","amount":"10"}',
        'refund.created@2{"payment_id":"x","refund_id":"R","refund_amount":"1.50","refund_running_total":"2","refund_label":"partial"}',
        'refund.created@3{"payment_id":"nix"}'),
    'partially_refunded / - / x=partially_refunded', 'refunds');
SELECT is(pg_temp.told ('SELECT mode, order_id, event_id, refund_id, payment_id, amount, running_total, label, pg_temp.utc (occurred_at) FROM bagelpay.refunds ORDER BY event_id'),
    'live o1 e2 R x 1.50 2 partial 2025-01-01 00:00:02 | live o1 e3 - - - - - 2025-01-01 00:00:03', 'are rows');
SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'rebuilding changes nothing');

SELECT * FROM finish();

ROLLBACK;
