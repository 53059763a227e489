"""The programs of examples/ in one language, as examples/README.md runs them."""

import contextlib
import re
import shutil
import subprocess
import sys
import textwrap

import pytest

import harness

LANGUAGES = {"python": (sys.executable, "py"), "node": ("node", "js"), "php": ("php", "php")}
COPIES = (harness.SOURCE / "docs" / "copies.md").read_text()


class Examples:
    """Commands in one language; directory is where Node.js may have its packages."""

    def __init__(self, language, directory):
        self.language = language
        self.interpreter, self.suffix = LANGUAGES[language]
        self.directory = harness.SOURCE / "examples" / language
        if language == "node":
            self.directory = shutil.copytree(self.directory, directory / "node",
                                             ignore=shutil.ignore_patterns("node_modules"))
            try:
                subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=self.directory, check=True,
                               capture_output=True, timeout=harness.PATIENCE_S)
            except (OSError, subprocess.SubprocessError) as error:
                pytest.skip(f"the packages of examples/node cannot be had: {error}")

    def path(self, name):
        return self.directory / f"{name}.{self.suffix}"

    @contextlib.contextmanager
    def shop(self, cluster, user, db, log):
        """Runs the shop, which asks a database; yields its URL."""
        port = harness.free_port()
        command = [self.interpreter, self.path("shop")]
        if self.language == "php":
            command[1:1] = ["-S", f"127.0.0.1:{port}"]
        environment = harness.clean_environment(
            PORT=port, PGHOST=cluster.host, PGPORT=cluster.port, PGUSER=user, PGDATABASE=db)
        process = harness.Process(command, log, env=environment)
        try:
            harness.wait_until(lambda: harness.accepts(("127.0.0.1", port)), "the shop", process=process, log=log)
            yield f"http://127.0.0.1:{port}"
            assert process.poll() is None
        finally:
            process.end()

    def keep_copy(self, source, copy, log):
        """Starts what keeps a copy; source and copy are (cluster, user, db)."""
        command = [self.interpreter, self.path("keep_copy"), self._named(*source), self._named(*copy)]
        return harness.Process(command, log, env=harness.clean_environment())

    def _named(self, cluster, user, db):
        if self.language == "node":
            return f"postgresql://{user}@/{db}?host={cluster.host}&port={cluster.port}"
        return cluster.dsn(user, db)


def copy_database(cluster):
    """A new database with the tables of a copy, as docs/copies.md has them; returns its name."""
    db = cluster.create_database(migrated=False)
    with cluster.connect(db) as connection:
        connection.execute(textwrap.dedent(re.search(
            r"^    CREATE TABLE access \(.*?(?=^\S)", COPIES, re.DOTALL | re.MULTILINE)[0]))
    return db


def create_role(cluster, name, member_of):
    """A login with one role; roles belong to the cluster, which several tests share."""
    with cluster.connect() as connection:
        if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (name,)).fetchall():
            connection.execute(f"CREATE ROLE {name} LOGIN IN ROLE {member_of}")
