-- Deploy bagelpay:console_orders to pg
--
-- The console's views of orders and items. entitlements_at() decides who is entitled and purchase_window() when; the
-- functions here add the facts that explain it.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns the window of a stored purchase: bagelpay_internal.purchase_window() with its arguments from other tables.
CREATE FUNCTION bagelpay_internal.console_window (p bagelpay_internal.purchases, setting bagelpay.settings)
    RETURNS TABLE (starts_at timestamptz, ends_at timestamptz, is_cut boolean)
    LANGUAGE sql
    STABLE
    AS $$
    SELECT w.*
    FROM (SELECT) AS one
    LEFT JOIN bagelpay.products AS n ON n.product_id = p.product_id
    LEFT JOIN bagelpay_internal.purchases AS b ON b.order_id = p.order_id AND b.mode = p.mode AND b.name = p.buyer AND NOT b.is_trial
    CROSS JOIN LATERAL bagelpay_internal.purchase_window (p, setting, n.period, b.status) AS w
$$;

COMMENT ON FUNCTION bagelpay_internal.console_window IS 'The window of time that a stored purchase opens';

-- Returns a row of entitlements_at(now()) as JSON, with the facts that explain its reason:
--
-- item                      the row of the item; all NULL for an order without items
-- access                    the spans in which it gives access, as known now: [from, to]; to is NULL without end
-- decisions                 the operators' decisions that cover it, in their order: decision, at, until
-- paid_at                   when it was first paid for
-- paid_until, trial_until   the latest end of its payments and trials, without grace and cancellations
-- taken_back_at             when the payment that the reason is about was refunded or disputed
-- mismatches                if it is unconfirmed: its differences from the expected order; NULL: none was expected
CREATE FUNCTION bagelpay_internal.console_item (e bagelpay.entitlement)
    RETURNS jsonb
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
DECLARE
    i bagelpay_internal.all_items;
    setting bagelpay.settings;
    uncut bagelpay.settings;
BEGIN
    SELECT * INTO i
    FROM bagelpay_internal.all_items AS n
    WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.customer_id = coalesce(e.customer_id, '')
        AND n.user_id = coalesce(e.user_id, '') AND n.product_id = coalesce(e.product_id, '');
    SELECT * INTO setting FROM bagelpay.settings;
    uncut := jsonb_populate_record(setting, '{"grace": "0", "on_cancel": "keep_paid_time"}');
    RETURN (
        SELECT to_jsonb(e) - 'periods' || jsonb_build_object(
            'item', to_jsonb(i) || jsonb_build_object('billing_amount', i.billing_amount::text),
            'access', (SELECT coalesce(jsonb_agg(jsonb_build_array(lower(r), upper(r)) ORDER BY r), '[]') FROM unnest(decided.access) AS r),
            'decisions', decided.decisions,
            'paid_at', bought.paid_at, 'paid_until', bought.paid_until, 'trial_until', bought.trial_until,
            'taken_back_at', CASE WHEN NOT e.entitled AND e.reason IN ('refunded', 'disputed') THEN (
                -- A won dispute may be followed by another one; a full refund is final.
                SELECT CASE e.reason WHEN 'disputed' THEN max(n.occurred_at) ELSE min(n.occurred_at) END
                FROM bagelpay.events AS n
                WHERE n.order_id = e.order_id AND n.mode = e.mode AND n.fold_slot & 15 IN (2, 6)
                    AND (n.effect).payment_id = bought.latest_name AND (n.effect).payment_status = e.reason) END,
            'mismatches', CASE WHEN e.reason = 'unconfirmed' THEN (
                SELECT to_jsonb(CASE WHEN x.mode = e.mode THEN bagelpay_internal.item_mismatches (i, x) ELSE '{mode}' END)
                FROM bagelpay.expected_orders AS x
                WHERE x.order_id = e.order_id
                ORDER BY x.mode = e.mode DESC
                LIMIT 1) END)
        FROM (
            SELECT min(p.began_at) FILTER (WHERE NOT p.is_trial) AS paid_at,
                max(w.ends_at) FILTER (WHERE NOT p.is_trial AND (e.reason IN ('canceling', 'canceled') OR NOT w.is_cut)) AS paid_until,
                max(w.ends_at) FILTER (WHERE p.is_trial) AS trial_until,
                (array_agg(p.name ORDER BY p.began_at DESC, p.name DESC) FILTER (WHERE NOT p.is_trial))[1] AS latest_name
            FROM bagelpay_internal.purchases AS p
            LEFT JOIN LATERAL bagelpay_internal.console_window (p, uncut) AS w ON e.kind = 'subscription'
            WHERE p.item_key = i.item_key AND p.order_id = e.order_id AND p.mode = e.mode) AS bought
        -- The decision can only change at these moments. It overrides the paid time.
        CROSS JOIN LATERAL (
            SELECT
                coalesce(jsonb_agg(jsonb_build_object('decision', d.decision, 'at', d.occurred_at, 'until', d.granted_until)
                    ORDER BY d.occurred_at) FILTER (WHERE d.occurred_at = lower(m.span)), '[]') AS decisions,
                coalesce(range_agg(m.span) FILTER (WHERE d.decision = 'grant'), '{}')
                    + (CASE WHEN setting.require_expected_order AND NOT bagelpay_internal.is_expected (i) THEN '{}' ELSE e.periods END
                        - coalesce(range_agg(m.span) FILTER (WHERE d.decision = 'revoke'), '{}')) AS access
            FROM (
                SELECT tstzrange(t.at, lead(t.at) OVER (ORDER BY t.at)) AS span
                FROM (
                    SELECT DISTINCT v.at
                    FROM bagelpay_internal.decisions AS n
                    CROSS JOIN LATERAL (VALUES (n.occurred_at), (n.granted_until)) AS v (at)
                    WHERE n.order_id = e.order_id AND n.mode = e.mode AND v.at IS NOT NULL) AS t) AS m
            CROSS JOIN LATERAL bagelpay_internal.decision_on (i, lower(m.span)) AS d) AS decided);
END
$$;

COMMENT ON FUNCTION bagelpay_internal.console_item IS 'The entitlement of an item now, with the facts that explain its reason';

-- Disputes are rare, and looked for once a purchase.
CREATE INDEX events_disputed ON bagelpay.events (order_id, mode, fold_slot)
WHERE fold_slot & 15 = 2;

-- Returns a purchase as JSON, amounts as text, with more about it:
--
-- counts        TRUE if it opens a window now
-- until         the end of its window, or if it does not count, of the window that it would open
-- disputed_at   when its latest dispute was opened, won or not
CREATE FUNCTION bagelpay_internal.console_purchase (p bagelpay_internal.purchases, setting bagelpay.settings)
    RETURNS jsonb
    LANGUAGE sql
    STABLE
    AS $$
    SELECT to_jsonb(p) || jsonb_build_object(
        'amount', p.amount::text, 'tax_amount', p.tax_amount::text, 'refunded_amount', p.refunded_amount::text,
        'counts', EXISTS (SELECT FROM bagelpay_internal.console_window (p, setting)),
        'until', (SELECT w.ends_at FROM bagelpay_internal.console_window (jsonb_populate_record(p, '{"status": "paid"}'), setting) AS w),
        'disputed_at', (
            SELECT e.occurred_at
            FROM bagelpay.events AS e
            WHERE e.order_id = p.order_id AND e.mode = p.mode AND NOT p.is_trial AND p.began_slot IS NOT NULL AND e.fold_slot & 15 = 2 AND (e.effect).payment_id = p.name
                AND (e.effect).payment_status = 'disputed'
            ORDER BY e.fold_slot DESC
            LIMIT 1))
$$;

COMMENT ON FUNCTION bagelpay_internal.console_purchase IS 'A purchase with its window and its dispute, as JSON for the console';

-- Returns one order: its row, its items (at most 100), purchases, refunds and cancellations (the last 500 of each),
-- events (the last 200), and its row of order_checks. NULL if there is no such order.
CREATE FUNCTION bagelpay_internal.console_order (mode text, order_id text)
    RETURNS json
    LANGUAGE plpgsql
    STABLE
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET jit = off
    SET plan_cache_mode = force_generic_plan
    AS $$
#variable_conflict use_column
DECLARE
    most_items CONSTANT integer := 100;
    most_events CONSTANT integer := 200;
    most CONSTANT integer := 500;
BEGIN
    RETURN (
        SELECT json_build_object(
            'now', now(),
            'order', to_jsonb(o) || jsonb_build_object('amount', o.amount::text, 'tax_amount', o.tax_amount::text,
                'metadata', o.metadata::text),
            'items', (
                SELECT json_agg(bagelpay_internal.console_item (n.e) ORDER BY (n.e).entitled DESC, (n.e).product_id, (n.e).customer_id, (n.e).user_id)
                FROM (
                    SELECT e
                    FROM bagelpay.entitlements_at (now(), $1) AS e
                    WHERE e.order_id = $2 COLLATE "C"
                    LIMIT most_items) AS n),
            'purchases', (
                SELECT coalesce(json_agg(bagelpay_internal.console_purchase (n.p, setting) ORDER BY (n.p).began_at, (n.p).name), '[]')
                FROM (
                    SELECT p
                    FROM bagelpay_internal.purchases AS p
                    WHERE p.mode = $1 COLLATE "C" AND p.order_id = $2 COLLATE "C"
                    ORDER BY p.began_at DESC, p.name DESC
                    LIMIT most) AS n),
            'refunds', (
                SELECT coalesce(json_agg(to_jsonb(r) || jsonb_build_object('amount', r.amount::text) ORDER BY r.occurred_at, r.event_id), '[]')
                FROM (
                    SELECT *
                    FROM bagelpay.refunds AS n
                    WHERE n.mode = $1 COLLATE "C" AND n.order_id = $2 COLLATE "C"
                    ORDER BY n.occurred_at DESC, n.event_id DESC
                    LIMIT most) AS r),
            'cancellations', (
                SELECT coalesce(json_agg(c ORDER BY c.occurred_at, c.event_id), '[]')
                FROM (
                    SELECT *
                    FROM bagelpay.cancellations AS n
                    WHERE n.mode = $1 COLLATE "C" AND n.order_id = $2 COLLATE "C"
                    ORDER BY n.occurred_at DESC, n.event_id DESC
                    LIMIT most) AS c),
            'expected', (SELECT to_json(c) FROM bagelpay.order_checks AS c WHERE c.mode = $1 COLLATE "C" AND c.order_id = $2 COLLATE "C"),
            'most_items', most_items,
            'most', most,
            'events', (
                SELECT json_agg(x ORDER BY x.position)
                FROM (SELECT * FROM bagelpay.explain ($2, $1) AS n ORDER BY n.position DESC LIMIT most_events) AS x))
        FROM bagelpay.orders AS o
        CROSS JOIN bagelpay.settings AS setting
        WHERE o.mode = $1 COLLATE "C" AND o.order_id = $2 COLLATE "C");
END
$$;

COMMENT ON FUNCTION bagelpay_internal.console_order IS 'One order with its items, purchases and events, as JSON for the console';

GRANT EXECUTE ON FUNCTION bagelpay_internal.console_window (bagelpay_internal.purchases, bagelpay.settings), bagelpay_internal.console_item (bagelpay.entitlement),
    bagelpay_internal.console_purchase (bagelpay_internal.purchases, bagelpay.settings), bagelpay_internal.console_order (text, text)
TO bagelpay_console;

COMMIT;
