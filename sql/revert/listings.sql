-- Revert bagelpay:listings from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay_internal.difference_remedy;

DROP FUNCTION bagelpay_internal.difference_detail;

DROP FUNCTION bagelpay_internal.difference_id;

DROP FUNCTION bagelpay_internal.compare;

DROP FUNCTION bagelpay_internal.compare_subscriptions;

DROP FUNCTION bagelpay_internal.compare_transactions;

DROP FUNCTION bagelpay_internal.listed_subscriptions;

DROP FUNCTION bagelpay_internal.access_now;

DROP FUNCTION bagelpay_internal.listed_time;

DROP TYPE bagelpay_internal.difference;

COMMIT;
