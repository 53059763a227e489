-- Revert bagelpay:arguments from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.expect_order (bigint, text, text, text, text, text);

DROP FUNCTION bagelpay.expect_order (text, text, text, text, text, text);

DROP FUNCTION bagelpay.expect_order (bigint, text, text, double precision, text, text);

DROP FUNCTION bagelpay.expect_order (text, text, text, double precision, text, text);

DROP FUNCTION bagelpay.expect_order (bigint, text, text, numeric, text, text);

DROP FUNCTION bagelpay.clear (bigint, text, text, text, text);

DROP FUNCTION bagelpay.revoke (bigint, text, text, text, text);

DROP FUNCTION bagelpay.grant (bigint, text, text, timestamptz, text, text);

DROP FUNCTION bagelpay.rebuild (bigint, text);

DROP FUNCTION bagelpay.explain (bigint, text);

DROP FUNCTION bagelpay.find (bigint, text);

DROP FUNCTION bagelpay.user_has_feature (bigint, text, text, timestamptz);

DROP FUNCTION bagelpay.is_user_entitled (bigint, text, text, timestamptz);

COMMIT;
