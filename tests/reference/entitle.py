"""Who is entitled to what (§7)."""

from .checks import is_as_expected
from .items import decision_at
from .purchases import BY_EMAIL
from .readers import lower, trim
from .times import add_interval
from .windows import counts, union, windows


def entitlements_at(states, expected, settings, t, mode="live", periods=None):
    """Return the rows of bagelpay.entitlements_at(t, mode), sorted by order and item.

    `states` is what fold() returned, `expected` {(mode, order_id): Expected}, t an aware datetime,
    `periods` bagelpay.products: {product_id: interval}.  A row's periods are a list of (start, end).
    """
    return entitlements_over(states, expected, settings, [t], mode, periods)[t]


def entitlements_over(states, expected, settings, moments, mode="live", periods=None):
    """Return {t: entitlements_at(t)} for several moments."""
    rows = {t: [] for t in moments}
    for name, state in sorted(states.items()):
        if name[0] != mode:
            continue
        for t in moments if not state.items else ():
            rows[t].append(_without_items(state))
        for _, item in sorted(state.items.items()):
            found = windows(item, state, settings, periods or {})
            ranges = union(found)
            for t in moments:
                rows[t].append(_of_item(item, state, expected, settings, t, found, ranges))
    return rows


def is_entitled(states, expected, settings, customer, product, mode="live", at=None, periods=None):
    """Return whether `customer` (an id, or an e-mail in any case) may use `product` at `at`."""
    customer, product = trim(customer or ""), trim(product or "")
    rows = entitlements_at(states, expected, settings, at, mode, periods)
    return any(row["entitled"] and row["product_id"] == product and is_of(row, customer)
               for row in rows) if customer and product else False


def is_of(row, customer):
    """Return whether an entitlement is that of a customer by id or by e-mail."""
    email = lower(customer)
    return row["customer_id"] in (customer, BY_EMAIL + email) or row["customer_email"] == email


def is_user_entitled(states, expected, settings, user, product, mode="live", at=None, periods=None):
    """Return whether the merchant's own user may use `product` at `at`."""
    user, product = trim(user or ""), trim(product or "")
    rows = entitlements_at(states, expected, settings, at, mode, periods)
    return any(row["entitled"] and row["product_id"] == product and row["user_id"] == user
               for row in rows) if user and product else False


def _without_items(state):
    columns = ("product_id", "product_name", "customer_id", "customer_email", "user_id", "kind",
               "valid_from", "valid_until")
    return {"mode": state.mode, "order_id": state.order_id, **dict.fromkeys(columns),
            "status": state.order["status"], "entitled": False, "reason": state.order["status"],
            "units": 1, "periods": []}


def _of_item(item, state, expected, settings, t, found, ranges):
    entitled, reason, valid_until = _judge(item, state, expected, settings, t, found, ranges)
    holding = [one for one in found if one.holds(t)]
    units = None
    if holding:
        last = max(holding, key=lambda one: (one.start, one.purchase.began))
        units = last.purchase.units
    return {
        "mode": state.mode, "order_id": state.order_id,
        "product_id": item.key[0] or None, "product_name": item.row["product_name"],
        "customer_id": item.key[1] or None, "customer_email": item.row["customer_email"],
        "user_id": item.key[2] or None,
        "kind": "subscription" if item.has_subscription else "one_time",
        "status": shown_status(item, state), "entitled": entitled, "reason": reason,
        "valid_from": ranges[0][0] if ranges else None, "valid_until": valid_until,
        "units": 1 if units is None else units, "periods": ranges}


def shown_status(item, state):
    """Return the status that an item's entitlement shows."""
    if item.row["subscription_status"] is not None:
        return item.row["subscription_status"]
    payment = item.latest_paid
    return state.order["status"] if payment is None else payment.status


def _judge(item, state, expected, settings, t, found, ranges):
    """(entitled, reason, valid_until) by the first rule of §7 that fits."""
    decision = decision_at(state.decisions, item, t)
    if decision is not None and decision.event_type == "operator.revoke":
        return False, "revoked", None
    if decision is not None:
        return True, "granted", decision.until
    if settings.require_expected_order and not is_as_expected(item, state, expected):
        return False, "unconfirmed", None
    holding = [one for one in found if one.holds(t)]
    if holding:
        end, = (end for start, end in ranges if start <= t and (end is None or t < end))
        return True, _reason(item, holding), end
    if not item.purchases:
        return False, state.order["status"], None
    if item.payments and not ranges and not any(counts(one, settings) for one in item.payments):
        return False, item.latest_paid.status, None
    if ranges and t < ranges[0][0]:
        return False, "not_yet", ranges[0][1]
    last_end = max((end for _, end in ranges if end is not None and end <= t), default=None)
    if item.row["subscription_status"] == "canceled":
        return False, "canceled", last_end
    return False, "expired", last_end


def _reason(item, holding):
    """Why t, which `holding` hold, is in the item's periods."""
    one_time = {one.purchase.status for one in holding
                if one.purchase.is_payment and not one.purchase.is_subscription}
    for status in ("paid", "partially_refunded", "disputed"):
        if status in one_time:
            return status
    if all(one.was_cut for one in holding):
        return "canceling"
    if not any(one.purchase.is_payment for one in holding):
        return "trialing"
    if item.row["subscription_status"] == "past_due":
        return "past_due"
    return "active"


def boundaries(state, settings, periods=None):
    """Return the set of all moments at which an answer about `state` may change.

    It holds some more at which none does: ends without grace, and cancellations that cut nothing.
    """
    moments = set()
    for event in state.decisions:
        moments.update((event.occurred_at, event.until))
    for one in state.cancellations_made:
        moments.update((one.event.occurred_at, one.ends_at))
    for item in state.items.values():
        for window in windows(item, state, settings, periods or {}):
            moments.update((window.start, window.end))
    for one in state.purchases:
        moments.update((one.billing_period_end, one.events[0].occurred_at, one.events[0].trial_end))
    moments -= {None}
    return moments | {add_interval(moment, settings.grace) for moment in moments}
