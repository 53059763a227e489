"""Deliveries as the provider makes them, and the answers to them."""

import hashlib
import hmac
import http.client
import json
import time
import urllib.parse

from .process import PATIENCE_S


class Answer:
    """An HTTP answer: status, headers (case-insensitive get()), body as bytes, json (None where it is none)."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        try:
            self.json = json.loads(body)
        except ValueError:
            self.json = None

    def __repr__(self):
        return f"<Answer {self.status} {self.body[:300]!r}>"


def sign(secret, body, timestamp):
    """The provider's signature as hex; secret is text, body bytes, timestamp text or a number."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def post(url, body, headers=None, method="POST", timeout=PATIENCE_S):
    """One request on a connection of its own; returns the Answer."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request(method, parts.path or "/", body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def deliver(url, secret, body, timestamp=None, **headers):
    """Signs a body (bytes, or what json.dumps takes) as the provider does, posts it and returns the Answer."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    timestamp = int(time.time()) if timestamp is None else timestamp
    return post(url, body, {"Content-Type": "application/json", "timestamp": str(timestamp),
                            "Bagelpay-Signature": sign(secret, body, timestamp), **headers})
