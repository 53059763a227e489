-- Revert bagelpay:explain from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.changes_since;

DROP FUNCTION bagelpay_internal.given_cursor;

DROP TRIGGER expected_orders_note_change ON bagelpay.expected_orders;

DROP TRIGGER product_features_note_change ON bagelpay.product_features;

DROP TRIGGER products_note_change ON bagelpay.products;

DROP TRIGGER settings_note_change ON bagelpay.settings;

DROP FUNCTION bagelpay_internal.note_change;

DROP FUNCTION bagelpay.explain;

DROP TYPE bagelpay.explanation;

COMMIT;
