-- Verify bagelpay:events on pg

BEGIN;

SELECT event_id, event_type, mode, occurred_at, order_id, key_source, outcome, warnings, received_at, deliveries, last_delivered_at, created_at_raw, metadata
FROM bagelpay.events
WHERE FALSE;

SELECT event_id, body, signed_timestamp, signature
FROM bagelpay.event_bodies
WHERE FALSE;

SELECT id, body, sha256, reason, detail, signed_timestamp, deliveries, received_at, resolved_at
FROM bagelpay.dead_letters
WHERE FALSE;

ROLLBACK;
