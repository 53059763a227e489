"""Each status of the webhook with its exact body and headers, and what is kept, or not, along with it."""

import contextlib
import http.client
import json
import time

import pytest

import bodies
import fastcgi
import harness
import waiting

INVALID = "Invalid request body"


def post_head(stack, **headers):
    """Sends the head of a POST to nginx, with these headers only and no body; returns the Answer."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.nginx.port, timeout=harness.PATIENCE_S)
    with contextlib.closing(connection):
        connection.putrequest("POST", harness.PATH)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        return harness.Answer(response.status, response.headers, response.read())


def signed(stack, body, length=None, **more):
    """The parameters of a correctly signed POST of a body, with a CONTENT_LENGTH that may be another one."""
    now = int(time.time())
    length = len(body) if length is None else length
    return fastcgi.post_params(length, harness.sign(stack.secret, body, now), now, **more)


def counts(stack):
    """How many events and dead letters there are."""
    return stack.query("SELECT (SELECT count(*) FROM bagelpay.events), (SELECT count(*) FROM bagelpay.dead_letters)")[0]


def dead_letter(stack, body):
    """Reason, detail, deliveries of a body's dead letter; None without one."""
    found = stack.query("SELECT reason, detail, deliveries FROM bagelpay.dead_letters WHERE body = %s"
                        " AND sha256 = sha256(body) AND resolved_at IS NULL", body)
    return found[0] if found else None


def assert_unavailable(answer, error=None):
    """A 503: come again in a minute, nothing was kept."""
    assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
    assert answer.headers["Content-Type"] == "application/json"
    assert list(answer.json) == ["error", "spooled"] and answer.json["spooled"] is False
    assert error is None or answer.json["error"] == error


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "post", "HEAD"])
def test_method_not_allowed(shared, method):
    """405 with Allow for anything but POST, whatever else the request is like."""
    body = bodies.payment()
    # nginx itself answers methods in lower case.
    if method == "post":
        answer = fastcgi.request(shared.responder.address, signed(shared, body, REQUEST_METHOD=method), body)
    else:
        answer = harness.post(shared.url, body, method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body == (b"" if method == "HEAD" else b'{"error":"Method not allowed"}\n')


def test_length_required(shared):
    """411 without a length: through nginx, and straight with the parameter empty or absent."""
    for answer in (post_head(shared),
                   fastcgi.request(shared.responder.address, fastcgi.post_params(None), b"{}"),
                   fastcgi.request(shared.responder.address, fastcgi.post_params(""), b"{}")):
        assert (answer.status, answer.body) == (411, b'{"error":"Length required"}\n')
        assert answer.headers["Content-Type"] == "application/json"


def test_too_large_for_nginx(shared):
    """413 of nginx's for what exceeds its limit, before any of it was read."""
    assert post_head(shared, Content_Length="1048577").status == 413


def test_too_large_for_responder(make_stack):
    """413 of the responder's own for what exceeds --max-body: by the announced length alone, and without a cut."""
    stack = make_stack("--max-body", 2000)
    limit = bodies.payment().ljust(2000)
    assert stack.deliver(limit).status == 200
    answer = stack.deliver(bodies.payment().ljust(2001))
    assert (answer.status, answer.body) == (413, b'{"error":"Request body too large"}\n')
    assert answer.headers["Content-Type"] == "application/json"
    # A peer that goes on sending still gets its answer.
    assert stack.deliver(b" " * 1048576).status == 413
    for length in (2001, 2 ** 31, 2 ** 63, 2 ** 64, 10 ** 40):
        assert fastcgi.request(stack.responder.address, fastcgi.post_params(length)).status == 413
    assert counts(stack) == (1, 0)


def test_largest_body(shared):
    """A body of exactly 1 MiB passes nginx and responder."""
    body = bodies.payment().ljust(1048576)
    assert shared.deliver(body).status == 200
    stored = shared.query("SELECT length(body) FROM bagelpay.event_bodies WHERE event_id = %s", bodies.event_id(body))
    assert stored == [(1048576,)]


@pytest.mark.parametrize("difference, detail", [(1, "body: shorter than CONTENT_LENGTH"),
                                                (1000, "body: shorter than CONTENT_LENGTH"),
                                                (-1, "body: longer than CONTENT_LENGTH")])
def test_body_of_another_length(shared, difference, detail):
    """400 for a body that is not as long as announced; nothing of it is kept, though it is signed."""
    body, before = bodies.payment(), counts(shared)
    announced = len(body) + difference
    answer = fastcgi.request(shared.responder.address, signed(shared, body[:announced], announced), body)
    assert (answer.status, answer.json) == (400, {"error": INVALID, "detail": detail})
    assert counts(shared) == before


@pytest.mark.parametrize("length", ["-1", "1.0", "0x10", " 2", "2 ", "two"])
def test_length_that_is_no_number(shared, length):
    """411 for a length that is not digits, such as the -1 that Caddy sends for a body in chunks."""
    answer = fastcgi.request(shared.responder.address, fastcgi.post_params(length), b"{}")
    assert (answer.status, answer.json) == (411, {"error": "Length required"})


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(("params", "status"), [
    ({"REQUEST_METHOD": "PUT", "CONTENT_LENGTH": 10}, 405), (fastcgi.post_params(), 411), (fastcgi.post_params(-1), 411),
    (fastcgi.post_params(1048577), 413)])
def test_refused_without_the_body(shared, params, status, keep):
    """What method and length decide is answered before the body comes; and a kept connection serves the next request."""
    with fastcgi.Peer(shared.responder.address, timeout=5) as peer:
        peer.begin(params, keep)
        peer.send(fastcgi.record(fastcgi.STDIN, b"some"))
        assert peer.answer().status == status
        if keep:
            peer.body(b" of the rest")
            body = bodies.payment()
            peer.begin(signed(shared, body), keep=True)
            peer.body(body)
            assert peer.answer().status == 200


def test_empty_body(shared):
    """A length of 0 is a length: the signature decides, and then the body is no event."""
    assert fastcgi.request(shared.responder.address, fastcgi.post_params(0)).status == 401
    assert fastcgi.request(shared.responder.address, signed(shared, b"")).status == 400
    assert dead_letter(shared, b"")[0] == "invalid"


EVENT = {"event_id": "evt_invalid", "event_type": "checkout.completed", "created_at": 1757666462,
         "object": {"mode": "test", "metadata": {"order_id": "never"}}}


@pytest.mark.parametrize("content, detail", [
    ({**EVENT, "object": {}}, "object.mode: missing"),
    ({**EVENT, "object": {"mode": "Test"}}, 'object.mode: must be "test" or "live"'),
    ({**EVENT, "mode": 1}, 'mode: must be "test" or "live"'),
    ({**EVENT, "object": {"mode": "live", "product": {"mode": "prod"}}},
     'object.product.mode: must be "test" or "live"'),
    ({**EVENT, "object": None}, "object: missing"),
    ({**EVENT, "object": []}, "object: must be a JSON object"),
    ({**EVENT, "event_type": None}, "event_type: missing"),
    ({**EVENT, "event_type": ""}, "event_type: empty"),
    ({**EVENT, "event_type": "x" * 65}, "event_type: longer than 64 bytes"),
    ({**EVENT, "event_type": 1}, "event_type: must be a string"),
    ({**EVENT, "created_at": None}, "created_at: missing"),
    ({**EVENT, "created_at": "yesterday"}, "created_at: not a time"),
    ({**EVENT, "created_at": "1999-12-31T23:59:59Z"}, "created_at: not a time"),
    ({**EVENT, "event_type": "unheard.of", "object": {}}, "object.mode: missing"),
])
def test_invalid_event(shared, content, detail):
    """400 for a correctly signed body that is no event: the path and what is wrong; its dead letter is there at once."""
    body = json.dumps(content).encode()
    with shared.connect() as observer:
        for deliveries in (1, 2):
            answer = shared.deliver(body)
            seen = observer.execute("SELECT body, reason, detail, deliveries, signed_timestamp IS NOT NULL"
                                    " FROM bagelpay.dead_letters WHERE sha256 = sha256(%s)", (body,)).fetchall()
            assert (answer.status, answer.json) == (400, {"error": INVALID, "detail": detail})
            assert seen == [(body, "invalid", detail, deliveries, True)]
        assert answer.headers["Content-Type"] == "application/json"
    assert shared.query("SELECT 1 FROM bagelpay.events WHERE event_id = 'evt_invalid'") == []


def test_invalid_event_exact_bytes(shared):
    answer = shared.deliver({**EVENT, "object": {}})
    assert answer.body == b'{"error":"Invalid request body","detail":"object.mode: missing"}\n'


VALID = json.dumps(EVENT)


@pytest.mark.parametrize("body", [
    b"{", b"[]", b"null", b'"text"', b"{} {}", VALID.encode()[:-1], VALID.encode() + b"}",
    b"\xef\xbb\xbf" + VALID.encode(),
    VALID.replace('"mode"', '"mode": "live", "mode"').encode(), VALID.encode().replace(b"never", b"\xc3\x28"),
    VALID.encode().replace(b"never", b"\xed\xa0\x80"), VALID.replace('"never"', "1e400").encode(),
    VALID.replace('"never"', "1e-400").encode(), VALID.replace('"never"', "1" * 1001).encode(),
    VALID.replace('"never"', "[" * 62 + "]" * 62).encode(), VALID.replace('"never"', "NaN").encode(),
    VALID.replace('"never"', "01").encode(), VALID.replace("never", "a\nb").encode(),
], ids=["open", "array", "null", "string", "two", "cut", "more", "byte order mark", "duplicate key",
        "UTF-8", "UTF-8 surrogate", "large number", "small number", "long number", "deep", "NaN",
        "leading zero", "control character"])
def test_invalid_json(shared, body):
    """400 for a correctly signed body that is not JSON as the provider's has to be; the dead letter has its bytes."""
    answer = shared.deliver(body)
    assert (answer.status, answer.json["error"]) == (400, INVALID)
    reason, detail, deliveries = dead_letter(shared, body)
    assert (reason, detail, deliveries) == ("invalid", answer.json["detail"], 1)
    assert detail.startswith("body: ")


@pytest.mark.parametrize("value", [
    "9" * 300, "0." + "1" * 999, "[" * 61 + "]" * 61, '"\\ud83d\\ude00"', '"\\ud800"', '"\\u0000"', "1e308", "-0",
], ids=["integer beyond 64 bits", "1000 digits", "64 levels", "pair of surrogates", "lone surrogate", "NUL", "1e308", "-0"])
def test_unusual_json(shared, value):
    """What is merely unusual does not cost the event."""
    body = json.dumps({**EVENT, "event_id": bodies.unique()}).replace('"never"', value).encode()
    assert shared.deliver(body).status == 200


def test_database_away_and_back(mortal, make_stack):
    """503 while the database is stopped, and 200 again by itself, from the same process, once it is back."""
    stack = make_stack(cluster=mortal)
    pid, body = stack.responder.pid, bodies.payment()
    assert stack.deliver(bodies.payment()).status == 200
    for stop in (mortal.stop, mortal.kill):
        stop()
        for content in (body, b"{}"):
            for _ in range(3):
                assert_unavailable(stack.deliver(content))
        mortal.start()
        answer = harness.wait_until(lambda: _unless_503(stack.deliver(bodies.payment())), "recovery")
        assert answer.status == 200
    assert stack.deliver(body).json["outcome"] == "applied"
    assert stack.deliver(b"{}").status == 400
    assert counts(stack) == (4, 1)
    assert stack.responder.running and stack.responder.pid == pid


def _unless_503(answer):
    return answer if answer.status != 503 else None


def test_database_away_answer(mortal, make_stack):
    """The exact bytes of the 503 of a responder that knows its database is away."""
    stack = make_stack(cluster=mortal)
    mortal.stop()
    stack.deliver(bodies.payment())
    answer = stack.deliver(bodies.payment())
    assert answer.body == b'{"error":"Database unavailable","spooled":false}\n'


def test_queue_full(make_stack, background):
    """One more than the queue holds is refused at once, and keeps nothing; the others are answered in the end."""
    stack = make_stack("--queue", 1, "--threads", 8)
    assert stack.deliver(bodies.payment()).status == 200
    sent = [bodies.payment() for _ in range(8)]
    with waiting.frozen_backend(stack):
        futures = [background(stack.deliver, body) for body in sent]
        # One may be in the hands of the database and one in the queue, not more.
        harness.wait_until(lambda: sum(future.done() for future in futures) >= 6, "the refusals")
    answers = {bodies.event_id(body): future.result().status for body, future in zip(sent, futures)}
    # Seven where none was taken from the queue before the last one came.
    refused = [future.result() for future in futures if future.result().status != 200]
    assert len(refused) in (6, 7)
    for answer in refused:
        assert_unavailable(answer, "Too many requests at once")
    stored = {event_id for event_id, in stack.query("SELECT event_id FROM bagelpay.events")}
    assert {event_id for event_id, status in answers.items() if status == 200} == stored & set(answers)
    assert len(stored) == 1 + 8 - len(refused)


def test_queue_full_behind_locks(make_stack, background):
    """With orders locked and a queue of one, a flood is refused, never acknowledged; afterwards it is taken."""
    stack = make_stack("--queue", 1, "--threads", 16, "--commit-timeout", 2)
    with waiting.holding(stack, "LOCK TABLE bagelpay.orders"):
        answers = [future.result() for future in [background(stack.deliver, bodies.payment()) for _ in range(16)]]
        for answer in answers:
            assert_unavailable(answer)
        waiting.wait_given_up(stack)
    assert "Too many requests at once" in {answer.json["error"] for answer in answers}
    assert counts(stack) == (0, 0)
    assert stack.deliver(bodies.payment()).status == 200
