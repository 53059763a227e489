-- Revert bagelpay:forget_customer from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.forget_customer (text);

DROP FUNCTION bagelpay_internal.erased_metadata (jsonb, text[], text, text[]);

DROP FUNCTION bagelpay_internal.mentions (text, text[]);

DROP FUNCTION bagelpay_internal.mentions (bytea, text[]);

DROP FUNCTION bagelpay_internal.mentions (bytea, text);

COMMIT;
