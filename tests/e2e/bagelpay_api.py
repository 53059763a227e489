"""A stand-in for BagelPay's API, as far as its lists go, and a shop whose events and lists tell the same.

test_verify.py lists it with BagelPay's own client, so that its shape is not ours alone.
"""

import copy
import datetime
import http.server
import json
import random
import ssl
import subprocess
import threading
import urllib.parse

import harness

KEY = "bagel_live_0123456789abcdef0123456789"
DAY = datetime.timedelta(days=1)


def text(moment, zone=0):
    """A time as BagelPay writes it: without its zone, which is so many hours east of UTC."""
    return (moment + datetime.timedelta(hours=zone)).strftime("%Y-%m-%d %H:%M:%S")


class Api:
    """The API at url, with TLS; transactions and subscriptions are what it lists, the newest first.

    answer(list, page, size) may be replaced: it returns status, bytes of the body and headers. asked holds what was asked
    for, and keys the keys that came with it.
    """

    def __init__(self, authority, transactions=(), subscriptions=(), key=KEY):
        self.lists = {"transactions": list(transactions), "subscriptions": list(subscriptions)}
        self.key, self.asked, self.keys = key, [], []
        self.answer = self.list
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                api.take(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("localhost"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def take(self, request):
        parts = urllib.parse.urlsplit(request.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        self.asked.append(request.path)
        self.keys.append(request.headers["x-api-key"])
        name = parts.path.removeprefix("/api/").removesuffix("/list")
        if request.headers["x-api-key"] != self.key:
            status, body, headers = 200, json.dumps({"code": 401, "msg": f"Invalid key {request.headers['x-api-key']}"}).encode(), {}
        elif name not in self.lists:
            status, body, headers = 404, b'{"error": "Not found"}', {}
        else:
            status, body, headers = self.answer(name, int(query.get("pageNum", 1)), int(query.get("pageSize", 10)))
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        for header, value in {"Content-Length": len(body), **headers}.items():
            request.send_header(header, str(value))
        request.end_headers()
        try:
            request.wfile.write(body)
        except OSError:
            pass

    def list(self, name, page, size):
        items = self.lists[name]
        return 200, json.dumps({"total": len(items), "items": items[(page - 1) * size:page * size], "code": 200, "msg": "success"}).encode(), {}

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Shop:
    """A shop: what its customers did, as webhooks (events) and as lists (transactions, subscriptions)."""

    def __init__(self, mode="live", zone=0, now=None):
        self.mode, self.zone = mode, zone
        self.now = now or datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None, microsecond=0)
        self.events, self.transactions, self.subscriptions = [], [], {}
        self.number = 0

    def event(self, kind, at, **content):
        self.number += 1
        body = {"event_id": f"evt_{self.number}", "event_type": kind, "created_at": text(at, self.zone),
                "object": {"mode": self.mode, **content}}
        self.events.append(body)
        return body

    def transaction(self, order, at, amount, customer):
        listed = {"object": "transaction", "order_id": order, "transaction_id": f"txn_{order}", "amount": amount, "amount_paid": amount,
                  "discount_amount": 0, "currency": "USD", "tax_amount": 0, "tax_country": "US", "refunded_amount": 0, "type": "payment",
                  "customer": {"id": customer, "email": f"{customer}@example.com"}, "created_at": text(at, self.zone),
                  "updated_at": text(at, self.zone), "remark": None, "mode": self.mode, "fees": 0.5, "tax": 0, "net": amount - 0.5}
        self.transactions.append(listed)
        return listed

    def common(self, customer, product, order, amount, billing):
        return {"order": {"object": "order", "order_id": order, "amount": amount, "currency": "usd", "status": "paid"},
                "payment_id": f"ch_{order}", "customer": {"id": customer, "email": f"{customer.upper()}@example.com"},
                "product": {"product_id": product, "name": product, "billing_type": billing, "price": amount, "currency": "usd"},
                "metadata": {"order_id": f"shop_{customer}_{product}"}}

    def sell(self, customer, at, amount=19.99, product="prod_book"):
        """A one-time payment; returns its event and its transaction."""
        order = f"ORD_{self.number + 1}"
        event = self.event("checkout.completed", at, object="checkout", **self.common(customer, product, order, amount, "single_payment"))
        return event, self.transaction(order, at, amount, customer)

    def renew(self, customer, at, amount=10, product="prod_club", units=1, days=30):
        """A payment of a subscription; returns its event and its transaction."""
        order, name = f"ORD_{self.number + 1}", f"sub_{customer}"
        period = {"billing_period_start": text(at, self.zone), "billing_period_end": text(at + days * DAY, self.zone)}
        event = self.event("subscription.paid", at, object="subscription", **self.common(customer, product, order, amount, "subscription"),
                           subscription={"id": name, "status": "active", "units": units, "recurring_interval": "monthly", "mode": self.mode, **period})
        listed = self.subscriptions.setdefault(name, {
            "status": "active", "remark": None, "customer": {"id": customer, "email": f"{customer}@example.com"}, "mode": self.mode,
            "last4": "4242", "subscription_id": name, "product_id": product, "store_id": "store_1", "cancel_at": None, "trial_start": None,
            "trial_end": None, "units": units, "created_at": text(at, self.zone), "product_name": product, "payment_method": "card",
            "next_billing_amount": str(amount), "recurring_interval": "monthly"})
        listed.update(period, status="active", updated_at=text(at, self.zone))
        return event, self.transaction(order, at, amount, customer)

    def cancel(self, customer, at):
        """A cancellation; returns its event."""
        listed = self.subscriptions[f"sub_{customer}"]
        listed.update(status="canceled", cancel_at=text(at, self.zone), updated_at=text(at, self.zone))
        return self.event("subscription.canceled", at, object="subscription", id=f"cs_{customer}", canceled_at=text(at, self.zone), status="canceled",
                          customer={"id": customer, "email": f"{customer}@example.com"}, metadata={"order_id": f"shop_{customer}_{listed['product_id']}"},
                          product={"product_id": listed["product_id"], "billing_type": "subscription"})

    def month(self, transactions=3000, subscriptions=800, seed=1):
        """A month of sales: each subscription is paid once, some are cancelled, and the rest are one-time payments."""
        chance = random.Random(seed)
        for number in range(subscriptions):
            at = self.now - chance.uniform(1, 28) * DAY
            self.renew(f"s{number}", at, units=chance.choice([1, 1, 1, 5]))
            if chance.random() < 0.1:
                self.cancel(f"s{number}", at + (self.now - at) * 0.8)
        for number in range(transactions - subscriptions):
            self.sell(f"b{number}", self.now - chance.uniform(1, 30) * DAY, round(chance.uniform(1, 500), 2), f"prod_{number % 7}")
        return self

    def lists(self):
        """Both lists, the newest first, as a copy."""
        return (sorted(copy.deepcopy(self.transactions), key=lambda one: one["created_at"], reverse=True),
                sorted(copy.deepcopy(list(self.subscriptions.values())), key=lambda one: one["created_at"], reverse=True))


def load(cluster, db, events, directory):
    """Commits events, as bagelhook import does."""
    path = directory / "events.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    done = subprocess.run([harness.BUILD / "bagelhook", "import", "--database", cluster.dsn("bagelhook", db), path], capture_output=True,
                          text=True, check=False, env=harness.clean_environment())
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
