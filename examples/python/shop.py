"""A shop's handlers: announce an order before the checkout, and ask for access and a feature.

Environment: libpq's variables (PGHOST, PGDATABASE, PGUSER, …) for a login in bagelpay_app; PORT; MODE, live or test.
"""

import http.server
import json
import os
import sys
import urllib.parse
import uuid

import psycopg

MODE = os.environ.get("MODE", "live")

EXPECT_ORDER = """
    SELECT count(*)
    FROM bagelpay.expect_order(
        order_id => %(order_id)s, customer_email => %(customer)s,
        product_id => 'prod_club', amount => '10.00', currency => 'USD', mode => %(mode)s)"""
IS_ENTITLED = "SELECT bagelpay.is_entitled(customer => %(customer)s, product => 'prod_club', mode => %(mode)s)"
HAS_FEATURE = "SELECT bagelpay.has_feature(customer => %(customer)s, feature => 'export', mode => %(mode)s)"


def ask(statement, **arguments):
    """Returns the value that a statement selects. A busy shop takes its connections from a pool."""
    with psycopg.connect(connect_timeout=5) as connection:
        return connection.execute(statement, {"mode": MODE, **arguments}).fetchone()[0]


class Shop(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.serve({"/club": IS_ENTITLED, "/export": HAS_FEATURE})

    def do_POST(self):
        self.serve({"/checkout": EXPECT_ORDER})

    def serve(self, statements):
        address = urllib.parse.urlsplit(self.path)
        # In your shop, the session says who the customer is.
        customer = dict(urllib.parse.parse_qsl(address.query)).get("customer")
        if address.path not in statements:
            return self.answer(404, {"error": "not found"})
        try:
            if address.path == "/checkout":
                order_id = f"order_{uuid.uuid4().hex}"
                ask(EXPECT_ORDER, customer=customer, order_id=order_id)
                # Now create the checkout at BagelPay, with this id as metadata.order_id, and send the customer there.
                return self.answer(200, {"order_id": order_id})
            access = ask(statements[address.path], customer=customer)
        except psycopg.Error as error:
            print(f"database: {error}", file=sys.stderr)
            return self.answer(503, {"error": "try again"})
        return self.answer(200 if access else 403, {"access": access})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
