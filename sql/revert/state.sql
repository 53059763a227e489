-- Revert bagelpay:state from pg

BEGIN;

\ir keep_events.psql

DROP VIEW bagelpay.subscriptions;

DROP VIEW bagelpay.items;

DROP VIEW bagelpay_internal.all_items;

DROP FUNCTION bagelpay_internal.has_item;

DROP VIEW bagelpay.trials;

DROP VIEW bagelpay.payments;

DROP TABLE bagelpay_internal.changed_settings;

DROP TABLE bagelpay_internal.changed_orders;

DROP TABLE bagelpay.expected_orders;

DROP TABLE bagelpay_internal.subscription_links;

DROP TABLE bagelpay_internal.decisions;

DROP TABLE bagelpay.refunds;

DROP TABLE bagelpay.cancellations;

DROP TABLE bagelpay_internal.stored_items;

DROP TABLE bagelpay_internal.purchases;

DROP TABLE bagelpay.orders;

DROP DOMAIN bagelpay.purchase_kind;

DROP DOMAIN bagelpay.subscription_status;

DROP DOMAIN bagelpay.payment_status;

DROP DOMAIN bagelpay.order_status;

COMMIT;
