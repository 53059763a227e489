-- Deploy bagelpay:explain to pg
--
-- The history of one order, and the changes to all of them.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

CREATE TYPE bagelpay.explanation AS (
    "position" bigint,
    event_id text,
    event_type text,
    occurred_at timestamptz,
    received_at timestamptz,
    late boolean,
    product_id text,
    customer_id text,
    order_status text,
    subscription_status text,
    note text,
    mode text,
    order_id text
);

COMMENT ON TYPE bagelpay.explanation IS 'An event of an order, and what it changed';

-- Returns the events of an order in the sequence of the fold, with the statuses after each, and in note its changes and
-- warnings. late is TRUE if an event that sorts behind it was received before it. No row if there is no such order.
--
-- Raises invalid_parameter_value if order_id is NULL, empty or too long, or mode is neither test nor live. Reads stored
-- effects only: it costs little for large orders, works on a standby, and waits for no writer.
CREATE FUNCTION bagelpay.explain (order_id text, mode text DEFAULT 'live')
    RETURNS SETOF bagelpay.explanation
    LANGUAGE sql
    STABLE
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    AS $$
    SELECT
        row_number() OVER folded,
        e.event_id,
        e.event_type,
        e.occurred_at,
        e.received_at,
        coalesce(min(e.received_at) OVER behind < e.received_at, FALSE),
        e.product_id,
        e.customer_id,
        (e.effect).order_status,
        (e.effect).subscription_status,
        concat_ws('; ',
            CASE WHEN (e.effect).order_status <> lag((e.effect).order_status, 1, 'pending') OVER folded
                THEN format('order %s → %s', lag((e.effect).order_status, 1, 'pending') OVER folded, (e.effect).order_status) END,
            'subscription ' || (e.effect).subscription_status,
            CASE WHEN (e.effect).payment_status <> coalesce(lag((e.effect).payment_status) OVER of_payment, '')
                THEN format('payment %s: %s', (e.effect).payment_id, concat_ws(' → ', lag((e.effect).payment_status) OVER of_payment, (e.effect).payment_status)) END,
            CASE e.event_type
                WHEN 'operator.grant'
                THEN 'granted ' || coalesce('until ' || to_char(e.granted_until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'), 'without end')
                WHEN 'operator.revoke' THEN 'revoked'
                WHEN 'operator.clear' THEN 'cleared'
                WHEN 'operator.dispute_won' THEN 'dispute won'
            END,
            (e.effect).note,
            CASE WHEN e.key_source = 'linked' THEN 'linked to this order by its payment' END,
            nullif(array_to_string(e.warnings, '; '), ''),
            e.note),
        e.mode::text,
        e.order_id
    FROM bagelpay.events AS e
    WHERE e.mode = bagelpay_internal.given_mode (explain.mode) COLLATE "C"
        AND e.order_id = bagelpay_internal.given_order_id (explain.order_id) COLLATE "C"
    WINDOW folded AS (ORDER BY e.fold_slot, e.occurred_at, e.event_id),
        of_payment AS (PARTITION BY (e.effect).payment_id ORDER BY e.fold_slot, e.occurred_at, e.event_id),
        -- From the newest on, so that the minimum is a running one.
        behind AS (ORDER BY e.fold_slot DESC, e.occurred_at DESC, e.event_id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ORDER BY e.fold_slot, e.occurred_at, e.event_id
$$;

COMMENT ON FUNCTION bagelpay.explain IS 'The events of an order in the sequence of the fold, and the changes by each';

-- Returns the transaction id of a cursor, -1 for the empty text. Raises invalid_parameter_value if it is no cursor, or
-- ahead of this server's transactions: another server gave it, from which the database was dumped and restored.
CREATE FUNCTION bagelpay_internal.given_cursor (cursor text)
    RETURNS bigint
    LANGUAGE plpgsql
    STABLE
    AS $$
BEGIN
    IF cursor IS NULL OR cursor COLLATE "C" !~ '^[0-9]{0,18}$' THEN
        RAISE EXCEPTION 'cursor: must be the empty text, or a cursor that changes_since() gave, not %', coalesce(quote_literal(cursor), 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF nullif(cursor, '')::bigint >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
        RAISE EXCEPTION 'cursor: % is not of this server, begin again with the empty text', cursor
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN coalesce(nullif(cursor, '')::bigint, -1);
END
$$;

-- Stores that settings, products or expected orders changed, and notifies listeners.
CREATE FUNCTION bagelpay_internal.note_change ()
    RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    INSERT INTO bagelpay_internal.changed_settings DEFAULT VALUES
    ON CONFLICT (stored_xid) DO NOTHING;
    -- This row replaces earlier ones.
    DELETE FROM bagelpay_internal.changed_settings AS s
    WHERE s.stored_xid IN (
        SELECT n.stored_xid
        FROM bagelpay_internal.changed_settings AS n
        WHERE n.stored_xid < pg_current_xact_id()::text::bigint
        FOR UPDATE SKIP LOCKED);
    PERFORM bagelpay_internal.notify_orders (TRUE);
    RETURN NULL;
END
$$;

CREATE TRIGGER settings_note_change
    AFTER UPDATE ON bagelpay.settings
    FOR EACH STATEMENT
    EXECUTE FUNCTION bagelpay_internal.note_change ();

CREATE TRIGGER products_note_change
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON bagelpay.products
    FOR EACH STATEMENT
    EXECUTE FUNCTION bagelpay_internal.note_change ();

CREATE TRIGGER product_features_note_change
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON bagelpay.product_features
    FOR EACH STATEMENT
    EXECUTE FUNCTION bagelpay_internal.note_change ();

CREATE TRIGGER expected_orders_note_change
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON bagelpay.expected_orders
    FOR EACH STATEMENT
    EXECUTE FUNCTION bagelpay_internal.note_change ();

-- Returns the orders that changed since a cursor ('' for the beginning), each once. A row without an order means that
-- settings, products or expected orders changed, which may change any entitlement. Pass next time the cursor of the
-- last row that you processed.
--
-- No change is skipped: a row is returned only once every transaction that began before its own has ended. So a
-- transaction that stays open delays all later changes. After an interruption some rows may be returned again. Orders
-- from a dump whose transactions are ahead of this server's are returned whenever cursor is ''.
--
-- Raises invalid_parameter_value if cursor is not one of this server's. Reads only; waits for no writer.
CREATE FUNCTION bagelpay.changes_since (cursor text)
    RETURNS TABLE (cursor text, mode text, order_id text, changed_at timestamptz)
    LANGUAGE sql
    STABLE
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
    WITH changes AS (
        SELECT c.mode, c.order_id, max(c.stored_xid) AS xid, max(c.changed_at) AS changed_at
        FROM (
            SELECT e.mode, e.order_id, e.stored_xid, e.received_at AS changed_at
            FROM bagelpay.events AS e
            WHERE e.stored_xid > bagelpay_internal.given_cursor ($1)
                AND e.stored_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
                AND e.order_id IS NOT NULL
            UNION ALL
            SELECT e.mode, e.order_id, 0, e.received_at
            FROM bagelpay.events AS e
            WHERE bagelpay_internal.given_cursor ($1) < 0
                AND e.stored_xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
                AND e.order_id IS NOT NULL
            UNION ALL
            SELECT m.mode, m.order_id, m.stored_xid, m.changed_at
            FROM bagelpay_internal.changed_orders AS m
            WHERE m.stored_xid > bagelpay_internal.given_cursor ($1)
                AND m.stored_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
            UNION ALL
            SELECT NULL, NULL, s.stored_xid, s.changed_at
            FROM bagelpay_internal.changed_settings AS s
            WHERE s.stored_xid > bagelpay_internal.given_cursor ($1)
                AND s.stored_xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint) AS c
        GROUP BY c.mode, c.order_id
    )
    -- Only the last row of a transaction has its id as cursor; the others have the id before it. Stopping among them
    -- repeats rows, but skips none.
    SELECT coalesce(nullif((CASE WHEN lead(c.xid) OVER in_order = c.xid THEN c.xid - 1 ELSE c.xid END)::text, '-1'), ''), c.mode, c.order_id, c.changed_at
    FROM changes AS c
    WINDOW in_order AS (ORDER BY c.xid, c.mode, c.order_id)
    ORDER BY c.xid, c.mode, c.order_id
$$;

COMMENT ON FUNCTION bagelpay.changes_since IS 'The orders that changed since a cursor';

COMMIT;
