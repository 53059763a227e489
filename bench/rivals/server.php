<?php
// BagelPay's webhook as people write it with PHP and PDO: the event, its order and its subscription in one statement.
//
// Environment: SECRET; DSN, the database as PDO names it. bench/run puts the statement of store.sql in its place, with
// the parameters that PDO knows: OPcache keeps it with the rest of the program.

declare(strict_types=1);

const TOLERANCE_S = 300;
const STORE = <<<'SQL'
@STORE@
SQL;

function answer(int $status, array $body): never
{
    http_response_code($status);
    header('Content-Type: application/json');
    exit(json_encode($body));
}

function is_signed(string $body, string $timestamp, string $signature): bool
{
    return preg_match('/^\d{1,12}$/D', $timestamp)
        && abs(time() - (int) $timestamp) <= TOLERANCE_S
        && hash_equals(hash_hmac('sha256', "$timestamp.$body", getenv('SECRET')), $signature);
}

// The provider's times are UTC and have no zone.
function utc(?string $time): ?string
{
    return $time === null ? null : "{$time}Z";
}

// The parameters of the statement, from 1; null if the body is no event.
function read(string $text): ?array
{
    $body = json_decode($text, true);
    $object = $body['object'] ?? [];
    $subscription = $object['subscription'] ?? [];
    if (!isset($body['event_id'], $body['event_type'], $object['order'], $object['customer']['email'], $object['product'])) {
        return null;
    }
    return [
        1 => $body['event_id'],
        $body['event_type'],
        $text,
        $object['metadata']['order_id'] ?? $object['request_id'],
        $object['customer']['id'],
        strtolower($object['customer']['email']),
        $object['product']['product_id'],
        $object['payment_id'] ?? null,
        $object['order']['amount'],
        strtoupper($object['order']['currency']),
        $object['order']['status'],
        $subscription['id'] ?? null,
        $subscription['status'] ?? null,
        utc($subscription['billing_period_start'] ?? null),
        utc($subscription['billing_period_end'] ?? null),
    ];
}

$body = file_get_contents('php://input');
if (!is_signed($body, $_SERVER['HTTP_TIMESTAMP'] ?? '', $_SERVER['HTTP_BAGELPAY_SIGNATURE'] ?? '')) {
    answer(401, ['error' => 'Invalid signature']);
}
$values = read($body);
if ($values === null) {
    answer(400, ['error' => 'Invalid request body']);
}
try {
    // A persistent connection stays with the process; a prepared statement is the request's own.
    $database = new PDO(getenv('DSN'), options: [PDO::ATTR_PERSISTENT => true]);
    $store = $database->prepare(STORE);
    foreach ($values as $number => $value) {
        $store->bindValue("p$number", $value);
    }
    $store->execute();
} catch (PDOException $error) {
    error_log("database: {$error->getMessage()}");
    answer(503, ['error' => 'Database unavailable']);
}
answer(200, ['message' => 'Success']);
