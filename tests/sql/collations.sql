-- Whatever the collation of an application's columns and of its database, what it asks with them is answered the same, by
-- the same indexes: a collation of an argument, even one that nobody wrote there, decides which index serves a comparison.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(21);

\ir builder.psql

SELECT is(
    array(
        SELECT i.indexrelid::regclass::text
        FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indrelid
        CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indcollation::oid[]) AS k (attnum, collation_id)
        LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
        WHERE c.relnamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace) AND (k.collation_id NOT IN (0, '"C"'::regcollation) OR a.attcollation NOT IN (0, '"C"'::regcollation))
        ORDER BY 1),
    '{}', 'all texts that are looked for are compared by their bytes');

-- One that compares in another way than by bytes, for which PostgreSQL refuses most of what is not a plain comparison.
CREATE COLLATION public.without_case (provider = icu, locale = 'und-u-ks-level2', deterministic = FALSE);

CREATE TEMPORARY TABLE shop (
    customer text COLLATE public.without_case,
    user_id text COLLATE public.without_case,
    payment text COLLATE public.without_case,
    product text COLLATE "POSIX",
    order_id text COLLATE public.without_case,
    mode text COLLATE "POSIX",
    currency text COLLATE "POSIX",
    note text COLLATE public.without_case,
    cursor text COLLATE public.without_case
);

INSERT INTO shop VALUES ('C1@example.com', 'u1', 'y1', 'p1', 'o1', 'live', 'USD', 'as agreed', '');

SELECT is(pg_temp.take ('e1', 'checkout.completed', '2026-01-01 00:00:00', '{"amount": 5, "currency": "USD", "payment_id": "y1", "metadata": {"order_id": "o1", "user_id": "u1"}}'), 'applied', 'an order');
SELECT lives_ok('SELECT bagelpay.expect_order(order_id, customer, product, 5, currency, mode) FROM shop', 'expect_order');
SELECT ok(bagelpay.is_entitled (customer, product, mode), 'is_entitled') FROM shop;
SELECT ok(bagelpay.is_user_entitled (user_id, product, mode), 'is_user_entitled') FROM shop;
SELECT is(count(*), 1::bigint, 'entitlements_at') FROM shop, bagelpay.entitlements_at (now(), shop.mode);
SELECT is(count(*), 1::bigint, 'entitlements, joined') FROM shop JOIN bagelpay.entitlements AS e ON e.order_id = shop.order_id COLLATE "C";
SELECT is(count(*), 1::bigint, 'order_checks, joined') FROM shop JOIN bagelpay.order_checks AS c ON c.order_id = shop.order_id COLLATE "C" WHERE c.matches;
SELECT is(count(*), 2::bigint, 'rows of the state') FROM (
    SELECT FROM shop JOIN bagelpay.payments AS p ON p.payment_id = shop.payment COLLATE "C" UNION ALL SELECT FROM shop JOIN bagelpay.items AS i ON i.user_id = shop.user_id COLLATE "C") AS n;
SELECT is(count(*), 1::bigint, 'explain') FROM shop, bagelpay.explain (shop.order_id, shop.mode);
SELECT lives_ok('SELECT f.* FROM shop, bagelpay.changes_since (shop.cursor) AS f', 'changes_since');
SELECT is(bagelpay.rebuild (order_id, mode), 0::bigint, 'rebuild') FROM shop;
SELECT lives_ok('SELECT bagelpay.revoke(order_id, note, mode, product, customer) FROM shop', 'revoke');
SELECT lives_ok('SELECT bagelpay.clear(order_id, note, mode, product, customer) FROM shop', 'clear');
SELECT lives_ok('SELECT bagelpay.dispute_won(payment, note, mode, order_id) FROM shop', 'dispute_won');
SELECT lives_ok('SELECT bagelpay.dispute_won(payment, note, mode) FROM shop', 'dispute_won, found by its name');
SELECT lives_ok('SELECT bagelpay.grant(order_id, customer, product, NULL, note, mode) FROM shop', 'grant');
SELECT is(pg_temp.verdict ('2999-01-01'), 'yes granted', 'which hold');
SELECT throws_ok('SELECT bagelpay.grant(order_id, mode => currency) FROM shop', '22023', $$mode: must be 'test' or 'live', not 'USD'$$, 'what is wrong is said');
SELECT ok(bagelpay_internal.console_order (mode, 'o1') IS NOT NULL, 'console_order') FROM shop;
SELECT cmp_ok(f.events, '>', 0::bigint, 'forget_customer') FROM shop, bagelpay.forget_customer (shop.customer) AS f;

SELECT * FROM finish();

ROLLBACK;
