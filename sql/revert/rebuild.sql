-- Revert bagelpay:rebuild from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.rekey;

DROP FUNCTION bagelpay_internal.forgotten_allow_rekey;

DROP FUNCTION bagelpay_internal.derived_keys;

DROP FUNCTION bagelpay.rebuild ();

DROP FUNCTION bagelpay.rebuild (text, text);

DROP FUNCTION bagelpay_internal.refold;

DROP FUNCTION bagelpay_internal.forgotten_allow_order;

DROP FUNCTION bagelpay_internal.fold_order;

DROP FUNCTION bagelpay_internal.apply_settings;

DROP FUNCTION bagelpay_internal.state_of;

COMMIT;
