"""From events to the state of every order (§6)."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from .extract import lower, trim
from .key import key_source, order_key
from .times import localise

RANKS = {
    "checkout.failed": 1, "checkout.cancel": 2, "checkout.completed": 3,
    "subscription.trialing": 4, "subscription.paid": 5, "refund.created": 6,
    "subscription.canceled": 7}
OPERATOR_RANK = 8

ORDER_ATTRIBUTES = (
    "amount", "tax_amount", "currency", "product_id", "product_name", "billing_type", "customer_id",
    "customer_email", "provider_order_id", "payment_id", "request_id", "metadata")
SUBSCRIPTION_ATTRIBUTES = (
    "subscription_id", "processor_subscription_id", "trial_start", "trial_end",
    "billing_period_start", "billing_period_end", "cancel_at", "canceled_at", "recurring_interval",
    "units", "payment_method", "last4", "billing_amount")


@dataclass(frozen=True)
class OperatorEvent:
    """What bagelpay.grant, revoke and clear store; a body never makes one.

    event_type is `operator.grant`, `operator.revoke` or `operator.clear`; occurred_at and until are
    aware.  customer_email, product_id and until belong to a grant; until None is without end.
    """

    event_id: str
    event_type: str
    mode: str
    order_id: str
    occurred_at: datetime
    customer_email: str = None
    product_id: str = None
    until: datetime = None
    note: str = None


@dataclass
class State:
    """What is known of one order when all its events are folded.

    order, subscription (None where there is no row), the values of payments (by payment_id) and of
    refunds (by event_id) are rows with the columns of §9; times are aware in UTC.  decision is the
    latest grant or revocation, None after a clear.  valid_from is the earliest paid_at or
    subscription.trialing event, trial_started the latest of those, had_payment whether there was a
    payment event.  warnings has, by event_id, those that key and fold give.  steps has, per event in
    the order of the fold, (event_id, order status, subscription status or None) after it.
    """

    mode: str
    order_id: str
    order: dict
    subscription: dict = None
    payments: dict = field(default_factory=dict)
    refunds: dict = field(default_factory=dict)
    conflict: bool = False
    decision: OperatorEvent = None
    valid_from: datetime = None
    trial_started: datetime = None
    had_payment: bool = False
    recurring_interval: str = None
    warnings: dict = field(default_factory=dict)
    steps: list = field(default_factory=list)


def sort_key(event, settings):
    """Return what the fold sorts by: (occurred_at, rank, event_id as bytes)."""
    rank = RANKS.get(event.event_type, OPERATOR_RANK)
    zone = settings.provider_timezone
    return localise(event.occurred_at, zone), rank, event.event_id.encode()


def fold(events, settings):
    """Return {(mode, order_id): State} for `events`, in any order, with any duplicates.

    `events` are Event and OperatorEvent.  Those of an unknown type, those without a key, and all but
    the first of one event_id have no part in it.
    """
    groups = {}
    seen = set()
    for event in events:
        if event.event_id in seen:
            continue
        seen.add(event.event_id)
        if isinstance(event, OperatorEvent):
            groups.setdefault((event.mode, event.order_id), []).append((event, []))
            continue
        key = order_key(event, settings) if event.is_known else None
        if key is not None:
            groups.setdefault((event.mode, key[0]), []).append((event, key[2]))
    return {name: _fold_order(name, members, settings) for name, members in groups.items()}


def _fold_order(name, members, settings):
    folder = _Folder(name, settings)
    for event, warnings in sorted(members, key=lambda member: sort_key(member[0], settings)):
        folder.apply(event, list(warnings))
    return folder.finish()


class _Folder:
    """The fold over one order; apply() takes its events in order."""

    def __init__(self, name, settings):
        self.settings = settings
        order = dict.fromkeys(ORDER_ATTRIBUTES)
        order.update(mode=name[0], order_id=name[1], key_source=key_source(name[1]),
                     status="pending", conflict=False)
        self.state = State(name[0], name[1], order)
        self.subscription = dict.fromkeys(SUBSCRIPTION_ATTRIBUTES)
        self.subscription.update(mode=name[0], order_id=name[1], status="pending", ends_at=None,
                                 cancel_at_period_end=None)
        self.running_totals = {}
        self.grant_email = None
        self.grant_product = None

    def time(self, time):
        return localise(time, self.settings.provider_timezone)

    def apply(self, event, warnings):
        at = self.time(event.occurred_at)
        if isinstance(event, OperatorEvent):
            self.operator(event)
        else:
            self.attributes(event, warnings)
            handle = getattr(self, "on_" + event.event_type.replace(".", "_"))
            handle(event, at, warnings)
        state = self.state
        state.order.update(last_event_id=event.event_id, last_event_at=at)
        if warnings:
            state.warnings[event.event_id] = warnings
        shown = state.subscription["status"] if state.subscription is not None else None
        state.steps.append((event.event_id, state.order["status"], shown))

    def finish(self):
        state = self.state
        order = state.order
        if order["customer_email"] is None:
            order["customer_email"] = self.grant_email
        if order["product_id"] is None:
            order["product_id"] = self.grant_product
        order["conflict"] = state.conflict
        state.recurring_interval = self.subscription["recurring_interval"]
        rows = [order, *state.payments.values()]
        if state.subscription is not None:
            rows.append(state.subscription)
        for row in rows:
            row["updated_at"] = order["last_event_at"]
        return state

    def operator(self, event):
        self.state.decision = None if event.event_type == "operator.clear" else event
        if event.event_type == "operator.grant":
            email = lower(trim(event.customer_email or ""))
            product = trim(event.product_id or "")
            self.grant_email = email or self.grant_email
            self.grant_product = product or self.grant_product

    def attributes(self, event, warnings):
        state = self.state
        known = state.order["customer_id"]
        if event.customer_id is not None and known is not None:
            if event.customer_id != known:
                warnings.append("object.customer.id: not the customer of the event before")
                state.conflict = True
        self.take(state.order, event, ORDER_ATTRIBUTES)
        self.take(self.subscription, event, SUBSCRIPTION_ATTRIBUTES)
        if event.billed_as_subscription:
            state.subscription = self.subscription

    def take(self, row, event, names):
        for name in names:
            value = getattr(event, name)
            if value is not None:
                row[name] = self.time(value) if isinstance(value, datetime) else value

    # Payments.

    def latest_paid(self, candidates=None):
        """The row with the latest paid_at, of equals the bytewise last payment_id; or None."""
        rows = self.state.payments.values() if candidates is None else candidates
        paid = [row for row in rows if row["paid_at"] is not None]
        return max(paid, key=lambda row: (row["paid_at"], row["payment_id"].encode()), default=None)

    def named(self, event):
        """The paid payment that `event` names, or None."""
        rows = self.state.payments.values()
        if event.payment_id is not None:
            return self.latest_paid(
                row for row in rows if row["payment_id"] == event.payment_id)
        if event.provider_order_id is not None:
            return self.latest_paid(
                row for row in rows if row["provider_order_id"] == event.provider_order_id)
        return None

    def payment(self, event):
        """The row `event` makes or changes, with what it says of it; status None where it is new."""
        if event.payment_id is not None:
            payment_id = event.payment_id
        elif event.provider_order_id is not None:
            payment_id = "order:" + event.provider_order_id
        else:
            payment_id = "event:" + event.event_id
        row = self.state.payments.get(payment_id)
        if row is None:
            row = {"mode": self.state.mode, "order_id": self.state.order_id,
                   "payment_id": payment_id, "provider_order_id": None, "status": None,
                   "amount": None, "tax_amount": None, "currency": None, "paid_at": None,
                   "period_end": None, "refunded_amount": Decimal(0)}
            self.state.payments[payment_id] = row
        self.take(row, event, ("provider_order_id", "amount", "tax_amount", "currency"))
        if event.billing_period_end is not None:
            row["period_end"] = self.time(event.billing_period_end)
        return row

    def begins(self, at):
        valid_from = self.state.valid_from
        self.state.valid_from = at if valid_from is None else min(valid_from, at)

    def clear_end(self):
        self.subscription.update(ends_at=None, cancel_at_period_end=None)

    def pay(self, event, at):
        row = self.payment(event)
        is_first = row["paid_at"] is None
        if row["status"] not in ("disputed", "partially_refunded", "refunded"):
            row["status"] = "paid"
        if is_first:
            row["paid_at"] = at
            self.begins(at)
            self.subscription["status"] = "active"
            self.clear_end()
        self.state.had_payment = True
        self.state.order["status"] = self.latest_paid()["status"]

    # One method per event type; those of §6's tables that say "unchanged" do nothing.

    def on_checkout_completed(self, event, at, warnings):
        if event.is_payment:
            self.pay(event, at)

    def on_subscription_paid(self, event, at, warnings):
        self.pay(event, at)

    def on_subscription_trialing(self, event, at, warnings):
        self.begins(at)
        self.state.trial_started = at
        self.state.order["status"] = "trialing"
        self.subscription["status"] = "trialing"
        self.clear_end()

    def on_checkout_failed(self, event, at, warnings):
        row = self.payment(event)
        if row["status"] is None:
            row["status"] = "failed"
        if self.state.order["status"] in ("pending", "canceled"):
            self.state.order["status"] = "failed"
        if self.subscription["status"] in ("trialing", "active"):
            self.subscription["status"] = "past_due"

    def on_checkout_cancel(self, event, at, warnings):
        order = self.state.order
        row = self.named(event)
        if row is not None and row["status"] in ("paid", "partially_refunded"):
            row["status"] = "disputed"
            if row is self.latest_paid():
                order["status"] = "disputed"
                return
        if order["status"] in ("pending", "failed"):
            order["status"] = "canceled"
        else:
            warnings.append(f"event_type: leaves the order {order['status']}")

    def on_subscription_canceled(self, event, at, warnings):
        ends = (at, self.time(event.canceled_at), self.time(event.cancel_at))
        self.subscription.update(
            status="canceled", ends_at=max(end for end in ends if end is not None),
            cancel_at_period_end=event.cancel_at_period_end)

    def on_refund_created(self, event, at, warnings):
        row = self.named(event)
        latest = self.latest_paid()
        if row is None:
            row = latest
            place = "payment_id" if event.payment_id is not None else "order.order_id"
            if latest is None:
                warnings.append("object: the refund finds no payment")
            elif event.payment_id is not None or event.provider_order_id is not None:
                warnings.append(f"object.{place}: names no payment; counted against the latest")
        self.state.refunds[event.event_id] = {
            "mode": self.state.mode, "order_id": self.state.order_id, "event_id": event.event_id,
            "payment_id": None if row is None else row["payment_id"],
            "amount": event.refund_amount, "label": event.refund_label, "occurred_at": at}
        if row is None:
            return
        if self.is_full(row, event, warnings):
            row["status"] = "refunded"
        elif row["status"] not in ("refunded", "disputed"):
            row["status"] = "partially_refunded"
        if row is latest:
            self.state.order["status"] = row["status"]

    def is_full(self, row, event, warnings):
        """Count the refund `event` against `row`; return whether it is a full one."""
        payment_id = row["payment_id"]
        if event.refunded_amount is not None:
            self.running_totals[payment_id] = event.refunded_amount
        total = self.running_totals.get(payment_id)
        singles = [refund["amount"] for refund in self.state.refunds.values()
                   if refund["payment_id"] == payment_id and refund["amount"] is not None]
        row["refunded_amount"] = max(total or Decimal(0), sum(singles, Decimal(0)))
        amount = row["amount"]
        if event.refund_label == "full":
            return True
        if amount is not None and amount > 0 and row["refunded_amount"] >= amount:
            return True
        if event.refund_label == "partial" or total is not None or singles:
            return False
        full = self.settings.unknown_refund == "full"
        warnings.append(f"object: neither a label nor an amount; taken as "
                        f"{self.settings.unknown_refund}")
        return full
