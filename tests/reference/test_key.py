"""The reference's keys against cases worked by hand (§5)."""

import pytest

from .bodies import event, failed, paid, refund, renewed
from .key import assign, key_source, key_warnings, user_id
from .settings import Settings


def key(found, settings=Settings()):
    """(order_id, key_source) of one event alone, or None."""
    return assign([found], settings)[found.event_id]


@pytest.mark.parametrize("metadata, expected, warned", [
    ({"order_id": " A-1 "}, "A-1", 0), ({"order_id": 12345678901234567890123}, "12345678901234567890123", 0),
    ({"order_id": "", "orderId": "b"}, "b", 0), ({"order_id": None, "orderId": "b"}, "b", 0),
    ({"order_id": "x" * 256, "orderId": "b"}, "b", 1), ({"order_id": "order:1", "orderId": "b"}, "b", 1),
    ({"order_id": "customer:", "orderId": "b"}, "b", 1), ({"order_id": "Order:1"}, "Order:1", 0),
    ({"order_id": "x" * 255}, "x" * 255, 0),
    ({"order_id": 1.5, "orderId": "b"}, "b", 1), ({"order_id": True, "orderId": 0}, "0", 1),
])
def test_merchants_key(metadata, expected, warned):
    found = event(metadata={**metadata, "user_id": "u"})
    assert key(found) == (expected, "metadata")
    assert len(key_warnings(found, Settings())) == warned


def test_made_keys():
    def made(**members):
        return key(event(metadata={}, **members))

    ids = {"customer": {"id": "c"}, "product": {"product_id": "p"}}
    assert made(**ids, subscription={}, payment_id="x") == ("customer:c:p", "customer")
    assert made(**ids, payment_id="x") == ("payment:x", "payment")
    assert made(**ids) == ("customer:c:p", "customer")
    assert made(customer={"id": "c"}) is None
    assert made(order_object={"order_id": 77}, payment_id="x", **ids) == ("order:77", "order")


def test_configured_keys():
    settings = Settings(order_key=("metadata.a.b", "request_id"))
    assert key(event(metadata={"a": {"b": "deep"}}), settings)[0] == "deep"
    assert key(event(metadata={"a": [1]}, request_id=55), settings) == ("55", "metadata")
    unmatched = event(metadata={"a": {"b": "payment:1"}})
    assert key(unmatched, settings) is None
    assert key_warnings(unmatched, settings) == ["object.metadata.a.b: begins with a reserved word"]


def test_key_source():
    assert [key_source(name) for name in ("x", "customer:a:b", "order:1", "payment:1")] == [
        "metadata", "customer", "order", "payment"]


def test_user():
    assert user_id(event(metadata={"user_id": " order:7 "}), Settings()) == "order:7"
    assert user_id(event(metadata={"user_id": 1.5, "userId": 12.0}), Settings()) == "12"
    assert user_id(event(metadata={"user_id": "x" * 256}), Settings()) is None
    assert key_warnings(event(metadata={"order_id": "o", "user_id": "x" * 256}), Settings()) == [
        "object.metadata.user_id: longer than 255 bytes"]
    assert user_id(event(metadata={"who": "w"}), Settings(user_key=("metadata.who",))) == "w"


# Links.

def linked(*events):
    """The keys of events of which the last has none of the merchant's."""
    found = assign(events, Settings())
    assert assign(events[::-1], Settings()) == found
    return found[events[-1].event_id]


def test_links():
    one = paid(0, "p1", order_object={"order_id": "A"})
    assert linked(one, refund(1, "p1", metadata={})) == ("o1", "linked")
    assert linked(one, refund(1, "p2", metadata={})) == ("payment:p2", "payment")
    assert linked(one, refund(1, "p2", metadata={}, order_object={"order_id": "A"})) == (
        "o1", "linked")
    assert linked(one, refund(1, None, metadata={}, order_object={"order_id": "A"})) == (
        "o1", "linked")
    assert linked(failed(0, "p1"), renewed(1, "p1", members={"metadata": {}})) == ("o1", "linked")
    assert linked(one, refund(1, "p1", metadata={}, mode="test"))[1] == "payment"
    # Only payment events and failed ones link, and those without a key do not.
    assert linked(refund(0, "p1"), refund(1, "p1", metadata={}))[1] == "payment"
    bare = paid(1, "p2", metadata={}, order_object={"order_id": "A"})
    assert linked(one, bare, refund(2, "p2", metadata={})) == ("payment:p2", "payment")


def test_links_to_several():
    events = [paid(0, "p1", metadata={"order_id": name}, order_object={"order_id": number})
              for name, number in (("b", "A"), ("a", "B"), ("é", "B"))]
    assert linked(*events, refund(1, "p1", metadata={})) == ("a", "linked")
    other = paid(0, "p2", metadata={"order_id": "0"}, order_object={"order_id": "A"})
    assert linked(*events, other, refund(1, "p1", metadata={}, order_object={"order_id": "A"})) == (
        "a", "linked")
    assert linked(*events, other, refund(1, None, metadata={}, order_object={"order_id": "A"})) == (
        "0", "linked")
