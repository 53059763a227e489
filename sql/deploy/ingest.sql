-- Deploy bagelpay:ingest to pg
--
-- The function that responders call. They have checked signature and shape; here events get their key, are stored,
-- and folded into the state of their orders, all in the caller's transaction.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- One element of the array that ingest() takes: a normalised event, or, with dead_letter, a body that is none, with
-- what could be read of it. Times are here only if the body gave them a zone; the others stand as text in local_times, by
-- column. Amounts are text, so that every digit arrives.
CREATE TYPE bagelpay.delivery AS (
    dead_letter text,
    detail text,
    received_at timestamptz,
    signed_timestamp bigint,
    signature text,
    event_id text,
    digest text,
    event_type text,
    mode text,
    occurred_at timestamptz,
    created_at_raw text,
    local_times jsonb,
    warnings text[],
    kind text,
    has_subscription boolean,
    product_id text,
    product_name text,
    billing_type text,
    customer_id text,
    customer_email text,
    provider_order_id text,
    payment_id text,
    request_id text,
    amount numeric,
    tax_amount numeric,
    currency text,
    subscription_id text,
    processor_subscription_id text,
    trial_start timestamptz,
    trial_end timestamptz,
    billing_period_start timestamptz,
    billing_period_end timestamptz,
    cancel_at timestamptz,
    canceled_at timestamptz,
    cancel_at_period_end boolean,
    recurring_interval interval,
    units integer,
    payment_method text,
    last4 text,
    billing_amount numeric,
    refund_id text,
    refund_amount numeric,
    refund_running_total numeric,
    refund_label text,
    metadata jsonb
);

-- What becomes of one delivery, while ingest() works on its batch.
CREATE TYPE bagelpay.intake AS (
    ordinal integer,
    event_id text,
    digest bytea,
    dead_letter text,
    detail text,
    inserted boolean,
    outcome text,
    mode text,
    order_id text,
    fold_slot bigint,
    occurred_at timestamptz,
    is_keyed boolean,
    payment_id text,
    provider_order_id text
);

-- Locks the names by which events may be linked, payments and provider orders, until the transaction ends. So two
-- halves of a link that are committed at the same moment find each other: the later one looks when the earlier is
-- committed. Those of duplicates, too, so that a transaction that changes an event's row has its names. Blocks while another
-- transaction holds one of them. Ascending numbers, like bagelpay.lock_orders().
CREATE FUNCTION bagelpay.lock_names (batch bagelpay.intake[])
    RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(l.number)
    FROM (
        SELECT DISTINCT hashtextextended(n.name COLLATE "C", 5417303) AS number
        FROM unnest(batch) AS b
        CROSS JOIN LATERAL (VALUES ('p' || b.payment_id), ('o' || b.provider_order_id)) AS n (name)
        WHERE n.name IS NOT NULL AND b.dead_letter IS NULL
        ORDER BY number
        OFFSET 0) AS l;
END
$$;

COMMENT ON FUNCTION bagelpay.lock_names IS 'Locks the names by which events may be linked, until the transaction ends';

-- Links events without the merchant's key, of this batch or stored earlier, and gives back what has to be folded on
-- that account: orders that gained events, from the position of the earliest, and orders that lost some, from nothing.
--
-- fresh        the inserted events of the batch
-- redelivered  events whose rows the caller is about to change, which are locked together with the others
--
-- The caller holds the locks of bagelpay.lock_names(), taken in an earlier statement.
CREATE FUNCTION bagelpay.link_events (fresh bagelpay.intake[], redelivered text[])
    RETURNS SETOF bagelpay.fold_key
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
DECLARE
    linkable text[];
BEGIN
    SELECT array_agg(n.event_id) INTO linkable
    FROM (
        SELECT f.event_id
        FROM unnest(fresh) AS f
        WHERE NOT f.is_keyed AND (f.payment_id IS NOT NULL OR f.provider_order_id IS NOT NULL)
        UNION
        SELECT e.event_id
        FROM unnest(fresh) AS f
        JOIN bagelpay.events AS e ON e.payment_id = f.payment_id AND e.mode = f.mode AND e.key_source <> 'metadata'
        WHERE f.is_keyed AND f.fold_slot & 15 IN (1, 3, 5)
        UNION
        SELECT e.event_id
        FROM unnest(fresh) AS f
        JOIN bagelpay.events AS e ON e.provider_order_id = f.provider_order_id AND e.mode = f.mode AND e.key_source <> 'metadata'
        WHERE f.is_keyed AND f.fold_slot & 15 IN (1, 3, 5)) AS n;
    -- An event may be linked by two names; the transaction that has the other one waits here, and the next
    -- statement sees what it committed.
    IF linkable IS NOT NULL OR redelivered <> '{}' THEN
        PERFORM FROM bagelpay.events AS e WHERE e.event_id = ANY (linkable || redelivered) ORDER BY e.event_id FOR UPDATE;
    END IF;
    IF linkable IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH moved AS (
        UPDATE bagelpay.events AS e
        SET order_id = n.linked, key_source = 'linked'
        FROM (
            SELECT old.event_id, old.order_id, bagelpay.linked_order (old.mode, old.payment_id, old.provider_order_id) AS linked
            FROM bagelpay.events AS old
            WHERE old.event_id = ANY (linkable) AND old.fold_slot & 15 < 8) AS n
        -- Said twice, or the planner might read all events.
        WHERE e.event_id = n.event_id AND e.event_id = ANY (linkable) AND n.linked IS NOT NULL
            AND (n.linked <> n.order_id OR e.key_source <> 'linked')
        RETURNING e.event_id, e.mode, n.order_id AS left_order, e.order_id, e.fold_slot, e.occurred_at
    ),
    abandoned AS (
        SELECT DISTINCT m.mode, m.left_order
        FROM moved AS m
        WHERE m.event_id NOT IN (SELECT f.event_id FROM unnest(fresh) AS f)
    ),
    noted AS (
        INSERT INTO bagelpay.changed_orders (mode, order_id)
        SELECT n.mode, n.order_id
        FROM (SELECT a.mode, a.left_order FROM abandoned AS a UNION SELECT m.mode, m.order_id FROM moved AS m) AS n (mode, order_id)
        ORDER BY n.mode, n.order_id
        ON CONFLICT (mode, order_id) DO UPDATE SET stored_xid = excluded.stored_xid, changed_at = excluded.changed_at
    )
    SELECT a.mode::text, a.left_order, NULL::bigint, NULL::timestamptz, NULL::text
    FROM abandoned AS a
    UNION ALL
    SELECT m.mode::text, m.order_id, m.fold_slot, m.occurred_at, m.event_id
    FROM moved AS m;
END
$$;

COMMENT ON FUNCTION bagelpay.link_events IS 'Links events without the merchant''s key; returns the orders to fold';

-- Takes a batch of deliveries into the caller's transaction.
--
-- deliveries   a JSON array of objects with the attributes of bagelpay.delivery
-- bodies       the exact bytes of each, at the same position
--
-- Returns for each delivery, by its position from 1: event_id (NULL for a dead letter)
-- and outcome, one of applied, duplicate, ignored, unmatched, dead_letter. What the
-- outcome says is true once the caller's COMMIT has succeeded.
--
-- Blocks on what concurrent callers hold: first on events of the same id, then on names (bagelpay.lock_names()), on rows
-- of events that are linked or were delivered again, on the locks of orders, on dead letters; each kind is taken in the
-- order of its keys, so that callers wait for each other but never in a circle.
CREATE FUNCTION bagelpay.ingest (deliveries json, bodies bytea[])
    RETURNS TABLE (ordinal integer, event_id text, outcome text)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    -- A responder's session lives for weeks, and keeps the plans that it makes while the
    -- tables are small, until they are analysed: they should be those for large ones. (The price put on a scan of the
    -- one row of settings would call for compilation.) Likewise wherever orders are folded.
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
DECLARE
    setting bagelpay.settings;
    batch bagelpay.intake[];
    fresh bagelpay.intake[];        -- the inserted events
    taken integer;                  -- how many of the batch have an event_id that was there before
    dead integer;                   -- how many are no event
    redelivered text[] := ARRAY[]::text[];
    keys bagelpay.fold_key[];
    user_members text[];            -- members of metadata in which the user is looked for
    target record;
BEGIN
    -- 200 means committed, durably, whatever the server's default is. (A setting on the
    -- function itself would end before the COMMIT.)
    IF current_setting('synchronous_commit') NOT IN ('on', 'remote_apply') THEN
        PERFORM set_config('synchronous_commit', 'on', TRUE);
    END IF;
    -- Waits for rebuild() and rekey(), so that settings are read after those have ended. In
    -- a statement of its own: the next one's snapshot has to be newer than the lock.
    LOCK TABLE bagelpay.orders IN ROW EXCLUSIVE MODE;
    IF json_array_length(deliveries) <> coalesce(cardinality(bodies), 0) THEN
        RAISE EXCEPTION 'ingest: % deliveries with % bodies', json_array_length(deliveries), coalesce(cardinality(bodies), 0)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO setting FROM bagelpay.settings;
    user_members := array(SELECT split_part(path, '.', 2) FROM unnest(setting.user_key) AS path);

    WITH incoming AS MATERIALIZED (
        SELECT d.*, d.dead_letter IS NULL AS is_event,
            coalesce(decode(d.content_digest, 'hex'), sha256(d.bytes)) AS digest,
            CASE WHEN d.dead_letter IS NULL
                THEN coalesce(d.event_id, 'sha256:' || coalesce(d.content_digest, encode(sha256(d.bytes), 'hex'))) END AS id
        FROM ROWS FROM (json_populate_recordset(NULL::bagelpay.delivery, deliveries), unnest(bodies)) WITH ORDINALITY AS d (
            dead_letter, detail, received_at, signed_timestamp, signature, event_id, content_digest, event_type, mode, occurred_at,
            created_at_raw, local_times, warnings, kind, has_subscription, product_id, product_name,
            billing_type, customer_id, customer_email, provider_order_id, payment_id, request_id, amount,
            tax_amount, currency, subscription_id, processor_subscription_id, trial_start, trial_end,
            billing_period_start, billing_period_end, cancel_at, canceled_at, cancel_at_period_end,
            recurring_interval, units, payment_method, last4, billing_amount, refund_id, refund_amount,
            refund_running_total, refund_label, metadata, bytes, ordinal)
    ),
    -- Of several deliveries of one event in the batch the first is the event.
    firsts AS MATERIALIZED (
        SELECT i.id, min(i.ordinal) AS ordinal
        FROM incoming AS i
        WHERE i.is_event
        GROUP BY i.id
    ),
    inserted AS (
        INSERT INTO bagelpay.events (
            event_id, event_type, mode, occurred_at, fold_slot, order_id, key_source, outcome, warnings, received_at,
            signed_timestamp, digest, created_at_raw, local_times, kind, has_subscription, product_id,
            product_name, billing_type, customer_id, customer_email, user_id, provider_order_id, payment_id, request_id,
            amount, tax_amount, currency, subscription_id, processor_subscription_id,
            trial_start, trial_end, billing_period_start, billing_period_end, cancel_at, canceled_at,
            cancel_at_period_end, recurring_interval, units, payment_method, last4, billing_amount,
            refund_id, refund_amount, refund_running_total, refund_label, unknown_refund, metadata)
        SELECT
            i.id, i.event_type, i.mode, t.moment, bagelpay.fold_slot (t.moment, i.event_type), k.order_id, k.key_source,
            CASE WHEN NOT r.known THEN 'ignored' WHEN k.order_id IS NULL THEN 'unmatched' ELSE 'applied' END,
            coalesce(i.warnings, '{}') || coalesce(k.warnings, '{}') || coalesce(u.warnings, '{}')
                || bagelpay.zone_warnings (i.signed_timestamp, t.moment, i.local_times, i.created_at_raw),
            coalesce(i.received_at, now()), i.signed_timestamp, i.digest, i.created_at_raw, i.local_times, i.kind, i.has_subscription,
            i.product_id, i.product_name, i.billing_type, i.customer_id, i.customer_email, u.key, i.provider_order_id, i.payment_id,
            i.request_id, i.amount, i.tax_amount, i.currency, i.subscription_id, i.processor_subscription_id,
            coalesce(i.trial_start, bagelpay.local_time (i.local_times, 'trial_start', setting.provider_timezone)),
            coalesce(i.trial_end, bagelpay.local_time (i.local_times, 'trial_end', setting.provider_timezone)),
            coalesce(i.billing_period_start, bagelpay.local_time (i.local_times, 'billing_period_start', setting.provider_timezone)),
            coalesce(i.billing_period_end, bagelpay.local_time (i.local_times, 'billing_period_end', setting.provider_timezone)),
            coalesce(i.cancel_at, bagelpay.local_time (i.local_times, 'cancel_at', setting.provider_timezone)),
            coalesce(i.canceled_at, bagelpay.local_time (i.local_times, 'canceled_at', setting.provider_timezone)),
            i.cancel_at_period_end, i.recurring_interval, i.units, i.payment_method, i.last4, i.billing_amount,
            i.refund_id, i.refund_amount, i.refund_running_total, i.refund_label,
            CASE WHEN i.event_type = 'refund.created' THEN setting.unknown_refund END, i.metadata
        FROM firsts
        JOIN incoming AS i ON i.ordinal = firsts.ordinal
        CROSS JOIN LATERAL (SELECT coalesce(i.occurred_at, bagelpay.local_time (i.local_times, 'occurred_at', setting.provider_timezone))) AS t (moment)
        CROSS JOIN LATERAL (SELECT coalesce(bagelpay.event_rank (i.event_type) < 8, FALSE)) AS r (known)
        LEFT JOIN LATERAL bagelpay.order_key (
            setting.order_key, i.metadata, i.request_id, i.customer_id, i.product_id, i.provider_order_id, i.payment_id,
            bagelpay.billed_as_subscription (i.event_type, i.billing_type, i.kind, i.has_subscription)) AS k ON r.known
        CROSS JOIN LATERAL bagelpay.key_at (
            setting.user_key, CASE WHEN i.metadata ?| user_members THEN i.metadata END,
            CASE WHEN 'request_id' = ANY (setting.user_key) THEN i.request_id END, 'user', FALSE) AS u
        ORDER BY i.id COLLATE "C"
        ON CONFLICT (event_id) DO NOTHING
        RETURNING event_id, outcome, mode, order_id, fold_slot, occurred_at, key_source
    ),
    matched AS MATERIALIZED (
        SELECT firsts.ordinal, n.*
        FROM inserted AS n
        JOIN firsts ON firsts.id = n.event_id
    ),
    stored AS (
        INSERT INTO bagelpay.event_bodies (event_id, body, signed_timestamp, signature)
        SELECT i.id, i.bytes, i.signed_timestamp, i.signature
        FROM matched AS n
        JOIN incoming AS i ON i.ordinal = n.ordinal
    )
    SELECT
        array_agg(ROW (i.ordinal, i.id, i.digest, i.dead_letter, i.detail, n.event_id IS NOT NULL,
            n.outcome, n.mode, n.order_id, n.fold_slot, n.occurred_at, n.key_source = 'metadata', i.payment_id, i.provider_order_id)::bagelpay.intake
            ORDER BY i.ordinal),
        count(*) FILTER (WHERE i.is_event AND n.event_id IS NULL),
        count(i.dead_letter)
    INTO batch, taken, dead
    FROM incoming AS i
    LEFT JOIN matched AS n ON n.ordinal = i.ordinal;

    PERFORM bagelpay.lock_names (batch);
    IF taken > 0 THEN
        -- An id that is taken: the same content is a duplicate, another a dead letter.
        FOR target IN
            SELECT b.ordinal, b.digest IS DISTINCT FROM e.digest AS differs
            FROM unnest(batch) AS b
            JOIN bagelpay.events AS e ON e.event_id = b.event_id
            WHERE b.dead_letter IS NULL AND NOT b.inserted
        LOOP
            batch[target.ordinal].outcome := 'duplicate';
            IF target.differs THEN
                batch[target.ordinal].dead_letter := 'conflict';
                batch[target.ordinal].detail := 'event_id: already taken by an event with another content: ' || batch[target.ordinal].event_id;
                dead := dead + 1;
            END IF;
        END LOOP;
        redelivered := array(SELECT b.event_id FROM unnest(batch) AS b WHERE b.outcome = 'duplicate' AND b.dead_letter IS NULL);
    END IF;

    fresh := array(SELECT b FROM unnest(batch) AS b WHERE b.order_id IS NOT NULL);
    SELECT array_agg(ROW (k.mode, k.order_id, k.from_slot, k.from_at, k.from_id)::bagelpay.fold_key ORDER BY k.mode, k.order_id)
    INTO keys
    FROM (
        SELECT DISTINCT ON (n.mode, n.order_id) n.*
        FROM (
            SELECT * FROM bagelpay.link_events (fresh, redelivered)
            UNION ALL
            SELECT f.mode, f.order_id, f.fold_slot, f.occurred_at, f.event_id
            FROM unnest(fresh) AS f) AS n (mode, order_id, from_slot, from_at, from_id)
        -- An order without a position is folded from nothing, whatever else it gained.
        ORDER BY n.mode, n.order_id, n.from_slot NULLS FIRST, n.from_at, n.from_id COLLATE "C") AS k;
    IF redelivered <> '{}' THEN
        UPDATE bagelpay.events AS t
        SET deliveries = deliveries + n.times, last_delivered_at = now()
        FROM (SELECT r.event_id, count(*) AS times FROM unnest(redelivered) AS r (event_id) GROUP BY r.event_id) AS n
        WHERE t.event_id = n.event_id;
    END IF;
    IF keys IS NOT NULL THEN
        PERFORM bagelpay.lock_orders (keys);
        PERFORM bagelpay.fold (keys);
        PERFORM bagelpay.notify_orders (TRUE);
    END IF;

    IF dead > 0 THEN
        INSERT INTO bagelpay.dead_letters AS t (
            sha256, body, reason, detail, event_id, order_id, customer_email, signed_timestamp, signature, deliveries, received_at)
        SELECT DISTINCT ON (sha256(bodies[b.ordinal])) sha256(bodies[b.ordinal]), bodies[b.ordinal], b.dead_letter, b.detail,
            d.event_id, k.key, d.customer_email,
            d.signed_timestamp, d.signature, count(*) OVER (PARTITION BY sha256(bodies[b.ordinal])), coalesce(d.received_at, now())
        FROM unnest(batch) AS b
        JOIN json_populate_recordset(NULL::bagelpay.delivery, deliveries) WITH ORDINALITY AS d (
            dead_letter, detail, received_at, signed_timestamp, signature, event_id, content_digest, event_type, mode, occurred_at,
            created_at_raw, local_times, warnings, kind, has_subscription, product_id, product_name,
            billing_type, customer_id, customer_email, provider_order_id, payment_id, request_id, amount,
            tax_amount, currency, subscription_id, processor_subscription_id, trial_start, trial_end,
            billing_period_start, billing_period_end, cancel_at, canceled_at, cancel_at_period_end,
            recurring_interval, units, payment_method, last4, billing_amount, refund_id, refund_amount,
            refund_running_total, refund_label, metadata, position) ON d.position = b.ordinal
        CROSS JOIN LATERAL bagelpay.key_at (setting.order_key, d.metadata, d.request_id, 'order', TRUE) AS k
        WHERE b.dead_letter IS NOT NULL
        ORDER BY sha256(bodies[b.ordinal]), b.ordinal
        ON CONFLICT (sha256) DO UPDATE SET deliveries = t.deliveries + excluded.deliveries;
    END IF;

    -- A body that was a dead letter and is an event now.
    IF EXISTS (SELECT FROM bagelpay.dead_letters AS d WHERE d.resolved_at IS NULL) THEN
        UPDATE bagelpay.dead_letters AS d
        SET resolved_at = now()
        WHERE d.id IN (
            SELECT n.id
            FROM bagelpay.dead_letters AS n
            WHERE n.resolved_at IS NULL
                AND n.sha256 IN (SELECT sha256(bodies[b.ordinal]) FROM unnest(batch) AS b WHERE b.dead_letter IS NULL)
            ORDER BY n.sha256
            FOR UPDATE);
    END IF;
    RETURN QUERY
    SELECT b.ordinal, CASE WHEN b.dead_letter IS NULL OR b.outcome = 'duplicate' THEN b.event_id END,
        coalesce(b.outcome, 'dead_letter')
    FROM unnest(batch) AS b
    ORDER BY b.ordinal;
END
$$;

COMMENT ON FUNCTION bagelpay.ingest IS 'Takes a batch of deliveries into the caller''s transaction; responders call it';

COMMIT;
