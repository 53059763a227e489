"""Signed deliveries from several connections at once, each answer in a ledger."""

import http.client
import itertools
import threading
import time

import harness

from ledger import Entry


class Load:
    """Deliverers that go on until the block ends: `with Load(stand) as load`."""

    # Between two deliveries of one of them, and after a 503: the reference has to follow.
    PACE_S = 0.01
    PATIENCE = 10

    def __init__(self, stand, deliverers=12, pace=PACE_S, urls=None):
        """To these URLs in turn, or to all that the stand has."""
        self._stand, self._pace, self._urls = stand, pace, urls or stand.urls
        self._stopping = threading.Event()
        self._errors = []
        self._threads = [threading.Thread(target=self._deliver_on, args=(number,)) for number in range(deliverers)]

    def _deliver_on(self, number):
        try:
            patience = 1
            for url in itertools.islice(itertools.cycle(self._urls), number, None):
                if self._stopping.wait(self._pace * patience):
                    return
                patience = 1 if deliver(self._stand, url).status == 200 else self.PATIENCE
        except Exception as error:  # pylint: disable=broad-except
            self._errors.append(error)

    def wait_for(self, more, wanted=lambda entry: entry.status == 200, timeout=harness.PATIENCE_S):
        """Until the ledger has so many more entries of a kind, of this load's URLs."""
        def count():
            return self._stand.ledger.count(lambda entry: entry.url in self._urls and wanted(entry))

        goal = count() + more
        harness.wait_until(lambda: self._errors or count() >= goal, "the load to get on", timeout)
        self.complain()

    def complain(self):
        if self._errors:
            raise self._errors[0]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if kind is None:
            self.complain()


def deliver(stand, url):
    """One delivery, into the ledger; returns its entry."""
    body = next(stand.events)
    try:
        answer = harness.deliver(url, stand.secret, body)
        entry = Entry(body, answer.status, answer.json, time.monotonic(), url)
    except (OSError, http.client.HTTPException):
        entry = Entry(body, None, None, time.monotonic(), url)
    # What the web server says while nobody listens behind it is no answer of ours.
    if entry.status in (502, 504):
        entry.status = None
    stand.ledger.add(entry)
    return entry
