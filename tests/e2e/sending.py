"""Running bagelhook-send, against our own responder or a server that says what a test wants."""

import contextlib
import http.server
import itertools
import re
import subprocess
import threading
import time

import harness


def send(*arguments, secret=None, stdin=b"", **environment):
    """Runs bagelhook-send; secret is the path of a secret file.

    Returns exit status, lines, and lines of complaint: what standard error has before the summary."""
    status, lines, errors = run(*arguments, secret=secret, stdin=stdin, **environment)
    summary = [number for number, line in enumerate(errors) if re.match(r"\d+ of \d+ deliveries in ", line)]
    return status, lines, errors[:summary[0]] if summary else errors


def run(*arguments, secret=None, stdin=b"", **environment):
    """As send(), but with all lines of standard error."""
    options = [] if secret is None else ["--secret-file", secret]
    done = subprocess.run([str(word) for word in (harness.BUILD / "bagelhook-send", *options, *arguments)],
                          input=stdin, capture_output=True, check=False, timeout=harness.PATIENCE_S,
                          env=harness.clean_environment(**environment))
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode().splitlines()


@contextlib.contextmanager
def web_server(answer, status=200, first=(), seen=None, port=0, slow=()):
    """A web server that answers the first requests with the statuses in first, and all others alike; yields its URL.

    It takes the seconds in slow to answer the first requests. Bodies, with the time when each came, are appended to seen."""
    statuses = itertools.chain(first, itertools.repeat(status))
    delays = itertools.chain(slow, itertools.repeat(0))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if seen is not None:
                seen.append((time.monotonic(), body))
            time.sleep(next(delays))
            self.send_response(next(statuses))
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
