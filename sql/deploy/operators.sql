-- Deploy bagelpay:operators to pg
--
-- What people decide: events of their own, folded like the others, so that a decision
-- survives whatever arrives late and every rebuild.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Stores an operator event and folds its order. Blocks while another transaction holds
-- the order; the event's time is taken with the lock held, so that of two decisions the
-- one that waited is the later. until 'infinity' is no end, NULL. Raises invalid_parameter_value
-- for a wrong order or mode, and for an until that others could not read as a moment.
CREATE FUNCTION bagelpay.decide (
    decision text,
    order_id text,
    customer_email text,
    product_id text,
    until timestamptz,
    note text,
    mode text)
RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    the_mode text COLLATE "C" := bagelpay.given_mode (decide.mode);
    the_order text COLLATE "C" := bagelpay.given_order_id (decide.order_id);
    the_source text := coalesce(substring(the_order FROM '^(customer|order|payment):'), 'metadata');
    the_end timestamptz := nullif(decide.until, 'infinity');
    e bagelpay.events;
BEGIN
    IF the_end < '2000-01-01 00:00:00+00' OR the_end >= '10000-01-01 00:00:00+00' THEN
        RAISE EXCEPTION 'until: must be in the years 2000 to 9999, or NULL for without end, not %', the_end
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM bagelpay.lock_orders (ARRAY[ROW (the_mode, the_order, NULL, NULL, NULL)::bagelpay.fold_key]);
    INSERT INTO bagelpay.events (event_id, event_type, mode, occurred_at, order_id, key_source, outcome,
        customer_email, product_id, granted_until, note, unknown_refund)
    VALUES ('operator:' || gen_random_uuid(), 'operator.' || decide.decision, the_mode, clock_timestamp(), the_order,
        the_source, 'applied',
        nullif(bagelpay.trimmed (lower(decide.customer_email COLLATE "C")), ''),
        nullif(bagelpay.trimmed (decide.product_id COLLATE "C"), ''),
        the_end, decide.note, (SELECT setting.unknown_refund FROM bagelpay.settings AS setting))
    RETURNING * INTO e;
    PERFORM bagelpay.fold (ARRAY[ROW (the_mode, the_order, e.occurred_at, e.rank, e.event_id)::bagelpay.fold_key], TRUE);
    NOTIFY bagelpay_orders;
END
$$;

COMMENT ON FUNCTION bagelpay.decide IS 'Stores an operator event and folds its order';

-- Entitles to an order until a moment, or, with NULL or 'infinity', until it is revoked or cleared.
-- E-mail and product fill only what no other event says.
CREATE FUNCTION bagelpay.grant (
    order_id text,
    customer_email text DEFAULT NULL,
    product_id text DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    note text DEFAULT NULL,
    mode text DEFAULT 'live')
RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT bagelpay.decide ('grant', $1, $2, $3, $4, $5, $6)
$$;

COMMENT ON FUNCTION bagelpay.grant IS 'Entitles to an order, whatever its events say';

-- Ends the entitlement to an order, whatever its events say.
CREATE FUNCTION bagelpay.revoke (order_id text, note text DEFAULT NULL, mode text DEFAULT 'live')
    RETURNS void
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT bagelpay.decide ('revoke', $1, NULL, NULL, NULL, $2, $3)
$$;

COMMENT ON FUNCTION bagelpay.revoke IS 'Ends the entitlement to an order, whatever its events say';

-- Takes back the last grant or revocation of an order: its events decide again.
CREATE FUNCTION bagelpay.clear (order_id text, note text DEFAULT NULL, mode text DEFAULT 'live')
    RETURNS void
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT bagelpay.decide ('clear', $1, NULL, NULL, NULL, $2, $3)
$$;

COMMENT ON FUNCTION bagelpay.clear IS 'Lets the events of an order decide again';

COMMIT;
