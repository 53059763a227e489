-- Deploy bagelpay:comments to pg
--
-- Comments on the columns of tables, views and row types, and on the arguments and results of functions. A name has one
-- meaning everywhere, except where a row names the object. PostgreSQL has no comments on arguments, so they are lines
-- of the function's comment. scripts/schema.py makes docs/schema.md from these comments.

BEGIN;

SET LOCAL ROLE bagelpay_owner;

-- An object of NULL stands for all others that have the name. The settings have comments of their own.
DO $$
DECLARE
    n record;
BEGIN
    FOR n IN
        WITH meanings (object, name, meaning) AS (VALUES
            -- Columns of events, orders and purchases alike.
            (NULL::text, 'mode', 'live or test'),
            (NULL, 'order_id', 'The merchant''s key of the order, or a derived one'),
            (NULL, 'event_id', 'BagelPay''s id of the event, or sha256: and a digest; operator: and a UUID for decisions'),
            (NULL, 'event_type', 'Such as subscription.paid'),
            (NULL, 'occurred_at', 'When it happened, by the event''s own time'),
            (NULL, 'received_at', 'When its first delivery was read by a responder'),
            (NULL, 'key_source', 'Where the key comes from: metadata, linked, or a derived one by customer, order or payment'),
            (NULL, 'product_id', 'BagelPay''s id of the product'),
            (NULL, 'product_name', 'BagelPay''s name of the product'),
            (NULL, 'billing_type', 'subscription or single_payment, as BagelPay says'),
            (NULL, 'customer_id', 'BagelPay''s id of the customer; email: and the address if only that is known'),
            (NULL, 'customer_email', 'E-mail address, in lower case'),
            (NULL, 'user_id', 'The merchant''s own id of the user, by the setting user_key'),
            (NULL, 'provider_order_id', 'BagelPay''s id of its order'),
            (NULL, 'payment_id', 'BagelPay''s id of the payment; else order: and its provider_order_id, or event: and its event_id'),
            (NULL, 'request_id', 'The request_id of the checkout'),
            (NULL, 'subscription_id', 'BagelPay''s id of the subscription'),
            (NULL, 'processor_subscription_id', 'The card processor''s id of the subscription'),
            (NULL, 'amount', 'Amount of money, in units of the currency'),
            (NULL, 'tax_amount', 'Tax, in units of the currency'),
            (NULL, 'currency', 'Three letters, upper case'),
            (NULL, 'metadata', 'The metadata of the checkout'),
            (NULL, 'units', 'Number of units, such as seats; in entitlements 1 if unknown'),
            (NULL, 'recurring_interval', 'Time between two payments of the subscription'),
            (NULL, 'trial_start', 'Start of the trial, as BagelPay says'),
            (NULL, 'trial_end', 'End of the trial, as BagelPay says'),
            (NULL, 'billing_period_start', 'Start of the paid period, as BagelPay says'),
            (NULL, 'billing_period_end', 'End of the paid period, as BagelPay says'),
            (NULL, 'cancel_at', 'When the cancellation takes effect, as BagelPay says'),
            (NULL, 'canceled_at', 'When the customer cancelled, as BagelPay says'),
            (NULL, 'cancel_at_period_end', 'If true, the subscription ends with its paid period'),
            (NULL, 'payment_method', 'Such as card'),
            (NULL, 'last4', 'The last four digits of the card'),
            (NULL, 'billing_amount', 'Amount of each payment of the subscription'),
            (NULL, 'refund_id', 'BagelPay''s id of the refund'),
            (NULL, 'subscription_status', 'trialing, active, past_due or canceled; NULL without a subscription'),
            (NULL, 'updated_at', 'occurred_at of the newest event of the order'),
            (NULL, 'unknown_refund', 'Internal: the setting of this name when the refund came, or was last rebuilt'),
            (NULL, 'fold_slot', 'Internal: second and rank, by which events of an order are sorted'),
            -- Answers.
            (NULL, 'entitled', 'TRUE if the item gives access'),
            (NULL, 'reason', 'Why, or why not; docs/state.md lists the reasons'),
            (NULL, 'kind', 'subscription, or one_time; NULL for an order without items'),
            (NULL, 'status', 'Status of the subscription, else of the latest paid payment, else of the order'),
            (NULL, 'valid_from', 'Start of the first window; NULL if there is none'),
            (NULL, 'valid_until', 'End of the access, or when it ended; NULL if there is none'),
            (NULL, 'holds_until', 'The clock alone does not change the answer before; NULL if it never does'),
            (NULL, 'periods', 'All windows of the item'),
            (NULL, 'feature', 'Name of a feature, by the merchant'),
            (NULL, 'quantity', 'How much of the feature one unit of the product gives; NULL if that is not counted'),
            (NULL, 'note', 'Any text'),
            (NULL, 'order_status', 'Status of the order after the event'),
            -- Events, bodies and dead letters.
            ('events', 'received_at', 'When a responder read its first delivery, also if it was spooled'),
            ('events', 'order_id', 'The order that it belongs to; NULL if ignored or unmatched'),
            ('events', 'customer_id', 'BagelPay''s id of the customer'),
            ('events', 'payment_id', 'BagelPay''s id of the payment'),
            ('events', 'outcome', 'applied, ignored (unknown type) or unmatched (nothing names its order)'),
            ('events', 'warnings', 'What of the body could not be used, and why'),
            ('events', 'last_delivered_at', 'When its last delivery was stored'),
            ('events', 'created_at_raw', 'The text of created_at'),
            ('events', 'kind', 'The member object of the body''s object, such as subscription'),
            ('events', 'has_subscription', 'TRUE if the body has a subscription object'),
            ('events', 'refund_amount', 'Amount of this refund'),
            ('events', 'refund_running_total', 'Sum of the payment''s refunds so far, as BagelPay says'),
            ('events', 'refund_label', 'full or partial, as BagelPay says'),
            ('events', 'granted_until', 'Of an operator.grant: its end; NULL: none'),
            ('events', 'note', 'Of a decision: the operator''s note'),
            ('events', 'effect', 'What it changed; explain() shows it'),
            ('events', 'forgotten_at', 'When its body and personal data were removed'),
            ('events', 'stored_xid', 'Internal: the transaction that stored it'),
            ('events', 'digest', 'Internal: SHA-256 of the content, by which duplicates are found'),
            ('events', 'local_times', 'Internal: the text of each time without zone'),
            ('events', 'has_new_name', 'Internal: FALSE if earlier events of its order have its names'),
            (NULL, 'deliveries', 'How often it was delivered'),
            (NULL, 'body', 'The exact bytes'),
            (NULL, 'signed_timestamp', 'The signed timestamp of the delivery, in Unix seconds'),
            (NULL, 'signature', 'The signature of the delivery'),
            ('dead_letters', 'id', 'Number, for bagelhook redrive --id'),
            ('dead_letters', 'sha256', 'SHA-256 of the body'),
            ('dead_letters', 'reason', 'invalid: not a valid event; conflict: event_id has another content; '
                'database: PostgreSQL rejects it; mode: its secret does not cover its mode'),
            ('dead_letters', 'detail', 'What is wrong, with its path in the body'),
            ('dead_letters', 'event_id', 'The id in the body, if readable'),
            ('dead_letters', 'order_id', 'The merchant''s key in the body, if readable'),
            ('dead_letters', 'customer_email', 'The e-mail in the body, if readable'),
            ('dead_letters', 'received_at', 'When it was stored'),
            ('dead_letters', 'resolved_at', 'When the same body was committed as an event; NULL: not yet'),
            ('forgotten_keys', 'order_key', 'A value of the setting order_key whose paths were kept'),
            ('zone_evidence', 'day', 'Day of the events, in UTC'),
            ('zone_evidence', 'half_hours', 'Half hours that created_at lies ahead of the signed timestamp'),
            ('zone_evidence', 'events', 'Number of events'),
            -- Orders.
            ('orders', 'customer_id', 'BagelPay''s id of the customer'),
            ('orders', 'payment_id', 'BagelPay''s id of the payment'),
            ('orders', 'status', 'pending, trialing, paid, failed, canceled, disputed, partially_refunded or refunded'),
            ('orders', 'conflict', 'If true, its purchases name different customers; this affects no access'),
            ('orders', 'last_event_id', 'The newest event of the order'),
            ('orders', 'last_event_at', 'occurred_at of the newest event'),
            ('orders', 'last_slot', 'Internal: fold_slot of the newest event'),
            ('orders', 'latest_payment_id', 'Internal: the latest paid payment'),
            ('orders', 'latest_paid_at', 'Internal: when that was paid'),
            ('orders', 'only_product_id', 'Internal: a product of its purchases'),
            ('orders', 'only_customer_id', 'Internal: a customer of its purchases'),
            ('orders', 'has_sold', 'Internal: TRUE if it had a payment or a trial'),
            ('orders', 'has_products', 'Internal: TRUE if it had purchases of several products'),
            ('orders', 'has_users', 'Internal: TRUE if it had a purchase with a known user'),
            ('orders', 'has_unnamed', 'Internal: TRUE if it had a payment without payment_id'),
            ('orders', 'has_links', 'Internal: TRUE if it had a processor''s id of a subscription'),
            ('orders', 'has_trials', 'Internal: TRUE if it had trials'),
            ('orders', 'has_refunds', 'Internal: TRUE if it had refunds'),
            ('orders', 'has_decisions', 'Internal: TRUE if it had decisions of operators'),
            -- Items and purchases.
            ('items', 'product_id', 'BagelPay''s id of the product; empty if unknown'),
            ('items', 'customer_id', 'BagelPay''s id of the customer; email: and the address if only that is known; empty if unknown'),
            ('items', 'user_id', 'The merchant''s own id of the user; empty if unknown'),
            ('subscriptions', 'product_id', 'BagelPay''s id of the product; empty if unknown'),
            ('subscriptions', 'customer_id', 'BagelPay''s id of the customer; email: and the address if only that is known; empty if unknown'),
            ('subscriptions', 'user_id', 'The merchant''s own id of the user; empty if unknown'),
            ('subscriptions', 'status', 'trialing, active, past_due or canceled'),
            ('payments', 'kind', 'subscription or one_time'),
            ('payments', 'status', 'failed, paid, disputed, partially_refunded or refunded'),
            ('payments', 'paid_at', 'When it was paid; NULL while it only failed'),
            ('payments', 'period_start', 'Start of the period that it paid, as BagelPay says'),
            ('payments', 'period_end', 'End of the period that it paid, as BagelPay says'),
            ('payments', 'refunded_amount', 'Sum of its refunds; 0 without any'),
            ('trials', 'starts_at', 'When the trial began: occurred_at of its event'),
            ('trials', 'payment_id', 'The payment that bought the trial; NULL if none did'),
            ('cancellations', 'ends_at', 'The latest of occurred_at, canceled_at and cancel_at'),
            ('cancellations', 'at_period_end', 'cancel_at_period_end of the event'),
            ('refunds', 'payment_id', 'The payment that it counts against; NULL if there is none'),
            ('refunds', 'amount', 'Amount of this refund'),
            ('refunds', 'running_total', 'Sum of the payment''s refunds so far, as BagelPay says'),
            ('refunds', 'label', 'full or partial, as BagelPay says'),
            ('refunds', 'named_payment_id', 'Internal: the payment_id that it carries'),
            ('refunds', 'named_provider_order_id', 'Internal: the provider_order_id that it carries'),
            ('refunds', 'found', 'Internal: the payment by its other names'),
            -- Products and expectations.
            ('products', 'name', 'Name of the product, by the merchant'),
            ('products', 'period', 'Length of a subscription payment that has no period or interval itself'),
            ('entitled_features', 'quantity', 'Sum of quantity × units; NULL if the feature has no quantity'),
            ('entitled_features', 'valid_until', 'The latest end of an entitling item; NULL if one has no end'),
            ('expected_orders', 'customer_email', 'Expected e-mail, in lower case; NULL: any'),
            ('expected_orders', 'product_id', 'Expected product; NULL: any'),
            ('expected_orders', 'amount', 'Expected amount of the first payment; NULL: any'),
            ('expected_orders', 'currency', 'Expected currency, upper case; NULL: any'),
            ('expected_orders', 'expected_at', 'When expect_order() was last called for it'),
            ('order_checks', 'expected', 'TRUE if the order was expected'),
            ('order_checks', 'paid', 'TRUE if one of its payments counts'),
            ('order_checks', 'matches', 'TRUE if an item is as expected; NULL before there is a purchase'),
            ('order_checks', 'mismatches', 'What differs in the item that comes closest: customer, product, amount, currency; '
                'else unexpected, or mode if it was expected in the other mode'),
            ('settings', 'singleton', 'Always TRUE: there is one row'),
            -- The list of what a person should look at.
            (NULL, 'id', 'Stays the same as long as the reason does'),
            (NULL, 'since', 'When that began'),
            (NULL, 'detail', 'What was found'),
            (NULL, 'remedy', 'A complete statement or command'),
            ('attention', 'kind', 'The reason; docs/attention.md lists them'),
            ('attention_row', 'kind', 'The reason; docs/attention.md lists them'),
            ('dismissals', 'id', 'id of a row of attention'),
            ('dismissals', 'note', 'The note of dismiss()'),
            ('dismissals', 'dismissed_at', 'When'),
            ('dismissals', 'dismissed_by', 'The login that dismissed it'),
            -- What BagelPay lists.
            ('verifications', 'id', 'Number of the run'),
            ('verifications', 'started_at', 'When the run began to read the lists'),
            ('verifications', 'finished_at', 'When the run was stored'),
            ('verifications', 'since', 'The transactions of this moment and later were compared'),
            ('verifications', 'transactions', 'Number of listed transactions that were compared'),
            ('verifications', 'subscriptions', 'Number of listed subscriptions that were compared'),
            ('verifications', 'agreed', 'Number of transactions and subscriptions without a difference'),
            ('verifications', 'differences', 'Number of differences'),
            ('verifications', 'verified_by', 'The login that stored the run'),
            ('differences', 'kind', 'What differs; docs/verify.md lists the kinds'),
            ('differences', 'payment_id', 'The payment here; NULL if there is none'),
            ('differences', 'order_id', 'The order here; NULL if there is none'),
            ('differences', 'since', 'Time of the transaction, or when BagelPay last changed the subscription'),
            ('differences', 'until', 'End of the paid period by BagelPay; NULL if it says none'),
            (NULL, 'ours', 'What is stored here; NULL: nothing'),
            (NULL, 'theirs', 'What BagelPay lists; NULL: nothing'),
            (NULL, 'is_guess', 'TRUE if nothing but customer, amount, product or time ties the two together'),
            (NULL, 'affects_access', 'TRUE if access was wrong when it was found; NULL: not known'),
            -- Row types.
            ('effect', 'payment_id', 'The payment that the event is about'),
            ('effect', 'payment_status', 'Status of that payment after the event'),
            ('effect', 'subscription_status', 'Status of the item''s subscription after the event'),
            ('effect', 'note', 'What else is to be said of it'),
            ('entitlement_change', 'at', 'The moment of the change'),
            ('explanation', 'position', 'Place in the sequence, from 1'),
            ('explanation', 'customer_id', 'BagelPay''s id of the customer'),
            ('explanation', 'late', 'TRUE if an event that comes later in the sequence was received before it'),
            ('explanation', 'subscription_status', 'Status of the item''s subscription after the event'),
            ('explanation', 'note', 'What it changed, and its warnings'),
            ('finding', 'kind', 'order, event, payment, provider_order, subscription, processor_subscription, request, user, '
                'customer or email'),
            ('finding', 'value', 'The whole name'),
            ('finding', 'order_id', 'The order that has it; NULL if none: the reason is unmatched, ignored, dead_letter or expected'),
            -- Arguments and results of functions.
            (NULL, 'customer', 'BagelPay''s id of the customer, or an e-mail in any case'),
            (NULL, 'product', 'BagelPay''s id of the product'),
            (NULL, 'at', 'The moment asked about'),
            (NULL, 't', 'The moment asked about'),
            (NULL, 'from', 'The moment after which changes are returned'),
            (NULL, 'to', 'The last moment of which changes are returned'),
            (NULL, 'cursor', 'A cursor of this function, for its next call; empty to begin'),
            ('changes_since', 'order_id', 'The order; NULL if settings, products or expectations changed, so that any entitlement may have'),
            ('changes_since', 'changed_at', 'When it changed'),
            ('find', 'text', 'The name. With a trailing *, after at least 3 characters: names that begin with it'),
            ('find', 'mode', 'live or test; NULL: both'),
            (NULL, 'until', 'End of the grant; NULL: none'),
            ('grant', 'order_id', 'The order, which need not exist if product and e-mail are given'),
            ('grant', 'customer_email', 'E-mail of the customers whose items are granted; NULL: any'),
            ('grant', 'product_id', 'The product that is granted; NULL: any of the order'),
            ('revoke', 'product_id', 'The product whose items are revoked; NULL: any'),
            ('revoke', 'customer', 'BagelPay''s id or an e-mail of the customer whose items are revoked; NULL: any'),
            ('clear', 'product_id', 'The product of the items; NULL: any'),
            ('clear', 'customer', 'BagelPay''s id or an e-mail of the customer of the items; NULL: any'),
            ('dispute_won', 'order_id', 'Needed only if several orders have the payment'),
            ('dispute_won', 'payment_id', 'The payment, as payments shows it'),
            ('dismiss', 'id', 'id of a row of attention'),
            ('expect_order', 'order_id', 'The order_id that you will send'),
            ('expect_order', 'customer_email', 'Expected e-mail; NULL: any'),
            ('expect_order', 'product_id', 'Expected product; NULL: any'),
            ('expect_order', 'amount', 'Expected amount of the first payment; NULL: any'),
            ('expect_order', 'currency', 'Expected currency, in any case; NULL: any'),
            (NULL, 'customers', 'A JSON array of objects with order_id, user_id, email, product_id, until, note'),
            (NULL, 'ordinal', 'Position in the array, from 1'),
            ('adopt', 'outcome', 'granted, changed or unchanged'),
            ('ingest', 'deliveries', 'A JSON array of normalised events; sql/deploy/ingest.sql describes it'),
            ('ingest', 'bodies', 'The exact bytes of each'),
            ('ingest', 'signatures', 'The signature of each'),
            ('ingest', 'lock_timeout', 'The longest wait for each lock, in milliseconds; NULL: as the session has it'),
            ('ingest', 'event_id', 'The id under which it is stored; NULL for a dead letter'),
            ('ingest', 'outcome', 'applied, duplicate, ignored, unmatched or dead_letter'),
            ('readmit', 'deliveries', 'As for ingest()'),
            ('readmit', 'bodies', 'As for ingest()'),
            ('readmit', 'signatures', 'As for ingest()'),
            ('readmit', 'lock_timeout', 'As for ingest()'),
            ('readmit', 'event_id', 'As for ingest()'),
            ('readmit', 'outcome', 'As for ingest()'),
            (NULL, 'older_than', 'How long ago an event was received, at least, and a dead letter resolved'),
            (NULL, 'at_most', 'The largest number of events, and of dead letters, of one call'),
            (NULL, 'email', 'E-mail in any case, or BagelPay''s id of the customer'),
            (NULL, 'events', 'Number of events concerned'),
            (NULL, 'bodies', 'Number of bodies removed'),
            (NULL, 'dead_letters', 'Number of dead letters removed'),
            (NULL, 'orders', 'Number of orders derived again'),
            (NULL, 'expected_orders', 'Number of expected orders changed or removed'),
            (NULL, 'ids', 'Number of events that have the address in an id, which stays'),
            (NULL, 'oldest', 'The lowest protocol number that is served'),
            (NULL, 'newest', 'The highest protocol number that is served'),
            (NULL, 'moment', 'The moment to begin with'),
            (NULL, 'length', 'The time to add; may be negative')
        )
        SELECT format('COLUMN bagelpay.%I.%I', c.relname, a.attname) AS what,
            (SELECT m.meaning
             FROM meanings AS m
             WHERE m.name = a.attname AND coalesce(m.object, c.relname) = c.relname
             ORDER BY m.object
             LIMIT 1) AS comment
        FROM pg_catalog.pg_class AS c
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'bagelpay'::regnamespace AND c.relkind IN ('r', 'v', 'c') AND a.attnum > 0
            AND (c.relname <> 'settings' OR a.attname = 'singleton')
        UNION ALL
        -- A line for each argument and column of the result, below what the function does. Those for other types of
        -- arguments say only that: clear() for an order_id that is an integer.
        SELECT format('ROUTINE %s', f.oid::regprocedure), concat_ws(E'\n', d.description, (
            SELECT string_agg(format('%s: %s', u.name, (
                SELECT m.meaning
                FROM meanings AS m
                WHERE m.name = u.name AND coalesce(m.object, f.proname) = f.proname
                ORDER BY m.object
                LIMIT 1)), E'\n' ORDER BY u.place)
            FROM (
                SELECT a.name, min(a.place) AS place
                FROM unnest(f.proargnames) WITH ORDINALITY AS a (name, place)
                GROUP BY a.name) AS u))
        FROM pg_catalog.pg_proc AS f
        JOIN pg_catalog.pg_description AS d ON d.objoid = f.oid AND d.classoid = 'pg_catalog.pg_proc'::regclass
        WHERE f.pronamespace = 'bagelpay'::regnamespace AND NOT starts_with(d.description, f.proname || '() for ')
    LOOP
        EXECUTE format('COMMENT ON %s IS %L', n.what, n.comment);
    END LOOP;
END
$$;

COMMIT;
