"""Spools that cannot be used, are full, or hold what no responder wrote."""

import contextlib
import json
import os
import pathlib
import pwd
import subprocess

import pytest

import bodies
import harness

from load import Load
from stand import tmpfs


def refused(cluster, directory, *arguments, **options):
    """Starts a responder that must not start; returns its one line."""
    with harness.Responder(cluster.dsn(db="postgres"), "--spool", directory, *arguments, wait=False, **options) as responder:
        assert responder.wait() == 1
        line, = responder.log.splitlines()
        return line


@pytest.fixture(scope="module")
def cluster():
    with harness.Cluster() as running:
        yield running


@pytest.fixture
def place(tmp_path):
    """A directory of which everybody may see the names."""
    tmp_path.chmod(0o755)
    return tmp_path


def test_not_a_directory(cluster, place):
    (place / "file").touch()
    assert refused(cluster, place / "file") == f"bagelhook: cannot use the spool {place / 'file'}: Not a directory"


def test_no_parent(cluster, place):
    assert refused(cluster, place / "no" / "spool") == (
        f"bagelhook: cannot use the spool {place / 'no' / 'spool'}: No such file or directory")


def test_open_to_others(cluster, place):
    """The remedy is no place below /tmp, where this one is: it would not last."""
    (place / "spool").mkdir(mode=0o750)
    assert refused(cluster, place / "spool") == (
        f"bagelhook: cannot use the spool {place / 'spool'}: it is open to others (mode 0750): name a directory that bagelhook makes"
        " for itself, such as --spool /var/spool/bagelhook-spool")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_wrong_owner(cluster, place):
    (place / "spool").mkdir(mode=0o700)
    other = pwd.getpwnam("nobody")
    os.chown(place / "spool", other.pw_uid, other.pw_gid)
    assert "it belongs to user nobody, but this runs as user root: name a directory" in refused(cluster, place / "spool")


def test_read_only(cluster, place):
    (place / "spool").mkdir()
    with tmpfs(place / "spool"):
        for name in ("tmp", "new", "corrupt"):
            (place / "spool" / name).mkdir(mode=0o700)
        subprocess.run(["mount", "-o", "remount,ro", place / "spool"], check=True)
        assert "cannot write to it: Read-only file system" in refused(cluster, place / "spool")


def counts(stand):
    """How many were spooled, and how many not."""
    ledger = stand.ledger
    return ledger.count(lambda entry: entry.spooled), ledger.count(lambda entry: entry.status == 503 and not entry.spooled)


def test_full_disk(make_stand, totals):
    """A spool whose disk is full says so, keeps what it has, and goes on when there is room."""
    with contextlib.ExitStack() as owned:
        stand = make_stand(spool=False)
        stand.responder.stop()
        stand.spool.mkdir(mode=0o700)
        owned.enter_context(tmpfs(stand.spool, "size=64k"))
        stand.responder.arguments += ["--spool", str(stand.spool), "--spool-free", "0"]
        stand.responder.start()
        stand.cluster.stop()
        with Load(stand) as load:
            load.wait_for(50, lambda entry: entry.status == 503 and not entry.spooled)
        spooled, _ = counts(stand)
        assert 1 < spooled == len(stand.files())
        assert 'msg="the spool takes no more"' in stand.responder.log
        stand.cluster.start()
        stand.settle(totals)


@pytest.mark.parametrize("option, value, reason", [
    ("--spool-files", 5, "as many files as --spool-files allows"),
    ("--spool-bytes", 5000, "as many bytes as --spool-bytes allows"),
    ("--spool-free", 99, "no more free than --spool-free wants")])
def test_bounds(make_stand, totals, option, value, reason):
    """At each bound it stores no more, says so, and what it has is not lost."""
    stand = make_stand(option, value)
    stand.cluster.stop()
    with Load(stand) as load:
        load.wait_for(20, lambda entry: entry.status == 503 and not entry.spooled)
    spooled, _ = counts(stand)
    assert spooled == len(stand.files())
    assert reason in stand.responder.log
    if option == "--spool-files":
        assert spooled == 5
    if option == "--spool-bytes":
        assert sum(file.stat().st_size for file in stand.files()) <= 5000
    stand.cluster.start()
    stand.settle(totals)


def test_file_size_limit(make_stand, totals):
    """A limit of the system on the size of files is a reason like another, not a death."""
    stand = make_stand(prefix=("prlimit", "--fsize=200000:200000"))
    stand.cluster.stop()
    with Load(stand) as load:
        load.wait_for(5, lambda entry: entry.spooled)
    answer = harness.deliver(stand.urls[0], stand.secret, bodies.payment(note="x" * 300000))
    assert (answer.status, answer.json) == (503, {"error": "Database unavailable", "spooled": False})
    harness.wait_until(lambda: "File too large" in stand.responder.log, "the record")
    assert stand.responder.running
    assert stand.files("tmp") == []
    stand.cluster.start()
    stand.settle(totals)


def test_foreign_files(make_stand, totals):
    """What is none of ours goes to corrupt/ as it is; what is ours is drained."""
    stand = make_stand()
    stand.cluster.stop()
    with Load(stand) as load:
        load.wait_for(10, lambda entry: entry.spooled)
    whole = stand.files()[0].read_bytes()
    new = stand.spool / "new"
    foreign = {"notes.txt": b"remember the milk", "0": b"", "1764000000000000000-0-0123456789abcdef": b"",
               "1764000000000000000-9-0123456789abcde0": b"bagelhook-spool 1\n",
               "1764000000000000000-9-0123456789abcde1": whole + b"x",
               "1764000000000000000-9-0123456789abcde2": whole.replace(b"\nlength ", b"\nlength 0"),
               "9999999999999999999-9-0123456789abcde3": os.urandom(5000)}
    for name, content in foreign.items():
        (new / name).write_bytes(content)
    (new / "directory").mkdir()
    (new / "1764000000000000000-9-0123456789abcde4").symlink_to("/etc/passwd")
    (stand.spool / "corrupt" / "notes.txt").write_bytes(b"an older one")
    stand.cluster.start()
    stand.wait_drained()
    corrupt = {file.name: file for file in stand.files("corrupt")}
    assert corrupt.pop("notes.txt").read_bytes() == b"an older one"
    assert corrupt.pop("notes.txt.1").read_bytes() == foreign.pop("notes.txt")
    assert corrupt.pop("directory").is_dir()
    assert corrupt.pop("1764000000000000000-9-0123456789abcde4").is_symlink()
    assert {name: file.read_bytes() for name, file in corrupt.items()} == foreign
    harness.wait_until(lambda: stand.responder.log.count("no whole spool file") == 9, "the records")
    for file in stand.files("corrupt"):
        file.rename(pathlib.Path(stand.directory) / f"seen-{file.name}")
    stand.settle(totals)


def test_abandoned_temporaries(make_stand, totals):
    """What a process left under way when it died is taken up when it is old: whole files are events."""
    stand = make_stand()
    stand.cluster.stop()
    with Load(stand) as load:
        load.wait_for(3, lambda entry: entry.spooled)
    stand.responder.kill()
    left = stand.files()[0]
    temporary = stand.spool / "tmp" / left.name
    left.rename(temporary)
    young = stand.spool / "tmp" / left.name.replace(left.name[-1], "0" if left.name[-1] != "0" else "1")
    young.write_bytes(b"under way")
    os.utime(temporary, (0, 0))
    stand.cluster.start()
    stand.responder.start()
    stand.wait_drained()
    assert stand.files("tmp") == [young]
    stand.settle(totals)


def test_rights(make_stand):
    """Webhooks are personal data: nobody else can read them."""
    stand = make_stand()
    stand.cluster.stop()
    with Load(stand) as load:
        load.wait_for(1, lambda entry: entry.spooled)
    for path in (stand.spool, *stand.spool.iterdir()):
        assert path.stat().st_mode & 0o077 == 0
    for file in stand.files():
        assert file.stat().st_mode & 0o7777 == 0o600
    stand.cluster.start()
    stand.wait_drained()


def test_answer(make_stand):
    """The 503 says that the event is kept."""
    stand = make_stand()
    stand.cluster.stop()
    with Load(stand) as load:
        load.wait_for(1, lambda entry: entry.spooled)
    first = stand.ledger.entries[0]
    assert json.dumps(first.answer) == '{"error": "Database unavailable", "spooled": true}'
    stand.cluster.start()
    stand.wait_drained()
