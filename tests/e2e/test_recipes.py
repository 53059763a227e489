"""docs/recipes.md on what scripts/run does not deliver: duplicates, refunds, disputes, late names, runs at once."""

import concurrent.futures
import datetime
import json

import pytest

import bodies
import harness
from test_statements import psql, steps

STATEMENTS = [statement for statement, _ in steps(harness.SOURCE / "docs" / "recipes.md")]
PAID_AT = "2025-09-15T12:00:00Z"


def recipe(words):
    """The one statement of the page, or the one transaction, with these words."""
    found, = [statement for statement in STATEMENTS if words in statement]
    return found


class Shop:
    """A login with a schema of its own, which has run what the page creates; and its customers."""

    def __init__(self, stack):
        self.stack = stack
        self.query = stack.query
        stack.query("CREATE SCHEMA shop")
        stack.query("GRANT ALL ON SCHEMA shop TO bagelpay_app")
        self.run("\n".join(statement for statement in STATEMENTS if statement.startswith("CREATE TABLE")))

    def run(self, statement, role="bagelpay_app"):
        """Rows as lists of texts, of a statement about now and test purchases."""
        settings = f"SET ROLE {role}; SET search_path = shop;\n\\set mode test\n\\set at now\n"
        printed = psql(self.stack.cluster, self.stack.db, f"{settings}\\pset format unaligned\n\\t\n{statement}")
        return [line.split("|") for line in printed.splitlines()]

    def deliver(self, body, **members):
        body = bodies.changed(body, **members)
        assert self.stack.deliver(body).status == 200
        return body

    def payment(self, customer, amount="10", **members):
        body = json.loads(bodies.payment(
            f"order_{customer}", amount, payment_id=f"ch_{customer}",
            customer={"id": customer, "email": f"{customer}@example.com"},
            product={"product_id": "prod_club", "name": "Club", "billing_type": "single_payment"}))
        body["object"].update(members)
        return json.dumps(body).encode()

    def pay(self, customer, amount="10", **members):
        return self.deliver(self.payment(customer, amount, **members), created_at=PAID_AT)

    def refund(self, customer, **refund):
        self.deliver(self.payment(customer, order=None, refund=refund), event_type="refund.created")


@pytest.fixture
def shop(stack):
    return Shop(stack)


def at_once(function, arguments):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(function, arguments))


def in_days(days):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).isoformat()


def test_credits(shop):
    """Each payment is booked once, whatever is told of it, and taken back by refunds and disputes."""
    book = recipe("INSERT INTO credit_bookings (customer_id, order_id, payment_id, credits)")

    def balances():
        """After a run. Another run books nothing more."""
        shop.run(book)
        bookings = shop.run("SELECT count(*) FROM credit_bookings")
        shop.run(book)
        assert shop.run("SELECT count(*) FROM credit_bookings") == bookings
        return {customer: int(credits) for customer, credits in shop.run(
            "SELECT customer_id, sum(credits) FROM credit_bookings GROUP BY customer_id")}

    shop.deliver(shop.pay("ann"))
    shop.pay("ann")
    shop.pay("bob", "9.99")
    shop.pay("cat")
    shop.pay("dan", subscription={"id": "sub_dan", "units": 3})
    shop.pay("eve", payment_id=None, order={"amount": 10, "currency": "usd", "order_id": "ORD_eve"})
    shop.pay("fay", metadata={})
    shop.pay("gus", mode="live")
    shop.deliver(shop.payment("hal"), event_type="checkout.failed")
    # A payment of 0 that bought a trial.
    shop.pay("ian", "0", subscription={"id": "sub_ian"})
    shop.deliver(shop.payment("ian", "0", subscription={"id": "sub_ian", "trial_end": "2025-09-20T00:00:00Z"}),
                 event_type="subscription.trialing", created_at=PAID_AT)
    wanted = {"ann": 100, "bob": 100, "cat": 100, "dan": 300, "eve": 100, "fay": 100}
    assert balances() == wanted
    # Two thirds, told twice; all, and a part, without an amount.
    shop.refund("bob", id="r1", amount=6.66)
    shop.refund("bob", id="r1", amount=6.66)
    shop.refund("cat", id="r2", status="refunded")
    shop.refund("dan", id="r3", status="partial_refund")
    wanted |= {"bob": 33, "cat": 0}
    assert balances() == wanted
    shop.deliver(shop.payment("ann"), event_type="checkout.cancel")
    assert balances() == {**wanted, "ann": 0}
    shop.query("SELECT bagelpay.dispute_won('ch_ann', mode => 'test')")
    assert balances() == wanted
    # A payment gets its name, another its order.
    shop.pay("eve", order={"amount": 10, "currency": "usd", "order_id": "ORD_eve"})
    shop.pay("fay")
    assert shop.query("SELECT order_id, payment_id FROM bagelpay.payments WHERE customer_id IN ('eve', 'fay')"
                      " ORDER BY customer_id") == [("order_eve", "ch_eve"), ("order_fay", "ch_fay")]
    assert balances() == wanted


def test_credits_at_once(shop):
    """Runs at the same moment book a payment once; uses at the same moment do not use a credit twice."""
    shop.pay("cus_1")
    at_once(shop.run, [recipe("INSERT INTO credit_bookings (customer_id, order_id, payment_id, credits)")] * 8)
    assert shop.run("SELECT sum(credits) FROM credit_bookings") == [["100"]]
    at_once(shop.run, [recipe("SELECT 'cus_1', -5").replace("-5", "-30").replace(">= 5", ">= 30")] * 8)
    assert shop.run("SELECT sum(credits) FROM credit_bookings") == [["10"]]


def test_seats_at_once(shop):
    """Five seats are taken by no more than five of eight who want one at the same moment."""
    shop.run(recipe("'seats', 5"))
    shop.pay("ada")
    take = recipe("INSERT INTO seat_members")
    at_once(shop.run, [take.replace("grace", f"member{number}") for number in range(8)])
    assert shop.run("SELECT count(*) FROM seat_members") == [["5"]]
    # Others have none.
    shop.run(take.replace("ada@", "bob@"))
    assert shop.run("SELECT count(*) FROM seat_members WHERE owner_email = 'bob@example.com'") == [["0"]]


def test_trials(shop):
    """A reminder is returned once; trials that end later, or were cancelled, are not."""
    def begin_trial(customer, days):
        subscription = {"id": f"sub_{customer}", "trial_end": in_days(days)}
        shop.deliver(shop.payment(customer, "0", payment_id=None, subscription=subscription),
                     event_type="subscription.trialing")

    for customer, days in (("ann", 2), ("bob", 4), ("cat", 2)):
        begin_trial(customer, days)
    shop.deliver(shop.payment("cat", payment_id=None, subscription={"id": "sub_cat", "cancel_at_period_end": True}),
                 event_type="subscription.canceled")
    remind = recipe("INSERT INTO trial_reminders")
    assert [row[0] for row in shop.run(remind)] == ["ann@example.com"]
    assert shop.run(remind) == []


def test_lost_access(shop):
    """Everybody who lost access is returned once, whatever the reason is."""
    for customer in ("ann", "bob", "cat", "dan"):
        shop.pay(customer)
    # Dan has bought it twice.
    shop.pay("dan", payment_id="ch_second", metadata={"order_id": "second"})
    lost = recipe("DELETE FROM access_seen")
    assert shop.run(lost) == []
    shop.refund("ann", id="r1", amount=10)
    shop.query("SELECT bagelpay.revoke('order_bob', mode => 'test')")
    shop.refund("dan", id="r2", amount=10)
    assert sorted(shop.run(lost)) == [["ann", "prod_club"], ["bob", "prod_club"]]
    assert shop.run(lost) == []
    shop.query("SELECT bagelpay.clear('order_bob', mode => 'test')")
    assert shop.run(lost) == []
    shop.query("SELECT bagelpay.revoke('order_bob', mode => 'test')")
    assert shop.run(lost) == [["bob", "prod_club"]]


def test_revenue(shop):
    """Refunds are subtracted once, also such that do not tell an amount; nothing else is revenue."""
    for customer in ("ann", "cat", "dan"):
        shop.pay(customer)
    shop.pay("bob", "9.99")
    shop.pay("eve", "7", order={"amount": 7, "currency": "eur"})
    shop.pay("gus", mode="live")
    shop.deliver(shop.payment("hal"), event_type="checkout.failed", created_at=PAID_AT)
    shop.deliver(shop.payment("ian"), created_at="2025-09-30T23:59:59Z")
    shop.deliver(shop.payment("joe"), created_at="2025-10-01T00:00:00Z")
    shop.refund("ann", id="r1", amount=2.5)
    shop.refund("ann", id="r2", amount=0.5)
    shop.refund("ann", id="r2", amount=0.5)
    shop.refund("bob", id="r3", amount=20)
    shop.refund("cat", id="r4", status="refunded")
    # A dispute.
    shop.deliver(shop.payment("dan"), event_type="checkout.cancel")
    assert shop.run("SET timezone = 'UTC';\n" + recipe("AS revenue")) == [
        ["2025-09-01", "prod_club", "EUR", "1", "7", "0", "7"],
        ["2025-09-01", "prod_club", "USD", "4", "39.99", "22.99", "17.00"]]


def test_delete_test_data(shop):
    """Live purchases, and what is made of them, stay; copies learn of the orders that are gone."""
    for customer in ("ann", "bob"):
        shop.pay(customer)
    shop.pay("cat", mode="live")
    shop.query("SELECT bagelpay.grant('gift', 'dan@example.com', 'prod_club', mode => 'test')")
    for mode in ("live", "test"):
        shop.query("SELECT bagelpay.expect_order('expected', NULL, NULL, NULL, NULL, %s)", mode)
    live = "SELECT * FROM bagelpay.entitlements"
    before = shop.query(live)
    cursor, = shop.query("SELECT pg_current_xact_id()::text")[0]
    assert shop.run(recipe("DELETE FROM bagelpay.events"), role="postgres") == [["3"]]
    assert shop.query(live) == before and len(before) == 1
    for table in ("bagelpay.events", "bagelpay.orders", "bagelpay_internal.purchases", "bagelpay_internal.stored_items",
                  "bagelpay_internal.decisions", "bagelpay.expected_orders"):
        assert shop.query(f"SELECT DISTINCT mode::text FROM {table}") in ([("live",)], [])
    assert shop.query("SELECT count(*) FROM bagelpay.event_bodies") == [(1,)]
    harness.wait_until(lambda: {("test", "order_ann"), ("test", "order_bob"), ("test", "gift")} <= set(shop.query(
        "SELECT mode, order_id FROM bagelpay.changes_since(%s)", cursor)), "the orders that are gone in the feed")
    shop.pay("ann")
    assert shop.query("SELECT order_id FROM bagelpay.orders WHERE mode = 'test'") == [("order_ann",)]
