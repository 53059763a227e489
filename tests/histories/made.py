"""Random histories: bodies as the provider might send them, and what people decide.

A history is made from a seed. Event number i of it is made from the seed and i alone, so that leaving
events out, which is how Hypothesis makes a failing history small, does not change the others.
"""

import json
import random
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from stories import START, STORIES, TYPES, Story  # noqa: F401

MOST_EVENTS = 60
ZONES = ("UTC", "UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Asia/Kathmandu")
SUBSCRIPTION_MEMBERS = ("trial_start", "trial_end", "billing_period_start", "billing_period_end", "cancel_at", "canceled_at",
                        "cancel_at_period_end", "units", "payment_method", "last4", "billing_amount")


@dataclass
class Decision:
    """A call of grant, revoke, clear or dispute_won. None is an argument that is not given."""

    kind: str
    mode: str
    order_id: str
    customer: str = None
    product_id: str = None
    until: datetime = None
    payment_id: str = None


@dataclass
class History:
    """What happens, in the order in which it arrives; a body may stand in it several times, written in several ways."""

    settings: dict
    arrivals: list
    expected: list = field(default_factory=list)
    periods: dict = field(default_factory=dict)

    @property
    def bodies(self):
        """Each body once."""
        return list(dict.fromkeys(a for a in self.arrivals if isinstance(a, bytes)))


class Token:
    """A JSON number that is written as it stands."""

    def __init__(self, token):
        self.token = token


def history(seed, numbers, arrival, prefix):
    """Makes a History: events `numbers` of `seed`, in an order made of `arrival`; ids hold `prefix`, which is digits."""
    world = _World(random.Random(f"history {seed}"), prefix)
    shuffle = random.Random(f"arrival {arrival}")
    arrivals = []
    for number in numbers:
        thing = world.thing(number)
        if isinstance(thing, Decision):
            arrivals.append(thing)
            continue
        arrivals += [thing.bytes(random.Random(f"{arrival} {number} {copy}") if copy else None)
                     for copy in range(shuffle.choices((1, 2, 3), (8, 2, 1))[0])]
    shuffle.shuffle(arrivals)
    return History(world.settings, arrivals, world.expected(), world.periods)


class _World:
    """What all events of one history have in common."""

    def __init__(self, chance, prefix):
        self.prefix = prefix
        self.seed = chance.random()
        self.name = chance.choice(tuple(STORIES))
        self.modes = chance.choice((("live",), ("live",), ("live",) * 9 + ("test",), ("test",)))
        self.settings = {
            "provider_timezone": chance.choice(ZONES),
            "unknown_refund": chance.choice(("full", "partial")),
            "order_key": chance.choice((["metadata.order_id", "metadata.orderId"],) * 4 + (
                ["metadata.deep.no", "request_id"], ["metadata.order_id", "request_id"])),
            "user_key": chance.choice((["metadata.user_id", "metadata.userId"],) * 3 + (["metadata.who", "metadata.user_id"],)),
        }
        self.periods = chance.choice(({}, {"prod_1": "14 days"}, {"prod_2": "1 month 2 days", "42": "3 hours"}))
        # How times are written; how many events carry junk; how many lack what they should carry.
        self.ways = chance.choice(((0,), (0, 1), (1,), (2, 3, 4), (2,), (0, 1, 2, 3, 4)))
        self.messy = chance.choice((0, 0, 0.03, 0.2))
        self.bare = chance.choice((0, 0, 0, 0.1, 0.4))
        self.story = Story(chance, prefix, self.name)
        self.facts = self.story.tell(MOST_EVENTS)

    def expected(self):
        chance = random.Random(f"expected {self.seed}")
        if chance.random() < 0.5:
            return []
        orders = sorted({facts.order for facts in self.facts if facts.order}) or [f"{self.prefix}o1"]
        return [(mode, chance.choice(orders), chance.choice((None, None, "A@Example.com", "b0@example.com")),
                 chance.choice((None, "prod_1", "prod_2")), chance.choice((None, None, Decimal(10), Decimal("397.1632"))),
                 chance.choice((None, "usd", "EUR"))) for mode in {chance.choice(("live", "live", "test")) for _ in range(2)}]

    def thing(self, number):
        """The writer of the body, or the Decision, with this number."""
        chance = random.Random(f"event {self.seed} {number}")
        facts = self.facts[number]
        if chance.random() < 0.05:
            return self.decision(chance, facts)
        return Body(self, chance, number, facts)

    def decision(self, chance, facts):
        kind = chance.choice(("grant", "grant", "revoke", "clear", "dispute_won"))
        order = facts.order or f"{self.prefix}o1"
        email = (facts.customer[1] or "g@example.com").upper()
        made = Decision(kind, chance.choice(self.modes), order)
        if kind == "dispute_won":
            made.payment_id = facts.payment or f"{self.prefix}ch0"
            made.order_id = chance.choice((None, order))
            return made
        made.product_id = chance.choice((None, None, str(facts.product), "prod_g"))
        if kind == "grant":
            made.customer = chance.choice((None, email, "G@example.com"))
            made.until = chance.choice((None, None, START + timedelta(days=chance.randint(0, 1500))))
        else:
            made.customer = chance.choice((None, None, facts.customer[0], email))
        return made


class Body:
    """One body, from what it is to say."""

    def __init__(self, world, chance, number, facts):
        self.world, self.chance, self.number, self.facts = world, chance, number, facts
        self.has_id = chance.random() < 0.9
        self.root = self.make()

    def bytes(self, chance=None):
        """The body's text; `chance` writes the same in another way."""
        if chance is None:
            return _dumps(self.root).encode()
        root = dict(self.root)
        if chance.random() < 0.5:
            root["attempt"] = chance.randint(1, 9)
        return (_dumps(_shuffled(root, chance), indent=chance.choice((None, 1, 4))) + chance.choice(("", "\n", " \r\n"))).encode()

    def make(self):
        world, chance, facts = self.world, self.chance, self.facts
        content = {}
        kind = facts.kind
        if world.messy and chance.random() < 0.02:
            kind = chance.choice(("order.shipped", "operator.grant"))
        root = {"event_type": kind, "object": content}
        if self.has_id:
            root[chance.choice(("event_id", "event_id", "event_id", "id"))] = f"{world.prefix}e{self.number}"
        if chance.random() < 0.95:
            root["created_at"] = self.time(facts.moment)
        else:
            content[chance.choice(("created_at", "canceled_at"))] = self.time(facts.moment)
        (content if chance.random() < 0.8 else root)["mode"] = chance.choice(world.modes)
        for name, value in (("metadata", self.metadata()), ("order", self.order()), ("product", self.product()), ("customer", self.customer()),
                            ("payment_id", facts.payment)):
            if value:
                content[name] = value
        # An event without an id of its own is recognised by its request_id.
        if not self.has_id or chance.random() < 0.3:
            content["request_id"] = chance.choice((f"{world.prefix}r1", f"{world.prefix}r{self.number}", Token(f"{world.prefix}0.0")))
        self.subscription(content)
        self.refund(content)
        if chance.random() < world.bare:
            content.pop(chance.choice(("customer", "product", "customer", "metadata", "order")), None)
        if world.messy:
            self.spoil(content)
        return root

    def time(self, moment):
        """A moment in one of the provider's ways of writing it."""
        way = self.chance.choice(self.world.ways)
        if way == 0:
            return moment.strftime("%Y-%m-%d %H:%M:%S")
        if way == 1:
            return moment.strftime("%Y-%m-%dT%H:%M:%S") + self.chance.choice(("", ".5", ".000001", ".746"))
        if way == 2:
            shift = self.chance.choice((0, 0, 8, -5))
            zone = {0: "Z", 8: "+08", -5: "-0500"}[shift]
            return (moment + timedelta(hours=shift)).strftime("%Y-%m-%dT%H:%M:%S") + self.chance.choice(("", ".25")) + zone
        if way == 3:
            return int(moment.timestamp())
        return self.chance.choice((str(int(moment.timestamp())), int(moment.timestamp()) * 1000 + self.chance.choice((0, 1, 746))))

    def metadata(self):
        world, chance, facts = self.world, self.chance, self.facts
        found = {}
        if facts.order is not None:
            found[chance.choice(("order_id", "order_id", "order_id", "orderId"))] = facts.order
            found["history"] = world.prefix
        elif chance.random() < 0.5:
            return None
        if facts.user is not None:
            found[chance.choice(("user_id", "user_id", "userId"))] = facts.user
        if chance.random() < 0.1:
            found["deep"] = {"no": f" {world.prefix}o1 "}
        if chance.random() < world.messy:
            found["order_id"] = chance.choice(("", "customer:1:2", "x" * 300, True, "  ", Decimal("1.5"), None))
        if chance.random() < world.messy:
            found["who"] = chance.choice(("order:me", " ", "y" * 256, 12, Token("7.0"), [1], f"{world.prefix}u1"))
        if chance.random() < 0.2:
            found["note"] = chance.choice(("ünïcödé", "\"quoted\\\"", 12345678901234567890123, Decimal("0.10"), [1, {"a": None}], "a\0b",
                                           "\ud83d alone", "\udc00"))
        return _dumps(found) if found and chance.random() < 0.05 else found

    def order(self):
        chance, facts = self.chance, self.facts
        found = {}
        if facts.amount is not None:
            found["amount"] = facts.amount if chance.random() < 0.8 else f"{facts.amount}"
            found["currency"] = chance.choice(("usd", "USD", "usd", " Eur "))
        if facts.number is not None:
            found["order_id"] = facts.number
        if "running_total" in facts.more and chance.random() < 0.7:
            found["refunded_amount"] = facts.more["running_total"]
        if chance.random() < 0.2:
            found["tax_amount"] = chance.choice((0, "1.5", 2))
        if facts.product is not None and chance.random() < 0.2:
            found["product_id"] = facts.product
        return found

    def product(self):
        chance, facts = self.chance, self.facts
        found = {}
        if facts.product is not None:
            found["product_id"] = facts.product if facts.product != 42 else chance.choice((42, "42", Token("42.0"), Token("4.2e1")))
        if chance.random() < 0.5:
            found["name"] = chance.choice(("Name", " Näme ", "", "N\ud800"))
        if facts.billing is not None:
            found["billing_type"] = facts.billing
        for name in ("recurring_interval", "billing_period"):
            if f"product.{name}" in facts.more:
                found[name] = facts.more[f"product.{name}"]
        return found

    def customer(self):
        who, email = self.facts.customer
        found = {}
        if who is not None:
            found["id"] = who
        if email is not None and (who is None or self.chance.random() < 0.8):
            found["email"] = email
        return found

    def subscription(self, content):
        """The subscription's members: in an object of its own, or in the object that is one."""
        chance, facts = self.chance, self.facts
        found = {}
        for name in SUBSCRIPTION_MEMBERS:
            if name in facts.more:
                value = facts.more[name]
                found[name] = self.time(value) if isinstance(value, datetime) else value
        if "subscription" in facts.more:
            found["recurring_interval"] = facts.more["subscription"]
        is_itself = facts.is_subscription and chance.random() < 0.2
        content["object"] = "subscription" if is_itself or (facts.is_subscription and chance.random() < 0.5) else chance.choice(("checkout", "order"))
        if facts.processor is not None:
            content["id" if content["object"] == "subscription" and chance.random() < 0.5 else "subscription_id"] = facts.processor
        if is_itself:
            content.update({name: value for name, value in found.items() if name not in content})
            found = {}
        if facts.subscription is not None:
            found[chance.choice(("id", "subscription_id"))] = facts.subscription
        if found or (facts.is_subscription and chance.random() < 0.5):
            content["subscription"] = found

    def refund(self, content):
        chance, more = self.chance, self.facts.more
        found = {}
        if "refund_id" in more:
            name = chance.choice(("id", "refund_id", None))
            (content if name is None else found)[name or "refund_id"] = more["refund_id"]
        if "refund_amount" in more:
            if chance.random() < 0.5:
                found["amount"] = more["refund_amount"]
            else:
                content["refund_amount"] = more["refund_amount"]
        if "running_total" in more and "refunded_amount" not in content.get("order", {}):
            content["refunded_amount"] = more["running_total"]
        if "label" in more:
            place = chance.choice((found, content, content))
            place["status"] = more["label"]
            if place is content and chance.random() < 0.3:
                content["object"] = content.pop("status")
        if found:
            content["refund"] = found

    def spoil(self, content):
        """Now and then, something that cannot be used stands where a field is looked for."""
        chance, number = self.chance, int(self.world.prefix)
        junk = (True, [], {}, -number, Decimal("1.0000001"), number * 10 ** 7, "x" * 400, f"{number}not it", number * 10 ** 24, " ", None)
        while chance.random() < self.world.messy:
            place = content
            inner = [value for value in content.values() if isinstance(value, dict) and value and "note" not in value]
            if inner and chance.random() < 0.7:
                place = chance.choice(inner)
            names = [name for name in place if name not in ("mode", "metadata", "order_id", "orderId", "created_at", "canceled_at", "deep", "request_id",
                                                            "user_id", "userId", "history", "who")]
            if names:
                place[chance.choice(names)] = chance.choice(junk)


def _shuffled(value, chance):
    """The same JSON with its members in another order."""
    if isinstance(value, dict):
        members = list(value.items())
        chance.shuffle(members)
        return {name: _shuffled(one, chance) for name, one in members}
    return [_shuffled(one, chance) for one in value] if isinstance(value, list) else value


def _dumps(value, indent=None):
    """JSON with all digits of Decimals and Tokens, which json.dumps would write as text; ASCII, as surrogates have no UTF-8."""
    text = json.dumps(value, indent=indent, default=lambda one: f"<number {one.token if isinstance(one, Token) else format(one, 'f')}>")
    return re.sub(r'"<number ([^>]*)>"', r"\1", text)
