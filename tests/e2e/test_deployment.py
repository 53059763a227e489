"""Who reaches the sockets of a deployment by hand, as docs/webservers.md and docs/console.md have it."""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess

import pytest

import harness

# Users of every Debian in place of those that the documents make.
USERS = {"bagelhook": "daemon", "bagelhook_console": "bin"}
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def commands(document, name):
    """The words of each documented command of that name, without sudo."""
    text = (harness.SOURCE / document).read_text().replace("\\\n", " ")
    found = [shlex.split(line)[1:] for line in re.findall(rf"^ {{4,}}(sudo {name} .*)$", text, re.MULTILINE)]
    assert found, f"{document}: no command sudo {name}"
    return found


def sockets(document):
    """Of each Unix socket that a documented command has: who makes it, and its path."""
    text = (harness.SOURCE / document).read_text().replace("\\\n", " ")
    return [(user, path) for user, line in re.findall(r"^ {4,}sudo -u (\w+) (bagelhook.*)$", text, re.MULTILINE)
            for path in re.findall(r"--(?:admin-)?listen unix:(\S+)", line)]


@pytest.fixture
def deployed():
    """Root's directory in which the documented ones were made, and in them a socket for each documented one."""
    if os.geteuid() != 0:
        pytest.skip("making directories of other users takes root")
    root = harness.make_directory("deployed")
    try:
        with contextlib.ExitStack() as listening:
            for document in ("docs/webservers.md", "docs/console.md"):
                for words in commands(document, "install -d"):
                    places = [word for word in words if word.startswith("/run/")]
                    options = [USERS.get(word, word) for word in words if not word.startswith("/")]
                    for place in places:
                        (root / "run").mkdir(exist_ok=True, mode=0o755)
                        subprocess.run([*options, f"{root}{place}"], check=True)
                for user, path in sockets(document):
                    one = listening.enter_context(socket.socket(socket.AF_UNIX))
                    one.bind(f"{root}{path}")
                    # As wide as --socket-mode makes it; it is the directory that keeps strangers out.
                    os.chmod(f"{root}{path}", 0o666)
                    shutil.chown(f"{root}{path}", USERS[user], USERS[user])
                    one.listen()
            yield root
    finally:
        shutil.rmtree(root)


def reaches(root, path, user, *groups):
    """Whether a user, with further groups, can connect there."""
    done = subprocess.run(["setpriv", f"--reuid={user}", f"--regid={user if user != 'nobody' else 'nogroup'}",
                           f"--groups={','.join(groups)}" if groups else "--clear-groups", "--", "/usr/bin/python3", "-c", CONNECT,
                           f"{root}{path}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "PermissionError" in done.stderr, done.stderr
    return done.returncode == 0


def test_who_reaches_the_sockets(deployed):
    """The web server the two it serves, the console the admin socket, and strangers none."""
    places = {pathlib.PurePath(path).name: path for document in ("docs/webservers.md", "docs/console.md") for _, path in sockets(document)}
    assert set(places) == {"bagelhook.sock", "admin.sock", "console.sock"}
    # What useradd says the console's user is a member of.
    made, = [words for words in commands("docs/console.md", "useradd") if words[-1] == "bagelhook_console"]
    groups = [USERS[words] for words in made[made.index("--groups") + 1].split(",")]
    found = {who: {name for name, path in places.items() if reaches(deployed, path, *who)}
             for who in (("nobody",), ("www-data",), ("bin", *groups))}
    assert found == {("nobody",): set(), ("www-data",): {"bagelhook.sock", "console.sock"},
                     ("bin", *groups): {"admin.sock", "console.sock"}}
