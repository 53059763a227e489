-- Revert bagelpay:expected_orders from pg

BEGIN;

\ir keep_events.psql

DROP VIEW bagelpay.order_checks;

DROP FUNCTION bagelpay_internal.is_expected;

DROP FUNCTION bagelpay_internal.item_mismatches;

DROP FUNCTION bagelpay_internal.given_moment;

DROP FUNCTION bagelpay_internal.given_mode;

DROP FUNCTION bagelpay_internal.given_order_id;

COMMIT;
