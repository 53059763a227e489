"""The database's rows against the reference's, column by column."""

from datetime import datetime, timedelta, timezone

from reference import checks, entitle, extract, fold, key
from reference.settings import Settings
from reference.times import localise

COLUMNS = {
    "orders": ("key_source", "status", "conflict", "amount", "tax_amount", "currency", "product_id", "product_name",
               "billing_type", "customer_id", "customer_email", "user_id", "provider_order_id", "payment_id", "request_id", "metadata",
               "last_event_id", "last_event_at", "updated_at"),
    "items": ("product_name", "customer_email", "subscription_status", "units", "recurring_interval", "subscription_id",
              "processor_subscription_id", "trial_start", "trial_end", "billing_period_start", "billing_period_end", "cancel_at",
              "canceled_at", "cancel_at_period_end", "payment_method", "last4", "billing_amount", "updated_at"),
    "payments": ("provider_order_id", "kind", "status", "product_id", "product_name", "customer_id", "customer_email", "user_id", "units",
                 "recurring_interval", "subscription_id", "processor_subscription_id", "amount", "tax_amount", "currency", "paid_at",
                 "period_start", "period_end", "refunded_amount", "updated_at"),
    "trials": ("product_id", "customer_id", "customer_email", "user_id", "units", "subscription_id", "starts_at", "trial_end", "payment_id"),
    "cancellations": ("product_id", "customer_id", "subscription_id", "processor_subscription_id", "occurred_at", "ends_at", "at_period_end"),
    "refunds": ("refund_id", "payment_id", "amount", "running_total", "label", "occurred_at"),
}
# The key columns of each table, without mode and order_id.
KEYS = {"orders": (), "items": ("product_id", "customer_id", "user_id"), "payments": ("payment_id",), "trials": ("event_id",),
        "cancellations": ("event_id",), "refunds": ("event_id",)}
# Normalised columns of events, by the reference's names for them.
EVENT_COLUMNS = {name: name for name in (
    "event_type", "mode", "created_at_raw", "product_id", "product_name", "billing_type", "customer_id", "customer_email",
    "provider_order_id", "payment_id", "request_id", "amount", "tax_amount", "currency", "subscription_id",
    "processor_subscription_id", "cancel_at_period_end", "recurring_interval", "units", "payment_method", "last4",
    "billing_amount", "refund_id", "refund_amount", "refund_label", "metadata")}
EVENT_COLUMNS["refunded_amount"] = "refund_running_total"
EVENT_TIMES = ("occurred_at", "trial_start", "trial_end", "billing_period_start", "billing_period_end", "cancel_at", "canceled_at")
EPSILON = timedelta(microseconds=1)
# At most so many moments are asked for, of those of one history, mode and settings.
MOST_MOMENTS = 60
LATEST = datetime(2999, 12, 31, tzinfo=timezone.utc)
INTERVALS = {"1 day": (0, 1, 0), "0": (0, 0, 0), "3 hours": (0, 0, 10800), "31 days": (0, 31, 0), "1 month": (1, 0, 0),
             "1 month 2 days": (1, 2, 0), "14 days": (0, 14, 0)}


def difference(what, database, reference):
    """One line for an unequal pair, or nothing."""
    return [] if database == reference else [f"{what}: database {database!r}, reference {reference!r}"]


def interval_text(interval):
    """An interval of months and days as PostgreSQL writes it."""
    if interval is None:
        return None
    months, days = interval
    parts = ((months // 12, "year"), (months % 12, "mon"), (days, "day"))
    return " ".join(f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in parts if count)


def column(row, name):
    """A column of one of the reference's rows, as the database has it."""
    return interval_text(row[name]) if name == "recurring_interval" else row[name]


def expected_states(rows, bodies, settings):
    """The reference's events (by event_id) and states."""
    events = {}
    for body in bodies:
        event = extract.parse(body)
        events.setdefault(event.event_id, event)
    events = _with_ids_of(rows, events, settings)
    return events, fold.fold([*events.values(), *rows.decisions], settings)


def _with_ids_of(rows, events, settings):
    """The events by id; one without an id of its own has that of the database's event with the same content."""
    stored = [row for row in rows.events if row["event_id"].startswith(extract.DERIVED_ID)]
    found = {}
    for event_id, event in events.items():
        if event_id.startswith(extract.DERIVED_ID):
            event.event_id = next((row["event_id"] for row in stored if not compare_columns(row, event, settings)), event_id)
        found[event.event_id] = event
    return found


def compare_columns(row, event, settings):
    """The normalised columns of one event."""
    found = []
    for name, stored in EVENT_COLUMNS.items():
        value = getattr(event, name)
        found += difference(f"event {event.event_id} {stored}", row[stored], interval_text(value) if name == "recurring_interval" else value)
    for name in EVENT_TIMES:
        found += difference(f"event {event.event_id} {name}", row[name], localise(getattr(event, name), settings.provider_timezone))
    return found


def places(warnings):
    """The places that warnings name; for characters that were replaced, only that some were."""
    return sorted({"U+FFFD" if "U+FFFD" in text else text.partition(": ")[0] for text in warnings})


def compare_events(rows, events, settings):
    """Each event's row: normalised columns, key, user, outcome, and the places that warnings name."""
    found = []
    stored = {row["event_id"]: row for row in rows.events if not row["event_id"].startswith("operator:")}
    found += difference("event ids", sorted(stored), sorted(events))
    keys = key.assign([event for event in events.values() if event.is_known], settings)
    for event_id in stored.keys() & events.keys():
        row, event = stored[event_id], events[event_id]
        found += compare_columns(row, event, settings)
        named = keys.get(event_id)
        outcome = "ignored" if not event.is_known else "unmatched" if named is None else "applied"
        found += difference(f"event {event_id} outcome", row["outcome"], outcome)
        found += difference(f"event {event_id} key", (row["order_id"], row["key_source"]), named or (None, None))
        found += difference(f"event {event_id} user_id", row["user_id"], key.user_id(event, settings))
        # The one warning that the delivery gives rise to: zone evidence.
        warnings = [text for text in row["warnings"] if "another time zone" not in text]
        found += difference(f"event {event_id} warnings {warnings}", places(warnings),
                            places([*event.warnings, *key.key_warnings(event, settings)]))
    return found


def compare_tables(rows, states):
    """Every promised column of every row of state."""
    found = []
    for table, columns in COLUMNS.items():
        wanted = {(row["mode"], row["order_id"], *(row[one] for one in KEYS[table])): row
                  for state in states.values() for row in state.tables()[table]}
        stored = {(row["mode"], row["order_id"], *(row[one] for one in KEYS[table])): row for row in rows.tables[table]}
        found += difference(f"keys of {table}", sorted(stored), sorted(wanted))
        for name in stored.keys() & wanted.keys():
            for one in columns:
                found += difference(f"{table} {name} {one}", stored[name][one], column(wanted[name], one))
    return found


def compare_checks(rows, states, expected, settings):
    """The view order_checks. Of several items that come equally close, any may be shown."""
    found = []
    wanted = {(row["mode"], row["order_id"]): row for row in checks.order_checks(states, expected, settings)}
    stored = {(row["mode"], row["order_id"]): row for row in rows}
    found += difference("keys of order_checks", sorted(stored), sorted(wanted))
    for name in stored.keys() & wanted.keys():
        for one in ("expected", "paid", "matches"):
            found += difference(f"order_checks {name} {one}", stored[name][one], wanted[name][one])
        if sorted(stored[name]["mismatches"] or []) not in [sorted(one) for one in wanted[name]["mismatches"]]:
            found.append(f"order_checks {name} mismatches: database {stored[name]['mismatches']}, reference {wanted[name]['mismatches']}")
    return found


def compare_steps(explained, states):
    """What explain() says of each event of each order, in the fold's order."""
    return [line for name, state in states.items()
            for line in difference(f"explain of {name}", explained[name], [step[:2] for step in state.steps])]


def moments_of(states, mode, settings, periods):
    """The moments just before, at and just after every one at which an answer may change."""
    moments = set()
    for name, state in states.items():
        if name[0] == mode:
            moments |= entitle.boundaries(state, settings, periods)
    return {at for moment in moments for at in (moment - EPSILON, moment, moment + EPSILON) if at < LATEST}


def compare_entitlements(world, prefix, states, expected, settings, periods, chance):
    """entitlements_at() just before, at and after every moment at which an answer may change."""
    found = []
    for mode in ("live", "test"):
        moments = sorted(moments_of(states, mode, settings, periods))
        moments = chance.sample(moments, min(len(moments), MOST_MOMENTS))
        if not moments:
            continue
        seen, given = [], f"in {mode} with {settings}, {periods}"
        wanted = entitle.entitlements_over(states, expected, settings, moments, mode, periods)
        for at, stored in zip(moments, world.entitlements(prefix, mode, moments)):
            found += _compare_items(f"at {at} {given}", stored, wanted[at])
            seen += ((at, row) for row in wanted[at])
        asked = chance.sample(seen, min(len(seen), 5))
        found += _compare_questions(world, prefix, states, expected, settings, periods, mode, asked)
    return found


def _compare_items(when, stored, wanted):
    """The entitlements at one moment."""
    stored, wanted = sorted(stored, key=_item), sorted(wanted, key=_item)
    if stored == wanted:
        return []
    found = difference(f"items judged {when}", [_item(row) for row in stored], [_item(row) for row in wanted])
    if found:
        return found
    return [line for database, reference in zip(stored, wanted) for one in reference
            for line in difference(f"{one} of {_item(reference)} {when}", database[one], reference[one])]


def _compare_questions(world, prefix, states, expected, settings, periods, mode, asked):
    """is_entitled() and is_user_entitled() of the customers, e-mails and users of some items, at a moment each."""
    found = []
    for function, names, ask in (("is_entitled", ("customer_id", "customer_email"), entitle.is_entitled),
                                 ("is_user_entitled", ("user_id",), entitle.is_user_entitled)):
        # An e-mail that other histories use as well says nothing of this one.
        questions = [(row[name], row["product_id"], at) for at, row in asked for name in names
                     if row[name] is not None and row["product_id"] is not None and prefix in row[name]]
        for (who, product, at), answer in zip(questions, world.ask(function, questions, mode)):
            found += difference(f"{function}({who}, {product}, {mode}, {at})", answer,
                                ask(states, expected, settings, who, product, mode, at, periods))
    return found


def _item(row):
    return tuple(row[name] or "" for name in ("order_id", "product_id", "customer_id", "user_id"))


def reference_settings(settings):
    """Settings of the reference from those of the database; intervals are given as texts like '3 days'."""
    known = dict(settings)
    for name in ("grace", "default_period"):
        if name in known:
            known[name] = INTERVALS[known[name]]
    for name in ("order_key", "user_key"):
        if name in known:
            known[name] = tuple(known[name])
    return Settings(**known)


def reference_periods(periods):
    """bagelpay.products of the reference from those of the database."""
    return {product_id: INTERVALS[period] for product_id, period in periods.items()}
