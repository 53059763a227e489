"""A FastCGI peer that speaks raw records, to say to the responder what no web server would."""

import os
import socket
import struct

from harness import PATIENCE_S, Answer

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = 1, 2, 3, 4, 5, 6, 7


class Cut(Exception):
    """The responder closed the connection without an answer."""


def record(kind, content=b"", request_id=1):
    """One record, of at most 65535 bytes of content."""
    return struct.pack("!BBHHBx", 1, kind, request_id, len(content), 0) + content


def stream(kind, content):
    """A stream's content as records, without the empty one that ends it."""
    return b"".join(record(kind, content[at:at + 0xffff]) for at in range(0, len(content), 0xffff))


def _length(value):
    return struct.pack("!B", len(value)) if len(value) < 128 else struct.pack("!I", len(value) | 1 << 31)


def encode(params):
    """Name-value pairs as the content of a PARAMS stream."""
    pairs = [(name.encode(), str(value).encode()) for name, value in params.items()]
    return b"".join(_length(name) + _length(value) + name + value for name, value in pairs)


def post_params(length=None, signature=None, timestamp=None, **more):
    """The parameters of a POST as nginx would pass them; what is None is left out."""
    params = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": length, "HTTP_BAGELPAY_SIGNATURE": signature,
              "HTTP_TIMESTAMP": timestamp, **more}
    return {name: value for name, value in params.items() if value is not None}


class Peer:
    """One connection to a responder at a path (Unix socket) or (host, port)."""

    def __init__(self, address, timeout=PATIENCE_S):
        unix = isinstance(address, (str, os.PathLike))
        family = socket.AF_UNIX if unix else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(os.fspath(address) if unix else address)
        except BaseException:
            self.socket.close()
            raise

    def send(self, *records):
        self.socket.sendall(b"".join(records))

    def begin(self, params, keep=False):
        """Begins a request as a responder's: role 1, the connection to be kept or not."""
        self.send(record(BEGIN_REQUEST, struct.pack("!HB5x", 1, keep)), stream(PARAMS, encode(params)), record(PARAMS))

    def body(self, content, end=True):
        self.send(stream(STDIN, content), record(STDIN) if end else b"")

    def answer(self):
        """Waits for the whole answer; Cut where the connection ends without one."""
        output, ended = b"", False
        try:
            while not ended:
                _, kind, _, length, padding = struct.unpack("!BBHHBx", self.receive(8))
                content = self.receive(length + padding)[:length]
                output += content if kind == STDOUT else b""
                ended = kind == END_REQUEST
        except (EOFError, ConnectionError):
            raise Cut(f"after {output!r}") from None
        head, _, body = output.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        return Answer(int(headers.get("Status", "200").split()[0]), headers, body)

    def receive(self, count):
        """Waits for so many bytes."""
        received = b""
        while len(received) < count:
            more = self.socket.recv(count - len(received))
            if not more:
                raise EOFError
            received += more
        return received

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def request(address, params, body=b""):
    """One request from begin to answer."""
    with Peer(address) as peer:
        peer.begin(params)
        peer.body(body)
        return peer.answer()
