-- Revert bagelpay:attention from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.dismiss;

DROP VIEW bagelpay.attention;

DROP FUNCTION bagelpay_internal.attention_rows;

DROP FUNCTION bagelpay_internal.attention_row;

DROP TYPE bagelpay.attention_row;

DROP TABLE bagelpay.dismissals;

DROP INDEX bagelpay_internal.stored_items_subscribed_users, bagelpay_internal.stored_items_subscribed, bagelpay_internal.stored_items_without_customer,
    bagelpay_internal.stored_items_without_product, bagelpay_internal.decisions_revoked, bagelpay.refunds_without_payment,
    bagelpay_internal.purchases_without_billing_type, bagelpay_internal.purchases_disputed, bagelpay.events_of_mismatch,
    bagelpay.events_of_closed_pages, bagelpay.events_not_applied, bagelpay.orders_in_conflict;

COMMIT;
