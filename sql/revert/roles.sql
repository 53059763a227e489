-- Revert bagelpay:roles from pg
--
-- A role that another database of the cluster, or a login role, still depends on
-- stays: dropping it here would break what this database does not know of.

BEGIN;

DO $$
BEGIN
    DROP ROLE IF EXISTS bagelpay_app;
EXCEPTION WHEN dependent_objects_still_exist THEN
    RAISE NOTICE 'role bagelpay_app is still in use and stays';
END
$$;

DO $$
BEGIN
    DROP ROLE IF EXISTS bagelpay_reader;
EXCEPTION WHEN dependent_objects_still_exist THEN
    RAISE NOTICE 'role bagelpay_reader is still in use and stays';
END
$$;

DO $$
BEGIN
    DROP ROLE IF EXISTS bagelpay_ingest;
EXCEPTION WHEN dependent_objects_still_exist THEN
    RAISE NOTICE 'role bagelpay_ingest is still in use and stays';
END
$$;

DO $$
BEGIN
    DROP ROLE IF EXISTS bagelpay_owner;
EXCEPTION WHEN dependent_objects_still_exist THEN
    RAISE NOTICE 'role bagelpay_owner is still in use and stays';
END
$$;

COMMIT;
