"""Whether the customer is the one who began it (§8)."""

from dataclasses import dataclass
from decimal import Decimal

from .readers import lower, upper
from .windows import counts


@dataclass(frozen=True)
class Expected:
    """What bagelpay.expect_order recorded; None matches anything."""

    customer_email: str = None
    product_id: str = None
    amount: Decimal = None
    currency: str = None


def mismatches(item, wanted):
    """Return in what an item is not as expected; [] if it is."""
    found = []
    if not _matches(wanted.customer_email, item.row["customer_email"], lower):
        found.append("customer")
    if not _matches(wanted.product_id, item.key[0] or None):
        found.append("product")
    if item.payments:
        first = min(item.payments, key=lambda one: one.began)
        if not _matches(wanted.amount, first.amount):
            found.append("amount")
        if not _matches(wanted.currency, first.currency, upper):
            found.append("currency")
    return found


def is_as_expected(item, state, expected):
    """Return whether an item is as expected; without an expectation, it is not."""
    wanted = expected.get((state.mode, state.order_id))
    return wanted is not None and not mismatches(item, wanted)


def order_checks(states, expected, settings):
    """Return the rows of the view bagelpay.order_checks, sorted by mode and order_id.

    A row's mismatches are a list of what they may be: of several items that come equally close, any
    may be shown.
    """
    return [{"mode": name[0], "order_id": name[1],
             **_check(name, states.get(name), expected, settings)}
            for name in sorted({*states, *expected})]


def _check(name, state, expected, settings):
    wanted = expected.get(name)
    purchases = [] if state is None else state.purchases
    row = {"expected": wanted is not None,
           "paid": any(one.is_payment and counts(one, settings) for one in purchases)}
    if wanted is None:
        other = "test" if name[0] == "live" else "live", name[1]
        row["matches"] = False if purchases else None
        row["mismatches"] = [["mode" if other in expected else "unexpected"]]
    elif not purchases:
        row.update(matches=None, mismatches=[[]])
    else:
        found = [mismatches(item, wanted) for item in state.items.values() if item.purchases]
        closest = min(len(one) for one in found)
        row["matches"] = closest == 0
        row["mismatches"] = [one for one in found if len(one) == closest]
    return row


def _matches(wanted, known, fold_case=lambda value: value):
    """Whether what is known is what was wanted; what is not known is not a match."""
    if wanted is None:
        return True
    return known is not None and fold_case(wanted) == fold_case(known)
