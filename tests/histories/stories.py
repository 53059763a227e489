"""What happens in a history: purchases and what becomes of them, as facts that bodies are written from."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal

START = datetime(2025, 1, 31, 1, 30, tzinfo=timezone.utc)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TYPES = ("checkout.completed", "checkout.failed", "checkout.cancel", "subscription.trialing",
         "subscription.paid", "refund.created", "subscription.canceled")
# How often each story does what.
STORIES = {
    "shop": {"buy": 10, "fail": 2, "close": 2, "dispute": 1, "refund": 4, "retell": 2},
    "subscription": {"subscribe": 2, "renew": 10, "fail": 2, "cancel": 2, "refund": 2, "retell": 2, "dispute": 1, "close": 1},
    "trial": {"trial": 4, "renew": 6, "subscribe": 1, "fail": 2, "cancel": 2, "refund": 2, "retell": 3},
    "plans": {"subscribe": 2, "renew": 5, "change": 5, "cancel": 3, "refund": 2, "fail": 2, "trial": 1, "retell": 1},
    "refunds": {"buy": 5, "subscribe": 2, "renew": 3, "refund": 14, "retell": 2, "dispute": 1},
    "disputes": {"buy": 5, "renew": 2, "dispute": 6, "close": 3, "refund": 3, "retell": 1},
    "everything": {"buy": 3, "subscribe": 2, "trial": 2, "renew": 6, "change": 2, "fail": 2, "cancel": 3, "refund": 4, "dispute": 2, "close": 1,
                   "retell": 3, "chaos": 2},
    "chaos": {"chaos": 10, "buy": 1, "subscribe": 1},
}


@dataclass
class Facts:
    """One event before it is written. Fields of None are not told."""

    kind: str
    moment: datetime
    order: str = None
    customer: tuple = (None, None)
    user: str = None
    product: str = None
    billing: str = None
    payment: str = None
    number: str = None
    amount: object = None
    subscription: str = None
    processor: str = None
    is_subscription: bool = False
    more: dict = field(default_factory=dict)


@dataclass
class Subscription:
    """One subscription as the provider knows it."""

    number: int
    buyer: tuple
    product: str
    ids: tuple
    tells: dict
    until: datetime = None


class Story:
    """Makes the facts of a history, one thing that happens after the other."""

    def __init__(self, chance, prefix, name):
        self.chance = chance
        self.prefix = prefix
        self.name = name
        self.moment = START
        self.facts = []
        self.payments = []
        self.subscriptions = []
        # An order id that is the same for everybody, one for each buyer, or one for each purchase.
        self.orders = chance.choice(("constant", "constant", "buyer", "purchase"))
        self.keyless = chance.choice((0, 0, 0, 0.15, 0.15, 0.5, 1))
        self.buyers = [self._buyer(i) for i in range(chance.choice((1, 1, 2, 3)))]
        self.products = ["prod_1", "prod_2", 42][:chance.choice((1, 2, 2, 3))]
        self.pace = chance.choice(("fast", "slow", "slow", "even"))
        self.names_orders = chance.choice((0, 0.5, 1))

    def _buyer(self, i):
        """(id, e-mail), user, number. Some share an e-mail, some have no id."""
        email = self.chance.choice(("a@example.com", "A@Example.COM", f"b{i}@example.com", "ÄÖ@example.com", f"M{self.prefix}@x.org", None))
        who = None if email is not None and self.chance.random() < 0.2 else f"{self.prefix}c{i}"
        user = self.chance.choice((None, None, f"{self.prefix}u{i}", f"{self.prefix}u0"))
        return (who, email), user, i

    def tell(self, count):
        """Returns `count` facts."""
        actions = STORIES[self.name]
        begin = {"subscription": self.subscribe, "plans": self.subscribe, "trial": self.trial}
        begin.get(self.name, self.buy)()
        while len(self.facts) < count:
            self.wait()
            getattr(self, self.chance.choices(tuple(actions), tuple(actions.values()))[0])()
        return self.facts[:count]

    def wait(self):
        days = {"fast": (0, 0, 0, 1), "slow": (0, 1, 5, 25, 30), "even": (30,)}[self.pace]
        seconds = self.chance.choice((0, 0, 0, 1, 3600)) if self.pace != "even" else 0
        self.moment += timedelta(days=self.chance.choice(days), seconds=seconds)

    def pick(self, values, default=None):
        return self.chance.choice(values) if values else default

    def order_of(self, buyer, number):
        if self.chance.random() < self.keyless:
            return None
        return f"{self.prefix}o" + {"constant": "1", "buyer": f"b{buyer[2] % 2}", "purchase": f"p{number % 3}"}[self.orders]

    def told(self, kind, after=0, **facts):
        """One event, `after` seconds from now."""
        self.facts.append(Facts(kind, self.moment + timedelta(seconds=after), **facts))
        return self.facts[-1]

    def payment_facts(self, buyer, product, billing, amount, subscription=None):
        """What a new payment's events have in common."""
        number = len(self.payments)
        with_number = self.chance.random() < self.names_orders
        facts = {"order": self.order_of(buyer, number), "customer": buyer[0], "user": buyer[1], "product": product, "billing": billing,
                 "payment": f"{self.prefix}ch{number}", "number": f"{self.prefix}ORD{number // self.chance.choice((1, 1, 3))}" if with_number else None,
                 "amount": amount}
        if subscription is not None:
            facts.update(subscription=subscription.ids[0], processor=subscription.ids[1])
        self.payments.append((facts, self.moment, subscription))
        return facts

    def amount(self):
        return self.chance.choice((10, 10, 10, Decimal("397.1632"), 20, 0, Decimal("0.000001"), Decimal("999999999999999.999999"), None))

    # The stories: each method adds the events of one.

    def buy(self):
        buyer, product = self.pick(self.buyers), self.pick(self.products)
        facts = self.payment_facts(buyer, product, self.pick(("single_payment", "single_payment", None, "one_off")), self.amount())
        way = self.chance.randrange(6)
        if way == 0:
            self.told("checkout.failed", -60, **{**facts, "product": self.pick(self.products)})
        elif way == 1:
            # First only by the provider's order, then by its own name.
            facts["number"] = facts["number"] or f"{self.prefix}ORD{len(self.payments)}"
            self.told(self.pick(("checkout.completed", "checkout.completed", "checkout.failed")), -self.chance.choice((0, 1, 86400)),
                      **{**facts, "payment": None})
        self.told("checkout.completed", **facts)

    def new_subscription(self):
        number = len(self.subscriptions)
        ids = self.pick(((f"{self.prefix}s{number}", None), (None, f"{self.prefix}x{number}"), (f"{self.prefix}s{number}", f"{self.prefix}x{number}"),
                         (None, None)))
        interval = self.pick(("monthly", "Monthly", "weekly", "yearly", "3months", "quarter", "2 weeks", "half-yearly", "day", "sometimes", None))
        made = Subscription(number, self.pick(self.buyers), self.pick(self.products), ids,
                            {"interval": interval, "place": self.pick(("subscription", "subscription", "product.recurring_interval", "product.billing_period")),
                             "period": self.chance.random() < 0.6, "units": self.pick((None, 1, 5, 0, "3"))})
        self.subscriptions.append(made)
        return made

    def subscription_facts(self, one, amount=None, length=timedelta(days=30)):
        facts = self.payment_facts(one.buyer, one.product, self.pick(("subscription", "subscription", None)), amount or self.amount(), one)
        facts["is_subscription"] = True
        begins = self.moment if one.until is None or self.chance.random() < 0.3 else one.until
        one.until = begins + length
        facts["more"] = self.terms(one)
        if one.tells["period"]:
            facts["more"].update(billing_period_start=begins, billing_period_end=one.until)
        return facts

    def terms(self, one):
        more = {"units": one.tells["units"]}
        more[one.tells["place"]] = one.tells["interval"]
        if self.chance.random() < 0.2:
            more.update(last4="4242", payment_method="card", billing_amount=Decimal("12.50"))
        return {name: value for name, value in more.items() if value is not None}

    def subscribe(self):
        facts = self.subscription_facts(self.new_subscription())
        way = self.chance.randrange(4)
        if way != 0:
            # The checkout does not know the subscription.
            self.told("checkout.completed", -self.chance.choice((0, 0, 2)),
                      **{**facts, "subscription": None, "processor": None, "is_subscription": False, "more": {}})
        if way != 1:
            self.told("subscription.paid", **facts)

    def renew(self):
        if not self.subscriptions:
            return self.subscribe()
        one = self.pick(self.subscriptions[-3:])
        if one.until is not None and self.pace == "slow" and self.chance.random() < 0.7:
            self.moment = max(self.moment, one.until - HOUR * self.chance.choice((0, 0, 1, -1, -30)))
        return self.told("subscription.paid", **self.subscription_facts(one))

    def change(self):
        """Another product, customer or user of the same subscription."""
        if not self.subscriptions:
            return self.subscribe()
        one = self.pick(self.subscriptions[-2:])
        one.product = self.pick(self.products)
        if self.chance.random() < 0.2:
            one.buyer = self.pick(self.buyers)
        return self.told("subscription.paid", **self.subscription_facts(one))

    def trial(self):
        one = self.new_subscription()
        one.tells["period"] = self.chance.random() < 0.3
        length = self.pick((timedelta(days=7), timedelta(days=14), timedelta(0), -DAY))
        facts = self.payment_facts(one.buyer, one.product, self.pick(("subscription", "subscription", None, "single_payment")),
                                   self.chance.choice((0, 0, 0, None, 1)), one)
        facts["is_subscription"] = True
        facts["more"] = {**self.terms(one), "trial_start": self.moment}
        if self.chance.random() < 0.7:
            facts["more"]["trial_end"] = self.moment + length
        way = self.chance.randrange(5)
        if way > 0:
            apart = self.chance.choice((0, 0, 0, -3, -3, 3, 3, 3600, 86400, -86400, 86401, -86401, 172800))
            self.told("checkout.completed", apart, **{**facts, "subscription": None, "processor": None, "is_subscription": False, "more": {},
                                                      "payment": facts["payment"] if way > 1 else None})
        named = self.chance.random() < 0.85
        self.told("subscription.trialing", **{**facts, "payment": facts["payment"] if named else None})
        one.until = self.moment + max(length, timedelta(0))
        if self.chance.random() < 0.15:
            # The same payment, told as a subscription's later on.
            self.told("subscription.paid", self.chance.choice((10, 86400 * 3)), **facts)

    def fail(self):
        if self.subscriptions and self.chance.random() < 0.7:
            one = self.pick(self.subscriptions[-2:])
            facts = self.payment_facts(one.buyer, one.product, self.pick(("subscription", None)), self.amount(), one)
            if self.chance.random() < 0.3:
                facts.update(subscription=None, processor=None)
            self.told("checkout.failed", **facts)
            if self.chance.random() < 0.4:
                self.told("subscription.paid", self.chance.choice((0, 86400)), **facts, is_subscription=True, more=self.terms(one))
        elif self.payments and self.chance.random() < 0.3:
            self.told("checkout.failed", **self.pick(self.payments[-3:])[0])
        else:
            buyer = self.pick(self.buyers)
            self.told("checkout.failed", **self.payment_facts(buyer, self.pick(self.products), "single_payment", self.amount()))

    def cancel(self):
        if not self.subscriptions:
            return self.subscribe()
        one = self.pick(self.subscriptions)
        provider, processor = one.ids
        way = self.chance.randrange(6)
        ids = {0: (None, None), 1: (provider, None), 2: (None, processor), 3: (provider, processor),
               4: (None, f"{self.prefix}x{one.number}"), 5: (f"{self.prefix}s9", None)}[way]
        more = {}
        if self.chance.random() < 0.4:
            more["cancel_at_period_end"] = self.pick((True, True, False))
        if self.chance.random() < 0.4:
            more["cancel_at"] = self.moment + DAY * self.pick((-1, 0, 3, 20, 400))
        if self.chance.random() < 0.4:
            more["canceled_at"] = self.moment + HOUR * self.pick((-1, 0, 0, 50))
        if self.chance.random() < 0.1 and self.payments:
            # In the second of a payment.
            self.moment = self.payments[-1][1]
        return self.told("subscription.canceled", order=self.order_of(one.buyer, one.number), customer=one.buyer[0], user=one.buyer[1], product=one.product,
                         subscription=ids[0], processor=ids[1], is_subscription=True, more=more)

    def refund(self):
        facts, paid_at, one = self.pick(self.payments[-4:], (None, None, None))
        if facts is None:
            return self.buy()
        more = {}
        way = self.chance.randrange(10)
        amount = facts["amount"] or 0
        share = self.pick((amount, amount / 2, 1, Decimal("2.5"), 0)) if amount < 10 ** 12 else 1
        if way < 6:
            more["refund_amount"] = share
        if way in (4, 5, 6, 7):
            more["running_total"] = self.pick((share, amount, 9)) if amount < 10 ** 12 else 9
        if way in (0, 3, 5, 7, 8):
            more["label"] = self.pick(("refunded", "partial_refund", "partially_refunded", "pending"))
        if self.chance.random() < 0.5:
            more["refund_id"] = f"{self.prefix}re{self.chance.choice((0, 1, len(self.facts)))}"
        by = self.pick(("payment", "payment", "payment", "both", "both", "number", "neither", "unknown"))
        names = {"payment": facts["payment"] if by in ("payment", "both") else f"{self.prefix}ch99" if by == "unknown" else None,
                 "number": facts["number"] if by in ("both", "number", "unknown") else None}
        told = {name: facts.get(name) for name in ("order", "customer", "user", "product", "billing", "subscription", "processor")}
        if self.chance.random() < 0.4:
            told.update(subscription=None, processor=None)
        if self.chance.random() < 0.2:
            told["order"] = None
        before = self.chance.random() < 0.15
        moment = paid_at - timedelta(seconds=self.chance.choice((0, 1, 86400))) if before else self.moment
        found = self.told("refund.created", **told, **names, more=more)
        found.moment = moment
        if self.chance.random() < 0.3:
            # Told once more, perhaps with other words.
            again = self.told("refund.created", self.chance.choice((1, 86400)), **{**told, **names, "payment": self.pick((names["payment"], None))},
                              more={**more, "refund_amount": share})
            again.moment = again.moment if self.chance.random() < 0.8 else moment
        return found

    def dispute(self):
        self.close(late=True)

    def close(self, late=False):
        facts, paid_at, _ = self.pick(self.payments[-4:], (None, None, None))
        if facts is None:
            return self.buy()
        told = {name: facts.get(name) for name in ("order", "customer", "user", "product", "billing", "payment", "number")}
        if self.chance.random() < 0.3:
            told["payment"] = None
        found = self.told("checkout.cancel", **told)
        if not late:
            found.moment = paid_at + timedelta(seconds=self.chance.choice((-5, 0, 600, 3599, 3600, 3601)))
        return found

    def retell(self):
        """A payment told once more, with something else in it."""
        facts, paid_at, one = self.pick(self.payments[-4:], (None, None, None))
        if facts is None:
            return self.buy()
        changes = self.pick(({}, {"customer": self.pick(self.buyers)[0]}, {"product": self.pick(self.products)}, {"amount": 40},
                             {"billing": "single_payment"}, {"number": f"{self.prefix}ORD7"}, {"user": f"{self.prefix}u9"},
                             {"customer": (None, "b1@example.com")}, {"payment": None}))
        if one is not None:
            changes = {**changes, "more": self.terms(one)}
        kind = self.pick(("checkout.completed", "checkout.completed", "subscription.paid"))
        found = self.told(kind, **{**facts, **changes})
        found.moment = self.pick((self.moment, self.moment, paid_at, paid_at + timedelta(seconds=1)))
        return found

    def chaos(self):
        """Anything, of the few names that there are."""
        chance = self.chance
        buyer = self.pick(self.buyers)
        kind = self.pick(TYPES)
        more = {}
        if kind == "refund.created" and chance.random() < 0.7:
            more["refund_amount"] = self.pick((1, 3, 10, Decimal("2.5")))
        if chance.random() < 0.4:
            more["subscription"] = self.pick(("monthly", "daily"))
        for name in ("trial_end", "billing_period_end", "cancel_at"):
            if chance.random() < 0.3:
                more[name] = self.moment + DAY * self.pick((-3, 0, 7, 30, 365))
        return self.told(kind, order=self.order_of(buyer, 0), customer=buyer[0], user=buyer[1], product=self.pick(self.products),
                         billing=self.pick(("subscription", "single_payment", None)), payment=self.pick((None, *(f"{self.prefix}ch{i}" for i in range(3)))),
                         number=self.pick((None, f"{self.prefix}ORD0", f"{self.prefix}ORD1")), amount=self.amount(),
                         subscription=self.pick((None, None, f"{self.prefix}s0", f"{self.prefix}s1")),
                         processor=self.pick((None, None, f"{self.prefix}x0", f"{self.prefix}x1")),
                         is_subscription=chance.random() < 0.4, more=more)
