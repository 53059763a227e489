-- Deploy bagelpay:rebuild to pg
--
-- Derives state from the events again: to apply changed settings to stored events, or to check the stored state.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns the rows of one order's state (except subscription_links) as one text, which differs if any of them does.
CREATE FUNCTION bagelpay_internal.state_of (of_mode text, of_order_id text)
    RETURNS text
    LANGUAGE sql
    STABLE
    AS $$
    SELECT concat_ws(E'\n',
        (SELECT o::text FROM bagelpay.orders AS o WHERE o.mode = of_mode AND o.order_id = of_order_id),
        (SELECT string_agg(i::text, E'\n' ORDER BY i.customer_id, i.user_id, i.product_id)
         FROM bagelpay_internal.stored_items AS i WHERE i.mode = of_mode AND i.order_id = of_order_id),
        (SELECT string_agg(p::text, E'\n' ORDER BY p.name, p.is_trial)
         FROM bagelpay_internal.purchases AS p WHERE p.mode = of_mode AND p.order_id = of_order_id),
        (SELECT string_agg(c::text, E'\n' ORDER BY c.event_id)
         FROM bagelpay.cancellations AS c WHERE c.mode = of_mode AND c.order_id = of_order_id),
        (SELECT string_agg(r::text, E'\n' ORDER BY r.event_id)
         FROM bagelpay.refunds AS r WHERE r.mode = of_mode AND r.order_id = of_order_id),
        (SELECT string_agg(d::text, E'\n' ORDER BY d.event_id)
         FROM bagelpay_internal.decisions AS d WHERE d.mode = of_mode AND d.order_id = of_order_id))
$$;

-- Applies the current settings provider_timezone, user_key and unknown_refund to stored events. The caller holds the
-- locks of their rows.
CREATE FUNCTION bagelpay_internal.apply_settings (of_events text[])
    RETURNS void
    LANGUAGE sql
    AS $$
    UPDATE bagelpay.events AS e
    SET occurred_at = n.occurred_at, fold_slot = bagelpay_internal.fold_slot (n.occurred_at, e.event_type),
        trial_start = n.trial_start, trial_end = n.trial_end,
        billing_period_start = n.billing_period_start, billing_period_end = n.billing_period_end,
        cancel_at = n.cancel_at, canceled_at = n.canceled_at, user_id = n.user_id, unknown_refund = n.unknown_refund,
        has_new_name = e.has_new_name OR e.user_id IS DISTINCT FROM n.user_id
    FROM (
        SELECT old.event_id,
            CASE WHEN old.event_type = 'refund.created' THEN setting.unknown_refund END AS unknown_refund,
            -- Forgotten metadata no longer name the user.
            CASE WHEN old.forgotten_at IS NOT NULL OR old.fold_slot & 15 = 8 THEN old.user_id
                ELSE (bagelpay_internal.key_at (setting.user_key, old.metadata, old.request_id, 'user', FALSE)).key END AS user_id,
            at.*
        FROM bagelpay.events AS old
        CROSS JOIN bagelpay.settings AS setting
        CROSS JOIN LATERAL (
            SELECT
                coalesce(bagelpay_internal.local_time (old.local_times, 'occurred_at', setting.provider_timezone), old.occurred_at) AS occurred_at,
                coalesce(bagelpay_internal.local_time (old.local_times, 'trial_start', setting.provider_timezone), old.trial_start) AS trial_start,
                coalesce(bagelpay_internal.local_time (old.local_times, 'trial_end', setting.provider_timezone), old.trial_end) AS trial_end,
                coalesce(bagelpay_internal.local_time (old.local_times, 'billing_period_start', setting.provider_timezone), old.billing_period_start) AS billing_period_start,
                coalesce(bagelpay_internal.local_time (old.local_times, 'billing_period_end', setting.provider_timezone), old.billing_period_end) AS billing_period_end,
                coalesce(bagelpay_internal.local_time (old.local_times, 'cancel_at', setting.provider_timezone), old.cancel_at) AS cancel_at,
                coalesce(bagelpay_internal.local_time (old.local_times, 'canceled_at', setting.provider_timezone), old.canceled_at) AS canceled_at
        ) AS at
        WHERE old.event_id = ANY (of_events)
    ) AS n
    -- Repeats a condition of n, or the planner might read all events.
    WHERE e.event_id = n.event_id AND e.event_id = ANY (of_events)
        AND (e.occurred_at, e.trial_start, e.trial_end, e.billing_period_start, e.billing_period_end, e.cancel_at,
            e.canceled_at, e.user_id, e.unknown_refund)
        IS DISTINCT FROM (n.occurred_at, n.trial_start, n.trial_end, n.billing_period_start, n.billing_period_end,
            n.cancel_at, n.canceled_at, n.user_id, n.unknown_refund)
$$;

-- Returns the ids of an order's events, without operators' events, in the sequence of the fold.
CREATE FUNCTION bagelpay_internal.fold_order (of_mode text, of_order_id text)
    RETURNS text[]
    LANGUAGE sql
    STABLE
    AS $$
    SELECT array(
        SELECT e.event_id
        FROM bagelpay.events AS e
        WHERE e.mode = of_mode AND e.order_id = of_order_id AND e.fold_slot & 15 < 8
        ORDER BY e.fold_slot, e.occurred_at, e.event_id)
$$;

-- Raises object_not_in_prerequisite_state if the settings moved a forgotten event behind an event that it preceded. It
-- lost data because a later event has them, too; as the later one of the two, it would need them. fold_order: the
-- result of bagelpay_internal.fold_order() before the change.
CREATE FUNCTION bagelpay_internal.forgotten_allow_order (of_mode text, of_order_id text, fold_order text[])
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    moved text;
BEGIN
    SELECT n.event_id INTO moved
    FROM (
        SELECT e.event_id, e.forgotten_at, p.position,
            max(p.position) OVER (ORDER BY e.fold_slot, e.occurred_at, e.event_id) AS furthest
        FROM bagelpay.events AS e
        JOIN unnest(fold_order) WITH ORDINALITY AS p (event_id, position) ON p.event_id = e.event_id
        WHERE e.mode = of_mode AND e.order_id = of_order_id) AS n
    WHERE n.forgotten_at IS NOT NULL AND n.furthest > n.position
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'provider_timezone: % order % would be folded in another order, of which events were forgotten (%)',
            of_mode, of_order_id, moved
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Put the setting back.';
    END IF;
END
$$;

-- Folds orders from nothing, each given once. Returns the number of orders whose state changed. If with_settings is
-- TRUE, first applies the current settings to their events, which forgotten events may not allow (see
-- bagelpay_internal.forgotten_allow_order()). Locks the rows of the events. The caller holds the locks of the orders,
-- or of the table.
--
-- In batches, because a statement takes several times as long to start as to process one order.
CREATE FUNCTION bagelpay_internal.refold (keys bagelpay_internal.fold_key[], with_settings boolean)
    RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    few CONSTANT integer := 100;
    batch bagelpay_internal.fold_key[];
    before text[];
    of_events text[];
    fold_orders text[];
    different bigint;
    changed bigint := 0;
BEGIN
    FOR i IN 1 .. cardinality(keys) BY few LOOP
        batch := keys[i : i + few - 1];
        before := array(
            SELECT bagelpay_internal.state_of (k.mode, k.order_id) FROM unnest(batch) WITH ORDINALITY AS k ORDER BY k.ordinality);
        of_events := array(
            SELECT e.event_id
            FROM unnest(batch) AS k
            -- OFFSET, because a plan that is made while the table is small would otherwise read all events.
            CROSS JOIN LATERAL (
                SELECT n.event_id FROM bagelpay.events AS n WHERE n.mode = k.mode AND n.order_id = k.order_id OFFSET 0) AS e);
        -- All at once and in the sequence of their ids, like all that lock several events, so that none deadlock.
        PERFORM FROM bagelpay.events AS e WHERE e.event_id = ANY (of_events) ORDER BY e.event_id FOR UPDATE;
        IF with_settings THEN
            fold_orders := array(
                SELECT bagelpay_internal.fold_order (k.mode, k.order_id)::text FROM unnest(batch) WITH ORDINALITY AS k ORDER BY k.ordinality);
            PERFORM bagelpay_internal.apply_settings (of_events);
            PERFORM bagelpay_internal.forgotten_allow_order (k.mode, k.order_id, fold_orders[k.ordinality]::text[])
            FROM unnest(batch) WITH ORDINALITY AS k
            WHERE fold_orders[k.ordinality] <> bagelpay_internal.fold_order (k.mode, k.order_id)::text;
        END IF;
        PERFORM bagelpay_internal.fold (batch, '{}');
        INSERT INTO bagelpay_internal.changed_orders (mode, order_id)
        SELECT k.mode, k.order_id
        FROM unnest(batch) WITH ORDINALITY AS k
        WHERE before[k.ordinality] <> bagelpay_internal.state_of (k.mode, k.order_id)
        ORDER BY k.mode, k.order_id COLLATE "C"
        ON CONFLICT (mode, order_id) DO UPDATE SET stored_xid = excluded.stored_xid, changed_at = excluded.changed_at;
        GET DIAGNOSTICS different = ROW_COUNT;
        changed := changed + different;
    END LOOP;
    RETURN changed;
END
$$;

-- Derives the state of one order from its events again, with the current settings. Returns the number of orders
-- changed, 0 or 1; it is 0 if the stored state was right and no setting changed.
--
-- Raises invalid_parameter_value if order_id is NULL, empty or too long, or mode is neither test nor live;
-- object_not_in_prerequisite_state if forgotten events do not allow a changed provider_timezone;
-- invalid_transaction_state unless the transaction is READ COMMITTED. Waits for all transactions that write orders, and
-- holds an EXCLUSIVE lock on bagelpay.orders until its own ends: responders wait meanwhile, queries do not.
CREATE FUNCTION bagelpay.rebuild (order_id text, mode text DEFAULT 'live')
    RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
DECLARE
    keys bagelpay_internal.fold_key[] := ARRAY[ROW (
        bagelpay_internal.given_mode (rebuild.mode), bagelpay_internal.given_order_id (rebuild.order_id))::bagelpay_internal.fold_key];
    changed bigint;
BEGIN
    -- A responder locks rows of events before orders: with the order's lock alone, the two could deadlock.
    LOCK TABLE bagelpay.orders IN EXCLUSIVE MODE;
    changed := bagelpay_internal.refold (keys, TRUE);
    PERFORM bagelpay_internal.notify_orders (changed > 0);
    RETURN changed;
END
$$;

COMMENT ON FUNCTION bagelpay.rebuild (text, text) IS 'Derives one order''s state again; returns 1 if it changed';

-- Like bagelpay.rebuild (text, text), for all orders in one transaction. Same errors and locks; an error in one order
-- leaves all unchanged.
CREATE FUNCTION bagelpay.rebuild ()
    RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    keys bagelpay_internal.fold_key[];
    changed bigint := 0;
BEGIN
    -- With the locks of single orders, it could deadlock with a responder.
    LOCK TABLE bagelpay.orders IN EXCLUSIVE MODE;
    -- Events without an order; refold() does this for the others.
    PERFORM bagelpay_internal.apply_settings (array(
        SELECT event_id FROM bagelpay.events WHERE order_id IS NULL ORDER BY event_id FOR UPDATE));
    FOR keys IN
        SELECT array_agg(ROW (o.mode, o.order_id)::bagelpay_internal.fold_key)
        FROM (
            SELECT n.mode, n.order_id, (row_number() OVER (ORDER BY n.mode, n.order_id) - 1) / 10000 AS portion
            FROM (
                SELECT mode, order_id FROM bagelpay.orders
                UNION
                SELECT mode, order_id FROM bagelpay.events WHERE order_id IS NOT NULL) AS n) AS o
        GROUP BY o.portion
        ORDER BY o.portion
    LOOP
        changed := changed + bagelpay_internal.refold (keys, TRUE);
    END LOOP;
    PERFORM bagelpay_internal.notify_orders (changed > 0);
    RETURN changed;
END
$$;

COMMENT ON FUNCTION bagelpay.rebuild () IS 'Derives all orders'' state again; returns the number of orders changed';

-- Returns the keys of stored events by the current setting order_key, with links. Operators' events keep theirs.
CREATE FUNCTION bagelpay_internal.derived_keys ()
    RETURNS TABLE (event_id text, mode text, order_id text, key_source text, old_order_id text, old_key_source text, forgotten boolean)
    LANGUAGE sql
    STABLE
    AS $$
    WITH own AS MATERIALIZED (
        SELECT e.event_id, e.mode, e.event_type, e.payment_id, e.provider_order_id, k.order_id, k.key_source,
            e.order_id AS old_order_id, e.key_source AS old_key_source, e.forgotten_at IS NOT NULL AS forgotten
        FROM bagelpay.events AS e
        CROSS JOIN bagelpay.settings AS setting
        CROSS JOIN LATERAL bagelpay_internal.order_key (
            setting.order_key, e.metadata, e.request_id, e.customer_id, e.product_id, e.provider_order_id, e.payment_id,
            bagelpay_internal.billed_as_subscription (e.event_type, e.billing_type, e.kind, e.has_subscription)) AS k
        WHERE e.outcome IN ('applied', 'unmatched') AND e.fold_slot & 15 < 8
    ),
    named AS MATERIALIZED (
        SELECT o.mode, n.name, min(o.order_id COLLATE "C") AS order_id
        FROM own AS o
        CROSS JOIN LATERAL (VALUES ('p' || o.payment_id), ('o' || o.provider_order_id)) AS n (name)
        WHERE o.key_source = 'metadata' AND o.event_type IN ('checkout.failed', 'checkout.completed', 'subscription.paid') AND n.name IS NOT NULL
        GROUP BY o.mode, n.name
    )
    SELECT o.event_id, o.mode::text,
        CASE WHEN o.key_source = 'metadata' THEN o.order_id ELSE coalesce(by_payment.order_id, by_order.order_id, o.order_id) END,
        CASE WHEN o.key_source = 'metadata' OR coalesce(by_payment.order_id, by_order.order_id) IS NULL THEN o.key_source ELSE 'linked' END,
        o.old_order_id, o.old_key_source, o.forgotten
    FROM own AS o
    LEFT JOIN named AS by_payment ON by_payment.mode = o.mode AND by_payment.name = 'p' || o.payment_id
    LEFT JOIN named AS by_order ON by_order.mode = o.mode AND by_order.name = 'o' || o.provider_order_id
    UNION ALL
    SELECT e.event_id, e.mode::text, e.order_id, e.key_source, e.order_id, e.key_source, e.forgotten_at IS NOT NULL
    FROM bagelpay.events AS e
    WHERE e.fold_slot & 15 = 8
$$;

COMMENT ON FUNCTION bagelpay_internal.derived_keys IS 'The keys of stored events by the current settings';

-- Raises object_not_in_prerequisite_state if rekey() might give another state than if nothing had been forgotten: the
-- setting names metadata that were not kept, or an order with forgotten events would be divided or get another kind of
-- key. The caller holds the lock of the table of orders.
CREATE FUNCTION bagelpay_internal.forgotten_allow_rekey ()
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    lost text;
    divided record;
BEGIN
    SELECT path INTO lost
    FROM bagelpay.settings AS setting
    CROSS JOIN unnest(setting.order_key) AS path
    JOIN bagelpay.forgotten_keys AS kept ON path <> ALL (kept.order_key)
    WHERE path <> 'request_id'
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'order_key: what forgotten events had at % is not known any more', lost
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Put the setting back. SELECT * FROM bagelpay.forgotten_keys shows what was kept.';
    END IF;
    IF NOT EXISTS (SELECT FROM bagelpay.forgotten_keys) THEN
        RETURN;
    END IF;
    SELECT k.mode, coalesce(k.old_order_id, 'none') AS order_id, min(coalesce(k.order_id, 'none')) AS one, max(coalesce(k.order_id, 'none')) AS another
    INTO divided
    FROM bagelpay_internal.derived_keys () AS k
    -- Events with other kinds of keys have kept what the fold needs, except those without an order.
    WHERE k.old_key_source = 'metadata' OR k.old_order_id IS NULL
    GROUP BY k.mode, k.old_order_id, CASE WHEN k.old_order_id IS NULL THEN k.event_id END
    HAVING bool_or(k.forgotten)
        AND (count(DISTINCT coalesce(k.order_id, 'none')) > 1 OR bool_or(k.key_source IS DISTINCT FROM k.old_key_source))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'order_key: % order % would be divided or get another kind of key (% and %), of which events were forgotten',
            divided.mode, divided.order_id, divided.one, divided.another
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Put the setting back.';
    END IF;
END
$$;

-- Gives stored events the keys by the current setting order_key, and folds the orders that lost or gained events.
-- Operators' events stay with the order that they name. Returns the number of orders changed, made or removed.
--
-- Raises object_not_in_prerequisite_state if forgotten events do not allow it (see
-- bagelpay_internal.forgotten_allow_rekey()); invalid_transaction_state unless the transaction is READ COMMITTED. Locks
-- as bagelpay.rebuild(): responders wait.
CREATE FUNCTION bagelpay.rekey ()
    RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET jit = off
    AS $$
DECLARE
    keys bagelpay_internal.fold_key[];
    changed bigint := 0;
BEGIN
    -- With this lock, no responder is between reading settings and ending its transaction.
    LOCK TABLE bagelpay.orders IN EXCLUSIVE MODE;
    PERFORM bagelpay_internal.forgotten_allow_rekey ();
    FOR keys IN
        WITH moved AS (
            UPDATE bagelpay.events AS e
            SET order_id = k.order_id, key_source = k.key_source,
                outcome = CASE WHEN k.order_id IS NULL THEN 'unmatched' ELSE 'applied' END
            FROM bagelpay_internal.derived_keys () AS k
            WHERE e.event_id = k.event_id
                AND (k.old_order_id, k.old_key_source) IS DISTINCT FROM (k.order_id, k.key_source)
            RETURNING k.mode, k.old_order_id, k.order_id
        ),
        concerned AS (
            SELECT m.mode, m.old_order_id AS order_id FROM moved AS m WHERE m.old_order_id IS NOT NULL
            UNION
            SELECT m.mode, m.order_id FROM moved AS m WHERE m.order_id IS NOT NULL
        )
        SELECT array_agg(ROW (o.mode, o.order_id)::bagelpay_internal.fold_key)
        FROM (SELECT n.*, (row_number() OVER (ORDER BY n.mode, n.order_id) - 1) / 10000 AS portion FROM concerned AS n) AS o
        GROUP BY o.portion
        ORDER BY o.portion
    LOOP
        -- Those that stay behind may now be the only ones with their names.
        UPDATE bagelpay.events AS e
        SET has_new_name = TRUE
        FROM unnest(keys) AS k
        WHERE e.order_id = k.order_id AND e.mode = k.mode AND NOT e.has_new_name;
        changed := changed + bagelpay_internal.refold (keys, FALSE);
    END LOOP;
    PERFORM bagelpay_internal.notify_orders (changed > 0);
    RETURN changed;
END
$$;

COMMENT ON FUNCTION bagelpay.rekey () IS 'Applies the setting order_key to stored events; the number of orders changed';

COMMIT;
