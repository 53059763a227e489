"""From one JSON value to one field's value (§4).

A reader returns None for a value that is as good as absent, and raises ValueError for one that is
unusable; the error's text is the warning.
"""

from decimal import Decimal

from .intervals import parse_interval
from .strictjson import NUMBER, Number
from .times import parse_time

TEXT_BYTES = 255
EMAIL_BYTES = 320
MAX_INTEGER_DIGITS = 15
MAX_DECIMALS = 6
MAX_UNITS = 2 ** 31 - 1
LABELS = {"refunded": "full", "partial_refund": "partial", "partially_refunded": "partial"}

_UPPER = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def trim(text):
    """Return `text` without ASCII white space around it."""
    return text.strip(" \t\n\v\f\r")


def lower(text):
    """Return `text` with ASCII letters in lower case, others untouched."""
    return text.translate(_LOWER)


def upper(text):
    """Return `text` with ASCII letters in upper case, others untouched."""
    return text.translate(_UPPER)


def bounded(text, limit):
    """Return the trimmed text, None if it is empty."""
    text = trim(text)
    if len(text.encode()) > limit:
        raise ValueError(f"longer than {limit} bytes")
    return text or None


def digits_of(number):
    """Return the digits of a Number whose value is an integer (123.0, 1.23e2, -0), else None."""
    sign, digits, power = parts_of(number)
    return None if power < 0 else sign + digits + "0" * power


def read_text(value):
    if not isinstance(value, str):
        raise ValueError("not a text")
    return bounded(value, TEXT_BYTES)


def read_id(value):
    text = digits_of(value) if isinstance(value, Number) else value
    if not isinstance(text, str):
        raise ValueError("neither a text nor an integer")
    return bounded(text, TEXT_BYTES)


def read_email(value):
    if not isinstance(value, str):
        raise ValueError("not a text")
    text = bounded(value, EMAIL_BYTES)
    return text and lower(text)


def read_currency(value):
    text = read_text(value)
    if text is None:
        return None
    text = upper(text)
    if len(text) != 3 or not all("A" <= char <= "Z" for char in text):
        raise ValueError("not three letters")
    return text


def read_label(value):
    return LABELS.get(read_text(value))


def read_bool(value):
    if isinstance(value, str) and not trim(value):
        return None
    if not isinstance(value, bool):
        raise ValueError("not a boolean")
    return value


def read_interval(value):
    text = read_text(value)
    return None if text is None else parse_interval(lower(text))


def time_of(value, prepare=lambda text: text):
    """Return the time that a text or an integer is; `prepare` is applied to a text."""
    if isinstance(value, Number) and value.is_integer:
        return parse_time(value.token)
    if not isinstance(value, str):
        raise ValueError("neither a text nor an integer")
    return parse_time(prepare(value))


def read_time(value):
    if isinstance(value, str) and trim(value) == "":
        return None
    return time_of(value, trim)


def parts_of(value):
    """Return sign, significant digits and power of ten of a number or numeric text; None if empty."""
    token = value.token if isinstance(value, Number) else \
        read_text(value) if isinstance(value, str) else value
    if token is None:
        return None
    match = NUMBER.fullmatch(token) if isinstance(token, str) else None
    if match is None:
        raise ValueError("not a number")
    sign, whole, fraction, exponent = match.groups()
    digits = whole + (fraction or "")
    power = int(exponent or "0") - len(fraction or "")
    significant = digits.rstrip("0")
    power += len(digits) - len(significant)
    significant = significant.lstrip("0")
    # Zero has no sign and no exponent worth keeping.
    return (sign, significant, power) if significant else ("", "0", 0)


def decimal_of(sign, digits, power):
    """Return the Decimal of parts_of(), written out: 10 is 10 and not 1E+1."""
    return Decimal(f"{sign}{digits}{'0' * power}" if power >= 0 else f"{sign}{digits}E{power}")


def read_amount(value):
    parts = parts_of(value)
    if parts is None:
        return None
    sign, digits, power = parts
    if sign:
        raise ValueError("negative")
    # Judged by the digits, so that an exponent of any size costs nothing.
    if len(digits) + power > MAX_INTEGER_DIGITS:
        raise ValueError("not below 10^15")
    if -power > MAX_DECIMALS:
        raise ValueError(f"more than {MAX_DECIMALS} decimals")
    return decimal_of(sign, digits, power)


def read_units(value):
    parts = parts_of(value)
    if parts is None:
        return None
    sign, digits, power = parts
    if power < 0:
        raise ValueError("not an integer")
    if sign or len(digits) + power > 10 or int(digits) * 10 ** power > MAX_UNITS:
        raise ValueError("not from 0 to 2147483647")
    return int(digits) * 10 ** power
