-- Deploy bagelpay:settings to pg

BEGIN;

SET LOCAL ROLE bagelpay_owner;

CREATE TABLE bagelpay.settings (
    singleton boolean PRIMARY KEY DEFAULT TRUE CHECK (singleton),
    order_key text[] NOT NULL DEFAULT '{metadata.order_id,metadata.orderId}',
    user_key text[] NOT NULL DEFAULT '{metadata.user_id,metadata.userId}',
    provider_timezone text NOT NULL DEFAULT 'UTC',
    grace interval NOT NULL DEFAULT '1 day',
    default_period interval NOT NULL DEFAULT '31 days',
    revoke_on_dispute boolean NOT NULL DEFAULT TRUE,
    unknown_refund text NOT NULL DEFAULT 'full',
    on_cancel text NOT NULL DEFAULT 'end_now',
    require_expected_order boolean NOT NULL DEFAULT FALSE,
    notify boolean NOT NULL DEFAULT TRUE,
    CONSTRAINT settings_order_key CHECK (
        array_ndims(order_key) IS NOT DISTINCT FROM 1
        AND array_position(order_key, NULL) IS NULL
        AND array_to_string(order_key, E'\n') ~ '^((metadata(\.[^.\n]+)+|request_id)(\n|$))+$'),
    CONSTRAINT settings_user_key CHECK (
        array_ndims(user_key) IS NOT DISTINCT FROM 1
        AND array_position(user_key, NULL) IS NULL
        AND array_to_string(user_key, E'\n') ~ '^((metadata(\.[^.\n]+)+|request_id)(\n|$))+$'),
    -- The upper bounds keep every time that follows from an event a valid one.
    CONSTRAINT settings_grace CHECK (grace >= '0' AND grace <= '100 years'),
    CONSTRAINT settings_default_period CHECK (default_period > '0' AND default_period <= '100 years'),
    CONSTRAINT settings_unknown_refund CHECK (unknown_refund IN ('full', 'partial')),
    CONSTRAINT settings_on_cancel CHECK (on_cancel IN ('end_now', 'keep_paid_time'))
);

COMMENT ON TABLE bagelpay.settings IS 'One row; changes act at once, on stored events by rebuild() or rekey()';

COMMENT ON COLUMN bagelpay.settings.order_key IS 'Paths below the object of a body (metadata.… or request_id); '
    'the first usable value names the order; stored events: rekey()';

COMMENT ON COLUMN bagelpay.settings.user_key IS 'Paths below the object of a body (metadata.… or request_id); '
    'the first usable value is the merchant''s user id; stored events: rebuild()';

COMMENT ON COLUMN bagelpay.settings.provider_timezone IS 'Zone of times without a zone; stored events: rebuild()';

COMMENT ON COLUMN bagelpay.settings.grace IS 'Time for which access lasts after a trial or a paid period';

COMMENT ON COLUMN bagelpay.settings.default_period IS 'Length of a payment or trial if nothing else says it';

COMMENT ON COLUMN bagelpay.settings.revoke_on_dispute IS 'If true, a disputed payment gives no access';

COMMENT ON COLUMN bagelpay.settings.unknown_refund IS 'A refund without label and amounts counts as full or partial; '
    'stored events: rebuild()';

COMMENT ON COLUMN bagelpay.settings.on_cancel IS 'end_now: cancelled subscriptions end at once, unless BagelPay says '
    'cancel_at_period_end; keep_paid_time: they keep the time that was paid';

COMMENT ON COLUMN bagelpay.settings.require_expected_order IS 'If true, only items that match an expected order give '
    'access';

COMMENT ON COLUMN bagelpay.settings.notify IS 'If true, transactions that change an order send NOTIFY bagelpay_orders';

-- Accepts only listed names of zones: PostgreSQL would read a misspelt one as a POSIX zone ("Mars5"). Rejects CET, EET,
-- MET and WET, which PostgreSQL reads as abbreviations, without summer time.
CREATE FUNCTION bagelpay_internal.settings_check_zone ()
    RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_timezone_names WHERE lower(name) = lower(NEW.provider_timezone)) THEN
        RAISE EXCEPTION 'provider_timezone: there is no time zone "%"', NEW.provider_timezone
            USING ERRCODE = 'invalid_parameter_value', HINT = 'SELECT name FROM pg_timezone_names ORDER BY name;';
    END IF;
    IF upper(NEW.provider_timezone) IN ('CET', 'EET', 'MET', 'WET') THEN
        RAISE EXCEPTION 'provider_timezone: "%" would be read without summer time', NEW.provider_timezone
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name a place, such as Europe/Paris.';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER settings_check_zone
    BEFORE INSERT OR UPDATE OF provider_timezone ON bagelpay.settings
    FOR EACH ROW
    EXECUTE FUNCTION bagelpay_internal.settings_check_zone ();

-- Keeps the row, without which nothing could be ingested.
CREATE FUNCTION bagelpay_internal.settings_keep_row ()
    RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RAISE EXCEPTION 'the row of bagelpay.settings cannot be removed'
        USING ERRCODE = 'restrict_violation', HINT = 'UPDATE bagelpay.settings SET … = DEFAULT;';
END
$$;

CREATE TRIGGER settings_keep_row
    BEFORE DELETE OR TRUNCATE ON bagelpay.settings
    FOR EACH STATEMENT
    EXECUTE FUNCTION bagelpay_internal.settings_keep_row ();

INSERT INTO bagelpay.settings DEFAULT VALUES;

-- Autovacuum never analyses a table of one row; without statistics, plans would expect hundreds of rows.
ANALYZE bagelpay.settings;

COMMIT;
