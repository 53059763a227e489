-- Deploy bagelpay:events to pg
--
-- Stored events. The fold reads bagelpay.events and nothing else; the exact bytes are kept beside it, so that
-- retention can remove them without changing any state.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns the rank of an event type, by which events of one second are folded, terminal ones last. NULL if the fold
-- ignores the type.
CREATE FUNCTION bagelpay_internal.event_rank (event_type text)
    RETURNS integer
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT CASE event_type
        WHEN 'checkout.failed' THEN 1
        WHEN 'checkout.cancel' THEN 2
        WHEN 'checkout.completed' THEN 3
        WHEN 'subscription.trialing' THEN 4
        WHEN 'subscription.paid' THEN 5
        WHEN 'refund.created' THEN 6
        WHEN 'subscription.canceled' THEN 7
        WHEN 'operator.grant' THEN 8
        WHEN 'operator.revoke' THEN 8
        WHEN 'operator.clear' THEN 8
        WHEN 'operator.dispute_won' THEN 8
    END
$$;

COMMENT ON FUNCTION bagelpay_internal.event_rank IS 'The rank of an event type among events of one second';

-- Returns 16 × the Unix time in seconds + the rank of the event type: the first of the three keys by which the fold
-- sorts (fold_slot, occurred_at, event_id). NULL if the fold ignores the type.
CREATE FUNCTION bagelpay_internal.fold_slot (occurred_at timestamptz, event_type text)
    RETURNS bigint
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT floor(extract(epoch FROM occurred_at AT TIME ZONE 'UTC'))::bigint * 16 + bagelpay_internal.event_rank (event_type)
$$;

COMMENT ON FUNCTION bagelpay_internal.fold_slot IS 'Second and rank of an event, as one number that the fold sorts by';

-- The effect of an event: the statuses of its order, its item and its payment after it, and a note.
CREATE TYPE bagelpay.effect AS (
    order_status text,
    subscription_status text,
    payment_id text,
    payment_status text,
    note text
);

COMMENT ON TYPE bagelpay.effect IS 'What an event changed';

-- Columns that hold personal data are named in bagelpay.forget() and bagelpay.forget_customer(), too.
CREATE TABLE bagelpay.events (
    event_id text COLLATE "C" PRIMARY KEY,
    event_type text COLLATE "C" NOT NULL,
    mode bagelpay.mode NOT NULL,
    occurred_at timestamptz NOT NULL,
    -- See bagelpay_internal.fold_slot(); NULL if the fold ignores the event.
    fold_slot bigint,
    order_id text COLLATE "C",
    key_source bagelpay.key_source,
    -- applied, ignored or unmatched
    outcome text COLLATE "C" NOT NULL,
    warnings text[] NOT NULL,
    received_at timestamptz NOT NULL,
    deliveries integer NOT NULL DEFAULT 1,
    last_delivered_at timestamptz NOT NULL DEFAULT now(),
    -- The transaction that stored it, for changes_since().
    stored_xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    signed_timestamp bigint,
    -- SHA-256 of the normalised content (or of the body), by which duplicates are found; NULL for operators' events.
    digest bytea,
    created_at_raw text,
    -- The text of each time without zone, by column: {"trial_end": "2025-09-19 16:48:37"}.
    local_times jsonb,
    kind text,
    has_subscription boolean,
    product_id text COLLATE "C",
    product_name text,
    billing_type text COLLATE "C",
    customer_id text COLLATE "C",
    customer_email text COLLATE "C",
    user_id text COLLATE "C",
    provider_order_id text COLLATE "C",
    payment_id text COLLATE "C",
    request_id text COLLATE "C",
    amount numeric,
    tax_amount numeric,
    currency text COLLATE "C",
    subscription_id text COLLATE "C",
    processor_subscription_id text COLLATE "C",
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
    refund_id text COLLATE "C",
    refund_amount numeric,
    refund_running_total numeric,
    refund_label bagelpay.refund_label,
    -- For refunds: the setting of that name when the event came or was last rebuilt.
    unknown_refund text COLLATE "C",
    metadata jsonb,
    -- Only for operator.… events.
    granted_until timestamptz,
    note text,
    -- Written by the fold, read by explain().
    effect bagelpay.effect,
    -- When forget() or forget_customer() removed the body and the personal data.
    forgotten_at timestamptz,
    -- FALSE if earlier events of its order have its customer, e-mail, user, request and subscription. In doubt TRUE.
    has_new_name boolean NOT NULL DEFAULT TRUE
);

COMMENT ON TABLE bagelpay.events IS 'Every correctly signed event once, as normalised columns';

-- The fold reads the events of an order in the sequence of this index.
CREATE INDEX events_of_order ON bagelpay.events (order_id, mode, fold_slot, occurred_at, event_id) WITH (deduplicate_items = off)
WHERE order_id IS NOT NULL;

-- For changes_since(). New entries come at its end, many to a transaction.
CREATE INDEX events_by_transaction ON bagelpay.events (stored_xid)
WHERE order_id IS NOT NULL;

-- For forget(): the events that it has yet to process.
CREATE INDEX events_to_forget ON bagelpay.events (received_at)
WHERE forgotten_at IS NULL;

-- For links: first the events that others are linked to, then the events that may be linked.
CREATE INDEX events_linking_payment ON bagelpay.events (payment_id) WITH (deduplicate_items = off)
WHERE key_source = 'metadata' AND event_type IN ('checkout.failed', 'checkout.completed', 'subscription.paid') AND payment_id IS NOT NULL;

CREATE INDEX events_linking_provider_order ON bagelpay.events (provider_order_id) WITH (deduplicate_items = off)
WHERE key_source = 'metadata' AND event_type IN ('checkout.failed', 'checkout.completed', 'subscription.paid') AND provider_order_id IS NOT NULL;

CREATE INDEX events_linkable_payment ON bagelpay.events (payment_id)
WHERE key_source <> 'metadata' AND payment_id IS NOT NULL;

CREATE INDEX events_linkable_provider_order ON bagelpay.events (provider_order_id)
WHERE key_source <> 'metadata' AND provider_order_id IS NOT NULL;

-- For find(): names that others of the order may not have. A renewal most often has none, and no entry.
CREATE INDEX events_by_customer ON bagelpay.events (customer_id)
WHERE has_new_name AND customer_id IS NOT NULL;

CREATE INDEX events_by_email ON bagelpay.events (customer_email)
WHERE has_new_name AND customer_email IS NOT NULL;

CREATE INDEX events_by_user ON bagelpay.events (user_id)
WHERE has_new_name AND user_id IS NOT NULL;

CREATE INDEX events_by_request ON bagelpay.events (request_id)
WHERE has_new_name AND request_id IS NOT NULL;

CREATE INDEX events_by_subscription ON bagelpay.events (subscription_id)
WHERE has_new_name AND subscription_id IS NOT NULL;

CREATE INDEX events_by_processor_subscription ON bagelpay.events (processor_subscription_id)
WHERE has_new_name AND processor_subscription_id IS NOT NULL;

-- Payments and provider orders of the events that the indexes for links do not have.
CREATE INDEX events_other_payment ON bagelpay.events (payment_id)
WHERE (key_source IS NULL OR (key_source = 'metadata' AND event_type NOT IN ('checkout.failed', 'checkout.completed', 'subscription.paid')))
    AND payment_id IS NOT NULL;

CREATE INDEX events_other_provider_order ON bagelpay.events (provider_order_id)
WHERE (key_source IS NULL OR (key_source = 'metadata' AND event_type NOT IN ('checkout.failed', 'checkout.completed', 'subscription.paid')))
    AND provider_order_id IS NOT NULL;

-- Values of the setting order_key whose paths were kept of forgotten metadata. By other paths, the keys of forgotten
-- events cannot be derived.
CREATE TABLE bagelpay.forgotten_keys (
    order_key text[] COLLATE "C" PRIMARY KEY
);

COMMENT ON TABLE bagelpay.forgotten_keys IS 'The parts of metadata that forgotten events keep, for rekey()';

CREATE TABLE bagelpay.event_bodies (
    event_id text COLLATE "C" PRIMARY KEY,
    body bytea NOT NULL,
    signed_timestamp bigint,
    signature text
);

COMMENT ON TABLE bagelpay.event_bodies IS 'The exact bytes of each event, with their timestamp and signature';

-- Deletes the bodies of deleted events. (A foreign key would cost time for every event that is stored.)
CREATE FUNCTION bagelpay_internal.events_delete_body ()
    RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    DELETE FROM bagelpay.event_bodies AS b USING gone WHERE b.event_id = gone.event_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER events_delete_body
    AFTER DELETE ON bagelpay.events
    REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT
    EXECUTE FUNCTION bagelpay_internal.events_delete_body ();

CREATE TABLE bagelpay.dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256 bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    body bytea NOT NULL,
    reason text NOT NULL CHECK (reason IN ('invalid', 'conflict', 'database', 'mode')),
    detail text,
    event_id text COLLATE "C",
    order_id text COLLATE "C",
    customer_email text COLLATE "C",
    signed_timestamp bigint,
    signature text,
    deliveries integer NOT NULL DEFAULT 1,
    received_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz
);

COMMENT ON TABLE bagelpay.dead_letters IS 'Correctly signed bodies that could not become an event, each once';

CREATE INDEX dead_letters_open ON bagelpay.dead_letters (sha256)
WHERE resolved_at IS NULL;

COMMIT;
