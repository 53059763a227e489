-- Deploy bagelpay:forget to pg
--
-- Retention: what is old loses its body and what it holds of a person, as far as no state
-- stands on it.
--
-- The fold takes the latest e-mail, metadata, payment method, last four digits. What a later
-- event of the order says again is therefore not needed any more; what none does is the
-- state, and stays until another event says it anew and is old in its turn. The customer's
-- id stays: only it shows that one key named two customers. So does all that money and time
-- follow from, and the digest of the body, by which a duplicate is known.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Of metadata only what the paths of the setting order_key name, so that the same key, and
-- the same warnings, follow from it. NULL for NULL.
CREATE FUNCTION bagelpay.key_metadata (metadata jsonb, paths text[])
    RETURNS jsonb
    LANGUAGE plpgsql
    IMMUTABLE PARALLEL SAFE
    AS $$
DECLARE
    kept jsonb := '{}';
    steps text[];
    found_value jsonb;
BEGIN
    IF metadata IS NULL THEN
        RETURN NULL;
    END IF;
    -- Shorter ones first, so that what stands below another path does not get lost.
    FOR steps IN
        SELECT (string_to_array(path, '.'))[2:] AS below
        FROM unnest(paths) AS path
        WHERE path <> 'request_id'
        ORDER BY cardinality(string_to_array(path, '.'))
    LOOP
        found_value := metadata #> steps;
        CONTINUE WHEN found_value IS NULL;
        FOR i IN 1 .. cardinality(steps) - 1 LOOP
            IF jsonb_typeof(kept #> steps[:i]) IS DISTINCT FROM 'object' THEN
                kept := jsonb_set(kept, steps[:i], '{}');
            END IF;
        END LOOP;
        -- Of what is no key it matters that it is none.
        kept := jsonb_set(kept, steps, CASE WHEN jsonb_typeof(found_value) IN ('object', 'array') THEN '{}' ELSE found_value END);
    END LOOP;
    RETURN kept;
END
$$;

COMMENT ON FUNCTION bagelpay.key_metadata IS 'Of metadata only what the paths of the setting order_key name';

-- Takes the bodies and the personal data from events that were received longer ago than an
-- interval, and removes dead letters that were resolved longer ago. No state changes, nor what
-- is a duplicate. Returns how many events it went through, how many bodies and dead letters
-- it removed.
--
-- at_most bounds what one call, and so one transaction, holds locks on: of the events, which
-- responders change only where they are delivered again or an event comes late. Less than
-- that many events: there are none left for now. Raises invalid_parameter_value for an
-- interval or a bound that is none.
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
BEGIN
    IF older_than IS NULL OR older_than < '0' THEN
        RAISE EXCEPTION 'older_than: must be an interval that is not negative' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF at_most IS NULL OR at_most < 1 THEN
        RAISE EXCEPTION 'at_most: must be a positive number' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    before := bagelpay.utc_plus (now(), -older_than);
    -- Keeps rekey() out, which changes what is of one order.
    LOCK TABLE bagelpay.orders IN ROW EXCLUSIVE MODE;
    SELECT setting.order_key INTO paths FROM bagelpay.settings AS setting;

    SELECT coalesce(array_agg(e.event_id), '{}') INTO due
    FROM (
        SELECT t.event_id
        FROM bagelpay.events AS t
        WHERE t.forgotten_at IS NULL AND t.received_at < before
        ORDER BY t.received_at
        LIMIT at_most) AS e;
    -- With them, what their orders had kept for the state that may follow from them now.
    SELECT due || coalesce(array_agg(e.event_id), '{}') INTO concerned
    FROM (
        SELECT DISTINCT t.mode, t.order_id
        FROM bagelpay.events AS t
        WHERE t.event_id = ANY (due) AND t.order_id IS NOT NULL) AS o
    JOIN bagelpay.events AS e ON e.mode = o.mode AND e.order_id = o.order_id
    WHERE e.forgotten_at IS NOT NULL
        AND (num_nonnulls(e.customer_email, e.payment_method, e.last4, e.note) > 0
            OR e.metadata <> bagelpay.key_metadata (e.metadata, paths));

    -- In the order of their ids, like whoever else changes several events.
    PERFORM FROM bagelpay.events AS t
    WHERE t.event_id = ANY (concerned)
    ORDER BY t.event_id
    FOR UPDATE;
    SELECT count(*) INTO events
    FROM bagelpay.events AS t
    WHERE t.event_id = ANY (due) AND t.forgotten_at IS NULL;

    UPDATE bagelpay.events AS t
    SET forgotten_at = coalesce(t.forgotten_at, now()), customer_email = kept.customer_email, metadata = kept.metadata,
        payment_method = kept.payment_method, last4 = kept.last4, note = kept.note
    FROM (
        SELECT e.event_id,
            -- A grant's e-mail fills only what no other event says, whenever it does.
            CASE WHEN e.order_id IS NOT NULL
                AND NOT EXISTS (
                    SELECT FROM bagelpay.events AS n
                    WHERE n.mode = e.mode AND n.order_id = e.order_id AND n.customer_email IS NOT NULL
                        AND (n.occurred_at, n.rank, n.event_id) > (e.occurred_at, e.rank, e.event_id) AND (n.rank < 8 OR e.rank = 8))
                AND (e.rank < 8 OR NOT EXISTS (
                    SELECT FROM bagelpay.events AS n
                    WHERE n.mode = e.mode AND n.order_id = e.order_id AND n.customer_email IS NOT NULL AND n.rank < 8))
                THEN e.customer_email END AS customer_email,
            CASE WHEN e.order_id IS NOT NULL
                AND NOT EXISTS (
                    SELECT FROM bagelpay.events AS n
                    WHERE n.mode = e.mode AND n.order_id = e.order_id AND n.metadata IS NOT NULL
                        AND (n.occurred_at, n.rank, n.event_id) > (e.occurred_at, e.rank, e.event_id))
                THEN e.metadata
                ELSE bagelpay.key_metadata (e.metadata, paths) END AS metadata,
            CASE WHEN e.order_id IS NOT NULL
                AND NOT EXISTS (
                    SELECT FROM bagelpay.events AS n
                    WHERE n.mode = e.mode AND n.order_id = e.order_id AND n.payment_method IS NOT NULL
                        AND (n.occurred_at, n.rank, n.event_id) > (e.occurred_at, e.rank, e.event_id))
                THEN e.payment_method END AS payment_method,
            CASE WHEN e.order_id IS NOT NULL
                AND NOT EXISTS (
                    SELECT FROM bagelpay.events AS n
                    WHERE n.mode = e.mode AND n.order_id = e.order_id AND n.last4 IS NOT NULL
                        AND (n.occurred_at, n.rank, n.event_id) > (e.occurred_at, e.rank, e.event_id))
                THEN e.last4 END AS last4,
            -- Not of the state, but why the decision that holds was taken.
            CASE WHEN NOT EXISTS (
                    SELECT FROM bagelpay.events AS n
                    WHERE n.mode = e.mode AND n.order_id = e.order_id AND n.rank = 8
                        AND (n.occurred_at, n.rank, n.event_id) > (e.occurred_at, e.rank, e.event_id))
                THEN e.note END AS note
        FROM bagelpay.events AS e
        WHERE e.event_id = ANY (concerned)
    ) AS kept
    -- Said twice, or the planner might read all events.
    WHERE t.event_id = kept.event_id AND t.event_id = ANY (concerned)
        AND (t.forgotten_at IS NULL
            OR (t.customer_email, t.metadata, t.payment_method, t.last4, t.note)
                IS DISTINCT FROM (kept.customer_email, kept.metadata, kept.payment_method, kept.last4, kept.note));
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

COMMENT ON FUNCTION bagelpay.forget IS 'Takes bodies and personal data from old events, a bounded number of them; no state changes';

-- The same for all that is old, in transactions of a thousand events each, so that nobody
-- waits longer than for one of them. Not to be called within a transaction. What was done
-- before an error stays done; the next call goes on from there.
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
