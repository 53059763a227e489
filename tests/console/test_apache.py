"""The console behind Apache, with the configuration that users get."""

import os

import pytest

import bodies
import harness


@pytest.fixture(scope="module")
def apache(stand):
    # Apache's user has to reach it, as the unit's socket lets it.
    stand.console.directory.chmod(0o755)
    if os.geteuid() == 0:
        harness.ConsoleApache.own(stand.console.socket_path)
    with harness.ConsoleApache(stand.console.socket_path) as running:
        yield running


@pytest.mark.parametrize("path", ["/", "/script.js", "/api/overview", "/api/search?q=x", "/server-status", "/nix"])
def test_nothing_without_a_password(apache, path):
    assert apache.get(path, user=None).status == 401
    assert apache.get(path, password="wrong").status == 401


def test_not_on_another_host(apache):
    for path in ("/api/overview", "/script.js"):
        assert harness.post(f"http://127.0.0.1:{apache.port}{path}", b"", method="GET").status in (403, 404)


def test_same_as_behind_nginx(stand, apache):
    """The page, what is asked with parameters, and errors, with all that the console says to the browser."""
    body = bodies.payment("order & apache", event_id="evt_apache")
    assert stand.deliver(body).status == 200
    for path, parameters in (("/", {}), ("/style.css", {}), ("/api/order", {"mode": "test", "order": "order & apache"}),
                             ("/api/delivery", {"event": "evt_apache"}), ("/api/delivery", {"event": "nix"}),
                             ("/api/deliveries", {"warned": "perhaps"})):
        here, there = apache.get(path, **parameters), stand.get(path, **parameters)
        assert here.status == there.status
        if here.status != 200 or path not in ("/api/order", "/api/delivery"):
            assert here.body == there.body
        for name in ("Content-Type", "Content-Security-Policy", "Cache-Control", "Referrer-Policy"):
            assert here.headers[name] == there.headers[name] != ""
    answer = apache.get("/api/overview", method="POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert apache.get("/api/overview", method="HEAD").status == 200


def test_searches_are_not_logged(apache):
    """The main server's log has what the main server was asked, and nothing of the console."""
    assert apache.get("/api/search", q="ann@example.com").status == 200
    harness.post(f"http://127.0.0.1:{apache.port}/asked-of-the-main-server", b"", method="GET")
    harness.wait_until(lambda: "asked-of-the-main-server" in apache.access_log, "the log")
    for log in (apache.access_log, apache.log):
        assert "example.com" not in log
