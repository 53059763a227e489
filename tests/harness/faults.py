"""Calls of a program under test that fail when a test says so: tests/faults/faults.c is preloaded into it."""

import contextlib
import errno
import fcntl
import mmap
import os
import struct
import subprocess

from .process import BUILD, HarnessError

LIBRARY = "tests/faults/faults.so"
# struct faults: call, error, armed; skip, times, seen, failed.
CHOICE, ARMED, COUNTS = struct.Struct("=24sII"), struct.Struct("=I"), struct.Struct("=QQQQ")
ARMED_AT = 28


class Faults:
    """Give its environment to the Responder whose calls are to fail. Its file is in a directory of the caller's."""

    # In place of an error: the call hangs until it is disarmed, and then does what it is to do.
    HANGS = 0

    def __init__(self, directory):
        # Several processes of pytest may want it at once.
        with open(BUILD / "faults.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            built = subprocess.run(["make", "-s", "-C", BUILD, LIBRARY], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, check=False)
        if built.returncode != 0:
            raise HarnessError(f"{LIBRARY} cannot be built:\n{built.stdout}")
        path = directory / "faults"
        path.write_bytes(bytes(CHOICE.size + COUNTS.size))
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.environment = {"LD_PRELOAD": os.fspath(BUILD / LIBRARY), "FAULTS": path}

    def arm(self, call, skip=0, times=1, error=errno.ENOMEM):
        """From now on, skip calls of this name succeed (of "memory": allocations), and then so many fail."""
        self.disarm()
        COUNTS.pack_into(self._map, CHOICE.size, skip, times, 0, 0)
        CHOICE.pack_into(self._map, 0, call.encode(), error, 0)
        ARMED.pack_into(self._map, ARMED_AT, 1)

    def disarm(self):
        ARMED.pack_into(self._map, ARMED_AT, 0)

    @contextlib.contextmanager
    def armed(self, *arguments, **options):
        self.arm(*arguments, **options)
        try:
            yield self
        finally:
            self.disarm()

    @property
    def seen(self):
        """How many such calls there were since arm()."""
        return COUNTS.unpack_from(self._map, CHOICE.size)[2]

    @property
    def failed(self):
        """How many of them were made to fail."""
        return COUNTS.unpack_from(self._map, CHOICE.size)[3]
