"""Who is entitled to what (§7), and whether the customer is the one who began it (§8)."""

from dataclasses import dataclass
from decimal import Decimal

from .extract import lower, upper
from .times import add_interval

INTERVALS = {
    "daily": (0, 1, 0), "weekly": (0, 7, 0), "monthly": (1, 0, 0), "3months": (3, 0, 0),
    "6months": (6, 0, 0), "yearly": (12, 0, 0)}


@dataclass(frozen=True)
class Expected:
    """What bagelpay.expect_order recorded; None matches anything."""

    customer_email: str = None
    product_id: str = None
    amount: Decimal = None
    currency: str = None


def entitlements_at(states, expected, settings, t, mode="live"):
    """Return the rows of bagelpay.entitlements_at(t, mode), sorted by order_id.

    `states` is what fold() returned, `expected` {(mode, order_id): Expected}, t an aware datetime.
    """
    rows = []
    for name, state in sorted(states.items()):
        if name[0] != mode:
            continue
        entitled, reason, valid_until = _judge(state, expected, settings, t)
        rows.append({
            "order_id": state.order_id,
            "customer_id": state.order["customer_id"],
            "customer_email": state.order["customer_email"],
            "product_id": state.order["product_id"],
            "product_name": state.order["product_name"],
            "kind": "one_time" if state.subscription is None else "subscription",
            "status": shown_status(state),
            "entitled": entitled,
            "reason": reason,
            "valid_from": _valid_from(state),
            "valid_until": valid_until,
            "units": _units(state)})
    return rows


def is_entitled(states, expected, settings, customer, product, mode="live", at=None):
    """Return whether `customer` (an id, or an e-mail in any case) may use `product` at `at`."""
    for row in entitlements_at(states, expected, settings, at, mode):
        email = row["customer_email"]
        is_theirs = row["customer_id"] == customer or (
            email is not None and lower(email) == lower(customer))
        if row["entitled"] and row["product_id"] == product and is_theirs:
            return True
    return False


def order_checks(states, expected):
    """Return the rows of the view bagelpay.order_checks, sorted by mode and order_id."""
    return [{"mode": name[0], "order_id": name[1], **_check(state, expected)}
            for name, state in sorted(states.items())]


def boundaries(state, settings):
    """Return the set of all moments at which an answer about `state` may change."""
    moments = {state.valid_from}
    if state.decision is not None:
        moments.update((state.decision.until, state.decision.occurred_at))
    if state.subscription is not None:
        ends = [state.subscription["trial_end"], state.subscription["ends_at"],
                _trial_end(state, settings), paid_until(state, settings)]
        ends += [bought_until(state, row, settings) for row in state.payments.values()
                 if row["paid_at"] is not None]
        moments.update(ends)
        moments.update(add_interval(end, settings.grace) for end in ends if end is not None)
    return moments - {None}


def shown_status(state):
    """Return the status of an entitlement: the subscription's where it says something."""
    if state.subscription is not None and state.subscription["status"] != "pending":
        return state.subscription["status"]
    return state.order["status"]


def counting(state, settings):
    """Return the payments that count, as rows."""
    statuses = ("paid", "partially_refunded") if settings.revoke_on_dispute else (
        "paid", "partially_refunded", "disputed")
    return [row for row in state.payments.values() if row["status"] in statuses]


def bought_until(state, payment, settings):
    """Return until when one payment pays."""
    paid_at, period_end = payment["paid_at"], payment["period_end"]
    if period_end is not None and period_end > paid_at:
        return period_end
    interval = INTERVALS.get(state.recurring_interval, settings.default_period)
    return add_interval(paid_at, interval)


def paid_until(state, settings):
    """Return until when the payments that count pay, None with none."""
    return max((bought_until(state, row, settings) for row in counting(state, settings)),
               default=None)


def _trial_end(state, settings):
    if state.subscription["trial_end"] is not None:
        return state.subscription["trial_end"]
    if state.trial_started is None:
        return None
    return add_interval(state.trial_started, settings.default_period)


def _valid_from(state):
    # Shown only: a grant, above all a lapsed one, is no beginning by which the rules entitle.
    decision = state.decision
    if state.valid_from is None and decision is not None and decision.event_type == "operator.grant":
        return decision.occurred_at
    return state.valid_from


def _units(state):
    units = None if state.subscription is None else state.subscription["units"]
    return 1 if units is None else units


def _judge(state, expected, settings, t):
    """(entitled, reason, valid_until) by the first rule of §7 that fits."""
    decision = state.decision
    if decision is not None and decision.event_type == "operator.revoke":
        return False, "revoked", None
    if decision is not None and (decision.until is None or t < decision.until):
        return True, "granted", decision.until
    if state.conflict:
        return False, "ambiguous", None
    if settings.require_expected_order and not _check(state, expected)["matches"]:
        return False, "unconfirmed", None
    if state.valid_from is None:
        return False, shown_status(state), None
    if state.subscription is None:
        entitled, reason, valid_until = _one_time(state, settings)
    else:
        entitled, reason, valid_until = _subscribed(state, settings, t)
    if t < state.valid_from:
        return False, "not_yet", valid_until
    return entitled, reason, valid_until


def _one_time(state, settings):
    statuses = {row["status"] for row in counting(state, settings)}
    for status in ("paid", "partially_refunded", "disputed"):
        if status in statuses:
            return True, status, None
    return False, state.order["status"], None


def _subscribed(state, settings, t):
    subscription = state.subscription
    status = subscription["status"]
    until_paid = paid_until(state, settings)

    def until(end, before, after):
        return (True, before, end) if t < end else (False, after, end)

    if status == "trialing":
        ends = [end for end in (_trial_end(state, settings), until_paid) if end is not None]
        return until(add_interval(max(ends), settings.grace), "trialing", "expired")
    if state.had_payment and not counting(state, settings):
        return False, state.order["status"], None
    if status == "canceled":
        end = subscription["ends_at"]
        if subscription["cancel_at_period_end"] or settings.on_cancel == "keep_paid_time":
            end = until_paid or subscription["trial_end"] or end
        return until(end, "canceling", "canceled")
    if status == "past_due" and not state.had_payment:
        end = add_interval(_trial_end(state, settings), settings.grace)
        return until(end, "past_due", "expired")
    if status in ("active", "past_due"):
        return until(add_interval(until_paid, settings.grace), status, "expired")
    return False, shown_status(state), None


def _check(state, expected):
    other_mode = "test" if state.mode == "live" else "live"
    wanted = expected.get((state.mode, state.order_id))
    if wanted is None:
        is_other = (other_mode, state.order_id) in expected
        return {"expected": False, "matches": False,
                "mismatches": ["mode" if is_other else "unexpected"]}
    mismatches = []
    if not _matches(wanted.customer_email, state.order["customer_email"], lower):
        mismatches.append("customer")
    if not _matches(wanted.product_id, state.order["product_id"]):
        mismatches.append("product")
    paid = [row for row in state.payments.values() if row["paid_at"] is not None]
    if paid:
        first = min(paid, key=lambda row: (row["paid_at"], row["payment_id"].encode()))
        if not _matches(wanted.amount, first["amount"]):
            mismatches.append("amount")
        if not _matches(wanted.currency, first["currency"], upper):
            mismatches.append("currency")
    return {"expected": True, "matches": not mismatches, "mismatches": mismatches}


def _matches(wanted, known, fold_case=lambda value: value):
    """Whether what is known is what was wanted; what is not known is not a match."""
    if wanted is None:
        return True
    return known is not None and fold_case(wanted) == fold_case(known)
