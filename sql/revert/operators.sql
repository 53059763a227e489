-- Revert bagelpay:operators from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.dispute_won;

DROP FUNCTION bagelpay.clear;

DROP FUNCTION bagelpay.revoke;

DROP FUNCTION bagelpay.adopt;

DROP FUNCTION bagelpay.grant;

DROP FUNCTION bagelpay_internal.decide;

DROP FUNCTION bagelpay_internal.store_decision;

DROP FUNCTION bagelpay.expect_order;

COMMIT;
