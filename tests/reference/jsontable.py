"""The rows of tests/conformance/json.txt, which says what they are."""

import pathlib
import re
from dataclasses import dataclass

PATH = pathlib.Path(__file__).resolve().parents[1] / "conformance" / "json.txt"
_BYTES = re.compile(r"<(?:([0-9]+)\*)?((?:[0-9a-f]{2})+)>")


@dataclass(frozen=True)
class Row:
    """One text; verdicts are those of which one has to be given."""

    name: str
    text: bytes
    verdicts: tuple

    @property
    def is_ok(self):
        return self.verdicts == ("ok",)


def decode(text):
    """The bytes of a row's text."""
    parts, at = [], 0
    for match in _BYTES.finditer(text):
        parts.append(text[at:match.start()].encode())
        parts.append(bytes.fromhex(match.group(2)) * int(match.group(1) or 1))
        at = match.end()
    parts.append(text[at:].encode())
    if "<" in _BYTES.sub("", text):
        raise ValueError(f"a bracket that begins no bytes: {text}")
    return b"".join(parts)


def rows():
    """All rows, in the table's order."""
    found = []
    for line in PATH.read_text(encoding="ascii").split("\n"):
        if line and not line.startswith("# ") and line != "#":
            verdict, name, text, *_ = line.split("\t")
            found.append(Row(name, decode(text), tuple(verdict.split("/"))))
    return found
