"""An endless supply of bodies: random histories, mixed, a few of them no valid events."""

import itertools
import json
import threading

import made

# Histories that are under way at the same time.
MIXED = 8


def _history(chance, prefix):
    numbers = chance.sample(range(made.MOST_EVENTS), chance.randint(2, 30))
    return made.history(chance.getrandbits(64), numbers, chance.getrandbits(32), prefix).bodies


def _broken(chance, prefix):
    """A correctly signed body that is no valid event, and no other is like it."""
    body = {"event_id": f"{prefix}broken", "event_type": "checkout.completed", "created_at": "2025-09-20 10:00:00",
            "object": {"mode": "test"}}
    kind = chance.randrange(3)
    if kind == 0:
        del body["object"]["mode"]
    elif kind == 1:
        body["created_at"] = "yesterday"
    text = json.dumps(body)
    return (text if kind < 2 else text[:-1]).encode()


class Events:
    """next(events) gives one body more, to any thread."""

    def __init__(self, chance):
        self._chance = chance
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._pending = []

    def __iter__(self):
        return self

    def __next__(self):
        with self._lock:
            while len(self._pending) < 100:
                for _ in range(MIXED):
                    prefix = f"739{next(self._numbers):06}"
                    self._pending += _history(self._chance, prefix)
                    if self._chance.random() < 0.3:
                        self._pending.append(_broken(self._chance, prefix))
                self._chance.shuffle(self._pending)
            return self._pending.pop()
