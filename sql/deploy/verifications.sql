-- Deploy bagelpay:verifications to pg
--
-- Runs of bagelhook-verify, and the differences that the last one of each mode found. A difference is open until a later
-- run does not find it, or until what is stored here agrees with what BagelPay listed then.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

CREATE TABLE bagelpay.verifications (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    mode bagelpay.mode NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT now(),
    since timestamptz NOT NULL,
    transactions integer NOT NULL CHECK (transactions >= 0),
    subscriptions integer NOT NULL CHECK (subscriptions >= 0),
    agreed integer NOT NULL CHECK (agreed >= 0),
    differences integer NOT NULL CHECK (differences >= 0),
    verified_by text NOT NULL DEFAULT session_user
);

COMMENT ON TABLE bagelpay.verifications IS 'Runs of bagelhook-verify that could compare with what BagelPay lists';

CREATE INDEX verifications_by_mode ON bagelpay.verifications (mode, started_at, id);

-- Columns that hold personal data are named in bagelpay.forget_customer(), too.
CREATE TABLE bagelpay_internal.stored_differences (
    verification bigint NOT NULL REFERENCES bagelpay.verifications (id) ON DELETE CASCADE,
    difference bagelpay_internal.difference NOT NULL
);

CREATE INDEX stored_differences_by_verification ON bagelpay_internal.stored_differences (verification);

COMMENT ON TABLE bagelpay_internal.stored_differences IS 'Differences that the last run of each mode found';

-- Returns what BagelPay lists, compared with what is stored, as one JSON document: mode, since, started_at;
-- transactions and subscriptions, each with the numbers compared, agree, guessed (of those that agree), recent, other;
-- payments, the number of those here since then; kinds, the number of differences of each; and differences, at most
-- 10000, those that affect access first. The arguments are as for bagelpay_internal.compare(). Raises
-- invalid_parameter_value if mode is neither test nor live. Reads only; waits for no writer.
CREATE FUNCTION bagelpay_internal.verify (
    mode text, since timestamptz, began timestamptz, transactions json, subscriptions json, is_complete boolean)
RETURNS json
LANGUAGE plpgsql
STABLE
SET TimeZone = 'UTC'
SET DateStyle = 'ISO'
SET jit = off
AS $$
DECLARE
    answer json;
BEGIN
    PERFORM bagelpay_internal.given_mode (mode);
    WITH d AS MATERIALIZED (
        SELECT c.*, c.kind IN ('agree', 'recent', 'other') AS is_none, c AS whole
        FROM bagelpay_internal.compare ($1, $2, $3, $4, $5, $6) AS c
    ),
    differing AS MATERIALIZED (
        SELECT bagelpay_internal.difference_id (d.whole) AS id, d.whole
        FROM d
        WHERE NOT d.is_none
        ORDER BY d.affects_access DESC NULLS LAST, d.kind, d.since, d.provider_order_id, d.subscription_id
        LIMIT 10000
    )
    SELECT json_build_object(
        'mode', $1, 'since', $2, 'started_at', $3,
        'transactions', (
            SELECT json_build_object('compared', count(*) FILTER (WHERE d.is_none) + count(DISTINCT d.listed),
                'agree', count(*) FILTER (WHERE d.kind = 'agree'), 'guessed', count(*) FILTER (WHERE d.kind = 'agree' AND d.is_guess),
                'recent', count(*) FILTER (WHERE d.kind = 'recent'), 'other', count(*) FILTER (WHERE d.kind = 'other'))
            FROM d
            WHERE d.provider_order_id IS NOT NULL),
        'subscriptions', (
            SELECT json_build_object('compared', count(*) FILTER (WHERE d.is_none) + count(DISTINCT d.listed),
                'agree', count(*) FILTER (WHERE d.kind = 'agree'), 'guessed', count(*) FILTER (WHERE d.kind = 'agree' AND d.is_guess),
                'recent', count(*) FILTER (WHERE d.kind = 'recent'), 'other', 0)
            FROM d
            WHERE d.provider_order_id IS NULL AND d.subscription_id IS NOT NULL),
        'payments', (
            SELECT count(*)
            FROM bagelpay_internal.purchases AS p
            WHERE p.mode = $1 COLLATE "C" AND NOT p.is_trial AND p.began_at >= $2 AND p.amount > 0),
        'kinds', (SELECT coalesce(json_object_agg(n.kind, n.count), '{}') FROM (SELECT d.kind, count(*) FROM d WHERE NOT d.is_none GROUP BY d.kind ORDER BY d.kind) AS n),
        'differences', coalesce((
            SELECT json_agg(to_jsonb(f.whole) || jsonb_build_object('id', f.id, 'detail', bagelpay_internal.difference_detail (f.whole),
                'remedy', bagelpay_internal.difference_remedy (f.whole), 'dismissed', EXISTS (SELECT FROM bagelpay.dismissals AS x WHERE x.id = f.id)))
            FROM differing AS f), '[]'))
    INTO answer;
    RETURN answer;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.verify IS 'What BagelPay lists, compared with what is stored, as one document; for bagelhook-verify';

-- Stores a run, as bagelpay_internal.verify() returned it, with its first 1000 differences, in place of the mode's last
-- one. (Details and remedies are derived anew when they are shown: nobody's text becomes a statement to be pasted.) Keeps
-- the last 1000 runs of the mode, without their differences. Returns the run's id.
--
-- Raises invalid_parameter_value if the run does not look like one, or another one that started later is stored. Waits for
-- others that store a run.
CREATE FUNCTION bagelpay_internal.store_verification (run json)
    RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    the_mode text COLLATE "C" := bagelpay_internal.given_mode (run ->> 'mode');
    the_start timestamptz := run ->> 'started_at';
    stored bigint;
BEGIN
    IF octet_length(run::text) > 100000000 OR json_typeof(run -> 'differences') IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'run: not as bagelpay_internal.verify() returns it' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF (the_start BETWEEN now() - interval '1 day' AND now()) IS NOT TRUE THEN
        RAISE EXCEPTION 'run: started at %', the_start USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF EXISTS (
        SELECT
        FROM json_populate_recordset(NULL::bagelpay_internal.difference, run -> 'differences') AS d
        WHERE d.mode IS DISTINCT FROM the_mode OR bagelpay_internal.difference_detail (d) IS NULL OR octet_length(d::text) > 10000) THEN
        RAISE EXCEPTION 'run: a difference of another mode, of an unknown kind, or too long' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    LOCK TABLE bagelpay.verifications IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM bagelpay.verifications AS v WHERE v.mode = the_mode AND v.started_at > the_start) THEN
        RAISE EXCEPTION 'run: a run that started later is stored' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    DELETE FROM bagelpay_internal.stored_differences AS s USING bagelpay.verifications AS v WHERE v.id = s.verification AND v.mode = the_mode;
    DELETE FROM bagelpay.verifications AS v
    WHERE v.mode = the_mode AND v.id <= (SELECT o.id FROM bagelpay.verifications AS o WHERE o.mode = the_mode ORDER BY o.id DESC OFFSET 999 LIMIT 1);
    INSERT INTO bagelpay.verifications (mode, started_at, since, transactions, subscriptions, agreed, differences)
    SELECT the_mode, the_start, (run ->> 'since')::timestamptz, (run #>> '{transactions,compared}')::integer, (run #>> '{subscriptions,compared}')::integer,
        (run #>> '{transactions,agree}')::integer + (run #>> '{subscriptions,agree}')::integer,
        coalesce((SELECT sum(k.value::integer) FROM json_each_text(run -> 'kinds') AS k), 0)
    RETURNING id INTO stored;
    INSERT INTO bagelpay_internal.stored_differences (verification, difference)
    SELECT stored, d
    FROM json_populate_recordset(NULL::bagelpay_internal.difference, run -> 'differences') AS d
    LIMIT 1000;
    RETURN stored;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.store_verification IS 'Stores a run of bagelhook-verify with its differences';

-- Returns the differences of the last run of each mode that are still there. Those with a listed transaction or
-- subscription are looked for again, with that; the others stay until the next run. Reads only; waits for no writer.
CREATE FUNCTION bagelpay_internal.open_differences ()
    RETURNS SETOF bagelpay_internal.difference
    LANGUAGE plpgsql
    STABLE
    AS $$
DECLARE
    v bagelpay.verifications;
    stored bagelpay_internal.difference[];
BEGIN
    FOR v IN
        SELECT DISTINCT ON (t.mode) t.*
        FROM bagelpay.verifications AS t
        WHERE t.differences > 0
        ORDER BY t.mode, t.started_at DESC, t.id DESC
    LOOP
        stored := array(SELECT s.difference FROM bagelpay_internal.stored_differences AS s WHERE s.verification = v.id);
        CONTINUE WHEN cardinality(stored) = 0;
        RETURN QUERY
        WITH again AS MATERIALIZED (
            SELECT bagelpay_internal.difference_id (c) AS id
            FROM bagelpay_internal.compare_transactions (v.mode, '-infinity', 'infinity', (
                SELECT coalesce(json_agg(n.listed), '[]')
                FROM (SELECT DISTINCT d.listed FROM unnest(stored) AS d WHERE d.provider_order_id IS NOT NULL AND d.listed IS NOT NULL) AS n), '[]', FALSE) AS c
            WHERE c.kind NOT IN ('agree', 'recent', 'other')
            UNION ALL
            SELECT bagelpay_internal.difference_id (c)
            FROM bagelpay_internal.compare_subscriptions (v.mode, 'infinity', (
                SELECT coalesce(json_agg(n.listed), '[]')
                FROM (SELECT DISTINCT d.listed FROM unnest(stored) AS d WHERE d.provider_order_id IS NULL AND d.listed IS NOT NULL) AS n), '{}', FALSE) AS c
            WHERE c.kind NOT IN ('agree', 'recent')
        )
        SELECT d.*
        FROM unnest(stored) AS d
        WHERE d.listed IS NULL OR bagelpay_internal.difference_id (d) IN (SELECT a.id FROM again AS a);
    END LOOP;
END
$$;

COMMENT ON FUNCTION bagelpay_internal.open_differences IS 'Differences of the last run of each mode that are still there';

CREATE VIEW bagelpay.differences AS
SELECT bagelpay_internal.difference_id (d) AS id, d.kind, d.mode, d.order_id, d.payment_id, d.provider_order_id, d.subscription_id, d.product_id, d.customer_id,
    d.customer_email, d.since, d.until, d.ours, d.theirs, d.is_guess, d.affects_access, bagelpay_internal.difference_detail (d) AS detail,
    bagelpay_internal.difference_remedy (d) AS remedy
FROM bagelpay_internal.open_differences () AS d
-- Not what a grant makes up for.
WHERE NOT EXISTS (
    SELECT
    FROM bagelpay_internal.decisions AS g
    WHERE d.affects_access AND g.customer_email = d.customer_email AND nullif(g.product_id, '') = d.product_id AND g.mode = d.mode AND g.decision = 'grant'
        AND coalesce(g.granted_until >= d.until, g.granted_until IS NULL) AND coalesce(g.granted_until > now(), TRUE)
        AND bagelpay.is_entitled (d.customer_email, d.product_id, d.mode));

COMMENT ON VIEW bagelpay.differences IS 'What the last runs of bagelhook-verify found, as long as it is so and no grant makes up for it';

COMMIT;
