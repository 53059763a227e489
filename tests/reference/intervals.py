"""Interval words of §4, and what they are: (months, days)."""

import re

MOST = 1000
_WORDS = {
    "day": (0, 1), "daily": (0, 1), "week": (0, 7), "weekly": (0, 7),
    "month": (1, 0), "monthly": (1, 0),
    "quarter": (3, 0), "quarterly": (3, 0), "half-yearly": (6, 0), "semiannual": (6, 0),
    "year": (12, 0), "yearly": (12, 0), "annual": (12, 0), "annually": (12, 0)}
_UNITS = {"day": (0, 1), "week": (0, 7), "month": (1, 0), "year": (12, 0)}
_COUNTED = re.compile(r"([1-9][0-9]{0,3}) ?(day|week|month|year)s?")


def parse_interval(word):
    """Return (months, days) of a trimmed word in lower case; raises ValueError for another word.

    `3months`, `6months` and `12months` need no entry of their own: they are `N months`.
    """
    if word in _WORDS:
        return _WORDS[word]
    match = _COUNTED.fullmatch(word)
    if match is None or int(match.group(1)) > MOST:
        raise ValueError("not a known interval")
    count = int(match.group(1))
    months, days = _UNITS[match.group(2)]
    return count * months, count * days
