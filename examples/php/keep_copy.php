<?php
// Keeps a copy of all entitlements in another database: see docs/copies.md, which has its tables.
//
// Arguments: the connection string of the database with the schema bagelpay, for a login in bagelpay_reader, and that
// of the copy's database.

declare(strict_types=1);

const LONGEST_WAIT = 5; // seconds

const COLUMNS = 'order_id, product_id, customer_id, customer_email, user_id, entitled, reason, valid_until';
const ENTITLEMENTS = 'SELECT ' . COLUMNS . ' FROM bagelpay.entitlements_at(:now, :mode) WHERE kind IS NOT NULL';

function query(PDO $database, string $statement, array $arguments = []): PDOStatement
{
    $query = $database->prepare($statement);
    $query->execute($arguments);
    return $query;
}

// The rows of a statement as one JSON text.
function rows_as_json(PDO $database, string $statement, array $arguments): string
{
    return query($database, "SELECT coalesce(json_agg(e), '[]') FROM ($statement) AS e", $arguments)->fetchColumn();
}

// One round, in one transaction on either side. Returns the seconds until the clock may change something.
function bring_up_to_date(PDO $source, PDO $copy): float
{
    $source->beginTransaction();
    $copy->beginTransaction();
    $source->exec('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
    [$mode, $cursor, $clock] = query($copy, 'SELECT mode, cursor, clock FROM access_cursor FOR UPDATE')->fetch();
    $now = query($source, 'SELECT greatest(now(), :clock)', ['clock' => $clock])->fetchColumn();
    $changes = query(
        $source,
        'SELECT cursor, mode, order_id FROM bagelpay.changes_since(:cursor)',
        ['cursor' => $cursor],
    )->fetchAll();
    if ($cursor === '' || in_array(null, array_column($changes, 'order_id'), true)) {
        $copy->exec('DELETE FROM access');
        $rows = rows_as_json($source, ENTITLEMENTS, ['now' => $now, 'mode' => $mode]);
    } else {
        $due = query(
            $source,
            'SELECT order_id FROM bagelpay.entitlement_changes(:clock, :now, :mode)',
            ['clock' => $clock, 'now' => $now, 'mode' => $mode],
        )->fetchAll();
        $changed = array_filter($changes, fn ($change) => $change['mode'] === $mode);
        $orders = json_encode(array_column([...$changed, ...$due], 'order_id'), JSON_THROW_ON_ERROR);
        $among = 'order_id = ANY (ARRAY (SELECT json_array_elements_text(:orders)))';
        query($copy, "DELETE FROM access WHERE $among", ['orders' => $orders]);
        $rows = rows_as_json(
            $source,
            ENTITLEMENTS . " AND $among",
            ['now' => $now, 'mode' => $mode, 'orders' => $orders],
        );
    }
    query(
        $copy,
        'INSERT INTO access (' . COLUMNS . ') SELECT ' . COLUMNS . ' FROM json_populate_recordset(NULL::access, :rows)',
        ['rows' => $rows],
    );
    query(
        $copy,
        'UPDATE access_cursor SET cursor = :cursor, clock = :clock',
        ['cursor' => $changes ? end($changes)['cursor'] : $cursor, 'clock' => $now],
    );
    $wait = query(
        $source,
        'SELECT extract(epoch FROM min(at) - clock_timestamp())
        FROM bagelpay.entitlement_changes(:now, :now::timestamptz + make_interval(secs => :secs), :mode)',
        ['now' => $now, 'secs' => LONGEST_WAIT, 'mode' => $mode],
    )->fetchColumn();
    $copy->commit();
    $source->commit();
    return $wait === null ? LONGEST_WAIT : max(0, (float) $wait);
}

// Keeps the copy until the process ends.
function keep(string $source_dsn, string $copy_dsn): never
{
    while (true) {
        try {
            $source = new PDO("pgsql:$source_dsn");
            $copy = new PDO("pgsql:$copy_dsn");
            $source->exec('LISTEN bagelpay_orders');
            while (true) {
                // Without a time to wait, it returns what has come.
                while ($source->pgsqlGetNotify()) {
                }
                $wait = bring_up_to_date($source, $copy);
                // At least a millisecond: 0 does not wait.
                $source->pgsqlGetNotify(PDO::FETCH_ASSOC, (int) ceil($wait * 1000) ?: 1);
            }
        } catch (PDOException $error) {
            // Closing the connections ends their transactions.
            unset($source, $copy);
            if ($error->getCode() === '22023') {
                error_log("begins again: {$error->getMessage()}");
                (new PDO("pgsql:$copy_dsn"))->exec("UPDATE access_cursor SET cursor = ''");
            } elseif (preg_match('/^(08|40|53|57|HY|7$)/', (string) $error->getCode())) {
                error_log("connects again: {$error->getMessage()}");
                sleep(1);
            } else {
                throw $error;
            }
        }
    }
}

if ($argc !== 3) {
    fwrite(STDERR, "usage: php keep_copy.php SOURCE COPY (connection strings)\n");
    exit(2);
}
keep($argv[1], $argv[2]);
