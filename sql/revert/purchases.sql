-- Revert bagelpay:purchases from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay_internal.refold_item;

DROP FUNCTION bagelpay_internal.items_of_trials;

DROP FUNCTION bagelpay_internal.store_rows;

DROP FUNCTION bagelpay_internal.inheriting;

DROP FUNCTION bagelpay_internal.customer_by_email;

DROP FUNCTION bagelpay_internal.link_subscription;

DROP FUNCTION bagelpay_internal.named_subscriptions;

DROP FUNCTION bagelpay_internal.subscription_key;

DROP FUNCTION bagelpay_internal.names_other;

DROP FUNCTION bagelpay_internal.item_after;

DROP FUNCTION bagelpay_internal.item_status;

DROP FUNCTION bagelpay_internal.item_key;

DROP FUNCTION bagelpay_internal.purchase_after;

DROP FUNCTION bagelpay_internal.order_after;

COMMIT;
