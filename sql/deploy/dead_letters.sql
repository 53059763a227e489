-- Deploy bagelpay:dead_letters to pg
--
-- What becomes of authentic bodies that were no valid event.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Marks a dead letter as resolved, if the event of this id has its body: after the body was
-- ingested again. Returns whether it is resolved. Blocks while somebody else changes the letter.
CREATE FUNCTION bagelpay.resolve_dead_letter (id bigint, event_id text)
    RETURNS boolean
    LANGUAGE sql
    SET search_path = pg_catalog, pg_temp
    AS $$
    UPDATE bagelpay.dead_letters AS d
    SET resolved_at = now()
    WHERE d.id = resolve_dead_letter.id
        AND d.resolved_at IS NULL
        AND EXISTS (
            SELECT
            FROM bagelpay.events AS e
            WHERE e.event_id = resolve_dead_letter.event_id COLLATE "C" AND e.body_sha256 = d.sha256);
    SELECT EXISTS (SELECT FROM bagelpay.dead_letters AS d WHERE d.id = resolve_dead_letter.id AND d.resolved_at IS NOT NULL);
$$;

COMMENT ON FUNCTION bagelpay.resolve_dead_letter IS 'Marks a dead letter as resolved if the event of this id has its body';

COMMIT;
