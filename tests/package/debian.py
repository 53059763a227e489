"""What the tests of packages and images share: commands, and where a clean Debian is made from."""

import os
import re
import subprocess

import harness

# The release of the tests' machine, and the others that the package is for.
RELEASE = "bookworm"
OTHER_RELEASES = ("trixie", "noble")
UBUNTU = ("noble",)


def run(*command, cwd="/", status=0, **environment):
    """Runs a command to its end; returns its output."""
    done = subprocess.run([os.fspath(word) for word in command], cwd=cwd, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          env=harness.clean_environment(**{"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
                                                           **environment}))
    assert done.returncode == status, f"{command}\n{done.stdout[-5000:]}"
    return done.stdout


def debootstrap(release, path, variant="minbase"):
    """Makes a clean root of a release, or fails."""
    components = "main,universe" if release in UBUNTU else "main"
    run("debootstrap", f"--variant={variant}", f"--components={components}", release, path, mirror(release))


def mirror(release=RELEASE):
    """Where a release comes from: BAGELHOOK_UBUNTU_MIRROR or BAGELHOOK_MIRROR, else where this machine's packages come from."""
    if release in UBUNTU:
        found = os.environ.get("BAGELHOOK_UBUNTU_MIRROR")
        assert found, "BAGELHOOK_UBUNTU_MIRROR is not set"
        return found
    found = re.findall(r"(\S+/debian)/? ", run("apt-get", "indextargets", "--format", "$(SITE)  $(RELEASE)")
                       + " http://deb.debian.org/debian ")
    return os.environ.get("BAGELHOOK_MIRROR") or found[0]
