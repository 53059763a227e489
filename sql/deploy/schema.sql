-- Deploy bagelpay:schema to pg

BEGIN;

-- Bodies are UTF-8 by RFC 8259; in another encoding some authentic events could
-- not be stored.
DO $$
BEGIN
    IF pg_catalog.current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'bagelpay needs a database with encoding UTF8, this one has %',
            pg_catalog.current_setting('server_encoding')
            USING HINT = 'createdb --encoding=UTF8 --template=template0 …';
    END IF;
END
$$;

CREATE SCHEMA bagelpay AUTHORIZATION bagelpay_owner;

COMMENT ON SCHEMA bagelpay IS 'BagelPay events, and the orders and entitlements that follow from them';

SET LOCAL ROLE bagelpay_owner;

-- What a later change creates is closed, too, until it is granted.
ALTER DEFAULT PRIVILEGES FOR ROLE bagelpay_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

ALTER DEFAULT PRIVILEGES FOR ROLE bagelpay_owner REVOKE USAGE ON TYPES FROM PUBLIC;

-- The responders that this schema serves, as an inclusive range of the protocol
-- number that each responder is built with. A responder outside of it refuses to
-- start. A change to ingest() that older responders cannot live with raises the
-- lower bound, every change that they need to know of the upper. The protocol
-- before the newest is always served: one migrates first, and restarts the
-- responders after.
CREATE FUNCTION bagelpay.served_responders (OUT oldest integer, OUT newest integer)
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
AS $$
    SELECT 1, 1
$$;

COMMENT ON FUNCTION bagelpay.served_responders () IS 'The inclusive range of responder protocol numbers that this schema serves';

-- A text without ASCII white space at its ends: space, and 9 to 13.
CREATE FUNCTION bagelpay.trimmed (value text)
    RETURNS text
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT btrim(value COLLATE "C", E' \t\n\x0B\f\r')
$$;

COMMENT ON FUNCTION bagelpay.trimmed (text) IS 'A text without ASCII white space at its ends';

COMMIT;
