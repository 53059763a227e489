-- Dead letters that are resolved, and those that are not.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

BEGIN;

SELECT plan(11);

\ir builder.psql

-- A letter whose body is the text of an event that was not valid when it came.
CREATE FUNCTION pg_temp.letter (id text, at text)
    RETURNS bigint
    LANGUAGE sql
    AS $$
    INSERT INTO bagelpay.dead_letters (sha256, body, reason, detail)
    SELECT sha256(b), b, 'invalid', 'a reason of then'
    FROM convert_to(pg_temp.made (id, 'checkout.completed', at)::text, 'UTF8') AS b
    RETURNING id
$$;

-- Whether the letter is marked.
CREATE FUNCTION pg_temp.marked (letter bigint)
    RETURNS boolean
    LANGUAGE sql
    AS $$
    SELECT resolved_at = now() FROM bagelpay.dead_letters WHERE id = letter
$$;

SELECT pg_temp.letter ('a', '2025-01-01 00:00:00') AS a, pg_temp.letter ('b', '2025-01-01 00:00:00') AS b \gset

SELECT ok(NOT bagelpay.resolve_dead_letter (:a, 'a'), 'a letter without its event is not resolved');
SELECT is(pg_temp.marked (:a), NULL, 'and not marked');

SELECT is(pg_temp.take ('a', 'checkout.completed', '2025-01-01 00:00:00'), 'applied', 'its body is an event now');
SELECT ok(NOT bagelpay.resolve_dead_letter (:a, 'b'), 'not with the id of another event');
SELECT ok(bagelpay.resolve_dead_letter (:a, 'a'), 'with its own it is resolved');
SELECT ok(pg_temp.marked (:a), 'and marked');
SELECT ok(bagelpay.resolve_dead_letter (:a, 'a'), 'again it is so already');
SELECT ok(bagelpay.resolve_dead_letter (:a, NULL), 'whatever one says');

SELECT is(pg_temp.take ('b', 'checkout.completed', '2025-01-02 00:00:00'), 'applied', 'another body took the id of the other letter');
SELECT ok(NOT bagelpay.resolve_dead_letter (:b, 'b'), 'which does not resolve it');
SELECT ok(NOT bagelpay.resolve_dead_letter (0, 'b'), 'there is no such letter');

SELECT * FROM finish();

ROLLBACK;
