-- Deploy bagelpay:expected_orders to pg
--
-- Whether an order is the one that the application said it was about to sell.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- An order id as an operator or an application writes it: trimmed like those in events,
-- so that both mean the same order. Raises invalid_parameter_value for none, and for one
-- that no event could have.
CREATE FUNCTION bagelpay.given_order_id (order_id text)
    RETURNS text
    LANGUAGE plpgsql
    IMMUTABLE
    AS $$
DECLARE
    trimmed text COLLATE "C" := bagelpay.trimmed (order_id);
BEGIN
    IF coalesce(trimmed, '') = '' THEN
        RAISE EXCEPTION 'order_id: missing' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- The longest that bagelpay.order_key() makes: customer:<255 bytes>:<255 bytes>.
    IF octet_length(trimmed) > 520 OR (octet_length(trimmed) > 255 AND trimmed !~ '^(customer|order|payment):') THEN
        RAISE EXCEPTION 'order_id: longer than 255 bytes' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN trimmed;
END
$$;

-- A mode as given; raises invalid_parameter_value for another word than test and live.
CREATE FUNCTION bagelpay.given_mode (mode text)
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

-- Records what is about to be sold; a later call for the same order replaces it. NULL
-- matches anything. Blocks on a concurrent call for the same order.
CREATE FUNCTION bagelpay.expect_order (
    order_id text,
    customer_email text,
    product_id text,
    amount numeric,
    currency text,
    mode text DEFAULT 'live')
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO bagelpay.expected_orders (mode, order_id, customer_email, product_id, amount, currency)
    VALUES (
        bagelpay.given_mode (expect_order.mode),
        bagelpay.given_order_id (expect_order.order_id),
        nullif(bagelpay.trimmed (lower(expect_order.customer_email COLLATE "C")), ''),
        nullif(bagelpay.trimmed (expect_order.product_id COLLATE "C"), ''),
        expect_order.amount,
        nullif(bagelpay.trimmed (upper(expect_order.currency COLLATE "C")), ''))
    ON CONFLICT (mode, order_id) DO UPDATE SET
        customer_email = excluded.customer_email, product_id = excluded.product_id,
        amount = excluded.amount, currency = excluded.currency, expected_at = excluded.expected_at;
END
$$;

COMMENT ON FUNCTION bagelpay.expect_order IS 'Records what an application is about to sell';

CREATE VIEW bagelpay.order_checks AS
SELECT o.mode, o.order_id, x.order_id IS NOT NULL AS expected,
    x.order_id IS NOT NULL AND cardinality(found.mismatches) = 0 AS matches,
    found.mismatches
FROM bagelpay.orders AS o
LEFT JOIN bagelpay.expected_orders AS x ON x.mode = o.mode AND x.order_id = o.order_id
LEFT JOIN LATERAL (
    SELECT TRUE AS there, p.amount, p.currency
    FROM bagelpay.stored_payments AS p
    WHERE p.mode = o.mode AND p.order_id = o.order_id AND p.paid_at IS NOT NULL
    ORDER BY p.paid_at, p.payment_id
    LIMIT 1) AS first_payment ON TRUE
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN x.order_id IS NULL THEN ARRAY[CASE
            WHEN EXISTS (SELECT FROM bagelpay.expected_orders AS other WHERE other.mode = CASE o.mode WHEN 'test' THEN 'live' ELSE 'test' END AND other.order_id = o.order_id)
            THEN 'mode' ELSE 'unexpected' END]
        ELSE array_remove(ARRAY[
            CASE WHEN x.customer_email IS NOT NULL AND o.customer_email IS DISTINCT FROM x.customer_email THEN 'customer' END,
            CASE WHEN x.product_id IS NOT NULL AND o.product_id IS DISTINCT FROM x.product_id THEN 'product' END,
            CASE WHEN x.amount IS NOT NULL AND first_payment.there AND first_payment.amount IS DISTINCT FROM x.amount THEN 'amount' END,
            CASE WHEN x.currency IS NOT NULL AND first_payment.there AND first_payment.currency IS DISTINCT FROM x.currency THEN 'currency' END],
            NULL)
    END
) AS found (mismatches);

COMMENT ON VIEW bagelpay.order_checks IS 'Whether each order is what the application said it was about to sell';

-- Whether an order was expected and is as expected; FALSE for one that is not there.
CREATE FUNCTION bagelpay.matches_expectation (mode text, order_id text)
    RETURNS boolean
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    SELECT coalesce((
        SELECT c.matches
        FROM bagelpay.order_checks AS c
        WHERE c.mode = matches_expectation.mode COLLATE "C" AND c.order_id = matches_expectation.order_id COLLATE "C"), FALSE)
$$;

COMMENT ON FUNCTION bagelpay.matches_expectation IS 'Whether an order was expected and is as expected';

COMMIT;
