"""Rotating secrets: the file is watched, matches are counted, and what is no longer in use is nowhere any more."""

import contextlib
import ctypes
import os
import pathlib
import re
import resource
import signal
import subprocess
import threading
import time

import pytest

import bodies
import fastcgi
import harness
import waiting

READ = 'msg="read the secrets again"'
KEPT = 'msg="keeping the secrets as they were"'


def status(responder, secret):
    """The status of one delivery signed with this secret, straight to the responder."""
    body, now = bodies.payment(), int(time.time())
    params = fastcgi.post_params(len(body), harness.sign(secret, body, now), now)
    return fastcgi.request(responder.address, params, body).status


def records(responder, text):
    return [line for line in responder.log.splitlines() if text in line]


def wait_for_records(responder, text, count=1):
    """The records with this text, once there are so many; a change of the file is to be noticed in a second or two."""
    harness.wait_until(lambda: len(records(responder, text)) >= count, f"{count} records: {text}", timeout=10,
                       process=responder.process, log=responder.log_path)
    return records(responder, text)


def hang_up(responder, text=READ):
    """SIGHUP, and the record that it causes."""
    before = len(records(responder, text))
    responder.send_signal(signal.SIGHUP)
    return wait_for_records(responder, text, before + 1)[-1]


def for_seconds(seconds):
    """Yields until so many seconds have passed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


# --- the file is watched ----------------------------------------------------------------------------------------------

def test_renamed_over(make_responder):
    """A new file in the place of the old one is read within a moment, without a signal."""
    responder = make_responder(secret="old")
    assert status(responder, "old") == 200
    began = time.monotonic()
    responder.write_secrets("new", "newer")
    wait_for_records(responder, READ)
    assert time.monotonic() - began < 10
    assert [status(responder, secret) for secret in ("old", "new", "newer")] == [401, 200, 200]


@pytest.mark.parametrize("link", ["file", "directory"])
def test_link_that_leads_elsewhere(make_responder, tmp_path, link):
    """The same where the change is in a symbolic link on the way: Kubernetes swaps that of the directory."""
    for name in ("1", "2"):
        (tmp_path / name).mkdir(mode=0o700)
        (tmp_path / name / "secret").touch(mode=0o600)
        (tmp_path / name / "secret").write_text(f"secret_{name}\n")
    given = tmp_path / ("link" if link == "file" else "secret")
    end = "/secret" if link == "file" else ""
    swapped = given if link == "file" else tmp_path / "..data"
    swapped.symlink_to(f"1{end}")
    if link == "directory":
        given.symlink_to("..data/secret")
    responder = make_responder("--secret-file", given)
    assert status(responder, "secret_1") == 200
    (tmp_path / "next").symlink_to(f"2{end}")
    (tmp_path / "next").rename(swapped)
    wait_for_records(responder, READ)
    assert [status(responder, f"secret_{number}") for number in (1, 2)] == [401, 200]


def test_half_written(make_responder):
    """A file that is being written to is not read; meanwhile the old secrets are in use, and no part of the new one."""
    responder = make_responder(secret="old")
    ended = threading.Event()

    def write():
        """As a slow writer would, whatever the requests take meanwhile."""
        with open(responder.secret_path, "w", encoding="ascii", buffering=1) as file:
            while not ended.wait(0.05):
                file.write("x")
                file.flush()
            file.write("y\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert {status(responder, "old") for _ in for_seconds(2)} == {200}
    finally:
        ended.set()
        writer.join()
    new = responder.secret_path.read_text().strip()[-500:]
    responder.secret_path.write_text(new)
    wait_for_records(responder, READ)
    assert len(records(responder, "secrets")) == 1, responder.log
    assert [status(responder, secret) for secret in ("old", new)] == [401, 200]


def test_pipe(make_responder):
    """A pipe in the file's place, which would be waited for, leaves the old secrets in use."""
    responder = make_responder(secret="old")
    responder.secret_path.unlink()
    os.mkfifo(responder.secret_path, 0o600)
    assert "no regular file" in hang_up(responder, KEPT)
    assert status(responder, "old") == 200
    responder.secret_path.unlink()


@contextlib.contextmanager
def hung_mount(directory):
    """A file system over a directory that answers nothing: FUSE, whose server never even greets the kernel."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/dev/fuse", "r+b", buffering=0) as server:
        options = f"fd={server.fileno()},rootmode=40000,user_id=0,group_id=0".encode()
        if libc.mount(b"hung", os.fsencode(directory), b"fuse", 0, options) != 0:
            raise OSError(ctypes.get_errno(), "mount")
        try:
            yield
        finally:
            assert libc.umount2(os.fsencode(directory), 2) == 0  # MNT_DETACH


@pytest.fixture(params=["mount", "call"])
def hang(request, tmp_path):
    """The environment for a responder, and a context in which the file system of `secrets` in tmp_path hangs."""
    (tmp_path / "secrets").mkdir(mode=0o700)
    if request.param == "call":
        faults = request.getfixturevalue("faults")
        return faults.environment, faults.armed("stat", error=harness.Faults.HANGS)
    if harness.is_sanitized():
        pytest.skip("at its end, LeakSanitizer waits for every thread, also one that hangs in the kernel")
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("only root can mount, and only with FUSE")
    return {}, hung_mount(tmp_path / "secrets")


def test_file_system_hangs(make_responder, tmp_path, hang):
    """A file system of the secrets' file that hangs holds up neither accepting nor stopping, and is spoken of."""
    environment, hung = hang
    path = tmp_path / "secrets" / "secret"
    path.touch(mode=0o600)
    path.write_text("a_secret_of_the_webhook\n")
    responder = make_responder("--secret-file", path, environment=environment)
    with hung:
        def said():
            responder.send_signal(signal.SIGHUP)
            assert status(responder, "a_secret_of_the_webhook") == 200
            return "does not answer" in responder.log
        harness.wait_until(said, "it to be noticed", process=responder.process, log=responder.log_path)
        began = time.monotonic()
        assert responder.stop() == 0
        assert time.monotonic() - began < 5
        assert matches(records(responder, "signatures matched")[-1])[0] > 0


def test_file_system_answers_again(make_responder, tmp_path, faults):
    """Once it answers, the secrets are read as ever."""
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text("the_first_secret_of_the_webhook\n")
    responder = make_responder("--secret-file", path, environment=faults.environment)
    with faults.armed("stat", error=harness.Faults.HANGS):
        harness.wait_until(lambda: faults.failed == 1, "a look at the file")
        path.write_text("the_second_secret_of_the_webhook\n")
        assert status(responder, "the_first_secret_of_the_webhook") == 200
    wait_for_records(responder, READ)
    assert [status(responder, f"the_{which}_secret_of_the_webhook") for which in ("first", "second")] == [401, 200]


def test_broken_file(make_responder):
    """A file that cannot be used leaves the old secrets in use. Why is logged once, and so is that it is mended."""
    responder = make_responder(secret="old")
    for count, (content, reason) in enumerate([
            (None, "No such file or directory"), (b"", "holds no secret"), (b"new\n" * 65, "more than 64 secrets"),
            (b"new\nnew \xe2\x80\x8b\n", "line 2: white space")], 1):
        if content is None:
            responder.secret_path.unlink()
        else:
            responder.secret_path.touch(mode=0o600)
            responder.secret_path.write_bytes(content)
        record = wait_for_records(responder, KEPT, count)[-1]
        assert reason in record and "level=error" in record
        assert [status(responder, secret) for secret in ("old", "new")] == [200, 401]
    for _ in for_seconds(1.5):
        assert status(responder, "old") == 200
    assert len(records(responder, KEPT)) == 4
    hang_up(responder, KEPT)
    responder.write_secrets("old")
    wait_for_records(responder, READ)
    assert status(responder, "old") == 200


def test_nothing_new(make_responder):
    """A file with the same secrets in it is nothing to talk about."""
    responder = make_responder(secret=["one", "two"])
    responder.write_secrets("one", "two")
    os.utime(responder.secret_path)
    for _ in for_seconds(1.5):
        assert status(responder, "two") == 200
    assert not records(responder, READ)
    # Its mode is.
    responder.secret_path.chmod(0o644)
    assert str(responder.secret_path) in wait_for_records(responder, "open to others")[0]
    assert not records(responder, READ)


@pytest.mark.parametrize("mode, owner, warned", [
    (0o600, None, False), (0o400, None, False), (0o640, None, True), (0o620, None, True), (0o604, None, True),
    (0o640, 65534, False), (0o440, 65534, False), (0o644, 65534, True)])
def test_open_to_others(cluster, tmp_path, mode, owner, warned):
    """A warning for a file that more may read than need to. Through its group we may read what is somebody else's."""
    if owner is not None and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = tmp_path / "secret"
    path.write_text("the_secret_of_the_webhook\n")
    path.chmod(mode)
    if owner is not None:
        os.chown(path, owner, -1)
    done = subprocess.run([harness.BUILD / "bagelhook", "--check", "--secret-file", path, "--database",
                           cluster.dsn("bagelhook", cluster.create_database())],
                          capture_output=True, text=True, check=False, env=harness.clean_environment())
    assert done.returncode == 0
    assert ("the secret file is open to others" in done.stderr) == warned == (done.stderr != "")
    assert (f'remedy="chmod {"go" if owner is None else "o"}= {path}"' in done.stderr) == warned


# --- matches are counted ----------------------------------------------------------------------------------------------

def matches(record, name="matches"):
    found = re.search(rf" {name}=([0-9,]+)", record)
    return found and [int(number) for number in found[1].split(",")]


def test_matches(make_responder):
    """How often each secret has matched is logged, by its position; a secret that stays keeps its count."""
    responder = make_responder("--max-age", 300, secret=["one", "two", "three"])
    for secret, times in (("one", 3), ("three", 2), ("four", 1)):
        for _ in range(times):
            status(responder, secret)
    record = hang_up(responder)
    assert (matches(record), matches(record, "matches_before")) == ([3, 0, 2], None)

    responder.write_secrets("three", "four", "one")
    record = wait_for_records(responder, READ, 2)[-1]
    assert (matches(record), matches(record, "matches_before")) == ([2, 0, 3], [3, 0, 2])
    assert " secrets=3 " in record
    assert [status(responder, secret) for secret in ("two", "four", "three")] == [401, 200, 200]

    responder.secret_path.write_text("")
    assert matches(hang_up(responder, KEPT)) == [3, 1, 3]
    responder.write_secrets("four")
    assert matches(wait_for_records(responder, READ, 3)[-1]) == [1]
    assert responder.stop() == 0
    assert matches(records(responder, "signatures matched")[-1]) == [1]


def test_matches_under_load(make_responder, background):
    """No match is lost where secrets are exchanged under way."""
    responder = make_responder(secret=["one", "two"])
    futures = [background(lambda: [status(responder, "one") for _ in range(40)]) for _ in range(8)]
    turns = 0
    while not all(future.done() for future in futures):
        responder.write_secrets("one", f"two_{turns}")
        hang_up(responder)
        turns += 1
    assert [answer for future in futures for answer in future.result()] == [200] * 320
    assert turns > 1
    responder.stop()
    assert matches(records(responder, "signatures matched")[-1]) == [320, 0]


# --- nowhere any more -------------------------------------------------------------------------------------------------

def writable_memory(pid):
    """All that a process can write to but its stacks, piece by piece; skips the test where we may not read it.

    What was in a register may stay on a stack, wherever a library or the dynamic linker saved it (SECURITY.md).
    """
    maps = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    guards = {found[2] for line in maps if (found := re.match(r"([0-9a-f]+)-([0-9a-f]+) ---p", line))}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            # Not what a sanitizer keeps for itself, which is terabytes.
            if not found or int(found[2], 16) - int(found[1], 16) > 1 << 30:
                continue
            if found[1] in guards or line.endswith("[stack]"):
                continue
            at, end = int(found[1], 16), int(found[2], 16)
            with contextlib.suppress(OSError):
                memory.seek(at)
                yield memory.read(end - at)


def pieces(secret):
    """What to look for: parts of a secret, as a freed piece of memory loses its beginning; and as HMAC pads it."""
    raw = secret.encode()
    parts = {raw[at:at + 12] for at in (0, len(raw) // 2 - 6, len(raw) - 12)}
    return parts | {bytes(byte ^ pad for byte in part) for part in parts for pad in (0x36, 0x5c)}


def in_memory(responder, secret):
    with waiting.frozen(responder.pid):
        return any(piece in content for content in writable_memory(responder.pid) for piece in pieces(secret))


def random_secret(length):
    return os.urandom(length).hex()[:length]


@pytest.mark.parametrize("length", [40, 500])
def test_wiped(make_responder, length):
    """A secret that was replaced is nowhere in memory, whatever was verified with it."""
    old, new = random_secret(length), random_secret(length)
    responder = make_responder("--threads", 2, secret=["first" * 100, old, "last"])
    for secret in (old, "other", old):
        status(responder, secret)
    try:
        # What is in use is there: so it would be found.
        assert in_memory(responder, old)
    except PermissionError:
        pytest.skip("we may not read the memory of another process")
    hang_up(responder)
    # A shorter file: nothing of the longer one is wiped by reading it.
    responder.write_secrets(new)
    wait_for_records(responder, READ, 2)
    status(responder, new)
    assert not in_memory(responder, old)
    assert in_memory(responder, new)
    # Nor where everybody may look.
    for name in ("cmdline", "environ"):
        shown = pathlib.Path(f"/proc/{responder.pid}/{name}").read_bytes()
        assert shown and not any(secret.encode() in shown for secret in (old, new))


def core_limit():
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    return "unlimited" if hard == resource.RLIM_INFINITY else str(hard)


def dumps_core(pid):
    """Has a child abort, and leaves it to be waited for. Whether the kernel wrote its memory down."""
    os.kill(pid, signal.SIGABRT)
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_code == os.CLD_DUMPED


def test_no_core_dump(make_responder, tmp_path):
    """Its memory is written down nowhere when it crashes, even where cores are wanted."""
    prefix = ["env", f"--chdir={tmp_path}", "prlimit", f"--core={core_limit()}", "--"]
    with subprocess.Popen([*prefix, "sleep", "60"]) as other:
        harness.wait_until(lambda: pathlib.Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n", "sleep")
        if not dumps_core(other.pid):
            pytest.skip("no core dumps here")
    responder = make_responder(prefix=prefix)
    assert status(responder, responder.secret) == 200
    assert not dumps_core(responder.pid)
    assert responder.wait() == -signal.SIGABRT
