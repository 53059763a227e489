-- Revert bagelpay:forget_customer from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.forget_customer (text);

DROP FUNCTION bagelpay.erased_metadata (jsonb, text[], text, text[]);

DROP FUNCTION bagelpay.mentions (text, text[]);

DROP FUNCTION bagelpay.mentions (bytea, text[]);

DROP FUNCTION bagelpay.mentions (bytea, text);

COMMIT;
