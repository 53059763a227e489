<?php
// A shop's handlers: announce an order before the checkout, and ask for access and a feature.
//
// Environment: libpq's variables (PGHOST, PGDATABASE, PGUSER, …) for a login in bagelpay_app; MODE, live or test.

declare(strict_types=1);

const EXPECT_ORDER = <<<'SQL'
    SELECT count(*)
    FROM bagelpay.expect_order(
        order_id => :order_id, customer_email => :customer,
        product_id => 'prod_club', amount => '10.00', currency => 'USD', mode => :mode)
    SQL;
const IS_ENTITLED = "SELECT bagelpay.is_entitled(customer => :customer, product => 'prod_club', mode => :mode)";
const HAS_FEATURE = "SELECT bagelpay.has_feature(customer => :customer, feature => 'export', mode => :mode)";

// Returns the value that a statement selects.
function ask(string $statement, array $arguments): mixed
{
    $database = new PDO('pgsql:', options: [PDO::ATTR_TIMEOUT => 5]);
    $query = $database->prepare($statement);
    $query->execute(['mode' => getenv('MODE') ?: 'live', ...$arguments]);
    return $query->fetchColumn();
}

function access(string $statement, ?string $customer): array
{
    $access = ask($statement, ['customer' => $customer]);
    return [$access ? 200 : 403, ['access' => $access]];
}

function checkout(?string $customer): array
{
    $order_id = 'order_' . bin2hex(random_bytes(16));
    ask(EXPECT_ORDER, ['customer' => $customer, 'order_id' => $order_id]);
    // Now create the checkout at BagelPay, with this id as metadata.order_id, and send the customer there.
    return [200, ['order_id' => $order_id]];
}

// In your shop, the session says who the customer is.
$customer = $_GET['customer'] ?? null;
try {
    [$status, $content] = match ($_SERVER['REQUEST_METHOD'] . ' ' . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
        'GET /club' => access(IS_ENTITLED, $customer),
        'GET /export' => access(HAS_FEATURE, $customer),
        'POST /checkout' => checkout($customer),
        default => [404, ['error' => 'not found']],
    };
} catch (PDOException $error) {
    error_log("database: {$error->getMessage()}");
    [$status, $content] = [503, ['error' => 'try again']];
}
http_response_code($status);
header('Content-Type: application/json');
echo json_encode($content);
