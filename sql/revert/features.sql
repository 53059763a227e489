-- Revert bagelpay:features from pg

BEGIN;

\ir keep_events.psql

DROP VIEW bagelpay.entitled_features;

DROP FUNCTION bagelpay.user_has_feature;

DROP FUNCTION bagelpay.has_feature;

COMMIT;
