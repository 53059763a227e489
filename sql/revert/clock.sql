-- Revert bagelpay:clock from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.entitlement_changes;

DROP TYPE bagelpay.entitlement_change;

DROP FUNCTION bagelpay_internal.clock_moments;

DROP FUNCTION bagelpay_internal.equal_lengths;

DROP FUNCTION bagelpay_internal.utc_minus;

DROP INDEX bagelpay_internal.decisions_by_end, bagelpay_internal.decisions_by_time, bagelpay_internal.purchases_by_cut_end, bagelpay_internal.purchases_by_cut,
    bagelpay_internal.purchases_by_replacement, bagelpay_internal.purchases_by_length, bagelpay_internal.purchases_by_trial_end,
    bagelpay_internal.purchases_by_period_end, bagelpay_internal.purchases_by_start;

COMMIT;
