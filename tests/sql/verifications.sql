-- Stored runs of bagelhook-verify: what is shown of them, until when, and to whom.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
SET TimeZone = 'UTC';

-- The database is this file's. Decisions count from the next transaction on.
SELECT plan(39);

\ir builder.psql
\ir listings.psql

CREATE FUNCTION pg_temp.listed ()
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.told ('SELECT d.kind, a.mode, a.order_id, a.customer_email FROM bagelpay.attention AS a LEFT JOIN bagelpay.differences AS d ON d.id = a.id WHERE a.kind = ''drift'' ORDER BY d.kind, d.provider_order_id')
$$;

-- Runs the remedies, as psql would.
CREATE FUNCTION pg_temp.remedy ()
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    statement text;
BEGIN
    FOR statement IN SELECT remedy FROM bagelpay.attention WHERE kind = 'drift' LOOP
        EXECUTE regexp_replace(statement, ' -- .*$', '');
    END LOOP;
END
$$;

-- Runs.
SELECT is(pg_temp.listed (), '', 'no run');
SELECT pg_temp.paid () \g /dev/null
SELECT pg_temp.stored (ARRAY[pg_temp.transaction ()], ARRAY[pg_temp.subscription ()]) \g /dev/null
SELECT is(pg_temp.told ('SELECT mode, finished_at - started_at < interval ''1 minute'' AS quick, started_at - since AS long, transactions, subscriptions, agreed, differences, verified_by FROM bagelpay.verifications'),
    'live true 35 days 1 1 2 0 postgres', 'a run that agrees');
SELECT is(pg_temp.listed (), '', 'leaves nothing to look at');
SELECT pg_temp.stored (ARRAY[pg_temp.transaction (), pg_temp.transaction ('{"order_id":"B"}')], ARRAY[pg_temp.subscription ('{"units":"3"}')]) \g /dev/null
SELECT is(pg_temp.told ('SELECT transactions, subscriptions, agreed, differences FROM bagelpay.verifications ORDER BY id'), '1 1 2 0 | 2 1 1 2', 'and one that does not');
SELECT is(pg_temp.listed (), 'missing_payment live - c1@example.com | units live o1 c1@example.com', 'differences to look at');
SELECT is(pg_temp.told ('SELECT detail FROM bagelpay.attention WHERE kind = ''drift'' ORDER BY detail COLLATE "C"'),
    'BagelPay lists a payment of 10 EUR, provider order B, of which no event came | the subscription has 1 units here, and 3 at BagelPay; it affects access now', 'in words');
SELECT is(pg_temp.told ('SELECT count(*) FROM bagelpay.attention WHERE kind = ''drift'' AND remedy IS NULL'), '0', 'each with a remedy');
SELECT lives_ok('SELECT pg_temp.remedy ()', 'which runs');
SELECT is(pg_temp.listed (), 'missing_payment live - c1@example.com', 'units are dismissed');

-- What closes them.
SELECT pg_temp.take ('e2', 'checkout.completed', pg_temp.ago (5), '{"payment_id":"ch2","provider_order_id":"B","amount":"10","currency":"EUR","metadata":{"order_id":"o2"}}') \g /dev/null
SELECT is(pg_temp.listed (), '', 'the event came');
SELECT is(pg_temp.told ('SELECT count(*) FROM bagelpay_internal.stored_differences'), '2', 'without another run');
SELECT pg_temp.take ('e3', 'checkout.completed', pg_temp.ago (5), '{"payment_id":"ch3","provider_order_id":"C","amount":"7","currency":"EUR","metadata":{"order_id":"o3"}}') \g /dev/null
SELECT pg_temp.stored (ARRAY[pg_temp.transaction (), pg_temp.transaction ('{"order_id":"B"}')], ARRAY[pg_temp.subscription ('{"units":"3"}')]) \g /dev/null
SELECT is(pg_temp.listed (), 'unlisted_payment live o3 c1@example.com', 'a payment that is not listed; the units stay dismissed');
SELECT is((SELECT (pg_temp.verified (ARRAY[pg_temp.transaction ()], ARRAY[pg_temp.subscription ('{"units":"3"}')], FALSE)) #>> '{differences,0,dismissed}'), 'true', 'which the run says');
SELECT is((SELECT (pg_temp.verified (ARRAY[pg_temp.transaction ()], ARRAY[pg_temp.subscription ('{"units":"4"}')], FALSE)) #>> '{differences,0,dismissed}'), 'false', 'until BagelPay says something else');
SELECT pg_temp.stored (ARRAY[pg_temp.transaction (), pg_temp.transaction ('{"order_id":"B"}'), pg_temp.transaction ('{"order_id":"C","amount":"7","amount_paid":"7"}')], ARRAY[pg_temp.subscription ()]) \g /dev/null
SELECT is(pg_temp.listed (), '', 'a later run agrees');
SELECT is(pg_temp.told ('SELECT count(*) FROM bagelpay_internal.stored_differences'), '0', 'and the differences before are gone');

SELECT pg_temp.stored (ARRAY[pg_temp.transaction (), pg_temp.transaction ('{"transaction_id":"tx2"}' || jsonb_build_object('created_at', pg_temp.ago (2))), pg_temp.transaction ('{"order_id":"B"}'), pg_temp.transaction ('{"order_id":"C","amount":"7","amount_paid":"7"}')], ARRAY[pg_temp.subscription ()]) \g /dev/null
SELECT is(pg_temp.listed (), 'missing_payment live - c1@example.com', 'another transaction of an order stays, although one of it is here');

-- The other mode is another matter.
SELECT bagelpay_internal.store_verification (bagelpay_internal.verify ('test', now() - interval '35 days', now(), json_build_array(pg_temp.transaction ()), '[]', TRUE)) \g /dev/null
SELECT is(pg_temp.listed (), 'missing_payment live - c1@example.com | missing_payment test - c1@example.com', 'test purchases');
SELECT pg_temp.stored () \g /dev/null
SELECT is(pg_temp.told ('SELECT count(*) FROM bagelpay.differences WHERE mode = ''test'''), '1', 'stay, whatever live ones do');
DELETE FROM bagelpay.verifications;
SELECT pg_temp.forget () \g /dev/null

-- A grant makes up for a difference until its end.
SELECT pg_temp.stored (ARRAY[pg_temp.transaction ()], ARRAY[pg_temp.subscription ()]) \g /dev/null
SELECT is(pg_temp.listed (), 'missing_payment live - c1@example.com', 'a payment for a subscription');
SELECT pg_temp.remedy () \g /dev/null
SELECT is(pg_temp.listed (), '', 'that is granted');
SELECT is(pg_temp.told ('SELECT order_id, product_id, customer_email, reason, entitled FROM bagelpay.entitlements'), 'order:A p1 c1@example.com granted true', 'gives access');
SELECT pg_temp.stored (ARRAY[pg_temp.transaction ()], ARRAY[pg_temp.subscription ()]) \g /dev/null
SELECT is(pg_temp.told ('SELECT kind, affects_access FROM bagelpay.differences'), 'missing_payment false', 'it is missing nevertheless');
SELECT pg_temp.paid () \g /dev/null
SELECT is(pg_temp.listed (), '', 'until its event comes');
SELECT pg_temp.forget () \g /dev/null

-- A cancellation and a refund of which no event came.
SELECT pg_temp.paid () \g /dev/null
SELECT pg_temp.stored (ARRAY[pg_temp.transaction ('{"refunded_amount":"10"}')], ARRAY[pg_temp.subscription ('{"status":"canceled"}')]) \g /dev/null
SELECT is(pg_temp.listed (), 'refund live o1 c1@example.com | status live o1 c1@example.com', 'a refund and a cancellation');
SELECT pg_temp.remedy () \g /dev/null
SELECT is(pg_temp.told ('SELECT entitled, reason FROM bagelpay.entitlements'), 'false revoked', 'their remedies end access');
SELECT pg_temp.take ('k1', 'subscription.canceled', pg_temp.ago (1)) \g /dev/null
SELECT pg_temp.take ('k2', 'refund.created', pg_temp.ago (1), '{"payment_id":"ch1","refund_running_total":"10"}') \g /dev/null
SELECT is(pg_temp.listed (), '', 'the events came');

-- What is no run.
SELECT throws_ok(format('SELECT bagelpay_internal.store_verification (%L)', run), '22023', NULL, 'refused: ' || left(run, 60))
FROM unnest(ARRAY['{}', '{"mode":"prod"}', '{"mode":"live"}', '{"mode":"live","started_at":"2020-01-01Z","differences":[]}',
    (pg_temp.verified ()::jsonb || '{"differences":[{"kind":"x","mode":"live"}]}')::text,
    (pg_temp.verified ()::jsonb || '{"differences":[{"kind":"units","mode":"test","ours":"1","theirs":"2"}]}')::text,
    (pg_temp.verified ()::jsonb || jsonb_build_object('started_at', now() - interval '1 hour'))::text]) AS run;
SELECT throws_ok(format('SELECT bagelpay_internal.store_verification (%L)', (pg_temp.verified ()::jsonb || '{"since":null}')::text), '23502', NULL, 'refused: no since');

-- Who may.
CREATE ROLE its_reader IN ROLE bagelpay_reader;
CREATE ROLE its_verifier IN ROLE bagelpay_verify;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;
SET ROLE its_reader;
SELECT is(bagelpay_internal.verify ('live', now() - interval '35 days', now(), '[]', '[]', FALSE) ->> 'kinds', '{}', 'a reader compares');
SELECT throws_ok($$SELECT bagelpay_internal.store_verification ('{}')$$, '42501', NULL, 'but does not store');
SET ROLE its_verifier;
SELECT lives_ok($$SELECT bagelpay_internal.store_verification (bagelpay_internal.verify ('live', now() - interval '35 days', now(), '[]', '[]', FALSE))$$, 'the login of the program does');
RESET ROLE;
DROP ROLE its_reader, its_verifier;

-- Erasure.
SELECT bagelpay_internal.store_verification (bagelpay_internal.verify ('live', now() - interval '35 days', now(), json_build_array(pg_temp.transaction ('{"order_id":"X"}'),
    pg_temp.transaction ('{"order_id":"Y","customer_email":"c2@example.com","customer_id":"c2"}')), '[]', FALSE)) \g /dev/null
SELECT bagelpay.forget_customer ('C1@example.com') \g /dev/null
SELECT is(pg_temp.listed (), 'missing_payment live - c2@example.com', 'whoever is forgotten is here no longer');

SELECT * FROM finish();
