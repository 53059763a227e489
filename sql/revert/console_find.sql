-- Revert bagelpay:console_find from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay_internal.console_customer_attention (text, text);

DROP FUNCTION bagelpay_internal.console_customer (text, text);

DROP FUNCTION bagelpay_internal.console_customer_orders (text, text);

DROP FUNCTION bagelpay_internal.console_search (text, integer);

DROP FUNCTION bagelpay_internal.console_loose (bagelpay_internal.found_name[]);

DROP FUNCTION bagelpay_internal.console_former (jsonb, bagelpay.entitlement);

DROP FUNCTION bagelpay_internal.console_names_of (jsonb, bagelpay.entitlement);

DROP FUNCTION bagelpay_internal.console_orders_named (bagelpay_internal.found_name[]);

DROP TYPE bagelpay_internal.console_named;

COMMIT;
