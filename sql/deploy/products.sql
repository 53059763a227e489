-- Deploy bagelpay:products to pg
--
-- Facts about products that the merchant knows and BagelPay does not send.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

CREATE TABLE bagelpay.products (
    product_id text COLLATE "C" PRIMARY KEY CHECK (product_id <> ''),
    name text,
    period interval CHECK (period > '0' AND period <= '100 years'),
    note text
);

COMMENT ON TABLE bagelpay.products IS 'Products as the merchant describes them; the application may write it';

CREATE TABLE bagelpay.product_features (
    product_id text COLLATE "C" REFERENCES bagelpay.products ON DELETE CASCADE,
    feature text COLLATE "C" CHECK (feature <> ''),
    quantity numeric,
    PRIMARY KEY (product_id, feature)
);

COMMENT ON TABLE bagelpay.product_features IS 'Features of products, and their quantity; the application may write it';

COMMIT;
