-- What the console's role may do, and what the functions behind its views say.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
SET TimeZone = 'UTC';

-- Every statement is a transaction of its own, so that events come one after the other. The
-- database is this file's.
SELECT plan(109);

\ir builder.psql

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;

-- A life with a late event, an operator's decision, a stranger, and two dead letters.
SELECT pg_temp.take ('e1', 'subscription.trialing', '2025-01-01 00:00:00', '{"trial_start":"2025-01-01 00:00:00+00","trial_end":"2025-01-08 00:00:00+00"}') \g /dev/null
SELECT pg_temp.take ('e3', 'subscription.paid', '2025-02-08 00:00:00', '{"payment_id":"y","amount":"12345678901.10","recurring_interval":"monthly"}') \g /dev/null
SELECT pg_temp.take ('e2', 'subscription.paid', '2025-01-08 00:00:00', '{"payment_id":"x","amount":"10","billing_period_end":"2025-02-08 00:00:00+00"}') \g /dev/null
SELECT pg_temp.take ('t1', 'checkout.completed', '2025-01-02 00:00:00', '{"mode":"test","payment_id":"z","metadata":{"order_id":"o2"},"customer_id":"c2","customer_email":"second@example.com"}') \g /dev/null
SELECT pg_temp.take ('i1', 'invoice.created', '2025-01-02 00:00:00') \g /dev/null
SELECT bagelpay.ingest ('[{"dead_letter":"invalid","detail":"object.mode: missing"}]', ARRAY['\x7b00ff7d'::bytea]) \g /dev/null
SELECT bagelpay.ingest ('[{"dead_letter":"invalid","detail":"event_type: missing"}]', ARRAY['{}'::bytea]) \g /dev/null
SELECT bagelpay.grant ('o3', 'Ann@example.com', 'p9', now() + interval '1 day', 'a gift') \g /dev/null

-- --- the role ---
SELECT is(string_agg(c.relname, ' ' ORDER BY c.relname COLLATE "C"), NULL, 'the console''s role writes nothing')
FROM pg_class AS c
WHERE c.relnamespace = 'bagelpay'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
    AND (has_any_column_privilege('bagelpay_console', c.oid, 'INSERT, UPDATE, REFERENCES')
        OR has_table_privilege('bagelpay_console', c.oid, 'DELETE, TRUNCATE, TRIGGER'));
SELECT ok(NOT has_schema_privilege('bagelpay_console', 'bagelpay', 'CREATE'), 'creates nothing');
SELECT is(string_agg(f.proname, ' ' ORDER BY f.proname COLLATE "C"),
    'changes_since console_counts console_dead_letter console_dead_letters console_deliveries console_delivery console_is_large '
        || 'console_order console_overview console_paid_until console_search console_spans console_trial_until console_verdict entitlements_at explain interval_length is_entitled matches_expectation trimmed utc_plus zone_half_hours',
    'and calls only what reads')
FROM pg_proc AS f
WHERE f.pronamespace = 'bagelpay'::regnamespace AND has_function_privilege('bagelpay_console', f.oid, 'EXECUTE');
SELECT is(count(*), 0::bigint, 'of those, what runs with the owner''s rights only reads')
FROM pg_proc AS f
WHERE f.pronamespace = 'bagelpay'::regnamespace AND f.prosecdef AND has_function_privilege('bagelpay_console', f.oid, 'EXECUTE')
    AND f.proname NOT IN ('explain', 'changes_since');
SELECT is(rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, FALSE, 'it has no power of its own')
FROM pg_roles WHERE rolname = 'bagelpay_console';
SELECT ok(NOT pg_has_role('bagelpay_console', r.role, 'MEMBER'), 'it is no ' || r.role)
FROM unnest('{bagelpay_owner,bagelpay_ingest,bagelpay_app}'::text[]) AS r (role);
SELECT ok(NOT pg_has_role('bagelpay_ingest', 'bagelpay_console', 'MEMBER'), 'responders are not of it');
SELECT ok(NOT has_function_privilege('bagelpay_reader', f.oid, 'EXECUTE') AND NOT has_function_privilege('bagelpay_ingest', f.oid, 'EXECUTE'),
    'nobody else calls ' || f.proname)
FROM pg_proc AS f
WHERE f.pronamespace = 'bagelpay'::regnamespace AND f.proname LIKE 'console%'
ORDER BY f.proname;
SELECT ok(NOT has_table_privilege('bagelpay_reader', 'bagelpay.event_bodies', 'SELECT'), 'readers still see no body');

-- Tried out: every table, every way to write it, and every function that changes something.
SET ROLE bagelpay_console;
SELECT throws_ok(format(statement, name), '42501', NULL, format(statement, name))
FROM unnest('{events,event_bodies,dead_letters,orders,settings}'::text[]) WITH ORDINALITY AS t (name, i),
    unnest(ARRAY['DELETE FROM bagelpay.%I', 'INSERT INTO bagelpay.%I DEFAULT VALUES', 'TRUNCATE bagelpay.%I']) WITH ORDINALITY AS s (statement, j)
ORDER BY i, j;
SELECT throws_ok(call, '42501', NULL, 'refused: ' || call)
FROM unnest(ARRAY[
    'SELECT bagelpay.grant (''o1'')', 'SELECT bagelpay.revoke (''o1'')', 'SELECT bagelpay.rebuild ()', 'SELECT bagelpay.rekey ()',
    'SELECT bagelpay.expect_order (''o1'', NULL, NULL, NULL, NULL)', 'SELECT * FROM bagelpay.ingest (''[]'', ''{}'')',
    'UPDATE bagelpay.settings SET grace = ''2 days''']) WITH ORDINALITY AS v (call, i)
ORDER BY i;

-- --- what it sees; from here on as that role ---

-- Rows of the list, short.
CREATE FUNCTION pg_temp.ids (list json)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT coalesce(string_agg(r ->> 'id', ' ' ORDER BY i), '')
    FROM json_array_elements(list -> 'rows') WITH ORDINALITY AS e (r, i)
$$;

SELECT is(regexp_replace(pg_temp.ids (bagelpay.console_deliveries ()), 'operator:\S+', 'op'), 'op dead:2 dead:1 i1 t1 e2 e3 e1', 'newest first, dead letters among events');
SELECT is(bagelpay.console_deliveries () ->> 'next', NULL, 'that is all');
SELECT is(pg_temp.ids (bagelpay.console_deliveries (of_mode => 'test')), 't1', 'by mode');
SELECT is(pg_temp.ids (bagelpay.console_deliveries (of_type => 'subscription.paid')), 'e2 e3', 'by type');
SELECT is(pg_temp.ids (bagelpay.console_deliveries (of_outcome => 'ignored')), 'i1', 'by outcome');
SELECT is(pg_temp.ids (bagelpay.console_deliveries (of_outcome => 'dead_letter')), 'dead:2 dead:1', 'dead letters alone');
SELECT is(pg_temp.ids (bagelpay.console_deliveries (of_order => 'o1')), 'e2 e3 e1', 'by order');
SELECT is(pg_temp.ids (bagelpay.console_deliveries (of_order => 'o1', of_type => 'subscription.trialing')), 'e1', 'by order and type');
SELECT is(pg_temp.ids (bagelpay.console_deliveries (of_event => 'e2')), 'e2', 'by event');
SELECT is(pg_temp.ids (bagelpay.console_deliveries (of_event => 'e2', of_order => 'o2')), '', 'by event and another order');
SELECT is(pg_temp.ids (bagelpay.console_deliveries (warned => TRUE)), '', 'none has warnings');
SELECT is(pg_temp.ids (bagelpay.console_deliveries ((SELECT received_at FROM bagelpay.events WHERE event_id = 't1'), 't1')), 'e2 e3 e1', 'those before a row');
SELECT is(pg_temp.ids (bagelpay.console_deliveries (since => (SELECT received_at FROM bagelpay.events WHERE event_id = 't1'), of_mode => 'live', of_type => 'invoice.created')), 'i1', 'those since a moment');

SELECT is(bagelpay.console_delivery ('e3') ->> 'amount', '12345678901.10', 'an amount as text, with all its digits');
SELECT is(convert_from(decode(bagelpay.console_delivery ('e3') ->> 'body', 'base64'), 'UTF8')::json ->> 'event_id', 'e3', 'the body');
SELECT is(bagelpay.console_delivery ('e2') ->> 'late', 'true', 'that it was late');
SELECT is(bagelpay.console_delivery ('e2') ->> 'note', 'order trialing → paid; subscription trialing → active; payment x: paid', 'and what it changed');
SELECT is(bagelpay.console_delivery ('i1') ->> 'note', NULL, 'one without an order changed nothing');
SELECT is(bagelpay.console_delivery ('nix')::text, NULL, 'there is no such event');

SELECT is(string_agg(concat_ws(' ', from_at::date, to_at::date, entitled, reason), ' | ' ORDER BY from_at),
    '2025-01-01 2025-03-09 t active | 2025-03-09 f expired', 'when a subscription entitles')
FROM bagelpay.console_spans ('live', 'o1');
SELECT is(string_agg(concat_ws(' ', to_at IS NULL, entitled, reason), ' | ' ORDER BY from_at), 'f t granted | t f pending', 'when a grant does')
FROM bagelpay.console_spans ('live', 'o3');
SELECT is(
    (SELECT string_agg(concat_ws(' ', p ->> 'payment_id', p ->> 'amount', (p ->> 'paid_until')::timestamptz::date, p ->> 'counts'), ' | ')
     FROM json_array_elements(bagelpay.console_order ('live', 'o1') -> 'payments') AS p),
    'x 10 2025-02-08 true | y 12345678901.10 2025-03-08 true', 'what each payment bought');
SELECT is(json_array_length(bagelpay.console_order ('live', 'o1') -> 'events'), 3, 'its events');

SELECT is(bagelpay.console_search (wanted) #>> '{orders,0,order_id}', found, 'found by ' || what)
FROM (VALUES ('o1', 'o1', 'order'), (E' o1\n', 'o1', 'order with white space'), ('t1', 'o2', 'event'), ('c2', 'o2', 'customer'), ('SECOND@example.com', 'o2', 'e-mail in any case'),
    ('seco', 'o2', 'the beginning of an e-mail'), ('an', 'o3', 'that of one a grant gave'), ('nix', NULL, 'nothing')) AS v (wanted, found, what);
SELECT is(bagelpay.console_search ('i1') ->> 'event', 'i1', 'an event without an order is found, too');
SELECT throws_ok($$SELECT bagelpay.console_search (' ')$$, '22023', NULL, 'nothing to look for');

SELECT is(bagelpay.console_overview () #>> '{last,id}', 't1', 'the newest event that was applied: not what was ignored, nor an operator''s');
SELECT is((SELECT sum((m ->> 'events')::integer) FROM json_array_elements(bagelpay.console_overview () -> 'minutes') AS m), 6::bigint, 'events by minute');
SELECT is((SELECT sum((m ->> 'dead_letters')::integer) FROM json_array_elements(bagelpay.console_overview () -> 'minutes') AS m), 2::bigint, 'dead letters by minute');
SELECT is(json_array_length(bagelpay.console_overview () -> 'minutes'), 60, 'of an hour');
SELECT is(bagelpay.console_dead_letters () #>> '{rows,0,bytes}', '2', 'dead letters with their size');
SELECT is(decode(bagelpay.console_dead_letter (1) ->> 'body', 'base64'), '\x7b00ff7d'::bytea, 'and every byte');

-- More lives, as whoever may make them.
RESET ROLE;
SELECT pg_temp.take ('tr1', 'subscription.trialing', '2025-03-01 00:00:00', '{"metadata":{"order_id":"tr"}}') \g /dev/null
SELECT pg_temp.take ('p7', 'checkout.completed', '2025-03-01 00:00:00', '{"metadata":{},"provider_order_id":"ORD_7"}') \g /dev/null
SELECT pg_temp.take (name || '1', 'checkout.completed', '2025-03-02 00:00:00', format('{"metadata":{"order_id":"%s"},"payment_id":"%s","amount":"9"}', name, name)::jsonb)
FROM unnest('{back,parts,fight,gone}'::text[]) AS name \g /dev/null
SELECT pg_temp.take ('back2', 'refund.created', '2025-03-04 00:00:00', '{"metadata":{"order_id":"back"},"payment_id":"back","refund_label":"full"}') \g /dev/null
SELECT pg_temp.take ('back3', 'refund.created', '2025-03-05 00:00:00', '{"metadata":{"order_id":"back"},"payment_id":"back","refund_amount":"1"}') \g /dev/null
SELECT pg_temp.take ('parts2', 'refund.created', '2025-03-03 00:00:00', '{"metadata":{"order_id":"parts"},"payment_id":"parts","refund_amount":"4"}') \g /dev/null
SELECT pg_temp.take ('parts3', 'refund.created', '2025-03-04 00:00:00', '{"metadata":{"order_id":"parts"},"payment_id":"parts","refund_amount":"5"}') \g /dev/null
SELECT pg_temp.take ('fight0', 'checkout.cancel', '2025-03-01 00:00:00', '{"metadata":{"order_id":"fight"},"payment_id":"fight"}') \g /dev/null
SELECT pg_temp.take ('fight2', 'checkout.cancel', '2025-03-03 00:00:00', '{"metadata":{"order_id":"fight"},"payment_id":"fight"}') \g /dev/null
SELECT bagelpay.revoke ('gone') \g /dev/null
SELECT pg_temp.take (name || '_' || i, 'checkout.completed', (timestamp '2025-04-01' + i * interval '1 minute')::text,
    format('{"metadata":{"order_id":"%s"},"payment_id":"%s"}', name, i)::jsonb)
FROM (VALUES ('few', 200), ('lot', 201)) AS v (name, events), generate_series(1, events) AS i \g /dev/null
SELECT pg_temp.take ('m' || i, CASE i WHEN 1 THEN 'checkout.completed' ELSE 'checkout.failed' END, (timestamp '2025-05-01' + i * interval '1 day')::text,
    format('{"metadata":{"order_id":"m%s"},"customer_email":"many@example.com"}', i)::jsonb)
FROM generate_series(1, 26) AS i \g /dev/null
SELECT pg_temp.take ('mt', 'checkout.completed', '2025-06-01 00:00:00', '{"mode":"test","metadata":{"order_id":"mt"},"customer_email":"many@example.com"}') \g /dev/null
SET ROLE bagelpay_console;

SELECT is(concat_ws(' ', (t ->> 'from_at')::timestamptz::date, (t ->> 'to_at')::timestamptz::date), wanted, 'a trial''s bar, its end ' || what)
FROM (VALUES ('o1', '2025-01-01 2025-01-08', 'as it came'), ('tr', '2025-03-01 2025-04-01', 'by the settings'), ('o3', '', 'not where there is no trial')) AS v (name, wanted, what),
    LATERAL (SELECT bagelpay.console_order ('live', name) -> 'trial') AS f (t);
SELECT is(bagelpay.console_verdict ('live', 'o1') - '{mode,updated_at,decision,granted_at,granted_until,revoked_at,paid_at,paid_until,trial_until,ends_at,taken_back_at,mismatches}'::text[],
    (SELECT to_jsonb(e) FROM bagelpay.entitlements AS e WHERE e.order_id = 'o1'), 'a verdict is that of the view, and more');
SELECT is((v ->> 'taken_back_at')::timestamptz, at::timestamptz, name || ': when it was taken back')
FROM (VALUES ('back', '2025-03-04'), ('parts', '2025-03-04'), ('fight', '2025-03-03'), ('o1', NULL)) AS t (name, at), LATERAL (SELECT bagelpay.console_verdict ('live', name)) AS f (v);
SELECT is((bagelpay.console_verdict ('live', 'gone') ->> 'revoked_at')::timestamptz, (SELECT max(occurred_at) FROM bagelpay.events WHERE order_id = 'gone' AND event_type = 'operator.revoke'),
    'when it was revoked');
SELECT is(bagelpay.console_verdict ('live', 'nix'), NULL, 'no verdict without an order');

SELECT is(bagelpay.console_search (wanted) #>> '{orders,0,order_id}', 'order:' || wanted, 'found by the provider''s order, as which it is known')
FROM (VALUES ('ORD_7')) AS v (wanted);
SELECT is((SELECT string_agg(o ->> 'order_id', ' ') FROM json_array_elements(bagelpay.console_search ('many@example.com') -> 'orders') AS o),
    'm1 m26 m25 m24 m23 m22 m21 m20 m19 m18 m17 m16 m15 m14 m13 m12 m11 m10 m9 m8', 'those that entitle come first, then the newest');
SELECT is((SELECT string_agg(o ->> 'order_id', ' ') FROM json_array_elements(bagelpay.console_search ('many@example.com', 20) -> 'orders') AS o),
    'm7 m6 m5 m4 m3 m2 mt', 'then the others, test ones last');
SELECT is(concat_ws(' ', s ->> 'exact', s ->> 'live', s ->> 'entitled', s ->> 'cut', s ->> 'more'), wanted, 'all of them are counted')
FROM (VALUES (0, '27 26 1 false true'), (20, '27 26 1 false false'), (-5, '27 26 1 false true')) AS v (skip, wanted),
    LATERAL (SELECT bagelpay.console_search ('many@example.com', skip)) AS f (s);

-- An order of more events than are folded while somebody waits.
SELECT is(concat_ws(' ', o ->> 'large', json_array_length(o -> 'events'), o #>> '{events,0,event_id}', o #>> '{events,199,event_id}', o #>> '{entitlement,reason}'),
    wanted, name || ': its events')
FROM (VALUES ('few', 'false 200 few_1 few_200 paid'), ('lot', 'true 200 lot_2 lot_201 paid')) AS v (name, wanted),
    LATERAL (SELECT bagelpay.console_order ('live', name)) AS f (o);
SELECT is(bagelpay.console_delivery (name || '_150') ->> 'note', wanted, name || ': what one changed')
FROM (VALUES ('few', 'payment 150: paid'), ('lot', NULL)) AS v (name, wanted);
SELECT is(bagelpay.console_delivery (name || '_150') ->> 'large', wanted, name || ': whether that can be said')
FROM (VALUES ('few', 'false'), ('lot', 'true')) AS v (name, wanted);
SELECT ok(pg_temp.ids (bagelpay.console_deliveries (of_order => 'lot', of_type => 'checkout.completed')) ~ '^(lot_\d+ ){49}lot_\d+$', 'listed by its order');
SELECT is((SELECT count(*) FROM json_array_elements(bagelpay.console_order ('live', 'lot') -> 'spans') AS s
    WHERE (s ->> 'entitled')::boolean AND s ->> 'to_at' IS NULL), 1::bigint, 'the time that it entitles');
SELECT is(bagelpay.console_order ('test', 'o1')::text, NULL, 'not of the other mode');

SELECT * FROM finish();
