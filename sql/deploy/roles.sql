-- Deploy bagelpay:roles to pg
--
-- Roles belong to the whole cluster. If another of its databases has bagelpay, they exist already and stay as they are.

BEGIN;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'bagelpay_owner') THEN
        CREATE ROLE bagelpay_owner NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'bagelpay_ingest') THEN
        CREATE ROLE bagelpay_ingest NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'bagelpay_reader') THEN
        CREATE ROLE bagelpay_reader NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'bagelpay_app') THEN
        CREATE ROLE bagelpay_app NOLOGIN;
    END IF;
    -- The deploying user creates the objects as the owner. A superuser needs no membership, and PostgreSQL would warn
    -- about each further grant of it. (Since version 16, a member may lack the right to SET ROLE.)
    IF NOT pg_catalog.pg_has_role(current_user, 'bagelpay_owner',
        CASE WHEN pg_catalog.current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
        GRANT bagelpay_owner TO CURRENT_USER;
    END IF;
END
$$;

DO $$
BEGIN
    IF NOT pg_catalog.pg_has_role('bagelpay_app', 'bagelpay_reader', 'MEMBER') THEN
        GRANT bagelpay_reader TO bagelpay_app;
    END IF;
END
$$;

COMMENT ON ROLE bagelpay_owner IS 'bagelpay: owns the schema, changes settings, rebuilds';
COMMENT ON ROLE bagelpay_ingest IS 'bagelpay: responders; may execute the ingest functions and nothing else';
COMMENT ON ROLE bagelpay_reader IS 'bagelpay: reads views and tables, but no bodies';
COMMENT ON ROLE bagelpay_app IS 'bagelpay: a reader that may also expect, grant, revoke and clear';

COMMIT;
