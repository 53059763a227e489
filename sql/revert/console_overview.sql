-- Revert bagelpay:console_overview from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay_internal.console_attention ();

DROP FUNCTION bagelpay_internal.console_days ();

DROP FUNCTION bagelpay_internal.console_overview (text, timestamptz);

COMMIT;
