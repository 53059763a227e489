"""What comes over HTTP, by RFC 9110 and 9112, nginx's documented limits, and the specification.

A row's answers are those of its connection, in order: "200" is the responder's, "nginx 400" (kept as "nginx=400") nginx's
own, none where the connection is cut; A|B where the RFCs leave the choice. Requests are correctly signed but for what the row
says, so that whatever should not be taken would be taken if it came through.
"""

from dataclasses import dataclass

PATH = "/webhooks/bagelpay"
LENGTH = "Content-Length: @LENGTH@\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"


@dataclass(frozen=True)
class Wire:
    """Bytes for nginx, the answers, and how many events are stored. With ends, nothing comes behind the bytes."""

    name: str
    request: str
    answers: tuple
    events: int
    ends: bool = False


def post(more="", line=f"POST {PATH} HTTP/1.1", host="Host: localhost\r\n", length=LENGTH, body="@BODY@"):
    """An honest request, but for what is told."""
    return (f"{line}\r\n{host}Connection: close\r\nBagelpay-Signature: @SIGNATURE@\r\ntimestamp: @NOW@\r\n"
            f"{length}{more}\r\n{body}")


def row(name, answers, *more, ends=False, **parts):
    answers = tuple(answers.replace("nginx ", "nginx=").split())
    return Wire(name, post(*more, **parts), answers, answers.count("200"), ends)


def shown(text, most=50):
    """A text as a row's name has it."""
    return repr(text) if len(text) <= most else f"{text[:most]!r}, {len(text)} in all"


def method(word, answers="405"):
    return row(f"method {shown(word)}", answers, line=f"{word} {PATH} HTTP/1.1")


def path(text, answers):
    return row(f"path {shown(text)}", answers, line=f"POST {text} HTTP/1.1")


def length(text, answers="nginx 400"):
    # Behind a 413 nginx waits for the rest, unless it has the end.
    return row(f"length {shown(text)}", answers, length=f"Content-Length: {text}\r\n", ends="413" in answers)


def header(text, answers="200"):
    return row(f"header {shown(text)}", answers, f"{text}\r\n")


def chunked(name, answers, body, more="", **parts):
    return row(f"chunks: {name}", answers, more, length=CHUNKED, body=body, **parts)


def coding(text, answers="nginx 501"):
    return row(f"coding {text!r}", answers, length=f"Transfer-Encoding: {text}\r\n", body="@SIZE@\r\n@BODY@\r\n0\r\n\r\n")


SMUGGLED = post()
ROWS = [
    # Methods. The responder answers whatever nginx takes for one.
    *map(method, ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "PURGE", "POSTS", "POS", "PO-ST", "P_OST", "X" * 500)),
    method("TRACE", "nginx 405"), method("CONNECT", "nginx 400|405"), method("post", "nginx 400"), method("Post", "nginx 400"),
    method("P0ST", "nginx 400"), method("PO\x01ST", "nginx 400"), method("P\u00d6ST", "nginx 400"),
    method("P" * 9000, "nginx 414"),
    method("\0POST", "nginx 400"), method("", "nginx 400"),
    row("method overridden to POST", "405", "X-HTTP-Method-Override: POST\r\n", line=f"GET {PATH} HTTP/1.1"),
    row("method overridden to GET", "200", "X-HTTP-Method-Override: GET\r\n"),
    row("header Request-Method", "200", "Request-Method: GET\r\n"),
    # Paths: nginx's exact locations decide, on what is left of a path when it is decoded and normalised.
    *(path(text, "200") for text in (
        f"{PATH}?", f"{PATH}?a=b&a=c", f"{PATH}?<script>", f"{PATH}?%00%0d%0aStatus:%20500", f"{PATH}?" + "q" * 7000,
        f"{PATH}?../../etc", f"{PATH}/", f"{PATH}/?a=b", f"{PATH}%2f",
        f"{PATH}?REQUEST_METHOD=GET&CONTENT_LENGTH=0", "/webhooks/b%61gelpay", "/webhooks/./bagelpay", "/a/../webhooks/bagelpay",
        "//webhooks///bagelpay", "/a/%2e%2e/webhooks/bagelpay", "http://other.example/webhooks/bagelpay")),
    *(path(text, "nginx 404") for text in (
        "/", f"{PATH}/x", f"{PATH}s", f"{PATH}%20", f"{PATH};a=b", f"{PATH}%3f",
        f"{PATH}%0d%0aX-Injected:%201", PATH.upper(),
        f"{PATH}%252f", "/webhooks/..%2fwebhooks", "/webhooks\\bagelpay", "/metrics", "/healthz", "/readyz",
        "/webhooks/b\u00e4gelpay", f"{PATH}\\")),
    *(path(text, "nginx 400") for text in (
        f"{PATH}%00", "/../webhooks/bagelpay", "/%2e%2e/%2e%2e/etc/passwd", f"{PATH}%zz", f"{PATH}%", "webhooks/bagelpay", "*",
        f"{PATH} x",
        f"{PATH}\0", "http://", "\\webhooks\\bagelpay")),
    path(PATH + "?" + "q" * 9000, "nginx 414"),
    # Versions and hosts.
    row("HTTP/1.0", "200", line=f"POST {PATH} HTTP/1.0"), row("HTTP/1.0 without host", "200", line=f"POST {PATH} HTTP/1.0",
                                                              host=""),
    row("HTTP/2.0", "nginx 505", line=f"POST {PATH} HTTP/2.0"), row("HTTP/9.9", "nginx 505", line=f"POST {PATH} HTTP/9.9"),
    row("HTTP/0.9", "nginx 400", line=f"POST {PATH}"), row("http/1.1", "nginx 400", line=f"POST {PATH} http/1.1"),
    row("HTTP/1.1x", "nginx 400", line=f"POST {PATH} HTTP/1.1x"), row("HTTP/-1.1", "nginx 400", line=f"POST {PATH} HTTP/-1.1"),
    row("HTTP/99999999999.1", "nginx 400|505", line=f"POST {PATH} HTTP/99999999999.1"),
    row("FTP/1.1", "nginx 400", line=f"POST {PATH} FTP/1.1"),
    row("no host", "nginx 400", host=""), row("two hosts", "nginx 400", host="Host: a\r\nHost: b\r\n"),
    row("empty host", "nginx 400", host="Host:\r\n"),
    row("host with a slash", "nginx 400", host="Host: a/b\r\n"), row("host with a NUL", "nginx 400", host="Host: a\0b\r\n"),
    row("another host", "200", host="Host: other.example\r\n"),
    row("host of 5000 letters", "200", host=f"Host: {'a' * 5000}\r\n"),
    # Lengths.
    length("00@LENGTH@", "200"), length("0", "401"), length("1", "401"), row("no length", "411", length=""),
    *map(length, ("", "-1", "-0", "+@LENGTH@", "0x10", "1e3", "1.0", "ten", "@LENGTH@ @LENGTH@", "@LENGTH@,@LENGTH@",
                  "@LENGTH@, 5", "\uff11", "1\0",
                  "@LENGTH@;", "NaN", '"@LENGTH@"')),
    length("1048577", "nginx 413"), length(str(2 ** 31), "nginx 413"), length(str(2 ** 32), "nginx 413"),
    length(str(2 ** 63 - 1), "nginx 413"),
    length(str(2 ** 63), "nginx 400|413"), length(str(2 ** 64), "nginx 400|413"), length("9" * 1000, "nginx 400|413"),
    row("two lengths", "nginx 400", length=LENGTH + LENGTH),
    row("two different lengths", "nginx 400", length=LENGTH + "Content-Length: 5\r\n"),
    row("space before the colon", "nginx 400", length="Content-Length : @LENGTH@\r\n"),
    row("length with underscore", "411", length="Content_Length: @LENGTH@\r\n"),
    row("a length with underscore besides", "200", length=LENGTH + "Content_Length: 5\r\n"),
    row("body too short", "", length="Content-Length: 999999\r\n", ends=True),
    row("no body", "", body="", ends=True), row("half a head", "", length="Content-Le", body="", ends=True),
    row("signature cut off", "401", body="{}", length="Content-Length: 2\r\n"),
    # Chunks, which nginx gives their length, and both together, by which requests are smuggled.
    chunked("one", "200", "@SIZE@\r\n@BODY@\r\n0\r\n\r\n"), chunked("leading zeros", "200",
                                                                    "00000@SIZE@\r\n@BODY@\r\n00\r\n\r\n"),
    chunked("extension", "200", '@SIZE@;a="b;c"\r\n@BODY@\r\n0;d\r\n\r\n'),
    chunked("trailer", "200", "@SIZE@\r\n@BODY@\r\n0\r\nX-Late: 1\r\n\r\n"),
    chunked("byte by byte", "200", "@CHUNKS@0\r\n\r\n"), chunked("none", "401", "0\r\n\r\n"),
    chunked("one missing", "", "@SIZE@\r\n@BODY@\r\n", ends=True),
    chunked("signature in the trailer", "401", "2\r\n{}\r\n0\r\nBagelpay-Signature: @SIGNATURE@\r\n\r\n"),
    chunked("beyond the limit", "nginx 413", "100001\r\n" + " " * 0x100001 + "\r\n0\r\n\r\n"),
    *(chunked(f"size {shown(size)}", "nginx 400", f"{size}\r\n@BODY@\r\n0\r\n\r\n")
      for size in ("", "-1", "+@SIZE@", "0x@SIZE@", "g", "FFFFFFFFFFFFFFFFF", "1" * 100, "@SIZE@\0", ";")),
    chunked("size 7fffffffffffffff", "nginx 400|413", "7fffffffffffffff\r\n@BODY@\r\n0\r\n\r\n"),
    chunked("no line end behind", "nginx 400", "@SIZE@\r\n@BODY@0\r\n\r\n"),
    *map(coding, ("identity", "gzip", "gzip, chunked", "chunked, chunked", "chunked, identity", "xchunked", "chunke",
                  "chunked;q=1", "\x0bchunked", "'chunked'")),
    row("coding and space before the colon", "nginx 400", length="Transfer-Encoding : chunked\r\n"),
    row("coding folded", "nginx 400", length="Transfer-Encoding:\r\n chunked\r\n"),
    row("coding twice", "nginx 400|501", length=CHUNKED + CHUNKED),
    row("coding and another", "nginx 400|501", length=CHUNKED + "Transfer-Encoding: identity\r\n"),
    row("coding with underscore", "411", length="Transfer_Encoding: chunked\r\n"),
    row("chunks in HTTP/1.0", "nginx 400", length=CHUNKED, line=f"POST {PATH} HTTP/1.0"),
    row("length and coding", "nginx 400", length=LENGTH + CHUNKED),
    row("coding and length", "nginx 400", length=CHUNKED + LENGTH),
    row("smuggled behind chunks", "nginx 400", length=CHUNKED + "Content-Length: 5\r\n", body="0\r\n\r\n" + SMUGGLED),
    row("smuggled behind a length", "nginx 400", length="Content-Length: 4\r\n" + CHUNKED, body="5c\r\n" + SMUGGLED),
    row("smuggled behind no length", "411", length="", body=SMUGGLED),
    row("smuggled behind a length of 0", "401", length="Content-Length: 0\r\n", body=SMUGGLED),
    row("smuggled in the body", "200", body="@BODY@" + SMUGGLED),
    row("smuggled in a header", "200", f"X: {SMUGGLED.split(chr(13))[0]}\r\n"),
    chunked("smuggled behind the last", "200", "@SIZE@\r\n@BODY@\r\n0\r\n\r\n" + SMUGGLED),
    # Headers. The content type is not looked at.
    *map(header, ("Content-Type:", "Content-Type: text/html", "Content-Type: application/json; charset=utf-16",
                  "Content-Type: multipart/form-data",
                  "Content-Type: application/x-www-form-urlencoded", "Content-Type: " + "x" * 5000, "Content-Type: ../../x",
                  "Content-Type: a/b\r\nContent-Type: c/d",
                  "Content-Encoding: gzip", "Content-Encoding: br, deflate", "Content-MD5: x", "Content-Range: bytes 0-0/1",
                  "Range: bytes=0-0", "If-None-Match: *",
                  "If-Match: x", "Proxy: http://other.example", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1",
                  "X-Original-URL: /metrics",
                  "X-Accel-Redirect: /etc/passwd", "Status: 500", "Script-Name: /x", "Authorization: Basic Og==",
                  "Cookie: " + "a=b; " * 500, "Upgrade: h2c",
                  "Upgrade: websocket", "TE: trailers", "Expect: nothing", "User-Agent: () { :; }; /bin/id",
                  "User-Agent: ${jndi:ldap://127.0.0.1/x}",
                  "Referer: <script>", "Bagelpay_Signature: 0", "time_stamp: 0", "Bad(Name: x", "X: \u202e\u00e9", "X:",
                  "X: " + "x" * 7000, "X-A: b\r\n" * 300 + "X-B: c",
                  "Remote-User: root", "Http-Timestamp: 0", "Env: LD_PRELOAD=/x")),
    *(header(text, "nginx 400") for text in ("X: \0", "X\0: a", "Bad Name: a", " X: a", "\tX: a", "X: a\r\n b",
                                             "X: " + "x" * 9000, ("X: " + "x" * 4000 + "\r\n") * 10 + "X: y")),
    row("expects to be asked", "nginx 100 200", "Expect: 100-continue\r\n"),
    # What is not HTTP at all.
    *(Wire(name, text, ("nginx=400",), 0) for name, text in {
        "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "a FastCGI record": "\1\1\0\1\0\x08\0\0\0\1\0\0\0\0\0\0",
        "JSON": "{}\r\n\r\n", "NULs": "\0" * 100,
        "SSH": "SSH-2.0-x\r\n", "PROXY protocol": "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n" + post(),
        "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "letters": "a" * 100 + "\r\n\r\n"}.items()),
]
