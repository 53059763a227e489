-- Deploy bagelpay:events to pg
--
-- What arrived. The fold reads bagelpay.events and nothing else; the exact bytes are
-- kept beside it, so that retention can remove them without changing any state.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

CREATE TABLE bagelpay.events (
    event_id text COLLATE "C" PRIMARY KEY,
    event_type text NOT NULL,
    mode text COLLATE "C" NOT NULL CHECK (mode IN ('test', 'live')),
    occurred_at timestamptz NOT NULL,
    -- Settles events of one moment, terminal ones last; NULL: no part in the fold.
    rank smallint GENERATED ALWAYS AS (
        CASE event_type
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
        END) STORED,
    order_id text COLLATE "C",
    key_source text CHECK (key_source IN ('metadata', 'customer', 'order', 'payment')),
    outcome text NOT NULL CHECK (outcome IN ('applied', 'ignored', 'unmatched')),
    -- What the body gives rise to, what follows from it by the settings (key and zone),
    -- and what the fold says, which may change with every event of the order.
    body_warnings text[] NOT NULL DEFAULT '{}',
    setting_warnings text[] NOT NULL DEFAULT '{}',
    fold_warnings text[] NOT NULL DEFAULT '{}',
    warnings text[] GENERATED ALWAYS AS (body_warnings || setting_warnings || fold_warnings) STORED,
    received_at timestamptz NOT NULL DEFAULT now(),
    deliveries integer NOT NULL DEFAULT 1,
    last_delivered_at timestamptz NOT NULL DEFAULT now(),
    -- The transaction that stored it, for changes_since().
    stored_xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    signed_timestamp bigint,
    body_sha256 bytea,
    created_at_raw text,
    -- The text of each time without zone, by column: {"trial_end": "2025-09-19 16:48:37"}.
    local_times jsonb,
    kind text,
    has_subscription boolean NOT NULL DEFAULT FALSE,
    product_id text COLLATE "C",
    product_name text,
    billing_type text,
    customer_id text COLLATE "C",
    customer_email text COLLATE "C",
    provider_order_id text COLLATE "C",
    payment_id text COLLATE "C",
    request_id text COLLATE "C",
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
    refund_label text CHECK (refund_label IN ('full', 'partial')),
    -- The setting of that name when the event came or was last rebuilt.
    unknown_refund text NOT NULL CHECK (unknown_refund IN ('full', 'partial')),
    metadata jsonb,
    -- Of operator.… events only.
    granted_until timestamptz,
    note text,
    -- When forget() or forget_customer() took the body and what was personal.
    forgotten_at timestamptz,
    CONSTRAINT events_order CHECK ((outcome = 'applied') = (order_id IS NOT NULL)),
    CONSTRAINT events_rank CHECK (outcome = 'ignored' OR rank IS NOT NULL)
);

COMMENT ON TABLE bagelpay.events IS 'Every authentic event once, as normalised columns';

-- The fold of one order is one walk along this index.
CREATE INDEX events_of_order ON bagelpay.events (mode, order_id, occurred_at, rank, event_id)
WHERE order_id IS NOT NULL;

-- For changes_since(). New entries come at its end, many to a transaction.
CREATE INDEX events_by_transaction ON bagelpay.events (stored_xid)
WHERE order_id IS NOT NULL;

-- For forget(): those that it has yet to come to.
CREATE INDEX events_to_forget ON bagelpay.events (received_at)
WHERE forgotten_at IS NULL;

-- The settings order_key that metadata were cut down to: by other paths, the keys of
-- forgotten events cannot be known.
CREATE TABLE bagelpay.forgotten_keys (
    order_key text[] COLLATE "C" PRIMARY KEY
);

COMMENT ON TABLE bagelpay.forgotten_keys IS 'What of the metadata of forgotten events is kept, for rekey()';

CREATE TABLE bagelpay.event_bodies (
    event_id text COLLATE "C" PRIMARY KEY,
    body bytea NOT NULL,
    signed_timestamp bigint,
    signature text
);

COMMENT ON TABLE bagelpay.event_bodies IS 'The exact bytes of each event, and what they were signed with';

-- Whoever deletes an event means its bytes, too; the other way round is retention. (A
-- foreign key would say the same at a price for every event that comes.)
CREATE FUNCTION bagelpay.events_delete_body ()
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
    EXECUTE FUNCTION bagelpay.events_delete_body ();

CREATE TABLE bagelpay.dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256 bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    body bytea NOT NULL,
    reason text NOT NULL CHECK (reason IN ('invalid', 'conflict', 'database')),
    detail text,
    signed_timestamp bigint,
    signature text,
    deliveries integer NOT NULL DEFAULT 1,
    received_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz
);

COMMENT ON TABLE bagelpay.dead_letters IS 'Authentic bodies that are no valid event, each once';

COMMENT ON COLUMN bagelpay.dead_letters.reason IS 'invalid: not a valid event; conflict: its event_id is taken by another body; database: PostgreSQL refuses it for good';

COMMIT;
