-- Revert bagelpay:rebuild from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.rekey ();

DROP FUNCTION bagelpay.rebuild ();

DROP FUNCTION bagelpay.rebuild (text, text);

DROP FUNCTION bagelpay.read_local_times_again (text[]);

DROP FUNCTION bagelpay.refold (text, text);

DROP FUNCTION bagelpay.state_of (text, text);

DROP TABLE bagelpay.mended_orders;

COMMIT;
