-- Revert bagelpay:find from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.find;

DROP TYPE bagelpay.finding;

DROP FUNCTION bagelpay.items_named;

DROP FUNCTION bagelpay.names_between;

DROP TYPE bagelpay.found_name;

DROP INDEX bagelpay.expected_orders_by_email, bagelpay.dead_letters_open_by_email, bagelpay.dead_letters_open_by_event,
    bagelpay.dead_letters_open_by_order;

COMMIT;
