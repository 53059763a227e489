-- The list of what a person should look at: each kind made to happen, with its remedy carried out; and dismiss().
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
SET TimeZone = 'UTC';

-- The database is this file's. Decisions count from the next transaction on.
SELECT plan(61);

\ir builder.psql

-- The list, without payments that no event says how they are billed: the builder's say nothing.
CREATE FUNCTION pg_temp.listed (also text DEFAULT 'TRUE')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.told ('SELECT kind, mode, order_id, event_id, payment_id, customer_email FROM bagelpay.attention WHERE kind <> ''unknown_billing_type'' AND ' || also || ' ORDER BY kind COLLATE "C", order_id, event_id')
$$;

-- Carries the remedies of a kind out.
CREATE FUNCTION pg_temp.remedy (of_kind text)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    statement text;
BEGIN
    FOR statement IN SELECT remedy FROM bagelpay.attention WHERE kind = of_kind LOOP
        EXECUTE regexp_replace(statement, ' -- .*$', '');
    END LOOP;
END
$$;

CREATE FUNCTION pg_temp.ago (days numeric)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT to_char((now() - days * interval '1 day') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
$$;

SELECT is(pg_temp.listed (), '', 'nothing to look at');
SELECT pg_temp.take ('f1', 'subscription.paid', pg_temp.ago (5), '{"payment_id":"p1","billing_type":"subscription","recurring_interval":"1 month"}') \g /dev/null
SELECT pg_temp.take ('f2', 'checkout.failed', pg_temp.ago (4), '{"payment_id":"p2","metadata":{"order_id":"o2"}}') \g /dev/null
SELECT pg_temp.take ('f3', 'checkout.cancel', pg_temp.ago (4), '{"payment_id":"p2","metadata":{"order_id":"o2"}}') \g /dev/null
SELECT is((SELECT count(*) FROM bagelpay.attention), 0::bigint, 'a subscription, and an abandoned checkout');
SELECT pg_temp.forget () \g /dev/null

-- conflict, and reused_key.
SELECT pg_temp.take ('a1', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"a1"}') \g /dev/null
SELECT pg_temp.take ('a2', 'checkout.completed', '2025-01-02 00:00:00', '{"payment_id":"a2","customer_id":"c2"}') \g /dev/null
SELECT is(pg_temp.listed (), 'conflict live o1 a2 - -', 'two customers under one order id');
SELECT is((SELECT detail FROM bagelpay.attention WHERE kind = 'conflict'), '2 customers have purchases under one order id', 'how many');
SELECT pg_temp.remedy ('conflict') \g /dev/null
SELECT is(pg_temp.listed (), '', 'looked at and dismissed');
SELECT pg_temp.take ('a3', 'checkout.completed', '2025-01-03 00:00:00', '{"payment_id":"a3","customer_id":"c3"}') \g /dev/null
SELECT is(pg_temp.listed (), '', 'also when another one comes');
SELECT pg_temp.take ('b' || n, 'checkout.completed', '2025-01-03 00:00:00', format('{"payment_id":"b%s","customer_id":"b%s"}', n, n)::jsonb) FROM generate_series(1, 100) AS n \g /dev/null
SELECT is(pg_temp.listed (), 'reused_key live o1 b99 - -', 'more than a hundred are another matter');
SELECT lives_ok('SELECT pg_temp.remedy (''reused_key'')', 'its remedy looks');
SELECT pg_temp.forget () \g /dev/null

-- unconfirmed.
SELECT pg_temp.take ('a1', 'checkout.completed', pg_temp.ago (1), '{"payment_id":"a1","amount":"10","currency":"EUR"}') \g /dev/null
SELECT is(pg_temp.listed (), '', 'nobody expects orders');
SELECT bagelpay.expect_order ('o1', 'c1@example.com', 'p1', 10, 'EUR') \g /dev/null
SELECT is(pg_temp.listed (), '', 'as expected');
SELECT bagelpay.expect_order ('o1', 'c1@example.com', 'p1', 12, 'EUR') \g /dev/null
SELECT is(pg_temp.listed (), 'unconfirmed live o1 a1 a1 c1@example.com', 'paid, but less than expected');
SELECT is((SELECT detail FROM bagelpay.attention WHERE kind = 'unconfirmed'), 'paid, but not as expected: amount', 'what differs');
SELECT bagelpay.expect_order ('o1', 'c1@example.com', 'p1', 10, 'EUR') \g /dev/null
SELECT pg_temp.take ('a2', 'checkout.completed', pg_temp.ago (1), '{"payment_id":"a2","metadata":{"order_id":"o2"}}') \g /dev/null
SELECT is(pg_temp.listed (), '', 'not expected, which is not required');
UPDATE bagelpay.settings SET require_expected_order = TRUE;
SELECT is(pg_temp.listed (), 'unconfirmed live o2 a2 a2 c1@example.com', 'or is required');
SELECT pg_temp.remedy ('unconfirmed') \g /dev/null
SELECT is(pg_temp.listed () || ' ' || (SELECT entitled FROM bagelpay.entitlements WHERE order_id = 'o2'), ' true', 'a grant confirms it');
UPDATE bagelpay.settings SET require_expected_order = FALSE;
SELECT pg_temp.forget () \g /dev/null

-- unmatched, ignored_type, dead_letter.
SELECT pg_temp.take ('u1', 'checkout.failed', '2025-01-01 00:00:00', '{"metadata":null,"customer_id":null}') \g /dev/null
SELECT is(pg_temp.listed (), 'unmatched live - u1 - c1@example.com', 'an event without an order');
SELECT pg_temp.remedy ('unmatched') \g /dev/null
SELECT is(pg_temp.listed (), '', 'looked at and dismissed');
SELECT pg_temp.take ('i' || n, 'invoice.created', '2025-01-01 00:00:00') FROM generate_series(1, 3) AS n \g /dev/null
SELECT is(pg_temp.listed (), 'ignored_type live - i1 - -', 'an unknown type, once');
SELECT is((SELECT remedy FROM bagelpay.attention), 'bagelhook redrive --ignored', 'for a newer version');
SELECT is((SELECT count(*) FROM bagelpay.attention AS a CROSS JOIN LATERAL bagelpay.dismiss (a.id)), 1::bigint, 'dismissed');
SELECT bagelpay.ingest ('[{"outcome":"invalid","detail":"object.mode: missing","event_id":"d1","customer_email":"d@example.com"}]', '{x}') \g /dev/null
SELECT is(pg_temp.listed () || ': ' || (SELECT detail || ': ' || remedy FROM bagelpay.attention), (SELECT 'dead_letter - - d1 - d@example.com: invalid: object.mode: missing: bagelhook redrive --id ' || id FROM bagelpay.dead_letters), 'a dead letter');
UPDATE bagelpay.dead_letters SET resolved_at = now();
SELECT is(pg_temp.listed (), '', 'until it is resolved');
SELECT pg_temp.forget () \g /dev/null

-- open_dispute, possible_dispute.
SELECT pg_temp.take ('a1', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"a1"}') \g /dev/null
SELECT pg_temp.take ('a2', 'checkout.cancel', '2025-01-01 00:30:00', '{"payment_id":"a1"}') \g /dev/null
SELECT is(pg_temp.listed (), 'possible_dispute live o1 a2 a1 c1@example.com', 'cancelled after half an hour');
SELECT pg_temp.take ('a3', 'checkout.cancel', '2025-01-05 00:00:00', '{"payment_id":"a1"}') \g /dev/null
SELECT is(pg_temp.listed (), 'open_dispute live o1 a3 a1 c1@example.com', 'and again after days');
SELECT pg_temp.remedy ('open_dispute') \g /dev/null
SELECT is(split_part(pg_temp.listed (), ' live', 1) || ' ' || (SELECT status FROM bagelpay.payments), 'possible_dispute paid', 'won');
SELECT pg_temp.remedy ('possible_dispute') \g /dev/null
SELECT is(pg_temp.listed (), 'paid_but_revoked live o1 ' || (SELECT event_id FROM bagelpay.events WHERE event_type = 'operator.revoke') || ' - c1@example.com | possible_dispute live o1 a2 a1 c1@example.com', 'it was one');
-- paid_but_revoked.
SELECT pg_temp.remedy ('paid_but_revoked') \g /dev/null
SELECT is(split_part(pg_temp.listed (), ' ', 1) || ' ' || (SELECT reason FROM bagelpay.entitlements), 'possible_dispute paid', 'revoked, though it is paid for');
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('a1', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"a1","provider_order_id":"A"}') \g /dev/null
SELECT pg_temp.take ('a2', 'checkout.cancel', '2025-01-01 00:30:00', '{"provider_order_id":"A"}') \g /dev/null
SELECT is(pg_temp.listed (), 'possible_dispute live o1 a2 a1 c1@example.com', 'by the provider''s order');
SELECT pg_temp.take ('a4', 'refund.created', '2025-01-02 00:00:00', '{"payment_id":"a1","refund_label":"full"}') \g /dev/null
SELECT is(pg_temp.listed (), '', 'refunded, it is settled');
SELECT bagelpay.revoke ('o1') \g /dev/null
SELECT is(pg_temp.listed (), '', 'and nobody has paid for what is revoked');
SELECT pg_temp.forget () \g /dev/null

-- payment_mismatch.
SELECT pg_temp.take ('a1', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"a1"}') \g /dev/null
SELECT pg_temp.take ('a2', 'checkout.completed', '2025-01-01 00:00:01', '{"payment_id":"a1","customer_email":"x@example.com"}') \g /dev/null
SELECT is(pg_temp.listed (), '', 'another e-mail is not another customer');
SELECT pg_temp.take ('a3', 'subscription.paid', '2025-01-01 00:00:02', '{"payment_id":"a1","product_id":"p2","recurring_interval":"1 month"}') \g /dev/null
SELECT is(pg_temp.listed (), 'payment_mismatch live o1 a3 a1 c1@example.com', 'another product');
SELECT pg_temp.take ('a0', 'checkout.completed', '2024-12-31 23:59:59', '{"payment_id":"a1","product_id":"p2"}') \g /dev/null
SELECT is(pg_temp.listed (), 'payment_mismatch live o1 a1 a1 c1@example.com', 'folded again, other events are those that differ');
SELECT pg_temp.remedy ('payment_mismatch') \g /dev/null
SELECT is(pg_temp.listed (), '', 'looked at and dismissed');
SELECT pg_temp.forget () \g /dev/null

-- refund_without_payment.
SELECT pg_temp.take ('a1', 'refund.created', '2025-01-01 00:00:00', '{"payment_id":"a1","refund_amount":"3"}') \g /dev/null
SELECT is(pg_temp.listed () || ': ' || (SELECT detail FROM bagelpay.attention), 'refund_without_payment live o1 a1 a1 c1@example.com: a refund of 3 counts against no payment: a1 is not known as paid', 'a refund of nothing');
SELECT pg_temp.take ('a2', 'checkout.completed', '2025-01-02 00:00:00', '{"payment_id":"a1","amount":"9"}') \g /dev/null
SELECT is(pg_temp.listed (), '', 'until the payment comes');
SELECT pg_temp.forget () \g /dev/null

-- double_subscription.
SELECT pg_temp.take ('a1', 'subscription.paid', pg_temp.ago (5), '{"payment_id":"a1","subscription_id":"s1","recurring_interval":"1 month"}') \g /dev/null
SELECT pg_temp.take ('a2', 'subscription.paid', pg_temp.ago (4), '{"payment_id":"a2","subscription_id":"s1","recurring_interval":"1 month","product_id":"p2"}') \g /dev/null
SELECT is(pg_temp.listed (), '', 'two products of one subscription');
SELECT pg_temp.take ('a3', 'subscription.paid', pg_temp.ago (3), '{"payment_id":"a3","subscription_id":"s3","recurring_interval":"1 month","metadata":{"order_id":"o3"}}') \g /dev/null
SELECT is(pg_temp.listed () || ': ' || (SELECT detail FROM bagelpay.attention WHERE kind = 'double_subscription'), 'double_subscription live o3 a3 a3 c1@example.com: the customer has 2 live subscriptions, of the orders o1, o3', 'two subscriptions');
SELECT pg_temp.take ('a4', 'subscription.canceled', pg_temp.ago (2), '{"subscription_id":"s1","metadata":{"order_id":"o1"}}') \g /dev/null
SELECT is(pg_temp.listed (), '', 'until one is cancelled');
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('a1', 'subscription.paid', pg_temp.ago (31.5), '{"payment_id":"a1","subscription_id":"s1","recurring_interval":"31 days"}') \g /dev/null
SELECT pg_temp.take ('a2', 'subscription.paid', pg_temp.ago (0.1), '{"payment_id":"a2","subscription_id":"s2","recurring_interval":"31 days","metadata":{"order_id":"o2"}}') \g /dev/null
SELECT is(pg_temp.listed () || (SELECT count(*) FROM bagelpay.entitlements WHERE entitled), '2', 'grace is no second subscription');
SELECT pg_temp.take ('a3', 'subscription.paid', pg_temp.ago (0.2), '{"payment_id":"a3","subscription_id":"s3","recurring_interval":"31 days","customer_id":"c3","metadata":{"order_id":"o3","user_id":"u1"}}') \g /dev/null
SELECT pg_temp.take ('a4', 'subscription.paid', pg_temp.ago (0.1), '{"payment_id":"a4","subscription_id":"s4","recurring_interval":"31 days","customer_id":"c4","metadata":{"order_id":"o4","user_id":"u1"}}') \g /dev/null
SELECT is(pg_temp.listed (), 'double_subscription live o4 a4 a4 c1@example.com', 'a user with two customers');
SELECT pg_temp.remedy ('double_subscription') \g /dev/null
SELECT is(pg_temp.listed (), '', 'looked at and dismissed');
SELECT pg_temp.forget () \g /dev/null

-- no_period.
SELECT pg_temp.take ('a1', 'subscription.paid', pg_temp.ago (5), '{"payment_id":"a1"}') \g /dev/null
SELECT pg_temp.take ('a2', 'subscription.paid', pg_temp.ago (4), '{"payment_id":"a2","customer_id":"c2","metadata":{"order_id":"o2"}}') \g /dev/null
SELECT is(pg_temp.listed () || ': ' || (SELECT detail FROM bagelpay.attention WHERE kind = 'no_period'), 'no_period live o2 a2 a2 c1@example.com: 2 payments of the product p1 say no period and run for 31 days by default', 'how long it lasts is not known');
SELECT pg_temp.remedy ('no_period') \g /dev/null
SELECT is(pg_temp.listed () || (SELECT period FROM bagelpay.products), '1 mon', 'the table of products says it');
SELECT pg_temp.forget () \g /dev/null

-- no_product, no_customer, unknown_billing_type.
SELECT pg_temp.take ('a1', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"a1","product_id":null,"billing_type":"single_payment"}') \g /dev/null
SELECT pg_temp.take ('a2', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"a2","customer_id":null,"customer_email":null,"billing_type":"single_payment","metadata":{"order_id":"o2"}}') \g /dev/null
SELECT pg_temp.take ('a3', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"a3","billing_type":"strange","metadata":{"order_id":"o3"}}') \g /dev/null
SELECT is(pg_temp.told ('SELECT kind, order_id, event_id, payment_id FROM bagelpay.attention ORDER BY order_id'), 'no_product o1 a1 - | no_customer o2 a2 - | unknown_billing_type o3 a3 a3', 'what purchases lack');
SELECT pg_temp.remedy ('no_product'), pg_temp.remedy ('no_customer') \g /dev/null
SELECT is(pg_temp.listed (), '', 'looked at and dismissed');
SELECT pg_temp.take ('a4', 'checkout.completed', '2025-01-01 00:00:01', '{"payment_id":"a3","billing_type":"single_payment","metadata":{"order_id":"o3"}}') \g /dev/null
SELECT is((SELECT count(*) FROM bagelpay.attention), 0::bigint, 'another event of it says how it is billed');
SELECT pg_temp.forget () \g /dev/null

-- wrong_zone.
CREATE FUNCTION pg_temp.local (id text, ahead interval)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.take (id, 'checkout.failed', '2025-01-01 00:00:00', jsonb_build_object('occurred_at', '2025-01-01 00:00:00', 'created_at_raw', '2025-01-01 00:00:00',
        'local_times', '{"occurred_at":"2025-01-01 00:00:00"}'::jsonb, 'signed_timestamp', extract(epoch FROM timestamptz '2025-01-01Z' - ahead)::bigint, 'metadata', jsonb_build_object('order_id', id)))
$$;
SELECT pg_temp.local ('z1', '0') || pg_temp.local ('z2', '8 hours') \g /dev/null
SELECT is(pg_temp.listed (), '', 'one of two may have been late');
SELECT pg_temp.local ('z3', '8 hours') \g /dev/null
SELECT is(pg_temp.listed () || ': ' || (SELECT remedy FROM bagelpay.attention), 'wrong_zone - - z2 - -: UPDATE bagelpay.settings SET provider_timezone = ''Etc/GMT-8''; SELECT bagelpay.rebuild();', 'most are hours ahead');
DELETE FROM bagelpay.events WHERE event_id = 'z1';
SELECT pg_temp.remedy ('wrong_zone') \g /dev/null
SELECT is(pg_temp.listed () || (SELECT provider_timezone FROM bagelpay.settings), 'Etc/GMT-8', 'in another zone they agree');
UPDATE bagelpay.settings SET provider_timezone = 'UTC';
SELECT pg_temp.forget () \g /dev/null

-- dismiss().
SELECT pg_temp.take ('u1', 'checkout.failed', '2025-01-01 00:00:00', '{"metadata":null,"customer_id":null}') \g /dev/null
SELECT is((SELECT count(*) FROM bagelpay.attention), 0::bigint, 'the same reason as before is still dismissed');
DELETE FROM bagelpay.dismissals;
SELECT id FROM bagelpay.attention \gset
SELECT matches(:'id'::text, '^unmatched:[0-9a-f]{16}$', 'an id without personal data');
SELECT is((SELECT event_id FROM bagelpay.dismiss (' ' || :'id' || E'\n', 'mail to una@example.com')), 'u1', 'the row that it takes off');
SELECT is((SELECT count(*) FROM bagelpay.attention) || pg_temp.told ('SELECT note, dismissed_by = session_user FROM bagelpay.dismissals'), '0mail to una@example.com true', 'is off, with who did it and why');
SELECT is((SELECT count(*) FROM bagelpay.dismiss (:'id')), 0::bigint, 'once');
SELECT throws_ok(format('SELECT bagelpay.dismiss (%L)', wrong), '22023', message, format('dismiss (%L)', wrong))
FROM (VALUES (NULL, 'id: bagelpay.attention has no row NULL'), ('x', 'id: bagelpay.attention has no row ''x''')) AS v (wrong, message);
SELECT bagelpay.forget_customer ('una@example.com') \g /dev/null
SELECT is((SELECT note FROM bagelpay.dismissals), NULL::text, 'a note with the e-mail of a customer who is forgotten goes');

-- --- names that a terminal would act on ---
SELECT pg_temp.take ('evil1', 'checkout.completed', '2025-08-01 00:00:00', jsonb_build_object('metadata', jsonb_build_object('order_id', E'a\x03\n\\! id''\u202e'), 'payment_id', 'evil')) \g /dev/null
SELECT pg_temp.take ('evil2', 'checkout.cancel', '2025-08-02 00:00:00', jsonb_build_object('metadata', jsonb_build_object('order_id', E'a\x03\n\\! id''\u202e'), 'payment_id', 'evil')) \g /dev/null
SELECT is((SELECT remedy FROM bagelpay.attention WHERE kind = 'open_dispute' AND payment_id = 'evil'),
    $$SELECT * FROM bagelpay.dispute_won('evil', 'won', 'live', U&'a\0003\000a\\! id''\202e'); -- once it is won$$, 'are shown as escapes');
SELECT pg_temp.remedy ('open_dispute') \g /dev/null
SELECT is((SELECT count(*) FROM bagelpay.attention WHERE kind = 'open_dispute'), 0::bigint, 'which mean the same');
SELECT is(bagelpay_internal.statement ('%L %L %L %L', NULL, 'o''n', E'b\\c', U&'\+01F600\+0E0041'), $$NULL 'o''n' E'b\\c' U&'😀\+0e0041'$$, 'what can be seen stays as it is');
SELECT * FROM finish();
