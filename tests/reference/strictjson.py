"""JSON as §4 wants it: a value, or where and why not.

A scanner of its own, because the standard library's cannot name the path of what it rejects and
loses the digits of a number.
"""

import re

MAX_DEPTH = 64
MAX_DIGITS = 1000

NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([-+]?[0-9]+))?")
_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = (("true", True), ("false", False), ("null", None))


class Invalid(ValueError):
    """A correctly signed body that is no valid event: `path` from the body's root, and `why`."""

    def __init__(self, path, why):
        self.path = path or "body"
        self.why = why
        super().__init__(f"{self.path}: {why}")


class Number:
    """A JSON number as its token, so that no digit is lost."""

    __slots__ = ("token",)

    def __init__(self, token):
        self.token = token

    @property
    def is_integer(self):
        """Whether the token has neither fraction nor exponent."""
        return self.token.lstrip("-").isdigit()

    def __eq__(self, other):
        return isinstance(other, Number) and other.token == self.token

    def __hash__(self):
        return hash(self.token)

    def __repr__(self):
        return f"Number({self.token})"


def loads(body, warnings=None, path=""):
    """Return the value of `body` (bytes): dict, list, str, bool, None and Number.

    Raises Invalid for what is no JSON, and for what §4 refuses: duplicate keys, invalid UTF-8,
    numbers beyond a double's range or of more than 1000 digits, more than 64 levels.  \\u0000 and
    lone surrogates become U+FFFD, and the list `warnings` names the text's path.  `path` is the
    place of the body itself, if it is a text within another.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(path, f"invalid UTF-8 at byte {error.start}") from None
    scanner = _Scanner(text, [] if warnings is None else warnings)
    value = scanner.value(path, 1)
    scanner.skip_space()
    if scanner.at != len(text):
        raise Invalid(path, "something follows the value")
    return value


class _Scanner:
    def __init__(self, text, warnings):
        self.text = text
        self.warnings = warnings
        self.at = 0

    def skip_space(self):
        self.at = _SPACE.match(self.text, self.at).end()

    def take(self, char):
        self.skip_space()
        if self.text.startswith(char, self.at):
            self.at += 1
            return True
        return False

    def value(self, path, depth):
        self.skip_space()
        if self.take("{"):
            return self.object(path, depth)
        if self.take("["):
            return self.array(path, depth)
        if self.take('"'):
            return self.stored(self.string(path), path)
        for word, value in _WORDS:
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return value
        return self.number(path)

    def object(self, path, depth):
        _check_depth(path, depth)
        members, keys = {}, set()
        if self.take("}"):
            return members
        while True:
            if not self.take('"'):
                raise Invalid(path, "not JSON: a key is missing")
            key = self.string(path)
            # Keys are the same by what the body says, not by what can be stored of it.
            is_duplicate = key in keys
            keys.add(key)
            key = self.stored(key, path)
            below = f"{path}.{key}" if path else key
            if is_duplicate:
                raise Invalid(below, "duplicate key")
            if not self.take(":"):
                raise Invalid(below, "not JSON: no colon after the key")
            members[key] = self.value(below, depth + 1)
            if self.take("}"):
                return members
            if not self.take(","):
                raise Invalid(path, "not JSON: no comma or end of the object")

    def array(self, path, depth):
        _check_depth(path, depth)
        items = []
        if self.take("]"):
            return items
        while True:
            items.append(self.value(f"{path}[{len(items)}]", depth + 1))
            if self.take("]"):
                return items
            if not self.take(","):
                raise Invalid(path, "not JSON: no comma or end of the array")

    def string(self, path):
        parts = []
        while True:
            match = _PLAIN.match(self.text, self.at)
            parts.append(match.group())
            self.at = match.end()
            char = self.text[self.at:self.at + 1]
            self.at += 1
            if char == '"':
                return "".join(parts)
            if char != "\\":
                raise Invalid(path, "not JSON: a text with a control character or without an end")
            parts.append(self.escape(path))

    def escape(self, path):
        char = self.text[self.at:self.at + 1]
        self.at += 1
        if char in _ESCAPES:
            return _ESCAPES[char]
        if char != "u":
            raise Invalid(path, "not JSON: unknown escape")
        unit = self.code_unit(path)
        if 0xD800 <= unit <= 0xDBFF and self.text.startswith("\\u", self.at):
            after_high = self.at
            self.at += 2
            low = self.code_unit(path)
            if 0xDC00 <= low <= 0xDFFF:
                return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
            self.at = after_high
        return chr(unit)

    def stored(self, text, path):
        """A text with U+FFFD in place of what PostgreSQL's text cannot hold."""
        if _UNSTORABLE.search(text):
            self.warnings.append(f"{path}: \\u0000 or a lone surrogate, stored as U+FFFD")
        return _UNSTORABLE.sub("\ufffd", text)

    def code_unit(self, path):
        match = _HEX4.match(self.text, self.at)
        if match is None:
            raise Invalid(path, "not JSON: bad \\u escape")
        self.at = match.end()
        return int(match.group(), 16)

    def number(self, path):
        match = NUMBER.match(self.text, self.at)
        if match is None:
            raise Invalid(path, "not JSON: a value is missing")
        self.at = match.end()
        token = match.group()
        if sum(char.isdigit() for char in token) > MAX_DIGITS:
            raise Invalid(path, f"a number of more than {MAX_DIGITS} digits")
        # The only float here: it judges the range, and no value is taken from it.
        double = float(token)
        mantissa = (match.group(2) + (match.group(3) or "")).strip("0")
        if double in (float("inf"), float("-inf")) or (double == 0 and mantissa):
            raise Invalid(path, "a number beyond a double's range")
        return Number(token)


def _check_depth(path, depth):
    if depth > MAX_DEPTH:
        raise Invalid(path, f"nested deeper than {MAX_DEPTH} levels")
