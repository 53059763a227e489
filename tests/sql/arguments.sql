-- Arguments as programs pass them: integers for ids, floats and text for amounts, dates for moments, and NULL.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
SET TimeZone = 'UTC';

-- The database is this file's.
SELECT plan(48);

\ir builder.psql

SELECT pg_temp.take ('a1', 'checkout.completed', '2025-01-01 00:00:00', '{"payment_id":"7001","amount":"397.16","currency":"EUR","metadata":{"order_id":333,"user_id":42}}') \g /dev/null
INSERT INTO bagelpay.products (product_id) VALUES ('p1');
INSERT INTO bagelpay.product_features (product_id, feature) VALUES ('p1', 'chat');

-- Ids that are digits.
SELECT is(pg_temp.told ('SELECT bagelpay.' || call), 'true', call)
FROM unnest(ARRAY[
    'is_user_entitled (42, ''p1'')', 'is_user_entitled (42::smallint, ''p1'')', 'is_user_entitled (42::bigint, ''p1'')', 'is_user_entitled (''42'', ''p1'')', 'is_user_entitled (user_id => 42, product => ''p1'', mode => ''live'')',
    'is_user_entitled (42, ''p1'', at => date ''2025-01-02'')', 'is_entitled (''c1'', ''p1'', ''live'', date ''2025-01-02'')', 'is_entitled (''c1'', ''p1'', at => timestamp ''2025-01-02 12:00'')',
    'user_has_feature (42, ''chat'')', 'user_has_feature (''42'', ''chat'')', 'has_feature (''c1'', ''chat'', at => date ''2025-01-02'')']) AS call;
SELECT is(pg_temp.told ('SELECT bagelpay.is_user_entitled (42, ''p1'', at => date ''2025-01-01''), bagelpay.is_user_entitled (42, ''p1'', at => date ''2024-12-31'')'), 'true false', 'a date is its midnight');
SELECT is(pg_temp.told ('SELECT order_id, mode FROM bagelpay.' || call), '333 live', call)
FROM unnest(ARRAY[
    'find (333)', 'find (''333'')', 'find (7001)', 'find (42, ''live'')', 'explain (333)', 'explain (''333'')', 'explain (333, mode => ''live'')', 'grant (333)', 'grant (''333'', until => date ''2030-01-01'')', 'revoke (333)', 'revoke (333, ''note'', ''live'', ''p1'')',
    'clear (333)', 'clear (order_id => 333)', 'entitlements_at (date ''2025-01-02'')', 'entitlement_changes (date ''2024-12-31'', date ''2025-01-02'')']) AS call;
SELECT is(bagelpay.rebuild (333) + bagelpay.rebuild ('333') + bagelpay.rebuild (333, 'live'), 0::bigint, 'rebuild');

-- Amounts: as numeric, float, integer, text; and what is not known.
-- Each in a statement of its own, which sees what the one before stored.
CREATE FUNCTION pg_temp.expected (arguments text)
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    rows text := pg_temp.told ('SELECT order_id, mode, entitled FROM bagelpay.expect_order (' || arguments || ')');
BEGIN
    RETURN concat(rows, ' ', (SELECT x.amount FROM bagelpay.expected_orders AS x WHERE x.order_id = '333'));
END
$$;
SELECT is(pg_temp.expected (call), told, 'expect_order (' || call || ')')
FROM (VALUES
    ('333, ''c1@example.com'', ''p1'', 397.16, ''eur''', '333 live true 397.16'), ('''333'', ''c1@example.com'', ''p1'', 397.16::double precision, ''eur''', '333 live true 397.16'), ('333, NULL, NULL, 0.1::double precision, NULL', '333 live true 0.1'),
    ('333, NULL, NULL, 10, NULL', '333 live true 10'), ('333, NULL, NULL, ''123456789012345.123456'', NULL', '333 live true 123456789012345.123456'), ('''333'', NULL, NULL, ''397.16'', NULL, ''live''', '333 live true 397.16'),
    ('333, NULL, NULL, NULL, NULL', '333 live true '), ('''333'', NULL, NULL, NULL::numeric, NULL', '333 live true '), ('''333'', NULL, NULL, '' '', NULL', '333 live true ')) AS v (call, told);
SELECT is(pg_temp.told ('SELECT * FROM bagelpay.expect_order (''not yet'', NULL, NULL, NULL, NULL)'), '', 'an order without events has no entitlements');
UPDATE bagelpay.settings SET require_expected_order = TRUE;
SELECT is(pg_temp.told ('SELECT reason FROM bagelpay.expect_order (333, NULL, NULL, 5, NULL)'), 'unconfirmed', 'they are those afterwards');
UPDATE bagelpay.settings SET require_expected_order = FALSE;

-- Errors name argument and value.
SELECT throws_ok('SELECT * FROM bagelpay.' || call, '22023', message, message)
FROM (VALUES
    ('is_entitled (''c1'', ''p1'', ''Live'')', 'mode: must be ''test'' or ''live'', not ''Live'''), ('is_entitled (''c1'', ''p1'', at => NULL)', 'at: must be a moment, not NULL'), ('entitlements_at (NULL)', 't: must be a moment, not NULL'),
    ('entitlement_changes (NULL, now())', 'from: must be a moment, not NULL'), ('entitlement_changes (now(), NULL)', 'to: must be a moment, not NULL'),
    ('changes_since (''x'')', 'cursor: must be the empty text, or a cursor that changes_since() gave, not ''x'''), ('explain (NULL::text)', 'order_id: missing, not NULL'),
    ('expect_order (''x'', NULL, NULL, ''10 EUR'', NULL)', 'amount: must be a number such as 397.16, not ''10 EUR'''), ('forget (''-1 day'')', 'older_than: must be an interval that is not negative, not -1 days')) AS v (call, message);

SELECT * FROM finish();
