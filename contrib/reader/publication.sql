-- On the primary: publishes what entitlement follows from, but no bodies and no events, for reader databases. Run it as
-- a superuser, or as a role that owns the database and is a member of bagelpay_owner:
--
--     psql --set=ON_ERROR_STOP=1 --file=publication.sql shop
--
-- wal_level must be logical. After a migration, run it again: it drops the publication and creates it anew, which
-- subscriptions do not notice.

BEGIN;

DROP PUBLICATION IF EXISTS bagelpay_state;

CREATE PUBLICATION bagelpay_state FOR TABLE
    bagelpay.settings, bagelpay.products, bagelpay.product_features, bagelpay.expected_orders, bagelpay.orders,
    bagelpay.cancellations, bagelpay.refunds, bagelpay_internal.purchases, bagelpay_internal.stored_items,
    bagelpay_internal.decisions, bagelpay_internal.subscription_links;

COMMIT;
