"""What the tests of packages and images share: commands, and where a clean Debian is made from."""

import os
import re
import subprocess

import harness

RELEASE = "bookworm"


def run(*command, cwd="/", status=0, **environment):
    """Runs a command to its end; returns its output."""
    done = subprocess.run([os.fspath(word) for word in command], cwd=cwd, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          env=harness.clean_environment(**{"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
                                                           **environment}))
    assert done.returncode == status, f"{command}\n{done.stdout[-5000:]}"
    return done.stdout


def mirror():
    found = re.findall(r"(\S+/debian)/? ", run("apt-get", "indextargets", "--format", "$(SITE)  $(RELEASE)")
                       + " http://deb.debian.org/debian ")
    return os.environ.get("BAGELHOOK_MIRROR") or found[0]
