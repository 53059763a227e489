"""Starting: what is said, in one line, where it cannot; --check; options and their environment variables."""

import contextlib
import re
import shutil
import socket
import subprocess
import time

import pytest

import bodies
import fastcgi
import harness

NO_SECRET = "no signing secret: give --secret-file FILE"
DEPLOY = "run, as a role that may create roles: PGHOST='{host}' PGPORT={port} sqitch --chdir {sql} deploy db:pg:"


def run(*arguments, stdin=subprocess.DEVNULL, **environment):
    """Runs bagelhook until it ends; returns exit status, standard output and the lines of standard error."""
    done = subprocess.run([str(word) for word in (harness.BUILD / "bagelhook", *arguments)], stdin=stdin,
                          capture_output=True, text=True, check=False, cwd="/", timeout=harness.PATIENCE_S,
                          env=harness.clean_environment(**environment))
    return done.returncode, done.stdout, done.stderr.splitlines()


@pytest.fixture
def secret_file(tmp_path):
    """A good secret file."""
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text("the_secret_of_the_webhook\n")
    return path


@pytest.fixture(params=[[], ["--check"]], ids=["start", "check"])
def refuse(request, secret_file, tmp_path):
    """refuse(status, text, *arguments) starts bagelhook, and again with --check, and sees it refuse in one line.

    The line has to contain the text. The socket must be gone, and nothing says that all is in order.
    """
    listen = tmp_path / "socket"

    def run_and_see(status, text, *arguments, secret=secret_file, **environment):
        secret = [] if secret is None else ["--secret-file", secret]
        code, output, lines = run("--listen", f"unix:{listen}", *secret, *arguments, *request.param, **environment)
        # It listens while it waits for the database.
        complaints = [line for line in lines if not line.startswith("time=")]
        assert all("level=info" in line for line in lines if line not in complaints)
        assert (code, len(complaints)) == (status, 1), complaints
        assert "in order" not in output and (request.param and status != 2 or output == "")
        assert complaints[0].startswith("bagelhook: ")
        assert text in complaints[0]
        assert not listen.exists()
        return complaints[0]

    return run_and_see


@pytest.mark.parametrize("arguments, text", [
    (["--nonsense"], "unknown option --nonsense; try --help"),
    (["--treads", "4"], "unknown option --treads; did you mean --threads?"),
    (["--secretfile=x"], "unknown option --secretfile; did you mean --secret-file?"),
    (["--max-bdoy", "1"], "unknown option --max-bdoy; did you mean --max-body?"),
    (["--" + "x" * 1000], "x; try --help"),
    (["--check=1"], "--check: takes no value"),
    (["-x"], "unknown option -x; try --help"),
    (["-hx"], "unknown option -hx; try --help"),
    # An abbreviation is none, however clear it is.
    (["--ins"], "unknown option --ins; try --help"),
    (["--insecure-no-signatur"], "unknown option --insecure-no-signatur; did you mean --insecure-no-signature?"),
    (["--thread", "4"], "unknown option --thread; did you mean --threads?"),
    (["--no-sand"], "unknown option --no-sand"),
    (["--versio"], "unknown option --versio; did you mean --version?"),
    (["--database", "host=/tmp port"], '--database: missing "=" after "port"'),
    (["--database", "hots=/tmp"], '--database: invalid connection option "hots"'),
    (["--database", "postgresql://[::1/x"], "--database: "),
    (["--listen", "unix:relative.sock"], "--listen unix:relative.sock: must be an absolute path of at most 107 bytes"),
    (["--listen", f"unix:/tmp/{'x' * 108}"], "must be an absolute path of at most 107 bytes"),
    (["--listen", "localhost"], "--listen localhost: must be unix:/path or host:port"),
    (["--listen", "localhost:"], "must be unix:/path or host:port"),
    (["--listen", ":9000"], "must be unix:/path or host:port"),
    (["--admin-listen", "9000"], "--admin-listen 9000: must be unix:/path or host:port"),
    (["serve"], "serve: takes no arguments besides options"),
    (["whsec_1234"], "a word that looks like a secret: takes no arguments besides options"),
    (["--", "--help"], "--help: takes no arguments besides options"),
    (["--threads"], "--threads: needs a value"),
    (["--listen", "unix:/tmp/x", "--admin-listen", "unix:/tmp/x", "--secret-file", "/x"], "--admin-listen: the same as --listen"),
    (["--threads", "0"], '--threads: must be a number from 1 to 512, not "0"'),
    (["--threads", "513"], "--threads: must be a number from 1 to 512"),
    (["--threads", ""], "--threads: must be a number"),
    (["--queue", "1e3"], "--queue: must be a number from 1 to 100000"),
    (["--batch", "+1"], "--batch: must be a number from 1 to 1000"),
    (["--max-body", "1M"], "--max-body: must be a number from 1 to 67108864"),
    (["--read-timeout", "0.5"], "--read-timeout: must be a number from 1 to 3600"),
    (["--commit-timeout", "-1"], "--commit-timeout: must be a number from 1 to 3600"),
    (["--max-age", "99999999999999999999"], "--max-age: must be a number from 0 to 1000000000"),
    (["--socket-mode", "888"], "--socket-mode: must be an octal mode from 0 to 777"),
    (["--socket-mode", "1777"], "--socket-mode: must be an octal mode from 0 to 777"),
    (["--database", ""], "--database: must not be empty"),
])
def test_usage(refuse, arguments, text):
    """2, and the option that is wrong with what it takes."""
    if arguments[-1] == "--threads":
        assert run(*arguments) == (2, "", [f"bagelhook: {text}"])
    else:
        refuse(2, text, *arguments)


@pytest.mark.parametrize("variable, value, text", [
    ("BAGELHOOK_THREADS", "many", 'BAGELHOOK_THREADS: must be a number from 1 to 512, not "many"'),
    ("BAGELHOOK_SOCKET_MODE", "rw", "BAGELHOOK_SOCKET_MODE: must be an octal mode"),
    ("BAGELHOOK_MAXAGE", "300", "BAGELHOOK_MAXAGE: no such variable; did you mean BAGELHOOK_MAX_AGE?"),
    ("BAGELHOOK_NONSENSE", "", "BAGELHOOK_NONSENSE: no such variable; see bagelhook --help"),
    ("BAGELHOOK_INSECURE_NO_SIGNATURE", "maybe", 'BAGELHOOK_INSECURE_NO_SIGNATURE: must be yes or no, not "maybe"'),
])
def test_usage_in_the_environment(refuse, variable, value, text):
    """The same for variables, by their names."""
    refuse(2, text, **{variable: value})


@pytest.mark.parametrize("environment", [{}, {"BAGELHOOK_SECRET_FILE": ""}, {"BAGELHOOK_INSECURE_NO_SIGNATURE": "no"}])
def test_no_secret(refuse, environment):
    """Without a secret nothing is served, unless it is said in so many words."""
    line = refuse(2, NO_SECRET, secret=None, **environment)
    assert "--insecure-no-signature" in line


@pytest.mark.parametrize("content, text", [
    (None, "No such file or directory"),
    ("directory", "Is a directory"),
    (b"", "holds no secret: write the webhook's signing secret into it"),
    (b"\n\r\n\n", "holds no secret: write the webhook's signing secret into it"),
    (b"the_secret_of_the_webhook" + b"\n" + b"x" * 1025 + b"\n", "line 2: longer than 1024 bytes"),
    (b"x" * 1200, "line 1: longer than 1024 bytes"),
    (b"".join(b"a_secret_of_the_webhook_%d\n" % number for number in range(65)), "line 65: more than 64 secrets"),
    (b"# old\n\"a_secret_of_the_webhook\"\n", "line 2: quotes around the secret: remove them"),
    (b"WEBHOOK_SECRET=a_secret_of_the_webhook\n", "line 1: NAME=value: write the value alone"),
    (b"WEBHOOK_SECRET=\n", "line 1: NAME=value: write the value alone"),
    (b"a_secret_of the_webhook\n", "line 1: white space"),
    ("a_secret_of_the_webhook\n".encode("utf-16"), "save it as UTF-8"),
], ids=["missing", "directory", "empty", "only line ends", "long", "long line", "too many", "quotes", "assignment", "empty assignment",
        "white space", "UTF-16"])
def test_unusable_secret_file(refuse, cluster, tmp_path, content, text):
    """1, with the file's name and what to do about it."""
    path = tmp_path / "unusable"
    if content == "directory":
        path.mkdir()
    elif content is not None:
        path.touch(mode=0o600)
        path.write_bytes(content)
    database = ["--database", cluster.dsn("bagelhook", cluster.create_database())]
    assert str(path) in refuse(1, text, *database, secret=path)


@pytest.mark.parametrize("given", ["whsec_1234", "0123456789abcdef01234567", "x" * 300], ids=["whsec", "24", "300"])
def test_secret_as_a_file_name(refuse, cluster, given):
    """A secret that is given in place of its file is not printed."""
    line = refuse(1, "--secret-file: there is no file of this name, which looks like the secret itself: write the secret into a file",
                  "--database", cluster.dsn("bagelhook", cluster.create_database()), secret=given)
    assert given not in line


@pytest.mark.parametrize("name", ["secret", "webhook_secret_of_the_shop.txt"])
def test_missing_secret_file(refuse, cluster, name):
    """The name of a file that is merely missing is printed."""
    refuse(1, f"cannot read the secret file {name}: No such file or directory", "--database",
           cluster.dsn("bagelhook", cluster.create_database()), secret=name)


@pytest.mark.parametrize("content, oddity, line", [
    ("prod:a_secret_of_the_webhook\n", "begins with a prefix that is neither live: nor test:", 1),
    ("a_secret_of_the_webhook\nProd:another_of_the_webhook\n", "begins with a prefix that is neither live: nor test:", 2),
    ("a_secret_of_the_webhook\n\na_secret_of_the_webhook\n", "is there a second time", 3),
    ("live:a_secret_of_the_webhook\ntest:a_secret_of_the_webhook\n", "is there a second time", 2),
])
def test_odd_secrets(secret_file, content, oddity, line):
    """A secret that is used, but is hardly what was meant, is told, with its line; but not the secret."""
    secret_file.write_text(content)
    status, output, complaints = run("--check", "--secret-file", secret_file, "--database", "host=/nonexistent")
    assert status == 3 and "secrets: " in output and len(complaints) == 2
    assert f"a secret {oddity}" in complaints[0] and complaints[0].endswith(f" line={line}") and "of_the_webhook" not in complaints[0]


def test_superuser(cluster, secret_file):
    """A superuser is told to be more than is needed."""
    database = cluster.dsn("postgres", cluster.create_database())
    status, _, complaints = run("--check", "--listen", "unix:/tmp/x", "--secret-file", secret_file, "--database", database)
    assert (status, len(complaints)) == (0, 1)
    assert "level=warn" in complaints[0] and "the role is a superuser" in complaints[0] and "CREATE ROLE bagelhook LOGIN" in complaints[0]


def test_secret_file_open_to_others(cluster, secret_file):
    """A secret that everybody may read is used, with a warning."""
    secret_file.chmod(0o644)
    status, _, complaints = run("--secret-file", secret_file, "--database",
                                cluster.dsn("bagelhook", cluster.create_database()), "--check")
    assert status == 0 and len(complaints) == 1 and "the secret file is open to others" in complaints[0]


@pytest.fixture(scope="module")
def databases(cluster):
    """Databases that cannot be served, by name, as arguments."""
    good, newer, older, closed = (cluster.create_database() for _ in range(4))
    with cluster.connect() as connection:
        for role in ("CREATE ROLE nologin_1 IN ROLE bagelpay_ingest", "CREATE ROLE outsider LOGIN"):
            connection.execute(role)
    for name, oldest, newest in ((newer, 2, 3), (older, 0, 0)):
        with cluster.connect(name) as connection:
            connection.execute("CREATE OR REPLACE FUNCTION bagelpay.served_responders"
                               " (OUT oldest integer, OUT newest integer) LANGUAGE sql IMMUTABLE PARALLEL SAFE"
                               f" AS 'SELECT {oldest}, {newest}'")
    with cluster.connect() as connection:
        connection.execute(f'REVOKE CONNECT ON DATABASE "{closed}" FROM PUBLIC')
    return {name: ["--database", conninfo] for name, conninfo in {
        "no login": cluster.dsn("nologin_1", good), "no role": cluster.dsn("nobody_here", good),
        "no grant": cluster.dsn("outsider", good), "no database": cluster.dsn("bagelhook", "nowhere"),
        "no right to connect": cluster.dsn("bagelhook", closed),
        "no schema": cluster.dsn("bagelhook", cluster.create_database(migrated=False)),
        "newer schema": cluster.dsn("bagelhook", newer), "older schema": cluster.dsn("bagelhook", older),
        "unknown service": "service=nowhere",
        "no port": "host=/tmp port=abc", "no port of two": "host=/tmp,/tmp port=5432,99999", "no address": "hostaddr=junk",
        "no mode": "host=/tmp sslmode=foo",
    }.items()}


@pytest.mark.parametrize("database, text", [
    ("no login", 'role "nologin_1" is not permitted to log in: run, as a role that may create roles: ALTER ROLE "nologin_1" LOGIN'),
    ("no role", 'role "nobody_here" does not exist: run, as a role that may create roles:'
                ' CREATE ROLE "nobody_here" LOGIN IN ROLE bagelpay_ingest'),
    ("no grant",
     'user "outsider" may not use the schema bagelpay: run, as a role that may create roles: GRANT bagelpay_ingest TO "outsider"'),
    ("no database", 'database "nowhere" does not exist: create it: createdb --host='),
    ("no right to connect", ": run, as its owner: GRANT CONNECT ON DATABASE"),
    ("no schema", "has no schema bagelpay that fits: {deploy}"),
    ("newer schema", "the schema serves responders of protocol 2 to 3, this one speaks 1: install a newer bagelhook"),
    ("older schema", "the schema serves responders of protocol 0 to 0, this one speaks 1: {deploy}"),
    ("unknown service", '"nowhere"'),
    ("no port", '--database: invalid integer value "abc" for connection option "port"'),
    ("no port of two", '; invalid port number: "99999"'),
    ("no address", '--database: could not parse network address "junk"'),
    ("no mode", '--database: invalid sslmode value: "foo"'),
])
def test_unusable_database(refuse, cluster, databases, database, text):
    """1 for what only people can mend, and how, where we can know it."""
    name = databases[database][1].rpartition("dbname=")[2]
    deploy = DEPLOY.format(host=cluster.host, port=cluster.port, sql=sql_directory()) + name
    line = refuse(1, text.format(deploy=deploy), *databases[database])
    assert "createdb" not in line or line.endswith(deploy)


def sql_directory():
    """Where `make install` puts the schema."""
    done = subprocess.run(["make", "-s", "-C", harness.BUILD, "--eval", "print:\n\t@echo $(sqldir)", "print"],
                          capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.long
def test_the_command_that_deploys(cluster, secret_file):
    """What is said of a database without the schema can be run as it is, and is enough."""
    name = cluster.create_database(migrated=False, name="a-shop's")
    arguments = ["--check", "--secret-file", secret_file, "--database", cluster.dsn("bagelhook", name).replace(
        f"dbname={name}", f"dbname='{name}'".replace("a-shop's", r"a-shop\'s"))]
    _, _, (line,) = run(*arguments)
    command = line.partition("may create roles: ")[2].replace(sql_directory(), str(harness.SOURCE / "sql"))
    subprocess.run(["bash", "-c", command], check=True, capture_output=True, env=harness.clean_environment(
        PGUSER="postgres", SQITCH_FULLNAME="tests", SQITCH_EMAIL="tests@localhost"))
    assert run(*arguments)[0] == 0


def test_half_deployed(cluster, secret_file):
    """If a deployment has not come to its end, the remedy is to go on with it, not to grant what is granted."""
    name = cluster.create_database()
    with cluster.connect(name) as connection:
        connection.execute("REVOKE USAGE ON SCHEMA bagelpay FROM bagelpay_ingest")
    status, output, complaints = run("--check", "--secret-file", secret_file, "--database", cluster.dsn("bagelhook", name))
    assert (status, len(complaints)) == (1, 1) and "in order" not in output
    assert "is not complete: run, as a role that may create roles: PGHOST=" in complaints[0] and "GRANT" not in complaints[0]


def test_check_looks_at_rights_and_settings(cluster, secret_file):
    """--check refuses a role that may not hand in events, and settings with which no event could be read."""
    for statement, text in (("REVOKE EXECUTE ON FUNCTION bagelpay.ingest FROM bagelpay_ingest", "is not complete"),
                            ("ALTER TABLE bagelpay.settings DISABLE TRIGGER ALL;"
                             " UPDATE bagelpay.settings SET provider_timezone = 'Mars/Olympus'", "provider_timezone")):
        name = cluster.create_database()
        with cluster.connect(name) as connection:
            connection.execute(statement)
        status, output, complaints = run("--check", "--secret-file", secret_file, "--database", cluster.dsn("bagelhook", name))
        assert (status, len(complaints)) == (1, 1) and text in complaints[0] and "in order" not in output


def test_refused_by_the_server(refuse, mortal):
    """The same where the server's own rules keep the login out."""
    name = mortal.create_database()
    rules = mortal.directory / "data" / "pg_hba.conf"
    before = rules.read_text()
    try:
        for rule, text in (("reject", "and the server's pg_hba.conf"), ("scram-sha-256", "the password in PGPASSFILE")):
            rules.write_text(f"local {name} bagelhook {rule}\n{before}")
            with mortal.connect() as connection:
                connection.execute("SELECT pg_reload_conf()")
            harness.wait_until(lambda: _rule_holds(mortal, name), "the rule")
            refuse(1, text, "--database", mortal.dsn("bagelhook", name))
    finally:
        rules.write_text(before)


def _rule_holds(cluster, name):
    """Whether the server keeps the responder's role out by now."""
    login = [cluster.program("psql"), "--no-password", "--no-psqlrc", "-c", "", cluster.dsn("bagelhook", name)]
    return subprocess.run(login, stdin=subprocess.DEVNULL, capture_output=True, check=False,
                          env=harness.clean_environment()).returncode != 0


def test_spaces_in_a_list(cluster, secret_file):
    """What libpq takes is taken."""
    database = cluster.dsn("bagelhook", cluster.create_database()).replace("host=", "host=/nonexistent,") + " port='1, 5432 '"
    status, output, _ = run("--listen", "unix:/tmp/x", "--secret-file", secret_file, "--database", database, "--check")
    assert (status, "in order" in output) == (0, True)


@pytest.mark.parametrize("address, text", [
    ("unix:/nonexistent/directory/socket", "No such file or directory"),
    ("127.0.0.1:no-such-port", "--listen 127.0.0.1:no-such-port: "),
])
@pytest.mark.parametrize("check", [[], ["--check"]], ids=["start", "check"])
def test_unusable_address(cluster, secret_file, address, text, check):
    """1 where it cannot listen."""
    status, output, complaints = run("--listen", address, "--secret-file", secret_file, "--database",
                                     cluster.dsn("bagelhook", cluster.create_database()), *check)
    assert (status, "in order" in output, len(complaints)) == (1, False, 1)
    assert complaints[0].startswith(f"bagelhook: --listen {address}") and text in complaints[0]


def test_nothing_to_listen_on(cluster, secret_file):
    """2 without --listen, if descriptor 0 is no listening socket."""
    status, output, complaints = run("--secret-file", secret_file, "--database",
                                     cluster.dsn("bagelhook", cluster.create_database()))
    assert (status, output, len(complaints)) == (2, "", 1)
    assert "nothing to listen on: give --listen unix:/path or --listen host:port" in complaints[0]


def test_check(cluster, secret_file, tmp_path):
    """--check has a line for each part, status 0 if all is fine, and neither listens nor stores anything."""
    name = cluster.create_database()
    assert run("--check", "--secret-file", secret_file, "--database", cluster.dsn("bagelhook", name)) == (0, (
        f"secrets: 1 in {secret_file}: 1 for live and test, 0 for live, 0 for test\n"
        "spool: none: while the database is away, deliveries are left to BagelPay's retries\n"
        "files: enough may be open at once\n"
        "listen: without --listen, a start must inherit a listening socket as descriptor 0, as from a .socket unit of systemd\n"
        f'database: "{name}" at {cluster.host}:{cluster.port}\n'
        "schema: serves this version\n"
        "settings: usable\n"
        'role: "bagelhook" may hand in events\n'), [])
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        status, output, _ = run("--check", "--secret-file", secret_file, "--database", cluster.dsn("bagelhook", name), stdin=inherited)
    assert (status, output.splitlines()[3], output.splitlines()[-1]) == (0, "listen: the socket inherited as descriptor 0", "all in order")
    secret_file.write_text("live:of_our_live_account\ntest:of_our_test_account\ntest:of_our_other_account\n")
    spool, listen, admin = tmp_path / "spool", f"unix:{tmp_path / 'socket'}", f"127.0.0.1:{harness.free_port()}"
    status, output, _ = run("--check", "--secret-file", secret_file, "--database", cluster.dsn("bagelhook", name), "--spool", spool,
                            "--listen", listen, "--admin-listen", admin)
    assert status == 0 and output.startswith(
        f"secrets: 3 in {secret_file}: 0 for live and test, 1 for live, 2 for test\nspool: {spool}\nfiles: enough may be open at once\nlisten: {listen}\n"
        f"admin-listen: {admin}\ndatabase: ") and not list(tmp_path.glob("s*k*t")) and not spool.exists()
    # libpq's own variables name the database as well.
    assert run("--check", "--secret-file", secret_file, PGHOST=cluster.host, PGPORT=cluster.port, PGUSER="bagelhook",
               PGDATABASE=name)[0] == 0


def test_check_goes_on(secret_file, tmp_path):
    """--check speaks of everything that is wrong, not of the first thing only; 1 counts more than 3."""
    secret_file.write_text('"quoted"\n')
    (tmp_path / "spool").touch()
    status, output, complaints = run("--check", "--secret-file", secret_file, "--spool", tmp_path / "spool", "--listen",
                                     "unix:/nonexistent/socket", "--database", "host=/nonexistent")
    assert (status, output) == (1, "files: enough may be open at once\n")
    assert [any(text in line for text in ("quotes", "Not a directory", "--listen unix:", "/nonexistent/.s.PGSQL"))
            for line in complaints] == [True] * 4


def test_short_secret(cluster, secret_file):
    """A short secret is used, with a warning that names its line."""
    secret_file.write_text("# ours\na_secret_of_the_webhook\nfifteen_letters\n")
    status, output, complaints = run("--check", "--listen", "unix:/tmp/x", "--secret-file", secret_file, "--database",
                                     cluster.dsn("bagelhook", cluster.create_database()))
    assert (status, "all in order" in output, len(complaints)) == (0, True, 1)
    assert "level=warn" in complaints[0] and "shorter than 16 characters" in complaints[0] and " line=3" in complaints[0]


def test_check_of_addresses(cluster, secret_file, tmp_path):
    """--check tries the address to listen on and leaves nothing there. One that is in use may be of the service that is
    to be started anew, but a start would fail now: that is not in order."""
    arguments = ["--check", "--secret-file", secret_file, "--database",
                 cluster.dsn("bagelhook", cluster.create_database()), "--listen"]
    path, file = tmp_path / "socket", tmp_path / "file"
    file.touch()
    assert run(*arguments, f"unix:{path}")[0] == 0 and not path.exists()
    assert run(*arguments, f"127.0.0.1:{harness.free_port()}")[0] == 0
    status, _, complaints = run(*arguments, f"unix:{file}")
    assert status == 1 and "there is a file that is no socket" in complaints[0]
    with socket.socket(socket.AF_UNIX) as unix, socket.create_server(("127.0.0.1", 0)) as inet:
        unix.bind(str(path))
        # A socket that nobody listens on will be replaced.
        assert "all in order" in run(*arguments, f"unix:{path}")[1]
        unix.listen()
        for address in (f"unix:{path}", "127.0.0.1:%d" % inet.getsockname()[1]):
            for option, more in (("listen", [address]), ("admin-listen", [f"unix:{tmp_path / 'other'}", "--admin-listen", address])):
                status, output, complaints = run(*arguments, *more)
                assert (status, complaints) == (0, [])
                assert f"{option}: {address} is in use: a start would fail" in output and "in order" not in output
        assert path.exists()
    status, output, complaints = run(*arguments, f"unix:{tmp_path / 'other'}", "--admin-listen", f"unix:{file}")
    assert (status, "in order" in output) == (1, False) and "there is a file that is no socket" in complaints[0]


def test_check_without_server(mortal, secret_file):
    """--check does not wait for a database that is away: 3, in one line; 1 if anything else is wrong as well."""
    dsn = mortal.dsn("bagelhook", mortal.create_database())
    mortal.stop()
    status, output, complaints = run("--check", "--secret-file", secret_file, "--database", dsn)
    assert (status, "in order" in output, len(complaints)) == (3, False, 1)
    assert complaints[0].startswith("bagelhook: ") and "failed" in complaints[0]
    assert run("--check", "--secret-file", secret_file, "--database", dsn, "--listen", "unix:/nonexistent/socket")[0] == 1


def test_database_away_at_start(mortal, make_stack):
    """A database that is away keeps it from nothing: 503, one record, and 200 by itself once it is there."""
    stack = make_stack(cluster=mortal)
    stack.responder.stop()
    logged = len(stack.responder.log)
    mortal.stop()
    stack.responder.start()
    for _ in range(3):
        answer = stack.deliver(bodies.payment())
        assert (answer.status, answer.headers["Retry-After"], answer.json["spooled"]) == (503, "60", False)
    harness.wait_until(lambda: stack.responder.log[logged:].count("msg=\"not accepted\"") == 3, "all records")
    assert stack.responder.log[logged:].count("the database cannot be used") == 1
    pid = stack.responder.pid
    mortal.start()
    harness.wait_until(lambda: stack.deliver(bodies.payment()).status == 200, "recovery")
    assert stack.responder.running and stack.responder.pid == pid


@pytest.mark.parametrize("where", ["host=/nonexistent", "host=127.0.0.1 port={port}"], ids=["Unix", "TCP"])
def test_no_server_at_start(where):
    """The same where nobody listens, by whichever way to the server."""
    with harness.Responder(where.format(port=harness.free_port())) as responder:
        body = bodies.payment()
        params = fastcgi.post_params(len(body), harness.sign(responder.secret, body, 1), 1)
        assert fastcgi.request(responder.address, params, body).status == 503
        assert responder.stop() == 0


def test_schema_changes_while_it_runs(mortal, make_stack):
    """A schema that does not fit any more is noticed on the next connection, and so is that it fits again."""
    stack = make_stack(cluster=mortal)
    bounds = ("CREATE OR REPLACE FUNCTION bagelpay.served_responders (OUT oldest integer, OUT newest integer)"
              " LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT {0}, {0}'")
    stack.query(bounds.format(2))
    mortal.stop()
    mortal.start()

    def noticed():
        stack.deliver(bodies.payment())
        return "install a newer bagelhook" in stack.responder.log

    harness.wait_until(noticed, "the new bounds to be noticed")
    assert stack.deliver(bodies.payment()).status == 503
    stack.query(bounds.format(1))
    harness.wait_until(lambda: stack.deliver(bodies.payment()).status == 200, "recovery")


def test_help():
    """--help names each option with its variable, on standard output, whatever else is wrong."""
    status, output, complaints = run("--help", "--threads", "7")
    assert (status, complaints) == (0, [])
    assert run("-h") == run("--help") == (0, output, [])
    commands = ("redrive", "import", "export", "adopt", "status")
    assert [run(command, "-h") for command in commands] == [run(command, "--help") for command in commands]
    assert output.startswith("Usage: bagelhook [OPTIONS]\n")
    options = re.findall(r"^  --([a-z-]+)", output, re.MULTILINE)
    assert {"listen", "secret-file", "database", "insecure-no-signature", "max-age", "check", "help", "version"} <= set(
        options)
    variables = [f"BAGELHOOK_{option.upper().replace('-', '_')}" for option in options]
    assert re.findall(r"^      (BAGELHOOK_[A-Z_]+)$", output, re.MULTILINE) == variables[:-3]
    assert options[-3:] == ["check", "help", "version"]


def test_version():
    status, output, complaints = run("--version")
    assert (status, complaints) == (0, []) and re.fullmatch(r"bagelhook [0-9]\S*\n", output)


def test_environment(cluster, tmp_path, secret_file):
    """Every option can come from the environment; empty variables are none."""
    with contextlib.ExitStack() as ending:
        directory = harness.make_directory("responder")
        ending.callback(shutil.rmtree, directory)
        listen, log = directory / "socket", tmp_path / "log"
        process = harness.Process([harness.BUILD / "bagelhook"], log, cwd="/", env=harness.clean_environment(
            BAGELHOOK_LISTEN=f"unix:{listen}", BAGELHOOK_SOCKET_MODE="0600", BAGELHOOK_SECRET_FILE=secret_file,
            BAGELHOOK_DATABASE=cluster.dsn("bagelhook", cluster.create_database()), BAGELHOOK_THREADS=2,
            BAGELHOOK_QUEUE=5, BAGELHOOK_BATCH=3, BAGELHOOK_MAX_BODY=3000, BAGELHOOK_READ_TIMEOUT=1,
            BAGELHOOK_COMMIT_TIMEOUT=2, BAGELHOOK_MAX_AGE=300, BAGELHOOK_INSECURE_NO_SIGNATURE=""))
        ending.callback(process.end)
        harness.wait_until(lambda: harness.accepts(listen), "bagelhook", process=process, log=log)
        assert listen.stat().st_mode & 0o777 == 0o600
        body, now = bodies.payment(), int(time.time())
        for timestamp, length, status in ((now, len(body), 200), (now - 400, len(body), 401), (now, 3001, 413)):
            params = fastcgi.post_params(length, harness.sign("the_secret_of_the_webhook", body, timestamp), timestamp)
            assert fastcgi.request(listen, params, body).status == status
        with fastcgi.Peer(listen) as silent, pytest.raises(fastcgi.Cut):
            silent.answer()


def test_options_win(make_stack):
    """Where option and variable contradict each other, the option is meant; a wrong variable is wrong all the same."""
    stack = make_stack("--max-body", 5000, "--max-age", 0, environment={
        "BAGELHOOK_MAX_BODY": 10, "BAGELHOOK_MAX_AGE": 1, "BAGELHOOK_SECRET_FILE": "/nonexistent",
        "BAGELHOOK_DATABASE": "host=/nonexistent", "BAGELHOOK_LISTEN": "unix:/nonexistent/socket",
        "PGHOST": "/nonexistent"})
    assert stack.deliver(bodies.payment(), 1).status == 200
    assert stack.deliver(bodies.payment().ljust(5001)).status == 413
    assert run("--threads", "1", BAGELHOOK_THREADS="0")[0] == 2
