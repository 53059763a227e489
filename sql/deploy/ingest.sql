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
-- Blocks on what concurrent callers hold: first on events of the same id, then on the
-- locks of orders, then on events and dead letters to be changed; each kind is taken in the
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
    batch bagelpay.intake[];
    taken integer;      -- how many of the batch have an event_id that was there before
    dead integer;       -- how many are no event
    keys bagelpay.fold_key[];
    steps bagelpay.fold_step[] := '{}';
    redelivered text[] := '{}';
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
        SELECT d.*, d.dead_letter IS NULL AS is_event, sha256(d.bytes) AS body_sha256,
            coalesce(d.event_id, 'sha256:' || encode(sha256(d.bytes), 'hex')) AS id
        FROM ROWS FROM (json_populate_recordset(NULL::bagelpay.delivery, deliveries), unnest(bodies)) WITH ORDINALITY AS d (
            dead_letter, detail, signed_timestamp, signature, event_id, event_type, mode, occurred_at,
            created_at_raw, local_times, warnings, kind, has_subscription, product_id, product_name,
            billing_type, customer_id, customer_email, provider_order_id, payment_id, request_id, amount,
            tax_amount, currency, subscription_id, processor_subscription_id, trial_start, trial_end,
            billing_period_start, billing_period_end, cancel_at, canceled_at, cancel_at_period_end,
            recurring_interval, units, payment_method, last4, billing_amount, refund_amount,
            refund_running_total, refund_label, metadata, bytes, ordinal)
    ),
    -- Of several deliveries of one event in the batch the first is the event.
    firsts AS MATERIALIZED (
        SELECT id, min(ordinal) AS ordinal
        FROM incoming
        WHERE is_event
        GROUP BY id
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
            i.id, i.event_type, i.mode, t.moment, k.order_id, k.key_source,
            CASE WHEN NOT r.known THEN 'ignored' WHEN k.order_id IS NULL THEN 'unmatched' ELSE 'applied' END,
            coalesce(i.warnings, '{}'),
            coalesce(k.warnings, '{}') || bagelpay.zone_warnings (i.signed_timestamp, t.moment, i.local_times, i.created_at_raw),
            i.signed_timestamp, i.body_sha256, i.created_at_raw, i.local_times, i.kind, coalesce(i.has_subscription, FALSE),
            i.product_id, i.product_name, i.billing_type, i.customer_id, i.customer_email, i.provider_order_id, i.payment_id,
            i.request_id, i.amount, i.tax_amount, i.currency, i.subscription_id, i.processor_subscription_id,
            coalesce(i.trial_start, bagelpay.local_time (i.local_times, 'trial_start', z.zone)),
            coalesce(i.trial_end, bagelpay.local_time (i.local_times, 'trial_end', z.zone)),
            coalesce(i.billing_period_start, bagelpay.local_time (i.local_times, 'billing_period_start', z.zone)),
            coalesce(i.billing_period_end, bagelpay.local_time (i.local_times, 'billing_period_end', z.zone)),
            coalesce(i.cancel_at, bagelpay.local_time (i.local_times, 'cancel_at', z.zone)),
            coalesce(i.canceled_at, bagelpay.local_time (i.local_times, 'canceled_at', z.zone)),
            i.cancel_at_period_end, i.recurring_interval, i.units, i.payment_method, i.last4, i.billing_amount,
            i.refund_amount, i.refund_running_total, i.refund_label, setting.unknown_refund, i.metadata
        FROM firsts
        JOIN incoming AS i ON i.ordinal = firsts.ordinal
        CROSS JOIN bagelpay.settings AS setting
        CROSS JOIN LATERAL (SELECT setting.provider_timezone) AS z (zone)
        CROSS JOIN LATERAL (SELECT coalesce(i.occurred_at, bagelpay.local_time (i.local_times, 'occurred_at', z.zone))) AS t (moment)
        CROSS JOIN LATERAL (SELECT i.event_type IN (
            'checkout.failed', 'checkout.cancel', 'checkout.completed', 'subscription.trialing',
            'subscription.paid', 'refund.created', 'subscription.canceled')) AS r (known)
        LEFT JOIN LATERAL bagelpay.order_key (
            setting.order_key, i.metadata, i.request_id, i.customer_id, i.product_id, i.provider_order_id, i.payment_id,
            bagelpay.billed_as_subscription (i.event_type, i.billing_type, i.kind, i.has_subscription)) AS k ON r.known
        ORDER BY i.id COLLATE "C"
        ON CONFLICT (event_id) DO NOTHING
        RETURNING event_id, outcome, mode, order_id, occurred_at, rank
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
        array_agg(ROW (i.ordinal, i.id, i.body_sha256, i.dead_letter, i.detail, n.event_id IS NOT NULL,
            n.outcome, n.mode, n.order_id, n.occurred_at, n.rank)::bagelpay.intake ORDER BY i.ordinal),
        count(*) FILTER (WHERE i.is_event AND n.event_id IS NULL),
        count(i.dead_letter)
    INTO batch, taken, dead
    FROM incoming AS i
    LEFT JOIN matched AS n ON n.ordinal = i.ordinal;

    SELECT array_agg(ROW (k.mode, k.order_id, k.occurred_at, k.rank, k.event_id)::bagelpay.fold_key)
    INTO keys
    FROM (
        SELECT DISTINCT ON (b.mode, b.order_id) b.*
        FROM unnest(batch) AS b
        WHERE b.order_id IS NOT NULL
        ORDER BY b.mode, b.order_id, b.occurred_at, b.rank, b.event_id COLLATE "C") AS k;
    IF keys IS NOT NULL THEN
        PERFORM bagelpay.lock_orders (keys);
        SELECT coalesce(array_agg(f), '{}') INTO steps
        FROM bagelpay.fold (keys, TRUE) AS f;
        NOTIFY bagelpay_orders;
    END IF;

    IF taken > 0 THEN
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
                dead := dead + 1;
            END IF;
        END LOOP;
        SELECT coalesce(array_agg(b.event_id), '{}') INTO redelivered
        FROM unnest(batch) AS b
        WHERE b.outcome = 'duplicate' AND b.dead_letter IS NULL;
    END IF;
    -- Of what the fold said nothing about, nothing has to be taken back, unless the
    -- event was there before.
    IF cardinality(redelivered) > 0 OR EXISTS (
            SELECT FROM unnest(steps) AS s
            WHERE cardinality(s.warnings) > 0
                OR s.event_id NOT IN (SELECT b.event_id FROM unnest(batch) AS b WHERE b.inserted)) THEN
        PERFORM bagelpay.note_events (redelivered, steps);
    END IF;

    IF dead > 0 THEN
        INSERT INTO bagelpay.dead_letters AS t (sha256, body, reason, detail, signed_timestamp, signature, deliveries)
        SELECT DISTINCT ON (b.sha256) b.sha256, bodies[b.ordinal], b.dead_letter, b.detail,
            d.signed_timestamp, d.signature, count(*) OVER (PARTITION BY b.sha256)
        FROM unnest(batch) AS b
        JOIN ROWS FROM (json_to_recordset(deliveries) AS (signed_timestamp bigint, signature text)) WITH ORDINALITY
            AS d (signed_timestamp, signature, position) ON d.position = b.ordinal
        WHERE b.dead_letter IS NOT NULL
        ORDER BY b.sha256, b.ordinal
        ON CONFLICT (sha256) DO UPDATE SET deliveries = t.deliveries + excluded.deliveries;
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
