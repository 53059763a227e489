-- Revert bagelpay:console_orders from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay_internal.console_order (text, text);

DROP INDEX bagelpay.events_disputed;

DROP FUNCTION bagelpay_internal.console_purchase (bagelpay_internal.purchases, bagelpay.settings);

DROP FUNCTION bagelpay_internal.console_item (bagelpay.entitlement);

DROP FUNCTION bagelpay_internal.console_window (bagelpay_internal.purchases, bagelpay.settings);

COMMIT;
