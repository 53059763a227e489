-- Verify bagelpay:store_state on pg

BEGIN;

SELECT bagelpay.lock_orders ('{}');

SELECT bagelpay.store_states ('{}', '{}', '{}', '{}', '{}');

SELECT bagelpay.note_events ('{}', '{}');

ROLLBACK;
