"""The generator by itself: its bodies are events, and its histories reach every rule of the fold."""

import random
from collections import Counter

import world as _  # noqa: F401  (first: it puts the other tests on the path)
import compare
import made
from reference import extract, fold

HISTORIES = 150


def histories():
    for seed in range(HISTORIES):
        chance = random.Random(seed)
        numbers = [i for i in range(chance.randint(2, made.MOST_EVENTS)) if chance.random() < 0.9]
        yield made.history(seed, numbers, seed, f"739{seed:06}")


def test_retries_are_the_same_event():
    """However a body is written, it is the same event."""
    for history in histories():
        contents = {}
        for body in history.bodies:
            event = extract.parse(body)
            contents.setdefault(event.event_id, set()).add(repr(extract.content(event)))
        assert {len(one) for one in contents.values()} == {1}


def test_rules_are_reached():
    """The order of arrival does not matter, and what is rare happens often enough."""
    seen = Counter()
    for history in histories():
        settings = compare.reference_settings(history.settings)
        events = [extract.parse(body) for body in history.bodies]
        states = fold.fold(events, settings)
        random.Random(1).shuffle(events)
        again = fold.fold(events, settings)
        assert {name: state.tables() for name, state in states.items()} == {name: state.tables() for name, state in again.items()}
        for state in states.values():
            seen += _rules(state)
        seen["decision"] += sum(isinstance(one, made.Decision) for one in history.arrivals)
        seen["history"] += 1
    rare = {name: count for name, count in seen.items() if count < 5}
    assert not rare, seen
    assert len(seen) >= 45, seen


def _rules(state):
    """What an order is an example of."""
    rules = Counter({f"key {state.order['key_source']}": 1, f"order {state.order['status']}": 1, f"{min(len(state.items), 3)} items": 1,
                     f"conflict {state.order['conflict']}": 1})
    rules.update(f"{row['kind']} payment {row['status']}" for row in state.payments.values())
    rules.update("payment " + ("by order" if name.startswith("order:") else "by event" if name.startswith("event:") else "by id")
                 for name in state.payments)
    rules.update(f"trial, bought {row['payment_id'] is not None}" for row in state.trials.values())
    rules.update(f"cancellation of {min(len(one.purchases), 2)}" for one in state.cancellations_made)
    rules.update(f"refund of {'none' if row['payment_id'] is None else 'one'}" for row in state.refunds.values())
    rules.update(f"item {item.row['subscription_status']}" for item in state.items.values())
    rules.update("item by e-mail" for item in state.items.values() if item.key[1].startswith("email:"))
    rules.update("item of nobody" for item in state.items.values() if not item.key[1])
    rules.update("item of nothing" for item in state.items.values() if not item.key[0])
    rules.update("released trial" for one in state.purchases if not one.is_payment and one.released)
    rules.update("inherited customer" for one in state.purchases if one.customer_id and all(
        each.customer_id is None and each.customer_email is None for each in one.events))
    return rules
