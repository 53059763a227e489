"""Times: reading them, giving a zone-less one its zone, and adding calendar intervals in UTC."""

import calendar
import re
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_YEAR, LAST_YEAR = 2000, 2999
MILLISECONDS_FROM = 10 ** 11

# Names that PostgreSQL reads as abbreviations, which have one offset all year, before it looks for a
# zone of that name: hours east of UTC.
_ABBREVIATIONS = {"WET": 0, "CET": 1, "MET": 1, "EET": 2}

_TEXT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,6}))?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")


def parse_time(text):
    """Return the time that `text` is, aware in UTC, or naive where it names no zone.

    `text` is the time's text, or the digits of an integer (Unix seconds, from 10^11 up milliseconds).
    Raises ValueError with the reason.
    """
    if _INTEGER.fullmatch(text):
        return _from_unix(int(text))
    match = _TEXT.fullmatch(text)
    if match is None:
        raise ValueError("not a time")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError("a year outside 2000 to 2999")
    micros = int((match.group(7) or "0").ljust(6, "0"))
    try:
        local = datetime(year, month, day, hour, minute, second, micros)
    except ValueError:
        raise ValueError("not a time") from None
    zone = match.group(8)
    if zone is None:
        return local
    return (local - _offset(zone)).replace(tzinfo=UTC)


def _from_unix(number):
    millis = number if number >= MILLISECONDS_FROM else number * 1000
    # Compared before any datetime is made: the integer may have hundreds of digits.
    if not _YEARS_BEGIN <= millis < _YEARS_END:
        raise ValueError("a year outside 2000 to 2999")
    return EPOCH + timedelta(milliseconds=millis)


def _millis(year):
    return (datetime(year, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)


_YEARS_BEGIN, _YEARS_END = _millis(FIRST_YEAR), _millis(LAST_YEAR + 1)


def _offset(zone):
    if zone == "Z":
        return timedelta(0)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise ValueError("a zone offset beyond 23:59")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset


def localise(time, zone):
    """Return `time` aware in UTC; a naive one is read in `zone`; None stays None.

    As PostgreSQL's `timestamp AT TIME ZONE zone`: in a gap the offset before it, in an overlap the
    one after it.  In both cases that is the smaller offset, which gives the later instant.
    """
    if time is None or time.tzinfo is not None:
        return time
    if zone.upper() in _ABBREVIATIONS:
        return time.replace(tzinfo=UTC) - timedelta(hours=_ABBREVIATIONS[zone.upper()])
    info = ZoneInfo(zone)
    return max(time.replace(tzinfo=info, fold=fold).astimezone(UTC) for fold in (0, 1))


def add_interval(time, interval):
    """Return `time` (aware, UTC) + `interval`: months, days and perhaps seconds, in that order.

    A day that the month does not have becomes its last one.  From the last day of a month, months
    lead to the last day of a month (28 February + 1 month is 31 March).
    """
    months, days, *seconds = interval
    year, month0 = divmod(time.year * 12 + time.month - 1 + months, 12)
    last = _last_day(year, month0 + 1)
    is_last = months != 0 and time.day == _last_day(time.year, time.month)
    moved = time.replace(year=year, month=month0 + 1, day=last if is_last else min(time.day, last))
    return moved + timedelta(days=days, microseconds=int(sum(seconds) * 1_000_000))


def _last_day(year, month):
    return calendar.monthrange(year, month)[1]


def zone_half_hours(created_at, signed_timestamp, zone):
    """Return by how many half hours a zone-less created_at is ahead of the signed timestamp (§7).

    `signed_timestamp` is in Unix seconds.  None where created_at names its zone, or where the
    difference is no whole number of half hours other than zero, of at most 14 hours, within a minute.
    """
    if created_at.tzinfo is not None:
        return None
    ahead = localise(created_at, zone) - (EPOCH + timedelta(seconds=signed_timestamp))
    half_hours = round(ahead / timedelta(minutes=30))
    off = abs(ahead - half_hours * timedelta(minutes=30))
    if half_hours == 0 or abs(half_hours) > 28 or off > timedelta(minutes=1):
        return None
    return half_hours
