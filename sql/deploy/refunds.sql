-- Deploy bagelpay:refunds to pg
--
-- The fold's steps for refunds and disputes: they find the payment and set its status. They work on stored rows. The
-- caller holds the lock of the order, and has stored its rows in memory. (Look-ups by a name compare the order with IS
-- NOT DISTINCT FROM: see cancellations.)

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns the latest paid payment of an order that has this provider_order_id; NULL if there is none.
CREATE FUNCTION bagelpay_internal.payment_by_provider_order (mode text, order_id text, provider_order_id text)
    RETURNS text
    LANGUAGE plpgsql
    STABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN (
        SELECT p.name
        FROM bagelpay_internal.purchases AS p
        WHERE p.provider_order_id = $3 COLLATE "C" AND p.order_id IS NOT DISTINCT FROM $2 COLLATE "C" AND p.mode IS NOT DISTINCT FROM $1 COLLATE "C" AND NOT p.is_trial
            AND p.began_at IS NOT NULL
        ORDER BY p.began_at DESC, p.name DESC
        LIMIT 1);
END
$$;

-- Returns the paid payment that an event names: by payment_id, or, only if it has none, by provider_order_id. NULL if
-- there is none.
CREATE FUNCTION bagelpay_internal.named_payment (e bagelpay.events)
    RETURNS text
    LANGUAGE plpgsql
    STABLE PARALLEL SAFE
    AS $$
BEGIN
    RETURN (
        SELECT CASE
            WHEN e.payment_id IS NULL THEN bagelpay_internal.payment_by_provider_order (e.mode, e.order_id, e.provider_order_id)
            ELSE (
                SELECT p.name
                FROM bagelpay_internal.purchases AS p
                WHERE p.order_id = e.order_id AND p.mode = e.mode AND p.name = e.payment_id AND NOT p.is_trial AND p.began_at IS NOT NULL)
        END);
END
$$;

-- Sets refunded_amount and status of payments from all refunds that count against them.
CREATE FUNCTION bagelpay_internal.judge_payments (of_mode text, of_order text, names text[])
    RETURNS void
    LANGUAGE plpgsql
    AS $$
DECLARE
    payment text COLLATE "C";
    told record;
BEGIN
    FOREACH payment IN ARRAY names LOOP
        SELECT count(*) AS refunds, max(r.running_total) AS running_total,
            count(r.running_total) + count(r.amount) AS amounts,
            coalesce(sum(r.amount) FILTER (WHERE r.is_latest), 0) AS by_id,
            coalesce(sum(r.amount) FILTER (WHERE r.refund_id IS NULL), 0) AS without_id,
            coalesce(sum(r.amount) FILTER (WHERE r.refund_id IS NULL AND r.label IS DISTINCT FROM 'partial'), 0) AS without_id_or_label,
            coalesce(bool_or(r.label = 'full'), FALSE) AS labelled_full,
            coalesce(bool_or(r.label = 'partial'), FALSE) AS labelled_partial,
            (array_agg(r.unknown_refund ORDER BY r.fold_slot DESC, r.occurred_at DESC, r.event_id DESC))[1] AS unknown_refund
        INTO told
        FROM (
            SELECT n.*, n.refund_id IS NOT NULL AND n.amount IS NOT NULL AND row_number() OVER (
                PARTITION BY n.refund_id, n.amount IS NULL ORDER BY n.fold_slot DESC, n.occurred_at DESC, n.event_id DESC) = 1 AS is_latest
            FROM bagelpay.refunds AS n
            WHERE n.order_id = of_order COLLATE "C" AND n.mode = of_mode COLLATE "C" AND n.payment_id = payment) AS r;
        IF told.running_total IS NOT NULL THEN
            -- A refund without refund_id may arrive twice, so a running total is better than the sum of amounts.
            told.without_id := 0;
            told.without_id_or_label := 0;
        END IF;
        UPDATE bagelpay_internal.purchases AS p
        SET refunded_amount = trim_scale(greatest(told.running_total, told.by_id + told.without_id, 0)),
            status = CASE
                WHEN told.refunds > 0 AND (
                    told.labelled_full
                    OR coalesce(p.amount > 0 AND greatest(told.running_total, told.by_id + told.without_id_or_label) >= p.amount, FALSE)
                    OR (NOT told.labelled_partial AND (told.amounts = 0 OR p.amount IS NULL) AND told.unknown_refund = 'full')) THEN 'refunded'
                WHEN p.is_disputed THEN 'disputed'
                WHEN told.refunds > 0 THEN 'partially_refunded'
                ELSE 'paid'
            END
        WHERE p.order_id = of_order COLLATE "C" AND p.mode = of_mode COLLATE "C" AND p.name = payment AND NOT p.is_trial AND p.began_at IS NOT NULL;
    END LOOP;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.judge_payments IS 'Sets refunded_amount and status of payments from their refunds';

-- Finds the payments of refunds again, with all refunds that share a refund_id. Judges the payments that gained or lost
-- a refund, those that still have one of them, and the payment also, if it is not NULL.
CREATE FUNCTION bagelpay_internal.settle_refunds (of_mode text, of_order text, event_ids text[], also text)
    RETURNS void
    LANGUAGE plpgsql
    SET enable_hashjoin = off
    SET enable_mergejoin = off
    AS $$
#variable_conflict use_column
DECLARE
    refund bagelpay.refunds;
    members text[];                 -- the refunds of one refund_id
    target text COLLATE "C";
    left_payments text[];
    concerned text[] := array_remove(ARRAY[also], NULL);
BEGIN
    FOR refund IN
        SELECT DISTINCT ON (coalesce('i' || r.refund_id, 'e' || r.event_id)) r.*
        FROM bagelpay.refunds AS r
        WHERE r.event_id = ANY (event_ids)
        ORDER BY coalesce('i' || r.refund_id, 'e' || r.event_id)
    LOOP
        members := CASE
            WHEN refund.refund_id IS NULL THEN ARRAY[refund.event_id]
            ELSE array(
                SELECT m.event_id
                FROM bagelpay.refunds AS m
                WHERE m.refund_id = refund.refund_id AND m.order_id IS NOT DISTINCT FROM of_order COLLATE "C" AND m.mode IS NOT DISTINCT FROM of_mode COLLATE "C")
        END;
        -- The first payment that one of them names by payment_id; else the first by provider_order_id; else, if none of
        -- them has a name, the one that was found for the first.
        SELECT coalesce(
            (array_agg(paid.name ORDER BY m.fold_slot, m.occurred_at, m.event_id) FILTER (WHERE paid.name IS NOT NULL))[1],
            (array_agg(m.found ORDER BY m.fold_slot, m.occurred_at, m.event_id)
                FILTER (WHERE m.named_provider_order_id IS NOT NULL AND m.found IS NOT NULL))[1],
            CASE WHEN count(m.named_payment_id) + count(m.named_provider_order_id) = 0
                THEN (array_agg(m.found ORDER BY m.fold_slot, m.occurred_at, m.event_id))[1] END)
        INTO target
        FROM bagelpay.refunds AS m
        LEFT JOIN LATERAL (
            SELECT p.name
            FROM bagelpay_internal.purchases AS p
            WHERE p.order_id = m.order_id AND p.mode = m.mode AND p.name = m.named_payment_id AND NOT p.is_trial AND p.began_at IS NOT NULL
            OFFSET 0) AS paid ON TRUE
        WHERE m.event_id = ANY (members);
        WITH moved AS (
            UPDATE bagelpay.refunds AS r
            SET payment_id = target
            FROM bagelpay.refunds AS old
            WHERE old.event_id = r.event_id AND r.event_id = ANY (members)
                AND r.payment_id IS DISTINCT FROM target
            RETURNING old.payment_id
        )
        SELECT array_agg(m.payment_id) INTO left_payments
        FROM moved AS m;
        concerned := array_remove(concerned || left_payments || target, NULL);
    END LOOP;
    IF concerned <> '{}' THEN
        PERFORM bagelpay_internal.judge_payments (of_mode, of_order, concerned);
    END IF;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.settle_refunds IS 'Finds the payments of refunds again, and judges these payments';

-- Settles the refunds that name a payment, after it became paid, or got another name or provider order, and judges the
-- payment.
CREATE FUNCTION bagelpay_internal.settle_payment (p bagelpay_internal.purchases)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE bagelpay.refunds AS r
    SET found = p.name
    WHERE r.named_provider_order_id = p.provider_order_id AND r.found IS NULL
        -- If a refund has a payment_id, its provider order names only the payment without payment_id.
        AND (r.named_payment_id IS NULL OR p.name = 'order:' || p.provider_order_id)
        AND r.order_id IS NOT DISTINCT FROM p.order_id AND r.mode IS NOT DISTINCT FROM p.mode;
    PERFORM bagelpay_internal.settle_refunds (
        p.mode, p.order_id,
        array(
            SELECT r.event_id
            FROM bagelpay.refunds AS r
            WHERE r.named_payment_id = p.name AND r.order_id IS NOT DISTINCT FROM p.order_id AND r.mode IS NOT DISTINCT FROM p.mode
            UNION
            SELECT r.event_id
            FROM bagelpay.refunds AS r
            WHERE r.named_provider_order_id = p.provider_order_id AND r.order_id IS NOT DISTINCT FROM p.order_id AND r.mode IS NOT DISTINCT FROM p.mode),
        p.name);
END
$$;

COMMENT ON FUNCTION bagelpay_internal.settle_payment IS 'Settles the refunds that name a payment, and judges the payment';

-- Folds a refund.created. Returns the payment that it counts against; NULL if there is none.
CREATE FUNCTION bagelpay_internal.fold_refund (e bagelpay.events)
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    found_payment text COLLATE "C";
    target text COLLATE "C";
BEGIN
    IF e.payment_id IS NOT NULL THEN
        SELECT p.name INTO found_payment
        FROM bagelpay_internal.purchases AS p
        WHERE p.order_id = e.order_id AND p.mode = e.mode AND p.name = 'order:' || e.provider_order_id AND NOT p.is_trial AND p.began_at IS NOT NULL;
    ELSIF e.provider_order_id IS NOT NULL THEN
        found_payment := bagelpay_internal.payment_by_provider_order (e.mode, e.order_id, e.provider_order_id);
    ELSE
        SELECT p.name INTO found_payment
        FROM bagelpay_internal.purchases_meant (e, TRUE) AS p
        ORDER BY p.began_at DESC, p.name DESC
        LIMIT 1;
    END IF;
    INSERT INTO bagelpay.refunds (mode, order_id, event_id, refund_id, amount, running_total, label, occurred_at, fold_slot, unknown_refund,
        named_payment_id, named_provider_order_id, found)
    VALUES (e.mode, e.order_id, e.event_id, e.refund_id, e.refund_amount, e.refund_running_total, e.refund_label, e.occurred_at, e.fold_slot,
        e.unknown_refund, e.payment_id, e.provider_order_id, found_payment);
    PERFORM bagelpay_internal.settle_refunds (e.mode, e.order_id, ARRAY[e.event_id], NULL);
    SELECT r.payment_id INTO target
    FROM bagelpay.refunds AS r
    WHERE r.event_id = e.event_id;
    RETURN target;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.fold_refund IS 'Folds a refund.created; returns the payment that it counts against';

-- Folds a checkout.cancel. If it names a payment and occurred more than an hour after it, it is a dispute; else the
-- customer closed the page. Returns the payment that it disputes; NULL if there is none.
CREATE FUNCTION bagelpay_internal.fold_dispute (e bagelpay.events)
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    disputed text;
BEGIN
    UPDATE bagelpay_internal.purchases AS p
    SET is_disputed = TRUE, status = 'disputed'
    WHERE p.order_id = e.order_id AND p.mode = e.mode AND p.name = bagelpay_internal.named_payment (e) AND NOT p.is_trial
        AND p.status IN ('paid', 'partially_refunded') AND e.occurred_at > p.began_at + interval '1 hour'
    RETURNING p.name INTO disputed;
    RETURN disputed;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.fold_dispute IS 'Folds a checkout.cancel; returns the payment that it disputes';

-- Folds an operator.dispute_won: only its refunds decide the status of a disputed payment again.
CREATE FUNCTION bagelpay_internal.fold_dispute_won (e bagelpay.events)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE bagelpay_internal.purchases AS p
    SET is_disputed = FALSE
    WHERE p.order_id = e.order_id AND p.mode = e.mode AND p.name = e.payment_id AND NOT p.is_trial AND p.status = 'disputed';
    PERFORM bagelpay_internal.judge_payments (e.mode, e.order_id, ARRAY[e.payment_id]);
END
$$;

COMMENT ON FUNCTION bagelpay_internal.fold_dispute_won IS 'Folds an operator.dispute_won';

-- Gives the payment order:<provider order> its payment_id once that is known. Returns the old name; NULL if there is no
-- such payment.
CREATE FUNCTION bagelpay_internal.rename_payment (of_mode text, of_order text, old_name text, new_name text)
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    renamed bagelpay_internal.purchases;
BEGIN
    PERFORM FROM bagelpay_internal.purchases AS p
    WHERE p.order_id = of_order COLLATE "C" AND p.mode = of_mode COLLATE "C" AND p.name = old_name COLLATE "C" AND NOT p.is_trial;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- A payment of the new name has only failed. The renamed one replaces it.
    DELETE FROM bagelpay_internal.purchases AS p
    WHERE p.order_id = of_order COLLATE "C" AND p.mode = of_mode COLLATE "C" AND p.name = new_name COLLATE "C" AND NOT p.is_trial;
    UPDATE bagelpay_internal.purchases AS p
    SET name = new_name
    WHERE p.order_id = of_order COLLATE "C" AND p.mode = of_mode COLLATE "C" AND p.name = old_name COLLATE "C" AND NOT p.is_trial
    RETURNING p.* INTO renamed;
    UPDATE bagelpay_internal.purchases AS p
    SET buyer = new_name
    WHERE renamed.bought_trial AND p.order_id = of_order COLLATE "C" AND p.mode = of_mode COLLATE "C" AND p.is_trial AND p.buyer = old_name COLLATE "C";
    UPDATE bagelpay.refunds AS r
    SET found = CASE WHEN r.found = old_name COLLATE "C" THEN new_name ELSE r.found END,
        payment_id = CASE WHEN r.payment_id = old_name COLLATE "C" THEN new_name ELSE r.payment_id END
    WHERE r.order_id = of_order COLLATE "C" AND r.mode = of_mode COLLATE "C" AND (r.found = old_name COLLATE "C" OR r.payment_id = old_name COLLATE "C");
    UPDATE bagelpay_internal.stored_items AS i
    SET latest_subscription = new_name
    WHERE i.order_id = of_order COLLATE "C" AND i.mode = of_mode COLLATE "C" AND i.customer_id = coalesce(renamed.customer_id, '')
        AND i.user_id = coalesce(renamed.user_id, '') AND i.product_id = coalesce(renamed.product_id, '')
        AND i.latest_subscription = old_name COLLATE "C" AND NOT i.latest_is_trial;
    RETURN old_name;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.rename_payment IS 'Gives a payment its payment_id once that is known';

COMMIT;
