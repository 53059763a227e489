"""docs/adopting.md: its nginx sends copies to bagelhook, its list is adopted, and its comparison finds what differs."""

import re
import subprocess
import textwrap

import pytest

import bodies
import harness
from sending import web_server

PAGE = (harness.SOURCE / "docs" / "adopting.md").read_text()


class Mirroring(harness.Nginx):
    """nginx with the page's location in front of an old handler."""

    def __init__(self, socket_path, handler):
        self.handler = handler
        super().__init__(socket_path)

    def _configure(self):
        super()._configure()
        location = re.search(r"```nginx\n(.*?)```", PAGE, re.DOTALL)[1]
        assert "http://127.0.0.1:8000;" in location
        path = self.directory / "nginx.conf"
        path.write_text(path.read_text().replace("location / {", location.replace(
            "http://127.0.0.1:8000;", f"{self.handler};") + "location / {", 1))


def test_both_handlers(stack):
    """Each delivery reaches both; the old handler's answer is the one that counts."""
    seen = []
    with web_server(b"old", seen=seen) as url, Mirroring(stack.responder.socket_path, url) as nginx:
        sent = [bodies.payment() for _ in range(5)]
        for body in sent:
            answer = harness.deliver(nginx.url.replace("/webhooks/bagelpay", "/api/webhooks"), stack.secret, body)
            assert (answer.status, answer.body) == (200, b"old")
        harness.wait_until(lambda: stack.query("SELECT count(*) FROM bagelpay.payments") == [(5,)], "the copies")
    assert [body for _, body in seen] == sent
    assert {body for body, in stack.query("SELECT body FROM bagelpay.event_bodies")} == set(sent)


@pytest.fixture
def page_csv(tmp_path):
    path = tmp_path / "customers.csv"
    path.write_text(textwrap.dedent(re.search(r"^( {4}user_id,email.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)[1]))
    return path


def test_adopt_and_compare(stack, page_csv):
    """The page's list is adopted as it is; the page's comparison tells who has not what the list says."""
    comparison = re.search(r"^ {4}(SELECT c\.email.*?;)$", PAGE, re.MULTILINE | re.DOTALL)[1]
    stack.query("CREATE TABLE customers (user_id text, email text, product_id text, paid_until timestamptz, note text)")
    with stack.connect() as connection, connection.cursor().copy("COPY customers FROM STDIN (FORMAT csv, HEADER)") as copy:
        copy.write(page_csv.read_bytes())
    assert len(stack.query(comparison)) == 2
    subprocess.run([harness.BUILD / "bagelhook", "adopt", "--database", stack.cluster.dsn(db=stack.db), page_csv],
                   check=True, env=harness.clean_environment())
    assert stack.query(comparison) == []
    stack.query("SELECT bagelpay.revoke('adopted:u42')")
    assert stack.query(comparison) == [("ann@example.com", "prod_1")]
