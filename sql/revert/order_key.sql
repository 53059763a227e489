-- Revert bagelpay:order_key from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.linked_order;

DROP FUNCTION bagelpay.order_key;

DROP FUNCTION bagelpay.billed_as_subscription;

DROP FUNCTION bagelpay.key_at;

DROP FUNCTION bagelpay.is_usable_key;

DROP FUNCTION bagelpay.key_text;

COMMIT;
