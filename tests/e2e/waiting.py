"""Holding the database up, and watching that requests wait for it."""

import concurrent.futures
import contextlib
import os
import pathlib
import signal

from harness import wait_until


@contextlib.contextmanager
def holding(stack, sql, *parameters):
    """Runs a statement that takes locks in a transaction that ends with the block; gives its connection."""
    with stack.connect(autocommit=False) as connection:
        connection.execute(sql, parameters or None)
        yield connection
        connection.rollback()


def row_of(order):
    """Arguments for holding(): the row of one order."""
    return "SELECT FROM bagelpay.orders WHERE order_id = %s FOR UPDATE", order


def wait_blocked(stack):
    """Until the responder waits for a lock in the database."""
    with stack.connect() as connection:
        query = "SELECT FROM pg_stat_activity WHERE datname = %s AND usename = 'bagelhook' AND wait_event_type = 'Lock'"
        wait_until(lambda: connection.execute(query, (stack.db,)).rowcount > 0, "a lock to be waited for")


def wait_given_up(stack):
    """Until the responder has no transaction: at the deadline, its answer may come before the database has ended that."""
    with stack.connect() as connection:
        query = "SELECT FROM pg_stat_activity WHERE datname = %s AND usename = 'bagelhook' AND xact_start IS NOT NULL"
        wait_until(lambda: connection.execute(query, (stack.db,)).rowcount == 0, "a transaction to be given up")


def stays_unanswered(future, seconds):
    """Whether a request is without an answer for so long. The time is watched, not slept: an answer ends it."""
    return not concurrent.futures.wait([future], timeout=seconds).done


def backends(stack):
    """The ids of the server processes that serve the responder."""
    return [pid for pid, in stack.query(
        "SELECT pid FROM pg_stat_activity WHERE datname = %s AND usename = 'bagelhook'", stack.db)]


@contextlib.contextmanager
def frozen(pid):
    """Stops a process, and lets it go on at the end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T",
                   "a process to stop")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def frozen_backend(stack):
    """Stops the server process that serves the responder: a database that neither answers nor goes away."""
    pid, = backends(stack)
    return frozen(pid)
