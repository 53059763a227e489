"""The programs of examples/: in each language, the same questions get the same answers."""

import contextlib
import datetime
import http.client
import json
import urllib.parse

import pytest

import bodies
import harness
from examples import copy_database, create_role

YES, NO = (200, {"access": True}), (403, {"access": False})
AWAY = (503, {"error": "try again"})


@pytest.fixture
def shop(stack, examples, tmp_path):
    """Asks a running shop: shop(path, customer, method) returns status and content."""
    create_role(stack.cluster, "shop", "bagelpay_app")
    with stack.connect("shop") as connection:
        connection.execute("INSERT INTO bagelpay.products (product_id) VALUES ('prod_club')")
        connection.execute("INSERT INTO bagelpay.product_features (product_id, feature) VALUES ('prod_club', 'export')")
    log = tmp_path / "shop.log"
    with examples.shop(stack.cluster, "shop", stack.db, log) as url:
        def ask(path, customer="Ann@Example.com", method="GET"):
            address = urllib.parse.urlsplit(url).netloc
            with contextlib.closing(http.client.HTTPConnection(address, timeout=harness.PATIENCE_S)) as connection:
                connection.request(method, f"{path}?{urllib.parse.urlencode({'customer': customer})}")
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read())

        yield ask
    print(log.read_text())


def access(shop, *customer):
    return [shop(path, *customer) for path in ("/club", "/export")]


def in_seconds(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat()


def event(event_type, order_id, subscription, **members):
    """An event of Ann's subscription to the club."""
    return bodies.changed(bodies.payment(
        order_id, mode="live", customer={"id": "cus_ann", "email": "ann@example.com"},
        product={"product_id": "prod_club", "name": "Club", "billing_type": "subscription"},
        subscription={"id": "sub_ann", **subscription}, **members), event_type=event_type)


def test_purchase(stack, shop, examples, tmp_path):
    """A purchase from the announcement of the order to the end of access by the clock, and a copy that follows."""
    copy_db = copy_database(stack.cluster)
    create_role(stack.cluster, "copier", "bagelpay_reader")
    log = tmp_path / "keep_copy.log"
    copier = examples.keep_copy((stack.cluster, "copier", stack.db), (stack.cluster, "postgres", copy_db), log)

    def in_copy():
        with stack.cluster.connect(copy_db) as connection:
            return connection.execute("SELECT customer_email, entitled, reason FROM access").fetchall()

    def wait_for_copy(*wanted):
        harness.wait_until(lambda: in_copy() == [wanted], f"{wanted} in the copy", process=copier, log=log)

    def tell(event_type, order_id, subscription, **members):
        assert stack.deliver(event(event_type, order_id, subscription, **members)).status == 200

    def check_of(order_id):
        return stack.query("SELECT expected, paid, matches FROM bagelpay.order_checks WHERE order_id = %s", order_id)

    try:
        assert access(shop) == [NO, NO]
        status, content = shop("/checkout", method="POST")
        assert status == 200
        order_id = content["order_id"]
        assert check_of(order_id) == [(True, False, None)]
        # The customer is at the payment page.
        assert access(shop) == [NO, NO]
        tell("subscription.paid", order_id, {"billing_period_end": in_seconds(30 * 86400)})
        assert access(shop) == [YES, YES]
        assert access(shop, "cus_ann") == [YES, YES]
        assert access(shop, "bob@example.com") == [NO, NO]
        assert access(shop, "") == [NO, NO]
        assert check_of(order_id) == [(True, True, True)]
        wait_for_copy("ann@example.com", True, "active")
        # A cancellation that takes effect in a moment, without another event.
        tell("subscription.canceled", order_id, {"cancel_at": in_seconds(3)}, payment_id=None)
        harness.wait_until(lambda: access(shop) == [NO, NO], "the end of access")
        wait_for_copy("ann@example.com", False, "canceled")
    finally:
        copier.end()
        print(log.read_text())
        stack.cluster.drop_database(copy_db)


def test_database_away(stack, shop):
    """Without the database nobody gets access, and the shop goes on when it is back."""
    assert access(shop) == [NO, NO]
    stack.query("ALTER ROLE shop NOLOGIN")
    try:
        stack.query("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = 'shop'")
        assert access(shop) == [AWAY, AWAY]
        assert shop("/checkout", method="POST") == AWAY
    finally:
        stack.query("ALTER ROLE shop LOGIN")
    assert access(shop) == [NO, NO]


def test_unknown_paths(shop):
    assert [shop("/"), shop("/checkout"), shop("/club", method="POST")] == [(404, {"error": "not found"})] * 3
