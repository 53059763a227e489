-- Revert bagelpay:roles from pg
--
-- A role that another database of the cluster still depends on stays, and so does one that
-- was granted to somebody: dropping it would take the membership away without a word, and
-- a responder that had it could not log in again after the next deploy.

BEGIN;

DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_catalog.pg_auth_members AS m
        JOIN pg_catalog.pg_roles AS member ON member.oid = m.member
        WHERE m.roleid IN (SELECT oid FROM pg_catalog.pg_roles
                WHERE rolname IN ('bagelpay_owner', 'bagelpay_ingest', 'bagelpay_reader', 'bagelpay_app', 'bagelpay_verify'))
            AND member.rolname NOT IN ('bagelpay_app', 'bagelpay_verify', current_user)) THEN
        RAISE NOTICE 'the roles bagelpay_… have been granted to others and stay';
        RETURN;
    END IF;
    DROP ROLE IF EXISTS bagelpay_verify, bagelpay_app, bagelpay_reader, bagelpay_ingest, bagelpay_owner;
EXCEPTION WHEN dependent_objects_still_exist THEN
    RAISE NOTICE 'the roles bagelpay_… are still in use in another database and stay';
END
$$;

COMMIT;
