-- Deploy bagelpay:access to pg
--
-- What each role may do; PUBLIC may nothing (see the default privileges of the schema).

BEGIN;

SET LOCAL ROLE bagelpay_owner;

GRANT USAGE ON SCHEMA bagelpay TO bagelpay_ingest, bagelpay_reader;

-- Default privileges do not reach the row types of tables and views. Whoever may use one in
-- a table of his own keeps the owner from changing ours.
DO $$
DECLARE
    row_type regtype;
BEGIN
    FOR row_type IN
        SELECT c.reltype
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'bagelpay'::regnamespace AND c.relkind IN ('r', 'v')
    LOOP
        EXECUTE format('REVOKE USAGE ON TYPE %s FROM PUBLIC', row_type);
    END LOOP;
END
$$;

-- Responders: the ingest functions and nothing else, not even SELECT.
GRANT EXECUTE ON FUNCTION bagelpay.served_responders (), bagelpay.ingest (json, bytea[]) TO bagelpay_ingest;

GRANT SELECT ON bagelpay.settings, bagelpay.events, bagelpay.orders, bagelpay.subscriptions, bagelpay.payments,
    bagelpay.stored_payments,
    bagelpay.refunds, bagelpay.expected_orders, bagelpay.entitlements, bagelpay.entitlements_test,
    bagelpay.order_checks, bagelpay.zone_evidence
TO bagelpay_reader;

-- All of a dead letter but its body; of event_bodies nothing.
GRANT SELECT (id, sha256, reason, detail, signed_timestamp, signature, deliveries, received_at, resolved_at)
ON bagelpay.dead_letters TO bagelpay_reader;

GRANT EXECUTE ON FUNCTION bagelpay.is_entitled (text, text, text, timestamptz),
    bagelpay.entitlements_at (timestamptz, text), bagelpay.utc_plus (timestamptz, interval),
    bagelpay.interval_length (text), bagelpay.matches_expectation (text, text),
    bagelpay.zone_half_hours (bigint, timestamptz, jsonb, text), bagelpay.explain (text, text),
    bagelpay.changes_since (text)
TO bagelpay_reader;

GRANT EXECUTE ON FUNCTION bagelpay.expect_order (text, text, text, numeric, text, text),
    bagelpay.grant (text, text, text, timestamptz, text, text),
    bagelpay.revoke (text, text, text), bagelpay.clear (text, text, text)
TO bagelpay_app;

COMMIT;
