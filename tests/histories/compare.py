"""The database's rows against the reference's, column by column."""

from datetime import datetime, timedelta, timezone
from decimal import Decimal

from reference import entitle, extract, fold, key
from reference.settings import Settings
from reference.times import localise

COLUMNS = {
    "orders": ("key_source", "status", "conflict", "amount", "tax_amount", "currency", "product_id", "product_name",
               "billing_type", "customer_id", "customer_email", "provider_order_id", "payment_id", "request_id", "metadata",
               "last_event_id", "last_event_at", "updated_at"),
    "subscriptions": ("status", "subscription_id", "processor_subscription_id", "trial_start", "trial_end",
                      "billing_period_start", "billing_period_end", "cancel_at", "canceled_at", "cancel_at_period_end",
                      "ends_at", "recurring_interval", "units", "payment_method", "last4", "billing_amount", "updated_at"),
    "payments": ("provider_order_id", "status", "amount", "tax_amount", "currency", "paid_at", "period_end",
                 "refunded_amount", "updated_at"),
    "refunds": ("payment_id", "amount", "label", "occurred_at"),
}
# Normalised columns of events, by the reference's names for them.
EVENT_COLUMNS = {name: name for name in (
    "event_type", "mode", "created_at_raw", "product_id", "product_name", "billing_type", "customer_id", "customer_email",
    "provider_order_id", "payment_id", "request_id", "amount", "tax_amount", "currency", "subscription_id",
    "processor_subscription_id", "cancel_at_period_end", "recurring_interval", "units", "payment_method", "last4",
    "billing_amount", "refund_amount", "refund_label", "metadata", "kind", "has_subscription")}
EVENT_COLUMNS["refunded_amount"] = "refund_running_total"
EVENT_TIMES = ("occurred_at", "trial_start", "trial_end", "billing_period_start", "billing_period_end", "cancel_at", "canceled_at")
EPSILON = timedelta(microseconds=1)
LATEST = datetime(2999, 12, 31, tzinfo=timezone.utc)


def plain(value):
    """A value as both sides can be compared by: exact numbers, no difference of int and Decimal."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (int, Decimal)):
        return Decimal(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(timezone.utc)
    return value


def difference(what, database, reference):
    """One line for an unequal pair, or nothing."""
    return [] if plain(database) == plain(reference) else [f"{what}: database {database!r}, reference {reference!r}"]


def expected_states(bodies, decisions, settings):
    """The reference's events (by event_id) and states."""
    events = {}
    for body in bodies:
        event = extract.parse(body)
        events.setdefault(event.event_id, event)
    return events, fold.fold([*events.values(), *decisions], settings)


def compare_events(rows, events, states, settings):
    """Each event's row: normalised columns, key, outcome, and the places that warnings name."""
    found = []
    stored = {row["event_id"]: row for row in rows.events if not row["event_id"].startswith("operator:")}
    found += difference("event ids", sorted(stored), sorted(events))
    for event_id in stored.keys() & events.keys():
        row, event = stored[event_id], events[event_id]
        for name, column in EVENT_COLUMNS.items():
            found += difference(f"event {event_id} {column}", row[column], getattr(event, name))
        for name in EVENT_TIMES:
            found += difference(f"event {event_id} {name}", row[name], localise(getattr(event, name), settings.provider_timezone))
        named = key.order_key(event, settings) if event.is_known else None
        outcome = "ignored" if not event.is_known else "unmatched" if named is None else "applied"
        found += difference(f"event {event_id} outcome", row["outcome"], outcome)
        found += difference(f"event {event_id} key", (row["order_id"], row["key_source"]), named[:2] if named else (None, None))
        warned = {text.partition(": ")[0] for text in event.warnings}
        # What settings give rise to is compared by number: the fold's places are each side's own words.
        found += difference(f"event {event_id} warnings", sorted({text.partition(": ")[0] for text in row["body_warnings"]}),
                            sorted(warned))
        if named is not None:
            folded = states[event.mode, named[0]].warnings.get(event_id, [])
            keyed = [text for text in row["setting_warnings"] if not text.startswith("created_at: ")]
            found += difference(f"event {event_id} count of warnings by key and fold ({keyed} {row['fold_warnings']} / {folded})",
                                len(keyed) + len(row["fold_warnings"]), len(folded))
    return found


def compare_tables(rows, states):
    """Every promised column of every row of state."""
    found = []
    wanted = {"orders": {}, "subscriptions": {}, "payments": {}, "refunds": {}}
    for name, state in states.items():
        wanted["orders"][name] = state.order
        if state.subscription is not None:
            wanted["subscriptions"][name] = state.subscription
        wanted["payments"].update({(*name, one): row for one, row in state.payments.items()})
        wanted["refunds"].update({(*name, one): row for one, row in state.refunds.items()})
    keys = {"orders": (), "subscriptions": (), "payments": ("payment_id",), "refunds": ("event_id",)}
    for table, columns in COLUMNS.items():
        stored = {(row["mode"], row["order_id"], *(row[one] for one in keys[table])): row for row in rows.tables[table]}
        found += difference(f"keys of {table}", sorted(stored), sorted(wanted[table]))
        for name in stored.keys() & wanted[table].keys():
            for column in columns:
                found += difference(f"{table} {name} {column}", stored[name][column], wanted[table][name][column])
    return found


def compare_entitlements(world, prefix, states, expected, settings):
    """entitlements_at() just before, at and after every moment at which an answer may change."""
    found = []
    for mode in ("live", "test"):
        moments = set()
        for name, state in states.items():
            if name[0] == mode:
                moments |= entitle.boundaries(state, settings)
        moments = {at for moment in moments for at in (moment - EPSILON, moment, moment + EPSILON) if at < LATEST}
        database = world.entitlements(prefix, mode, moments)
        for at in moments:
            wanted = entitle.entitlements_at(states, expected, settings, at, mode)
            found += difference(f"orders judged at {at} in {mode}", [row["order_id"] for row in database[at]],
                                [row["order_id"] for row in wanted])
            for one, other in zip(database[at], wanted):
                for name in other:
                    found += difference(f"{name} of {other['order_id']} at {at} in {mode} with {settings}", one[name], other[name])
    return found


def reference_settings(settings):
    """Settings of the reference from those of the database; intervals are given as texts like '3 days'."""
    lengths = {"1 day": (0, 1, 0), "0": (0, 0, 0), "3 hours": (0, 0, 10800), "31 days": (0, 31, 0), "1 month": (1, 0, 0),
               "1 month 2 days": (1, 2, 0)}
    known = dict(settings)
    for name in ("grace", "default_period"):
        if name in known:
            known[name] = lengths[known[name]]
    if "order_key" in known:
        known["order_key"] = tuple(known["order_key"])
    return Settings(**known)
