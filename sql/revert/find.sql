-- Revert bagelpay:find from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.find;

DROP TYPE bagelpay.finding;

DROP FUNCTION bagelpay_internal.items_named;

DROP FUNCTION bagelpay_internal.names_between;

DROP TYPE bagelpay_internal.found_name;

DROP INDEX bagelpay.expected_orders_by_email, bagelpay.dead_letters_open_by_email, bagelpay.dead_letters_open_by_event,
    bagelpay.dead_letters_open_by_order;

COMMIT;
