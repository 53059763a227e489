-- Deploy bagelpay:expected_orders to pg
--
-- Expected orders: items are compared with what applications announced (see bagelpay.expect_order()). Also checks of
-- arguments.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns an order id from an operator or an application, trimmed like those in events. Raises invalid_parameter_value
-- if it is NULL or empty, or longer than any event's.
CREATE FUNCTION bagelpay_internal.given_order_id (order_id text)
    RETURNS text
    LANGUAGE plpgsql
    IMMUTABLE
    AS $$
DECLARE
    trimmed text COLLATE "C" := bagelpay_internal.trimmed (order_id);
BEGIN
    IF coalesce(trimmed, '') = '' THEN
        RAISE EXCEPTION 'order_id: missing, not %', coalesce(quote_literal(order_id), 'NULL') USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- The longest that bagelpay_internal.order_key() makes: customer:<255 bytes>:<255 bytes>.
    IF octet_length(trimmed) > 520 OR (octet_length(trimmed) > 255 AND trimmed !~ '^(customer|order|payment):') THEN
        RAISE EXCEPTION 'order_id: longer than 255 bytes: %…', left(trimmed, 60) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN trimmed;
END
$$;

-- Returns mode. Raises invalid_parameter_value if it is neither test nor live. Reads no table.
CREATE FUNCTION bagelpay_internal.given_mode (mode text)
    RETURNS text
    LANGUAGE plpgsql
    IMMUTABLE
    AS $$
BEGIN
    IF mode IS NULL OR mode COLLATE "C" NOT IN ('test', 'live') THEN
        RAISE EXCEPTION 'mode: must be ''test'' or ''live'', not %', coalesce(quote_literal(mode), 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN mode;
END
$$;

-- Returns moment. Raises invalid_parameter_value, with the name of the argument, if it is NULL. Reads no table.
CREATE FUNCTION bagelpay_internal.given_moment (moment timestamptz, argument text DEFAULT 'at')
    RETURNS timestamptz
    LANGUAGE plpgsql
    IMMUTABLE
    AS $$
BEGIN
    IF moment IS NULL THEN
        RAISE EXCEPTION '%: must be a moment, not NULL', argument USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN moment;
END
$$;

-- Returns in which of customer, product, amount and currency an item differs from an expected order; '{}' for none.
-- Amount and currency are those of its first payment, once there is one. NULLs in the expected order match anything.
-- Reads only; waits for no writer.
CREATE FUNCTION bagelpay_internal.item_mismatches (i bagelpay_internal.all_items, x bagelpay.expected_orders)
    RETURNS text[]
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    SELECT array_remove(ARRAY[
        CASE WHEN i.customer_email IS DISTINCT FROM coalesce(x.customer_email, i.customer_email) THEN 'customer' END,
        CASE WHEN nullif(i.product_id, '') IS DISTINCT FROM coalesce(x.product_id, nullif(i.product_id, '')) THEN 'product' END,
        CASE WHEN p.name IS NOT NULL AND p.amount IS DISTINCT FROM coalesce(x.amount, p.amount) THEN 'amount' END,
        CASE WHEN p.name IS NOT NULL AND p.currency IS DISTINCT FROM coalesce(x.currency, p.currency) THEN 'currency' END], NULL)
    FROM (SELECT) AS one
    LEFT JOIN LATERAL (
        SELECT n.name, n.amount, n.currency
        FROM bagelpay_internal.purchases AS n
        WHERE n.item_key = i.item_key AND NOT n.is_trial
        ORDER BY n.began_slot, n.began_at, n.began_event_id
        LIMIT 1) AS p ON TRUE
$$;

COMMENT ON FUNCTION bagelpay_internal.item_mismatches IS 'The differences between an item and an expected order';

-- Returns TRUE if an item matches the expected order of its order id; FALSE if there is none. Reads only; waits for no
-- writer.
CREATE FUNCTION bagelpay_internal.is_expected (i bagelpay_internal.all_items)
    RETURNS boolean
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    SELECT coalesce((
        SELECT bagelpay_internal.item_mismatches (i, x) = '{}'
        FROM bagelpay.expected_orders AS x
        WHERE x.order_id = i.order_id AND x.mode = i.mode), FALSE)
$$;

COMMENT ON FUNCTION bagelpay_internal.is_expected IS 'Returns TRUE if an item matches its expected order';

CREATE VIEW bagelpay.order_checks AS
SELECT n.mode, n.order_id, x.order_id IS NOT NULL AS expected,
    EXISTS (
        SELECT
        FROM bagelpay_internal.purchases AS p
        CROSS JOIN bagelpay.settings AS setting
        WHERE p.order_id = n.order_id AND p.mode = n.mode AND NOT p.is_trial
            AND (p.status IN ('paid', 'partially_refunded') OR (p.status = 'disputed' AND NOT setting.revoke_on_dispute))) AS paid,
    CASE WHEN x.order_id IS NOT NULL THEN closest.mismatches = '{}' WHEN closest.there THEN FALSE END AS matches,
    CASE
        WHEN x.order_id IS NOT NULL THEN coalesce(closest.mismatches, '{}')
        WHEN EXISTS (
            SELECT
            FROM bagelpay.expected_orders AS other
            WHERE other.order_id = n.order_id AND other.mode = CASE n.mode WHEN 'test' THEN 'live' ELSE 'test' END) THEN '{mode}'
        ELSE '{unexpected}'
    END AS mismatches
FROM (
    SELECT o.mode, o.order_id FROM bagelpay.orders AS o
    UNION
    SELECT e.mode, e.order_id FROM bagelpay.expected_orders AS e) AS n
LEFT JOIN bagelpay.expected_orders AS x ON x.order_id = n.order_id AND x.mode = n.mode
LEFT JOIN LATERAL (
    SELECT TRUE AS there, CASE WHEN x.order_id IS NOT NULL THEN bagelpay_internal.item_mismatches (i, x) END AS mismatches
    FROM bagelpay_internal.all_items AS i
    WHERE i.order_id = n.order_id AND i.mode = n.mode AND i.item_key IS NOT NULL
    ORDER BY cardinality(CASE WHEN x.order_id IS NOT NULL THEN bagelpay_internal.item_mismatches (i, x) END), i.product_id, i.customer_id, i.user_id
    LIMIT 1) AS closest ON TRUE;

COMMENT ON VIEW bagelpay.order_checks IS 'Each order against its expected order; mismatches: of the closest item';

COMMIT;
