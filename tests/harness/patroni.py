"""Patroni clusters: etcd, Patroni, PostgreSQL and HAProxy as processes, with the files of contrib/patroni."""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import pwd
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess

import psycopg

from .cluster import TEMPLATE, Cluster, Server
from .delivery import post
from .process import (HarnessError, Process, accepts, clean_environment, descendants, fill_in, free_port, gone,
                      make_directory, wait_until)
from .webserver import WebServer

FILES = "contrib/patroni"
MACHINES = 3
# The longest that a change of leader takes: ttl, then some rounds of Patroni's, on a busy machine.
PATIENCE_S = 180


def _every(pattern):
    """What the files say of all three machines, with {} for a machine's number."""
    return ",".join(pattern.replace("{}", str(number)) for number in range(1, MACHINES + 1))


class Etcd:
    """One member of etcd, on a machine."""

    def __init__(self, cluster, machine):
        self._cluster = cluster
        self.address = cluster.addresses[machine]
        self.log_path = cluster.directory / f"etcd{machine}.log"
        names = ",".join(f"db{one}=http://{cluster.addresses[one]}:{cluster.ports['2380']}"
                         for one in range(1, cluster.etcd_members + 1))
        text = fill_in(f"{FILES}/etcd.default", {
            _every("db{}=http://10.0.0.1{}:2380"): names, "@NAME@": f"db{machine}", "@ADDRESS@": self.address,
            ":2379": f":{cluster.ports['2379']}", ":2380": f":{cluster.ports['2380']}",
            "/var/lib/etcd/bagelhook": cluster.directory / f"etcd{machine}"})
        # As systemd reads it.
        self._environment = dict(re.findall(r'^(\w+)="(.*)"$', text, re.MULTILINE))
        self.process = None
        self.start()

    def start(self):
        """Starts it, also again after kill()."""
        self.process = Process([*self._cluster.prefix, "env", *(f"{k}={v}" for k, v in self._environment.items()), "etcd"],
                               self.log_path, cwd="/", env=clean_environment(), start_new_session=True)

    def kill(self):
        self.process.end(signal.SIGKILL)

    def close(self):
        if self.process.poll() is None:
            self.kill()


class Member:
    """One machine of the cluster: Patroni, and the PostgreSQL that Patroni starts and that outlives it."""

    def __init__(self, cluster, machine):
        self._cluster = cluster
        self.name, self.address = f"db{machine}", cluster.addresses[machine]
        self.directory = cluster.directory / self.name
        self.directory.mkdir()
        if os.geteuid() == 0:
            shutil.chown(self.directory, cluster.user)
        self.log_path = cluster.directory / f"{self.name}.log"
        self._path = self.directory / "patroni.yml"
        self._path.write_text(fill_in(f"{FILES}/patroni.yml", {
            **cluster.timing,
            _every("10.0.0.1{}:2379"): ",".join(f"{cluster.addresses[one]}:{cluster.ports['2379']}"
                                                 for one in range(1, cluster.etcd_members + 1)),
            "10.0.0.0/24": "127.0.0.0/8", "@NAME@": self.name, "@ADDRESS@": self.address,
            ":8008": f":{cluster.ports['8008']}", ":5432": f":{cluster.ports['5432']}",
            "/usr/lib/postgresql/15/bin": cluster.bin, "/var/lib/postgresql/15/bagelhook": self.directory / "data", "/var/lib/postgresql": self.directory,
            "/var/run/postgresql": self.directory,
            # A watchdog would restart the machine that runs the tests.
            "mode: automatic": "mode: off",
            **{f"@{role}_PASSWORD@": password for role, password in cluster.passwords.items()}}))
        self.process = None
        self.start()

    def start(self):
        """Starts Patroni, also again after it was killed or stopped."""
        self.process = Process([*self._cluster.prefix, "/usr/bin/patroni", self._path], self.log_path, cwd="/",
                               env=clean_environment(), start_new_session=True)

    def _postmaster(self):
        """Its id, or None where no PostgreSQL runs."""
        try:
            pid = int((self.directory / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None
        # The file outlives a server that was killed, and another process may have the id by then.
        with contextlib.suppress(OSError):
            if not gone(pid) and pathlib.Path(f"/proc/{pid}/cwd").resolve() == self.directory / "data":
                return pid
        return None

    def _patroni(self):
        return self.process.pid if self.process.poll() is None else None

    def _stop_all(self, *heads):
        """Stops what these functions name, one after the other, and all processes below; returns the ids."""
        stopped = []
        for head in heads:
            # Only now: a Patroni that is stopped starts no PostgreSQL any more.
            pid = head()
            if pid is None:
                continue
            # The head first, so that it gets no child that we would miss.
            stopped += _stop(pid)
            for child in descendants(pid):
                stopped += _stop(child)
        return stopped

    def _kill_all(self, *heads):
        pids = self._stop_all(*heads)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # Patroni itself is our child; the others are reaped by whoever has taken them.
        if self.process.pid in pids:
            self.process.popen.wait()
        wait_until(lambda: all(gone(pid) for pid in pids), f"the processes of {self.name} to end")

    def kill(self):
        """All of the machine's processes die at once."""
        self._kill_all(self._patroni, self._postmaster)

    def kill_patroni(self):
        """Patroni dies, and PostgreSQL goes on without it."""
        self._kill_all(self._patroni)

    def kill_postgres(self):
        """PostgreSQL dies, with all its processes, and Patroni notices."""
        self._kill_all(self._postmaster)

    @contextlib.contextmanager
    def frozen(self):
        """Within the block none of its processes runs; connections stay open."""
        pids = self._stop_all(self._patroni, self._postmaster)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def close(self):
        """Ends all, in whatever state it is; a PostgreSQL that is not just killed leaves no memory behind."""
        self.kill_patroni()
        postmaster = self._postmaster()
        if postmaster is not None:
            os.kill(postmaster, signal.SIGQUIT)
            with contextlib.suppress(HarnessError):
                wait_until(lambda: gone(postmaster), "PostgreSQL to end", timeout=10)
        self.kill()

    def stop(self):
        """As for maintenance: Patroni hands the cluster over, stops PostgreSQL and ends."""
        self.process.end(signal.SIGTERM)

    def ask(self, path, method="GET", content=None, timeout=20):
        """The answer of Patroni's REST interface; None where there is none, or none within so many seconds."""
        credentials = base64.b64encode(f"patroni:{self._cluster.passwords['RESTAPI']}".encode()).decode()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return post(f"http://{self.address}:{self._cluster.ports['8008']}{path}",
                        None if content is None else json.dumps(content).encode(),
                        {"Authorization": f"Basic {credentials}"}, method, timeout)
        return None

    def serves(self, role):
        """Whether Patroni says that it has a role, as /primary or /replica."""
        answer = self.ask(role, timeout=3) if self._patroni() else None
        return answer is not None and answer.status == 200


class Balancer(WebServer):
    """HAProxy with contrib/patroni/haproxy.cfg; beside it a page of its own, by which it is seen to run."""

    name = "haproxy"

    def __init__(self, cluster):
        self.primary_port, self.replica_port = free_port(), free_port()
        super().__init__(f"{FILES}/haproxy.cfg", {
            **{f"10.0.0.1{machine}": address for machine, address in cluster.addresses.items()},
            "127.0.0.1:5000": f"127.0.0.1:{self.primary_port}", "127.0.0.1:5001": f"127.0.0.1:{self.replica_port}",
            ":5432": f":{cluster.ports['5432']}", "port 8008": f"port {cluster.ports['8008']}"})

    def _configuration(self):
        return (f"global\n    log stderr format raw local0 notice\ndefaults\n    mode http\n    log global\n"
                f"    timeout client 5s\n    timeout connect 5s\n    timeout server 5s\n"
                f"frontend page\n    bind 127.0.0.1:{self.port}\n    stats enable\n    stats uri /\n")

    def _command(self):
        return ["haproxy", "-W", "-p", self.directory / "pid", "-f", self.directory / "server.conf", "-f", self.snippet]


class Patroni(Server):
    """A cluster of Patroni's, each machine of which has an address of its own below 127. It is healthy after a while.

    timing: what of patroni.yml is to be other than there, {text: text}.
    """

    # On a busy machine the port or address may be somebody else's.
    ATTEMPTS = 20

    def __init__(self, members=3, etcd_members=3, timing=None):
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.bin = self._find_server()
        self.prefix = self._prefix()
        self.etcd_members, self.timing = etcd_members, timing or {}
        self.passwords = {role: secrets.token_hex(16) for role in ("RESTAPI", "SUPERUSER", "REPLICATION", "REWIND")}
        self.password = secrets.token_hex(16)
        self.directory = make_directory("patroni", self.user)
        self._owned = contextlib.ExitStack()
        self._owned.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self.members, self.etcd = [], []
        try:
            self._choose_addresses()
            for machine in range(1, etcd_members + 1):
                self.etcd.append(Etcd(self, machine))
                self._owned.callback(self.etcd[-1].close)
            wait_until(lambda: all(accepts((one.address, self.ports["2379"])) for one in self.etcd), "etcd",
                       log=self.etcd[0].log_path)
            for machine in range(1, members + 1):
                self.members.append(Member(self, machine))
                self._owned.callback(self.members[-1].close)
        except BaseException:
            self.close()
            raise

    def _choose_addresses(self):
        for _ in range(self.ATTEMPTS):
            net = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}"
            self.addresses = {machine: f"{net}.{machine}" for machine in range(1, MACHINES + 1)}
            self.ports = {port: free_port() for port in ("2379", "2380", "5432", "8008")}
            if all(_is_free(address, port) for address in self.addresses.values() for port in self.ports.values()):
                return
        raise HarnessError(f"no free addresses, such as {self.addresses} with {self.ports}")

    def primary(self):
        """The member that Patroni says is the leader, or None."""
        return next((one for one in self.members if one.serves("/primary")), None)

    def synchronous(self):
        """The synchronous standby, or None."""
        return next((one for one in self.members if one.serves("/synchronous")), None)

    def wait_primary(self, besides=None):
        """Waits for a leader other than the given member, and returns it."""
        def found():
            one = self.primary()
            return one if one is not besides else None

        return wait_until(found, "a leader", PATIENCE_S)

    def wait_healthy(self):
        """Until there is a leader, all the others follow it, and one of them synchronously."""
        wait_until(self._is_healthy, "all members to follow a leader", PATIENCE_S, log=self.members[0].log_path)

    def _is_healthy(self):
        if self.primary() is None or self.synchronous() is None:
            return False
        try:
            with self.connect() as connection:
                states = [state for state, in connection.execute(
                    "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'")]
        except psycopg.OperationalError:
            return False
        return len(states) == len(self.members) - 1 and "sync" in states

    def configure(self, **settings):
        """Changes the dynamic configuration, as patronictl edit-config does."""
        answer = self.wait_primary().ask("/config", "PATCH", settings)
        assert answer.status == 200, answer

    def switch_over(self):
        """Asks the leader to hand over to its synchronous standby."""
        leader, candidate = self.wait_primary(), self.synchronous()
        answer = leader.ask("/switchover", "POST", {"leader": leader.name, "candidate": candidate.name})
        assert answer.status == 200, answer

    @property
    def host(self):
        return self.wait_primary().address

    @property
    def port(self):
        return self.ports["5432"]

    def dsn(self, user="postgres", db="postgres"):
        """Of the leader that there is now."""
        password = self.passwords["SUPERUSER"] if user == "postgres" else self.password
        return f"{super().dsn(user, db)} password={password}"

    def sqitch(self, command, db, *arguments, **more):
        return super().sqitch(command, db, *arguments, PGPASSWORD=self.passwords["SUPERUSER"], **more)

    def create_database(self):
        """The database that the files name, migrated, with the role bagelhook; in place of the last one that was made."""
        with self.connect() as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (TEMPLATE,)).rowcount == 0:
                self._make_template(connection)
                connection.execute(f"ALTER ROLE bagelhook PASSWORD '{self.password}'")
            connection.execute("DROP DATABASE IF EXISTS shop WITH (FORCE)")
            connection.execute(f"CREATE DATABASE shop TEMPLATE {TEMPLATE}")
        return "shop"

    def _make_template(self, connection):
        """Migrates, or takes it with the roles from where Cluster finds migrated data."""
        if "BAGELHOOK_MIGRATED" not in os.environ:
            connection.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
            self.deploy(TEMPLATE)
            connection.execute("CREATE ROLE bagelhook LOGIN IN ROLE bagelpay_ingest")
            return
        with Cluster() as other:
            dump = subprocess.run([other.program("pg_dumpall"), f"--host={other.host}", "--username=postgres"],
                                  capture_output=True, text=True, check=True).stdout
        # The superuser is here already.
        dump = "".join(line for line in dump.splitlines(keepends=True) if " ROLE postgres" not in line)
        subprocess.run([self.program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", self.dsn()], input=dump,
                       stdout=subprocess.DEVNULL, text=True, check=True)

    def environment(self):
        """Of a client: the connection service bagelhook, and the password of that role."""
        service, passwords = self.directory / "pg_service.conf", self.directory / "pgpass"
        service.write_text(fill_in(f"{FILES}/pg_service.conf", {
            _every("10.0.0.1{}"): ",".join(self.addresses.values()), "port=5432": f"port={self.port}"}))
        passwords.touch(mode=0o600)
        passwords.write_text(f"*:*:*:bagelhook:{self.password}\n")
        return {"PGSERVICEFILE": service, "PGPASSFILE": passwords}

    def close(self):
        self._owned.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _is_free(address, port):
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((address, port))
        except OSError:
            return False
        return True


def _stop(pid):
    """Stops a process, if it is there; returns a list with its id, or an empty one."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return []
    return [pid]
