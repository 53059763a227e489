"""CPU time and memory of processes, as the kernel counts them."""

import os
import pathlib

_TICK_US = 1_000_000 / os.sysconf("SC_CLK_TCK")


def _fields(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()


def tree(pid):
    """The ids of a process and all of its descendants."""
    found = [pid]
    for one in found:
        try:
            children = pathlib.Path(f"/proc/{one}/task/{one}/children").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found += [int(child) for child in children.split()]
    return found


def cpu_us(pid):
    """Microseconds that a process and its descendants have run, ended ones included."""
    while True:
        processes, total = tree(pid), 0
        for one in processes:
            try:
                fields = _fields(one)
            except (FileNotFoundError, ProcessLookupError):
                continue
            # utime, stime, and those of children that ended and were waited for
            total += sum(int(fields[i]) for i in (11, 12, 13, 14))
        # The time of a process that ends meanwhile moves to its parent, and may have been missed in both.
        if tree(pid) == processes:
            return total * _TICK_US


def peak_rss_kib(pid):
    """Sum of the peak resident sizes of a process and its descendants."""
    return _status_kib(pid, "VmHWM:")


def rss_kib(pid):
    """The same of their resident sizes now."""
    return _status_kib(pid, "VmRSS:")


def _status_kib(pid, name):
    total = 0
    for one in tree(pid):
        try:
            status = pathlib.Path(f"/proc/{one}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith(name)), 0)
    return total
