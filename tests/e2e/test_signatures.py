"""Who is believed: signatures, secrets and their rotation, and the age of what was signed."""

import signal
import subprocess
import time

import pytest

import bodies
import harness

UNAUTHENTIC = b'{"error":"Invalid signature"}\n'


def post(stack, body, signature, timestamp):
    """Delivers with these headers; what is None is left out."""
    headers = {"Bagelpay-Signature": signature, "timestamp": timestamp}
    return harness.post(stack.url, body, {name: str(value) for name, value in headers.items() if value is not None})


def signed_now(stack, body, secret=None):
    """A good signature and its timestamp."""
    now = int(time.time())
    return harness.sign(secret or stack.secret, body, now), now


def stored(stack):
    """How many rows any delivery has left."""
    return stack.query("SELECT (SELECT count(*) FROM bagelpay.events) + (SELECT count(*) FROM bagelpay.event_bodies)"
                       " + (SELECT count(*) FROM bagelpay.orders) + (SELECT count(*) FROM bagelpay.dead_letters)")[0][0]


def assert_unauthentic(answer):
    assert (answer.status, answer.body) == (401, UNAUTHENTIC)
    assert answer.headers["Content-Type"] == "application/json"


def broken(signature, now):
    """Headers that must not be believed, by what is wrong with them."""
    other = "1" if signature[0] != "1" else "2"
    return {
        "no signature": (None, now), "no timestamp": (signature, None), "neither": (None, None),
        "empty signature": ("", now), "empty timestamp": (signature, ""),
        "other digit": (other + signature[1:], now), "all zeros": ("0" * 64, now),
        "63 digits": (signature[:-1], now), "65 digits": (signature + "0", now), "no hex": ("g" + signature[1:], now),
        "twice": (f"{signature}, {signature}", now), "prefixed": (f"sha256={signature}", now),
        "other second": (signature, now + 1), "leading zero": (signature, f"0{now}"), "sign": (signature, f"+{now}"),
        "fraction": (signature, f"{now}.0"), "text": (signature, "now"), "13 digits": (signature, f"{now:013}"),
    }


@pytest.mark.parametrize("what", broken("0" * 64, 0))
def test_unauthentic(shared, what):
    """A wrong, missing or malformed signature or timestamp: 401, the same body whatever is wrong, nothing stored."""
    body, before = bodies.payment(), stored(shared)
    assert_unauthentic(post(shared, body, *broken(*signed_now(shared, body))[what]))
    assert stored(shared) == before


@pytest.mark.parametrize("timestamp", ["", "+1", "-1", "1 2", "1757666462123", "0x10", "1e3"])
def test_timestamp_must_be_digits(shared, timestamp):
    """Not even a correct signature over a timestamp that is not 1 to 12 digits counts."""
    body = bodies.payment()
    assert_unauthentic(post(shared, body, harness.sign(shared.secret, body, timestamp), timestamp))


def test_body_is_signed(shared):
    """One other byte, or no body at all, is not what was signed."""
    body = bodies.payment()
    signature, now = signed_now(shared, body)
    assert_unauthentic(post(shared, body + b" ", signature, now))
    assert_unauthentic(post(shared, b"", signature, now))
    assert_unauthentic(post(shared, b"{", signature, now))


def test_unauthentic_body_is_not_looked_at(shared):
    """Neither what a wrongly signed body says nor that it says nothing sensible shows, in the answer or in the log."""
    before = shared.responder.log
    for body in (b"{not json", bodies.changed(bodies.payment(), event_type="forged\x1b[31m")):
        assert_unauthentic(post(shared, body, "0" * 64, int(time.time())))
    assert "forged" not in shared.responder.log[len(before):]


def test_upper_case_signature(shared):
    """Hex digits of either case are the same signature, and kept in one case."""
    body = bodies.payment()
    signature, now = signed_now(shared, body)
    assert post(shared, body, signature.upper(), now).status == 200
    assert shared.query("SELECT signature FROM bagelpay.event_bodies WHERE event_id = %s", bodies.event_id(body)) == [
        (signature,)]


@pytest.mark.parametrize("timestamp", [0, 1, 1_234_567_890, 999_999_999_999])
def test_any_age(shared, timestamp):
    """By default the age of what was signed rejects nothing."""
    body = bodies.payment()
    assert shared.deliver(body, timestamp).status == 200
    assert shared.query("SELECT signed_timestamp FROM bagelpay.events WHERE event_id = %s", bodies.event_id(body)) == [
        (timestamp,)]


def test_no_database_work(mortal, make_stack):
    """A wrongly signed request is answered 401 while the database is away, a correctly signed one 503."""
    stack = make_stack(cluster=mortal)
    body = bodies.payment()
    mortal.stop()
    assert stack.deliver(body).status == 503
    for signature, timestamp in broken(*signed_now(stack, body)).values():
        assert_unauthentic(post(stack, body, signature, timestamp))


def test_several_secrets(make_stack):
    """With several secrets each is good, so that they can be rotated; others are not."""
    secrets = ["first_secret", "s\u00e9cond_\u2713", "third"]
    stack = make_stack(secret=secrets)
    for secret in secrets:
        assert harness.deliver(stack.url, secret, bodies.payment()).status == 200
    for secret in ("First_secret", "first_secret ", "third\n", "first_secret\nthird", "fourth"):
        assert_unauthentic(harness.deliver(stack.url, secret, bodies.payment()))


def test_longest_secrets(make_stack):
    """64 secrets of 1 KiB."""
    secrets = [f"{number:01024}" for number in range(64)]
    stack = make_stack(secret=secrets)
    for secret in (secrets[0], secrets[63]):
        assert harness.deliver(stack.url, secret, bodies.payment()).status == 200


def test_what_is_in_the_file_beside_secrets(make_stack):
    """Comments, white space and a byte order mark are no secrets, and no part of one."""
    stack = make_stack()
    stack.responder.secret_path.write_bytes(b"\xef\xbb\xbf# of our account\r\n\t live: first_secret \r\n\r\n#third_secret\r\nsecond_secret")
    stack.responder.send_signal(signal.SIGHUP)
    logged(stack, "read the secrets again")
    assert [harness.deliver(stack.url, secret, bodies.payment(mode="live")).status
            for secret in ("first_secret", "second_secret", "third_secret", "#third_secret", "live: first_secret")] == [
                200, 200, 401, 401, 401]


MODES = ["live:secret_of_live_webhooks", "test:secret_of_test_webhooks", "secret_of_both"]


def letters(stack):
    return stack.query("SELECT reason, detail, event_id, resolved_at IS NOT NULL FROM bagelpay.dead_letters ORDER BY id")


def test_secret_of_another_mode(make_stack):
    """A secret vouches for its mode only: what else it signs is answered as a wrong signature, and kept."""
    stack = make_stack(secret=MODES)
    sent = {}
    for secret in MODES:
        prefix, _, key = secret.rpartition(":")
        for mode in ("live", "test"):
            body = bodies.payment(mode=mode)
            answer = harness.deliver(stack.url, key, body)
            if prefix in ("", mode):
                assert answer.status == 200
            else:
                assert_unauthentic(answer)
                sent[mode] = body
    assert letters(stack) == [
        ("mode", f"mode: {mode}, but the secret that signed it is for {other} events", bodies.event_id(sent[mode]), False)
        for mode, other in (("test", "live"), ("live", "test"))]
    # As often as it comes.
    assert_unauthentic(harness.deliver(stack.url, "secret_of_test_webhooks", sent["live"]))
    assert stack.query("SELECT count(*), count(*) FILTER (WHERE mode = 'live') FROM bagelpay.events") == [(4, 2)]
    # An invalid body has no mode.
    assert harness.deliver(stack.url, "secret_of_test_webhooks", b"{}").status == 400

    # Whoever knows one secret must not get his events in by the other way, when somebody tries everything again.
    redrive = [harness.BUILD / "bagelhook", "redrive", "--database", stack.cluster.dsn("postgres", stack.db)]
    environment = harness.clean_environment()
    done = subprocess.run([*redrive, "--all"], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines()[-1] == "1 tried, 0 resolved, 1 left"
    assert not any(resolved for *_, resolved in letters(stack))
    # By its number it is meant.
    (number,), = stack.query("SELECT id FROM bagelpay.dead_letters WHERE event_id = %s", bodies.event_id(sent["live"]))
    assert subprocess.run([*redrive, "--id", str(number)], capture_output=True, check=False, env=environment).returncode == 0
    assert [(event_id, resolved) for reason, _, event_id, resolved in letters(stack) if reason == "mode"] == [
        (bodies.event_id(sent["test"]), False), (bodies.event_id(sent["live"]), True)]
    # The right secret delivers what the wrong one could not.
    assert harness.deliver(stack.url, "secret_of_both", sent["test"]).status == 200
    assert all(resolved for reason, *_, resolved in letters(stack) if reason == "mode")


def test_secret_of_another_mode_by_the_spool(make_stack, tmp_path):
    """The way through the spool makes nothing else of it, also if the secrets have changed meanwhile."""
    stack = make_stack("--spool", tmp_path / "spool", secret=MODES)
    body, good = bodies.payment(mode="live"), bodies.payment(mode="live")
    with stack.connect() as connection:
        connection.execute("CREATE FUNCTION public.refuse () RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'not now'; END$$")
        for table in ("events", "dead_letters"):
            connection.execute(f"CREATE TRIGGER refuse BEFORE INSERT ON bagelpay.{table} EXECUTE FUNCTION public.refuse ()")
        for secret, one in (("secret_of_test_webhooks", body), ("secret_of_live_webhooks", good)):
            answer = harness.deliver(stack.url, secret, one)
            assert (answer.status, answer.json["spooled"]) == (503, True)
        stack.responder.stop()
        stack.responder.write_secrets("secret_of_another_account")
        stack.responder.start()
        connection.execute("DROP FUNCTION public.refuse CASCADE")
    harness.wait_until(lambda: not list((tmp_path / "spool" / "new").iterdir()), "the spool to be drained")
    assert [(reason, event_id) for reason, _, event_id, _ in letters(stack)] == [("mode", bodies.event_id(body))]
    assert stack.query("SELECT event_id FROM bagelpay.events") == [(bodies.event_id(good),)]


def logged(stack, text, times=1):
    harness.wait_until(lambda: stack.responder.log.count(text) >= times, f"log record: {text}")


def test_hangup_reads_secrets_again(make_stack):
    """SIGHUP replaces the secrets, without a restart; secrets that cannot be read leave the old ones in use."""
    stack = make_stack(secret="old")
    pid = stack.responder.pid
    stack.responder.write_secrets("new", "newer")
    stack.responder.send_signal(signal.SIGHUP)
    logged(stack, "read the secrets again")
    assert_unauthentic(harness.deliver(stack.url, "old", bodies.payment()))
    for secret in ("new", "newer"):
        assert harness.deliver(stack.url, secret, bodies.payment()).status == 200

    stack.responder.secret_path.write_text("\n\n")
    stack.responder.send_signal(signal.SIGHUP)
    logged(stack, "keeping the secrets as they were")
    stack.responder.secret_path.unlink()
    stack.responder.send_signal(signal.SIGHUP)
    logged(stack, "keeping the secrets as they were", 2)
    assert harness.deliver(stack.url, "new", bodies.payment()).status == 200
    assert_unauthentic(harness.deliver(stack.url, "", bodies.payment()))
    assert stack.responder.running and stack.responder.pid == pid


def test_max_age(make_stack):
    """--max-age turns what was signed longer ago into a 401, even a duplicate; younger and future ones pass."""
    stack = make_stack("--max-age", 300)
    now = int(time.time())
    body = bodies.payment()
    assert stack.deliver(body, now - 200).json["outcome"] == "applied"
    assert stack.deliver(bodies.payment(), now + 200).json["outcome"] == "applied"
    for timestamp in (now - 301, 0):
        assert_unauthentic(stack.deliver(body, timestamp))
    assert stack.query("SELECT deliveries FROM bagelpay.events ORDER BY event_id") == [(1,), (1,)]


def test_insecure_no_signature(make_stack):
    """--insecure-no-signature accepts every body, and says so in the log."""
    stack = make_stack("--insecure-no-signature")
    for body, headers in ((bodies.payment(), {}),
                          (bodies.payment(), {"Bagelpay-Signature": "wrong", "timestamp": "never"})):
        assert harness.post(stack.url, body, headers).json["outcome"] == "applied"
    assert stack.query("SELECT signed_timestamp, signature FROM bagelpay.event_bodies") == [(None, None)] * 2
    assert "signatures are not checked" in stack.responder.log


def test_secrets_stay_secret(shared):
    """Neither a secret nor a signature is ever logged."""
    body = bodies.payment()
    signature, now = signed_now(shared, body)
    shared.deliver(b"{}")
    post(shared, body, signature, now + 1)
    assert shared.secret not in shared.responder.log and signature not in shared.responder.log
