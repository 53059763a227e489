"""The rivals: handlers that people write by hand instead of using bagelhook, each with a database of its own
(rivals/schema.sql), behind the same nginx."""

import os
import pathlib
import re
import shutil
import time

from contestants import SOURCE, STATE, TEMPLATES, Http, harness

RIVALS = SOURCE / "bench" / "rivals"
STORE = RIVALS / "store.sql"
# Connections of a rival to its database, over all of its processes. With PHP each process has one.
POOL = 32
PHP_PROCESSES = 8

LOCATION = """
location = /webhooks/bagelpay {{
    {gateway}
    client_max_body_size 1m;
    client_body_buffer_size 1m;
}}
"""
PROXY = """
    proxy_pass http://handler;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
"""
FPM = """
[global]
daemonize = no
error_log = {directory}/log

[webhook]
{user}
listen = {directory}/fpm.sock
listen.mode = 0666
pm = static
pm.max_children = {processes}
catch_workers_output = yes
env[SECRET] = "{secret}"
env[DSN] = "pgsql:host={cluster.host};port={cluster.port};dbname={db};user=postgres"
"""


class RivalNginx(harness.Nginx):
    """The same nginx with another location. port is the handler's if it speaks HTTP: its connections are kept."""

    def __init__(self, gateway, port=None):
        self.gateway, self.handler_port = gateway, port
        super().__init__("not-used.sock")

    def _configure(self):
        super()._configure()
        (self.directory / "bagelhook.conf").write_text(LOCATION.format(gateway=self.gateway.strip()))
        if self.handler_port:
            main = (self.directory / "nginx.conf").read_text()
            upstream = f"upstream handler {{ server 127.0.0.1:{self.handler_port}; keepalive 64; }}\n\n    server {{"
            (self.directory / "nginx.conf").write_text(main.replace("server {", upstream, 1))


class Rival(Http):
    """A subclass's start() starts a handler and, as self.nginx, an nginx in front of it, and returns the handler's process."""

    events_table = "webhook_events"

    def __init__(self, cluster):
        super().__init__(cluster, cluster.create_database(migrated=False))
        with cluster.connect(self.db) as connection:
            connection.execute((RIVALS / "schema.sql").read_text())
        self.directory = harness.make_directory("rival")
        self.owned.callback(shutil.rmtree, self.directory, ignore_errors=True)
        try:
            handler = self.start()
            self.processes = {"handler": handler.pid, "nginx": self.nginx.process.pid}
            self.check()
        except BaseException:
            self.close()
            raise

    def start(self):
        raise NotImplementedError

    def process(self, command, address, **options):
        """Starts the handler and waits for it to listen."""
        process = harness.Process(command, self.directory / "log", **options)
        self.owned.callback(process.end)
        harness.wait_until(lambda: harness.accepts(address), self.name, process=process, log=process.log_path)
        return process

    def check(self):
        """Raises HarnessError unless the handler verifies signature and timestamp, and stores a repeated event once."""
        bodies = [path.read_bytes() for path in TEMPLATES]
        answers = [harness.deliver(self.nginx.url, self.secret, body).status for body in [*bodies, *bodies]]
        answers += [harness.deliver(self.nginx.url, "another secret", bodies[0]).status,
                    harness.deliver(self.nginx.url, self.secret, bodies[0], int(time.time()) - 3600).status]
        with self.cluster.connect(self.db) as connection:
            rows = connection.execute("""SELECT (SELECT count(*) FROM webhook_events), (SELECT count(*) FROM orders),
                (SELECT count(*) FROM subscriptions WHERE period_end = '2025-10-14 08:30:02Z')""").fetchone()
        if answers != [200] * 4 + [401] * 2 or rows != (2, 1, 1):
            raise harness.HarnessError(f"{self.name} does not work: answers {answers}, rows {rows}\n"
                                       f"{(self.directory / 'log').read_text()}")


class HttpRival(Rival):
    """A handler that speaks HTTP on a port. A subclass has the command, its directory (place) and the number of processes."""

    workers = 1
    environment = {}

    def start(self):
        port = harness.free_port()
        process = self.process(
            self.command(port), ("127.0.0.1", port), cwd=self.place, env=harness.clean_environment(
                PORT=port, SECRET=self.secret, POOL=POOL // self.workers, PGHOST=self.cluster.host, PGPORT=self.cluster.port,
                PGUSER="postgres", PGDATABASE=self.db, **self.environment))
        self.nginx = self.owned.enter_context(RivalNginx(PROXY, port))
        return process

    def command(self, port):
        raise NotImplementedError


class Node(HttpRival):
    name = "Node, one statement"
    place = STATE / "node"
    environment = {"NODE_ENV": "production", "STORE": STORE}

    def command(self, port):
        return ["node", "server.js"]

    @classmethod
    def installed(cls):
        """Returns true if bench/run has installed the packages that the program needs."""
        return (cls.place / "installed").exists() and shutil.which("node") is not None


class NodeSeparate(Node):
    name = "Node, separate statements"
    environment = {"NODE_ENV": "production"}


class FastApi(HttpRival):
    name = "FastAPI + asyncpg"
    place = RIVALS
    workers = 2
    environment = {"STORE": STORE}

    def command(self, port):
        return ["/usr/bin/python3", "-m", "uvicorn", "server:app", "--host", "127.0.0.1", "--port", str(port),
                "--workers", str(self.workers), "--loop", "uvloop", "--http", "httptools", "--no-access-log",
                # Longer than nginx keeps its connections, which it would otherwise find closed.
                "--timeout-keep-alive", "75", "--log-level", "warning"]


class Php(Rival):
    """PHP-FPM with Debian's php.ini and a pool of our own. As root, its processes run as Debian's user of web servers."""

    name = "PHP-FPM + PDO"

    def start(self):
        statement = re.sub(r"\$(\d+)", r":p\1", re.sub(r"^--.*\n", "", STORE.read_text(), flags=re.M))
        (self.directory / "server.php").write_text((RIVALS / "server.php").read_text().replace("@STORE@", statement.strip()))
        user = "user = www-data\ngroup = www-data" if os.geteuid() == 0 else ""
        (self.directory / "fpm.conf").write_text(FPM.format(
            directory=self.directory, user=user, processes=PHP_PROCESSES, secret=self.secret, cluster=self.cluster, db=self.db))
        program = sorted(pathlib.Path("/usr/sbin").glob("php-fpm*"))[-1]
        socket = self.directory / "fpm.sock"
        process = self.process([program, "--fpm-config", self.directory / "fpm.conf"], socket, cwd="/",
                               env=harness.clean_environment())
        self.nginx = self.owned.enter_context(RivalNginx(
            f"include /etc/nginx/fastcgi_params;\n    fastcgi_param SCRIPT_FILENAME {self.directory}/server.php;\n"
            f"    fastcgi_pass unix:{socket};"))
        return process
