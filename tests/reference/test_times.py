"""The reference's times against cases worked by hand; zones as PostgreSQL 15 answers them."""

from datetime import datetime

import pytest

from .times import UTC, add_interval, localise, parse_time, zone_half_hours


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize("text, expected", [
    ("2025-09-12 16:41:24.746", datetime(2025, 9, 12, 16, 41, 24, 746000)),
    ("2025-09-12T16:41:24", datetime(2025, 9, 12, 16, 41, 24)),
    ("2025-09-12T16:41:24.000001Z", utc(2025, 9, 12, 16, 41, 24, 1)),
    ("2025-09-12T16:41:24+08", utc(2025, 9, 12, 8, 41, 24)),
    ("2025-09-12T16:41:24+0530", utc(2025, 9, 12, 11, 11, 24)),
    ("2025-09-12T16:41:24.5-05:45", utc(2025, 9, 12, 22, 26, 24, 500000)),
    ("2000-01-01 00:00:00+23:59", utc(1999, 12, 31, 0, 1)),
    ("2999-12-31 23:59:59-23:59", utc(3000, 1, 1, 23, 58, 59)),
    ("2024-02-29 00:00:00", datetime(2024, 2, 29)),
    ("1757666484", utc(2025, 9, 12, 8, 41, 24)),
    ("1757666484746", utc(2025, 9, 12, 8, 41, 24, 746000)),
    ("946684800", utc(2000, 1, 1)), ("32503679999", utc(2999, 12, 31, 23, 59, 59)),
    ("32503679999999", utc(2999, 12, 31, 23, 59, 59, 999000)),
    ("946684800000", utc(2000, 1, 1)),
])
def test_time(text, expected):
    assert parse_time(text) == expected


@pytest.mark.parametrize("text", [
    "", "2025-09-12", "2025-09-12t00:00:00", "2025-09-12  00:00:00", "2025-9-12 00:00:00",
    "2025-09-12 24:00:00", "2025-09-12 00:60:00", "2025-09-12 00:00:60", "2025-02-29 00:00:00",
    "2025-13-01 00:00:00", "2025-09-12 00:00:00.", "2025-09-12 00:00:00.1234567",
    "2025-09-12 00:00:00z", "2025-09-12 00:00:00+8", "2025-09-12 00:00:00+24", "2025-09-12 00:00:00 Z",
    "2025-09-12 00:00:00+00:60", "2025-09-12 00:00:00+08:", "1999-12-31 23:59:59",
    "3000-01-01 00:00:00", "946684799", "32503680000", "99999999999", "100000000000",
    "32503680000000", "-1757666484", "01757666484", "1757666484.0", "9" * 300, "infinity", "now",
    "２025-09-12 00:00:00",
])
def test_time_rejected(text):
    with pytest.raises(ValueError):
        parse_time(text)


@pytest.mark.parametrize("local, zone, expected", [
    (datetime(2025, 3, 30, 2, 30), "Europe/Berlin", utc(2025, 3, 30, 1, 30)),
    (datetime(2025, 10, 26, 2, 30), "Europe/Berlin", utc(2025, 10, 26, 1, 30)),
    (datetime(2025, 7, 1, 12), "Europe/Berlin", utc(2025, 7, 1, 10)),
    (datetime(2014, 10, 26, 1, 30), "Europe/Moscow", utc(2014, 10, 25, 22, 30)),
    (datetime(2025, 4, 6, 1, 45), "Australia/Lord_Howe", utc(2025, 4, 5, 15, 15)),
    (datetime(2025, 10, 5, 2, 15), "Australia/Lord_Howe", utc(2025, 10, 4, 15, 45)),
    (datetime(2025, 9, 12, 16, 41), "Asia/Shanghai", utc(2025, 9, 12, 8, 41)),
    (datetime(2025, 7, 1, 12), "CET", utc(2025, 7, 1, 11)),
    (utc(2025, 7, 1, 12), "Europe/Berlin", utc(2025, 7, 1, 12)),
])
def test_localise(local, zone, expected):
    assert localise(local, zone) == expected


@pytest.mark.parametrize("start, interval, expected", [
    (utc(2025, 1, 31), (1, 0, 0), utc(2025, 2, 28)), (utc(2024, 1, 31), (1, 0, 0), utc(2024, 2, 29)),
    (utc(2024, 2, 29), (12, 0, 0), utc(2025, 2, 28)), (utc(2025, 1, 31), (1, 1, 5), utc(2025, 3, 1, 0, 0, 5)),
    (utc(2025, 12, 31), (6, 0, 0), utc(2026, 6, 30)), (utc(2025, 3, 31), (-1, 0, 0), utc(2025, 2, 28)),
    (utc(2025, 2, 28, 5), (1, 0), utc(2025, 3, 31, 5)), (utc(2024, 2, 28), (1, 0), utc(2024, 3, 28)),
    (utc(2025, 6, 30), (1, 1), utc(2025, 8, 1)), (utc(2025, 2, 28), (12, 0), utc(2026, 2, 28)),
    (utc(2023, 2, 28), (12, 0), utc(2024, 2, 29)), (utc(2025, 1, 30), (1, 0), utc(2025, 2, 28)),
    (utc(2025, 4, 30), (0, 7), utc(2025, 5, 7)),
])
def test_add_interval(start, interval, expected):
    assert add_interval(start, interval) == expected


def test_zone_evidence():
    signed = 1757666484
    assert zone_half_hours(datetime(2025, 9, 12, 16, 41, 24), signed, "UTC") == 16
    assert zone_half_hours(datetime(2025, 9, 12, 16, 41, 24), signed, "Asia/Shanghai") is None
    assert zone_half_hours(datetime(2025, 9, 12, 16, 42, 24), signed, "UTC") == 16
    assert zone_half_hours(datetime(2025, 9, 12, 22, 41, 24), signed, "UTC") == 28
    assert zone_half_hours(datetime(2025, 9, 12, 16, 43), signed, "UTC") is None
    assert zone_half_hours(utc(2025, 9, 12, 16, 41, 24), signed, "UTC") is None
    assert zone_half_hours(datetime(2025, 9, 13, 8, 41, 24), signed, "UTC") is None
