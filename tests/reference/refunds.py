"""Refunds: which payment each counts against, and what a payment is by its refunds (§6)."""

from decimal import Decimal

from .purchases import by_id, latest_paid, of_provider_order
from .subscriptions import agrees


class Refund:
    """One refund.created event.

    by_order is the payment found by its provider's order, fallback the one found for a refund that
    names none; each stays once it is found.  payment is the one it counts against, None without.
    """

    def __init__(self, event):
        self.event = event
        self.by_order = None
        self.fallback = None
        self.payment = None

    @property
    def is_named(self):
        return self.event.payment_id is not None or self.event.provider_order_id is not None

    def by_payment_id(self, payments):
        if self.event.payment_id is None:
            return None
        found = by_id(self.event.payment_id, payments)
        return found if found is not None and found.is_paid else None

    def find_by_order(self, payments):
        number = self.event.provider_order_id
        if self.by_order is not None or number is None:
            return
        if self.event.payment_id is None:
            self.by_order = of_provider_order(number, payments)
        else:
            found = by_id("order:" + number, payments)
            self.by_order = found if found is not None and found.is_paid else None

    def row(self):
        """Return the columns of §9 that are its own."""
        event = self.event
        return {"event_id": event.event_id, "refund_id": event.refund_id,
                "payment_id": None if self.payment is None else self.payment.payment_id,
                "amount": event.refund_amount, "running_total": event.refunded_amount,
                "label": event.refund_label, "occurred_at": event.occurred_at}


def find_fallback(event, customer_id, payments, identity):
    """Return the payment that a refund counts against which names none."""
    paid = [one for one in payments if one.is_paid]
    same = [one for one in paid if identity.same(event, one)]
    return latest_paid(same) or latest_paid(
        one for one in paid
        if not identity.different(event, one) and agrees(event.product_id, one.product_id)
        and agrees(customer_id, one.customer_id))


def settle(refunds, payments, settings):
    """Find what every refund counts against, and judge every paid payment by its refunds.

    `refunds` are all of the order so far, in their order.
    """
    for refund in refunds:
        refund.find_by_order(payments)
    for refund in refunds:
        refund.payment = _target(_told_together(refund, refunds), payments)
    for payment in payments:
        if payment.is_paid:
            _judge(payment, [one.event for one in refunds if one.payment is payment], settings)


def _told_together(refund, refunds):
    refund_id = refund.event.refund_id
    if refund_id is None:
        return [refund]
    return [one for one in refunds if one.event.refund_id == refund_id]


def _target(members, payments):
    for member in members:
        if member.by_payment_id(payments) is not None:
            return member.by_payment_id(payments)
    for member in members:
        if member.by_order is not None:
            return member.by_order
    if any(member.is_named for member in members):
        return None
    return members[0].fallback


def _judge(payment, events, settings):
    payment.refunded_amount = refunded_amount(events)
    if events and _share(payment, events, settings) == "full":
        payment.status = "refunded"
    elif payment.disputed:
        payment.status = "disputed"
    else:
        payment.status = "partially_refunded" if events else "paid"


def refunded_amount(events):
    """Return what refunds come to: by running totals, and by amounts, each refund once."""
    totals = [one.refunded_amount for one in events if one.refunded_amount is not None]
    by_refund, others = {}, Decimal(0)
    for one in events:
        if one.refund_amount is None:
            continue
        if one.refund_id is not None:
            by_refund[one.refund_id] = one.refund_amount
        else:
            others += one.refund_amount
    told = sum(by_refund.values(), Decimal(0))
    return max(*totals, told) if totals else told + others


def _share(payment, events, settings):
    """Whether a payment with refunds is refunded in full, or in part."""
    if any(one.refund_label == "full" for one in events):
        return "full"
    certain = refunded_amount([one for one in events
                               if one.refund_label != "partial" or one.refund_id is not None
                               or one.refund_amount is None or one.refunded_amount is not None])
    amount = payment.amount
    if amount is not None and amount > 0 and certain >= amount:
        return "full"
    is_known = any(one.refund_amount is not None or one.refunded_amount is not None
                   for one in events)
    if any(one.refund_label == "partial" for one in events) or (is_known and amount is not None):
        return "partial"
    return settings.unknown_refund
