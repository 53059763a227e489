-- Revert bagelpay:comments from pg

BEGIN;

DO $$
DECLARE
    n record;
BEGIN
    FOR n IN
        SELECT format('%I.%I', c.relnamespace::regnamespace, c.relname) AS object, a.attname
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'bagelpay'::regnamespace AND c.relkind IN ('r', 'v', 'c') AND a.attnum > 0
            AND (c.relname <> 'settings' OR a.attname = 'singleton')
    LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS NULL', n.object, n.attname);
    END LOOP;
    FOR n IN
        SELECT f.oid::regprocedure AS signature, pg_catalog.obj_description(f.oid, 'pg_proc') AS comment
        FROM pg_catalog.pg_proc AS f
        WHERE f.pronamespace = 'bagelpay'::regnamespace
    LOOP
        EXECUTE format('COMMENT ON ROUTINE %s IS %L', n.signature, split_part(n.comment, E'\n', 1));
    END LOOP;
END
$$;

COMMIT;
