"""What was sent and what was answered, and whether the database keeps what the answers promised."""

import collections
import functools
import itertools
import json
import threading
from dataclasses import dataclass
from decimal import Decimal

from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from psycopg.types.string import TextLoader

import compare
import world
from reference import extract
from reference.settings import Settings


@dataclass
class Entry:
    """One delivery: status is None where there was no answer; when that was, by the monotonic clock, and from which URL."""

    body: bytes
    status: int
    answer: dict
    at: float
    url: str

    @property
    def spooled(self):
        return self.status == 503 and bool(self.answer) and self.answer.get("spooled") is True


def is_told_in(bodies):
    """A function that says of a body whether one of these tells of the same event: by its bytes, or its content."""
    @functools.cache
    def contents():
        return {told(body) for body in bodies}

    def told(body):
        event = extract.parse(body)
        return "" if event.event_id.startswith(extract.DERIVED_ID) else event.event_id, extract.content(event)

    def is_told(body):
        try:
            return body in bodies or told(body) in contents()
        except extract.Invalid:
            return False

    return is_told


class Ledger:
    """Entries from any number of threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self.entries = []

    def add(self, entry):
        with self._lock:
            self.entries.append(entry)

    def count(self, wanted):
        """How many entries there are for which wanted(entry)."""
        with self._lock:
            return sum(map(wanted, self.entries))

    def statuses(self):
        """{what was answered: how often}, a 503 with what it says of the spool."""
        with self._lock:
            return collections.Counter(
                f"503 {'' if one.spooled else 'not '}spooled" if one.status == 503 else str(one.status or "none")
                for one in self.entries)

    def longest_gap(self, url, since):
        """The longest time in seconds between two 200s of this URL, the second of which came after a moment."""
        with self._lock:
            moments = sorted(entry.at for entry in self.entries if entry.url == url and entry.status == 200)
        return max(later - earlier for earlier, later in itertools.pairwise(moments) if later > since)

    def check(self, connection, torn=()):
        """That all that was promised is in the database, and the state is what its events say.

        torn: bodies whose files were cut by the test. Returns a Counter of what was found; fails where anything is lost.
        """
        connection.adapters.register_loader("interval", TextLoader)
        set_json_loads(functools.partial(json.loads, parse_float=Decimal), connection)
        lost, recovered = self.find_lost(connection, torn)
        assert not lost, f"{len(lost)} lost, among them {lost[:5]}"
        self._check_state(connection)
        return collections.Counter(sent=len(self.entries), recovered=recovered, lost=len(lost), torn=len(torn),
                                   **{f"answer {name}": count for name, count in self.statuses().items()})

    def find_lost(self, connection, torn=()):
        """The entries that promised what the database does not keep, and how many spooled ones it keeps."""
        connection.row_factory = dict_row
        kept = {bytes(row["body"]) for row in connection.execute("SELECT body FROM bagelpay.event_bodies")}
        dead = {bytes(row["body"]) for row in connection.execute("SELECT body FROM bagelpay.dead_letters")}
        ids = {row["event_id"] for row in connection.execute("SELECT event_id FROM bagelpay.events")}
        is_kept = is_told_in(kept)
        lost = []
        recovered = 0
        for entry in self.entries:
            if entry.status == 200 and (entry.answer["event_id"] not in ids or not (entry.body in dead or is_kept(entry.body))):
                lost.append(entry)
            if entry.status == 400 and entry.body not in dead:
                lost.append(entry)
            if entry.spooled:
                if entry.body in dead or is_kept(entry.body):
                    recovered += 1
                elif entry.body not in torn:
                    lost.append(entry)
        return lost, recovered

    @staticmethod
    def _check_state(connection):
        bodies = {bytes(row["body"]) for row in connection.execute("SELECT body FROM bagelpay.event_bodies")}
        settings = Settings()
        rows = world.read_rows(connection, "%")
        events, states = compare.expected_states(rows, bodies, settings)
        found = compare.compare_events(rows, events, settings) + compare.compare_tables(rows, states)
        assert not found, "\n".join(found[:20])
