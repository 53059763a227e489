-- Revert bagelpay:fold from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.note_events (text[], bagelpay.fold_step[]);

DROP FUNCTION bagelpay.fold (text, text, timestamptz, smallint, text, boolean);

DROP FUNCTION bagelpay.latest_paid (bagelpay.payments[], text);

DROP TYPE bagelpay.fold_step;

COMMIT;
