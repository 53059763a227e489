-- Revert bagelpay:events from pg

BEGIN;

\ir keep_events.psql

DROP TABLE bagelpay.dead_letters;

DROP TABLE bagelpay.event_bodies;

DROP TABLE bagelpay.forgotten_keys;

DROP TABLE bagelpay.events;

DROP TYPE bagelpay.effect;

DROP FUNCTION bagelpay_internal.events_delete_body;

DROP FUNCTION bagelpay_internal.fold_slot;

DROP FUNCTION bagelpay_internal.event_rank;

COMMIT;
