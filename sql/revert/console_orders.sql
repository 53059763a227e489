-- Revert bagelpay:console_orders from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay_internal.console_search (text, integer);

DROP FUNCTION bagelpay_internal.console_order (text, text);

DROP FUNCTION bagelpay_internal.console_item (bagelpay.entitlement);

DROP FUNCTION bagelpay_internal.console_window (bagelpay_internal.purchases, bagelpay.settings);

DROP INDEX bagelpay.orders_unsold_by_customer, bagelpay.orders_unsold_by_email, bagelpay.orders_unsold_by_user;

COMMIT;
