-- Deploy bagelpay:forget to pg
--
-- Retention: old events lose their body, and the personal data that no state needs. A value is removed only if no state
-- needs it whatever comes later: further events, late ones, links, rebuild(). docs/retention.md explains the rules.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns the strings and numbers of metadata at the paths of the setting order_key. The same key follows from them.
-- NULL for NULL.
CREATE FUNCTION bagelpay_internal.key_metadata (metadata jsonb, paths text[])
    RETURNS jsonb
    LANGUAGE plpgsql
    IMMUTABLE PARALLEL SAFE
    AS $$
DECLARE
    kept jsonb := CASE WHEN metadata IS NOT NULL THEN '{}' END;
    path text;
    steps text[];
BEGIN
    FOREACH path IN ARRAY paths LOOP
        steps := (string_to_array(path, '.'))[2:];
        CONTINUE WHEN path = 'request_id' OR jsonb_typeof(metadata #> steps) IN ('string', 'number') IS NOT TRUE;
        -- jsonb_set() creates only the last step of a path.
        FOR i IN 1 .. cardinality(steps) - 1 LOOP
            kept := jsonb_set(kept, steps[:i], coalesce(kept #> steps[:i], '{}'));
        END LOOP;
        kept := jsonb_set(kept, steps, metadata #> steps);
    END LOOP;
    RETURN kept;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.key_metadata IS 'The parts of metadata that the setting order_key names';

-- Returns an event without the personal data that no state needs, now or later.
--
-- paths    bagelpay.settings.order_key
--
-- Events of an order are compared only if both have the merchant's key, because a link may still move others to another
-- order. The e-mail of a payment or a trial always stays: by it, other events that have an e-mail and no customer_id
-- find their customer.
CREATE FUNCTION bagelpay_internal.without_old_data (e bagelpay.events, paths text[])
    RETURNS bagelpay.events
    LANGUAGE plpgsql
    STABLE
    AS $$
DECLARE
    selling CONSTANT text[] := '{checkout.completed,subscription.trialing,subscription.paid}';
    is_selling boolean := e.event_type = ANY (selling);
    key_data jsonb := bagelpay_internal.key_metadata (e.metadata, paths);
    unused boolean;     -- no purchase takes its payment_method and last4, nor, if it sells nothing, its e-mail
BEGIN
    IF e.order_id IS NULL THEN
        e.customer_email := NULL;
        e.payment_method := NULL;
        e.last4 := NULL;
        e.metadata := key_data;
        RETURN e;
    ELSIF e.event_type LIKE 'operator.%' THEN
        -- The note of a decision stays until a later decision on the same item or payment replaces it.
        IF e.note IS NOT NULL AND EXISTS (
                SELECT
                FROM bagelpay.events AS n
                WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.event_type LIKE 'operator.%'
                    AND (n.fold_slot, n.occurred_at, n.event_id) > (e.fold_slot, e.occurred_at, e.event_id)
                    AND (n.product_id, n.customer_id, n.customer_email, n.payment_id)
                        IS NOT DISTINCT FROM (e.product_id, e.customer_id, e.customer_email, e.payment_id)) THEN
            e.note := NULL;
        END IF;
        RETURN e;
    END IF;

    unused := CASE
        -- A paid payment ignores its failed events, and has the values of its latest event.
        WHEN e.event_type IN ('checkout.failed', 'checkout.completed', 'subscription.paid') THEN
            e.key_source = 'metadata' AND num_nonnulls(e.customer_email, e.payment_method, e.last4) > 0 AND EXISTS (
                SELECT
                FROM bagelpay.events AS n
                WHERE n.payment_id = e.payment_id AND n.order_id = e.order_id AND n.mode = e.mode AND n.key_source = 'metadata'
                    AND n.event_type IN ('checkout.completed', 'subscription.paid')
                    AND (NOT is_selling
                        OR (n.payment_method IS NOT NULL AND n.last4 IS NOT NULL
                            AND (n.fold_slot, n.occurred_at, n.event_id) > (e.fold_slot, e.occurred_at, e.event_id))))
        ELSE NOT is_selling
    END;
    IF unused THEN
        e.payment_method := NULL;
        e.last4 := NULL;
    END IF;
    -- With a customer_id, only the order can use this e-mail, and it prefers that of a selling event.
    IF unused AND NOT is_selling AND e.key_source = 'metadata' AND e.customer_id IS NOT NULL AND e.customer_email IS NOT NULL
        AND EXISTS (
            SELECT
            FROM bagelpay.events AS n
            WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.key_source = 'metadata' AND n.event_type = ANY (selling)
                AND n.customer_email IS NOT NULL) THEN
        e.customer_email := NULL;
    END IF;
    IF e.metadata <> key_data AND e.key_source = 'metadata' AND EXISTS (
            SELECT
            FROM bagelpay.events AS n
            WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.key_source = 'metadata' AND n.event_type = ANY (selling)
                AND n.metadata IS NOT NULL
                AND (n.fold_slot, n.occurred_at, n.event_id)
                    > (CASE WHEN is_selling THEN e.fold_slot ELSE 0 END, e.occurred_at, e.event_id)) THEN
        e.metadata := key_data;
    END IF;
    RETURN e;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.without_old_data IS 'An event without the personal data that no state needs';

-- Removes bodies and personal data of events that were received longer ago than older_than, and dead letters that were
-- resolved longer ago. State does not change, and duplicates are still recognised. Returns the numbers of events
-- processed, and of bodies and dead letters removed.
--
-- at_most limits the events, and the dead letters, of one call. If it returns fewer events, none are left for now but
-- those of orders that others are changing.
--
-- Raises invalid_parameter_value if older_than is NULL or negative, or at_most is not positive. Waits for rebuild(),
-- rekey() and forget_customer(). Locks the rows of the events until the transaction ends; responders wait for these
-- only if such an event is delivered again, or linked or folded again after a late event.
CREATE FUNCTION bagelpay.forget (
    older_than interval,
    at_most integer DEFAULT 10000,
    OUT events bigint,
    OUT bodies bigint,
    OUT dead_letters bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    before timestamptz;
    paths text[];
    due text[];
    concerned text[];
    locked text[];
    skipped text[];
BEGIN
    IF older_than IS NULL OR older_than < '0' THEN
        RAISE EXCEPTION 'older_than: must be an interval that is not negative, not %', coalesce(older_than::text, 'NULL') USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF at_most IS NULL OR at_most < 1 THEN
        RAISE EXCEPTION 'at_most: must be a positive number, not %', coalesce(at_most::text, 'NULL') USING ERRCODE = 'invalid_parameter_value';
    END IF;
    before := bagelpay.utc_plus (now(), -older_than);
    -- Waits for rekey(), which moves events to other orders, and keeps it waiting.
    LOCK TABLE bagelpay.orders IN ROW EXCLUSIVE MODE;
    SELECT setting.order_key INTO paths FROM bagelpay.settings AS setting;

    SELECT coalesce(array_agg(e.event_id), '{}') INTO due
    FROM (
        SELECT t.event_id
        FROM bagelpay.events AS t
        WHERE t.forgotten_at IS NULL AND t.received_at < before
        ORDER BY t.received_at
        LIMIT at_most) AS e;
    -- Also events that were forgotten before, but have data that their orders no longer need.
    SELECT due || coalesce(array_agg(e.event_id), '{}') INTO concerned
    FROM (
        SELECT DISTINCT t.mode, t.order_id
        FROM bagelpay.events AS t
        WHERE t.event_id = ANY (due) AND t.order_id IS NOT NULL) AS o
    JOIN bagelpay.events AS e ON e.mode = o.mode AND e.order_id = o.order_id
    CROSS JOIN LATERAL bagelpay_internal.without_old_data (e, paths) AS k
    WHERE e.forgotten_at IS NOT NULL AND k IS DISTINCT FROM e;

    -- Responders hold locks of orders when they lock events: whoever has none must not wait for an event. Orders of
    -- which someone has an event are left to the next call.
    locked := array(SELECT t.event_id FROM bagelpay.events AS t WHERE t.event_id = ANY (concerned) FOR UPDATE SKIP LOCKED);
    IF cardinality(locked) < cardinality(concerned) THEN
        skipped := array(SELECT unnest(concerned) EXCEPT SELECT unnest(locked));
        concerned := array(
            SELECT t.event_id
            FROM bagelpay.events AS t
            WHERE t.event_id = ANY (locked) AND NOT EXISTS (
                SELECT
                FROM bagelpay.events AS n
                WHERE n.event_id = ANY (skipped) AND n.order_id = t.order_id AND n.mode = t.mode));
        due := array(SELECT unnest(due) INTERSECT SELECT unnest(concerned));
    END IF;
    SELECT count(*) INTO events
    FROM bagelpay.events AS t
    WHERE t.event_id = ANY (due) AND t.forgotten_at IS NULL;

    UPDATE bagelpay.events AS t
    SET forgotten_at = coalesce(t.forgotten_at, now()),
        (customer_email, metadata, payment_method, last4, note) = (
            SELECT k.customer_email, k.metadata, k.payment_method, k.last4, k.note
            FROM bagelpay_internal.without_old_data (t, paths) AS k)
    WHERE t.event_id = ANY (concerned);
    IF events > 0 THEN
        INSERT INTO bagelpay.forgotten_keys (order_key)
        VALUES (paths)
        ON CONFLICT DO NOTHING;
    END IF;

    DELETE FROM bagelpay.event_bodies AS b WHERE b.event_id = ANY (due);
    GET DIAGNOSTICS bodies = ROW_COUNT;
    DELETE FROM bagelpay.dead_letters AS d
    WHERE d.id IN (SELECT n.id FROM bagelpay.dead_letters AS n WHERE n.resolved_at < before ORDER BY n.id LIMIT at_most);
    GET DIAGNOSTICS dead_letters = ROW_COUNT;
END
$$;

COMMENT ON FUNCTION bagelpay.forget IS 'Removes bodies and personal data of a limited number of old events';

-- Calls bagelpay.forget() until nothing old is left, in transactions of at most a thousand events, so that responders
-- wait for at most one of these. Raises invalid_transaction_termination if it is called within a transaction. After an
-- error, committed work stays, and the next call continues.
CREATE PROCEDURE bagelpay.forget_all (
    older_than interval,
    INOUT events bigint DEFAULT 0,
    INOUT bodies bigint DEFAULT 0,
    INOUT dead_letters bigint DEFAULT 0)
LANGUAGE plpgsql
AS $$
DECLARE
    at_once CONSTANT integer := 1000;
    f record;
BEGIN
    LOOP
        SELECT * INTO f FROM bagelpay.forget (older_than, at_once);
        events := events + f.events;
        bodies := bodies + f.bodies;
        dead_letters := dead_letters + f.dead_letters;
        COMMIT;
        EXIT WHEN f.events < at_once AND f.dead_letters < at_once;
    END LOOP;
END
$$;

COMMENT ON PROCEDURE bagelpay.forget_all IS 'forget() until nothing old is left, in many short transactions';

COMMIT;
