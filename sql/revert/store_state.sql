-- Revert bagelpay:store_state from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.note_events (text[], bagelpay.fold_step[]);

DROP FUNCTION bagelpay.store_states (bagelpay.orders[], bagelpay.subscriptions[], bagelpay.stored_payments[], bagelpay.refunds[], bagelpay.fold_key[]);

DROP FUNCTION bagelpay.lock_orders (bagelpay.fold_key[]);

DROP TYPE bagelpay.fold_step;

DROP TYPE bagelpay.fold_key;

COMMIT;
