-- Deploy bagelpay:features to pg
--
-- Features: what the entitled products give, by the merchant's own table bagelpay.product_features.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns TRUE if a customer is entitled to a product that has a feature at a moment, else FALSE.
--
-- customer   BagelPay's customer id, or an e-mail address in any ASCII case; trimmed
-- feature    as in bagelpay.product_features; trimmed
--
-- Never returns NULL: an unknown, empty or NULL customer or feature is FALSE. Raises invalid_parameter_value if mode is
-- neither test nor live, or at is NULL. Reads only; waits for no writer.
--
-- Like bagelpay.is_entitled(), it first looks up which products of the customer have the feature, because the query for
-- entitlements takes several times as long to start.
CREATE FUNCTION bagelpay.has_feature (
    customer text,
    feature text,
    mode text DEFAULT 'live',
    at timestamptz DEFAULT now())
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    the_customer text COLLATE "C" := nullif(bagelpay_internal.trimmed (customer), '');
    the_email text COLLATE "C" := lower(the_customer COLLATE "C");
    -- The customer's id, or the id of a customer who is known by this e-mail alone.
    the_ids text[] COLLATE "C" := ARRAY[the_customer, 'email:' || the_email];
    the_feature text COLLATE "C" := nullif(bagelpay_internal.trimmed (has_feature.feature), '');
    the_products text[] COLLATE "C";
BEGIN
    PERFORM bagelpay_internal.given_mode (has_feature.mode), bagelpay_internal.given_moment (has_feature.at);
    the_products := array(
        SELECT i.product_id
        FROM bagelpay_internal.all_items AS i
        WHERE nullif(i.customer_id, '') = ANY (the_ids)
            AND EXISTS (SELECT FROM bagelpay.product_features AS f WHERE f.product_id = i.product_id AND f.feature = the_feature));
    IF the_products <> '{}' THEN
        IF EXISTS (
            SELECT
            FROM bagelpay.entitlements_at (has_feature.at, has_feature.mode) AS e
            WHERE e.customer_id = ANY (the_ids) AND e.product_id = ANY (the_products) AND e.entitled) THEN
            RETURN TRUE;
        END IF;
    END IF;
    the_products := array(
        SELECT i.product_id
        FROM bagelpay_internal.all_items AS i
        WHERE i.customer_email = the_email
            AND EXISTS (SELECT FROM bagelpay.product_features AS f WHERE f.product_id = i.product_id AND f.feature = the_feature));
    RETURN the_products <> '{}'
        AND EXISTS (
            SELECT
            FROM bagelpay.entitlements_at (has_feature.at, has_feature.mode) AS e
            WHERE e.customer_email = the_email AND e.product_id = ANY (the_products) AND e.entitled);
END
$$;

COMMENT ON FUNCTION bagelpay.has_feature IS 'Returns TRUE if a customer, by id or e-mail, has a feature';

-- Like bagelpay.has_feature(), for a user by the merchant's own id (see the setting user_key). Same errors and locks.
CREATE FUNCTION bagelpay.user_has_feature (
    user_id text,
    feature text,
    mode text DEFAULT 'live',
    at timestamptz DEFAULT now())
RETURNS boolean
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    the_user text COLLATE "C" := nullif(bagelpay_internal.trimmed (user_has_feature.user_id), '');
    the_feature text COLLATE "C" := nullif(bagelpay_internal.trimmed (user_has_feature.feature), '');
    the_products text[] COLLATE "C";
BEGIN
    PERFORM bagelpay_internal.given_mode (user_has_feature.mode), bagelpay_internal.given_moment (user_has_feature.at);
    the_products := array(
        SELECT i.product_id
        FROM bagelpay_internal.all_items AS i
        WHERE nullif(i.user_id, '') = the_user
            AND EXISTS (SELECT FROM bagelpay.product_features AS f WHERE f.product_id = i.product_id AND f.feature = the_feature));
    RETURN the_products <> '{}'
        AND EXISTS (
            SELECT
            FROM bagelpay.entitlements_at (user_has_feature.at, user_has_feature.mode) AS e
            WHERE e.user_id = the_user AND e.product_id = ANY (the_products) AND e.entitled);
END
$$;

COMMENT ON FUNCTION bagelpay.user_has_feature IS 'Like has_feature(), for a user by the merchant''s own id';

-- Conditions on the columns by which it groups reach the indexes of bagelpay_internal.stored_items.
CREATE VIEW bagelpay.entitled_features AS
SELECT e.mode, e.customer_id, e.customer_email, e.user_id, f.feature, sum(f.quantity * e.units) AS quantity,
    nullif(max(coalesce(e.valid_until, 'infinity')), 'infinity') AS valid_until
FROM (
    SELECT * FROM bagelpay.entitlements
    UNION ALL
    SELECT * FROM bagelpay.entitlements_test) AS e
JOIN bagelpay.product_features AS f ON f.product_id = e.product_id
WHERE e.entitled
GROUP BY e.mode, e.customer_id, e.customer_email, e.user_id, f.feature;

COMMENT ON VIEW bagelpay.entitled_features IS 'The features that each customer has now, by the entitling items';

COMMIT;
