-- Revert bagelpay:rebuild from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.rekey ();

DROP FUNCTION bagelpay.forgotten_allow_rekey ();

DROP FUNCTION bagelpay.rebuild ();

DROP FUNCTION bagelpay.rebuild (text, text);

DROP FUNCTION bagelpay.apply_settings (text[]);

DROP FUNCTION bagelpay.refold (bagelpay.fold_key[], boolean);

DROP FUNCTION bagelpay.forgotten_allow_order (text, text, text[]);

DROP FUNCTION bagelpay.fold_order (text, text);

DROP FUNCTION bagelpay.state_of (text, text);

DROP TABLE bagelpay.mended_orders;

COMMIT;
