-- On a reader, in a database with the schema of the primary's version: empties the state and follows the primary. Run it
-- as a superuser:
--
--     psql --set=ON_ERROR_STOP=1 --set=primary='host=… dbname=shop user=bagelhook_replica passfile=…' \
--         --file=subscription.sql shop
--
-- It returns when the first copy of all tables is complete. Until then, nobody but superusers may ask ("permission denied
-- for schema bagelpay"): tables are copied one by one, and an answer from some of them could entitle a customer whose access
-- was revoked. If it was interrupted, run "DROP SUBSCRIPTION bagelpay_reader", then this again.
--
-- The subscription, and with it the slot on the primary, has the name of the variable "name", by default bagelpay_reader:
-- each reader needs one of its own. With create_slot=false, the slot must be there already.

\if :{?name}
\else
\set name bagelpay_reader
\endif
\if :{?create_slot}
\else
\set create_slot true
\endif

REVOKE USAGE ON SCHEMA bagelpay FROM bagelpay_reader;

-- The triggers of the tables are for those who write them.
SET session_replication_role = replica;

TRUNCATE bagelpay.settings, bagelpay.products, bagelpay.product_features, bagelpay.expected_orders, bagelpay.orders,
    bagelpay.cancellations, bagelpay.refunds, bagelpay_internal.purchases, bagelpay_internal.stored_items,
    bagelpay_internal.decisions, bagelpay_internal.subscription_links;

CREATE SUBSCRIPTION :"name" CONNECTION :'primary' PUBLICATION bagelpay_state WITH (create_slot = :create_slot);

SELECT pg_catalog.set_config('bagelpay.subscription', :'name', FALSE) \g /dev/null

DO $$
BEGIN
    -- r: copied, and as far as all the others.
    WHILE EXISTS (
        SELECT
        FROM pg_catalog.pg_subscription_rel AS r
        JOIN pg_catalog.pg_subscription AS s ON s.oid = r.srsubid
        WHERE s.subname = pg_catalog.current_setting('bagelpay.subscription') AND r.srsubstate <> 'r')
    LOOP
        COMMIT;
        PERFORM pg_catalog.pg_sleep(0.2);
    END LOOP;
END
$$;

-- Autovacuum never analyses the settings, a table of one row; without statistics, plans would expect hundreds of rows.
ANALYZE bagelpay.settings, bagelpay.products, bagelpay.product_features, bagelpay.expected_orders, bagelpay.orders,
    bagelpay.cancellations, bagelpay.refunds, bagelpay_internal.purchases, bagelpay_internal.stored_items,
    bagelpay_internal.decisions, bagelpay_internal.subscription_links;

GRANT USAGE ON SCHEMA bagelpay TO bagelpay_reader;
