-- The tables of an application that takes the webhook itself: the events as they came, and for each order and
-- subscription the state that the last delivery named.

CREATE TABLE webhook_events (
    event_id text PRIMARY KEY,
    event_type text NOT NULL,
    body jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE orders (
    order_id text PRIMARY KEY,
    customer_id text NOT NULL,
    customer_email text NOT NULL,
    product_id text NOT NULL,
    payment_id text,
    amount numeric NOT NULL,
    currency text NOT NULL,
    status text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX orders_customer_email ON orders (customer_email);

CREATE TABLE subscriptions (
    subscription_id text PRIMARY KEY,
    order_id text NOT NULL,
    customer_id text NOT NULL,
    product_id text NOT NULL,
    status text NOT NULL,
    period_start timestamptz,
    period_end timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX subscriptions_customer_id ON subscriptions (customer_id);
