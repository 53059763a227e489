"""From events to the state of every order (§6)."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from .extract import TIMES
from .items import build_items
from .key import assign, key_source, user_id
from .purchases import Trial, by_id, customer_of, latest_paid, named, payment_of
from .refunds import Refund, find_fallback, settle
from .subscriptions import Identity, concerned, fails, latest_of
from .times import localise

RANKS = {
    "checkout.failed": 1, "checkout.cancel": 2, "checkout.completed": 3,
    "subscription.trialing": 4, "subscription.paid": 5, "refund.created": 6,
    "subscription.canceled": 7}
OPERATOR_RANK = 8
PAGE_CLOSED_WITHIN = timedelta(hours=1)

ORDER_ATTRIBUTES = (
    "amount", "tax_amount", "currency", "product_id", "product_name", "billing_type", "customer_id",
    "customer_email", "user_id", "provider_order_id", "payment_id", "request_id", "metadata")
GRANT_ATTRIBUTES = ("product_id", "customer_email")


@dataclass
class OperatorEvent:
    """What bagelpay.grant, revoke, clear and dispute_won store; a body never makes one.

    event_type is `operator.grant`, `operator.revoke`, `operator.clear` or `operator.dispute_won`;
    occurred_at and until are aware.  A grant has product_id, customer_email and until (None is
    without end); revoke and clear have product_id, and a customer in customer_id or customer_email;
    dispute_won has payment_id.  None is "any".
    """

    event_id: str
    event_type: str
    mode: str
    order_id: str
    occurred_at: datetime
    product_id: str = None
    customer_id: str = None
    customer_email: str = None
    payment_id: str = None
    until: datetime = None
    note: str = None
    position: int = None


class Cancellation:
    """One subscription.canceled event, and the purchases that it concerns."""

    def __init__(self, event, purchases):
        self.event = event
        self.purchases = purchases
        ends = (event.occurred_at, event.canceled_at, event.cancel_at)
        self.ends_at = max(end for end in ends if end is not None)

    def row(self):
        """Return the columns of §9 that are its own."""
        event = self.event
        return {"event_id": event.event_id, "product_id": event.product_id,
                "customer_id": event.customer_id, "subscription_id": event.subscription_id,
                "processor_subscription_id": event.processor_subscription_id,
                "occurred_at": event.occurred_at, "ends_at": self.ends_at,
                "at_period_end": event.cancel_at_period_end}


@dataclass
class State:
    """What is known of one order when all its events are folded.

    order is a row with the columns of §9, and so are the values of payments (by payment_id), trials,
    cancellations and refunds (by event_id), and Item.row of items (by product, customer and user, ''
    where unknown); times are aware in UTC.  steps has, per event in the order of the fold, its id,
    the order's status after it, and the subscription_status of the item that it is about, or None.

    purchases, cancellations_made and decisions are what entitlements are computed from.
    """

    mode: str
    order_id: str
    order: dict = None
    items: dict = field(default_factory=dict)
    payments: dict = field(default_factory=dict)
    trials: dict = field(default_factory=dict)
    cancellations: dict = field(default_factory=dict)
    refunds: dict = field(default_factory=dict)
    steps: list = field(default_factory=list)
    purchases: list = field(default_factory=list)
    cancellations_made: list = field(default_factory=list)
    decisions: list = field(default_factory=list)

    def tables(self):
        """Return all rows: {table: rows}."""
        return {"orders": [self.order], "items": [item.row for item in self.items.values()],
                **{name: list(getattr(self, name).values())
                   for name in ("payments", "trials", "cancellations", "refunds")}}


def sort_key(event):
    """Return what the fold sorts by; the event's occurred_at is aware."""
    rank = RANKS.get(event.event_type, OPERATOR_RANK)
    at = event.occurred_at
    return at.replace(microsecond=0), rank, at, event.event_id.encode()


def fold(events, settings):
    """Return {(mode, order_id): State} for `events`, in any order, with any duplicates.

    `events` are Event and OperatorEvent.  Those of an unknown type, those without a key, and all but
    the first of one event_id have no part in it.
    """
    once = {}
    for event in events:
        once.setdefault(event.event_id, event)
    decisions = [one for one in once.values() if isinstance(one, OperatorEvent)]
    known = [one for one in once.values() if not isinstance(one, OperatorEvent) and one.is_known]
    keys = assign(known, settings)
    groups = {}
    for event in decisions:
        groups.setdefault((event.mode, event.order_id), []).append(replace(event))
    for event in known:
        if keys[event.event_id] is not None:
            name = event.mode, keys[event.event_id][0]
            groups.setdefault(name, []).append(_prepared(event, settings))
    return {name: _Folder(name, settings).fold(members, keys) for name, members in groups.items()}


def _prepared(event, settings):
    """The event with its times in UTC, and its user."""
    times = {name: localise(getattr(event, name), settings.provider_timezone) for name in TIMES}
    return replace(event, user_id=user_id(event, settings), **times)


class _Folder:
    """The fold over one order."""

    def __init__(self, name, settings):
        self.mode, self.order_id = name
        self.settings = settings
        self.status = "pending"
        self.attributes = dict.fromkeys(ORDER_ATTRIBUTES)
        self.has_sold = False
        self.payments = []
        self.trials = []
        self.refunds = []
        self.cancellations = []
        self.decisions = []
        # subscription_status by item.
        self.statuses = {}
        self.steps = []

    def fold(self, events, keys):
        """Return the State that `events` of this order lead to."""
        events = sorted(events, key=sort_key)
        for position, event in enumerate(events):
            event.position = position
            self.set_attributes(event)
            handle = getattr(self, "on_" + event.event_type.replace(".", "_"))
            item = handle(event)
            self.steps.append((event.event_id, self.status, self.statuses.get(item)))
        last = events[-1]
        sources = [key_source(self.order_id) if isinstance(event, OperatorEvent)
                   else keys[event.event_id][1] for event in events]
        order = {"mode": self.mode, "order_id": self.order_id, **self.attributes,
                 "key_source": "metadata" if "metadata" in sources else sources[0],
                 "status": self.status, "conflict": self.is_conflict(),
                 "last_event_id": last.event_id, "last_event_at": last.occurred_at,
                 "updated_at": last.occurred_at}
        return self.state(order)

    def state(self, order):
        shared = {"mode": self.mode, "order_id": self.order_id}
        updated = {**shared, "updated_at": order["updated_at"]}
        items = build_items(self.purchases, self.cancellations, self.decisions, self.statuses)
        for item in items.values():
            item.row.update(updated)
        return State(
            **shared, order=order, items=items,
            payments={one.payment_id: {**one.row(), **updated} for one in self.payments},
            trials={one.events[0].event_id: {**one.row(), **shared} for one in self.trials},
            cancellations={one.event.event_id: {**one.row(), **shared}
                           for one in self.cancellations},
            refunds={one.event.event_id: {**one.row(), **shared} for one in self.refunds},
            steps=self.steps, purchases=self.purchases, cancellations_made=self.cancellations,
            decisions=self.decisions)

    def is_conflict(self):
        return len({one.customer_id for one in self.purchases} - {None}) > 1

    @property
    def purchases(self):
        """The paid payments and the trials so far, by their beginning."""
        paid = [one for one in self.payments if one.is_paid]
        return sorted([*paid, *self.trials], key=lambda one: one.began)

    def customer(self, event):
        """The customer whom an event names, by the purchases before it."""
        return customer_of(event.customer_id, event.customer_email, self.purchases)

    def set_attributes(self, event):
        """A selling event sets what it carries; others only as long as there was none."""
        names = ORDER_ATTRIBUTES
        if isinstance(event, OperatorEvent):
            names = GRANT_ATTRIBUTES if event.event_type == "operator.grant" else ()
        elif event.is_selling:
            self.has_sold = True
        if not self.has_sold or (not isinstance(event, OperatorEvent) and event.is_selling):
            self.attributes.update({name: getattr(event, name) for name in names
                                    if getattr(event, name) is not None})

    def settle(self):
        """Judge all payments again by their refunds."""
        settle(self.refunds, self.payments, self.settings)

    def take_latest_status(self):
        payment = latest_paid(self.payments)
        if payment is not None:
            self.status = payment.status

    def latest_subscription(self, item):
        """The latest subscription purchase of an item: a list, see latest_of()."""
        purchases = self.purchases
        return latest_of([one for one in purchases if one.is_subscription and one.item == item],
                         purchases)

    def drop_statuses(self):
        """An item without subscription purchases has no subscription_status."""
        items = {one.item for one in self.purchases if one.is_subscription}
        self.statuses = {item: status for item, status in self.statuses.items() if item in items}

    # One method per event type; each returns the item that the event is about, or None.

    def on_checkout_completed(self, event):
        return self.pay(event)

    def on_subscription_paid(self, event):
        return self.pay(event)

    def pay(self, event):
        payment = payment_of(event, self.payments)
        begins = not payment.is_paid
        item_before = None if begins else payment.item
        was_subscription = not begins and payment.is_subscription
        had_bought = self.has_bought(payment)
        payment.failures = []
        others = [one for one in self.purchases if one is not payment]
        payment.tell(event, others)
        for trial in self.trials:
            if trial.payment is payment and not payment.may_buy_a_trial:
                trial.release()
            elif named(trial.events[0], self.payments) is payment:
                trial.buy(self.payments)
        payment.judge_kind(others)
        has_bought = self.has_bought(payment)
        if payment.is_subscription:
            is_new = not begins and payment.item != item_before
            if not has_bought and (begins or had_bought or not was_subscription or is_new):
                self.statuses[payment.item] = "active"
            elif has_bought and (is_new or payment.item not in self.statuses):
                self.statuses[payment.item] = "trialing"
        self.drop_statuses()
        self.settle()
        self.take_latest_status()
        return payment.item

    def has_bought(self, payment):
        return any(one.payment is payment for one in self.trials)

    def on_subscription_trialing(self, event):
        trial = Trial()
        trial.tell(event, self.purchases)
        trial.buy(self.payments)
        self.trials.append(trial)
        self.statuses[trial.item] = "trialing"
        self.status = "trialing"
        return trial.item

    def on_checkout_failed(self, event):
        payment = payment_of(event, self.payments)
        if not payment.is_paid:
            payment.failures.append(event)
        if self.status in ("pending", "canceled"):
            self.status = "failed"
        about = None
        identity = Identity(self.purchases)
        for item, status in list(self.statuses.items()):
            latest = self.latest_subscription(item)
            if fails(event, self.customer(event), latest, identity):
                about = item
                if status in ("trialing", "active"):
                    self.statuses[item] = "past_due"
        return payment.item if payment.is_paid else about

    def on_checkout_cancel(self, event):
        payment = named(event, self.payments)
        disputes = payment is not None and payment.status in ("paid", "partially_refunded") \
            and event.occurred_at - payment.paid_at > PAGE_CLOSED_WITHIN
        if disputes:
            payment.disputed = True
            self.settle()
        if disputes and payment is latest_paid(self.payments):
            self.status = "disputed"
        elif self.status in ("pending", "failed"):
            self.status = "canceled"
        return None if payment is None else payment.item

    def on_refund_created(self, event):
        refund = Refund(event)
        if not refund.is_named:
            refund.fallback = find_fallback(
                event, self.customer(event), self.payments, Identity(self.purchases))
        self.refunds.append(refund)
        self.settle()
        self.take_latest_status()
        return None if refund.payment is None else refund.payment.item

    def on_subscription_canceled(self, event):
        before = self.purchases
        purchases = concerned(event, self.customer(event), before, Identity(before))
        self.cancellations.append(Cancellation(event, purchases))
        about = None
        for item in {one.item for one in purchases}:
            if any(one in purchases for one in self.latest_subscription(item)):
                self.statuses[item] = "canceled"
                about = item
        return about

    def on_operator_dispute_won(self, event):
        payment = by_id(event.payment_id, self.payments)
        if payment is not None and payment.status == "disputed":
            payment.disputed = False
        self.settle()
        self.take_latest_status()
        return None if payment is None or not payment.is_paid else payment.item

    def decide(self, event):
        self.decisions.append(event)

    on_operator_grant = on_operator_revoke = on_operator_clear = decide
