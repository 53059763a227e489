-- Deploy bagelpay:order_key to pg
--
-- The order of an event, by its own fields and by links to other events; and the user that it names.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns a value of metadata as the text of a key: a string, or an integer in any notation (123.0, 1e2) as its digits;
-- NULL for other values. This and the next are single expressions, which the planner inlines.
CREATE FUNCTION bagelpay_internal.key_text (value jsonb)
    RETURNS text
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE jsonb_typeof(value)
        WHEN 'string' THEN bagelpay_internal.trimmed (value #>> '{}')
        WHEN 'number' THEN substring(value #>> '{}' FROM '^(-?[0-9]+)(\.0+)?$')
    END
$$;

-- Returns TRUE if a text can serve as a key. reserved: TRUE if those that begin like a derived key cannot.
CREATE FUNCTION bagelpay_internal.is_usable_key (candidate text, reserved boolean)
    RETURNS boolean
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT candidate <> '' AND octet_length(candidate) <= 255
        AND NOT (reserved AND (starts_with(candidate, 'customer:') OR starts_with(candidate, 'order:') OR starts_with(candidate, 'payment:')))
$$;

-- Returns the first value at some paths that can serve as a key; NULL if there is none.
--
-- paths                 of a setting: metadata.… or request_id
-- metadata, request_id  of the event
-- place                 order or user, for the warnings
-- reserved              TRUE: values that begin like a derived key are skipped
-- warnings              for each skipped value, its path and the reason
--
-- Raises nothing.
CREATE FUNCTION bagelpay_internal.key_at (paths text[], metadata jsonb, request_id text, place text, reserved boolean, OUT key text, OUT warnings text[])
LANGUAGE plpgsql
IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    path text;
    found_value jsonb;
    candidate text COLLATE "C";
BEGIN
    warnings := ARRAY[]::text[];
    IF metadata IS NULL AND request_id IS NULL THEN
        RETURN;
    END IF;
    FOREACH path IN ARRAY paths LOOP
        IF path = 'request_id' THEN
            candidate := request_id;
        ELSE
            -- 'metadata.a.b' is the path {a,b} below the metadata.
            found_value := metadata #> (string_to_array(path, '.'))[2:];
            CONTINUE WHEN found_value IS NULL;
            candidate := bagelpay_internal.key_text (found_value);
            IF candidate IS NULL AND jsonb_typeof(found_value) <> 'null' THEN
                warnings := warnings || format('object.%s: neither text nor an integer, not used as the %s''s key', path, place);
            END IF;
        END IF;
        CONTINUE WHEN candidate = '' OR candidate IS NULL;
        IF bagelpay_internal.is_usable_key (candidate, reserved) THEN
            key := candidate;
            RETURN;
        END IF;
        warnings := warnings || format(
            CASE WHEN octet_length(candidate) > 255 THEN 'object.%s: longer than 255 bytes, not used as the %s''s key'
                ELSE 'object.%s: begins with a reserved prefix, not used as the %s''s key' END, path, place);
    END LOOP;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.key_at IS 'The first value at some paths of metadata that can serve as a key';

-- Returns TRUE if an event is billed as a subscription; never NULL.
CREATE FUNCTION bagelpay_internal.billed_as_subscription (event_type text, billing_type text, kind text, has_subscription boolean)
    RETURNS boolean
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT event_type IN ('subscription.trialing', 'subscription.paid', 'subscription.canceled')
        OR coalesce(has_subscription, FALSE)
        OR coalesce(billing_type = 'subscription', FALSE)
        OR coalesce(kind = 'subscription', FALSE)
$$;

COMMENT ON FUNCTION bagelpay_internal.billed_as_subscription IS 'Returns TRUE if an event is billed as a subscription';

-- Returns the key of an event by its own fields: the merchant's, or else the first that can be derived. For links, see
-- bagelpay_internal.linked_order().
--
-- paths        bagelpay.settings.order_key
-- billed       TRUE if it is billed as a subscription
-- order_id     NULL if nothing names the order (outcome unmatched)
-- warnings     for each skipped value, its path and the reason
--
-- Depends on its arguments alone, so that any database with the same settings derives the same key. Raises nothing.
CREATE FUNCTION bagelpay_internal.order_key (
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
    merchants record := bagelpay_internal.key_at (paths, metadata, request_id, 'order', TRUE);
BEGIN
    warnings := merchants.warnings;
    IF merchants.key IS NOT NULL THEN
        order_id := merchants.key;
        key_source := 'metadata';
    ELSIF billed AND customer_id IS NOT NULL AND product_id IS NOT NULL THEN
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

COMMENT ON FUNCTION bagelpay_internal.order_key IS 'The key of an event by its normalised fields and the paths of the settings';

-- Returns the order that an event without the merchant's key is linked to; NULL if there is none. It is the order of a
-- payment event or checkout.failed with the merchant's key and the same payment_id, or else the same provider_order_id;
-- of several orders, the bytewise first. also: such events that are not stored yet. Free of races only if the caller
-- holds the locks of the two names (see bagelpay.ingest()).
CREATE FUNCTION bagelpay_internal.linked_order (mode text, payment_id text, provider_order_id text, also bagelpay.events[])
    RETURNS text
    LANGUAGE plpgsql
    STABLE
    AS $$
#variable_conflict use_column
DECLARE
    found text;
BEGIN
    SELECT least(
        (SELECT min(e.order_id)
         FROM bagelpay.events AS e
         WHERE e.payment_id = linked_order.payment_id COLLATE "C" AND e.mode = linked_order.mode COLLATE "C" AND e.key_source = 'metadata'
            AND e.event_type IN ('checkout.failed', 'checkout.completed', 'subscription.paid')),
        (SELECT min(a.order_id)
         FROM unnest(also) AS a
         WHERE a.payment_id = linked_order.payment_id COLLATE "C" AND a.mode = linked_order.mode COLLATE "C")) INTO found;
    IF found IS NULL THEN
        SELECT least(
            (SELECT min(e.order_id)
             FROM bagelpay.events AS e
             WHERE e.provider_order_id = linked_order.provider_order_id COLLATE "C" AND e.mode = linked_order.mode COLLATE "C" AND e.key_source = 'metadata'
                AND e.event_type IN ('checkout.failed', 'checkout.completed', 'subscription.paid')),
            (SELECT min(a.order_id)
             FROM unnest(also) AS a
             WHERE a.provider_order_id = linked_order.provider_order_id COLLATE "C" AND a.mode = linked_order.mode COLLATE "C")) INTO found;
    END IF;
    RETURN found;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.linked_order IS 'The order to which an event without the merchant''s key is linked';

COMMIT;
