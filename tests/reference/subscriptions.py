"""Which subscription an event or a purchase names, and which purchases it concerns (§6)."""


class Identity:
    """Which of a list of purchases' subscription ids belong together.

    The provider's and the processor's id are two kinds of id.  Ids of both kinds that a purchase has
    after one of its own events belong together from then on, and so do ids that belong together with
    the same one.
    """

    def __init__(self, purchases):
        self._together = []
        for purchase in purchases:
            for ids in purchase.ids_told:
                self._add(ids)

    def _add(self, ids):
        apart = [group for group in self._together if not group & ids]
        for group in self._together:
            if group & ids:
                ids = ids | group
        self._together = [*apart, ids] if ids else apart

    def closure(self, thing):
        """The ids that an event or a purchase names, with all that belong together with them."""
        ids = ids_of(thing)
        for group in self._together:
            if group & ids_of(thing):
                ids = ids | group
        return ids

    def same(self, thing, purchase):
        """Whether they name the same subscription."""
        return bool(self.closure(thing) & self.closure(purchase))

    def different(self, thing, purchase):
        """Whether they name different ones: other ids of the same kind."""
        one, other = self.closure(thing), self.closure(purchase)
        kinds = {kind for kind, _ in one} & {kind for kind, _ in other}
        return not one & other and bool(kinds)


def ids_of(thing):
    """The subscription ids of an event or a purchase: a set of (kind, id)."""
    named = (("provider", thing.subscription_id), ("processor", thing.processor_subscription_id))
    return {(kind, name) for kind, name in named if name is not None}


def agrees(event_value, purchase_value):
    """Whether they are equal as far as both say."""
    return event_value is None or purchase_value is None or event_value == purchase_value


def concerned(event, customer_id, purchases, identity):
    """Return those of `purchases` that a cancellation concerns.

    `purchases` are those before it, `customer_id` is its customer, by its id or by its e-mail.
    """
    subscriptions = [one for one in purchases if one.is_subscription]
    found = [one for one in subscriptions if identity.same(event, one)]
    if not found:
        found = [one for one in subscriptions
                 if not identity.different(event, one)
                 and agrees(event.product_id, one.product_id)
                 and agrees(customer_id, one.customer_id)]
    return [one for one in purchases
            if one in found or any(is_pair(one, other) for other in found)]


def is_pair(one, other):
    """Whether they are a payment and the trial that it bought, or trials that one payment bought."""
    return one is not other and one.pair is other.pair


def latest_of(purchases, all_purchases):
    """Return the latest of an item's subscription purchases, [] without one.

    It is a list: a payment and the trial that it bought count as one, which began when the later of
    the two did.  `all_purchases` are those of the order.
    """
    if not purchases:
        return []
    latest = max(purchases, key=lambda one: began_together(one, all_purchases))
    return [one for one in purchases if one is latest or is_pair(one, latest)]


def began_together(purchase, all_purchases):
    """Return the position at which a purchase began, counted as one with its pair."""
    return max(one.began for one in all_purchases if one is purchase or is_pair(one, purchase))


def fails(event, customer_id, latest, identity):
    """Whether a checkout.failed is about `latest`, what latest_of() returned for an item."""
    if any(identity.same(event, one) for one in latest):
        return True
    if any(identity.different(event, one) for one in latest):
        return False
    return all(agrees(event.product_id, one.product_id) and agrees(customer_id, one.customer_id)
               for one in latest)
