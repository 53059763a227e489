"""bagelhook-send: what events say, made up or of files, and what is said of them."""

import decimal
import json
import re
import urllib.parse

import pytest

import bodies
import harness
from sending import send, web_server


@pytest.mark.parametrize("name", sorted(bodies.NAMES))
def test_changed_file(shared, name):
    """A file's body with another order and amount is another event; what is not named stays."""
    order_id = bodies.unique("changed")
    path = str(harness.SAMPLES / f"{name}.json")
    status, lines, _ = send("--order-id", order_id, "--amount", "0.000001", shared.url, path,
                            secret=shared.responder.secret_path)
    assert status == 0 and lines[0].split("\t")[:3] == [path, "200", "applied"]
    sent, = shared.query("SELECT body FROM bagelpay.event_bodies WHERE event_id = %s", lines[0].split("\t")[3])
    sent, original = json.loads(sent[0]), json.loads(bodies.documented(name))
    for body in (sent, original):
        body.pop("event_id", None)
        body.pop("id", None)
        for key in ("orderId", "order_id"):
            body["object"]["metadata"].pop(key, None)
        body["object"].get("order", {}).pop("amount", None)
    assert sent == original
    assert shared.query("SELECT DISTINCT amount FROM bagelpay.events WHERE order_id = %s", order_id) == [
        (decimal.Decimal("0.000001") if "order" in original["object"] else None,)]


def parsed(body):
    """A body with the digits of its numbers, and its members in order."""
    def number(digits):
        return ("number", digits)

    return json.loads(body, parse_int=number, parse_float=number, object_pairs_hook=lambda pairs: ("object", pairs))


def changed(stack, tmp_path, body, *options):
    """What a changed body was sent as, with its new event id put back, and what was said of it."""
    path = tmp_path / "changed.json"
    path.write_bytes(body)
    seen = []
    with web_server(b"", seen=seen) as url:
        status, _, complaints = send(*options, url, path, secret=stack.responder.secret_path)
    assert status == 0
    return (parsed(re.sub(rb'evt_[0-9a-f]{20}', b"evt_1", seen[0][1])), [line.split(": ", 2)[2] for line in complaints])


def test_changed_values(shared, tmp_path):
    """Only what is named changes: all other members, digits and characters of a file stay."""
    body = (b'\r\n{ "event_id":"evt_1" ,"n":[1e5, -0.00,18446744073709551616,{"order":"}"},"1","number:1"],\t"\\u006fbject":'
            b'{"metadata": {"a":"\\ud83d\\ude00\\u0000\\"{\\\\" , "order_id" :12345678901234567890},"order": '
            b'{"amount":12345678901234.567891,"tax":0.10},"customer":{"email":null}}}\n')
    expected = body.replace(b'12345678901234567890}', b'"\\u0001 \\"x"}').replace(b"null", b'"e@x"')
    assert changed(shared, tmp_path, body, "--order-id", '\x01 "x', "--email", "e@x") == (parsed(expected), [])
    expected = body.replace(b"12345678901234.567891", b"1.000000000000000000001").replace(
        b'"email":null}', b'"email":null}, "mode": "live"')
    assert changed(shared, tmp_path, body, "--amount", "1.000000000000000000001", "--mode", "live") == (parsed(expected), [])


@pytest.mark.parametrize("body, options, expected", [
    (b'{"id":"evt_1","object":{"metadata":{}}}', ["--order-id", "o"],
     b'{"id":"evt_1","object":{"metadata":{"order_id": "o"}}}'),
    (b'{"id":"evt_1","object":{ }}', ["--order-id", "o"], b'{"id":"evt_1","object":{"metadata": {"order_id": "o"} }}'),
    (b'{"object":{"metadata":null,"x":1}}', ["--order-id", "o"],
     b'{"object":{"metadata":{"order_id": "o"},"x":1}, "event_id": "evt_1"}'),
    (b'{"event_id":"evt_1","object":{"metadata":{"orderId":1,"order_id":2}}}', ["--order-id", "o"],
     b'{"event_id":"evt_1","object":{"metadata":{"orderId":"o","order_id":"o"}}}'),
    (b'{"event_id":"evt_1","mode":"a","object":{"mode":"b","product":{"mode":"c"},"order":{"mode":"d"}}}',
     ["--mode", "test"],
     b'{"event_id":"evt_1","mode":"test","object":{"mode":"test","product":{"mode":"test"},"order":{"mode":"test"}}}'),
], ids=["metadata", "no metadata", "null", "both names", "mode"])
def test_changed_places(shared, tmp_path, body, options, expected):
    """Order id and mode stand wherever they belong, whatever was there."""
    assert changed(shared, tmp_path, body, *options) == (parsed(expected), [])


def test_nothing_to_change(shared, tmp_path):
    """What the event has no place for is said, and so is what else stays."""
    body = b'{"event_id":"evt_1","object":{"subscription":{"billing_amount":1}}}'
    assert changed(shared, tmp_path, body, "--email", "a@b", "--customer", "c", "--product", "p", "--units", "2", "--amount", "2") == (
        parsed(body), [
        "--email: the event has no customer's e-mail; sent without",
        "--customer: the event has no customer's id; sent without",
        "--product: the event has no product's id; sent without",
        "--units: the event has no subscription's units; sent without",
        "--amount: the event has no order's amount; sent without"])
    body = b'{"event_id":"evt_1","object":{"order":{"amount":3,"refunded_amount":1}}}'
    assert changed(shared, tmp_path, body, "--amount", "2") == (parsed(body.replace(b"3", b"2")), [
        "--amount: object.order.refunded_amount stays as it is"])


@pytest.mark.parametrize("content, complaint", [(b"{", "expected"), (b"[]", "no event"), (b'{"object": 1}', "no event")])
def test_file_that_cannot_be_changed(shared, tmp_path, content, complaint):
    """1, the file and what is wrong with it; nothing is sent."""
    path = tmp_path / "body"
    path.write_bytes(content)
    status, lines, complaints = send("--mode", "live", shared.url, path, secret=shared.responder.secret_path)
    assert (status, lines, len(complaints)) == (1, [], 1)
    assert str(path) in complaints[0] and complaint in complaints[0]


CONTENT = ["--product", "prod_mine", "--customer", "cus_mine", "--user", "user_mine", "--units", "7", "--metadata", "plan=gold=1",
           "--metadata", "empty="]


def test_content(shared):
    """Product, customer, user, units and metadata of an event that is made up."""
    status, lines, _ = send("--event", "subscription.paid", *CONTENT, shared.url, secret=shared.responder.secret_path)
    event_id, order_id = lines[0].split("\t")[3:]
    assert status == 0 and shared.query(
        "SELECT product_id, customer_id, user_id, units, metadata FROM bagelpay.events WHERE event_id = %s", event_id) == [
            ("prod_mine", "cus_mine", "user_mine", 7,
             {"order_id": order_id, "user_id": "user_mine", "plan": "gold=1", "empty": ""})]


def test_content_of_a_file(shared, tmp_path):
    """The same where a file has it, product ids and the merchant's own name of the user included."""
    body = bodies.documented("subscription.paid")
    expected = json.loads(body)
    expected["event_id"] = "evt_1"
    for part in ("product", "order", "subscription"):
        expected["object"][part]["product_id"] = "prod_mine"
    expected["object"]["customer"]["id"] = "cus_mine"
    expected["object"]["subscription"]["units"] = 7
    expected["object"]["metadata"].update(userId="user_mine", plan="gold=1", empty="")
    sent, complaints = changed(shared, tmp_path, body.replace(b"18429bf6-e12f-4087-92d6-6db728fdb9ce", b"evt_1"), *CONTENT)
    assert (sent, complaints) == (parsed(json.dumps(expected)), [])


@pytest.mark.parametrize("console", ["http://127.0.0.1:8081", "http://127.0.0.1:8081/", "http://127.0.0.1:8081/#/overview"])
def test_console(shared, console):
    """Each line ends with the address of the order's page, as the console's own links have it."""
    order_id = bodies.unique("a/b ü")
    status, lines, _ = send("--event", "checkout.completed", "--order-id", order_id, "--mode", "live", "--console", console, shared.url,
                            secret=shared.responder.secret_path)
    assert status == 0 and lines[0].split("\t")[4:] == [
        order_id, f"http://127.0.0.1:8081/#/order/live/{urllib.parse.quote(order_id, safe='')}"]


def test_json(shared, tmp_path):
    """A line per delivery that programs can read, whatever was answered."""
    path = tmp_path / "body"
    path.write_bytes(bodies.changed(bodies.payment(), object={}))
    status, lines, _ = send("--json", "--event", "checkout.completed", "--console", "http://console.example", shared.url, path,
                            secret=shared.responder.secret_path)
    members = ("source", "status", "outcome", "error", "spooled", "reason", "order_id", "order_page")
    told = [json.loads(line) for line in lines]
    order_id = told[0]["order_id"]
    assert status == 1 and [[line[name] for name in members] for line in told] == [
        ["checkout.completed", 200, "applied", None, None, None, order_id, f"http://console.example/#/order/test/{order_id}"],
        [str(path), 400, None, "Invalid request body", None, None, None, None]]
    assert [set(line) - set(members) for line in told] == [{"event_id", "detail"}] * 2
    assert told[0]["event_id"].startswith("evt_") and told[0]["detail"] is None
    assert (told[1]["event_id"], told[1]["detail"]) == (None, "object.mode: missing")


def test_json_of_what_is_not_ours(shared, tmp_path):
    """What other servers answer, and names that are no UTF-8, is still JSON."""
    path = tmp_path / "body\udcff"
    path.touch()
    with web_server(b"<html>") as url:
        status, lines, _ = send("--json", url, path, secret=shared.responder.secret_path)
    assert status == 0 and [(line["source"], line["status"], line["reason"]) for line in map(json.loads, lines)] == [
        (f"{tmp_path}/body\\xff", 200, "unexpected response: is this bagelhook's URL?")]
