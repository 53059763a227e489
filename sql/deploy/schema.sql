-- Deploy bagelpay:schema to pg

BEGIN;

-- Bodies are UTF-8 by RFC 8259; a database with another encoding
-- could not store every correctly signed event.
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

-- Words and kinds of text that several tables share. Domains rather than CHECK constraints: PostgreSQL reads a
-- CHECK anew for every statement, and caches what a domain asks for.
CREATE DOMAIN bagelpay.mode AS text COLLATE "C" CHECK (VALUE IN ('test', 'live'));

CREATE DOMAIN bagelpay.key_source AS text COLLATE "C" CHECK (VALUE IN ('metadata', 'linked', 'customer', 'order', 'payment'));

CREATE DOMAIN bagelpay.refund_label AS text COLLATE "C" CHECK (VALUE IN ('full', 'partial'));

-- A text without ASCII white space at its ends: space, and 9 to 13.
CREATE FUNCTION bagelpay.trimmed (value text)
    RETURNS text
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT btrim(value COLLATE "C", E' \t\n\x0B\f\r')
$$;

COMMENT ON FUNCTION bagelpay.trimmed (text) IS 'A text without ASCII white space at its ends';

-- A moment and a length of calendar time after it, in UTC whatever zone the session has. From the last day of a month,
-- months and years lead to the last day of a month; days and times are added after that. In PL/pgSQL, so that queries
-- that call it often are planned fast.
CREATE FUNCTION bagelpay.utc_plus (moment timestamptz, length interval)
    RETURNS timestamptz
    LANGUAGE plpgsql
    IMMUTABLE PARALLEL SAFE
    AS $$
DECLARE
    months interval := make_interval(years => extract(year FROM length)::integer, months => extract(month FROM length)::integer);
    utc timestamp := moment AT TIME ZONE 'UTC';
BEGIN
    IF months > '0' AND extract(day FROM utc + interval '1 day') = 1 THEN
        RETURN (utc + interval '1 day' + months - interval '1 day' + (length - months)) AT TIME ZONE 'UTC';
    END IF;
    RETURN (utc + length) AT TIME ZONE 'UTC';
END
$$;

COMMENT ON FUNCTION bagelpay.utc_plus IS 'Calendar arithmetic in UTC, which keeps the last day of a month';

COMMIT;
