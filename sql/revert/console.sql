-- Revert bagelpay:console from pg
--
-- The role stays while somebody has it, as with those of the change roles.

BEGIN;

\ir keep_events.psql

DROP FUNCTION bagelpay_internal.console_dead_letter (bigint);

DROP FUNCTION bagelpay_internal.console_dead_letters (bigint, boolean, text);

DROP FUNCTION bagelpay_internal.console_delivery (text);

DROP FUNCTION bagelpay_internal.console_deliveries (timestamptz, text, timestamptz, text, text, text, text, text, boolean);

DROP INDEX bagelpay.dead_letters_open_by_id, bagelpay.dead_letters_by_receipt, bagelpay.events_by_receipt;

REVOKE ALL ON ALL TABLES IN SCHEMA bagelpay, bagelpay_internal FROM bagelpay_console;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA bagelpay, bagelpay_internal FROM bagelpay_console;

REVOKE ALL ON SCHEMA bagelpay, bagelpay_internal FROM bagelpay_console;

DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_catalog.pg_auth_members AS m
        JOIN pg_catalog.pg_roles AS given ON given.oid = m.roleid
        JOIN pg_catalog.pg_roles AS member ON member.oid = m.member
        WHERE given.rolname = 'bagelpay_console' AND member.rolname <> current_user) THEN
        RAISE NOTICE 'the role bagelpay_console has been granted to others and stays';
        RETURN;
    END IF;
    DROP ROLE IF EXISTS bagelpay_console;
EXCEPTION WHEN dependent_objects_still_exist THEN
    RAISE NOTICE 'the role bagelpay_console is still in use in another database and stays';
END
$$;

COMMIT;
