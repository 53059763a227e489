-- Expected orders: whether each item is what the application said it was about to sell.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(41);

\ir builder.psql

-- expected, paid, matches, mismatches of an order.
CREATE FUNCTION pg_temp.checked (of_order text DEFAULT 'o1', of_mode text DEFAULT 'live')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.told (format('SELECT expected, paid, matches, array_to_string(mismatches, '','') FROM bagelpay.order_checks WHERE order_id = %L AND mode = %L', of_order, of_mode))
$$;

-- An order that was expected, then a story; whether it is as expected, and who is entitled if that is required.
CREATE FUNCTION pg_temp.sold (expectation text, VARIADIC events text[])
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    complaint text := substring(pg_temp.story (VARIADIC events) FROM ' BUT .*');
BEGIN
    EXECUTE format('SELECT bagelpay.expect_order (''o1'', %s)', expectation);
    RETURN concat(pg_temp.checked (), ': ', pg_temp.verdict ('2025-01-20'), complaint);
END
$$;

UPDATE bagelpay.settings SET require_expected_order = TRUE;

-- One item against what was expected. NULL, and an empty text, match anything; e-mails and currencies in any case.
SELECT is(pg_temp.sold (expectation, 'checkout.completed@0{"payment_id":"x","amount":"10","currency":"USD"}'), told, expectation)
FROM (VALUES
    ('''c1@example.com'', ''p1'', 10, ''USD''', 'true true true : yes paid'), (''' C1@Example.com '', '' p1 '', 10.00, '' usd ''', 'true true true : yes paid'),
    ('NULL, NULL, NULL, NULL', 'true true true : yes paid'), (''''', '' '', NULL, ''''', 'true true true : yes paid'),
    ('''c2@example.com'', NULL, NULL, NULL', 'true true false customer: no unconfirmed'), ('NULL, ''P1'', NULL, NULL', 'true true false product: no unconfirmed'),
    ('NULL, NULL, 10.01, NULL', 'true true false amount: no unconfirmed'), ('NULL, NULL, 0, NULL', 'true true false amount: no unconfirmed'), ('NULL, NULL, NULL, ''EUR''', 'true true false currency: no unconfirmed'),
    ('''else@example.com'', ''p2'', 11, ''EUR''', 'true true false customer,product,amount,currency: no unconfirmed')) AS v (expectation, told);
SELECT is(pg_temp.sold ('''c1@example.com'', ''p1'', 10, ''USD''', 'checkout.completed@0{"payment_id":"x","product_id":null,"customer_id":null,"customer_email":null}'),
    'true true false customer,product,amount,currency: no unconfirmed', 'what is not known is not as expected');
SELECT is(pg_temp.sold ('NULL, NULL, NULL, NULL', 'checkout.completed@0{"payment_id":"x","product_id":null,"customer_id":null,"customer_email":null}'),
    'true true true : yes paid', 'unless anything is');

-- The first payment's amount; none is asked of a trial.
SELECT is(pg_temp.sold ('NULL, NULL, 10, NULL', 'subscription.paid@0{"payment_id":"x","amount":"10"}', 'subscription.paid@1{"payment_id":"y","amount":"20"}'),
    'true true true : yes active 2025-02-02 00:00:01', 'the first payment decides');
SELECT is(pg_temp.sold ('NULL, NULL, 20, NULL', 'subscription.paid@0{"payment_id":"x","amount":"10"}', 'subscription.paid@1{"payment_id":"y","amount":"20"}'),
    'true true false amount: no unconfirmed', 'not a later one');
SELECT is(pg_temp.sold ('NULL, NULL, 10, NULL', 'subscription.paid@0{"payment_id":"x","amount":"5"}', 'subscription.paid@1{"payment_id":"x","amount":"10"}'),
    'true true true : yes active 2025-02-02 00:00:00', 'with the amount that it has now');
SELECT is(pg_temp.sold ('NULL, ''p1'', 10, ''EUR''', 'subscription.trialing@0'), 'true false true : yes trialing 2025-02-02 00:00:00', 'a trial before it is paid for');
SELECT is(pg_temp.sold ('NULL, ''p1'', 10, ''EUR''', 'subscription.trialing@0', 'subscription.paid@5d{"payment_id":"x","amount":"9","currency":"EUR"}'),
    'true true false amount: no unconfirmed', 'and after');
SELECT is(pg_temp.sold ('NULL, ''p1'', 10, ''EUR''', 'checkout.failed@0{"payment_id":"w","amount":"99"}', 'checkout.completed@1{"payment_id":"x","amount":"10","currency":"EUR"}'),
    'true true true : yes paid', 'a failure is no payment');

-- What is paid, and what is not there.
SELECT is(pg_temp.sold ('NULL, NULL, NULL, NULL', 'checkout.failed@0{"payment_id":"x"}'), 'true false - : no failed', 'before there is a purchase');
SELECT is(pg_temp.sold ('NULL, NULL, NULL, NULL', 'checkout.completed@0{"payment_id":"x"}', 'refund.created@1{"payment_id":"x"}'),
    'true false true : no refunded', 'refunded it is not paid');
SELECT is(pg_temp.sold ('NULL, NULL, NULL, NULL', 'checkout.completed@0{"payment_id":"x","amount":"2"}', 'refund.created@1{"payment_id":"x","refund_amount":"1"}'),
    'true true true : yes partially_refunded', 'but in part');
SELECT is(pg_temp.sold ('NULL, NULL, NULL, NULL', 'checkout.completed@0{"payment_id":"x"}', 'checkout.cancel@1d{"payment_id":"x"}'),
    'true false true : no disputed', 'nor disputed');
UPDATE bagelpay.settings SET revoke_on_dispute = FALSE;
SELECT is(pg_temp.checked () || ': ' || pg_temp.verdict ('2025-01-20'), 'true true true : yes disputed', 'unless that does not matter');
UPDATE bagelpay.settings SET revoke_on_dispute = TRUE;
SELECT pg_temp.forget () \g /dev/null
SELECT bagelpay.expect_order (' o1 ', 'c1@example.com', 'p1', 10, 'USD') \g /dev/null
SELECT is(pg_temp.checked (), 'true false - ', 'without any event');
SELECT is(pg_temp.told ('SELECT mode, order_id, customer_email, product_id, amount, currency FROM bagelpay.expected_orders'),
    'live o1 c1@example.com p1 10 USD', 'it is kept');
SELECT bagelpay.expect_order ('o1', NULL, 'p2', 5, NULL) \g /dev/null
SELECT is(pg_temp.told ('SELECT customer_email, product_id, amount, currency FROM bagelpay.expected_orders'), '- p2 5 -', 'until it is replaced');

-- Several items: each for itself; the order has the mismatches of the one that comes closest.
SELECT is(pg_temp.sold (
        'NULL, ''p2'', 10, NULL', 'checkout.completed@0{"payment_id":"x","amount":"10"}', 'checkout.completed@1{"payment_id":"y","amount":"10","product_id":"p2"}',
        'checkout.completed@2{"payment_id":"z","amount":"9","product_id":"p2","customer_id":"c2","customer_email":"c2@example.com"}'),
    'true true true : no unconfirmed | yes paid | no unconfirmed', 'one of three items');
SELECT is(pg_temp.sold (
        '''c9@example.com'', ''p2'', 9, NULL', 'checkout.completed@0{"payment_id":"x","amount":"10"}',
        'checkout.completed@1{"payment_id":"y","amount":"9","product_id":"p2"}',
        'checkout.completed@2{"payment_id":"z","amount":"8","product_id":"p2","customer_id":"c2","customer_email":"c2@example.com"}'),
    'true true false customer: no unconfirmed | no unconfirmed | no unconfirmed', 'none of three');

-- What was not expected, or in the other mode.
SELECT is(pg_temp.story ('checkout.completed@0{"payment_id":"x"}') || ': ' || pg_temp.checked () || ': ' || pg_temp.verdict ('2025-01-20'),
    'paid / - / x=paid: false true false unexpected: no unconfirmed', 'nobody expected it');
SELECT is(pg_temp.story ('checkout.failed@0{"payment_id":"x"}') || ': ' || pg_temp.checked (),
    'failed / - / x=failed: false false - unexpected', 'without a purchase it is unexpected, too');
SELECT bagelpay.expect_order ('o1', NULL, NULL, NULL, NULL, 'test') \g /dev/null
SELECT pg_temp.take ('later', 'checkout.completed', '2025-01-02 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.checked () || ', ' || pg_temp.checked (of_mode => 'test') || ': ' || pg_temp.verdict ('2025-01-20'),
    'false true false mode, true false - : no unconfirmed', 'expected in the other mode');
SELECT bagelpay.expect_order ('o1', NULL, NULL, NULL, NULL) \g /dev/null
SELECT is(pg_temp.checked () || ': ' || pg_temp.verdict ('2025-01-20'), 'true true true : yes paid', 'then in this one');

-- Decisions go before it; without the setting it does not matter.
SELECT pg_temp.story ('checkout.completed@0{"payment_id":"x"}') \g /dev/null
SELECT bagelpay.grant ('o1') \g /dev/null
SELECT is(pg_temp.verdict ('2999-01-01'), 'yes granted', 'a grant needs no expectation');
SELECT bagelpay.grant ('o1', 'gift@example.com', 'p9', '2998-01-01 00:00:00+00') \g /dev/null
SELECT is(pg_temp.verdict ('2999-01-01'), 'yes granted | no unconfirmed', 'when its end has passed, the item that it made does');
SELECT bagelpay.revoke ('o1') \g /dev/null
SELECT is(pg_temp.verdict ('2999-01-01'), 'no revoked | no revoked', 'a revocation is one');
UPDATE bagelpay.settings SET require_expected_order = FALSE;
SELECT bagelpay.clear ('o1') \g /dev/null
SELECT is(pg_temp.verdict ('2999-01-01') || ': ' || pg_temp.checked (), 'yes paid | no paid: false true false unexpected', 'only the setting takes anybody''s access');

-- What cannot be expected.
SELECT throws_ok('SELECT bagelpay.expect_order (' || wrong || ')', '22023', NULL, wrong)
FROM unnest(ARRAY['NULL, NULL, NULL, NULL, NULL', ''' '', NULL, NULL, NULL, NULL', 'repeat(''x'', 256), NULL, NULL, NULL, NULL', '''o1'', NULL, NULL, NULL, NULL, ''Live''', '''o1'', NULL, NULL, NULL, NULL, NULL']) AS wrong;

SELECT * FROM finish();

ROLLBACK;
