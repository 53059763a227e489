-- Links: which order an event without the merchant's key belongs to, whichever of the two came first.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;

-- Every statement is a transaction of its own. The database is this file's.

SELECT plan(45);

\ir builder.psql

CREATE EXTENSION dblink;

-- Every order of the numbers 1 to n.
CREATE FUNCTION pg_temp.permutations (n integer)
    RETURNS SETOF integer[]
    LANGUAGE sql
    AS $$
    WITH RECURSIVE p (numbers) AS (
        SELECT '{}'::integer[]
        UNION ALL
        SELECT p.numbers || i FROM p CROSS JOIN generate_series(1, n) AS i WHERE i <> ALL (p.numbers)
    )
    SELECT numbers FROM p WHERE cardinality(numbers) = n
$$;

-- The order and key_source of each event, and the rows of state.
CREATE FUNCTION pg_temp.keyed ()
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT pg_temp.told ('SELECT event_id, order_id, key_source FROM bagelpay.events ORDER BY event_id')
$$;

-- Delivers events, each written as in pg_temp.story(), in every order one by one, and as one batch. Events have the
-- merchant's key only if they say so. Returns the order of each event, with a complaint if rows differ.
CREATE FUNCTION pg_temp.linked (VARIADIC events text[])
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    made json[] := '{}';
    part text[];
    numbers integer[];
    keyed text;
    before text;
BEGIN
    FOR i IN 1 .. cardinality(events) LOOP
        part := regexp_match(events[i], '^([a-z.]+)@([0-9]+)(.*)$');
        made := made || pg_temp.made ('e' || i, part[1], (timestamp '2025-01-01' + part[2]::integer * interval '1 second')::text,
            jsonb_build_object('metadata', NULL) || coalesce(nullif(part[3], ''), '{}')::jsonb);
    END LOOP;
    PERFORM pg_temp.forget ();
    PERFORM bagelpay.ingest (array_to_json(made), (SELECT array_agg(convert_to(m::text, 'UTF8')) FROM unnest(made) AS m));
    keyed := pg_temp.keyed ();
    before := pg_temp.all_rows ();
    FOR numbers IN SELECT pg_temp.permutations (cardinality(events)) LOOP
        PERFORM pg_temp.forget ();
        FOR i IN 1 .. cardinality(numbers) LOOP
            PERFORM bagelpay.ingest (json_build_array(made[numbers[i]]), ARRAY[convert_to(made[numbers[i]]::text, 'UTF8')]);
        END LOOP;
        IF pg_temp.keyed () <> keyed OR pg_temp.all_rows () <> before THEN
            RETURN format(E'%s, BUT AS %s %s\n%s\nINSTEAD OF\n%s', keyed, numbers, pg_temp.keyed (), pg_temp.all_rows (), before);
        END IF;
        IF bagelpay.rebuild () + bagelpay.rekey () > 0 THEN
            RETURN format('%s, BUT AS %s NOT WHOLE', keyed, numbers);
        END IF;
    END LOOP;
    RETURN keyed;
END
$$;

-- An order id of the merchant's.
CREATE FUNCTION pg_temp.key (of_order text, extra text DEFAULT '')
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT format('{"metadata":{"order_id":"%s"}%s}', of_order, extra)
$$;

-- By payment.
SELECT is(pg_temp.linked ('checkout.completed@1' || pg_temp.key ('o1', ',"payment_id":"x"'), 'refund.created@2{"payment_id":"x"}'),
    'e1 o1 metadata | e2 o1 linked', 'a refund finds its payment');
SELECT is(pg_temp.state (), 'refunded / - / x=refunded', 'and counts against it');
SELECT is((SELECT count(*) FROM bagelpay.orders), 1::bigint, 'it is all one order');
SELECT is(pg_temp.told ('SELECT key_source FROM bagelpay.orders'), 'metadata', 'that has the merchant''s key');
SELECT is(pg_temp.told ('SELECT DISTINCT warnings FROM bagelpay.events'), '[]', 'without a warning');
SELECT is(pg_temp.linked ('checkout.completed@1' || pg_temp.key ('o1', ',"payment_id":"x"'), 'checkout.cancel@9999{"payment_id":"x"}') || ' ' || pg_temp.state (),
    'e1 o1 metadata | e2 o1 linked disputed / - / x=disputed', 'so does a dispute');
SELECT is(pg_temp.linked (
        'subscription.paid@2' || pg_temp.key ('o1', ',"payment_id":"x"'), 'subscription.trialing@1{"payment_id":"x"}', 'checkout.failed@3{"payment_id":"x"}',
        'subscription.canceled@4{"payment_id":"x"}') || ' ' || pg_temp.state (),
    'e1 o1 metadata | e2 o1 linked | e3 o1 linked | e4 o1 linked paid / canceled / x=paid', 'events of every type do');
SELECT is(pg_temp.linked ('checkout.failed@1' || pg_temp.key ('o1', ',"payment_id":"x"'), 'subscription.paid@2{"payment_id":"x"}') || ' ' || pg_temp.state (),
    'e1 o1 metadata | e2 o1 linked paid / active / x=paid', 'a payment finds its failure');
SELECT is(pg_temp.linked ('checkout.completed@1' || pg_temp.key ('o1', ',"payment_id":"x"'), 'refund.created@2{"payment_id":"y"}'),
    'e1 o1 metadata | e2 payment:y payment', 'one of another payment does not');
SELECT is(pg_temp.linked ('checkout.completed@1' || pg_temp.key ('o1', ',"payment_id":"x"'), 'refund.created@2{"payment_id":"x","mode":"test"}'),
    'e1 o1 metadata | e2 payment:x payment', 'nor one of the other mode');
SELECT is(pg_temp.linked ('checkout.completed@1' || pg_temp.key ('o1', ',"payment_id":"x"'), 'invoice.created@2{"payment_id":"x"}'),
    'e1 o1 metadata | e2 - -', 'nor one of an unknown type');
SELECT is(pg_temp.linked ('checkout.completed@1' || pg_temp.key ('o1', ',"payment_id":"x"'), 'refund.created@2' || pg_temp.key ('o2', ',"payment_id":"x"')),
    'e1 o1 metadata | e2 o2 metadata', 'one with a key keeps it');

-- Only payment events and failures with the merchant's key are found.
SELECT is(pg_temp.linked (type || '@1' || pg_temp.key ('o1', ',"payment_id":"x"'), 'refund.created@2{"payment_id":"x"}'), 'e1 o1 metadata | e2 ' || told, type)
FROM (VALUES ('checkout.failed', 'o1 linked'), ('checkout.completed', 'o1 linked'), ('subscription.paid', 'o1 linked'), ('checkout.cancel', 'payment:x payment'), ('subscription.trialing', 'payment:x payment'), ('subscription.canceled', 'payment:x payment'), ('refund.created', 'payment:x payment')) AS v (type, told);
SELECT is(pg_temp.linked ('checkout.completed@1{"payment_id":"x"}', 'refund.created@2{"payment_id":"x"}'),
    'e1 payment:x payment | e2 payment:x payment', 'without the merchant''s key there is no link');

-- By the provider's order, if the payment is not known.
SELECT is(pg_temp.linked (
        'checkout.completed@1' || pg_temp.key ('o1', ',"payment_id":"x","provider_order_id":"O"'), 'refund.created@2{"provider_order_id":"O"}') || ' ' || pg_temp.state (),
    'e1 o1 metadata | e2 o1 linked refunded / - / x=refunded', 'by the provider''s order');
SELECT is(pg_temp.linked (
        'checkout.completed@1' || pg_temp.key ('o1', ',"provider_order_id":"O"'), 'refund.created@2{"payment_id":"x","provider_order_id":"O"}') || ' ' || pg_temp.state (),
    'e1 o1 metadata | e2 o1 linked refunded / - / order:O=refunded', 'also if it names a payment');
SELECT is(pg_temp.linked (
        'checkout.completed@1' || pg_temp.key ('o1', ',"provider_order_id":"O"'), 'checkout.completed@2' || pg_temp.key ('o2', ',"payment_id":"x"'),
        'refund.created@3{"payment_id":"x","provider_order_id":"O"}'),
    'e1 o1 metadata | e2 o2 metadata | e3 o2 linked', 'the payment goes before it');
SELECT is(pg_temp.linked (
        'checkout.completed@1' || pg_temp.key ('o1', ',"provider_order_id":"O"'), 'subscription.paid@2{"provider_order_id":"O"}',
        'checkout.failed@3' || pg_temp.key ('o3', ',"provider_order_id":"Q"')),
    'e1 o1 metadata | e2 o1 linked | e3 o3 metadata', 'an event billed as a subscription, likewise');

-- Of several orders the bytewise first.
SELECT is(pg_temp.linked (
        'checkout.completed@1' || pg_temp.key ('b', ',"payment_id":"x"'), 'checkout.completed@2' || pg_temp.key ('a', ',"payment_id":"x"'),
        'refund.created@3{"payment_id":"x"}'),
    'e1 b metadata | e2 a metadata | e3 a linked', 'two orders of one payment');
SELECT is(pg_temp.linked (
        'checkout.completed@1' || pg_temp.key ('a', ',"payment_id":"x"'), 'checkout.completed@2' || pg_temp.key ('B', ',"payment_id":"x"'),
        'checkout.failed@3' || pg_temp.key ('é', ',"payment_id":"x"'), 'refund.created@4{"payment_id":"x"}'),
    'e1 a metadata | e2 B metadata | e3 é metadata | e4 B linked', 'by their bytes');
SELECT is(pg_temp.linked (
        'checkout.completed@1' || pg_temp.key ('10', ',"provider_order_id":"O"'), 'checkout.completed@2' || pg_temp.key ('9', ',"provider_order_id":"O"'),
        'refund.created@3{"provider_order_id":"O"}'),
    'e1 10 metadata | e2 9 metadata | e3 10 linked', 'also by the provider''s order');

-- Links go one step.
SELECT is(pg_temp.linked (
        'checkout.completed@1' || pg_temp.key ('o1', ',"payment_id":"x"'), 'checkout.completed@2{"payment_id":"x","provider_order_id":"O"}',
        'refund.created@3{"provider_order_id":"O"}'),
    'e1 o1 metadata | e2 o1 linked | e3 order:O order', 'what is linked links nothing');
SELECT is(pg_temp.linked (
        'checkout.completed@1' || pg_temp.key ('o1', ',"payment_id":"x"'), 'subscription.paid@2{"payment_id":"x"}', 'subscription.paid@3{"payment_id":"y"}',
        'subscription.canceled@4'),
    'e1 o1 metadata | e2 o1 linked | e3 customer:c1:p1 customer | e4 customer:c1:p1 customer', 'what has the same derived key stays where it is');

-- An order that loses an event keeps the others.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('e1', 'subscription.paid', '2025-01-01 00:00:01', '{"metadata":null,"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('e2', 'subscription.paid', '2025-01-01 00:00:02', '{"metadata":null,"payment_id":"y"}') \g /dev/null
SELECT is(pg_temp.state ('customer:c1:p1'), 'paid / active / x=paid y=paid', 'two payments of a derived key');
SELECT pg_temp.take ('e3', 'checkout.failed', '2025-01-01 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.state ('customer:c1:p1') || ', ' || pg_temp.state (), 'paid / active / y=paid, paid / active / x=paid', 'one of them moves');
SELECT is(pg_temp.told ('SELECT payment_id, last_event_id FROM bagelpay.orders ORDER BY order_id'), 'y e2 | x e1', 'and is no trace where it was');

-- Decisions stay with the order that they name.
SELECT pg_temp.forget () \g /dev/null
SELECT pg_temp.take ('e1', 'checkout.completed', '2025-01-01 00:00:00', '{"metadata":null,"payment_id":"x"}') \g /dev/null
SELECT pg_temp.take ('e2', 'checkout.cancel', '2025-01-02 00:00:00', '{"metadata":null,"payment_id":"x"}') \g /dev/null
SELECT bagelpay.dispute_won ('x') \g /dev/null
SELECT bagelpay.grant ('payment:x', 'gift@example.com', 'p9') \g /dev/null
SELECT is(pg_temp.state ('payment:x'), 'paid / - - / x=paid', 'a dispute that was won, and a gift');
SELECT pg_temp.take ('e3', 'checkout.failed', '2025-01-01 00:00:00', '{"payment_id":"x"}') \g /dev/null
SELECT is(pg_temp.state (), 'disputed / - / x=disputed', 'the payment moves without it');
SELECT is(pg_temp.told ('SELECT order_id, key_source, event_type FROM bagelpay.events ORDER BY order_id, event_type'),
    'o1 linked checkout.cancel | o1 linked checkout.completed | o1 metadata checkout.failed | payment:x payment operator.dispute_won | payment:x payment operator.grant', 'what was decided stays');
SELECT is(pg_temp.verdict ('2999-01-01', 'payment:x'), 'yes granted', 'and holds');
SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'that is all');

-- Names that a link goes by are no SQL patterns, and long ones are names.
SELECT is(pg_temp.linked ('checkout.completed@1' || pg_temp.key ('o1', ',"payment_id":"a%"'), 'refund.created@2{"payment_id":"ab"}'),
    'e1 o1 metadata | e2 payment:ab payment', 'exactly this name');
SELECT is(pg_temp.linked (
        'checkout.completed@1' || pg_temp.key ('o1', ',"payment_id":"' || repeat('x', 255) || '"'), 'refund.created@2{"payment_id":"' || repeat('x', 255) || '"}'),
    'e1 o1 metadata | e2 o1 linked', 'all of it');

-- Two halves that are committed at the same moment: the later one waits for the earlier, and finds it.
SELECT pg_temp.forget () \g /dev/null
SELECT dblink_connect(name, format('host=%s port=%s dbname=%s user=%s',
    (string_to_array(current_setting('unix_socket_directories'), ','))[1], current_setting('port'), current_database(), session_user))
FROM unnest('{one,other}'::text[]) AS name \g /dev/null

-- An event as the statement that delivers it.
CREATE FUNCTION pg_temp.delivering (id text, type text, extra jsonb)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT format('SELECT outcome FROM bagelpay.ingest (%L, %L)', json_build_array(pg_temp.made (id, type, '2025-01-01 00:00:00', extra)), ARRAY[id]::bytea[])
$$;

-- Delivers two events in two sessions, the second before the first is committed. Returns whether the second waited, and the
-- orders of both.
CREATE FUNCTION pg_temp.at_once (first text, second text)
    RETURNS text
    LANGUAGE plpgsql
    AS $$
DECLARE
    waited boolean;
BEGIN
    PERFORM dblink_exec('one', 'BEGIN');
    PERFORM FROM dblink('one', first) AS t (outcome text);
    PERFORM dblink_send_query('other', second);
    FOR i IN 1 .. 20 LOOP
        waited := dblink_is_busy('other') = 1;
        EXIT WHEN NOT waited;
        PERFORM pg_sleep(0.02);
    END LOOP;
    PERFORM dblink_exec('one', 'COMMIT');
    PERFORM FROM dblink_get_result('other') AS t (outcome text);
    PERFORM FROM dblink_get_result('other') AS t (outcome text);
    RETURN format('%s: %s', waited, pg_temp.keyed ());
END
$$;
SELECT is(pg_temp.at_once (
        pg_temp.delivering ('a1', 'checkout.completed', '{"payment_id":"x"}'), pg_temp.delivering ('a2', 'refund.created', '{"metadata":null,"payment_id":"x"}')),
    't: a1 o1 metadata | a2 o1 linked', 'a payment and its refund');
SELECT is(pg_temp.state (), 'refunded / - / x=refunded', 'are folded together');
SELECT pg_temp.forget () \g /dev/null
SELECT is(pg_temp.at_once (
        pg_temp.delivering ('a2', 'refund.created', '{"metadata":null,"provider_order_id":"O"}'), pg_temp.delivering ('a1', 'checkout.completed', '{"provider_order_id":"O"}')),
    't: a1 o1 metadata | a2 o1 linked', 'a refund and its payment, by the provider''s order');
SELECT is(pg_temp.state (), 'refunded / - / order:O=refunded', 'likewise');
SELECT pg_temp.forget () \g /dev/null
SELECT is(pg_temp.at_once (
        pg_temp.delivering ('a1', 'checkout.completed', '{"payment_id":"x"}'),
        pg_temp.delivering ('a2', 'checkout.completed', '{"metadata":{"order_id":"o2"},"payment_id":"y"}')),
    'f: a1 o1 metadata | a2 o2 metadata', 'other payments do not wait');
SELECT is(bagelpay.rebuild () + bagelpay.rekey (), 0::bigint, 'all is whole');

SELECT * FROM finish();
