-- Verify bagelpay:settings on pg

BEGIN;

SELECT 1 / (count(*) = 1)::integer
FROM (
    SELECT order_key, user_key, provider_timezone, grace, default_period, revoke_on_dispute, unknown_refund, on_cancel,
        require_expected_order, notify
    FROM bagelpay.settings) AS s;

ROLLBACK;
