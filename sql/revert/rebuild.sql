-- Revert bagelpay:rebuild from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.rekey;

DROP FUNCTION bagelpay.forgotten_allow_rekey;

DROP FUNCTION bagelpay.derived_keys;

DROP FUNCTION bagelpay.rebuild ();

DROP FUNCTION bagelpay.rebuild (text, text);

DROP FUNCTION bagelpay.refold;

DROP FUNCTION bagelpay.forgotten_allow_order;

DROP FUNCTION bagelpay.fold_order;

DROP FUNCTION bagelpay.apply_settings;

DROP FUNCTION bagelpay.state_of;

COMMIT;
