-- On a reader, in a database with the schema of the primary's version: empties the state and follows the primary. Run it
-- as a superuser:
--
--     psql --set=ON_ERROR_STOP=1 --set=primary='host=… dbname=shop user=bagelhook_replica' --file=subscription.sql shop
--
-- Until the first copy is complete, the reader says that nobody is entitled. The subscription, and with it the slot on the
-- primary, has the name of the variable "name", by default bagelpay_reader: each reader needs one of its own.

\if :{?name}
\else
\set name bagelpay_reader
\endif

-- The triggers of the tables are for those who write them.
SET session_replication_role = replica;

TRUNCATE bagelpay.settings, bagelpay.products, bagelpay.product_features, bagelpay.expected_orders, bagelpay.orders,
    bagelpay.cancellations, bagelpay.refunds, bagelpay_internal.purchases, bagelpay_internal.stored_items,
    bagelpay_internal.decisions, bagelpay_internal.subscription_links;

CREATE SUBSCRIPTION :"name" CONNECTION :'primary' PUBLICATION bagelpay_state;
