-- Revert bagelpay:store_state from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.store_state (bagelpay.orders, bagelpay.subscriptions, bagelpay.payments[], bagelpay.refunds[], boolean);

COMMIT;
