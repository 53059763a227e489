-- Deploy bagelpay:order_key to pg

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- The key of an event: the merchant's own order id where one of the paths finds one,
-- else the first name that can be made of what the provider sent.
--
-- paths              bagelpay.settings.order_key
-- metadata … billed  the normalised fields of the event; billed: whether it is billed
--                    as a subscription
-- order_id           NULL where nothing names the order (outcome unmatched)
-- warnings           each path whose value could not serve, and why
--
-- Depends on its arguments alone, so that any database with the same settings finds
-- the same key. Raises nothing.
CREATE FUNCTION bagelpay.order_key (
    paths text[],
    metadata jsonb,
    request_id text,
    customer_id text,
    product_id text,
    provider_order_id text,
    payment_id text,
    billed boolean,
    OUT order_id text,
    OUT key_source text,
    OUT warnings text[])
LANGUAGE plpgsql
IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    path text;
    found_value jsonb;
    candidate text;
BEGIN
    warnings := ARRAY[]::text[];
    FOREACH path IN ARRAY paths LOOP
        IF path = 'request_id' THEN
            candidate := request_id;
        ELSE
            -- 'metadata.a.b' is the path {a,b} below the metadata.
            found_value := metadata #> (string_to_array(path, '.'))[2:];
            candidate := CASE jsonb_typeof(found_value)
                WHEN 'string' THEN bagelpay.trimmed (found_value #>> '{}')
                WHEN 'number' THEN substring(found_value #>> '{}' FROM '^-?[0-9]+$')
            END;
        END IF;
        IF candidate IS NULL THEN
            IF path <> 'request_id' AND jsonb_typeof(found_value) <> 'null' THEN
                warnings := warnings || format('object.%s: neither text nor an integer, not taken as the order''s key', path);
            END IF;
        ELSIF candidate = '' THEN
            CONTINUE;
        ELSIF octet_length(candidate) > 255 THEN
            warnings := warnings || format('object.%s: longer than 255 bytes, not taken as the order''s key', path);
        ELSIF candidate ~ '^(customer|order|payment):' THEN
            warnings := warnings || format('object.%s: begins with a reserved prefix, not taken as the order''s key', path);
        ELSE
            order_id := candidate;
            key_source := 'metadata';
            RETURN;
        END IF;
    END LOOP;
    IF billed AND customer_id IS NOT NULL AND product_id IS NOT NULL THEN
        order_id := 'customer:' || customer_id || ':' || product_id;
        key_source := 'customer';
    ELSIF provider_order_id IS NOT NULL THEN
        order_id := 'order:' || provider_order_id;
        key_source := 'order';
    ELSIF payment_id IS NOT NULL THEN
        order_id := 'payment:' || payment_id;
        key_source := 'payment';
    ELSIF customer_id IS NOT NULL AND product_id IS NOT NULL THEN
        order_id := 'customer:' || customer_id || ':' || product_id;
        key_source := 'customer';
    END IF;
END
$$;

COMMENT ON FUNCTION bagelpay.order_key IS 'Which order an event belongs to, by its normalised fields and the paths of the settings';

-- Whether an event is billed as a subscription.
CREATE FUNCTION bagelpay.billed_as_subscription (event_type text, billing_type text, kind text, has_subscription boolean)
    RETURNS boolean
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT event_type IN ('subscription.trialing', 'subscription.paid', 'subscription.canceled')
        OR has_subscription
        OR coalesce(billing_type = 'subscription', FALSE)
        OR coalesce(kind = 'subscription', FALSE)
$$;

COMMENT ON FUNCTION bagelpay.billed_as_subscription IS 'Whether an event is billed as a subscription, by its type and what its body says';

COMMIT;
