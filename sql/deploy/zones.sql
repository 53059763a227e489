-- Deploy bagelpay:zones to pg
--
-- Times that the provider sends without a zone: how they are read, and signs that this is wrong.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns a zone-less time of an event, read in a zone; NULL if the field has none. (STABLE, like the cast in it, so
-- that the planner inlines it.)
CREATE FUNCTION bagelpay_internal.local_time (local_times jsonb, field text, zone text)
    RETURNS timestamptz
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    SELECT (local_times ->> field)::timestamp AT TIME ZONE zone
$$;

-- Returns how many half hours a created_at without zone lies ahead of its delivery's signed timestamp (Unix time in
-- seconds): 16 if it was in UTC+8 and was read in UTC. NULL if that is zero, more than 14 hours, or not a whole number
-- to within a minute. Otherwise provider_timezone may be wrong, or the delivery late. Reads no table. (In PL/pgSQL,
-- which caches plans; an SQL function that cannot be inlined is planned for every statement.)
CREATE FUNCTION bagelpay_internal.zone_half_hours (signed_timestamp bigint, occurred_at timestamptz, local_times jsonb, created_at_raw text)
    RETURNS integer
    LANGUAGE plpgsql
    IMMUTABLE PARALLEL SAFE
    AS $$
DECLARE
    ahead numeric := extract(epoch FROM occurred_at) - signed_timestamp;
    half_hours integer;
BEGIN
    -- Most deliveries come within minutes, or so late that the zone explains nothing.
    IF ahead IS NULL OR abs(ahead) < 1740 OR abs(ahead) > 50460 OR (local_times ->> 'occurred_at' = created_at_raw) IS NOT TRUE THEN
        RETURN NULL;
    END IF;
    half_hours := round(ahead / 1800);
    RETURN CASE WHEN abs(ahead - 1800 * half_hours) <= 60 THEN half_hours END;
END
$$;

-- Returns that number as a warning of the event; NULL for NULL.
CREATE FUNCTION bagelpay_internal.zone_warning (half_hours integer)
    RETURNS text
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT 'created_at: ' || half_hours || ' half hours ahead of the signed timestamp: another time zone, or delivered late'
$$;

CREATE VIEW bagelpay.zone_evidence AS
SELECT e.event_type, (e.occurred_at AT TIME ZONE 'UTC')::date AS day, evidence.half_hours, count(*) AS events
FROM bagelpay.events AS e
CROSS JOIN LATERAL (SELECT bagelpay_internal.zone_half_hours (e.signed_timestamp, e.occurred_at, e.local_times, e.created_at_raw)) AS evidence (half_hours)
WHERE evidence.half_hours IS NOT NULL
GROUP BY e.event_type, day, evidence.half_hours;

COMMENT ON VIEW bagelpay.zone_evidence IS 'Events whose created_at contradicts provider_timezone, by half hours ahead';

COMMIT;
