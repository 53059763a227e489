"""Random histories of one purchase: bodies as the provider might send them, and what people decide.

A history is made from a seed. Event number i of it is made from the seed and i alone, so that leaving
events out, which is how Hypothesis makes a failing history small, does not change the others.
"""

import json
import random
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal

TYPES = ("checkout.completed", "checkout.failed", "checkout.cancel", "subscription.trialing",
         "subscription.paid", "refund.created", "subscription.canceled")
MOST_EVENTS = 60
START = datetime(2025, 1, 31, 1, 30, tzinfo=timezone.utc)
ZONES = ("UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Asia/Kathmandu")


@dataclass
class Decision:
    """A call of grant, revoke or clear."""

    kind: str
    mode: str
    order_id: str
    customer_email: str = None
    product_id: str = None
    until: datetime = None


@dataclass
class History:
    """What happens, in the order in which it arrives; bodies may stand in it several times."""

    settings: dict
    arrivals: list
    expected: list = field(default_factory=list)

    @property
    def bodies(self):
        """Each body once."""
        return list(dict.fromkeys(a for a in self.arrivals if isinstance(a, bytes)))


def history(seed, numbers, arrival, prefix):
    """Makes a History: events `numbers` of `seed`, in an order made of `arrival`; ids hold `prefix`, which is digits."""
    chance = random.Random(f"history {seed}")
    world = _World(chance, prefix)
    things = [world.thing(number) for number in numbers]
    shuffle = random.Random(f"arrival {arrival}")
    arrivals = [thing for thing in things for _ in range(shuffle.choices((1, 2, 3), (8, 2, 1))[0])]
    arrivals = [a for i, a in enumerate(arrivals) if isinstance(a, bytes) or a is not arrivals[i - 1]]
    shuffle.shuffle(arrivals)
    return History(world.settings, arrivals, world.expected())


class _World:
    """What all events of one history have in common."""

    def __init__(self, chance, prefix):
        self.prefix = prefix
        self.seed = chance.random()
        self.story = chance.choice(("chaos", "chaos", "one_time", "subscription", "subscription", "trial"))
        self.orders = [f"{prefix}o1"] * chance.choice((1, 4, 9)) + chance.choice(([], [f"{prefix}o2"], [None]))
        # Few moments make many ties.
        self.moments = [START + timedelta(seconds=chance.choice((0, 1, 3600, 86400, 86400 * 7, 86400 * 30, 86400 * 700))
                                          * chance.randint(0, 4)) for _ in range(chance.choice((2, 5, 12, 40)))]
        self.modes = chance.choice((("live",), ("live",), ("live", "live", "live", "test"), ("test",)))
        self.customers = chance.choice(((f"{prefix}c1",), (f"{prefix}c1",), (f"{prefix}c1", None),
                                        (f"{prefix}c1",) * 9 + (f"{prefix}c2",)))
        self.payments = [f"{prefix}ch{i}" for i in range(chance.choice((1, 2, 4, 12)))] + [None] * chance.choice((0, 1))
        self.provider_orders = [f"{prefix}ORD{i}" for i in range(chance.choice((1, 3)))] + [None]
        self.settings = {
            "provider_timezone": chance.choice(ZONES),
            "unknown_refund": chance.choice(("full", "partial")),
            "order_key": chance.choice((["metadata.order_id", "metadata.orderId"], ["metadata.deep.no", "request_id"],
                                        ["metadata.order_id", "request_id"])),
        }

    def expected(self):
        chance = random.Random(f"expected {self.seed}")
        if chance.random() < 0.6:
            return []
        return [(chance.choice(("live", "live", "test")), f"{self.prefix}o1", chance.choice((None, "A@Example.com", "b@example.com")),
                 chance.choice((None, "prod_1", "prod_2")), chance.choice((None, Decimal(10), Decimal("397.1632"))),
                 chance.choice((None, "usd", "EUR")))]

    def thing(self, number):
        """The body, or the Decision, with this number."""
        chance = random.Random(f"event {self.seed} {number}")
        if chance.random() < 0.04:
            return Decision(chance.choice(("grant", "grant", "revoke", "clear")), chance.choice(self.modes), f"{self.prefix}o1",
                            chance.choice((None, "G@example.com")), chance.choice((None, "prod_g")),
                            chance.choice((None, START + timedelta(days=chance.randint(0, 1500)))))
        kind, moment = self._plot(chance, number)
        return _Body(self, chance, number, kind, moment).bytes()

    def _plot(self, chance, number):
        """What happens as event `number` of the story, and when."""
        if self.story == "chaos" or chance.random() < 0.15:
            return chance.choice(TYPES), chance.choice(self.moments)
        month = START + timedelta(days=30 * (number // 3), seconds=chance.choice((0, 0, 1, 5)))
        if self.story == "one_time":
            return chance.choice(("checkout.completed", "checkout.failed", "checkout.cancel", "refund.created")), \
                START + timedelta(seconds=chance.randint(0, 20))
        if number < 2:
            return ("subscription.trialing", START) if self.story == "trial" else ("checkout.completed", START)
        return chance.choices(("subscription.paid", "checkout.completed", "checkout.failed", "refund.created",
                               "subscription.canceled", "subscription.trialing", "checkout.cancel"),
                              (10, 3, 2, 2, 1, 1, 1))[0], month


class _Body:
    """One body under construction."""

    def __init__(self, world, chance, number, kind, moment):
        self.world, self.chance, self.number, self.kind, self.moment = world, chance, number, kind, moment

    def maybe(self, content, name, values, likely=0.7):
        """Puts one of the values in, mostly."""
        if self.chance.random() < likely:
            content[name] = self.chance.choice(values)

    def time(self, moment):
        """A moment in one of the provider's ways of writing it."""
        way = self.chance.randrange(10)
        if way < 5:
            return moment.strftime("%Y-%m-%d %H:%M:%S")
        if way == 5:
            return moment.strftime("%Y-%m-%dT%H:%M:%S.") + self.chance.choice(("5", "000001", "746"))
        if way == 6:
            return moment.strftime("%Y-%m-%dT%H:%M:%S") + self.chance.choice(("Z", "+08", "-0530", "+00:00"))
        if way == 7:
            return int(moment.timestamp())
        if way == 8:
            return int(moment.timestamp()) * 1000 + self.chance.choice((0, 1, 746))
        return str(int(moment.timestamp()))

    def later(self):
        return self.time(self.moment + timedelta(days=self.chance.choice((-3, 0, 7, 30, 31, 365))))

    def amount(self):
        return self.chance.choice((0, 10, 10, 10.0, Decimal("397.1632"), "10", " 1e1 ", Decimal("5.5"), Decimal("4.5"),
                                   Decimal("0.000001"), Decimal("999999999999999.999999")))

    def junk(self):
        """What no field can use."""
        return self.chance.choice((True, [], {}, -int(self.world.prefix), Decimal("1.0000001"), int(self.world.prefix) * 10 ** 7, "x" * 400, f"{self.world.prefix}not it",
                                   int(self.world.prefix) * 10 ** 24, " ", None))

    def bytes(self):
        world, chance = self.world, self.chance
        content = {"metadata": self.metadata()}
        body = {"event_type": self.kind, "object": content}
        if chance.random() < 0.9:
            body["event_id"] = f"{world.prefix}e{self.number}"
        elif chance.random() < 0.5:
            body["id"] = f"{world.prefix}i{self.number}"
        if chance.random() < 0.95:
            body["created_at"] = self.time(self.moment)
        else:
            content["created_at"] = self.time(self.moment)
        (content if chance.random() < 0.8 else body)["mode"] = chance.choice(world.modes)
        self.maybe(content, "request_id", (f"{world.prefix}r1", f"{world.prefix}r1", int(world.prefix) * 10 ** 20), 0.5)
        self.maybe(content, "payment_id", world.payments, 0.8)
        self.maybe(content, "object", ("checkout", "subscription", "order", "refunded", "partial_refund"), 0.5)
        self.maybe(content, "status", ("paid", "canceled", "refunded", "partially_refunded"), 0.2)
        self.maybe(content, "refund_amount", (1, 3, 10, Decimal("2.5")), 0.2)
        self.maybe(content, "refunded_amount", (1, 9, 10, "397.1632"), 0.1)
        for name, make, likely in (("order", self.order, 0.7), ("product", self.product, 0.7), ("customer", self.customer, 0.8),
                                   ("subscription", self.subscription, 0.4), ("refund", self.refund, 0.3)):
            if chance.random() < likely:
                content[name] = make()
        if content.get("object") == "subscription" and chance.random() < 0.5:
            content.update(self.subscription())
            content["id"] = f"{world.prefix}sub"
        self.spoil(content)
        return _dumps(body, chance.random() < 0.5).encode()

    def metadata(self):
        world, chance = self.world, self.chance
        order = chance.choice(world.orders)
        found = {"history": world.prefix}
        if order is not None:
            found[chance.choice(("order_id", "order_id", "order_id", "orderId"))] = order
        if chance.random() < 0.1:
            found["deep"] = {"no": f" {world.prefix}o1 "}
        if chance.random() < 0.05:
            found["order_id"] = chance.choice(("", "customer:1:2", "x" * 300, True, "  ", 1.5, None))
        if chance.random() < 0.3:
            found["note"] = chance.choice(("ünïcödé", "\"quoted\\\"", 12345678901234567890123, Decimal("0.10"), [1, {"a": None}]))
        return found

    def order(self):
        found = {"amount": self.amount()}
        self.maybe(found, "order_id", self.world.provider_orders, 0.7)
        self.maybe(found, "currency", ("usd", "USD", "eur", " Eur "))
        self.maybe(found, "tax_amount", (0, "1.5", 2))
        self.maybe(found, "status", ("paid", "refunded", "partially_refunded"), 0.2)
        self.maybe(found, "refunded_amount", (1, 5, 10), 0.15)
        self.maybe(found, "product_id", ("prod_1", "prod_2"), 0.3)
        self.maybe(found, "mode", ("live", "test"), 0.02)
        return found

    def product(self):
        found = {}
        self.maybe(found, "product_id", ("prod_1", "prod_1", "prod_2", 42))
        self.maybe(found, "name", ("Name", " Näme ", ""))
        self.maybe(found, "billing_type", ("subscription", "subscription", "single_payment"), 0.5)
        self.maybe(found, "currency", ("USD", "dollars"), 0.3)
        return found

    def customer(self):
        found = {}
        who = self.chance.choice(self.world.customers)
        if who is not None:
            found["id"] = who
        self.maybe(found, "email", ("a@example.com", "A@Example.COM", " b@example.com", "ÄÖ@example.com"))
        return found

    def subscription(self):
        found = {}
        self.maybe(found, self.chance.choice(("id", "subscription_id")), (f"{self.world.prefix}s1", f"{self.world.prefix}s2"))
        for name in ("trial_start", "trial_end", "billing_period_start", "billing_period_end", "cancel_at", "canceled_at"):
            if self.chance.random() < 0.4:
                found[name] = self.later()
        self.maybe(found, "recurring_interval", ("monthly", "monthly", "weekly", "yearly", "daily", "3months", "6months", "sometimes"), 0.5)
        self.maybe(found, "cancel_at_period_end", (True, False, None, "yes"), 0.5)
        self.maybe(found, "units", (1, 5, 0, 2 ** 31 - 1, 2 ** 31, "3"), 0.5)
        self.maybe(found, "last4", ("4242", "", 4242), 0.3)
        self.maybe(found, "payment_method", ("card", ""), 0.3)
        self.maybe(found, "billing_amount", (10, "12.50"), 0.3)
        return found

    def refund(self):
        found = {}
        self.maybe(found, "amount", (1, 3, 10, Decimal("2.5"), Decimal("397.1632"), 0), 0.5)
        self.maybe(found, "status", ("refunded", "partial_refund", "partially_refunded", "pending"), 0.5)
        return found

    def spoil(self, content):
        """Now and then, something that cannot be used stands where a field is looked for."""
        while self.chance.random() < 0.15:
            place = content
            inner = [value for value in content.values() if isinstance(value, dict) and value and "note" not in value]
            if inner and self.chance.random() < 0.7:
                place = self.chance.choice(inner)
            names = [name for name in place if name not in ("mode", "metadata", "order_id", "orderId", "created_at", "deep")]
            if names:
                place[self.chance.choice(names)] = self.junk()


def _dumps(value, ascii_only):
    """JSON with all digits of Decimals: json.dumps would write them as text."""
    text = json.dumps(value, ensure_ascii=ascii_only, default=lambda number: f"<number {number:f}>")
    return re.sub(r'"<number ([^>]*)>"', r"\1", text)
