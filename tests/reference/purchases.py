"""Payments and trials, each fixed by its own events (§6)."""

from datetime import timedelta
from decimal import Decimal

from .subscriptions import Identity, ids_of

PURCHASE_COLUMNS = (
    "product_name", "customer_email", "units", "recurring_interval", "subscription_id",
    "processor_subscription_id", "billing_period_start", "billing_period_end", "payment_method",
    "last4", "billing_amount", "amount", "tax_amount", "currency", "provider_order_id")
BY_EMAIL = "email:"
TRIAL_WITHIN = timedelta(days=1)


def latest(events, name):
    """Return the latest non-NULL value of `name` among events."""
    return next((getattr(one, name) for one in reversed(events)
                 if getattr(one, name) is not None), None)


def first(events, name):
    """Return the first non-NULL value of `name` among events."""
    return next((getattr(one, name) for one in events if getattr(one, name) is not None), None)


class Purchase:
    """What payments and trials have in common.

    events are its own selling events in their order, began the position of the first.  product_id,
    customer_id and user_id are None while unknown.
    """

    def __init__(self):
        self.events = []
        # The subscription ids that it had after each of its own events.
        self.ids_told = []
        self.product_id = self.customer_id = self.user_id = None
        self._inherited = {}

    def __getattr__(self, name):
        if name in PURCHASE_COLUMNS:
            return latest(self.events, name)
        raise AttributeError(name)

    @property
    def began(self):
        return self.events[0].position

    @property
    def item(self):
        """The key of the item that it belongs to."""
        return self.product_id or "", self.customer_id or "", self.user_id or ""

    def tell(self, event, purchases):
        """Take one more of its own selling events; `purchases` are all of the order, it included."""
        begins = not self.events
        self.events.append(event)
        self.ids_told.append(ids_of(self))
        earlier = sorted((one for one in purchases if one is not self and one.began < self.began),
                         key=lambda one: one.began)
        if begins:
            identity = Identity([*earlier, self])
            same = [one for one in earlier if identity.same(self, one)]
            self._inherited = {name: _inherited(name, same, earlier)
                               for name in ("product_id", "customer_id")}
        self.product_id = first(self.events, "product_id") or self._inherited["product_id"]
        self.customer_id = customer_of(first(self.events, "customer_id"), self.customer_email,
                                       earlier) or self._inherited["customer_id"]
        if begins:
            same, earlier = ([one for one in some if one.customer_id == self.customer_id]
                             for some in (same, earlier))
            self._inherited["user_id"] = _inherited("user_id", same, earlier)
        self.user_id = first(self.events, "user_id") or self._inherited["user_id"]


def _inherited(name, same, earlier):
    """What the latest earlier purchase of the same subscription has, else the one known value."""
    value = getattr(same[-1], name) if same else None
    if value is not None:
        return value
    known = {getattr(one, name) for one in earlier} - {None}
    return known.pop() if len(known) == 1 else None


def customer_of(customer_id, email, earlier):
    """Return the customer that an id, or an e-mail alone, names; None if neither is there.

    `earlier` are the purchases to look an e-mail up in, by their beginning.
    """
    if customer_id is not None or email is None:
        return customer_id
    for one in reversed(earlier):
        if one.customer_email == email and one.customer_id is not None \
                and not one.customer_id.startswith(BY_EMAIL):
            return one.customer_id
    return BY_EMAIL + email


class Payment(Purchase):
    """A payment.  While `events` is empty it only failed, and `failures` says what is known.

    status is that of §6's table; disputed is whether a dispute is open.
    """

    is_payment = True

    def __init__(self, payment_id):
        super().__init__()
        self.payment_id = payment_id
        self.failures = []
        self.kind = "one_time"
        self.disputed = False
        self.status = "failed"
        self.refunded_amount = Decimal(0)

    @property
    def is_paid(self):
        return bool(self.events)

    @property
    def paid_at(self):
        return self.events[0].occurred_at if self.events else None

    @property
    def pair(self):
        return self

    @property
    def is_subscription(self):
        return self.kind == "subscription"

    @property
    def may_buy_a_trial(self):
        return all(one.event_type == "checkout.completed" for one in self.events)

    def judge_kind(self, purchases):
        """Say what kind it is after one of its payment events."""
        if any(one.billed_as_subscription for one in self.events):
            self.kind = "subscription"
        elif any(one.has_billing_type for one in self.events):
            self.kind = "one_time"
        else:
            inherits = any(one.is_subscription and one.item == self.item and one.began < self.began
                           for one in purchases)
            self.kind = "subscription" if inherits else "one_time"

    def row(self):
        """Return the columns of §9 that are its own."""
        events = self.events or self.failures
        row = {name: latest(events, name) for name in (
            "provider_order_id", "product_name", "customer_email", "units", "recurring_interval",
            "subscription_id", "processor_subscription_id", "amount", "tax_amount", "currency")}
        row.update(payment_id=self.payment_id, kind=self.kind, status=self.status,
                   paid_at=self.paid_at, period_start=latest(events, "billing_period_start"),
                   period_end=latest(events, "billing_period_end"),
                   refunded_amount=self.refunded_amount)
        for name in ("product_id", "customer_id", "user_id"):
            row[name] = getattr(self, name) if self.is_paid else latest(events, name)
        if not self.is_paid:
            is_subscription = any(one.billed_as_subscription for one in events)
            row["kind"] = "subscription" if is_subscription else "one_time"
        return row


class Trial(Purchase):
    """A trial: one subscription.trialing event.

    payment is the payment that bought it; released says that it is no longer what a payment bought.
    """

    is_payment = False

    def __init__(self):
        super().__init__()
        self.payment = None
        self.released = False

    @property
    def starts_at(self):
        return self.events[0].occurred_at

    @property
    def pair(self):
        return self.payment or self

    @property
    def is_subscription(self):
        return True

    def buy(self, payments):
        """Let it be what the payment bought that it names now, if it can be."""
        if self.payment is not None or self.released:
            return
        payment = named(self.events[0], payments)
        if payment is not None and payment.may_buy_a_trial \
                and abs(self.starts_at - payment.paid_at) <= TRIAL_WITHIN:
            self.payment = payment

    def release(self):
        self.payment = None
        self.released = True

    def row(self):
        """Return the columns of §9 that are its own."""
        event = self.events[0]
        return {"event_id": event.event_id, "product_id": self.product_id,
                "customer_id": self.customer_id, "customer_email": event.customer_email,
                "user_id": self.user_id, "units": event.units,
                "subscription_id": event.subscription_id, "starts_at": event.occurred_at,
                "trial_end": event.trial_end,
                "payment_id": None if self.payment is None else self.payment.payment_id}


def latest_paid(payments):
    """Return the one with the latest paid_at (of equals, the bytewise last name), None without."""
    return max((one for one in payments if one.is_paid),
               key=lambda one: (one.paid_at, one.payment_id.encode()), default=None)


def by_id(payment_id, payments):
    """Return the payment of that name, None without."""
    return next((one for one in payments if one.payment_id == payment_id), None)


def of_provider_order(provider_order_id, payments):
    """Return the latest paid payment of the provider's order, None without."""
    return latest_paid(one for one in payments if one.provider_order_id == provider_order_id)


def named(event, payments):
    """Return the paid payment that an event names, None without."""
    if event.payment_id is not None:
        payment = by_id(event.payment_id, payments)
        return payment if payment is not None and payment.is_paid else None
    if event.provider_order_id is not None:
        return of_provider_order(event.provider_order_id, payments)
    return None


def payment_of(event, payments):
    """Return the payment that a payment event or checkout.failed belongs to; adds a new one.

    A payment event that has both names takes the row of its provider's order over, and renames it.
    """
    payment_id, number = event.payment_id, event.provider_order_id
    unnamed = None if number is None else by_id("order:" + number, payments)
    if payment_id is None and number is not None:
        found = of_provider_order(number, payments) or unnamed
        payment_id = "order:" + number
    else:
        payment_id = payment_id or "event:" + event.event_id
        found = by_id(payment_id, payments)
        if event.is_payment and unnamed is not None and (found is None or not found.is_paid):
            if found is not None:
                payments.remove(found)
            found = unnamed
            found.payment_id = payment_id
    if found is None:
        found = Payment(payment_id)
        payments.append(found)
    return found
