"""Log records: logfmt or JSON, one line each, with what leads from a line of nginx's log to those of the responder."""

import json
import re
import shlex
import time

import pytest

import bodies
import fastcgi
import harness

ENTRIES = {"logfmt": lambda line: dict(word.split("=", 1) for word in shlex.split(line)), "json": json.loads}


def records(responder, form):
    """All records, as dictionaries; the last ones are there when it has ended."""
    if responder.running:
        assert responder.stop() == 0
    return [ENTRIES[form](line) for line in responder.log.splitlines()]


def request(responder, body, **more):
    """A correctly signed request past nginx, with more parameters; returns the Answer."""
    now = int(time.time())
    params = fastcgi.post_params(len(body), harness.sign(responder.secret, body, now), now, **more)
    return fastcgi.request(responder.address, params, body)


@pytest.mark.parametrize("form", ENTRIES)
def test_request_id(make_stack, form):
    """Each delivery has a record, which names the event, and the request as nginx's own log does."""
    stack = make_stack("--log-format", form)
    good, broken = bodies.payment(), b"{}"
    assert stack.deliver(good).status == stack.deliver(good).status == 200
    assert stack.deliver(broken).status == 400
    assert harness.post(stack.url, good).status == 401
    path = stack.nginx.directory / "access.log"
    # It writes a line when it is done with a request, which may be after the answer, and after the next request's line.
    harness.wait_until(lambda: path.read_text().count("\n") == 4, "nginx's log")
    logged = path.read_text().splitlines()
    ids = [re.search(r'" (\d+) .* request_id=([0-9a-f]{32})$', line).groups() for line in logged]
    assert len(set(ids)) == 4
    found = [record for record in records(stack.responder, form) if "request_id" in record]
    assert sorted((record["status"], record["request_id"]) for record in found) == sorted(ids)
    # The answer comes before its record, so that two requests' records may change places.
    found.sort(key=lambda record: ["200", "400", "401"].index(record["status"]))
    event = {"event_id": bodies.event_id(good), "event_type": "checkout.completed", "mode": "test"}
    assert [record["msg"] for record in found] == ["accepted", "accepted", "not accepted", "rejected: invalid signature"]
    assert [record.get("outcome") for record in found] == ["applied", "duplicate", "dead_letter", None]
    assert all(record.items() >= event.items() for record in found[:2]) and not event.keys() & found[2].keys()
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["time"]) for record in found)


@pytest.mark.parametrize("form", ENTRIES)
def test_hostile_values(make_responder, form):
    """What comes from outside is logged only where it looks like an id; each line stays one record."""
    responder = make_responder("--log-format", form)
    hostile = ['canary"}\n{"level":"error', "canary level=error", "canary@example.com", "canary\u0007\u001b[2J", "canary\u00e9\u2028",
               "\\canary", "canary" * 40, " canary", "<canary>"]
    for text in hostile:
        body = bodies.changed(bodies.payment(event_id=text), event_type=text[:60])
        assert request(responder, body, REQUEST_ID=text).status == 200
        broken = bodies.changed(body, created_at=text)
        broken = bodies.changed(broken, object={**json.loads(broken)["object"], "mode": text})
        assert request(responder, broken, REQUEST_ID=text).status == 400
    assert request(responder, bodies.payment(event_id="evt_1"), REQUEST_ID="A-b_c.1:2").status == 200
    assert request(responder, bodies.payment(event_id="evt_2"), UNIQUE_ID="Xyz-1", HTTP_REQUEST_ID="canary").status == 200
    assert request(responder, bodies.payment(event_id="evt_3"), REQUEST_ID="a" * 65).status == 200
    assert request(responder, bodies.payment(event_id="evt_4"), REQUEST_ID="").status == 200
    found = [record for record in records(responder, form) if record["msg"] in ("accepted", "not accepted")]
    # The one of allowed characters is an id like another, and so long that only the event's may be.
    assert responder.log.replace("canary" * 40, "").count("canary") == 0
    assert len(found) == 2 * len(hostile) + 4
    assert all(record["event_type"] == "other" for record in found[:-4] if record["status"] == "200")
    assert [(record["event_id"], record.get("request_id")) for record in found[-4:]] == [
        ("evt_1", "A-b_c.1:2"), ("evt_2", "Xyz-1"), ("evt_3", None), ("evt_4", None)]


def test_digest_as_id(make_responder):
    """An event without an id of its own is named as it is in the database."""
    responder = make_responder()
    assert request(responder, bodies.changed(bodies.payment(), event_id=None)).status == 200
    found, = [record for record in records(responder, "logfmt") if record["msg"] == "accepted"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", found["event_id"])


def test_id_of_what_is_not_committed(make_responder):
    """A 503, too, names its event."""
    with harness.Responder("host=/nonexistent") as responder:
        body = bodies.payment()
        assert request(responder, body, REQUEST_ID="r1").status == 503
        record, = [record for record in records(responder, "logfmt") if record["msg"] == "not accepted"]
        assert (record["event_id"], record["request_id"]) == (bodies.event_id(body), "r1")


def test_level(make_responder):
    """What is accepted need not be logged."""
    responder = make_responder("--log-level", "warn", environment={"BAGELHOOK_LOG_FORMAT": "json"})
    assert request(responder, bodies.payment()).status == 200
    assert request(responder, b"{}").status == 400
    assert [record["msg"] for record in records(responder, "json")] == ["not accepted"]


@pytest.mark.parametrize("arguments, text", [
    (["--log-format", "xml"], '--log-format: must be one of logfmt|json, not "xml"'),
    (["--log-format", "logfmt|json"], '--log-format: must be one of logfmt|json, not "logfmt|json"'),
    (["--log-level", ""], '--log-level: must be one of error|warn|info, not ""')])
def test_usage(arguments, text):
    with harness.Responder("host=/nonexistent", *arguments, wait=False) as responder:
        assert responder.wait() == 2 and responder.log == f"bagelhook: {text}\n"
