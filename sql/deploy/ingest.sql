-- Deploy bagelpay:ingest to pg
--
-- What responders call. They have checked signature and shape; here events get their
-- key, are stored, and folded into the state of their orders, all in the caller's
-- transaction.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- One element of what ingest() takes: a normalised event, or, with dead_letter, a body
-- that is none. Times are here only where the body gave them a zone; the others stand as
-- text in local_times, by column. Amounts are text, so that every digit arrives.
CREATE TYPE bagelpay.delivery AS (
    dead_letter text,
    detail text,
    signed_timestamp bigint,
    signature text,
    event_id text,
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
    recurring_interval text,
    units integer,
    payment_method text,
    last4 text,
    billing_amount numeric,
    refund_amount numeric,
    refund_running_total numeric,
    refund_label text,
    metadata jsonb
);

-- What became of one delivery, while ingest() works on its batch.
CREATE TYPE bagelpay.intake AS (
    ordinal integer,
    event_id text,
    sha256 bytea,
    dead_letter text,
    detail text,
    inserted boolean,
    outcome text,
    mode text,
    order_id text,
    occurred_at timestamptz,
    rank smallint
);

-- Takes a batch of deliveries into the caller's transaction.
--
-- deliveries   a JSON array of objects with the attributes of bagelpay.delivery
-- bodies       the exact bytes of each, at the same position
--
-- Returns for each delivery, by its position from 1: event_id (NULL for a dead letter)
-- and outcome, one of applied, duplicate, ignored, unmatched, dead_letter. What the
-- outcome says is true once the caller's COMMIT has succeeded.
--
-- Blocks on rows that concurrent callers hold: first on events of the same id, then on
-- orders, then on events and dead letters to be changed; each kind is taken in the order
-- of its keys, so that callers wait for each other but never in a circle.
CREATE FUNCTION bagelpay.ingest (deliveries json, bodies bytea[])
    RETURNS TABLE (ordinal integer, event_id text, outcome text)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    -- A responder's session lives for weeks, and keeps the plans that it makes while the
    -- tables are small: they must be those for large ones. (The price put on a scan of the
    -- one row of settings would call for compilation.) Likewise wherever orders are folded.
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
DECLARE
    batch bagelpay.intake[];
    redelivered text[];
    steps bagelpay.fold_step[] := '{}';
    these_steps bagelpay.fold_step[];
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

    WITH incoming AS MATERIALIZED (
        SELECT d.*, d.position::integer AS ordinal, body.bytes, sha256(body.bytes) AS body_sha256,
            coalesce(d.event_id, 'sha256:' || encode(sha256(body.bytes), 'hex')) AS id,
            row_number() OVER (PARTITION BY d.dead_letter IS NULL,
                coalesce(d.event_id, 'sha256:' || encode(sha256(body.bytes), 'hex')) ORDER BY d.position) = 1 AS is_first
        FROM ROWS FROM (json_populate_recordset(NULL::bagelpay.delivery, deliveries)) WITH ORDINALITY AS d (
            dead_letter, detail, signed_timestamp, signature, event_id, event_type, mode, occurred_at,
            created_at_raw, local_times, warnings, kind, has_subscription, product_id, product_name,
            billing_type, customer_id, customer_email, provider_order_id, payment_id, request_id, amount,
            tax_amount, currency, subscription_id, processor_subscription_id, trial_start, trial_end,
            billing_period_start, billing_period_end, cancel_at, canceled_at, cancel_at_period_end,
            recurring_interval, units, payment_method, last4, billing_amount, refund_amount,
            refund_running_total, refund_label, metadata, position)
        CROSS JOIN LATERAL (SELECT bodies[d.position] AS bytes) AS body
    ),
    keyed AS (
        SELECT i.*, k.order_id, k.key_source, k.warnings AS key_warnings, zone.name AS zone, setting.unknown_refund, r.known,
            coalesce(i.occurred_at, bagelpay.local_time (i.local_times, 'occurred_at', zone.name)) AS moment
        FROM incoming AS i
        CROSS JOIN bagelpay.settings AS setting
        CROSS JOIN LATERAL (SELECT setting.provider_timezone) AS zone (name)
        CROSS JOIN LATERAL (SELECT i.event_type IN (
            'checkout.failed', 'checkout.cancel', 'checkout.completed', 'subscription.trialing',
            'subscription.paid', 'refund.created', 'subscription.canceled')) AS r (known)
        LEFT JOIN LATERAL bagelpay.order_key (
            setting.order_key, i.metadata, i.request_id, i.customer_id, i.product_id, i.provider_order_id, i.payment_id,
            bagelpay.billed_as_subscription (i.event_type, i.billing_type, i.kind, i.has_subscription)) AS k ON r.known
        WHERE i.dead_letter IS NULL AND i.is_first
    ),
    inserted AS (
        INSERT INTO bagelpay.events (
            event_id, event_type, mode, occurred_at, order_id, key_source, outcome, body_warnings,
            setting_warnings, signed_timestamp, body_sha256, created_at_raw, local_times, kind, has_subscription, product_id,
            product_name, billing_type, customer_id, customer_email, provider_order_id, payment_id, request_id,
            amount, tax_amount, currency, subscription_id, processor_subscription_id,
            trial_start, trial_end, billing_period_start, billing_period_end, cancel_at, canceled_at,
            cancel_at_period_end, recurring_interval, units, payment_method, last4, billing_amount,
            refund_amount, refund_running_total, refund_label, unknown_refund, metadata)
        SELECT
            id, event_type, mode, moment, order_id, key_source,
            CASE WHEN NOT known THEN 'ignored' WHEN order_id IS NULL THEN 'unmatched' ELSE 'applied' END,
            coalesce(warnings, '{}'),
            coalesce(key_warnings, '{}') || bagelpay.zone_warnings (signed_timestamp, moment, local_times, created_at_raw),
            signed_timestamp, body_sha256, created_at_raw, local_times, kind, coalesce(has_subscription, FALSE), product_id,
            product_name, billing_type, customer_id, customer_email, provider_order_id, payment_id, request_id,
            amount, tax_amount, currency, subscription_id, processor_subscription_id,
            coalesce(trial_start, bagelpay.local_time (local_times, 'trial_start', zone)),
            coalesce(trial_end, bagelpay.local_time (local_times, 'trial_end', zone)),
            coalesce(billing_period_start, bagelpay.local_time (local_times, 'billing_period_start', zone)),
            coalesce(billing_period_end, bagelpay.local_time (local_times, 'billing_period_end', zone)),
            coalesce(cancel_at, bagelpay.local_time (local_times, 'cancel_at', zone)),
            coalesce(canceled_at, bagelpay.local_time (local_times, 'canceled_at', zone)),
            cancel_at_period_end, recurring_interval, units, payment_method, last4, billing_amount,
            refund_amount, refund_running_total, refund_label, unknown_refund, metadata
        FROM keyed
        ORDER BY id COLLATE "C"
        ON CONFLICT (event_id) DO NOTHING
        RETURNING event_id, outcome, mode, order_id, occurred_at, rank
    ),
    stored AS (
        INSERT INTO bagelpay.event_bodies (event_id, body, signed_timestamp, signature)
        SELECT i.id, i.bytes, i.signed_timestamp, i.signature
        FROM inserted AS n
        JOIN incoming AS i ON i.id = n.event_id AND i.is_first AND i.dead_letter IS NULL
    )
    SELECT array_agg(ROW (i.ordinal, i.id, i.body_sha256, i.dead_letter, i.detail, n.event_id IS NOT NULL,
            n.outcome, n.mode, n.order_id, n.occurred_at, n.rank)::bagelpay.intake ORDER BY i.ordinal)
    INTO batch
    FROM incoming AS i
    LEFT JOIN inserted AS n ON n.event_id = i.id AND i.is_first AND i.dead_letter IS NULL;

    INSERT INTO bagelpay.orders (mode, order_id, key_source)
    SELECT DISTINCT b.mode, b.order_id,
        CASE WHEN split_part(b.order_id, ':', 1) IN ('customer', 'order', 'payment') AND b.order_id LIKE '%:%'
            THEN split_part(b.order_id, ':', 1) ELSE 'metadata' END
    FROM unnest(batch) AS b
    WHERE b.order_id IS NOT NULL
    ORDER BY b.mode, b.order_id
    ON CONFLICT (mode, order_id) DO NOTHING;

    PERFORM FROM bagelpay.orders AS o
    WHERE (o.mode, o.order_id) IN (SELECT b.mode, b.order_id FROM unnest(batch) AS b)
    ORDER BY o.mode, o.order_id
    FOR UPDATE;

    FOR target IN
        SELECT DISTINCT ON (b.mode, b.order_id) b.*
        FROM unnest(batch) AS b
        WHERE b.order_id IS NOT NULL
        ORDER BY b.mode, b.order_id, b.occurred_at, b.rank, b.event_id COLLATE "C"
    LOOP
        SELECT coalesce(array_agg(f), '{}') INTO these_steps
        FROM bagelpay.fold (target.mode, target.order_id, target.occurred_at, target.rank, target.event_id, TRUE) AS f;
        steps := steps || these_steps;
    END LOOP;

    -- An id that is taken: the same body is a duplicate, another one a dead letter.
    FOR target IN
        SELECT b.ordinal, b.sha256 IS DISTINCT FROM e.body_sha256 AS differs
        FROM unnest(batch) AS b
        JOIN bagelpay.events AS e ON e.event_id = b.event_id
        WHERE b.dead_letter IS NULL AND NOT b.inserted
    LOOP
        batch[target.ordinal].outcome := 'duplicate';
        IF target.differs THEN
            batch[target.ordinal].dead_letter := 'conflict';
            batch[target.ordinal].detail := 'event_id: already taken by another body: ' || batch[target.ordinal].event_id;
        END IF;
    END LOOP;

    SELECT coalesce(array_agg(b.event_id), '{}') INTO redelivered
    FROM unnest(batch) AS b
    WHERE b.outcome = 'duplicate' AND b.dead_letter IS NULL;
    -- Of what the fold said nothing about, nothing has to be taken back, unless the
    -- event was there before.
    IF cardinality(redelivered) > 0 OR EXISTS (
            SELECT FROM unnest(steps) AS s
            WHERE cardinality(s.warnings) > 0
                OR s.event_id NOT IN (SELECT b.event_id FROM unnest(batch) AS b WHERE b.inserted)) THEN
        PERFORM bagelpay.note_events (redelivered, steps);
    END IF;

    INSERT INTO bagelpay.dead_letters AS t (sha256, body, reason, detail, signed_timestamp, signature, deliveries)
    SELECT DISTINCT ON (b.sha256) b.sha256, bodies[b.ordinal], b.dead_letter, b.detail,
        d.signed_timestamp, d.signature, count(*) OVER (PARTITION BY b.sha256)
    FROM unnest(batch) AS b
    JOIN ROWS FROM (json_to_recordset(deliveries) AS (signed_timestamp bigint, signature text)) WITH ORDINALITY
        AS d (signed_timestamp, signature, position) ON d.position = b.ordinal
    WHERE b.dead_letter IS NOT NULL
    ORDER BY b.sha256, b.ordinal
    ON CONFLICT (sha256) DO UPDATE SET deliveries = t.deliveries + excluded.deliveries;

    IF cardinality(steps) > 0 THEN
        NOTIFY bagelpay_orders;
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
