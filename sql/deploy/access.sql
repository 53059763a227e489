-- Deploy bagelpay:access to pg
--
-- Privileges of each role. PUBLIC has none (see the default privileges of the schema).

BEGIN;

SET LOCAL ROLE bagelpay_owner;

GRANT USAGE ON SCHEMA bagelpay TO bagelpay_ingest, bagelpay_reader;

GRANT USAGE ON SCHEMA bagelpay_internal TO bagelpay_reader;

-- Default privileges do not cover the row types of tables and views. A role that used one in a table of its own would
-- keep the owner from altering ours.
DO $$
DECLARE
    row_type regtype;
BEGIN
    FOR row_type IN
        SELECT c.reltype
        FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace)
            AND c.relkind IN ('r', 'v')
    LOOP
        EXECUTE format('REVOKE USAGE ON TYPE %s FROM PUBLIC', row_type);
    END LOOP;
END
$$;

-- Responders: the ingest functions and nothing else, not even SELECT.
GRANT EXECUTE ON FUNCTION bagelpay.served_responders (), bagelpay.ingest (json, bytea[], text[], integer) TO bagelpay_ingest;

GRANT SELECT ON bagelpay.settings, bagelpay.products, bagelpay.product_features, bagelpay.events, bagelpay.orders,
    bagelpay.items, bagelpay_internal.all_items, bagelpay_internal.stored_items, bagelpay.subscriptions,
    bagelpay_internal.purchases, bagelpay.payments, bagelpay.trials, bagelpay.cancellations, bagelpay.refunds,
    bagelpay_internal.decisions, bagelpay_internal.subscription_links, bagelpay_internal.changed_orders,
    bagelpay_internal.changed_settings, bagelpay.expected_orders, bagelpay.entitlements, bagelpay.entitlements_test,
    bagelpay.entitled_features, bagelpay.order_checks, bagelpay.zone_evidence, bagelpay.verifications, bagelpay_internal.stored_differences,
    bagelpay.differences, bagelpay.attention, bagelpay.dismissals
TO bagelpay_reader;

-- Readers see no bodies: not dead_letters.body, and nothing of event_bodies.
GRANT SELECT (id, sha256, reason, detail, event_id, order_id, customer_email, signed_timestamp, signature, deliveries, received_at, resolved_at)
ON bagelpay.dead_letters TO bagelpay_reader;

GRANT EXECUTE ON FUNCTION bagelpay.is_entitled (text, text, text, timestamptz),
    bagelpay.entitlement (text, text, text, timestamptz),
    bagelpay.is_user_entitled (text, text, text, timestamptz), bagelpay.has_feature (text, text, text, timestamptz),
    bagelpay.user_has_feature (text, text, text, timestamptz), bagelpay.entitlements_at (timestamptz, text),
    bagelpay.served_responders (), bagelpay_internal.trimmed (text), bagelpay_internal.statement (text, text[]), bagelpay_internal.given_mode (text),
    bagelpay_internal.given_moment (timestamptz, text), bagelpay.utc_plus (timestamptz, interval),
    bagelpay_internal.purchase_window (bagelpay_internal.purchases, bagelpay.settings, interval, text),
    bagelpay_internal.decision_on (bagelpay_internal.all_items, timestamptz),
    bagelpay_internal.has_item (text, text, text, text, text),
    bagelpay_internal.item_mismatches (bagelpay_internal.all_items, bagelpay.expected_orders),
    bagelpay_internal.is_expected (bagelpay_internal.all_items),
    bagelpay_internal.zone_half_hours (bigint, timestamptz, jsonb, text), bagelpay.explain (text, text),
    bagelpay.changes_since (text), bagelpay.entitlement_changes (timestamptz, timestamptz, text),
    bagelpay_internal.clock_moments (timestamptz, timestamptz, text),
    bagelpay_internal.utc_minus (timestamptz, interval, boolean), bagelpay_internal.equal_lengths (interval),
    bagelpay_internal.fold_slot (timestamptz, text), bagelpay_internal.event_rank (text),
    bagelpay.is_user_entitled (bigint, text, text, timestamptz),
    bagelpay.user_has_feature (bigint, text, text, timestamptz), bagelpay.find (bigint, text),
    bagelpay.explain (bigint, text), bagelpay_internal.attention_rows (),
    bagelpay_internal.attention_row (text, text[], timestamptz, text, text, text, text, text, text, text),
    bagelpay_internal.payment_by_provider_order (text, text, text), bagelpay.find (text, text),
    bagelpay_internal.names_between (text, text, integer), bagelpay_internal.items_named (bagelpay_internal.found_name),
    bagelpay_internal.subscription_key (text, text, text, text), bagelpay_internal.listed_time (text, text),
    bagelpay_internal.listed_subscriptions (json, text), bagelpay_internal.access_now (text, text, text, text),
    bagelpay_internal.compare_transactions (text, timestamptz, timestamptz, json, json, boolean),
    bagelpay_internal.compare_subscriptions (text, timestamptz, json, text[], boolean),
    bagelpay_internal.compare (text, timestamptz, timestamptz, json, json, boolean),
    bagelpay_internal.difference_id (bagelpay_internal.difference),
    bagelpay_internal.difference_detail (bagelpay_internal.difference),
    bagelpay_internal.difference_remedy (bagelpay_internal.difference), bagelpay_internal.open_differences (),
    bagelpay_internal.verify (text, timestamptz, timestamptz, json, json, boolean)
TO bagelpay_reader;

GRANT EXECUTE ON FUNCTION bagelpay_internal.store_verification (json) TO bagelpay_verify;

GRANT EXECUTE ON FUNCTION bagelpay.expect_order (text, text, text, numeric, text, text),
    bagelpay.grant (text, text, text, timestamptz, text, text), bagelpay.adopt (json, text), bagelpay.revoke (text, text, text, text, text),
    bagelpay.clear (text, text, text, text, text), bagelpay.dispute_won (text, text, text, text),
    bagelpay.dismiss (text, text), bagelpay.expect_order (bigint, text, text, numeric, text, text),
    bagelpay.expect_order (text, text, text, double precision, text, text),
    bagelpay.expect_order (bigint, text, text, double precision, text, text),
    bagelpay.expect_order (text, text, text, text, text, text), bagelpay.expect_order (bigint, text, text, text, text, text),
    bagelpay.grant (bigint, text, text, timestamptz, text, text), bagelpay.revoke (bigint, text, text, text, text),
    bagelpay.clear (bigint, text, text, text, text)
TO bagelpay_app;

GRANT INSERT, UPDATE, DELETE ON bagelpay.products, bagelpay.product_features TO bagelpay_app;

COMMIT;
