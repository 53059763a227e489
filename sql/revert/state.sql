-- Revert bagelpay:state from pg

BEGIN;

\ir keep_events.psql

DROP TABLE bagelpay.expected_orders;

DROP TABLE bagelpay.refunds;

DROP VIEW bagelpay.payments;

DROP TABLE bagelpay.stored_payments;

DROP TABLE bagelpay.subscriptions;

DROP TABLE bagelpay.orders;

COMMIT;
