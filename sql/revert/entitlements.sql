-- Revert bagelpay:entitlements from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.is_user_entitled;

DROP FUNCTION bagelpay.entitlement;

DROP FUNCTION bagelpay.is_entitled;

DROP VIEW bagelpay.entitlements_test;

DROP VIEW bagelpay.entitlements;

DROP FUNCTION bagelpay.entitlements_at;

DROP TYPE bagelpay.entitlement;

DROP FUNCTION bagelpay_internal.decision_on;

DROP FUNCTION bagelpay_internal.purchase_window;

COMMIT;
