-- Revert bagelpay:operators from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.clear (text, text, text);

DROP FUNCTION bagelpay.revoke (text, text, text);

DROP FUNCTION bagelpay.grant (text, text, text, timestamptz, text, text);

DROP FUNCTION bagelpay.decide (text, text, text, text, timestamptz, text, text);

COMMIT;
