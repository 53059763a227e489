-- Revert bagelpay:clock from pg

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay.entitlement_changes;

DROP TYPE bagelpay.entitlement_change;

DROP FUNCTION bagelpay.clock_moments;

DROP FUNCTION bagelpay.equal_lengths;

DROP FUNCTION bagelpay.utc_minus;

DROP INDEX bagelpay.decisions_by_end, bagelpay.decisions_by_time, bagelpay.purchases_by_cut_end, bagelpay.purchases_by_cut,
    bagelpay.purchases_by_replacement, bagelpay.purchases_by_length, bagelpay.purchases_by_trial_end,
    bagelpay.purchases_by_period_end, bagelpay.purchases_by_start;

COMMIT;
