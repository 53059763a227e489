-- Deploy bagelpay:state to pg
--
-- State that follows from the events: written by the fold alone, and derived again from bagelpay.events by rebuild().
-- In keys, the mode comes last: it is not selective, and a plan made while a table is small would scan all orders of a
-- mode.
--
-- State does not depend on settings that take effect at once. A purchase carries the values from which its window is
-- computed when it is asked for (see entitlements).
--
-- Each event of an order updates its rows, most often soon after they were inserted. The fill factors leave room for
-- that on the same page, so that no index needs another entry.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

CREATE DOMAIN bagelpay.order_status AS text COLLATE "C" CHECK (VALUE IN (
    'pending', 'trialing', 'paid', 'failed', 'canceled', 'disputed', 'partially_refunded', 'refunded'));

COMMENT ON DOMAIN bagelpay.order_status IS 'Status of an order';

CREATE DOMAIN bagelpay.payment_status AS text COLLATE "C" CHECK (VALUE IN (
    'failed', 'paid', 'disputed', 'partially_refunded', 'refunded'));

COMMENT ON DOMAIN bagelpay.payment_status IS 'Status of a payment';

CREATE DOMAIN bagelpay.subscription_status AS text COLLATE "C" CHECK (VALUE IN ('trialing', 'active', 'past_due', 'canceled'));

COMMENT ON DOMAIN bagelpay.subscription_status IS 'Status of a subscription';

CREATE DOMAIN bagelpay.purchase_kind AS text COLLATE "C" CHECK (VALUE IN ('subscription', 'one_time'));

COMMENT ON DOMAIN bagelpay.purchase_kind IS 'What a purchase is billed as';

CREATE TABLE bagelpay.orders (
    mode bagelpay.mode NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    key_source bagelpay.key_source NOT NULL,
    status bagelpay.order_status NOT NULL,
    conflict boolean NOT NULL,
    amount numeric,
    tax_amount numeric,
    currency text COLLATE "C",
    product_id text COLLATE "C",
    product_name text,
    billing_type text COLLATE "C",
    customer_id text COLLATE "C",
    customer_email text COLLATE "C",
    user_id text COLLATE "C",
    provider_order_id text COLLATE "C",
    payment_id text COLLATE "C",
    request_id text COLLATE "C",
    metadata jsonb,
    -- The fold's position in the order is (last_slot, last_event_at, last_event_id).
    last_event_id text COLLATE "C",
    last_event_at timestamptz,
    updated_at timestamptz,
    last_slot bigint,
    -- The latest paid payment.
    latest_payment_id text COLLATE "C",
    latest_paid_at timestamptz,
    -- A product and a customer of the order's purchases: the only ones unless has_products, or conflict.
    only_product_id text COLLATE "C",
    only_customer_id text COLLATE "C",
    -- Flags that save the fold look-ups. The order has had: a selling event; purchases of several products; a purchase
    -- with a known user; a payment without a payment_id; a processor's id of a subscription; trials; refunds; operators'
    -- decisions.
    has_sold boolean NOT NULL,
    has_products boolean NOT NULL,
    has_users boolean NOT NULL,
    has_unnamed boolean NOT NULL,
    has_links boolean NOT NULL,
    has_trials boolean NOT NULL,
    has_refunds boolean NOT NULL,
    has_decisions boolean NOT NULL,
    PRIMARY KEY (order_id, mode)
) WITH (fillfactor = 70);

COMMENT ON TABLE bagelpay.orders IS 'One row per order, keyed by the merchant''s order_id or a derived one';

-- Payments and trials, which give access. Payments that only failed are stored here, too; their began_at is NULL. The
-- views payments and trials show the rows.
CREATE TABLE bagelpay_internal.purchases (
    mode bagelpay.mode NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    is_trial boolean NOT NULL,
    -- A payment's payment_id, order:<provider order> or event:<event_id>; a trial's event_id.
    name text COLLATE "C" NOT NULL,
    kind bagelpay.purchase_kind NOT NULL,
    -- NULL for trials.
    status bagelpay.payment_status,
    product_id text COLLATE "C",
    product_name text,
    customer_id text COLLATE "C",
    customer_email text COLLATE "C",
    user_id text COLLATE "C",
    units integer,
    recurring_interval interval,
    provider_order_id text COLLATE "C",
    subscription_id text COLLATE "C",
    processor_subscription_id text COLLATE "C",
    payment_method text,
    last4 text,
    billing_amount numeric,
    amount numeric,
    tax_amount numeric,
    currency text COLLATE "C",
    period_start timestamptz,
    period_end timestamptz,
    trial_start timestamptz,
    trial_end timestamptz,
    refunded_amount numeric NOT NULL,
    -- The position of the event that began it; NULL while a payment only failed. The views show began_at as paid_at or
    -- starts_at.
    began_slot bigint,
    began_at timestamptz,
    began_event_id text COLLATE "C",
    -- Its item: see bagelpay_internal.item_key(). NULL while a payment only failed.
    item_key bigint,
    -- See bagelpay_internal.subscription_key(); NULL if it names no subscription.
    subscription_key text COLLATE "C",
    -- TRUE if its own events have a product and a user. The customer: 2 its own id, 1 its own e-mail, 0 inherited or
    -- none.
    own_product boolean NOT NULL,
    own_user boolean NOT NULL,
    own_customer smallint NOT NULL,
    -- For payments: an event of it is billed as a subscription; an event has a known billing_type; all its events are
    -- checkout.completed; a dispute is open; it bought a trial and opens no window of its own.
    is_billed boolean NOT NULL,
    has_billing_type boolean NOT NULL,
    only_checkout boolean NOT NULL,
    is_disputed boolean NOT NULL,
    bought_trial boolean NOT NULL,
    -- For trials: the payment that it names, the payment that bought it, and the start of the next trial of the item.
    named_payment_id text COLLATE "C",
    buyer text COLLATE "C",
    replaced_at timestamptz,
    -- From the cancellations that concern it: the earliest moment, the earliest end that is not the period's, and the
    -- values of the latest one.
    cut_at timestamptz,
    cut_until timestamptz,
    canceled_at timestamptz,
    cancel_at timestamptz,
    cancel_at_period_end boolean,
    PRIMARY KEY (order_id, mode, name, is_trial)
) WITH (fillfactor = 80);

COMMENT ON TABLE bagelpay_internal.purchases IS 'Payments and trials, with the values from which their windows are computed';

CREATE INDEX purchases_by_item ON bagelpay_internal.purchases (item_key, began_slot) WITH (deduplicate_items = off)
WHERE item_key IS NOT NULL;

CREATE INDEX purchases_trials ON bagelpay_internal.purchases (order_id, mode, began_at)
WHERE is_trial;

CREATE INDEX purchases_unreplaced ON bagelpay_internal.purchases (item_key)
WHERE is_trial AND replaced_at IS NULL;

CREATE INDEX purchases_by_provider_order ON bagelpay_internal.purchases (provider_order_id) WITH (deduplicate_items = off)
WHERE provider_order_id IS NOT NULL;

CREATE INDEX purchases_by_subscription ON bagelpay_internal.purchases (subscription_key)
WHERE subscription_key IS NOT NULL;

-- Without customers who are known by an e-mail alone: they are email:<e-mail>, which stored_items finds.
CREATE INDEX purchases_by_email ON bagelpay_internal.purchases (customer_email, order_id, began_slot) WITH (deduplicate_items = off)
WHERE customer_id NOT LIKE 'email:%';

-- One row per item that has a purchase. Items that exist only by a grant are in the views all_items and items.
CREATE TABLE bagelpay_internal.stored_items (
    mode bagelpay.mode NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    product_id text COLLATE "C" NOT NULL,
    customer_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    product_name text,
    customer_email text COLLATE "C",
    -- NULL while it has no subscription purchase.
    subscription_status bagelpay.subscription_status,
    units integer,
    recurring_interval interval,
    subscription_id text COLLATE "C",
    processor_subscription_id text COLLATE "C",
    trial_start timestamptz,
    trial_end timestamptz,
    billing_period_start timestamptz,
    billing_period_end timestamptz,
    cancel_at timestamptz,
    canceled_at timestamptz,
    cancel_at_period_end boolean,
    payment_method text,
    last4 text,
    billing_amount numeric,
    item_key bigint NOT NULL,
    -- The position of the event that began its latest purchase.
    latest_slot bigint,
    latest_at timestamptz,
    latest_event_id text COLLATE "C",
    -- Its latest subscription purchase, if it has one, and the key of its subscription.
    latest_subscription text COLLATE "C",
    latest_is_trial boolean,
    latest_subscription_key text COLLATE "C",
    -- The customer comes before the product, so that the known customers of an order, and the known users of a
    -- customer, are read from the ends of a range.
    PRIMARY KEY (order_id, mode, customer_id, user_id, product_id)
) WITH (fillfactor = 70);

COMMENT ON TABLE bagelpay_internal.stored_items IS 'One row per item that has a purchase; see the view bagelpay.items';

-- Unknown values are NULL, as in entitlements.
CREATE INDEX stored_items_by_customer ON bagelpay_internal.stored_items (nullif(customer_id, ''), nullif(product_id, '')) WITH (deduplicate_items = off);

CREATE INDEX stored_items_by_email ON bagelpay_internal.stored_items (customer_email, nullif(product_id, ''))
WHERE customer_email IS NOT NULL;

CREATE INDEX stored_items_by_user ON bagelpay_internal.stored_items (nullif(user_id, ''), nullif(product_id, ''))
WHERE nullif(user_id, '') IS NOT NULL;

CREATE TABLE bagelpay.cancellations (
    mode bagelpay.mode NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    product_id text COLLATE "C",
    customer_id text COLLATE "C",
    subscription_id text COLLATE "C",
    processor_subscription_id text COLLATE "C",
    occurred_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    at_period_end boolean,
    PRIMARY KEY (order_id, mode, event_id)
);

COMMENT ON TABLE bagelpay.cancellations IS 'One row per subscription.canceled event';

CREATE TABLE bagelpay.refunds (
    mode bagelpay.mode NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" PRIMARY KEY,
    refund_id text COLLATE "C",
    payment_id text COLLATE "C",
    amount numeric,
    running_total numeric,
    label bagelpay.refund_label,
    occurred_at timestamptz NOT NULL,
    fold_slot bigint NOT NULL,
    unknown_refund text COLLATE "C",
    -- The names that it carries. found is the payment by its provider order or, without any name, by its subscription,
    -- or product and customer.
    named_payment_id text COLLATE "C",
    named_provider_order_id text COLLATE "C",
    found text COLLATE "C"
);

COMMENT ON TABLE bagelpay.refunds IS 'One row per refund.created event, with the payment that it counts against';

CREATE INDEX refunds_by_payment ON bagelpay.refunds (order_id, mode, payment_id);

CREATE INDEX refunds_by_id ON bagelpay.refunds (refund_id)
WHERE refund_id IS NOT NULL;

CREATE INDEX refunds_by_named_payment ON bagelpay.refunds (named_payment_id)
WHERE named_payment_id IS NOT NULL;

CREATE INDEX refunds_by_named_provider_order ON bagelpay.refunds (named_provider_order_id)
WHERE named_provider_order_id IS NOT NULL;

CREATE TABLE bagelpay_internal.decisions (
    mode bagelpay.mode NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    -- grant, revoke or clear
    decision text COLLATE "C" NOT NULL,
    product_id text COLLATE "C",
    customer_id text COLLATE "C",
    customer_email text COLLATE "C",
    granted_until timestamptz,
    occurred_at timestamptz NOT NULL,
    fold_slot bigint NOT NULL,
    -- For grants by adopt(): the user of the item that it makes; '' where unknown.
    user_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (order_id, mode, event_id)
);

COMMENT ON TABLE bagelpay_internal.decisions IS 'Grants, revocations and clears by operators, with the items that they name';

-- The customers of items that exist only by a grant.
CREATE INDEX decisions_by_customer ON bagelpay_internal.decisions (nullif('email:' || customer_email, ''), nullif(product_id, ''))
WHERE customer_email IS NOT NULL;

CREATE INDEX decisions_by_email ON bagelpay_internal.decisions (customer_email, nullif(product_id, ''))
WHERE customer_email IS NOT NULL;

CREATE INDEX decisions_by_user ON bagelpay_internal.decisions (nullif(user_id, ''), nullif(product_id, ''))
WHERE nullif(user_id, '') IS NOT NULL;

-- Linked ids of a subscription: a purchase of the order has both the provider's (kind p) and the card processor's (kind
-- r). An id that is not linked has no row.
CREATE TABLE bagelpay_internal.subscription_links (
    mode bagelpay.mode NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    subscription_key text COLLATE "C" NOT NULL,
    PRIMARY KEY (order_id, mode, kind, id)
);

CREATE INDEX subscription_links_by_key ON bagelpay_internal.subscription_links (subscription_key);

COMMENT ON TABLE bagelpay_internal.subscription_links IS 'Linked ids of a subscription: the provider''s and the processor''s';

CREATE TABLE bagelpay.expected_orders (
    mode bagelpay.mode NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    customer_email text COLLATE "C",
    product_id text COLLATE "C",
    amount numeric,
    currency text COLLATE "C",
    expected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, mode)
);

COMMENT ON TABLE bagelpay.expected_orders IS 'Orders that an application announced before it sold; NULL matches any';

-- Orders that changed without a new event of theirs: by links, rebuild(), rekey(), forget_customer(). changes_since()
-- reads them, and bagelpay.events for the others.
CREATE TABLE bagelpay_internal.changed_orders (
    mode bagelpay.mode NOT NULL,
    order_id text COLLATE "C" NOT NULL,
    stored_xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (mode, order_id)
);

CREATE INDEX changed_orders_by_transaction ON bagelpay_internal.changed_orders (stored_xid);

COMMENT ON TABLE bagelpay_internal.changed_orders IS 'Orders that changed or were removed without a new event, and when last';

-- The latest transactions that changed settings, products or expectations, any of which may change any entitlement. For
-- changes_since().
CREATE TABLE bagelpay_internal.changed_settings (
    stored_xid bigint PRIMARY KEY DEFAULT pg_current_xact_id()::text::bigint,
    changed_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE bagelpay_internal.changed_settings IS 'Transactions that changed settings, products or expected orders';

CREATE VIEW bagelpay.payments AS
SELECT p.mode, p.order_id, p.name AS payment_id, p.provider_order_id, p.kind, p.status, p.product_id, p.product_name, p.customer_id,
    p.customer_email, p.user_id, p.units, p.recurring_interval, p.subscription_id, p.processor_subscription_id, p.amount,
    p.tax_amount, p.currency, p.began_at AS paid_at, p.period_start, p.period_end, p.refunded_amount, o.updated_at
FROM bagelpay_internal.purchases AS p
JOIN bagelpay.orders AS o ON o.mode = p.mode AND o.order_id = p.order_id
WHERE NOT p.is_trial;

COMMENT ON VIEW bagelpay.payments IS 'One row per payment of an order; paid_at is NULL while it only failed';

CREATE VIEW bagelpay.trials AS
SELECT p.mode, p.order_id, p.name AS event_id, p.product_id, p.customer_id, p.customer_email, p.user_id, p.units,
    p.subscription_id, p.began_at AS starts_at, p.trial_end, p.buyer AS payment_id
FROM bagelpay_internal.purchases AS p
WHERE p.is_trial;

COMMENT ON VIEW bagelpay.trials IS 'One row per subscription.trialing event; payment_id is the payment that bought it';

-- Returns TRUE if an order has another item of a product and an e-mail than the one that a grant of them and a user
-- ('': of none) would make: a purchase of the product has the e-mail, or the customer is known by it alone, or, if the
-- grant names no user, another one does. Reads only; waits for no writer.
CREATE FUNCTION bagelpay_internal.has_item (mode text, order_id text, product_id text, customer_email text, user_id text)
    RETURNS boolean
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    SELECT EXISTS (
        SELECT
        FROM bagelpay_internal.purchases AS p
        WHERE p.customer_email = $4 COLLATE "C" AND p.order_id = $2 COLLATE "C" AND p.mode = $1 COLLATE "C" AND p.product_id = $3 COLLATE "C" AND p.began_at IS NOT NULL
            AND p.customer_id NOT LIKE 'email:%')
        OR EXISTS (
        SELECT
        FROM bagelpay_internal.stored_items AS i
        WHERE i.order_id = $2 COLLATE "C" AND i.mode = $1 COLLATE "C" AND i.customer_id = ('email:' || $4) COLLATE "C" AND i.product_id = $3 COLLATE "C")
        OR ($5 = '' AND EXISTS (
        SELECT
        FROM bagelpay_internal.decisions AS d
        WHERE d.order_id = $2 COLLATE "C" AND d.mode = $1 COLLATE "C" AND d.decision = 'grant' AND d.product_id = $3 COLLATE "C"
            AND d.customer_email = $4 COLLATE "C" AND d.user_id <> ''))
$$;

COMMENT ON FUNCTION bagelpay_internal.has_item IS 'Returns TRUE if an order has an item of a product and an e-mail without a grant';

-- The items of bagelpay_internal.stored_items, and those that exist only by a grant.
CREATE VIEW bagelpay_internal.all_items AS
SELECT i.*
FROM bagelpay_internal.stored_items AS i
UNION ALL
SELECT DISTINCT d.mode, d.order_id, d.product_id, 'email:' || d.customer_email, d.user_id, NULL::text, d.customer_email,
    NULL::bagelpay.subscription_status, NULL::integer, NULL::interval, NULL::text COLLATE "C", NULL::text COLLATE "C", NULL::timestamptz, NULL::timestamptz,
    NULL::timestamptz, NULL::timestamptz, NULL::timestamptz, NULL::timestamptz, NULL::boolean, NULL::text, NULL::text, NULL::numeric,
    NULL::bigint, NULL::bigint, NULL::timestamptz, NULL::text COLLATE "C", NULL::text COLLATE "C", NULL::boolean, NULL::text COLLATE "C"
FROM bagelpay_internal.decisions AS d
WHERE d.decision = 'grant' AND d.product_id IS NOT NULL AND d.customer_email IS NOT NULL
    AND NOT bagelpay_internal.has_item (d.mode, d.order_id, d.product_id, d.customer_email, d.user_id);

COMMENT ON VIEW bagelpay_internal.all_items IS 'Every item, with the columns of bagelpay_internal.stored_items';

CREATE VIEW bagelpay.items AS
SELECT i.mode, i.order_id, i.product_id, i.customer_id, i.user_id, i.product_name, i.customer_email, i.subscription_status, i.units,
    i.recurring_interval, i.subscription_id, i.processor_subscription_id, i.trial_start, i.trial_end, i.billing_period_start,
    i.billing_period_end, i.cancel_at, i.canceled_at, i.cancel_at_period_end, i.payment_method, i.last4, i.billing_amount,
    o.updated_at
FROM bagelpay_internal.all_items AS i
JOIN bagelpay.orders AS o ON o.mode = i.mode AND o.order_id = i.order_id;

COMMENT ON VIEW bagelpay.items IS 'One row per item: what one customer has of one product in one order';

CREATE VIEW bagelpay.subscriptions AS
SELECT i.mode, i.order_id, i.product_id, i.customer_id, i.user_id, i.product_name, i.customer_email, i.subscription_status AS status,
    i.units, i.recurring_interval, i.subscription_id, i.processor_subscription_id, i.trial_start, i.trial_end,
    i.billing_period_start, i.billing_period_end, i.cancel_at, i.canceled_at, i.cancel_at_period_end, i.payment_method, i.last4,
    i.billing_amount, i.updated_at
FROM bagelpay.items AS i
WHERE i.subscription_status IS NOT NULL;

COMMENT ON VIEW bagelpay.subscriptions IS 'The items that have a subscription purchase';

COMMIT;
