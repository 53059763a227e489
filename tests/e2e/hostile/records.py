"""What comes on the FastCGI socket, by the FastCGI specification 1.0, RFC 3875 and ours: parameters and records.

A row is an honest request but for what it says. What becomes of it is a status, CUT, or the protocol status of an
END_REQUEST without an answer.
"""

from dataclasses import dataclass

import fastcgi
from fastcgi import BEGIN_REQUEST, PARAMS, STDERR, STDIN, STDOUT, record

CUT = "cut"
UNKNOWN_ROLE = "protocol status 3"

METHOD, LENGTH = (b"REQUEST_METHOD", b"POST"), (b"CONTENT_LENGTH", b"@LENGTH@")
SIGNATURE, TIMESTAMP = (b"HTTP_BAGELPAY_SIGNATURE", b"@SIGNATURE@"), (b"HTTP_TIMESTAMP", b"@NOW@")
HONEST = (METHOD, LENGTH, SIGNATURE, TIMESTAMP)


def number(value):
    """A length in the shorter of its two forms."""
    return bytes([value]) if value < 128 else long_number(value)


def long_number(value):
    return (value | 1 << 31).to_bytes(4, "big")


def encode(pairs, form=number):
    return b"".join(form(len(name)) + form(len(value)) + name + value for name, value in pairs)


def begin(role=1, flags=0, reserved=b"\0" * 5, **more):
    return record(BEGIN_REQUEST, role.to_bytes(2, "big") + bytes([flags]) + reserved, **more)


def stream(kind, content, request_id=1, size=0xffff):
    """A stream's records, with the empty one that ends it."""
    parts = [content[at:at + size] for at in range(0, len(content), size)]
    return b"".join(record(kind, part, request_id) for part in [*parts, b""])


def plain(params, body):
    return begin() + stream(PARAMS, params) + stream(STDIN, body)


@dataclass(frozen=True)
class Records:
    """Pairs of parameters, and a function that makes records of their encoding and an honest body."""

    name: str
    expected: object
    pairs: tuple = HONEST
    shape: object = plain
    form: object = number
    ends: bool = False


def method(value, expected=405):
    return Records(f"method {value[:20]!r}", expected, ((b"REQUEST_METHOD", value), LENGTH, SIGNATURE, TIMESTAMP))


def length(value, expected=411):
    return Records(f"length {value[:40]!r}", expected, (METHOD, (b"CONTENT_LENGTH", value), SIGNATURE, TIMESTAMP))


def beside(name, *pairs, expected=200):
    """Further parameters behind the honest ones."""
    return Records(f"beside: {name}", expected, HONEST + pairs)


def before(name, *pairs, expected):
    return Records(f"before: {name}", expected, pairs + HONEST)


def named(name, value=b"x"):
    return beside(repr(name[:40]), (name, value))


def shaped(name, expected, shape, **more):
    return Records(f"records: {name}", expected, shape=shape, **more)


def padded(content, size=255):
    """Records with padding that is no zeros."""
    at, out = 0, b""
    while at < len(content):
        count = int.from_bytes(content[at + 4:at + 6], "big")
        out += content[at:at + 6] + bytes([size]) + content[at + 7:at + 8 + count] + b"\xff" * size
        at += 8 + count
    return out


def with_header(content, at, value):
    """Bytes with one replaced."""
    return content[:at] + bytes([value]) + content[at + 1:]


def behind_parameters(more):
    return lambda params, body: begin() + stream(PARAMS, params) + more + stream(STDIN, body)


def first(more):
    return lambda params, body: more + plain(params, body)


def last(more):
    return lambda params, body: plain(params, body) + more


def raw_parameters(content):
    return lambda params, body: begin() + stream(PARAMS, params + content) + stream(STDIN, body)


ROWS = [
    Records("honest", 200), Records("no parameters", 405, ()), Records("no method", 405, HONEST[1:]),
    Records("no length", 411, (METHOD, SIGNATURE, TIMESTAMP)),
    Records("no signature", 401, (METHOD, LENGTH, TIMESTAMP)), Records("other order", 200, HONEST[::-1]),
    Records("long lengths", 200, form=long_number),
    # Methods
    *map(method, (b"", b"post", b"Post", b"POST ", b" POST", b"POST\n", b"POST\r\n", b"POST,POST", b"POSTPOST", b"POS", b"GET",
                  b"HEAD", b"TRACE", b"CONNECT", b"*",
                  b"P" * 60000, b"\xff", b"P\xc3\x96ST", b"%50OST", b"POST HTTP/1.1")),
    method(b"POST\0", CUT), method(b"POST\0GET", CUT), method(b"\0POST", CUT),
    # Lengths
    length(b"", 411), length(b"0@LENGTH@", 200), length(b"0" * 1000 + b"@LENGTH@", 200),
    *map(length, (b"-@LENGTH@", b"-0", b"+@LENGTH@", b"@LENGTH@ ", b" @LENGTH@", b"\t@LENGTH@", b"@LENGTH@\n",
                  b"@LENGTH@,@LENGTH@", b"@LENGTH@.0", b"0x10", b"1e3",
                  b"\xd9\xa1", b"\xff", b"@LENGTH@a", b"NaN", b"-1", b"1_0", b"--1", b"%d", b"-9223372036854775808")),
    *(length(str(value).encode(), 413) for value in (1048577, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 63 - 1, 2 ** 63, 2 ** 64 - 1,
                                                     2 ** 64, 2 ** 128, "9" * 60000)),
    length(b"4294967@LENGTH@", 413), length(b"@LENGTH@\0", CUT), *(length(value, 400) for value in (b"0", b"1", b"1048576")),
    # One parameter twice
    Records("method twice", 200, (METHOD, *HONEST)), Records("length twice", 200, (LENGTH, *HONEST)),
    Records("signature twice", 401, (SIGNATURE, *HONEST)),
    Records("timestamp twice", 401, (*HONEST, TIMESTAMP)), beside("a wrong signature", (SIGNATURE[0], b"0" * 64), expected=401),
    before("a wrong signature", (SIGNATURE[0], b"0" * 64), expected=401),
    beside("an empty signature", (SIGNATURE[0], b""), expected=401),
    beside("another timestamp", (TIMESTAMP[0], b"1"), expected=401),
    before("another timestamp", (TIMESTAMP[0], b"1"), expected=401),
    before("another method", (b"REQUEST_METHOD", b"GET"), expected=405),
    before("another length", (b"CONTENT_LENGTH", b"1"), expected=400),
    # Names that look like others, and what is the environment's elsewhere
    *map(named, (b"", b"=", b"request_method", b"REQUEST_METHOD ", b" CONTENT_LENGTH", b"HTTP_CONTENT_LENGTH",
                 b"HTTP_REQUEST_METHOD", b"HTTP_BAGELPAY_SIGNATUR",
                 b"HTTP_BAGELPAY_SIGNATURES", b"http_bagelpay_signature", b"HTTP_BAGELPAY-SIGNATURE", b"BAGELPAY_SIGNATURE",
                 b"TIMESTAMP", b"HTTP_TIMESTAMP_", b"x" * 1000,
                 b"X" * 60000, b"\xff\xfe", b"%s%n", b"\r\nStatus: 200", b"\x1b[2J", b"LD_PRELOAD", b"PATH", b"PGHOST",
                 b"PGPASSWORD", b"PGOPTIONS", b"BAGELHOOK_SECRET_FILE",
                 b"BAGELHOOK_INSECURE_NO_SIGNATURE", b"HTTP_PROXY", b"FCGI_ROLE", b"FCGI_WEB_SERVER_ADDRS", b"FCGI_MAX_CONNS",
                 b"GATEWAY_INTERFACE", b"TZ", b"LC_ALL", b"ASAN_OPTIONS")),
    beside("role", (b"FCGI_ROLE", b"AUTHORIZER")), beside("a file", (b"SCRIPT_FILENAME", b"/etc/passwd"), (b"PATH_TRANSLATED",
                                                                                                           b"/etc/shadow"),
                                                                                                           (b"DOCUMENT_ROOT",
                                                                                                            b"/")),
    beside("chunks", (b"HTTP_TRANSFER_ENCODING", b"chunked")), beside("a coding", (b"HTTP_CONTENT_ENCODING", b"gzip")),
    beside("a query", (b"QUERY_STRING", b"%00&a=b" * 1000)),
    beside("an address", (b"REMOTE_ADDR", b"999.999.999.999"), (b"REMOTE_PORT", b"-1"), (b"SERVER_PORT", b"99999999999")),
    beside("2000 others", *((b"X%d" % n, b"y" * 50) for n in range(2000))),
    beside("10000 empty ones", *((b"", b"") for _ in range(10000))), beside("one of 200 KB", (b"HTTP_COOKIE", b"c" * 200000)),
    beside("bytes of every kind", (b"X", bytes(range(1, 256)))),
    beside("one of 270 KB", (b"HTTP_COOKIE", b"c" * 270000), expected=503),
    beside("9000 that are too many", *((b"X%d" % n, b"y" * 50) for n in range(9000)), expected=503),
    beside("NUL in a value", (b"HTTP_X", b"a\0b"), expected=CUT), beside("NUL in a name", (b"HTTP_X\0Y", b"a"), expected=CUT),
    Records("NUL behind the signature", CUT, (METHOD, LENGTH, (SIGNATURE[0], b"@SIGNATURE@\0"), TIMESTAMP)),
    Records("NUL and more behind the timestamp", CUT, (METHOD, LENGTH, SIGNATURE, (TIMESTAMP[0], b"@NOW@\x001"))),
    Records("name with its value", 401, (METHOD, LENGTH, (b"HTTP_BAGELPAY_SIGNATURE=@SIGNATURE@", b""), TIMESTAMP)),
    Records("method with its value", 405, ((b"REQUEST_METHOD=POST", b""), *HONEST[1:])),
    # Records: what the specification allows
    shaped("padding", 200, lambda params, body: padded(plain(params, body))),
    shaped("parameters byte by byte", 200, lambda params, body: begin() + stream(PARAMS, params, size=1) + stream(STDIN, body)),
    shaped("body byte by byte", 200, lambda params, body: begin() + stream(PARAMS, params) + stream(STDIN, body, size=1)),
    shaped("padded byte by byte", 200, lambda params, body: padded(begin() + stream(PARAMS, params, size=1) + stream(STDIN, body,
                                                                                                                     size=1), 7)),
    shaped("id 65535", 200, lambda params, body: begin(request_id=65535) + stream(PARAMS, params, 65535) + stream(STDIN, body,
                                                                                                                  65535)),
    shaped("id 256", 200, lambda params, body: begin(request_id=256) + stream(PARAMS, params, 256) + stream(STDIN, body, 256)),
    shaped("connection to be kept", 200, lambda params, body: plain(params, body).replace(begin(), begin(flags=1), 1), ends=True),
    shaped("all flags", 200, lambda params, body: plain(params, body).replace(begin(), begin(flags=255), 1), ends=True),
    shaped("reserved bytes of the beginning", 200, lambda params,
           body: plain(params, body).replace(begin(), begin(reserved=b"\xff" * 5), 1)),
    shaped("reserved byte of a header", 200, lambda params, body: with_header(plain(params, body), 7, 255)),
    shaped("end missing, but the connection's", 200, lambda params, body: plain(params, body)[:-8], ends=True),
    shaped("garbage behind the end", 200, last(b"\xff" * 1000)), shaped("abort behind the end", 200, last(record(2))),
    shaped("half a record behind the end", 200, last(record(STDIN, b"x" * 99)[:50])),
    shaped("a second request behind the end", 200, lambda params,
           body: plain(params, body) + plain(params, body.replace(b"evt_", b"two_"))),
    shaped("a second request of another id", 200, lambda params,
           body: plain(params, body) + begin(request_id=2) + stream(PARAMS, params, 2) + stream(STDIN, body, 2)),
    shaped("parameters of another request behind the end", 200, last(stream(PARAMS, fastcgi.encode({"REQUEST_METHOD": "GET"})))),
    # What it does not
    shaped("beginning of 9 bytes", CUT, first(record(BEGIN_REQUEST, b"\0\1" + b"\0" * 7))),
    shaped("beginning of no bytes", CUT, first(record(BEGIN_REQUEST))),
    shaped("role 257", UNKNOWN_ROLE, lambda params, body: begin(role=257) + plain(params, body)[16:]),
    shaped("role 256", UNKNOWN_ROLE, lambda params, body: begin(role=256)),
    *(shaped(f"version {version}", CUT, lambda params, body,
             version=version: with_header(plain(params, body), 0, version)) for version in (0, 2, 128, 255)),
    *(shaped(f"version {version} of the parameters", CUT, lambda params, body,
             version=version: with_header(plain(params, body), 16, version)) for version in (0, 2, 255)),
    *(shaped(f"type {kind} first", CUT, first(record(kind, b"\0\1" + b"\0" * 6))) for kind in (0, 4, 5, 8, 9, 10, 11, 12, 128,
                                                                                               255)),
    *(shaped(f"type {kind} behind the parameters", CUT, behind_parameters(record(kind, b"x"))) for kind in (0, 1, 3, STDOUT,
                                                                                                            STDERR, 8, 10, 11, 12,
                                                                                                            255)),
    shaped("bytes of the id exchanged", CUT, lambda params, body: begin(request_id=1) + stream(PARAMS, params,
                                                                                               256) + stream(STDIN, body, 256)),
    shaped("abort behind the parameters", CUT, behind_parameters(record(2))),
    shaped("beginning behind the parameters", CUT, behind_parameters(begin())),
    shaped("body first", CUT, lambda params, body: begin() + stream(STDIN, body) + stream(PARAMS, params)),
    shaped("HTTP behind the beginning", CUT, lambda params, body: begin() + b"POST / HTTP/1.1\r\n\r\n"),
    *(shaped(f"parameters end in {content!r}", CUT, raw_parameters(content))
      for content in (b"\0", b"\x7f", b"\x80", b"\x80\0", b"\x80\0\0", b"\x80\0\0\1", b"\x01\x01a", b"\x80\0\0\1\x80\0\0\1a",
                      b"\x01\xff", b"\x00\x80\x00\x01\x00", b"\xff\xff\xff\xff\0",
                      b"\0\xff\xff\xff\xff", b"\x7f\x7f" + b"x" * 253)),
    shaped("body longer by a byte", 400, lambda params, body: plain(params, body + b" ")),
    shaped("body shorter by a byte", 400, lambda params, body: plain(params, body[:-1])),
    shaped("no body", 400, lambda params, body: plain(params, b"")),
    shaped("body twice", 400, lambda params, body: plain(params, body + body)),
    shaped("another body of this length", 401, lambda params, body: plain(params, body[::-1])),
    shaped("one bit of the body", 401, lambda params, body: plain(params, body[:-2] + bytes([body[-2] ^ 1]) + body[-1:])),
]
