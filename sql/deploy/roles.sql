-- Deploy bagelpay:roles to pg
--
-- Roles belong to the whole cluster. If another of its databases has bagelpay, they exist already and stay as they are.
-- Deployments of several databases at once may create them at the same moment: a role or a grant that another one makes
-- first is taken as there. Nobody else sees a role before its comment is written.

BEGIN;

DO $$
DECLARE
    name text;
    comment text;
BEGIN
    FOR name, comment IN VALUES
        ('bagelpay_owner', 'bagelpay: owns the schema, changes settings, rebuilds'),
        ('bagelpay_ingest', 'bagelpay: responders; may execute the ingest functions and nothing else'),
        ('bagelpay_reader', 'bagelpay: reads views and tables, but no bodies'),
        ('bagelpay_app', 'bagelpay: a reader that may also expect, grant, revoke and clear'),
        ('bagelpay_verify', 'bagelpay: a reader that may also store what bagelhook-verify found')
    LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name);
        BEGIN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', name);
            EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', name, comment);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;
        END;
    END LOOP;
END
$$;

DO $$
BEGIN
    -- The deploying user creates the objects as the owner. A superuser needs no membership, and PostgreSQL would warn
    -- about each further grant of it. (Since version 16, a member may lack the right to SET ROLE.)
    IF NOT pg_catalog.pg_has_role(current_user, 'bagelpay_owner',
        CASE WHEN pg_catalog.current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
        GRANT bagelpay_owner TO CURRENT_USER;
    END IF;
EXCEPTION
    WHEN unique_violation THEN
        NULL;
END
$$;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{bagelpay_app,bagelpay_verify}'::text[] LOOP
        CONTINUE WHEN pg_catalog.pg_has_role(name, 'bagelpay_reader', 'MEMBER');
        BEGIN
            EXECUTE pg_catalog.format('GRANT bagelpay_reader TO %I', name);
        EXCEPTION
            WHEN unique_violation THEN
                NULL;
        END;
    END LOOP;
END
$$;

COMMIT;
