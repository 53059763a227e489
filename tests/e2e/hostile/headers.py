"""Signature and timestamp headers, for a responder with --max-age 300: what is missing, malformed, wrong or too old is a
401, whoever sends it.

@SIGNATURE@ is right for the row's own timestamp, which may be no good all the same. Others: @UPPER@ and @MIXED@ have
capitals, @BASE64@ another writing; @OTHER_SECRET@, @EMPTY_SECRET@, @OTHER_BODY@ and @NEXT_SECOND@ are right for another
secret, body or time; @SHA1@ and @SHA512@ are of other digests, @UNKEYED@ has no secret; @BODY_ONLY@, @NO_DOT@ and
@SWAPPED@ sign something else. @NOW+N@ and @NOW-N@ are N seconds away.
"""

from dataclasses import dataclass

SIGNATURE, TIMESTAMP = "Bagelpay-Signature", "timestamp"


@dataclass(frozen=True)
class Headers:
    """An honest event with these headers. status is the answer's through nginx and on the socket alike, but that for
    web=False nginx cannot be asked, because it would trim or refuse them."""

    name: str
    headers: tuple
    status: int = 401
    web: bool = True


def signature(name, value, status=401, web=True):
    return Headers(f"signature: {name}", ((SIGNATURE, value), (TIMESTAMP, "@NOW@")), status, web)


def timestamp(name, value, status=401, web=True):
    return Headers(f"timestamp: {name}", ((SIGNATURE, "@SIGNATURE@"), (TIMESTAMP, value)), status, web)


def lines(name, *headers, status=401):
    return Headers(f"headers: {name}", headers, status)


ROWS = [
    signature("honest", "@SIGNATURE@", 200), signature("capitals", "@UPPER@", 200), signature("both cases", "@MIXED@", 200),
    signature("empty", ""), signature("zeros", "0" * 64), signature("f", "f" * 64), signature("one digit", "0"),
    signature("63 digits", "0" * 63), signature("65 digits", "@SIGNATURE@0"), signature("127 digits", "@SIGNATURE@" + "0" * 63),
    signature("6000 digits", "0" * 6000), signature("itself twice", "@SIGNATURE@@SIGNATURE@"),
    signature("list", "@SIGNATURE@,@SIGNATURE@"), signature("list with a space", "@SIGNATURE@, @SIGNATURE@"),
    signature("list, empty element", "@SIGNATURE@,"), signature("semicolon", "@SIGNATURE@;"),
    signature("wrong, right", "0" * 64 + ",@SIGNATURE@"),
    signature("sha256=", "sha256=@SIGNATURE@"), signature("v1=", "v1=@SIGNATURE@"), signature("t=,v1=", "t=@NOW@,v1=@SIGNATURE@"),
    signature("sha256:", "sha256:@SIGNATURE@"), signature("Bearer", "Bearer @SIGNATURE@"), signature("HMAC", "HMAC @SIGNATURE@"),
    signature("algorithm none", "none"), signature("0x", "0x@SIGNATURE@"), signature("quoted", '"@SIGNATURE@"'),
    signature("brackets", "<@SIGNATURE@>"),
    signature("base64", "@BASE64@"), signature("no hex", "g" * 64), signature("full-width digits", "\uff10" * 64),
    signature("minus", "-" + "0" * 63),
    signature("space within", "@SIGNATURE@ 0"), signature("percent", "%30" * 21 + "0"), signature("null", "null"),
    signature("true", "true"),
    signature("format", "%s" * 32), signature("SQL", "' OR 1=1 --"), signature("shell", "$(id)"),
    signature("JSON", '["@SIGNATURE@"]'),
    signature("terminal", "\x1b[31m", web=False), signature("NUL", "\0", web=False),
    signature("right, then a tab", "@SIGNATURE@\t", web=False),
    signature("right, then a space", "@SIGNATURE@ ", web=False), signature("space, then right", " @SIGNATURE@", web=False),
    signature("right, then a line end", "@SIGNATURE@\n", web=False), signature("right, then CRLF", "@SIGNATURE@\r\n", web=False),
    signature("of another secret", "@OTHER_SECRET@"), signature("of no secret", "@EMPTY_SECRET@"),
    signature("without a key", "@UNKEYED@"),
    signature("of another body", "@OTHER_BODY@"), signature("of the next second", "@NEXT_SECOND@"),
    signature("of the body alone", "@BODY_ONLY@"),
    signature("without the dot", "@NO_DOT@"), signature("body first", "@SWAPPED@"), signature("SHA-1", "@SHA1@"),
    signature("SHA-512", "@SHA512@"),
    signature("the published one", "dd7bdd2c" + "0" * 50 + "d9b87b"),
    timestamp("in 11 days", "@NOW+1000000@", 200), timestamp("200 seconds old", "@NOW-200@", 200),
    timestamp("leading zeros", "00@NOW@", 200),
    timestamp("as late as possible", "999999999999", 200), timestamp("400 seconds old", "@NOW-400@"),
    timestamp("a year old", "@NOW-31536000@"),
    timestamp("0", "0"), timestamp("1", "1"), timestamp("12 zeros", "0" * 12), timestamp("empty", ""),
    timestamp("13 digits", "000@NOW@"),
    timestamp("milliseconds", "@NOW@000"), timestamp("2^31", "2147483648", 200), timestamp("2^32", "4294967296", 200),
    timestamp("2^63", str(2 ** 63)), timestamp("2^64", str(2 ** 64)), timestamp("2^64 and now", "184467440737@NOW@"),
    timestamp("6000 digits", "9" * 6000), timestamp("6000 zeros", "0" * 6000), timestamp("negative", "-1"),
    timestamp("minus now", "-@NOW@"),
    timestamp("minus zero", "-0"), timestamp("plus", "+@NOW@"), timestamp("float", "@NOW@.0"), timestamp("point last", "@NOW@."),
    timestamp("exponent", "1e10"), timestamp("hexadecimal", "0x7fffffff"), timestamp("octal", "0o777"),
    timestamp("underscore", "1_000"),
    timestamp("comma", "@NOW@,"), timestamp("list", "@NOW@, @NOW@"), timestamp("quoted", '"@NOW@"'),
    timestamp("letter", "@NOW@a"),
    timestamp("letters", "now"), timestamp("NaN", "NaN"), timestamp("Infinity", "Infinity"),
    timestamp("date", "2026-01-01T00:00:00Z"),
    timestamp("HTTP date", "Thu, 01 Jan 2026 00:00:00 GMT"), timestamp("full-width digits", "\uff11" * 10),
    timestamp("Arabic digits", "\u0661" * 10),
    timestamp("space within", "1 2"), timestamp("percent", "%31"), timestamp("SQL", "1; DROP TABLE bagelpay.events"),
    timestamp("format", "%d%n"),
    timestamp("space first", " @NOW@", web=False), timestamp("space last", "@NOW@ ", web=False),
    timestamp("tab last", "@NOW@\t", web=False),
    timestamp("line end last", "@NOW@\n", web=False), timestamp("dot moved", "@NOW@.{", web=False),
    lines("none"), lines("signature alone", (SIGNATURE, "@SIGNATURE@")), lines("timestamp alone", (TIMESTAMP, "@NOW@")),
    lines("exchanged", (SIGNATURE, "@NOW@"), (TIMESTAMP, "@SIGNATURE@")),
    lines("signature twice", (SIGNATURE, "@SIGNATURE@"), (SIGNATURE, "@SIGNATURE@"), (TIMESTAMP, "@NOW@")),
    lines("right signature, wrong one", (SIGNATURE, "@SIGNATURE@"), (SIGNATURE, "0" * 64), (TIMESTAMP, "@NOW@")),
    lines("wrong signature, right one", (SIGNATURE, "0" * 64), (SIGNATURE, "@SIGNATURE@"), (TIMESTAMP, "@NOW@")),
    lines("empty signature, right one", (SIGNATURE, ""), (SIGNATURE, "@SIGNATURE@"), (TIMESTAMP, "@NOW@")),
    lines("timestamp twice", (SIGNATURE, "@SIGNATURE@"), (TIMESTAMP, "@NOW@"), (TIMESTAMP, "@NOW@")),
    lines("right timestamp, later one", (SIGNATURE, "@SIGNATURE@"), (TIMESTAMP, "@NOW@"), (TIMESTAMP, "@NOW+1@")),
    lines("old timestamp, right one", (SIGNATURE, "@SIGNATURE@"), (TIMESTAMP, "1"), (TIMESTAMP, "@NOW@")),
    lines("signature under another name", ("X-Bagelpay-Signature", "@SIGNATURE@"), (TIMESTAMP, "@NOW@")),
    lines("timestamp under another name", (SIGNATURE, "@SIGNATURE@"), ("Bagelpay-Timestamp", "@NOW@")),
    lines("names in capitals", (SIGNATURE.upper(), "@SIGNATURE@"), (TIMESTAMP.upper(), "@NOW@"), status=200),
    lines("both again under other names", (SIGNATURE, "@SIGNATURE@"), (TIMESTAMP, "@NOW@"), ("X-Bagelpay-Signature", "0"),
          ("Timestamp-X", "0"), status=200),
]
