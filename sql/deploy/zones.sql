-- Deploy bagelpay:zones to pg
--
-- Times that the provider sends without a zone: what they mean, and signs that they mean
-- something else.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- A zone-less time of a body, read in a zone; NULL where there is none. (STABLE, like the
-- cast in it, or the planner would not put the body in the place of each call.)
CREATE FUNCTION bagelpay.local_time (local_times jsonb, field text, zone text)
    RETURNS timestamptz
    LANGUAGE sql
    STABLE PARALLEL SAFE
    AS $$
    SELECT (local_times ->> field)::timestamp AT TIME ZONE zone
$$;

-- How many half hours a created_at that came without zone lies ahead of its delivery's
-- signed timestamp (16: it was in UTC+8 and was read in UTC), if that is a whole number
-- other than zero, of at most 14 hours, to within a minute: a sign of a wrong provider_timezone,
-- or of a late delivery. Otherwise NULL. (In PL/pgSQL, which plans it once a session; an SQL
-- function that is not put in the place of its call is planned for every statement.)
CREATE FUNCTION bagelpay.zone_half_hours (signed_timestamp bigint, occurred_at timestamptz, local_times jsonb, created_at_raw text)
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

-- The same as a warning of the event.
CREATE FUNCTION bagelpay.zone_warning (half_hours integer)
    RETURNS text
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT 'created_at: ' || half_hours || ' half hours ahead of the signed timestamp: another time zone, or delivered late'
$$;

CREATE VIEW bagelpay.zone_evidence AS
SELECT e.event_type, (e.occurred_at AT TIME ZONE 'UTC')::date AS day, evidence.half_hours, count(*) AS events
FROM bagelpay.events AS e
CROSS JOIN LATERAL (SELECT bagelpay.zone_half_hours (e.signed_timestamp, e.occurred_at, e.local_times, e.created_at_raw)) AS evidence (half_hours)
WHERE evidence.half_hours IS NOT NULL
GROUP BY e.event_type, day, evidence.half_hours;

COMMENT ON VIEW bagelpay.zone_evidence IS 'Events whose created_at contradicts provider_timezone, by how many half hours';

COMMIT;
