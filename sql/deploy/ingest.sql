-- Deploy bagelpay:ingest to pg
--
-- The function that responders call. They have checked signature and shape. ingest() gives events their key, stores
-- them, and folds them into the state of their orders, all in the caller's transaction.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- A stored event without the merchant's key, and the order that it moves to.
CREATE TYPE bagelpay_internal.link AS (
    event_id text,
    mode text,
    left_order text,
    order_id text
);

-- Links events without the merchant's key. Returns the fresh events with the orders that they are linked to, those of
-- them that others are linked by, and the links of stored events, which are yet to be moved
-- (bagelpay_internal.move_events()).
--
-- fresh     events that are not stored yet
-- linkable  stored events that may be linked by one of them
--
-- The caller holds the locks of all names of the fresh events (see bagelpay.ingest()), taken in an earlier statement.
CREATE FUNCTION bagelpay_internal.link_events (INOUT fresh bagelpay.events[], linkable text[], OUT linking bagelpay.events[], OUT links bagelpay_internal.link[])
    LANGUAGE plpgsql
    STABLE
    AS $$
#variable_conflict use_column
DECLARE
    linked text COLLATE "C";
BEGIN
    linking := array(SELECT f FROM unnest(fresh) AS f WHERE f.key_source = 'metadata' AND f.fold_slot & 15 IN (1, 3, 5));
    FOR n IN 1 .. cardinality(fresh) LOOP
        IF fresh[n].key_source <> 'metadata' THEN
            linked := bagelpay_internal.linked_order (fresh[n].mode, fresh[n].payment_id, fresh[n].provider_order_id, linking);
            IF linked IS NOT NULL THEN
                fresh[n].order_id := linked;
                fresh[n].key_source := 'linked';
            END IF;
        END IF;
    END LOOP;
    links := array(
        SELECT ROW (n.event_id, n.mode, n.order_id, n.linked)::bagelpay_internal.link
        FROM (
            SELECT e.event_id, e.mode, e.order_id, e.key_source,
                bagelpay_internal.linked_order (e.mode, e.payment_id, e.provider_order_id, linking) AS linked
            FROM bagelpay.events AS e
            WHERE e.event_id = ANY (linkable) AND e.fold_slot & 15 < 8
            OFFSET 0) AS n
        WHERE n.linked <> n.order_id OR (n.linked IS NOT NULL AND n.key_source <> 'linked'));
END
$$;

COMMENT ON FUNCTION bagelpay_internal.link_events IS 'Finds the orders that events without the merchant''s key are linked to';

-- Moves stored events to the orders that they are linked to. Returns the orders that lost or gained one. The caller
-- holds the locks of these orders and of the events' rows. An event has two names: raises serialization_failure if a
-- transaction that had the other one has linked an event meanwhile.
CREATE FUNCTION bagelpay_internal.move_events (links bagelpay_internal.link[], linking bagelpay.events[])
    RETURNS bagelpay_internal.fold_key[]
    LANGUAGE plpgsql
    AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE bagelpay.events AS e
    SET order_id = l.order_id, key_source = 'linked', has_new_name = TRUE
    FROM unnest(links) AS l
    WHERE e.event_id = l.event_id AND e.order_id = l.left_order
        AND bagelpay_internal.linked_order (e.mode, e.payment_id, e.provider_order_id, linking) = l.order_id;
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved < cardinality(links) THEN
        RAISE EXCEPTION 'ingest: an event was linked by another transaction at the same moment'
            USING ERRCODE = 'serialization_failure';
    END IF;
    -- Those that stay behind may now be the only ones with their names.
    UPDATE bagelpay.events AS e
    SET has_new_name = TRUE
    FROM (SELECT DISTINCT l.mode, l.left_order FROM unnest(links) AS l) AS n
    WHERE e.order_id = n.left_order AND e.mode = n.mode AND NOT e.has_new_name;
    INSERT INTO bagelpay_internal.changed_orders (mode, order_id)
    SELECT n.mode, n.order_id
    FROM (SELECT l.mode, l.left_order FROM unnest(links) AS l UNION SELECT l.mode, l.order_id FROM unnest(links) AS l) AS n (mode, order_id)
    ORDER BY n.mode COLLATE "C", n.order_id COLLATE "C"
    ON CONFLICT (mode, order_id) DO UPDATE SET stored_xid = excluded.stored_xid, changed_at = excluded.changed_at;
    RETURN array(
        SELECT ROW (n.mode, n.order_id)::bagelpay_internal.fold_key
        FROM (SELECT l.mode, l.left_order FROM unnest(links) AS l UNION SELECT l.mode, l.order_id FROM unnest(links) AS l) AS n (mode, order_id));
END
$$;

COMMENT ON FUNCTION bagelpay_internal.move_events IS 'Moves stored events to the orders that they are linked to; returns the orders to fold';

-- Stores a batch of deliveries in the caller's transaction.
--
-- deliveries     a JSON array of objects. For an event: columns of bagelpay.events, as the responder knows them. A time
--                without zone is given as it is, and in local_times, too, by column. For a body that is no event:
--                outcome, the reason (see bagelpay.dead_letters.reason), detail, and the columns that could be read
-- bodies         the exact bytes of each delivery, at the same position
-- signatures     their signatures, at the same position; NULL for none
-- lock_timeout   the longest wait for each lock, in milliseconds; NULL: as the session has it
--
-- Returns for each delivery, by its position from 1: event_id (NULL for a dead letter) and outcome, one of applied,
-- duplicate, ignored, unmatched, dead_letter. If the event_id has another content, the outcome is duplicate, and the
-- body is stored as a dead letter. Outcomes are true once the caller's COMMIT has succeeded. For the rest of the
-- transaction, lock_timeout and statement_timeout are off: a COMMIT must not be cancelled, and the one lock that it
-- waits for is NOTIFY's, which all commits take in turn.
--
-- Raises invalid_parameter_value if the numbers of deliveries and bodies differ; invalid_transaction_state unless the
-- transaction is READ COMMITTED; lock_not_available after lock_timeout; and errors of PostgreSQL if it rejects a value.
--
-- Waits for rebuild(), rekey() and forget_customer(), and for concurrent callers, in this sequence: on the locks of
-- names (payments and provider orders, also of duplicates; event ids where there are neither), on the locks of orders,
-- on rows of events of these orders that are linked or were delivered again, and on dead letters. Each kind is locked in
-- the sequence of its keys, so that callers wait for each other but never in a circle; to be called once in a
-- transaction. If two halves of a link arrive at the same moment, the later one looks when the earlier is committed.
-- Raises serialization_failure if an event was linked by its other name at the same moment: then it is to be repeated.
CREATE FUNCTION bagelpay.ingest (deliveries json, bodies bytea[], signatures text[] DEFAULT NULL, lock_timeout integer DEFAULT NULL)
    RETURNS TABLE (ordinal integer, event_id text, outcome text)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    -- A responder's session lives for weeks. It keeps the plans that it makes while the tables are small until they are
    -- analysed, so these should be the plans for large tables. (Without jit = off, the cost given to a scan of the one
    -- row of settings would start compilation.) The same holds for all functions that fold orders.
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    -- Replaced by provider_timezone below, for this call.
    SET TimeZone = 'UTC'
    AS $$
#variable_conflict use_column
DECLARE
    setting bagelpay.settings;
    first_path text[];              -- the first path of order_key, below the metadata
    path text;
    members text[];                 -- of metadata, in which the user is looked for
    e bagelpay.events;
    own record;
    half_hours integer;
    -- By the position of the delivery; NULL for a body that is no event.
    ids text[] COLLATE "C" := ARRAY[]::text[];
    digests bytea[] := ARRAY[]::bytea[];
    signed bigint[] := ARRAY[]::bigint[];
    outcomes text[] := ARRAY[]::text[];
    dead boolean := FALSE;
    first integer;                  -- the position of the first delivery of the same event
    -- The events that are not stored yet, and whether one of them may be linked.
    fresh bagelpay.events[] := ARRAY[]::bagelpay.events[];
    is_linkable boolean := FALSE;
    -- Payments and provider orders by which stored events may be linked.
    payments text[] COLLATE "C" := ARRAY[]::text[];
    provider_orders text[] COLLATE "C" := ARRAY[]::text[];
    -- Numbers of the locks of event ids and names, and of orders.
    names bigint[] := ARRAY[]::bigint[];
    locks bigint[] := ARRAY[]::bigint[];
    -- Ids that are stored already, and their digests.
    taken text[] COLLATE "C";
    taken_digests bytea[];
    taken_locks bigint[];
    linkable text[] COLLATE "C";    -- ids of stored events that may be linked by fresh ones
    has_dead boolean;               -- there are dead letters that are not resolved
    redelivered text[] COLLATE "C" := ARRAY[]::text[];
    linking bagelpay.events[];
    links bagelpay_internal.link[];
    keys bagelpay_internal.fold_key[] := ARRAY[]::bagelpay_internal.fold_key[];
    ignored text;
BEGIN
    -- 200 means committed durably, whatever the server's default is. (A setting of the function would end before the
    -- COMMIT.)
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        PERFORM set_config('synchronous_commit', 'on', TRUE);
    END IF;
    -- A COMMIT whose wait for a synchronous standby is cut short ends with a warning, which the caller has to see.
    PERFORM set_config('client_min_messages', 'warning', TRUE);
    IF lock_timeout IS NOT NULL THEN
        PERFORM set_config('lock_timeout', lock_timeout::text, TRUE);
    END IF;
    -- Waits for rebuild() and rekey(), so that settings are read after these have ended. In a statement of its own: the
    -- snapshot of the next one has to be newer than the lock.
    LOCK TABLE bagelpay.orders IN ROW EXCLUSIVE MODE;
    SELECT * INTO setting FROM bagelpay.settings;
    IF setting.provider_timezone <> 'UTC' THEN
        PERFORM set_config('TimeZone', setting.provider_timezone, TRUE);
    END IF;
    first_path := (string_to_array(setting.order_key[1], '.'))[2:];
    FOREACH path IN ARRAY setting.user_key LOOP
        members := members || split_part(path, '.', 2);
    END LOOP;

    -- In the order of the table's columns. Values that are not the responder's are given here.
    FOR e IN
        SELECT d.event_id, d.event_type, d.mode, d.occurred_at, bagelpay_internal.fold_slot (d.occurred_at, d.event_type), NULL, NULL, d.outcome,
            coalesce(d.warnings, '{}'), coalesce(d.received_at, now()), 1, now(), pg_current_xact_id()::text::bigint,
            d.signed_timestamp, d.digest, d.created_at_raw, d.local_times, d.kind, d.has_subscription, d.product_id, d.product_name,
            d.billing_type, d.customer_id, d.customer_email, NULL, d.provider_order_id, d.payment_id, d.request_id, d.amount, d.tax_amount,
            d.currency, d.subscription_id, d.processor_subscription_id, d.trial_start, d.trial_end, d.billing_period_start,
            d.billing_period_end, d.cancel_at, d.canceled_at, d.cancel_at_period_end, d.recurring_interval, d.units, d.payment_method,
            d.last4, d.billing_amount, d.refund_id, d.refund_amount, d.refund_running_total, d.refund_label,
            CASE WHEN d.event_type = 'refund.created' THEN setting.unknown_refund END, d.metadata, NULL, NULL, NULL, NULL, TRUE
        FROM json_populate_recordset(NULL::bagelpay.events, deliveries) AS d
    LOOP
        outcomes := outcomes || e.outcome;
        IF e.outcome IS NOT NULL THEN
            dead := TRUE;
            ids := ids || NULL::text;
            digests := digests || NULL::bytea;
            signed := signed || NULL::bigint;
            CONTINUE;
        END IF;
        IF e.digest IS NULL THEN
            e.digest := sha256(bodies[cardinality(outcomes)]);
        END IF;
        IF e.event_id IS NULL THEN
            e.event_id := 'sha256:' || encode(e.digest, 'hex');
        END IF;
        first := array_position(ids, e.event_id);
        ids := ids || e.event_id::text;
        digests := digests || e.digest;
        signed := signed || e.signed_timestamp;
        IF first IS NOT NULL THEN
            outcomes[cardinality(outcomes)] := CASE WHEN e.digest = digests[first] THEN 'duplicate' ELSE 'conflict' END;
            CONTINUE;
        END IF;

        IF e.fold_slot & 15 < 8 THEN
            -- Most events have their key at the first path.
            e.order_id := bagelpay_internal.key_text (e.metadata #> first_path);
            IF bagelpay_internal.is_usable_key (e.order_id, TRUE) THEN
                e.key_source := 'metadata';
            ELSE
                own := bagelpay_internal.order_key (
                    setting.order_key, e.metadata, e.request_id, e.customer_id, e.product_id, e.provider_order_id, e.payment_id,
                    bagelpay_internal.billed_as_subscription (e.event_type, e.billing_type, e.kind, e.has_subscription));
                e.order_id := own.order_id;
                e.key_source := own.key_source;
                e.warnings := e.warnings || own.warnings;
            END IF;
            e.outcome := CASE WHEN e.order_id IS NULL THEN 'unmatched' ELSE 'applied' END;
        ELSE
            e.outcome := 'ignored';
        END IF;
        IF e.metadata ?| members OR 'request_id' = ANY (setting.user_key) THEN
            own := bagelpay_internal.key_at (setting.user_key, e.metadata, e.request_id, 'user', FALSE);
            e.user_id := own.key;
            e.warnings := e.warnings || own.warnings;
        END IF;
        -- zone_half_hours() would say this, too, at a higher price.
        IF (abs((e.fold_slot >> 4) - e.signed_timestamp) BETWEEN 1739 AND 50461) IS NOT FALSE THEN
            half_hours := bagelpay_internal.zone_half_hours (e.signed_timestamp, e.occurred_at, e.local_times, e.created_at_raw);
            IF half_hours IS NOT NULL THEN
                e.warnings := e.warnings || bagelpay_internal.zone_warning (half_hours);
            END IF;
        END IF;
        outcomes[cardinality(outcomes)] := e.outcome;
        fresh := fresh || e;

        -- Other deliveries of one event have the same names, unless there are none.
        names := names || ARRAY[
            hashtextextended('p' || e.payment_id, 5417303),
            hashtextextended(coalesce('o' || e.provider_order_id, CASE WHEN e.payment_id IS NULL THEN 'e' || e.event_id END), 5417303)];
        IF e.order_id IS NOT NULL THEN
            locks := locks || bagelpay_internal.order_lock (e.mode, e.order_id);
            IF e.key_source <> 'metadata' THEN
                is_linkable := TRUE;
            ELSIF e.fold_slot & 15 IN (1, 3, 5) THEN
                payments := payments || e.payment_id::text;
                provider_orders := provider_orders || e.provider_order_id::text;
            END IF;
        END IF;
    END LOOP;

    IF cardinality(outcomes) IS DISTINCT FROM cardinality(bodies) THEN
        RAISE EXCEPTION 'ingest: % deliveries with % bodies', cardinality(outcomes), cardinality(bodies)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;

    PERFORM bagelpay_internal.take_locks (names);
    SELECT array_agg(t.event_id), array_agg(t.digest), array_agg(bagelpay_internal.order_lock (t.mode, t.order_id)),
        array(
            SELECT l.event_id
            FROM bagelpay.events AS l
            WHERE l.key_source <> 'metadata' AND (l.payment_id = ANY (payments) OR l.provider_order_id = ANY (provider_orders))),
        dead OR EXISTS (SELECT FROM bagelpay.dead_letters AS d WHERE d.resolved_at IS NULL)
    INTO taken, taken_digests, taken_locks, linkable, has_dead
    FROM bagelpay.events AS t
    WHERE t.event_id = ANY (ids);
    -- An id that is taken: the same content is a duplicate, another a dead letter.
    IF taken IS NOT NULL THEN
        locks := locks || taken_locks;
        FOR n IN 1 .. cardinality(ids) LOOP
            first := array_position(taken, ids[n]);
            IF first IS NOT NULL THEN
                outcomes[n] := CASE WHEN digests[n] = taken_digests[first] THEN 'duplicate' ELSE 'conflict' END;
            END IF;
        END LOOP;
        fresh := array(SELECT f FROM unnest(fresh) AS f WHERE f.event_id <> ALL (taken));
    END IF;
    IF cardinality(fresh) < cardinality(ids) THEN
        redelivered := array(
            SELECT i.id FROM unnest(ids, outcomes) AS i (id, outcome) WHERE i.outcome = 'duplicate');
        dead := dead OR 'conflict' = ANY (outcomes);
    END IF;

    IF cardinality(linkable) > 0 OR is_linkable THEN
        SELECT l.fresh, l.linking, l.links INTO fresh, linking, links FROM bagelpay_internal.link_events (fresh, linkable) AS l;
        SELECT locks || array_agg(bagelpay_internal.order_lock (n.mode, n.order_id)) INTO locks
        FROM (
            SELECT f.mode, f.order_id FROM unnest(fresh) AS f WHERE f.key_source = 'linked'
            UNION ALL
            SELECT l.mode, l.left_order FROM unnest(links) AS l
            UNION ALL
            SELECT l.mode, l.order_id FROM unnest(links) AS l) AS n;
    END IF;
    PERFORM bagelpay_internal.take_locks (locks);
    IF cardinality(links) > 0 OR cardinality(redelivered) > 0 THEN
        PERFORM
        FROM bagelpay.events AS t
        WHERE t.event_id = ANY (redelivered || array(SELECT l.event_id FROM unnest(links) AS l))
        ORDER BY t.event_id
        FOR UPDATE;
    END IF;
    IF cardinality(links) > 0 THEN
        keys := bagelpay_internal.move_events (links, linking);
    END IF;
    IF cardinality(fresh) > 0 OR cardinality(keys) > 0 THEN
        PERFORM bagelpay_internal.fold (keys, fresh);
        IF setting.notify AND cardinality(locks) > 0 THEN
            NOTIFY bagelpay_orders;
        END IF;
        INSERT INTO bagelpay.event_bodies (event_id, body, signed_timestamp, signature)
        SELECT ids[d.n], d.body, signed[d.n], d.signature
        FROM unnest(bodies, signatures) WITH ORDINALITY AS d (body, signature, n)
        WHERE outcomes[d.n] IN ('applied', 'ignored', 'unmatched');
    END IF;
    IF cardinality(redelivered) > 0 THEN
        UPDATE bagelpay.events AS t
        SET deliveries = deliveries + n.times, last_delivered_at = now()
        FROM (SELECT r.event_id, count(*) AS times FROM unnest(redelivered) AS r (event_id) GROUP BY r.event_id) AS n
        WHERE t.event_id = n.event_id;
    END IF;
    IF dead THEN
        INSERT INTO bagelpay.dead_letters AS t (
            sha256, body, reason, detail, event_id, order_id, customer_email, signed_timestamp, signature, deliveries, received_at)
        SELECT DISTINCT ON (sha256(d.body)) sha256(d.body), d.body, d.reason,
            CASE WHEN d.id IS NULL THEN d.detail ELSE 'event_id: already taken by an event with another content: ' || d.id END,
            d.event_id, k.key, d.customer_email,
            d.signed_timestamp, d.signature, count(*) OVER (PARTITION BY sha256(d.body)), coalesce(d.received_at, now())
        FROM ROWS FROM (
            json_to_recordset(deliveries) AS (detail text, event_id text, customer_email text, metadata jsonb, request_id text,
                signed_timestamp bigint, received_at timestamptz),
            unnest(bodies), unnest(signatures), unnest(ids), unnest(outcomes)) WITH ORDINALITY AS d (
            detail, event_id, customer_email, metadata, request_id, signed_timestamp, received_at,
            body, signature, id, reason, n)
        CROSS JOIN LATERAL bagelpay_internal.key_at (setting.order_key, d.metadata, d.request_id, 'order', TRUE) AS k
        WHERE d.id IS NULL OR d.reason = 'conflict'
        ORDER BY sha256(d.body), d.n
        ON CONFLICT (sha256) DO UPDATE SET deliveries = t.deliveries + excluded.deliveries;
    END IF;
    -- Bodies that were dead letters and are events now.
    IF has_dead THEN
        UPDATE bagelpay.dead_letters AS d
        SET resolved_at = now()
        WHERE d.id IN (
            SELECT n.id
            FROM bagelpay.dead_letters AS n
            WHERE n.resolved_at IS NULL
                AND n.sha256 IN (
                    SELECT sha256(b.body) FROM unnest(bodies, ids, outcomes) AS b (body, id, outcome) WHERE b.id IS NOT NULL AND b.outcome <> 'conflict')
            ORDER BY n.sha256
            FOR UPDATE);
    END IF;

    ignored := set_config('lock_timeout', '0', TRUE) || set_config('statement_timeout', '0', TRUE);
    FOR n IN 1 .. cardinality(outcomes) LOOP
        ordinal := n;
        event_id := ids[n];
        outcome := CASE WHEN event_id IS NULL THEN 'dead_letter' WHEN outcomes[n] = 'conflict' THEN 'duplicate' ELSE outcomes[n] END;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION bagelpay.ingest IS 'Stores a batch of deliveries in the caller''s transaction; for responders';

-- Takes stored events with the outcome ignored in again, in the caller's transaction, for `bagelhook redrive`: those
-- whose type this schema knows now take part in the fold. received_at, deliveries and last_delivered_at stay as they
-- were. Arguments, result, errors and locks as for bagelpay.ingest(); each delivery has the body of such an event.
--
-- Raises object_not_in_prerequisite_state if one of them is not stored as ignored. Holds an EXCLUSIVE lock on
-- bagelpay.orders until the transaction ends: responders wait, because another delivery of the event would otherwise
-- wait for a row that is about to be deleted. Queries do not wait.
CREATE FUNCTION bagelpay.readmit (deliveries json, bodies bytea[], signatures text[] DEFAULT NULL, lock_timeout integer DEFAULT NULL)
    RETURNS TABLE (ordinal integer, event_id text, outcome text)
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    AS $$
#variable_conflict use_column
DECLARE
    former bagelpay.events[];
BEGIN
    IF lock_timeout IS NOT NULL THEN
        PERFORM set_config('lock_timeout', lock_timeout::text, TRUE);
    END IF;
    LOCK TABLE bagelpay.orders IN EXCLUSIVE MODE;
    WITH gone AS (
        DELETE FROM bagelpay.events AS e
        USING json_to_recordset(readmit.deliveries) AS d (event_id text, digest bytea)
        WHERE e.event_id = coalesce(d.event_id, 'sha256:' || encode(d.digest, 'hex')) AND e.outcome = 'ignored'
        RETURNING e.*
    )
    SELECT array_agg(g) INTO former FROM gone AS g;
    IF coalesce(cardinality(former), 0) <> json_array_length(deliveries) THEN
        RAISE EXCEPTION 'readmit: % of % events are stored as ignored', coalesce(cardinality(former), 0), json_array_length(deliveries)
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN QUERY SELECT * FROM bagelpay.ingest (deliveries, bodies, signatures, lock_timeout);
    UPDATE bagelpay.events AS e
    SET received_at = f.received_at, deliveries = f.deliveries, last_delivered_at = f.last_delivered_at
    FROM unnest(former) AS f
    WHERE e.event_id = f.event_id;
END
$$;

COMMENT ON FUNCTION bagelpay.readmit IS 'Takes stored events that were ignored in again; for bagelhook redrive';

COMMIT;
