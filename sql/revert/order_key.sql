-- Revert bagelpay:order_key from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.billed_as_subscription (text, text, text, boolean);

DROP FUNCTION bagelpay.order_key (text[], jsonb, text, text, text, text, text, boolean);

COMMIT;
