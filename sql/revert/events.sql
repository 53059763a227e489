-- Revert bagelpay:events from pg

BEGIN;

\ir keep_events.psql

DROP TABLE bagelpay.dead_letters;

DROP TABLE bagelpay.event_bodies;

DROP TABLE bagelpay.forgotten_keys;

DROP TABLE bagelpay.events;

DROP FUNCTION bagelpay.events_delete_body ();

COMMIT;
