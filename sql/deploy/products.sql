-- Deploy bagelpay:products to pg
--
-- What the merchant knows of his products and BagelPay does not send.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

CREATE TABLE bagelpay.products (
    product_id text COLLATE "C" PRIMARY KEY CHECK (product_id <> ''),
    name text,
    -- What a payment buys if its event names neither a period nor an interval.
    period interval CHECK (period > '0' AND period <= '100 years'),
    note text
);

COMMENT ON TABLE bagelpay.products IS 'Products as the merchant describes them; the application may write it';

COMMENT ON COLUMN bagelpay.products.period IS 'What a subscription payment buys if its event says neither period nor interval';

CREATE TABLE bagelpay.product_features (
    product_id text COLLATE "C" REFERENCES bagelpay.products ON DELETE CASCADE,
    feature text COLLATE "C" CHECK (feature <> ''),
    quantity numeric,
    PRIMARY KEY (product_id, feature)
);

COMMENT ON TABLE bagelpay.product_features IS 'Which features a product gives, and how much of each; the application may write it';

COMMIT;
