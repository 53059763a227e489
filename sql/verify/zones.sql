-- Verify bagelpay:zones on pg

BEGIN;

SELECT event_type, day, half_hours, events FROM bagelpay.zone_evidence WHERE FALSE;

SELECT 1 / (bagelpay_internal.local_time ('{"a": "2025-01-01 08:00:00"}', 'a', 'Asia/Shanghai') = '2025-01-01 00:00:00+00')::integer;

ROLLBACK;
