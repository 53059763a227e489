-- Revert bagelpay:order_key from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay_internal.linked_order;

DROP FUNCTION bagelpay_internal.order_key;

DROP FUNCTION bagelpay_internal.billed_as_subscription;

DROP FUNCTION bagelpay_internal.key_at;

DROP FUNCTION bagelpay_internal.is_usable_key;

DROP FUNCTION bagelpay_internal.key_text;

COMMIT;
