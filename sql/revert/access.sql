-- Revert bagelpay:access from pg

BEGIN;

\ir keep_events.psql

-- Of a table, this takes back rights on its columns, too.
REVOKE ALL ON ALL TABLES IN SCHEMA bagelpay, bagelpay_internal FROM bagelpay_ingest, bagelpay_reader, bagelpay_app, bagelpay_verify;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA bagelpay, bagelpay_internal FROM bagelpay_ingest, bagelpay_reader, bagelpay_app, bagelpay_verify;

REVOKE ALL ON SCHEMA bagelpay, bagelpay_internal FROM bagelpay_ingest, bagelpay_reader, bagelpay_app, bagelpay_verify;

COMMIT;
