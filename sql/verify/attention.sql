-- Verify bagelpay:attention on pg

BEGIN;

SELECT id, kind, since, mode, order_id, event_id, payment_id, customer_email, detail, remedy FROM bagelpay.attention WHERE FALSE;

SELECT 'bagelpay.dismiss(text, text)'::regprocedure;

ROLLBACK;
