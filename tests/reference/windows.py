"""The windows of time that purchases open, and their union (§7)."""

from dataclasses import dataclass
from datetime import datetime

from .times import add_interval


@dataclass(frozen=True)
class Window:
    """[start, end), end None if it has none; was_cut is whether a cancellation cut it."""

    purchase: object
    start: datetime
    end: datetime
    was_cut: bool = False

    @property
    def is_empty(self):
        return self.end is not None and self.end <= self.start

    def holds(self, t):
        return self.start <= t and (self.end is None or t < self.end)


def counts(payment, settings):
    """Return whether a payment counts."""
    statuses = ["paid", "partially_refunded"]
    if not settings.revoke_on_dispute:
        statuses.append("disputed")
    return payment.status in statuses


def windows(item, state, settings, periods):
    """Return the windows of an item's counting purchases; those that are empty are left out.

    `periods` is bagelpay.products: {product_id: interval}.
    """
    # A payment may have bought a trial of another item of its order.
    bought = [one.payment for one in state.purchases if not one.is_payment]
    found = []
    for payment in item.payments:
        if counts(payment, settings) and payment not in bought:
            found.append(_payment_window(payment, state, settings, periods))
    for trial in item.trials:
        if trial.payment is None or counts(trial.payment, settings):
            found.append(_limited(trial, trial.starts_at, _trial_end(trial, item, settings),
                                  state, settings))
    return [one for one in found if not one.is_empty]


def _payment_window(payment, state, settings, periods):
    if not payment.is_subscription:
        return Window(payment, payment.paid_at, None)
    return _limited(payment, payment.paid_at, payment_end(payment, settings, periods), state,
                    settings)


def payment_end(payment, settings, periods):
    """Return the own end of a subscription's payment."""
    paid_at, period_end = payment.paid_at, payment.billing_period_end
    if period_end is not None and period_end > paid_at:
        return period_end
    default_end = add_interval(paid_at, settings.default_period)
    end = default_end
    for interval in (payment.recurring_interval, periods.get(payment.product_id)):
        if interval is not None:
            end = add_interval(paid_at, interval)
            break
    return min(end, default_end) if payment.amount == 0 else end


def _trial_end(trial, item, settings):
    start, trial_end = trial.starts_at, trial.events[0].trial_end
    end = add_interval(start, settings.default_period) if trial_end is None \
        else max(start, trial_end)
    later = [one.starts_at for one in item.trials if one.began > trial.began]
    return min([end, *later]) if trial.payment is None else end


def _limited(purchase, start, own_end, state, settings):
    """The window of a subscription's payment or of a trial: its grace, and what cuts it."""
    with_grace = add_interval(own_end, settings.grace)
    ends = []
    for one in state.cancellations_made:
        at = one.event.occurred_at
        in_its_second = at.replace(microsecond=0) == start.replace(microsecond=0)
        if purchase in one.purchases and (in_its_second or start <= at < with_grace):
            end = max(own_end, at)
            if not one.event.cancel_at_period_end and settings.on_cancel != "keep_paid_time":
                end = min(end, one.ends_at)
            ends.append(end)
    if ends:
        # A cancellation in the window's first second may come after its end; it must not lengthen it.
        return Window(purchase, start, min(with_grace, *ends), was_cut=True)
    return Window(purchase, start, with_grace)


def union(found):
    """Return the union of windows: sorted ranges (start, end), apart from each other."""
    ranges = []
    for window in sorted(found, key=lambda one: one.start):
        if ranges and (ranges[-1][1] is None or window.start <= ranges[-1][1]):
            start, end = ranges[-1]
            if end is not None and (window.end is None or window.end > end):
                ranges[-1] = start, window.end
        else:
            ranges.append((window.start, window.end))
    return ranges
