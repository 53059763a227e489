"""What end-to-end tests and histories run on: private PostgreSQL clusters, nginx and the responder, as real processes.

Each class owns a directory and the processes it starts, and removes both with close() (or as a context manager).
Nothing listens but on Unix sockets and the loopback address. As root, PostgreSQL, which refuses to run as root, runs
as the user postgres; everything else runs as whoever runs the tests.

    BAGELHOOK_BUILD   the directory with the binaries (default: the source tree)
    BAGELHOOK_SOURCE  the source tree (default: the one this package is in)
    BAGELHOOK_PREFIX  a command that runs each responder, such as valgrind (default: none)
"""

from .apache import Apache
from .caddy import Caddy
from .cluster import Cluster
from .console import PASSWORD, USER, Console, ConsoleApache, ConsoleNginx
from .delivery import Answer, deliver, post, sign
from .faults import Faults
from .haproxy import HAProxy
from .lighttpd import Lighttpd
from .nginx import PATH, Nginx
from .patroni import Balancer, Patroni
from .pgbouncer import PgBouncer
from .process import (BUILD, PATIENCE_S, SAMPLES, SOURCE, HarnessError, Process, accepts, clean_environment,
                      end_on_sigterm, free_port, is_sanitized, make_directory, wait_until)
from .remote import Authority, RemoteCluster
from .responder import Responder
from .stack import Stack

__all__ = ["BUILD", "PASSWORD", "PATH", "PATIENCE_S", "SAMPLES", "SOURCE", "USER", "Answer", "Apache", "Authority",
           "Balancer", "Caddy", "Cluster", "Console", "ConsoleApache", "ConsoleNginx", "Faults", "HAProxy",
           "HarnessError", "Lighttpd", "Nginx", "Patroni", "PgBouncer", "Process", "RemoteCluster", "Responder", "Stack",
           "accepts", "clean_environment", "deliver", "end_on_sigterm", "free_port", "is_sanitized", "make_directory",
           "post", "sign", "wait_until"]
