-- Revert bagelpay:console_orders from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.console_search (text, integer);

DROP FUNCTION bagelpay.console_order (text, text);

DROP FUNCTION bagelpay.console_spans (text, text);

DROP FUNCTION bagelpay.console_verdict (text, text);

DROP FUNCTION bagelpay.console_trial_until (bagelpay.subscriptions, bagelpay.settings);

DROP FUNCTION bagelpay.console_paid_until (bagelpay.stored_payments, bagelpay.subscriptions, bagelpay.settings);

DROP FUNCTION bagelpay.console_counts (bagelpay.stored_payments, bagelpay.settings);

COMMIT;
