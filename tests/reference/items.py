"""Items: what one customer has of one product in one order (§6), and the decisions that cover them (§7)."""

from .purchases import BY_EMAIL, latest_paid
from .subscriptions import began_together, latest_of

_LATEST = (
    "product_name", "customer_email", "units", "recurring_interval", "subscription_id",
    "processor_subscription_id", "billing_period_start", "billing_period_end", "payment_method",
    "last4", "billing_amount")


class Item:
    """One item.

    key is (product, customer, user), '' where unknown; row has the columns of §9.  purchases are its
    payments and trials by their beginning; granted_to are the e-mails of the grants that make it.
    """

    def __init__(self, key, purchases):
        self.key = key
        self.purchases = purchases
        self.granted_to = set()
        self.row = None

    @property
    def payments(self):
        """Its payments; each is paid."""
        return [one for one in self.purchases if one.is_payment]

    @property
    def trials(self):
        return [one for one in self.purchases if not one.is_payment]

    @property
    def has_subscription(self):
        return any(one.is_subscription for one in self.purchases)

    @property
    def latest_paid(self):
        return latest_paid(self.payments)

    @property
    def emails(self):
        """The e-mails that it has by its customer, its purchases, or the grants that make it."""
        by_customer = {self.key[1].removeprefix(BY_EMAIL)} if self.key[1].startswith(BY_EMAIL) else set()
        return by_customer | {one.customer_email for one in self.purchases} - {None} | self.granted_to


def build_items(purchases, cancellations, decisions, statuses):
    """Return {key: Item} for one order.

    `purchases` are in their order; `statuses` are the subscription_status by key.
    """
    items = {}
    for purchase in purchases:
        items.setdefault(purchase.item, Item(purchase.item, [])).purchases.append(purchase)
    for event in decisions:
        key = _made_by(event, purchases)
        if key is not None:
            items.setdefault(key, Item(key, [])).granted_to.add(event.customer_email)
    for item in items.values():
        item.row = _row(item, purchases, cancellations, statuses.get(item.key))
    return items


def _made_by(event, purchases):
    """The key of the item that a grant makes: its product and e-mail, if no purchase has both."""
    product_id, email = event.product_id, event.customer_email
    if event.event_type != "operator.grant" or product_id is None or email is None:
        return None
    if any(one.product_id == product_id and (one.customer_email == email or one.customer_id == BY_EMAIL + email)
           for one in purchases):
        return None
    return product_id, BY_EMAIL + email, ""


def _row(item, purchases, cancellations, status):
    in_order = sorted(item.purchases, key=lambda one: (began_together(one, purchases), one.began))
    row = dict(zip(("product_id", "customer_id", "user_id"), item.key))
    for name in _LATEST:
        values = [getattr(one, name) for one in in_order]
        row[name] = next((value for value in reversed(values) if value is not None), None)
    if row["customer_email"] is None and item.granted_to:
        row["customer_email"] = item.key[1].removeprefix(BY_EMAIL)
    trial = next((one.events[0] for one in reversed(in_order) if not one.is_payment), None)
    row["trial_start"] = None if trial is None else trial.trial_start
    row["trial_end"] = None if trial is None else trial.trial_end
    latest = latest_of([one for one in item.purchases if one.is_subscription], purchases)
    canceled = [one.event for one in cancellations
                if any(each in one.purchases for each in latest)
                and max(each.began for each in latest) < one.event.position]
    for name in ("canceled_at", "cancel_at", "cancel_at_period_end"):
        row[name] = getattr(canceled[-1], name) if canceled else None
    row["subscription_status"] = status
    return row


def covers(event, item):
    """Whether a decision covers an item, judged by all that is known now."""
    product_id, email = event.product_id, event.customer_email
    if event.event_type != "operator.grant":
        return product_id in (None, item.key[0]) and _is_customer(event, item)
    if product_id is None and email is None:
        return any(one.began < event.position for one in item.purchases)
    return product_id in (None, item.key[0]) and (email is None or email in item.emails)


def _is_customer(event, item):
    if event.customer_id is not None:
        return item.key[1] == event.customer_id
    if event.customer_email is not None:
        return event.customer_email in item.emails or item.key[1] == event.customer_email
    return True


def decision_at(decisions, item, t):
    """Return the latest decision at or before t that covers the item and still counts, or None.

    A clear is None: the item follows its events.
    """
    for event in reversed(decisions):
        if event.occurred_at > t or not covers(event, item):
            continue
        is_over = event.event_type == "operator.grant" and event.until is not None \
            and event.until <= t
        if not is_over:
            return None if event.event_type == "operator.clear" else event
    return None
