-- Revert bagelpay:entitlements from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.is_user_entitled;

DROP FUNCTION bagelpay.is_entitled;

DROP VIEW bagelpay.entitlements_test;

DROP VIEW bagelpay.entitlements;

DROP FUNCTION bagelpay.entitlements_at;

DROP TYPE bagelpay.entitlement;

DROP FUNCTION bagelpay.decision_on;

DROP FUNCTION bagelpay.purchase_window;

COMMIT;
