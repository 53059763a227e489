-- Revert bagelpay:expected_orders from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.matches_expectation (text, text);

DROP VIEW bagelpay.order_checks;

DROP FUNCTION bagelpay.expect_order (text, text, text, numeric, text, text);

DROP FUNCTION bagelpay.given_mode (text);

DROP FUNCTION bagelpay.given_order_id (text);

COMMIT;
