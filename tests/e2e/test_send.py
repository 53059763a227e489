"""bagelhook-send: a line for each body, and an exit status that says whether all were taken."""

import contextlib
import json
import re
import signal
import socket
import subprocess

import pytest

import bodies
import harness
from sending import send, web_server


@pytest.fixture
def body_file(tmp_path):
    """body_file(bytes) writes a body into a file of its own and returns its path."""
    numbers = iter(range(100))

    def write(content):
        path = tmp_path / f"body_{next(numbers)}.json"
        path.write_bytes(content)
        return str(path)

    return write


def test_outcomes(shared, body_file):
    """File, status, outcome and event id of each body, in order; 0 where all were taken."""
    body = bodies.payment()
    event_id, path = bodies.event_id(body), body_file(body)
    other = bodies.changed(bodies.payment(), event_type="checkout.other")
    other_path = body_file(other)
    assert send(shared.url, path, other_path, path, secret=shared.responder.secret_path) == (0, [
        f"{path}\t200\tapplied\t{event_id}", f"{other_path}\t200\tignored\t{bodies.event_id(other)}",
        f"{path}\t200\tduplicate\t{event_id}"], [])


def test_documented(stack):
    """The documented bodies, as anyone would try them."""
    paths = [str(harness.SAMPLES / f"{name}.json") for name in bodies.NAMES]
    status, lines, complaints = send(stack.url, *paths, BAGELHOOK_SECRET_FILE=stack.responder.secret_path)
    assert (status, complaints) == (0, [])
    assert [line.split("\t")[:3] for line in lines] == [[path, "200", "applied"] for path in paths]


def test_exact_bytes(shared, body_file):
    """What is signed and sent is the file, byte by byte."""
    body = bodies.payment() + b"\r\n \n"
    assert send(shared.url, body_file(body), secret=shared.responder.secret_path)[0] == 0
    stored = shared.query("SELECT body FROM bagelpay.event_bodies WHERE event_id = %s", bodies.event_id(body))
    assert stored == [(body,)]


def test_refusals(shared, body_file, tmp_path):
    """Error and detail of what was not taken, and 1; the rest is delivered all the same."""
    invalid = body_file(bodies.changed(bodies.payment(), object={}))
    good = bodies.payment()
    path = body_file(good)
    assert send(shared.url, invalid, path, secret=shared.responder.secret_path) == (1, [
        f"{invalid}\t400\tInvalid request body: object.mode: missing\t-",
        f"{path}\t200\tapplied\t{bodies.event_id(good)}"], [])
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")
    assert send(shared.url, path, secret=wrong) == (1, [f"{path}\t401\tInvalid signature\t-"], [])


def test_unavailable(mortal, make_stack, body_file):
    """A 503 says that the event was not kept."""
    stack = make_stack(cluster=mortal)
    mortal.stop()
    stack.deliver(bodies.payment())
    path = body_file(bodies.payment())
    assert send(stack.url, path, secret=stack.responder.secret_path) == (
        1, [f"{path}\t503\tDatabase unavailable, not spooled\t-"], [])


def test_unreachable(shared, body_file):
    """Where nothing listens: one complaint, however many bodies there are."""
    url = f"http://127.0.0.1:{harness.free_port()}/"
    path = body_file(bodies.payment())
    status, lines, complaints = send(url, path, path, path, secret=shared.responder.secret_path)
    assert (status, lines, len(complaints)) == (1, [], 1)
    assert complaints[0].startswith(f"bagelhook-send: {url}: ")


def test_https(shared, body_file, tmp_path):
    """Over HTTPS, as the provider comes: to a server that the authorities vouch for, and to no other."""
    path, secret = body_file(bodies.payment()), shared.responder.secret_path
    with contextlib.ExitStack() as cleanup:
        ours, other = (cleanup.enter_context(contextlib.closing(harness.Authority(name))) for name in ("ours", "another"))
        nginx = cleanup.enter_context(harness.Nginx(shared.responder.socket_path, tls=ours.issue("localhost")))
        status, lines, complaints = send("--ca-file", ours.certificate, nginx.url, path, secret=secret)
        assert (status, complaints) == (0, [])
        assert [line.split("\t")[:3] for line in lines] == [[path, "200", "applied"]]
        for authorities in (["--ca-file", other.certificate], []):
            status, lines, complaints = send(*authorities, nginx.url, path, secret=secret)
            assert (status, lines, len(complaints)) == (1, [], 1)
            assert re.fullmatch(rf"bagelhook-send: {nginx.url}: .*certificate.*; --ca-file FILE names the authority that vouches for it",
                                complaints[0])
        # For the host that was asked for.
        status, lines, complaints = send("--ca-file", ours.certificate, nginx.url.replace("localhost", "127.0.0.1"), path, secret=secret)
        assert (status, lines, len(complaints)) == (1, [], 1)
        assert "127.0.0.1" in complaints[0].removeprefix(f"bagelhook-send: {nginx.url}") and "--ca-file" not in complaints[0]
        empty = tmp_path / "empty.pem"
        empty.touch()
        # Which no waiting mends, either.
        for retries in ([], ["--retries"]):
            status, lines, complaints = send("--ca-file", empty, *retries, nginx.url, path, secret=secret)
            assert (status, lines, len(complaints)) == (1, [], 1)
            assert str(empty) in complaints[0]
        assert send("--ca-file", tmp_path / "none.pem", nginx.url, path, secret=secret) == (
            2, [], ["bagelhook-send: --ca-file: cannot be read", "Try bagelhook-send --help."])


def test_missing_file(shared, body_file, tmp_path):
    """A file that cannot be read is complained of; the others are delivered."""
    missing, path = tmp_path / "missing", body_file(bodies.payment())
    status, lines, complaints = send(shared.url, missing, path, secret=shared.responder.secret_path)
    assert (status, complaints) == (1, [f"bagelhook-send: {missing}: No such file or directory"])
    assert [line.split("\t")[:3] for line in lines] == [[path, "200", "applied"]]


def test_stdin(shared):
    """The body - is standard input."""
    body = bodies.payment()
    assert send(shared.url, "-", secret=shared.responder.secret_path, stdin=body) == (
        0, [f"-\t200\tapplied\t{bodies.event_id(body)}"], [])


def test_lines(shared):
    """With --stdin each line that is not empty is a body, byte by byte; a FILE may come before."""
    sent = [bodies.payment() + end for end in (b"", b" ", b"\r")]
    stdin = b"\n".join([sent[0], b"", *sent[1:]])
    assert send("--stdin", shared.url, secret=shared.responder.secret_path, stdin=stdin) == (
        0, [f"-:{number}\t200\tapplied\t{bodies.event_id(body)}" for number, body in zip((1, 3, 4), sent)], [])
    assert {body for body, in shared.query("SELECT body FROM bagelpay.event_bodies WHERE event_id = ANY (%s)",
                                           [bodies.event_id(body) for body in sent])} == set(sent)
    assert send("--stdin", "--duplicate", 1, "--order-id", "order_lines", shared.url, secret=shared.responder.secret_path,
                stdin=b"x\n" + sent[0])[1:] != ([], [])
    assert shared.query("SELECT deliveries FROM bagelpay.events WHERE order_id = 'order_lines'") == [(2,)]
    assert send("--stdin", shared.url, secret=shared.responder.secret_path) == (0, [], [])


def test_lines_that_are_tried_again(shared):
    """A line that is not answered 200 is tried again, and holds up no other."""
    seen = []
    with web_server(b"{}", first=[503], seen=seen) as url:
        status, lines, _ = send("--stdin", "--retry-interval", "0.5", url, secret=shared.responder.secret_path, stdin=b"a\nb\n")
    assert (status, [line.split("\t")[:2] for line in lines]) == (0, [["-:1", "503"], ["-:2", "200"], ["-:1", "200"]])
    assert [body for _, body in seen] == [b"a", b"b", b"a"]


def test_timestamp(shared, body_file):
    """--timestamp is what is signed; by default it is now."""
    body = bodies.payment()
    assert send("--timestamp", "1757666462", shared.url, body_file(body), secret=shared.responder.secret_path)[0] == 0
    assert shared.query("SELECT signed_timestamp FROM bagelpay.events WHERE event_id = %s", bodies.event_id(body)) == [
        (1757666462,)]
    body = bodies.payment()
    assert send(shared.url, body_file(body), secret=shared.responder.secret_path)[0] == 0
    assert shared.query("SELECT abs(extract(epoch FROM now()) - signed_timestamp) < 60 FROM bagelpay.events"
                        " WHERE event_id = %s", bodies.event_id(body)) == [(True,)]


@pytest.mark.parametrize("given", ["whsec_1234", "0123456789abcdef01234567", "x" * 300], ids=["whsec", "24", "300"])
def test_secret_as_a_file_name(shared, body_file, given):
    """A secret that is given in place of its file is not printed."""
    status, lines, complaints = send(shared.url, body_file(bodies.payment()), secret=given)
    assert (status, lines, len(complaints)) == (2, [], 1) and given not in complaints[0]
    assert complaints[0].startswith("bagelhook-send: --secret-file: there is no file of this name, which looks like the secret itself")


def test_first_secret_of_the_file(make_stack, body_file, tmp_path):
    """Of a file with several secrets the first one signs, whatever else the file may hold for bagelhook."""
    stack = make_stack(secret=["newest"])
    for content in (b"newest\nolder\n", b"newest\r\nolder", b"newest", b"\n \n\tnewest \nolder", b"# of ours\n  #older\nnewest",
                    b"\xef\xbb\xbfnewest\n", b"\xef\xbb\xbf# of ours\ntest: newest\r\n", b"live:newest\ntest:older\n"):
        path = tmp_path / "secrets"
        path.write_bytes(content)
        assert send(stack.url, body_file(bodies.payment()), secret=path)[0] == 0


def test_timeout(shared, body_file):
    """A server that never answers costs --timeout, and is named for it."""
    path = body_file(bodies.payment())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        status, lines, complaints = send("--timeout", 1, url, path, secret=shared.responder.secret_path)
    assert (status, complaints) == (1, [])
    file, code, reason, event_id = lines[0].split("\t")
    assert (len(lines), file, code, event_id) == (1, path, "-", "-") and reason


@pytest.mark.parametrize("number, expected", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interruption(shared, body_file, number, expected):
    """A signal does not wait for the answer, and the exit status names it."""
    path = body_file(bodies.payment())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(harness.PATIENCE_S)
        with subprocess.Popen([harness.BUILD / "bagelhook-send", "--secret-file", shared.responder.secret_path, "--timeout",
                               str(10 * harness.PATIENCE_S), f"http://127.0.0.1:{silent.getsockname()[1]}/", path],
                              stdout=subprocess.PIPE, text=True, env=harness.clean_environment()) as sender:
            with silent.accept()[0] as connection:
                assert connection.recv(1) == b"P"
                sender.send_signal(number)
                assert sender.communicate(timeout=harness.PATIENCE_S)[0] == f"{path}\t-\tinterrupted\t-\n"
    assert sender.returncode == expected


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_to_this_machine(shared, body_file, host):
    """The environment's proxy is for other machines."""
    path, nowhere = body_file(bodies.payment()), f"http://127.0.0.1:{harness.free_port()}"
    with web_server(b"") as url:
        here = url.replace("127.0.0.1", host)
        assert send(here, path, secret=shared.responder.secret_path, http_proxy=nowhere)[0] == 0
        assert send("http://shop.example/", path, secret=shared.responder.secret_path, http_proxy=url)[0] == 0
        status, _, complaints = send("http://shop.example/", path, secret=shared.responder.secret_path, http_proxy=nowhere)
    assert status == 1 and len(complaints) == 1


@pytest.mark.parametrize("answer, shown", [
    (json.dumps({"outcome": "a\nforged\tline\x1b[31m\x9b\\"}).encode(),
     "a\\x0aforged\\x09line\\x1b[31m\\xc2\\x9b\\x5c"),
    (b"<html>", "unexpected response: is this bagelhook's URL?"),
    (b"", "unexpected response: is this bagelhook's URL?"),
    (b'{"outcome": 1}', "unexpected response: is this bagelhook's URL?"),
], ids=["control characters", "no JSON", "empty", "no text"])
def test_answers_of_others(shared, body_file, answer, shown):
    """Whatever a server answers, it is one line, and cannot steer a terminal."""
    path = body_file(bodies.payment())
    with web_server(answer) as url:
        assert send(url, path, secret=shared.responder.secret_path) == (0, [f"{path}\t200\t{shown}\t-"], [])


@pytest.mark.parametrize("status", [201, 204, 301, 404, 500])
def test_only_200_is_success(shared, body_file, status):
    """The provider takes 200 for success and nothing else, and follows no redirection."""
    path = body_file(bodies.payment())
    with web_server(b"", status) as url:
        code, lines, _ = send(url, path, secret=shared.responder.secret_path)
    assert (code, lines[0].split("\t")[1]) == (1, str(status))


def test_wrong_path(shared, body_file):
    """404 is the answer of a path that is not the webhook's."""
    path = body_file(bodies.payment())
    with web_server(b'{"error": "No such page"}', 404) as url:
        assert send(url, path, secret=shared.responder.secret_path) == (
            1, [f"{path}\t404\tnot found: the path of the URL is probably wrong\t-"], [])


@pytest.mark.parametrize("arguments, named", [
    ([], "usage"), (["http://127.0.0.1/"], "usage"), (["--nonsense", "u", "f"], "--nonsense"),
    (["--timestamp", "now", "u", "f"], "--timestamp"), (["--timestamp", "1234567890123", "u", "f"], "--timestamp"),
    (["--timeout", "0", "u", "f"], "--timeout"), (["--timeout", "1s", "u", "f"], "--timeout"),
    (["u", "-", "-"], "standard input"),
    (["u", "-", "--stdin"], "standard input"), (["u", "--stdin", "--shuffle"], "--shuffle"), (["u", "f"], "--secret-file")])
def test_usage(arguments, named):
    """2, what is wrong, and where there is help."""
    status, lines, complaints = send(*arguments)
    assert (status, lines, len(complaints)) == (2, [], 2)
    assert named in complaints[0] and complaints[1] == "Try bagelhook-send --help."


@pytest.mark.parametrize("content, complaint", [(None, "No such file or directory"),
                                                (b"", "no secret"), (b"\n# first\n \n", "no secret"), (b"live:\nx", "no secret")])
def test_unusable_secret(tmp_path, content, complaint):
    """2 without a secret, before anything is sent."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    status, lines, complaints = send("http://127.0.0.1/", "file", secret=path)
    assert (status, lines, len(complaints)) == (2, [], 1)
    assert str(path) in complaints[0] and complaint in complaints[0]


def test_help_and_version():
    status, lines, complaints = send("--help")
    assert (status, complaints) == (0, []) and lines[0].startswith("Usage: bagelhook-send ")
    assert send("-h") == (0, lines, [])
    status, lines, complaints = send("--version")
    assert (status, complaints) == (0, []) and len(lines) == 1 and lines[0].startswith("bagelhook-send ")


@pytest.mark.parametrize("program", ["bagelhook-send", "bagelhook-console"])
@pytest.mark.parametrize("said, meant", [
    ("--hepl", "--help"), ("--versoin", "--version"), ("--secretfile=x", "--secret-file"), ("--databse", "--database"),
    ("--colour", None), ("--help=1", None), ("--versio", "--version"), ("--secret-fil=x", "--secret-file"), ("-x", None),
    ("-hx", None), ("--", None)])
def test_unknown_options(program, said, meant):
    """2, and the option that was probably meant, where one is near."""
    done, known = (subprocess.run([harness.BUILD / program, word], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  check=False) for word in (said, "--help"))
    assert done.returncode == 2 and said.split("=")[0].rstrip("-") in done.stderr and done.stdout == ""
    assert ("did you mean" in done.stderr) == (f"did you mean {meant}?" in done.stderr) == (f"{meant} " in known.stdout + "--version --help ")
