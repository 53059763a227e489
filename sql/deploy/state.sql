-- Deploy bagelpay:state to pg
--
-- What follows from the events: written by the fold alone, and at any time to be had
-- again from bagelpay.events. The mode comes last in the keys: it tells little, and a plan
-- that is made while a table is small would look all orders of a mode through.
--
-- Rows are changed with each event of their order, most often soon after they were made.
-- The fill factors leave room for that on the same page, so that no index needs another
-- entry.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

CREATE TABLE bagelpay.orders (
    mode text COLLATE "C" NOT NULL CHECK (mode IN ('test', 'live')),
    order_id text COLLATE "C" NOT NULL,
    key_source text NOT NULL CHECK (key_source IN ('metadata', 'customer', 'order', 'payment')),
    status text NOT NULL DEFAULT 'pending' CHECK (status IN (
        'pending', 'trialing', 'paid', 'failed', 'canceled', 'disputed', 'partially_refunded', 'refunded')),
    conflict boolean NOT NULL DEFAULT FALSE,
    amount numeric,
    tax_amount numeric,
    currency text,
    product_id text COLLATE "C",
    product_name text,
    billing_type text,
    customer_id text COLLATE "C",
    customer_email text COLLATE "C",
    provider_order_id text COLLATE "C",
    payment_id text COLLATE "C",
    request_id text COLLATE "C",
    metadata jsonb,
    last_event_id text COLLATE "C",
    last_event_at timestamptz,
    updated_at timestamptz,
    -- With last_event_at and last_event_id the position that the fold has reached.
    last_event_rank smallint,
    -- The latest operator decision: grant, revoke, or NULL.
    decision text CHECK (decision IN ('grant', 'revoke')),
    granted_at timestamptz,
    granted_until timestamptz,
    -- TRUE while the value is a grant's: the first event that says otherwise wins.
    email_is_granted boolean NOT NULL DEFAULT FALSE,
    product_is_granted boolean NOT NULL DEFAULT FALSE,
    PRIMARY KEY (order_id, mode)
) WITH (fillfactor = 70);

COMMENT ON TABLE bagelpay.orders IS 'One row per purchase, keyed by the merchant''s order_id';

COMMENT ON COLUMN bagelpay.orders.updated_at IS 'occurred_at of the newest event of the order';

COMMENT ON COLUMN bagelpay.orders.conflict IS 'Events of this order name different customers: the key was not unique';

CREATE INDEX orders_by_customer ON bagelpay.orders (customer_id, product_id);

CREATE INDEX orders_by_email ON bagelpay.orders (customer_email, product_id);

CREATE TABLE bagelpay.subscriptions (
    mode text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'trialing', 'active', 'past_due', 'canceled')),
    subscription_id text,
    processor_subscription_id text,
    trial_start timestamptz,
    trial_end timestamptz,
    billing_period_start timestamptz,
    billing_period_end timestamptz,
    cancel_at timestamptz,
    canceled_at timestamptz,
    cancel_at_period_end boolean,
    ends_at timestamptz,
    recurring_interval text,
    units integer,
    payment_method text,
    last4 text,
    billing_amount numeric,
    updated_at timestamptz,
    -- The order's earliest and latest subscription.trialing event.
    first_trialing_at timestamptz,
    last_trialing_at timestamptz,
    PRIMARY KEY (order_id, mode)
) WITH (fillfactor = 70);

COMMENT ON TABLE bagelpay.subscriptions IS 'One row per order of which any event is billed as a subscription';

-- Without updated_at, which is the order's: an event writes the payment that it is about, however many others the order has.
CREATE TABLE bagelpay.stored_payments (
    mode text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    provider_order_id text COLLATE "C",
    status text NOT NULL CHECK (status IN ('failed', 'paid', 'disputed', 'partially_refunded', 'refunded')),
    amount numeric,
    tax_amount numeric,
    currency text,
    paid_at timestamptz,
    period_end timestamptz,
    refunded_amount numeric NOT NULL DEFAULT 0,
    -- What refunded_amount is the greater of: the latest running total, the sum of
    -- single amounts. NULL while none is known.
    refund_running_total numeric,
    refund_sum numeric,
    PRIMARY KEY (order_id, mode, payment_id)
) WITH (fillfactor = 70);

COMMENT ON TABLE bagelpay.stored_payments IS 'What bagelpay.payments shows, without updated_at';

CREATE VIEW bagelpay.payments AS
SELECT p.mode, p.order_id, p.payment_id, p.provider_order_id, p.status, p.amount, p.tax_amount, p.currency, p.paid_at,
    p.period_end, p.refunded_amount, o.updated_at, p.refund_running_total, p.refund_sum
FROM bagelpay.stored_payments AS p
JOIN bagelpay.orders AS o ON o.mode = p.mode AND o.order_id = p.order_id;

COMMENT ON VIEW bagelpay.payments IS 'One row per payment of an order; paid_at is NULL while it only failed';

CREATE TABLE bagelpay.refunds (
    mode text COLLATE "C" NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    payment_id text COLLATE "C",
    amount numeric,
    label text CHECK (label IN ('full', 'partial')),
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (order_id, mode, event_id)
);

COMMENT ON TABLE bagelpay.refunds IS 'One row per refund.created event, with the payment it counted against';

CREATE TABLE bagelpay.expected_orders (
    mode text COLLATE "C" NOT NULL CHECK (mode IN ('test', 'live')),
    order_id text COLLATE "C" NOT NULL,
    customer_email text COLLATE "C",
    product_id text COLLATE "C",
    amount numeric,
    currency text,
    expected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, mode)
);

COMMENT ON TABLE bagelpay.expected_orders IS 'What an application said it was about to sell; NULL matches anything';

COMMIT;
