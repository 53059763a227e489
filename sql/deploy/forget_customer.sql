-- Deploy bagelpay:forget_customer to pg
--
-- Erasure of the data of one customer.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- Returns TRUE if bytes contain an e-mail address in any case, as JSON or URLs escape it, and not as a part of a longer
-- address. email is in lower case. \u escapes are decoded only if the bytes are JSON.
--
-- In doubt it returns TRUE: a false match removes one body too many, but a missed one would keep data that was to be
-- erased. So a letter that is not ASCII ends an address, as in texts without spaces, and éann@… counts as ann@….
CREATE FUNCTION bagelpay_internal.mentions (body bytea, email text)
    RETURNS boolean
    LANGUAGE plpgsql
    IMMUTABLE STRICT PARALLEL SAFE
    AS $$
DECLARE
    -- All bytes as ASCII, whatever they are: \303\251 for é, \\ for a backslash.
    spelt text := lower(encode(body, 'escape') COLLATE "C");
    in_json text := to_json(email)::text;
    wanted text;
    percent text;
    decoded text;
BEGIN
    LOOP
        FOREACH wanted IN ARRAY ARRAY[email, substring(in_json FROM 2 FOR length(in_json) - 2)] LOOP
            wanted := encode(convert_to(wanted, 'UTF8'), 'escape');
            -- The address may follow the end of an escape such as \n or \u003c, and precede a full stop.
            IF strpos(spelt, wanted) > 0
                AND spelt ~ ('(^|[^a-z0-9._%+-]|\\[0-7]{3}|\\\\([bfnrt]|u[0-9a-f]{4}))' || regexp_replace(wanted, '[^a-z0-9]', '\\\&', 'g') || '($|[^a-z0-9.-]|\.($|[^a-z0-9]))') THEN
                RETURN TRUE;
            END IF;
        END LOOP;
        -- Once more, with the escapes of URLs (such as %40) decoded.
        EXIT WHEN percent IS NOT NULL OR spelt !~ '%[0-9a-f]{2}';
        FOR percent IN SELECT DISTINCT m[1] FROM regexp_matches(spelt, '%([0-9a-f]{2})', 'g') AS m LOOP
            spelt := replace(spelt, '%' || percent, lower(encode(decode(percent, 'hex'), 'escape') COLLATE "C"));
        END LOOP;
    END LOOP;
    IF strpos(encode(body, 'escape'), '\\u') = 0 THEN
        RETURN FALSE;
    END IF;
    BEGIN
        decoded := convert_from(body, 'UTF8')::jsonb::text;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        RETURN FALSE;
    END;
    RETURN strpos(decoded, '\u') = 0 AND bagelpay_internal.mentions (convert_to(decoded, 'UTF8'), email);
END
$$;

COMMENT ON FUNCTION bagelpay_internal.mentions (bytea, text) IS 'Returns TRUE if bytes contain an e-mail address';

-- Returns TRUE if a body, or a text, contains one of several e-mail addresses; never NULL.
CREATE FUNCTION bagelpay_internal.mentions (body bytea, emails text[])
    RETURNS boolean
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT EXISTS (SELECT FROM unnest(emails) AS email WHERE bagelpay_internal.mentions (body, email))
$$;

COMMENT ON FUNCTION bagelpay_internal.mentions (bytea, text[]) IS 'Returns TRUE if a body contains one of several addresses';

CREATE FUNCTION bagelpay_internal.mentions (content text, emails text[])
    RETURNS boolean
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT bagelpay_internal.mentions (convert_to(content, 'UTF8'), emails)
$$;

COMMENT ON FUNCTION bagelpay_internal.mentions (text, text[]) IS 'Returns TRUE if a text contains one of several addresses';

-- Returns metadata as bagelpay_internal.key_metadata() does, without values that contain one of the e-mail addresses.
-- The value that named the order stays, so that the same setting derives the same key. NULL for NULL.
CREATE FUNCTION bagelpay_internal.erased_metadata (metadata jsonb, paths text[], order_id text, emails text[])
    RETURNS jsonb
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT bagelpay_internal.key_metadata (metadata, array(
        SELECT path
        FROM unnest(paths) AS path
        CROSS JOIN LATERAL (SELECT bagelpay_internal.trimmed (metadata #>> (string_to_array(path, '.'))[2:])) AS found (content)
        WHERE found.content = order_id OR NOT bagelpay_internal.mentions (found.content, emails)))
$$;

COMMENT ON FUNCTION bagelpay_internal.erased_metadata IS 'The parts of metadata that name the order, without e-mail addresses';

-- Erases the data of the customer with an e-mail address in any case, or with a customer id of BagelPay's. With an id,
-- it erases each address of that id's events and purchases, and the data of its events without an address.
--
-- In events, and so in the state, each address is replaced by a random one at bagelpay.invalid. (NULL would bring back
-- an earlier address, and one for all would make one customer of two.) Of metadata only the parts that name the order
-- are kept. Bodies, notes, payment methods and last four digits are removed, and dead letters that contain the address.
-- Entitlements stay, except by this address. An expected order loses the address if all items of its order have it,
-- still differs if they do not, and is removed if there is no order.
--
-- Returns how many of each were changed or removed, and in ids how many events have the address in one of their ids,
-- which cannot be changed.
--
-- Raises invalid_parameter_value if email is NULL or empty; invalid_transaction_state unless the transaction is READ
-- COMMITTED. First reads all events, bodies and dead letters, which takes long and blocks nobody; it may miss events
-- that arrive meanwhile. Then it locks as bagelpay.rebuild(): responders wait until the transaction ends.
CREATE FUNCTION bagelpay.forget_customer (
    email text,
    OUT events bigint,
    OUT bodies bigint,
    OUT orders bigint,
    OUT expected_orders bigint,
    OUT dead_letters bigint,
    OUT ids bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    -- An item shows a customer who is known by e-mail alone as email:<e-mail>.
    the_email text COLLATE "C" := nullif(regexp_replace(bagelpay_internal.trimmed (lower(email COLLATE "C")), '^email:', ''), '');
    the_id text COLLATE "C" := bagelpay_internal.trimmed (email);
    -- All addresses, and the replacement of each. Only names with an @ are searched for in texts.
    names text[] COLLATE "C";
    nobodies text[] COLLATE "C";
    addresses text[] COLLATE "C";
    customers text[] COLLATE "C";   -- ids that come with these addresses
    paths text[] COLLATE "C";
    hits text[] COLLATE "C";
    letters bigint[];
    concerned text[] COLLATE "C";
    keys bagelpay_internal.fold_key[];
BEGIN
    IF the_email IS NULL THEN
        RAISE EXCEPTION 'email: missing' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    names := the_email || array(
        SELECT n.customer_email
        FROM (
            SELECT e.customer_email FROM bagelpay.events AS e WHERE e.customer_id = the_id
            UNION
            SELECT p.customer_email FROM bagelpay_internal.purchases AS p WHERE p.customer_id = the_id) AS n
        WHERE n.customer_email <> the_email AND n.customer_email NOT LIKE 'forgotten-%@bagelpay.invalid');
    nobodies := array(
        SELECT 'forgotten-' || replace(gen_random_uuid()::text, '-', '') || '@bagelpay.invalid' FROM unnest(names));
    addresses := array(SELECT name FROM unnest(names) AS name WHERE strpos(name, '@') > 0);
    SELECT setting.order_key INTO paths FROM bagelpay.settings AS setting;

    -- Events that have an address, and those that mention one anywhere else, except as the key of their order.
    SELECT
        coalesce(array_agg(e.event_id) FILTER (WHERE e.customer_email = ANY (names)
            OR (e.customer_id = the_id AND (e.forgotten_at IS NULL OR num_nonnulls(e.payment_method, e.last4, e.note) > 0))
            OR bagelpay_internal.mentions (b.body, addresses)
            OR bagelpay_internal.mentions (e.note, addresses)
            OR ((e.customer_id = the_id OR bagelpay_internal.mentions (e.metadata::text, addresses))
                AND e.metadata <> bagelpay_internal.erased_metadata (e.metadata, paths, e.order_id, addresses))), '{}'),
        coalesce(array_agg(DISTINCT e.customer_id) FILTER (WHERE e.customer_email = ANY (names)), '{}') || the_id,
        count(*) FILTER (WHERE bagelpay_internal.mentions (
            concat_ws(' ', e.event_id, e.order_id, e.customer_id, e.user_id, e.request_id, e.payment_id, e.provider_order_id),
            addresses))
    INTO hits, customers, ids
    FROM bagelpay.events AS e
    LEFT JOIN bagelpay.event_bodies AS b ON b.event_id = e.event_id;
    letters := array(
        SELECT d.id
        FROM bagelpay.dead_letters AS d
        WHERE d.customer_email = ANY (names) OR bagelpay_internal.mentions (d.body, addresses)
            OR bagelpay_internal.mentions (concat_ws(' ', d.event_id, d.order_id, d.detail), addresses));

    -- Responders wait from now on, not during the long reads above. (With the locks of single orders, it could deadlock
    -- with a responder, which locks rows of events before orders.)
    LOCK TABLE bagelpay.orders IN EXCLUSIVE MODE;
    SELECT setting.order_key INTO paths FROM bagelpay.settings AS setting;
    -- Also events without another customer's name, in orders that have an address.
    SELECT hits || coalesce(array_agg(e.event_id), '{}') INTO concerned
    FROM (
        SELECT DISTINCT t.mode, t.order_id
        FROM bagelpay.events AS t
        WHERE t.event_id = ANY (hits) AND t.order_id IS NOT NULL
            AND (t.customer_email = ANY (names) OR t.customer_id = the_id)) AS o
    JOIN bagelpay.events AS e ON e.mode = o.mode AND e.order_id = o.order_id
    WHERE e.customer_email IS NULL AND coalesce(e.customer_id = ANY (customers), TRUE)
        AND (e.forgotten_at IS NULL OR num_nonnulls(e.payment_method, e.last4, e.note) > 0
            OR e.metadata <> bagelpay_internal.erased_metadata (e.metadata, paths, e.order_id, addresses));

    SELECT coalesce(array_agg(ROW (o.mode, o.order_id)::bagelpay_internal.fold_key), '{}') INTO keys
    FROM (
        SELECT DISTINCT t.mode, t.order_id
        FROM bagelpay.events AS t
        WHERE t.event_id = ANY (concerned) AND t.order_id IS NOT NULL) AS o;
    -- All of them, and all that are folded below, at once and in the sequence of their ids.
    PERFORM FROM bagelpay.events AS t
    WHERE t.event_id = ANY (concerned || array(
        SELECT e.event_id
        FROM unnest(keys) AS k
        JOIN bagelpay.events AS e ON e.mode = k.mode AND e.order_id = k.order_id))
    ORDER BY t.event_id
    FOR UPDATE;

    UPDATE bagelpay.events AS t
    SET forgotten_at = coalesce(t.forgotten_at, now()),
        metadata = bagelpay_internal.erased_metadata (t.metadata, paths, t.order_id, addresses),
        note = NULL,
        customer_email = coalesce(nobodies[array_position(names, t.customer_email)], t.customer_email),
        -- They stay if another customer's event only mentions this one.
        payment_method = CASE WHEN NOT coalesce(t.customer_email = ANY (names), t.customer_id = ANY (customers), TRUE)
            THEN t.payment_method END,
        last4 = CASE WHEN NOT coalesce(t.customer_email = ANY (names), t.customer_id = ANY (customers), TRUE) THEN t.last4 END
    WHERE t.event_id = ANY (concerned);
    GET DIAGNOSTICS events = ROW_COUNT;
    IF events > 0 THEN
        INSERT INTO bagelpay.forgotten_keys (order_key)
        VALUES (paths)
        ON CONFLICT DO NOTHING;
    END IF;
    DELETE FROM bagelpay.event_bodies AS b WHERE b.event_id = ANY (concerned);
    GET DIAGNOSTICS bodies = ROW_COUNT;

    -- Before the items lose the address.
    WITH removed AS (
        DELETE FROM bagelpay.expected_orders AS x
        WHERE x.customer_email = ANY (names)
            AND NOT EXISTS (SELECT FROM bagelpay.orders AS o WHERE o.mode = x.mode AND o.order_id = x.order_id)
        RETURNING x.order_id
    ),
    changed AS (
        UPDATE bagelpay.expected_orders AS x
        SET customer_email = CASE WHEN NOT coalesce((
                SELECT bool_and(i.customer_email IS NOT DISTINCT FROM x.customer_email)
                FROM bagelpay_internal.all_items AS i
                WHERE i.mode = x.mode AND i.order_id = x.order_id), FALSE)
            THEN nobodies[array_position(names, x.customer_email)] END
        FROM bagelpay.orders AS o
        WHERE x.customer_email = ANY (names) AND o.mode = x.mode AND o.order_id = x.order_id
        RETURNING x.order_id
    )
    SELECT (SELECT count(*) FROM removed) + (SELECT count(*) FROM changed) INTO expected_orders;

    orders := bagelpay_internal.refold (keys, FALSE);
    PERFORM bagelpay_internal.notify_orders (orders > 0);

    -- The next run of bagelhook-verify finds the others again.
    DELETE FROM bagelpay_internal.stored_differences AS s
    WHERE (s.difference).customer_email = ANY (names) OR (s.difference).customer_id = the_id OR bagelpay_internal.mentions (s.difference::text, addresses);
    UPDATE bagelpay.dismissals AS d SET note = NULL WHERE bagelpay_internal.mentions (d.note, addresses);
    DELETE FROM bagelpay.dead_letters AS d WHERE d.id = ANY (letters);
    GET DIAGNOSTICS dead_letters = ROW_COUNT;
END
$$;

COMMENT ON FUNCTION bagelpay.forget_customer IS 'Erases the data of a customer, by e-mail or id; entitlements stay';

COMMIT;
