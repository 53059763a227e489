-- What the console's role may do, and what the functions behind its views say.
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only true
SET client_min_messages = warning;
SET TimeZone = 'UTC';

-- Every statement is a transaction of its own, so that events come one after the other. The
-- database is this file's.
SELECT plan(194);

\ir builder.psql

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO PUBLIC;

-- A life with a late event, an operator's decision, a stranger, and two dead letters.
SELECT pg_temp.take ('e1', 'subscription.trialing', '2025-01-01 00:00:00', '{"trial_start":"2025-01-01 00:00:00+00","trial_end":"2025-01-08 00:00:00+00"}') \g /dev/null
SELECT pg_temp.take ('e3', 'subscription.paid', '2025-02-08 00:00:00', '{"payment_id":"y","amount":"12345678901.10","recurring_interval":"1 mon"}') \g /dev/null
SELECT pg_temp.take ('e2', 'subscription.paid', '2025-01-08 00:00:00', '{"payment_id":"x","amount":"10","billing_period_end":"2025-02-08 00:00:00+00"}') \g /dev/null
SELECT pg_temp.take ('t1', 'checkout.completed', '2025-01-02 00:00:00', '{"mode":"test","payment_id":"z","metadata":{"order_id":"o2"},"customer_id":"c2","customer_email":"second@example.com"}') \g /dev/null
SELECT pg_temp.take ('i1', 'invoice.created', '2025-01-02 00:00:00') \g /dev/null
SELECT bagelpay.ingest ('[{"outcome":"invalid","detail":"object.mode: missing"}]', ARRAY['\x7b00ff7d'::bytea]) \g /dev/null
SELECT bagelpay.ingest ('[{"outcome":"mode","detail":"test","event_id":"d2","customer_email":"dead@example.com","metadata":{"order_id":"od"}}]', ARRAY['{}'::bytea]) \g /dev/null
SELECT bagelpay.grant ('o3', 'Ann@example.com', 'p9', now() + interval '1 day', 'a gift') \g /dev/null

-- --- the role ---
SELECT is(string_agg(c.relname, ' ' ORDER BY c.relname COLLATE "C"), NULL, 'the console''s role writes nothing')
FROM pg_class AS c
WHERE c.relnamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace) AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
    AND (has_any_column_privilege('bagelpay_console', c.oid, 'INSERT, UPDATE, REFERENCES')
        OR has_table_privilege('bagelpay_console', c.oid, 'DELETE, TRUNCATE, TRIGGER'));
SELECT ok(NOT has_schema_privilege('bagelpay_console', schema, 'CREATE'), 'creates nothing in ' || schema)
FROM unnest('{bagelpay,bagelpay_internal}'::text[]) AS schema;
SELECT is(string_agg(DISTINCT f.proname::text COLLATE "C", ' ' ORDER BY f.proname::text COLLATE "C"),
    'access_now attention_row attention_rows changes_since clock_moments compare compare_subscriptions compare_transactions '
    'console_attention console_customer console_customer_attention console_customer_orders console_days console_dead_letter console_dead_letters '
    'console_deliveries console_delivery console_former console_item console_loose console_names_of console_order '
    'console_orders_named console_overview console_purchase console_search console_window decision_on difference_detail '
    'difference_id difference_remedy entitlement entitlement_changes entitlements_at equal_lengths event_rank explain find '
    'fold_slot given_mode given_moment has_feature has_item is_entitled is_expected is_user_entitled item_mismatches '
    'items_named listed_subscriptions listed_time names_between open_differences payment_by_provider_order purchase_window '
    'served_responders statement subscription_key trimmed user_has_feature utc_minus utc_plus verify zone_half_hours',
    'and calls only what reads')
FROM pg_proc AS f
WHERE f.pronamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace) AND has_function_privilege('bagelpay_console', f.oid, 'EXECUTE');
SELECT is(count(*), 0::bigint, 'of those, what runs with the owner''s rights only reads')
FROM pg_proc AS f
WHERE f.pronamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace) AND f.prosecdef AND has_function_privilege('bagelpay_console', f.oid, 'EXECUTE')
    AND f.proname NOT IN ('explain', 'changes_since');
SELECT is(rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, FALSE, 'it has no power of its own')
FROM pg_roles WHERE rolname = 'bagelpay_console';
SELECT ok(NOT pg_has_role('bagelpay_console', r.role, 'MEMBER'), 'it is no ' || r.role)
FROM unnest('{bagelpay_owner,bagelpay_ingest,bagelpay_app}'::text[]) AS r (role);
SELECT ok(NOT pg_has_role('bagelpay_ingest', 'bagelpay_console', 'MEMBER'), 'responders are not of it');
SELECT ok(NOT has_function_privilege('bagelpay_reader', f.oid, 'EXECUTE') AND NOT has_function_privilege('bagelpay_ingest', f.oid, 'EXECUTE'),
    'nobody else calls ' || f.proname)
FROM pg_proc AS f
WHERE f.pronamespace IN ('bagelpay'::regnamespace, 'bagelpay_internal'::regnamespace) AND f.proname LIKE 'console%'
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

SELECT is(regexp_replace(pg_temp.ids (bagelpay_internal.console_deliveries ()), 'operator:\S+', 'op'), 'op dead:2 dead:1 i1 t1 e2 e3 e1', 'newest first, dead letters among events');
SELECT is(bagelpay_internal.console_deliveries () ->> 'next', NULL, 'that is all');
SELECT is(pg_temp.ids (bagelpay_internal.console_deliveries (of_mode => 'test')), 't1', 'by mode');
SELECT is(pg_temp.ids (bagelpay_internal.console_deliveries (of_type => 'subscription.paid')), 'e2 e3', 'by type');
SELECT is(pg_temp.ids (bagelpay_internal.console_deliveries (of_outcome => 'ignored')), 'i1', 'by outcome');
SELECT is(pg_temp.ids (bagelpay_internal.console_deliveries (of_outcome => 'dead_letter')), 'dead:2 dead:1', 'dead letters alone');
SELECT is(pg_temp.ids (bagelpay_internal.console_deliveries (of_order => 'o1')), 'e2 e3 e1', 'by order');
SELECT is(pg_temp.ids (bagelpay_internal.console_deliveries (of_order => 'o1', of_type => 'subscription.trialing')), 'e1', 'by order and type');
SELECT is(pg_temp.ids (bagelpay_internal.console_deliveries (of_event => 'e2')), 'e2', 'by event');
SELECT is(pg_temp.ids (bagelpay_internal.console_deliveries (of_event => 'e2', of_order => 'o2')), '', 'by event and another order');
SELECT is(pg_temp.ids (bagelpay_internal.console_deliveries (warned => TRUE)), '', 'none has warnings');
SELECT is(pg_temp.ids (bagelpay_internal.console_deliveries ((SELECT received_at FROM bagelpay.events WHERE event_id = 't1'), 't1')), 'e2 e3 e1', 'those before a row');
SELECT is(pg_temp.ids (bagelpay_internal.console_deliveries (since => (SELECT received_at FROM bagelpay.events WHERE event_id = 't1'), of_mode => 'live', of_type => 'invoice.created')), 'i1', 'those since a moment');

SELECT is(bagelpay_internal.console_delivery ('e3') ->> 'amount', '12345678901.10', 'an amount as text, with all its digits');
SELECT is(convert_from(decode(bagelpay_internal.console_delivery ('e3') ->> 'body', 'base64'), 'UTF8')::json ->> 'event_id', 'e3', 'the body');
SELECT is(bagelpay_internal.console_delivery ('e2') ->> 'late', 'true', 'that it was late');
SELECT is(bagelpay_internal.console_delivery ('e2') ->> 'note', 'order trialing → paid; subscription active; payment x: paid', 'and what it changed');
SELECT is(bagelpay_internal.console_delivery ('i1') ->> 'note', NULL, 'one without an order changed nothing');
SELECT is(bagelpay_internal.console_delivery ('nix')::text, NULL, 'there is no such event');

-- When an item gives access, short.
CREATE FUNCTION pg_temp.access (item jsonb)
    RETURNS text
    LANGUAGE sql
    AS $$
    SELECT string_agg(concat_ws(' ', (r ->> 0)::timestamptz::date, (r ->> 1)::timestamptz::date), ' | ' ORDER BY i)
    FROM jsonb_array_elements(item -> 'access') WITH ORDINALITY AS e (r, i)
$$;

-- The only item of an order.
CREATE FUNCTION pg_temp.item (of_order text)
    RETURNS jsonb
    LANGUAGE sql
    AS $$
    SELECT bagelpay_internal.console_order ('live', of_order)::jsonb #> '{items,0}' WHERE json_array_length(bagelpay_internal.console_order ('live', of_order) -> 'items') = 1
$$;

SELECT is(pg_temp.access (pg_temp.item ('o1')), '2025-01-01 2025-03-09', 'when a subscription gives access');
SELECT is(pg_temp.access (pg_temp.item ('o3')), concat_ws(' ', now()::date, now()::date + 1), 'when a grant does');
SELECT is(
    (SELECT string_agg(concat_ws(' ', p ->> 'name', p ->> 'amount', (p ->> 'until')::timestamptz::date, p ->> 'counts'), ' | ')
     FROM json_array_elements(bagelpay_internal.console_order ('live', 'o1') -> 'purchases') AS p),
    'e1 2025-01-09 true | x 10 2025-02-09 true | y 12345678901.10 2025-03-09 true', 'the windows of a trial and of payments');
SELECT is(json_array_length(bagelpay_internal.console_order ('live', 'o1') -> 'events'), 3, 'its events');

SELECT is(bagelpay_internal.console_search (wanted) #>> '{items,0,order_id}', found, 'found by ' || what)
FROM (VALUES ('o1', 'o1', 'order'), (E' o1\n', 'o1', 'order with white space'), ('t1', 'o2', 'event'), ('c2', 'o2', 'customer'), ('SECOND@example.com', 'o2', 'e-mail in any case'),
    ('seco', 'o2', 'the beginning of an e-mail'), ('ann@', 'o3', 'that of one a grant gave'), ('nix', NULL, 'nothing')) AS v (wanted, found, what);
SELECT is(bagelpay_internal.console_search ('i1') ->> 'event', 'i1', 'an event without an order is found, too');
SELECT throws_ok($$SELECT bagelpay_internal.console_search (' ')$$, '22023', NULL, 'nothing to look for');

SELECT is(bagelpay_internal.console_overview () #>> '{last,id}', 't1', 'the newest event that was applied: not what was ignored, nor an operator''s');
SELECT is((SELECT sum((m ->> 'events')::integer) FROM json_array_elements(bagelpay_internal.console_overview () -> 'columns') AS m), 6::bigint, 'events by column');
SELECT is((SELECT sum((m ->> 'dead_letters')::integer) FROM json_array_elements(bagelpay_internal.console_overview () -> 'columns') AS m), 2::bigint, 'dead letters by column');
SELECT is((bagelpay_internal.console_overview (range) ->> 'width')::integer * (bagelpay_internal.console_overview (range) ->> 'count')::integer, seconds, 'the columns of ' || range)
FROM (VALUES ('1h', 3600), ('24h', 86400), ('7d', 604800), ('30d', 2592000)) AS v (range, seconds);
SELECT is(bagelpay_internal.console_overview () ->> 'verification', NULL, 'no verification');
RESET ROLE;
INSERT INTO bagelpay.verifications (mode, started_at, since, transactions, subscriptions, agreed, differences)
VALUES ('live', '2025-01-01Z', '2024-12-01Z', 9, 3, 12, 0), ('live', '2025-01-02Z', '2024-12-02Z', 9, 3, 10, 2), ('test', '2025-01-03Z', '2024-12-03Z', 0, 0, 0, 0);
SET ROLE bagelpay_console;
SELECT is((bagelpay_internal.console_overview () #>> '{verification,mode}') || (bagelpay_internal.console_overview () #>> '{verification,differences}'), 'live2', 'the last one of live mode');
SELECT throws_ok('SELECT bagelpay_internal.console_overview (''2h'')', '22023', NULL, 'no other range');
SELECT is(bagelpay_internal.console_deliveries (of_mode => 'live') ->> 'hidden_letters', '2', 'dead letters that a filter leaves out are counted');
SELECT is(bagelpay_internal.console_deliveries () ->> 'hidden_letters', '0', 'without a filter, none is left out');
SELECT is(concat_ws(' ', r ->> 'email', r ->> 'product_id', r ->> 'amount'), 'c1@example.com p1 12345678901.10', 'who, what, how much')
FROM (SELECT bagelpay_internal.console_deliveries (of_event => 'e3') #> '{rows,0}') AS v (r);
SELECT is(pg_temp.ids (bagelpay_internal.console_dead_letters (wanted => wanted)), found, 'dead letters with ' || wanted)
FROM (VALUES ('DEAD@', '2'), ('od', '2 1'), ('object.mode', '1'), ('d2', '2'), ('nix', '')) AS v (wanted, found);
SELECT is((SELECT string_agg(concat_ws(' ', k ->> 'kind', k ->> 'count'), ', ' ORDER BY k ->> 'kind') FROM json_array_elements(bagelpay_internal.console_attention () -> 'kinds') AS k
    WHERE k ->> 'kind' IN ('dead_letter', 'ignored_type')), 'dead_letter 2, ignored_type 1', 'what needs a person, by kind');
SELECT is(bagelpay_internal.console_attention () ->> 'count', (SELECT count(*)::text FROM bagelpay.attention), 'as many as the view has');
SELECT is(bagelpay_internal.console_dead_letters () #>> '{rows,0,bytes}', '2', 'dead letters with their size');
SELECT is(concat_ws(' ', d ->> 'reason', d ->> 'event_id', d ->> 'order_id', d ->> 'customer_email'), 'mode d2 od dead@example.com', 'and what is known of them')
FROM (VALUES (bagelpay_internal.console_dead_letters () #> '{rows,0}'), (bagelpay_internal.console_dead_letter (2))) AS v (d);
SELECT is((SELECT string_agg(a.id, ' ' ORDER BY a.since) FROM bagelpay.attention AS a WHERE a.kind = 'dead_letter'),
    concat_ws(' ', bagelpay_internal.console_dead_letter (1) ->> 'attention_id', bagelpay_internal.console_dead_letter (2) ->> 'attention_id'), 'under which id they can be dismissed');
SELECT is(decode(bagelpay_internal.console_dead_letter (1) ->> 'body', 'base64'), '\x7b00ff7d'::bytea, 'and every byte');

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
SELECT pg_temp.take ('two' || i, 'checkout.completed', '2025-03-02 00:00:00', format('{"metadata":{"order_id":"two","user_id":"user_%s"},"payment_id":"two%s",
    "product_id":"q%s","customer_id":"two_%s","customer_email":"two%s@example.com"}', i, i, i, i, i)::jsonb)
FROM generate_series(1, 2) AS i \g /dev/null
SELECT bagelpay.revoke ('two', product_id => 'q2') \g /dev/null
SELECT pg_temp.take ('unsold', 'checkout.failed', '2025-03-02 00:00:00',
    '{"metadata":{"order_id":"unsold","user_id":"user_3"},"customer_id":"unsold","customer_email":"nobody@example.com"}') \g /dev/null
SELECT pg_temp.take (name || '_' || i, 'checkout.completed', (timestamp '2025-04-01' + i * interval '1 minute')::text,
    format('{"metadata":{"order_id":"%s"},"payment_id":"%s"}', name, i)::jsonb)
FROM (VALUES ('lot', 201)) AS v (name, events), generate_series(1, events) AS i \g /dev/null
SELECT pg_temp.take ('m' || i, CASE i WHEN 1 THEN 'checkout.completed' ELSE 'checkout.failed' END, (timestamp '2025-05-01' + i * interval '1 day')::text,
    format('{"metadata":{"order_id":"m%s"},"customer_email":"many@example.com"}', i)::jsonb)
FROM generate_series(1, 26) AS i \g /dev/null
SELECT pg_temp.take ('mt', 'checkout.completed', '2025-06-01 00:00:00', '{"mode":"test","metadata":{"order_id":"mt"},"customer_email":"many@example.com"}') \g /dev/null
-- A customer whose address changed, who has a test purchase, too; one who is known by a payment that came without an order.
SELECT pg_temp.take ('fm1', 'subscription.paid', '2025-06-01 00:00:00', '{"metadata":{"order_id":"fm","user_id":"u_fm"},"customer_id":"c_fm","customer_email":"old@example.com","payment_id":"pay_fm1","provider_order_id":"ORD_FM","amount":"5","currency":"EUR"}') \g /dev/null
SELECT pg_temp.take ('fm2', 'subscription.paid', '2025-07-01 00:00:00', '{"metadata":{"order_id":"fm","user_id":"u_fm"},"customer_id":"c_fm","customer_email":"new@example.com","payment_id":"pay_fm2","amount":"5","currency":"EUR"}') \g /dev/null
SELECT pg_temp.take ('fm3', 'refund.created', '2025-07-02 00:00:00', '{"metadata":{"order_id":"fm"},"customer_id":"c_fm","customer_email":null,"payment_id":"pay_fm2","refund_amount":"1"}') \g /dev/null
SELECT pg_temp.take ('fm4', 'checkout.completed', '2025-07-03 00:00:00', '{"mode":"test","metadata":{"order_id":"fm_test"},"customer_id":"c_fm","customer_email":"new@example.com","payment_id":"pay_fm4"}') \g /dev/null
SELECT pg_temp.take ('lost', 'refund.created', '2025-07-02 00:00:00', '{"metadata":{},"customer_id":null,"product_id":null,"payment_id":null,"customer_email":"lost@example.com"}') \g /dev/null
SELECT pg_temp.take ('today', 'checkout.completed', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '{"metadata":{"order_id":"today"},"customer_id":"c_today","payment_id":"pay_today","amount":"7.50","currency":"EUR"}') \g /dev/null
SELECT pg_temp.take ('cm', 'checkout.completed', '2025-06-01 00:00:00', '{"metadata":{"order_id":"cm"},"customer_id":"c_many","payment_id":"pay_cm","amount":"5"}') \g /dev/null
SELECT pg_temp.take ('cm' || n, 'checkout.failed', '2025-06-02 00:00:00', jsonb_build_object('metadata', jsonb_build_object('order_id', 'cm' || n), 'customer_id', 'c_many', 'payment_id', 'pay_cm' || n))
FROM generate_series(1, 120) AS n \g /dev/null
SELECT pg_temp.take ('shop' || who, 'checkout.completed', '2025-06-01 00:00:00', jsonb_build_object('metadata', jsonb_build_object('order_id', 'shop'), 'customer_id', NULL, 'customer_email', who || '@shop.example', 'payment_id', 'pay_shop' || who))
FROM unnest('{a,b,c}'::text[]) AS who \g /dev/null
SELECT pg_temp.take ('stray', 'subscription.canceled', '2025-07-02 00:00:00',
    '{"metadata":{},"customer_id":null,"customer_email":null,"product_id":null,"payment_id":null,"subscription_id":"sub_stray","processor_subscription_id":"prc_stray","request_id":"req_stray"}') \g /dev/null
SELECT pg_temp.take ('crowd' || n, 'refund.created', '2025-07-02 00:00:00', '{"metadata":{},"customer_id":null,"product_id":null,"payment_id":null,"customer_email":"crowd@example.com"}')
FROM generate_series(1, 51) AS n \g /dev/null
SELECT bagelpay.expect_order ('hope_' || n, 'hope@example.com', 'p1', 5, 'EUR', 'live') FROM generate_series(1, 21) AS n \g /dev/null
SELECT bagelpay.dismiss (id, 'known') FROM bagelpay.attention WHERE kind = 'ignored_type' \g /dev/null
SET ROLE bagelpay_console;

SELECT is((SELECT string_agg(concat_ws(' ', i ->> 'order_id', n ->> 'kind', n ->> 'former', (n ->> 'until')::timestamptz::date), ', ' ORDER BY k)
    FROM json_array_elements(bagelpay_internal.console_search (wanted) -> 'items') WITH ORDINALITY AS v (i, k), json_array_elements(i -> 'names') AS n), found, 'why ' || wanted || ' matched')
FROM (VALUES ('pay_fm2', 'fm payment'), ('ORD_FM', 'fm provider_order'), ('fm3', 'fm event'), ('old@example.com', 'fm email true 2025-07-01'), ('New@example.com', 'fm email, fm_test email'),
    ('u_fm', 'fm user'), ('c_fm', 'fm customer, fm_test customer')) AS v (wanted, found);
SELECT is(concat_ws(' ', s ->> 'begins', s ->> 'many', json_array_length(s -> 'items')), wanted, name || ': only beginnings')
FROM (VALUES ('old@*', 'true false 1'), ('m*', 'false false 0'), ('lot_', 'true true 1')) AS v (name, wanted), LATERAL (SELECT bagelpay_internal.console_search (name)) AS f (s);
SELECT is((SELECT string_agg(e ->> 'event_id', ' ') FROM json_array_elements(bagelpay_internal.console_search ('LOST@example.com') #> '{loose,events}') AS e), 'lost', 'an event without an order');
SELECT is((SELECT string_agg(e ->> 'event_id', ' ') FROM json_array_elements(bagelpay_internal.console_search (wanted) #> '{loose,events}') AS e), 'stray', 'one by ' || wanted)
FROM (VALUES ('sub_stray'), ('prc_stray'), ('req_stray'), ('req_str'), ('req_stra*'), ('stray')) AS v (wanted);
SELECT is((SELECT string_agg(d ->> 'id', ' ') FROM json_array_elements(bagelpay_internal.console_search (wanted) #> '{loose,dead_letters}') AS d), '2', 'a dead letter by ' || wanted)
FROM (VALUES ('Dead@example.com'), ('od'), ('d2'), ('dead@exam')) AS v (wanted);
SELECT is(concat_ws(' ', json_array_length(l -> 'events'), l ->> 'more_events', l ->> 'more_dead_letters'), '20 true false', 'more than are shown, by ' || what)
FROM (VALUES ('search', bagelpay_internal.console_search ('crowd@example.com') -> 'loose'), ('customer', bagelpay_internal.console_customer ('email', 'Crowd@example.com') -> 'loose')) AS v (what, l);
SELECT is(concat_ws(' ', json_array_length(s -> 'expected'), s ->> 'more_expected'), wanted, 'expected by ' || name)
FROM (VALUES ('hope_', '20 true'), ('hope_1', '1 false')) AS v (name, wanted), LATERAL (SELECT bagelpay_internal.console_search (name)) AS f (s);
SELECT is(concat_ws(' ', json_array_length(c -> 'items'), json_array_length(c -> 'orders'), json_array_length(c -> 'purchases'), json_array_length(c -> 'refunds'), json_array_length(c -> 'events')),
    '2 2 3 1 4', 'all that is known of a customer, by ' || kind)
FROM (VALUES ('customer', 'c_fm'), ('email', 'OLD@example.com'), ('email', 'new@example.com'), ('user', 'u_fm')) AS v (kind, value), LATERAL (SELECT bagelpay_internal.console_customer (kind, value)) AS f (c);
SELECT is((SELECT string_agg(concat_ws(' ', n ->> 'kind', n ->> 'value', (n ->> 'first')::timestamptz::date, (n ->> 'last')::timestamptz::date), ', ' ORDER BY k)
    FROM json_array_elements(bagelpay_internal.console_customer ('customer', 'c_fm') -> 'names') WITH ORDINALITY AS v (n, k)),
    'customer c_fm 2025-06-01 2025-07-03, email old@example.com 2025-06-01 2025-06-01, user u_fm 2025-06-01 2025-07-01, email new@example.com 2025-07-01 2025-07-03', 'their names over time');
SELECT is(json_array_length(bagelpay_internal.console_customer ('customer', 'two_1') -> 'items'), 1, 'of an order of several customers, their own item');
SELECT is((bagelpay_internal.console_customer ('customer', 'c_many') #>> '{items,0,entitled}')::boolean, TRUE, 'many failed checkouts do not hide what was bought');
SELECT is((SELECT string_agg(n ->> 'value', ' ') FROM json_array_elements(c -> 'names') AS n), 'a@shop.example', 'of an order of several customers without ids, their own address')
FROM (SELECT bagelpay_internal.console_customer ('email', 'a@shop.example')) AS v (c);
SELECT is((SELECT string_agg(e ->> 'event_id', ' ') FROM json_array_elements(c -> 'events') AS e), 'shopa', 'and their own events')
FROM (SELECT bagelpay_internal.console_customer ('email', 'a@shop.example')) AS v (c);
SELECT is(concat_ws(' ', json_array_length(c -> 'names'), json_array_length(c -> 'purchases'), json_array_length(c -> 'events')), '3 1 1', 'one who only failed to buy, by ' || kind)
FROM (VALUES ('customer', 'unsold'), ('email', 'Nobody@example.com'), ('user', 'user_3')) AS v (kind, value), LATERAL (SELECT bagelpay_internal.console_customer (kind, value)) AS f (c);
SELECT is(concat_ws(' ', c -> 'names', c -> 'items', c -> 'orders', c -> 'events'), '[] [] [] []', 'nothing is known of ' || value)
FROM (VALUES ('email', 'nix@example.com'), ('customer', 'old@example.com'), ('nix', 'c_fm')) AS v (kind, value), LATERAL (SELECT bagelpay_internal.console_customer (kind, value)) AS f (c);
SELECT is(concat_ws(' ', json_array_length(d -> 'days'), d #>> '{days,30,revenue,EUR,paid}', d #>> '{days,30,revenue,EUR,payments}', d ->> 'sampled'), '31 7.50 1', 'revenue by day')
FROM (SELECT bagelpay_internal.console_days ()) AS v (d);
SELECT is((bagelpay_internal.console_days () #>> '{days,30,subscriptions}')::integer, (SELECT count(*) FROM bagelpay.entitlements WHERE kind = 'subscription' AND entitled)::integer, 'subscriptions now');
SELECT is(concat_ws(' ', json_array_length(a -> 'dismissed'), a #>> '{dismissed,0,kind}', a #>> '{dismissed,0,note}'), '1 ignored_type known', 'what was dismissed is apart')
FROM (SELECT bagelpay_internal.console_attention ()) AS v (a);
SELECT is((SELECT count(*) FROM json_array_elements(bagelpay_internal.console_attention () -> 'rows') AS r WHERE r ->> 'event_id' = 'lost'), 0::bigint, 'of a kind with many rows the oldest are not shown');
SELECT is((SELECT string_agg(concat_ws(' ', r ->> 'kind', coalesce(r ->> 'event_id', r ->> 'order_id')), ', ' ORDER BY r ->> 'kind') FROM json_array_elements(bagelpay_internal.console_customer_attention (kind, value) -> 'rows') AS r), found, 'what needs a person of ' || value)
FROM (VALUES ('email', 'LOST@example.com', 'unmatched lost'), ('email', 'dead@example.com', 'dead_letter d2'), ('email', 'nix@example.com', NULL), ('customer', 'unsold', NULL)) AS v (kind, value, found);
SELECT is((SELECT k ->> 'count' FROM json_array_elements(a -> 'kinds') AS k WHERE k ->> 'kind' = 'unmatched') || ' ' || json_array_length(a -> 'rows'), '51 50', 'all of them are counted')
FROM (SELECT bagelpay_internal.console_customer_attention ('email', 'crowd@example.com')) AS v (a);
SELECT is((SELECT (p ->> 'disputed_at')::timestamptz::date::text FROM json_array_elements(bagelpay_internal.console_order ('live', 'fight') -> 'purchases') AS p), '2025-03-03', 'when a payment was disputed');

SELECT is(pg_temp.item ('o1') - '{item,access,decisions,paid_at,paid_until,trial_until,taken_back_at,mismatches}'::text[],
    (SELECT to_jsonb(e) - 'periods' FROM bagelpay.entitlements AS e WHERE e.order_id = 'o1'), 'a verdict is that of the view, and more');
SELECT is(concat_ws(' ', (i ->> 'paid_at')::timestamptz::date, (i ->> 'paid_until')::timestamptz::date, (i ->> 'trial_until')::timestamptz::date), wanted,
    name || ': until when it was paid for and tried, without grace')
FROM (VALUES ('o1', '2025-01-08 2025-03-08 2025-01-08'), ('tr', '2025-04-01'), ('o3', '')) AS v (name, wanted), LATERAL (SELECT pg_temp.item (name)) AS f (i);
SELECT is((i ->> 'taken_back_at')::timestamptz, at::timestamptz, name || ': when it was taken back')
FROM (VALUES ('back', '2025-03-04'), ('parts', '2025-03-04'), ('fight', '2025-03-03'), ('o1', NULL)) AS t (name, at), LATERAL (SELECT pg_temp.item (name)) AS f (i);
SELECT is((pg_temp.item ('gone') #>> '{decisions,0,at}')::timestamptz, (SELECT max(occurred_at) FROM bagelpay.events WHERE order_id = 'gone' AND event_type = 'operator.revoke'),
    'when it was revoked');
SELECT is((SELECT string_agg(concat_ws(' ', i ->> 'product_id', i ->> 'customer_id', i ->> 'reason', jsonb_array_length(i -> 'decisions')), ' | ' ORDER BY n)
    FROM jsonb_array_elements(bagelpay_internal.console_order ('live', 'two')::jsonb -> 'items') WITH ORDINALITY AS v (i, n)), 'q1 two_1 paid 0 | q2 two_2 revoked 1',
    'each item of an order has its own verdict and decisions');
SELECT is(concat_ws(' ', i ->> 'kind', i ->> 'reason', i -> 'access', i #>> '{item,product_id}'), 'failed []', 'an order without items has one, too')
FROM (SELECT pg_temp.item ('unsold')) AS v (i);

SELECT is((SELECT string_agg(concat_ws(' ', i ->> 'order_id', i ->> 'product_id'), ' | ' ORDER BY n)
    FROM json_array_elements(bagelpay_internal.console_search (wanted) -> 'items') WITH ORDINALITY AS v (i, n)), found, 'found by ' || what)
FROM (VALUES ('two', 'two q1 | two q2', 'an order of two items'), ('two_1', 'two q1', 'a customer of one of them'), ('TWO2@example.com', 'two q2', 'an e-mail of the other'),
    ('user_2', 'two q2', 'a user'), ('user_', 'two q1 | two q2 | unsold', 'the beginning of a user''s id'),
    ('unsold', 'unsold', 'the customer of a checkout that failed'), ('nobody@', 'unsold', 'the beginning of the e-mail'), ('user_3', 'unsold', 'the user')) AS v (wanted, found, what);
SELECT is(concat_ws(' ', s ->> 'exact', s ->> 'live', s ->> 'entitled', s ->> 'cut', s ->> 'more'), wanted, 'matches of ' || name || ' are counted')
FROM (VALUES ('two', '2 2 1 false false'), ('two1@example.com', '1 1 1 false false'), ('user_', '0 0 0 false false')) AS v (name, wanted),
    LATERAL (SELECT bagelpay_internal.console_search (name)) AS f (s);
SELECT is(bagelpay_internal.console_search (wanted) #>> '{items,0,order_id}', 'order:' || wanted, 'found by the provider''s order, as which it is known')
FROM (VALUES ('ORD_7')) AS v (wanted);
SELECT is((SELECT string_agg(o ->> 'order_id', ' ') FROM json_array_elements(bagelpay_internal.console_search ('many@example.com') -> 'items') AS o),
    'm1 m26 m25 m24 m23 m22 m21 m20 m19 m18 m17 m16 m15 m14 m13 m12 m11 m10 m9 m8', 'those that entitle come first, then the newest');
SELECT is((SELECT string_agg(o ->> 'order_id', ' ') FROM json_array_elements(bagelpay_internal.console_search ('many@example.com', 20) -> 'items') AS o),
    'm7 m6 m5 m4 m3 m2 mt', 'then the others, test ones last');
SELECT is(concat_ws(' ', s ->> 'exact', s ->> 'live', s ->> 'entitled', s ->> 'cut', s ->> 'more'), wanted, 'all of them are counted')
FROM (VALUES (0, '27 26 1 false true'), (20, '27 26 1 false false'), (-5, '27 26 1 false true')) AS v (skip, wanted),
    LATERAL (SELECT bagelpay_internal.console_search ('many@example.com', skip)) AS f (s);

-- An order of more events than are shown.
SELECT is(concat_ws(' ', json_array_length(o -> 'events'), o #>> '{events,0,event_id}', o #>> '{events,0,position}', o #>> '{events,199,event_id}', o #>> '{items,0,reason}'),
    '200 lot_2 2 lot_201 paid', 'its last events')
FROM (SELECT bagelpay_internal.console_order ('live', 'lot')) AS f (o);
SELECT is(bagelpay_internal.console_delivery ('lot_1') ->> 'note', 'order pending → paid; payment 1: paid', 'what an earlier one changed');
SELECT ok(pg_temp.ids (bagelpay_internal.console_deliveries (of_order => 'lot', of_type => 'checkout.completed')) ~ '^(lot_\d+ ){49}lot_\d+$', 'listed by its order');
SELECT is(bagelpay_internal.console_order ('test', 'o1')::text, NULL, 'not of the other mode');

-- More purchases than the sample, and more events in a while than are counted.
RESET ROLE;
INSERT INTO bagelpay.events (event_id, event_type, mode, occurred_at, received_at, outcome, warnings)
SELECT 'flood_' || n, 'invoice.created', 'live', t, t, 'ignored', '{}'
FROM generate_series(1, 2600) AS n, (SELECT date_bin('8 hours', now(), '2000-01-01T00:00:00Z') - interval '16 hours') AS v (t);
UPDATE pg_class SET reltuples = 100000 WHERE oid = 'bagelpay_internal.purchases'::regclass;
SET ROLE bagelpay_console;
SELECT is((SELECT string_agg(c ->> 'events', ' ') FROM json_array_elements(bagelpay_internal.console_overview ('30d') -> 'columns') AS c WHERE (c ->> 'capped')::boolean), '2500', 'where not all were counted, it is said');
SELECT is(concat_ws(' ', d #>> '{days,30,revenue,EUR,paid}', d #>> '{sampled,stored}'), '7.50 100000', 'revenue is exact where subscriptions are estimated')
FROM (SELECT bagelpay_internal.console_days ()) AS v (d);

SELECT * FROM finish();
