-- Revert bagelpay:expected_orders from pg

BEGIN;

\ir keep_events.psql

DROP VIEW bagelpay.order_checks;

DROP FUNCTION bagelpay.is_expected;

DROP FUNCTION bagelpay.item_mismatches;

DROP FUNCTION bagelpay.given_moment;

DROP FUNCTION bagelpay.given_mode;

DROP FUNCTION bagelpay.given_order_id;

COMMIT;
