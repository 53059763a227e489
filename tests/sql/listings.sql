-- What BagelPay lists, compared with what is stored: what differs, and what does not.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
SET TimeZone = 'Asia/Tokyo';

-- The database is this file's. Decisions count from the next transaction on.
SELECT plan(74);

\ir builder.psql
\ir listings.psql

SELECT is(pg_temp.differing (), '', 'nothing here, nothing there');
SELECT throws_ok($$SELECT bagelpay_internal.verify ('prod', now(), now(), '[]', '[]', TRUE)$$, '22023', NULL, 'another mode');

-- Payments.
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ()]), 'missing_payment - / 10 EUR unknown', 'a payment of which no event came');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ()], ARRAY[pg_temp.subscription ()]), 'missing_payment - / 10 EUR true', 'for a subscription, which is not told twice');
SELECT is(pg_temp.verified (ARRAY[pg_temp.transaction ()], ARRAY[pg_temp.subscription ()]) #>> '{differences,0,remedy}',
    format('SELECT * FROM bagelpay.grant(''order:A'', ''c1@example.com'', ''p1'', ''%s+00'', ''bagelhook-verify: transaction A'', ''live''); -- or have BagelPay deliver the events again', pg_temp.ago (-25)),
    'its remedy is a grant until the end of the period');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction (), pg_temp.transaction ('{"order_id":"B","transaction_id":"tx2"}')], ARRAY[pg_temp.subscription ()]),
    'missing_subscription - / active until ' || pg_temp.ago (-25) || '+00 true | missing_payment - / 10 EUR unknown | missing_payment - / 10 EUR unknown', 'nobody knows which of two is for the subscription');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"refunded_amount":"10"}')], ARRAY[pg_temp.subscription ('{"status":"canceled"}')]),
    'missing_payment - / 10 EUR refunded false', 'refunded since');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction (jsonb_build_object('created_at', pg_temp.ago (0.005)))]), '', 'its event may be on its way');
SELECT is(pg_temp.verified (ARRAY[pg_temp.transaction (jsonb_build_object('created_at', pg_temp.ago (0.005)))]) ->> 'transactions',
    '{"compared" : 1, "agree" : 0, "guessed" : 0, "recent" : 1, "other" : 0}', 'which is counted');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction (jsonb_build_object('created_at', pg_temp.ago (36)))]), '', 'before the time asked about');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"type":"REFUND"}'), pg_temp.transaction ('{"amount_paid":"0"}')]), '', 'no payments');
SELECT is(pg_temp.verified (ARRAY[pg_temp.transaction ('{"type":"REFUND"}'), pg_temp.transaction ('{"amount_paid":"0"}')]) #>> '{transactions,other}', '2', 'which are counted, too');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"amount_paid":"0","discount_amount":"10"}')]), 'missing_payment - / 10 EUR unknown', 'a voucher pays');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"order_id":null,"unread":"order_id: missing"}')]), 'unreadable 1 transactions / order_id: missing unknown', 'what cannot be read is listed');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"unread":"amount: missing","amount":null}'), pg_temp.transaction ('{"order_id":"B","unread":"amount: missing","amount":null}')]),
    'missing_payment - / EUR unknown | missing_payment - / EUR unknown | unreadable 2 transactions / amount: missing unknown', 'once for each reason');

SELECT pg_temp.paid () \g /dev/null
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ()], ARRAY[pg_temp.subscription ()]), '', 'the same here and there');
SELECT is(pg_temp.verified (ARRAY[pg_temp.transaction ()], ARRAY[pg_temp.subscription ()]) #>> '{transactions,agree}', '1', 'agrees');
SELECT is(pg_temp.verified (ARRAY[pg_temp.transaction ()], ARRAY[pg_temp.subscription ()]) ->> 'subscriptions', '{"compared" : 1, "agree" : 1, "guessed" : 0, "recent" : 0, "other" : 0}', 'agrees');
SELECT is(bagelpay_internal.verify ('test', now() - interval '35 days', now(), json_build_array(pg_temp.transaction ()), '[]', TRUE) #>> '{differences,0,kind}', 'missing_payment', 'in the other mode');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"amount":"11"}')], '{}', FALSE), '', 'what was paid may be told apart from the amount');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"amount":"10.01","amount_paid":"10.01"}')], '{}', FALSE), 'amount 10 EUR / 10.01 EUR false', 'another amount');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"amount":"10.00","amount_paid":null}')], '{}', FALSE), '', 'the same amount');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"currency":"USD"}')], '{}', FALSE), 'amount 10 EUR / 10 USD false', 'another currency');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction (), pg_temp.transaction ('{"transaction_id":"tx2"}' || jsonb_build_object('created_at', pg_temp.ago (3)))], '{}', FALSE),
    'missing_payment - / 10 EUR unknown', 'two transactions of one provider order, two days apart');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction (jsonb_build_object('created_at', pg_temp.ago (4.5)))], '{}', FALSE), '', 'clocks or zones apart');

SELECT pg_temp.take ('f0', 'checkout.failed', pg_temp.ago (5), '{"payment_id":"ch9","provider_order_id":"F"}') \g /dev/null
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"order_id":"F","amount_paid":null}')], '{}', FALSE), '', 'a payment that failed here, and may have failed there');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"order_id":"F"}')], '{}', FALSE), 'missing_payment - / 10 EUR unknown', 'or was paid there');
SELECT unalike(pg_temp.verified (ARRAY[pg_temp.transaction (jsonb_build_object('order_id', E'B\n; DROP TABLE x; --'))], '{}', FALSE) #>> '{differences,0,remedy}', E'%\n%', 'nobody''s name ends a comment');
DELETE FROM bagelpay.events WHERE event_id = 'f0';

-- The reverse.
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ()]), 'unlisted_payment 10 EUR / - true', 'a payment that is not listed');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ()], FALSE), '', 'by a list that has not everything');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ()]), 'unlisted_subscription active / - true', 'a subscription that is not listed');
SELECT is(bagelpay_internal.verify ('live', now() - interval '4 days', now(), '[]', json_build_array(pg_temp.subscription ()), TRUE) ->> 'differences', '[]', 'a payment before the time asked about');
SELECT is(bagelpay_internal.verify ('live', now() - interval '5 days', now(), json_build_array(pg_temp.transaction (jsonb_build_object('created_at', pg_temp.ago (5.5)))), json_build_array(pg_temp.subscription ()), TRUE) ->> 'differences',
    '[]', 'listed with a time before it');
SELECT is(bagelpay_internal.verify ('live', now() - interval '35 days', now() - interval '5 days', '[]', '[]', TRUE) ->> 'differences', '[]', 'that came while the lists were read');

-- Refunds.
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"refunded_amount":"10"}')], '{}', FALSE), 'refund 0 EUR refunded, paid / 10 EUR refunded true', 'refunded in full, of which no event came');
SELECT matches(pg_temp.verified (ARRAY[pg_temp.transaction ('{"refunded_amount":"10"}')], '{}', FALSE) #>> '{differences,0,remedy}',
    '^SELECT \* FROM bagelpay.revoke\(''o1'', ''refunded at BagelPay'', ''live'', ''p1'', ''c1''\); -- ', 'its remedy');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"refunded_amount":"10"}' || jsonb_build_object('updated_at', pg_temp.ago (0.005)))], '{}', FALSE), '', 'just now');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"refunded_amount":"3"}')], '{}', FALSE), 'refund 0 EUR refunded, paid / 3 EUR refunded false', 'in part');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"refunded_amount":null}')], '{}', FALSE), '', 'that is not said');
SELECT pg_temp.take ('r1', 'refund.created', pg_temp.ago (4), '{"payment_id":"ch1"}') \g /dev/null
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"refunded_amount":"10"}')], '{}', FALSE), '', 'refunded in full, of which an event without an amount came');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"refunded_amount":"3"}')], '{}', FALSE), 'refund 0 EUR refunded, refunded / 3 EUR refunded true', 'which was taken for a full one');
SELECT matches(pg_temp.verified (ARRAY[pg_temp.transaction ('{"refunded_amount":"3"}')], '{}', FALSE) #>> '{differences,0,remedy}', '^SELECT \* FROM bagelpay.grant\(''o1'', ''c1@example.com'', ''p1'', ', 'its remedy');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ()], '{}', FALSE), 'refund 0 EUR refunded, refunded / 0 EUR refunded true', 'refunded here alone');
SELECT pg_temp.forget () \g /dev/null

-- A payment without the provider's order.
SELECT pg_temp.paid ('{"provider_order_id":null}') \g /dev/null
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ()], ARRAY[pg_temp.subscription ()]), '', 'by customer, amount and time');
SELECT is(pg_temp.verified (ARRAY[pg_temp.transaction ()]) #>> '{transactions,guessed}', '1', 'a guess');
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"customer_id":null}')], ARRAY[pg_temp.subscription ()]), '', 'by the e-mail');
SELECT matches(pg_temp.differing (ARRAY[pg_temp.transaction (), pg_temp.transaction ('{"order_id":"B","transaction_id":"tx2"}')], '{}', FALSE), '^missing_payment.*missing_payment', 'no guess between two');
SELECT matches(pg_temp.differing (ARRAY[pg_temp.transaction ('{"amount":"11","amount_paid":"11"}')], '{}', FALSE), '^missing_payment', 'nor of another amount');
SELECT pg_temp.forget () \g /dev/null

-- Subscriptions.
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ()]), 'missing_subscription - / active until ' || pg_temp.ago (-25) || '+00 true', 'a subscription of which no event came');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ('{"status":"canceled"}')]), '', 'that has ended');
SELECT pg_temp.paid () \g /dev/null
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ('{"status":"paused"}')], FALSE), 'status active / paused false', 'paused');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ('{"units":"5"}')], FALSE), 'units 1 / 5 true', 'seats');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ('{"units":null,"billing_period_end":null}')], FALSE), '', 'what is not said does not differ');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription (jsonb_build_object('billing_period_end', pg_temp.ago (-55)))], FALSE),
    format('period_end %s+00 / %s+00 false', pg_temp.ago (-25), pg_temp.ago (-55)), 'paid for longer');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription (jsonb_build_object('cancel_at', pg_temp.ago (-25)))], FALSE),
    format('cancel_at - / %s+00 false', pg_temp.ago (-25)), 'to be cancelled');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ('{"status":"canceled"}')], FALSE), 'status active / canceled true', 'cancelled');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ('{"status":"canceled"}' || jsonb_build_object('cancel_at', pg_temp.ago (-25)))], FALSE), 'status active / canceled false', 'for later');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ('{"product_id":"p2"}')], FALSE), 'product p1 / p2 true', 'another plan');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ('{"status":"paused"}' || jsonb_build_object('updated_at', pg_temp.ago (0.005)))], FALSE), '', 'just now');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ('{"status":null,"unread":"status: unknown word"}')], FALSE), 'unreadable 1 subscriptions / status: unknown word unknown', 'an unknown status');
SELECT is(bagelpay_internal.verify ('live', now() - interval '35 days', now() - interval '5 days', '[]', json_build_array(pg_temp.subscription ('{"units":"5"}')), FALSE) ->> 'differences',
    '[]', 'its event came while the list was read');
SELECT pg_temp.take ('f1', 'checkout.failed', pg_temp.ago (1), '{"payment_id":"ch2"}') \g /dev/null
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ()], FALSE), '', 'a renewal failed, of which BagelPay has no word');
SELECT pg_temp.take ('k1', 'subscription.canceled', pg_temp.ago (1), jsonb_build_object('canceled_at', pg_temp.ago (1))) \g /dev/null
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ()], FALSE), 'status canceled / active true', 'a cancellation that was taken back');
SELECT matches(pg_temp.verified ('{}', ARRAY[pg_temp.subscription ()], FALSE) #>> '{differences,0,remedy}', '^SELECT \* FROM bagelpay.grant\(''o1'', ''c1@example.com'', ''p1'', ', 'its remedy');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ('{"cancel_at_period_end":true}')], FALSE), '', 'or is for later');
SELECT pg_temp.forget () \g /dev/null

-- One that followed an earlier one, and one that no event names.
SELECT pg_temp.paid ('{"subscription_id":"old","payment_id":"ch0","provider_order_id":"O"}', 'e0', pg_temp.ago (20)) \g /dev/null
SELECT pg_temp.paid () \g /dev/null
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription (), pg_temp.subscription ('{"subscription_id":"old","status":"canceled"}')], FALSE), '', 'the earlier one was cancelled');
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.paid ('{"subscription_id":null}') \g /dev/null
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription (), pg_temp.subscription ('{"subscription_id":"old","status":"canceled"}')], FALSE), '', 'by customer and product');
SELECT pg_temp.forget () \g /dev/null

-- Trials.
SELECT pg_temp.take ('t1', 'subscription.trialing', pg_temp.ago (5), jsonb_build_object('provider_order_id', 'A', 'subscription_id', 'sub', 'units', 1, 'trial_end', pg_temp.ago (-2))) \g /dev/null
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ('{"amount":"0","amount_paid":"0"}')], ARRAY[pg_temp.subscription ('{"status":"trialing"}' || jsonb_build_object('trial_end', pg_temp.ago (-2)))]), '', 'a trial');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ('{"status":"trialing"}' || jsonb_build_object('trial_end', pg_temp.ago (-9)))]), format('trial_end %s+00 / %s+00 false', pg_temp.ago (-2), pg_temp.ago (-9)), 'a longer one');
SELECT is(pg_temp.differing ('{}', ARRAY[pg_temp.subscription ()]), 'status trialing / active false', 'paid before its end');
SELECT pg_temp.forget () \g /dev/null

-- Whoever an operator took access from, keeps nothing by a difference; whoever has it otherwise, lacks nothing.
SELECT pg_temp.paid () \g /dev/null
SELECT bagelpay.revoke ('o1') \g /dev/null
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction (), pg_temp.transaction ('{"order_id":"B","customer_id":"c1"}' || jsonb_build_object('created_at', pg_temp.ago (2)))],
    ARRAY[pg_temp.subscription (jsonb_build_object('billing_period_start', pg_temp.ago (2), 'billing_period_end', pg_temp.ago (-28)))], FALSE), 'missing_payment - / 10 EUR false', 'revoked');
SELECT pg_temp.forget () \g /dev/null
SELECT bagelpay.grant ('gift', 'c1@example.com', 'p1') \g /dev/null
SELECT is(pg_temp.differing (ARRAY[pg_temp.transaction ()], ARRAY[pg_temp.subscription ()]), 'missing_payment - / 10 EUR false', 'granted');
SELECT pg_temp.forget () \g /dev/null

-- Another zone than these times were read in.
SELECT pg_temp.paid (jsonb_build_object('payment_id', 'ch' || n, 'provider_order_id', 'A' || n, 'subscription_id', 'sub' || n, 'customer_id', 'c' || n), 'e' || n) FROM generate_series(1, 4) AS n \g /dev/null
UPDATE bagelpay.settings SET provider_timezone = 'Asia/Shanghai';
SELECT matches(pg_temp.differing ('{}', (SELECT array_agg(pg_temp.subscription (jsonb_build_object('subscription_id', 'sub' || n, 'customer_id', 'c' || n))) FROM generate_series(1, 4) AS n), FALSE), '^zone Asia/Shanghai / -16 half hours true$', 'one difference, not one each');
UPDATE bagelpay.settings SET provider_timezone = DEFAULT;
SELECT is(pg_temp.differing ('{}', (SELECT array_agg(pg_temp.subscription (jsonb_build_object('subscription_id', 'sub' || n, 'customer_id', 'c' || n))) FROM generate_series(1, 4) AS n), FALSE), '', 'and none in the right zone');

SELECT * FROM finish();
