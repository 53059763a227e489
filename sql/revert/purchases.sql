-- Revert bagelpay:purchases from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.refold_item;

DROP FUNCTION bagelpay.items_of_trials;

DROP FUNCTION bagelpay.store_rows;

DROP FUNCTION bagelpay.inheriting;

DROP FUNCTION bagelpay.customer_by_email;

DROP FUNCTION bagelpay.link_subscription;

DROP FUNCTION bagelpay.named_subscriptions;

DROP FUNCTION bagelpay.subscription_key;

DROP FUNCTION bagelpay.names_other;

DROP FUNCTION bagelpay.item_after;

DROP FUNCTION bagelpay.item_status;

DROP FUNCTION bagelpay.item_key;

DROP FUNCTION bagelpay.purchase_after;

DROP FUNCTION bagelpay.order_after;

COMMIT;
