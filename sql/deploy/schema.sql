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

-- Objects here may change with any version. Readers may use some, because views and inlined functions need them with the
-- caller's rights.
CREATE SCHEMA bagelpay_internal AUTHORIZATION bagelpay_owner;

COMMENT ON SCHEMA bagelpay_internal IS 'How the schema bagelpay works; not a stable interface';

SET LOCAL ROLE bagelpay_owner;

-- Functions and types of later changes are closed, too, until they are granted.
ALTER DEFAULT PRIVILEGES FOR ROLE bagelpay_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

ALTER DEFAULT PRIVILEGES FOR ROLE bagelpay_owner REVOKE USAGE ON TYPES FROM PUBLIC;

-- Returns the inclusive range of the protocol numbers that this schema serves. Each responder is built with one; if it
-- is outside of the range, the responder refuses to start. Reads no table.
--
-- A change to ingest() raises the lower bound if older responders cannot work with it, and the upper bound if new ones
-- need it. The protocol before the newest is always served: migrate first, then restart the responders.
CREATE FUNCTION bagelpay.served_responders (OUT oldest integer, OUT newest integer)
LANGUAGE sql
IMMUTABLE PARALLEL SAFE
AS $$
    SELECT 1, 1
$$;

COMMENT ON FUNCTION bagelpay.served_responders () IS 'The inclusive range of protocol numbers that this schema serves';

-- Enumerations that several tables share. Domains, because PostgreSQL caches their checks, but prepares the CHECK
-- constraints of tables for every statement.
CREATE DOMAIN bagelpay.mode AS text COLLATE "C" CHECK (VALUE IN ('test', 'live'));

COMMENT ON DOMAIN bagelpay.mode IS 'Test purchases are kept apart from live ones';

CREATE DOMAIN bagelpay.key_source AS text COLLATE "C" CHECK (VALUE IN ('metadata', 'linked', 'customer', 'order', 'payment'));

COMMENT ON DOMAIN bagelpay.key_source IS 'Where the key of an order comes from';

CREATE DOMAIN bagelpay.refund_label AS text COLLATE "C" CHECK (VALUE IN ('full', 'partial'));

COMMENT ON DOMAIN bagelpay.refund_label IS 'What BagelPay calls a refund';

-- Returns a text without ASCII white space (space, and 9 to 13) at its ends.
CREATE FUNCTION bagelpay_internal.trimmed (value text)
    RETURNS text
    LANGUAGE sql
    IMMUTABLE PARALLEL SAFE
    AS $$
    SELECT btrim(value COLLATE "C", E' \t\n\x0B\f\r')
$$;

COMMENT ON FUNCTION bagelpay_internal.trimmed (text) IS 'A text without ASCII white space at its ends';

-- Returns a statement to copy: a template with each %L replaced by a value as a literal of SQL. Characters that are not
-- seen are written as escapes: a terminal may act on them when the statement is pasted. The session that it is pasted into
-- needs standard_conforming_strings on, which is the default.
CREATE FUNCTION bagelpay_internal.statement (template text, VARIADIC given text[])
    RETURNS text
    LANGUAGE plpgsql
    IMMUTABLE PARALLEL SAFE
    AS $$
DECLARE
    -- Controls, formats, private use, spaces but the usual one, fillers and selectors.
    unseen CONSTANT text := '[\u0001-\u001f\u007f-\u00a0\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f'
        '\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ue000-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000E0000-\U0010FFFF]';
BEGIN
    IF array_to_string(given, '') COLLATE "C" !~ unseen THEN
        RETURN format(template, VARIADIC given);
    END IF;
    RETURN format(replace(template, '%L', '%s'), VARIADIC array(
        SELECT CASE
            WHEN v.value COLLATE "C" ~ unseen THEN (
                SELECT 'U&''' || string_agg(CASE
                    WHEN c.one = '\' THEN '\\'
                    WHEN c.one = '''' THEN ''''''
                    WHEN c.one COLLATE "C" !~ unseen THEN c.one
                    WHEN ascii(c.one) > 65535 THEN '\+' || lpad(to_hex(ascii(c.one)), 6, '0')
                    ELSE '\' || lpad(to_hex(ascii(c.one)), 4, '0') END, '' ORDER BY c.place) || ''''
                FROM regexp_split_to_table(v.value, '') WITH ORDINALITY AS c (one, place))
            ELSE quote_nullable(v.value) END
        FROM unnest(given) WITH ORDINALITY AS v (value, place)
        ORDER BY v.place));
END
$$;

COMMENT ON FUNCTION bagelpay_internal.statement IS 'A statement to copy, with values as literals';

-- Returns a moment plus a calendar length, computed in UTC whatever zone the session has. The last day of a month plus
-- months or years is the last day of a month; days and times are added after that. Raises datetime_field_overflow if
-- the result is out of range. In PL/pgSQL, so that queries that call it often are planned fast.
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
