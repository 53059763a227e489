-- Deploy bagelpay:arguments to pg
--
-- The same functions for arguments as programs pass them: integers for ids that are digits, floats and text for amounts.
-- Dates and times without zone need nothing here: PostgreSQL takes them for moments, in the session's zone.
--
-- Single expressions that call the function for text. A quoted literal is text, as before.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

CREATE FUNCTION bagelpay.is_user_entitled (user_id bigint, product text, mode text DEFAULT 'live', at timestamptz DEFAULT now())
    RETURNS boolean
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    SELECT bagelpay.is_user_entitled ($1::text, $2, $3, $4)
$$;

COMMENT ON FUNCTION bagelpay.is_user_entitled (bigint, text, text, timestamptz) IS 'is_user_entitled() for a user id that is an integer';

CREATE FUNCTION bagelpay.user_has_feature (user_id bigint, feature text, mode text DEFAULT 'live', at timestamptz DEFAULT now())
    RETURNS boolean
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    SELECT bagelpay.user_has_feature ($1::text, $2, $3, $4)
$$;

COMMENT ON FUNCTION bagelpay.user_has_feature (bigint, text, text, timestamptz) IS 'user_has_feature() for a user id that is an integer';

CREATE FUNCTION bagelpay.find (text bigint, mode text DEFAULT NULL)
    RETURNS SETOF bagelpay.finding
    LANGUAGE sql
    STABLE
    AS $$
    SELECT * FROM bagelpay.find ($1::text, $2)
$$;

COMMENT ON FUNCTION bagelpay.find (bigint, text) IS 'find() for a name that is an integer';

CREATE FUNCTION bagelpay.explain (order_id bigint, mode text DEFAULT 'live')
    RETURNS SETOF bagelpay.explanation
    LANGUAGE sql
    STABLE
    AS $$
    SELECT * FROM bagelpay.explain ($1::text, $2)
$$;

COMMENT ON FUNCTION bagelpay.explain (bigint, text) IS 'explain() for an order_id that is an integer';

CREATE FUNCTION bagelpay.rebuild (order_id bigint, mode text DEFAULT 'live')
    RETURNS bigint
    LANGUAGE sql
    AS $$
    SELECT bagelpay.rebuild ($1::text, $2)
$$;

COMMENT ON FUNCTION bagelpay.rebuild (bigint, text) IS 'rebuild() for an order_id that is an integer';

CREATE FUNCTION bagelpay.grant (
    order_id bigint,
    customer_email text DEFAULT NULL,
    product_id text DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    note text DEFAULT NULL,
    mode text DEFAULT 'live')
RETURNS SETOF bagelpay.entitlement
LANGUAGE sql
AS $$
    SELECT * FROM bagelpay.grant ($1::text, $2, $3, $4, $5, $6)
$$;

COMMENT ON FUNCTION bagelpay.grant (bigint, text, text, timestamptz, text, text) IS 'grant() for an order_id that is an integer';

CREATE FUNCTION bagelpay.revoke (
    order_id bigint,
    note text DEFAULT NULL,
    mode text DEFAULT 'live',
    product_id text DEFAULT NULL,
    customer text DEFAULT NULL)
RETURNS SETOF bagelpay.entitlement
LANGUAGE sql
AS $$
    SELECT * FROM bagelpay.revoke ($1::text, $2, $3, $4, $5)
$$;

COMMENT ON FUNCTION bagelpay.revoke (bigint, text, text, text, text) IS 'revoke() for an order_id that is an integer';

CREATE FUNCTION bagelpay.clear (
    order_id bigint,
    note text DEFAULT NULL,
    mode text DEFAULT 'live',
    product_id text DEFAULT NULL,
    customer text DEFAULT NULL)
RETURNS SETOF bagelpay.entitlement
LANGUAGE sql
AS $$
    SELECT * FROM bagelpay.clear ($1::text, $2, $3, $4, $5)
$$;

COMMENT ON FUNCTION bagelpay.clear (bigint, text, text, text, text) IS 'clear() for an order_id that is an integer';

CREATE FUNCTION bagelpay.expect_order (
    order_id bigint,
    customer_email text,
    product_id text,
    amount numeric,
    currency text,
    mode text DEFAULT 'live')
RETURNS SETOF bagelpay.entitlement
LANGUAGE sql
AS $$
    SELECT * FROM bagelpay.expect_order ($1::text, $2, $3, $4, $5, $6)
$$;

COMMENT ON FUNCTION bagelpay.expect_order (bigint, text, text, numeric, text, text) IS 'expect_order() for an order_id that is an integer';

-- The amount is that of the float's shortest digits: 397.16, not the binary fraction beside it.
CREATE FUNCTION bagelpay.expect_order (
    order_id text,
    customer_email text,
    product_id text,
    amount double precision,
    currency text,
    mode text DEFAULT 'live')
RETURNS SETOF bagelpay.entitlement
LANGUAGE sql
SET extra_float_digits = 1
AS $$
    SELECT * FROM bagelpay.expect_order ($1, $2, $3, $4::text::numeric, $5, $6)
$$;

COMMENT ON FUNCTION bagelpay.expect_order (text, text, text, double precision, text, text) IS 'expect_order() for an amount that is a float';

CREATE FUNCTION bagelpay.expect_order (
    order_id bigint,
    customer_email text,
    product_id text,
    amount double precision,
    currency text,
    mode text DEFAULT 'live')
RETURNS SETOF bagelpay.entitlement
LANGUAGE sql
AS $$
    SELECT * FROM bagelpay.expect_order ($1::text, $2, $3, $4, $5, $6)
$$;

COMMENT ON FUNCTION bagelpay.expect_order (bigint, text, text, double precision, text, text) IS 'expect_order() for an integer and a float';

-- Without it, a quoted amount would be read as a float, and lose digits from the 17th on. Raises
-- invalid_parameter_value if the amount is no number.
CREATE FUNCTION bagelpay.expect_order (
    order_id text,
    customer_email text,
    product_id text,
    amount text,
    currency text,
    mode text DEFAULT 'live')
RETURNS SETOF bagelpay.entitlement
LANGUAGE plpgsql
AS $$
DECLARE
    digits text := nullif(bagelpay_internal.trimmed ($4), '');
BEGIN
    IF digits !~ '^[0-9]{1,100}(\.[0-9]{1,100})?$' THEN
        RAISE EXCEPTION 'amount: must be a number such as 397.16, not %', quote_literal($4)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY SELECT * FROM bagelpay.expect_order ($1, $2, $3, digits::numeric, $5, $6);
END
$$;

COMMENT ON FUNCTION bagelpay.expect_order (text, text, text, text, text, text) IS 'expect_order() for an amount that is text';

CREATE FUNCTION bagelpay.expect_order (
    order_id bigint,
    customer_email text,
    product_id text,
    amount text,
    currency text,
    mode text DEFAULT 'live')
RETURNS SETOF bagelpay.entitlement
LANGUAGE sql
AS $$
    SELECT * FROM bagelpay.expect_order ($1::text, $2, $3, $4, $5, $6)
$$;

COMMENT ON FUNCTION bagelpay.expect_order (bigint, text, text, text, text, text) IS 'expect_order() for an integer and an amount that is text';

COMMIT;
