-- Revert bagelpay:access from pg

BEGIN;

\ir keep_events.psql

REVOKE ALL ON ALL TABLES IN SCHEMA bagelpay FROM bagelpay_ingest, bagelpay_reader, bagelpay_app;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA bagelpay FROM bagelpay_ingest, bagelpay_reader, bagelpay_app;

REVOKE SELECT (id, sha256, reason, detail, signed_timestamp, signature, deliveries, received_at, resolved_at)
ON bagelpay.dead_letters FROM bagelpay_reader;

REVOKE ALL ON SCHEMA bagelpay FROM bagelpay_ingest, bagelpay_reader, bagelpay_app;

COMMIT;
