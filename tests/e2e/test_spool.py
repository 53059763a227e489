"""What is found in a spool: what others left there, and what is no spool file."""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import time

import bodies
import harness
import pytest
import waiting
import watching


@pytest.fixture
def admin():
    one = watching.Admin()
    yield one
    one.close()


def spool_of_one(stack, spool):
    """The bytes and the name of a spool file, of an event that the database does not take until it is let."""
    with stack.connect() as connection:
        connection.execute("REVOKE USAGE ON SCHEMA bagelpay FROM bagelpay_ingest")
    assert stack.deliver(bodies.payment()).json["spooled"]
    file, = (spool / "new").iterdir()
    return file.read_bytes(), file.name


def test_what_is_no_spool_file(make_stack, tmp_path):
    """It goes to corrupt/, under a name of its own, and keeps nothing else from being drained."""
    spool = tmp_path / "spool"
    stack = make_stack("--spool", spool)
    content, name = spool_of_one(stack, spool)
    kinds = {name.replace(name[:8], "00000000", 1): content[:-1], "x.y": content, "z": b"", name: content[:-2] + b"}}"}
    (spool / "corrupt" / "x.y").write_bytes(b"from before")
    for other, bytes_of_it in kinds.items():
        (spool / "tmp" / other).write_bytes(bytes_of_it)
        (spool / "tmp" / other).rename(spool / "new" / other)
    (spool / "new" / "directory").mkdir()
    with stack.connect() as connection:
        connection.execute("GRANT USAGE ON SCHEMA bagelpay TO bagelpay_ingest")
    waiting.wait_until(lambda: not list((spool / "new").iterdir()), "the spool to be drained")
    assert (spool / "corrupt" / "x.y").read_bytes() == b"from before"
    assert len(list((spool / "corrupt").iterdir())) >= 4
    waiting.wait_until(lambda: "no whole spool file" in stack.responder.log, "the record")


def test_first_reading(make_stack, tmp_path):
    """What went through the spool was received when it was read first; a file of format 1, when it was written."""
    spool = tmp_path / "spool"
    stack = make_stack("--spool", spool)
    before = time.time()
    content, name = spool_of_one(stack, spool)
    after = time.time()
    head, _, body = content.partition(b"\n\n")
    older = bodies.payment()
    covered = b"length %d\n\n" % len(older) + older
    (spool / "tmp" / "older").write_bytes(b"bagelhook-spool 1\nsha256 " + hashlib.sha256(covered).hexdigest().encode()
                                          + b"\n" + covered)
    os.utime(spool / "tmp" / "older", (1757842163, 1757842163))
    (spool / "tmp" / "older").rename(spool / "new" / name.replace(name[:8], "00000000", 1))
    assert head.startswith(b"bagelhook-spool 2\n")
    with stack.connect() as connection:
        connection.execute("GRANT USAGE ON SCHEMA bagelpay TO bagelpay_ingest")
    waiting.wait_until(lambda: not list((spool / "new").iterdir()), "the spool to be drained")
    received = dict(stack.query("SELECT event_id, extract(epoch FROM received_at)::float FROM bagelpay.events"))
    assert before <= received[bodies.event_id(body)] <= after
    assert received[bodies.event_id(older)] == 1757842163


def test_abandoned_file(make_stack, tmp_path):
    """A file that a responder had not finished is taken up when it is surely nobody's any more."""
    spool = tmp_path / "spool"
    stack = make_stack("--spool", spool)
    _, name = spool_of_one(stack, spool)
    assert stack.responder.stop() == 0
    (spool / "new" / name).rename(spool / "tmp" / name)
    os.utime(spool / "tmp" / name, (0, 0))
    with stack.connect() as connection:
        connection.execute("GRANT USAGE ON SCHEMA bagelpay TO bagelpay_ingest")
    stack.responder.start()
    waiting.wait_until(lambda: stack.query("SELECT count(*) FROM bagelpay.events") == [(1,)], "the event")
    waiting.wait_until(lambda: not list((spool / "tmp").iterdir()), "tmp/ to be empty")


def make_slow(stack, seconds):
    """Lets the database take so long for each event of the order `slow`."""
    stack.query("CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" PERFORM pg_sleep({seconds}); RETURN NULL; END $$")
    stack.query("CREATE TRIGGER dawdle AFTER INSERT ON bagelpay.events"
                " FOR EACH ROW WHEN (NEW.order_id = 'slow') EXECUTE FUNCTION public.dawdle()")


def connections(stack):
    return len(waiting.backends(stack))


def test_slow_event(make_stack, admin, tmp_path):
    """An event that takes longer than --commit-timeout is committed in the end, and delays nobody else meanwhile."""
    spool = tmp_path / "spool"
    stack = make_stack("--spool", spool, "--commit-timeout", 2, *admin.arguments)
    assert stack.deliver(bodies.payment()).status == 200
    make_slow(stack, 5)
    answer = stack.deliver(bodies.payment("slow", event_id="evt_slow"))
    assert (answer.status, answer.json["spooled"]) == (503, True)
    took, slow_events = [], set()

    def is_committed():
        began = time.monotonic()
        assert stack.deliver(bodies.payment()).status == 200
        took.append(time.monotonic() - began)
        slow_events.add(admin.value("spool_slow_events"))
        return stack.query("SELECT outcome FROM bagelpay.events WHERE event_id = 'evt_slow'")

    harness.wait_until(is_committed, "the slow event")
    assert max(took) < 1
    harness.wait_until(lambda: not list((spool / "new").iterdir()), "the spool to be empty")
    assert 1 in slow_events and admin.value("spool_slow_events") == 0
    # 4 seconds were not enough.
    assert re.findall(r'level=warn msg="an event takes longer than its time limit, trying again later with a longer one"'
                      r" event_id=evt_slow file=\S+ limit_s=(\d+) next_try_s=(\d+)", stack.responder.log) == [("4", "8")]
    harness.wait_until(lambda: connections(stack) == 1, "the second connection to be closed")


@pytest.mark.long
def test_order_of_a_slow_event(make_stack, tmp_path):
    """Other events of its order wait in the spool while it is tried, and follow it."""
    spool = tmp_path / "spool"
    stack = make_stack("--spool", spool, "--commit-timeout", 2)
    make_slow(stack, 3)
    for name in ("evt_1", "evt_2"):
        assert stack.deliver(bodies.payment("slow", event_id=name)).json["spooled"]
    harness.wait_until(lambda: stack.query("SELECT count(*) FROM bagelpay.payments WHERE order_id = 'slow'") == [(2,)],
                       "both events")
    harness.wait_until(lambda: not list((spool / "new").iterdir()), "the spool to be empty")


def test_stopped_while_an_event_is_slow(make_stack, tmp_path):
    """SIGTERM does not wait for it: its file stays, and the next responder commits it."""
    spool = tmp_path / "spool"
    stack = make_stack("--spool", spool, "--commit-timeout", 8)
    make_slow(stack, 600)
    answer = stack.deliver(bodies.payment("slow"))
    assert answer.json["spooled"]
    harness.wait_until(lambda: connections(stack) == 2, "the second connection")
    began = time.monotonic()
    assert stack.responder.stop() == 0
    assert time.monotonic() - began < 5
    assert len(list((spool / "new").iterdir())) == 1
    # What the server still does for it has been cancelled.
    harness.wait_until(lambda: connections(stack) == 0, "the transaction to end")
    stack.query("DROP TRIGGER dawdle ON bagelpay.events")
    stack.responder.start()
    harness.wait_until(lambda: stack.query("SELECT count(*) FROM bagelpay.events") == [(1,)], "the event")
    harness.wait_until(lambda: not list((spool / "new").iterdir()), "the spool to be empty")


def make_spool(path, mode=0o700, owner=None):
    """A directory as a start makes it, and then as somebody has changed it."""
    path.mkdir(mode=mode)
    path.chmod(mode)
    for part in ("tmp", "new", "corrupt"):
        (path / part).mkdir(mode=0o700)
    (path / "lock").touch(mode=0o600)
    if owner is not None:
        os.chown(path, owner, owner)


ANOTHER = "name a directory that bagelhook makes for itself, such as --spool /var/spool/bagelhook-spool"


@pytest.mark.parametrize(("make", "said"), [
    (lambda path: path.mkdir(mode=0o700), "all in order"),
    (lambda path: None, "all in order"),
    (lambda path: (path.mkdir(mode=0o700), (path / "tmp").mkdir(mode=0o700), (path / "letter").touch()), "it holds other files: " + ANOTHER),
    (lambda path: (make_spool(path), (path / "new").chmod(0o750)), "new is open to others (mode 0750): "),
    (lambda path: path.touch(), "Not a directory"),
    (lambda path: path.mkdir(mode=0o755), "it is open to others (mode 0755): " + ANOTHER),
    (lambda path: make_spool(path, 0o750), "it is open to others (mode 0750): run: chmod 0700 {}"),
    (lambda path: (path.mkdir(0o700), os.chown(path, 1, 1)), "it belongs to user daemon, but this runs as user root: " + ANOTHER),
    (lambda path: make_spool(path, owner=1),
     "it belongs to user daemon, but this runs as user root: run bagelhook as user daemon, or name another directory"),
    (lambda path: make_spool(path, owner=65533), "it belongs to user 65533, but this runs as user root: run bagelhook as user 65533"),
], ids=["empty directory", "missing", "other files", "open part", "file", "open directory", "open spool", "other owner",
        "spool of another owner", "spool of an unknown owner"])
def test_check(cluster, tmp_path, make, said):
    """--check says of the spool what a start would, and makes nothing."""
    if os.geteuid() != 0 and "belongs" in said:
        pytest.skip("needs root, to give a directory away")
    spool = pathlib.Path(tmp_path / "spool")
    make(spool)
    before = spool.exists()
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_text("x" * 32)
    done = subprocess.run([harness.BUILD / "bagelhook", "--check", "--spool", spool, "--secret-file", tmp_path / "secret",
                           "--listen", f"unix:{tmp_path}/socket", "--database", cluster.dsn("bagelhook", cluster.create_database())],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          env=harness.clean_environment())
    assert said.format(spool) in done.stdout
    assert done.returncode == (0 if "order" in said else 1)
    assert ("in order" in done.stdout) == (done.returncode == 0)
    assert spool.exists() == before


@pytest.mark.parametrize("directory", ["/", "/tmp", "/var/spool", "/etc"])
@pytest.mark.parametrize("check", [[], ["--check"]], ids=["start", "check"])
def test_directory_of_the_system(cluster, tmp_path, directory, check):
    """A directory that is not ours is never told to be changed."""
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_text("x" * 32)
    before = os.listdir(directory)
    done = subprocess.run([harness.BUILD / "bagelhook", *check, "--spool", directory, "--secret-file", tmp_path / "secret",
                           "--listen", f"unix:{tmp_path}/socket", "--database", cluster.dsn("bagelhook", "postgres")],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          env=harness.clean_environment())
    line, = (line for line in done.stdout.splitlines() if line.startswith("bagelhook: cannot use the spool"))
    assert done.returncode == 1 and "chmod" not in line and "chown" not in line
    assert "name a directory that bagelhook makes for itself, such as --spool /var/spool/bagelhook-spool" in line
    assert "new" not in set(os.listdir(directory)) - set(before)


@pytest.mark.parametrize("check", [[], ["--check"]], ids=["start", "check"])
def test_spool_in_memory(cluster, tmp_path, check):
    """A spool on a file system that is only in memory is used, with a warning, also before it is made."""
    memory = pathlib.Path("/dev/shm")
    if subprocess.run(["stat", "-f", "-c", "%T", memory], capture_output=True, text=True, check=False).stdout != "tmpfs\n":
        pytest.skip("there is no tmpfs")
    spool = memory / bodies.unique("spool")
    (tmp_path / "secret").write_text("x" * 32)
    try:
        with subprocess.Popen([harness.BUILD / "bagelhook", *check, "--spool", spool, "--secret-file", tmp_path / "secret",
                               "--listen", f"unix:{tmp_path}/socket", "--database", cluster.dsn("bagelhook", cluster.create_database())],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=harness.clean_environment()) as process:
            if not check:
                harness.wait_until(lambda: harness.accepts(tmp_path / "socket"), "it to listen")
                process.terminate()
            log = process.communicate(timeout=harness.PATIENCE_S)[1]
        assert process.returncode == 0
        assert log.count("the spool is in memory") == 1 and f"spool={spool}" in log
    finally:
        shutil.rmtree(spool, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_part_of_somebody_else(cluster, tmp_path):
    """If only a part of it belongs to somebody else, as after a start by hand, that part is named."""
    make_spool(tmp_path / "spool")
    os.chown(tmp_path / "spool" / "new", 1, 1)
    with harness.Responder(cluster.dsn(db="postgres"), "--spool", tmp_path / "spool", wait=False) as responder:
        assert responder.wait() == 1
        assert (f"new belongs to user daemon, but this runs as user root: run as root: chown -R root {tmp_path}/spool/new &&"
                f" chmod 0700 {tmp_path}/spool/new\n") in responder.log
