"""The Debian package: built, checked by lintian, and installed, upgraded and purged in a root of its own.

That is done for each release of which a root can be made here, see debian.mirror().
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

import harness
from debian import OTHER_RELEASES, RELEASE, debootstrap, run

SOURCE = harness.SOURCE
# What installing and removing any package leaves behind: records, caches, and users, which are never removed.
LEFT = re.compile(r"/(var/(lib/(dpkg|apt|systemd|pam)|cache|log)|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$"
                  r"|etc/(ld\.so\.cache|\.pwd\.lock|systemd)|run|tmp|proc|sys|dev|root)(/|$)|/(etc|var|usr)?$")


@pytest.fixture(scope="module", params=[RELEASE, *OTHER_RELEASES])
def release(request):
    return request.param


@pytest.fixture(scope="module")
def package(release, tmp_path_factory):
    """The directory with what dpkg-buildpackage made of the tree, of another release in a root of that; unit tests have
    run elsewhere."""
    builder = None if release == RELEASE else clean_root(release, tmp_path_factory, variant="buildd")
    directory = tmp_path_factory.mktemp("package") if builder is None else builder.path / "build"
    directory.mkdir(exist_ok=True)
    tree = directory / "bagelhook"
    hidden = shutil.ignore_patterns(".git", ".test", ".run", ".bench", "autom4te.cache", "build-aux", "__pycache__",
                                    "configure", "configure~", "Makefile.in", "aclocal.m4", "config.h.in*")
    shutil.copytree(SOURCE, tree, ignore=hidden)
    if builder is None:
        run("dpkg-buildpackage", "-us", "-uc", cwd=tree, DEB_BUILD_OPTIONS="nocheck")
    else:
        builder.run("apt-get", "build-dep", "-y", "-q", "--no-install-recommends", "/build/bagelhook")
        builder.run("sh", "-c", "cd /build/bagelhook && dpkg-buildpackage -us -uc", DEB_BUILD_OPTIONS="nocheck")
    # Configured in the tree, it could not be built by scripts/run any more.
    assert not (tree / "config.status").exists()
    return directory


@pytest.fixture(scope="module")
def deb(package):
    one, = package.glob("bagelhook_*.deb")
    return one


def test_lintian(release, package):
    """lintian has nothing to say at its default level."""
    if release != RELEASE:
        pytest.skip("this machine's lintian knows its own release")
    changes, = package.glob("*.changes")
    said = run("lintian", "--allow-root", "--fail-on", "warning", changes)
    assert [line for line in said.splitlines() if re.match("[EWIX]:", line)] == []


def test_content(deb):
    """What an operator needs is there, where Debian has it."""
    files = {line.split()[5].lstrip(".") for line in run("dpkg-deb", "-c", deb).splitlines()}
    share = "/usr/share/bagelhook"
    # Administrators edit the files that web servers include, and they must outlast the package.
    conffiles = {f"/etc/bagelhook/{path.relative_to(SOURCE)}" for name in ("nginx", "apache", "lighttpd", "haproxy", "caddy")
                 for path in (SOURCE / name).iterdir() if path.suffix != ".in"}
    assert conffiles < set(run("dpkg-deb", "-I", deb, "conffiles").split())
    assert {"/usr/bin/bagelhook", "/usr/bin/bagelhook-send", "/usr/bin/bagelhook-console", "/usr/bin/bagelhook-verify", "/etc/default/bagelhook",
            "/etc/default/bagelhook-console", "/etc/bagelhook/",
            "/lib/systemd/system/bagelhook.service", "/lib/systemd/system/bagelhook.socket",
            "/lib/systemd/system/bagelhook-console.service", "/lib/systemd/system/bagelhook-console.socket",
            "/lib/systemd/system/bagelhook-forget.service", "/lib/systemd/system/bagelhook-forget.timer",
            "/lib/systemd/system/bagelhook-attention.service", "/lib/systemd/system/bagelhook-attention.timer",
            "/lib/systemd/system/bagelhook-verify.service", "/lib/systemd/system/bagelhook-verify.timer",
            "/usr/lib/sysusers.d/bagelhook.conf", f"{share}/grafana/bagelhook.json", f"{share}/reader/subscription.sql",
            f"{share}/prometheus/bagelhook.rules.yml", f"{share}/sql/sqitch.plan", *conffiles,
            "/usr/share/man/man8/bagelhook.8.gz", "/usr/share/man/man8/bagelhook-console.8.gz", "/usr/share/man/man8/bagelhook-verify.8.gz",
            "/usr/share/man/man1/bagelhook-send.1.gz", "/usr/share/man/man7/bagelpay.7.gz"} <= files
    for file in (SOURCE / "console" / "page").iterdir():
        assert f"{share}/console/{file.name}" in files
    for change in (SOURCE / "sql" / "deploy").glob("*.sql"):
        assert f"{share}/sql/deploy/{change.name}" in files
    named = set(re.findall(r"/(?:usr/share|etc/bagelhook/\w+)/[\w./-]*\w", (SOURCE / "debian" / "bagelhook.README.Debian").read_text()))
    assert len(named) > 5 and {path for path in named if path not in files and f"{path}/" not in files} == set()


def test_upgrade_stops_nothing(deb, tmp_path):
    """What runs goes on running: the migrations come with the package, and the new responder may need them."""
    run("dpkg-deb", "-e", deb, tmp_path / "control")
    script = (tmp_path / "control" / "postinst").read_text()
    invoked = re.findall(r"deb-systemd-invoke (\S+) (.*?) >", script)
    assert invoked == [("start", "'bagelhook.service' 'bagelhook.socket'"),
                       ("start", "'bagelhook-attention.timer' 'bagelhook-console.service' 'bagelhook-console.socket' 'bagelhook-forget.timer'"
                                 " 'bagelhook-verify.timer'")]
    assert not (tmp_path / "control" / "preinst").exists()
    script = (tmp_path / "control" / "prerm").read_text()
    for line in script.splitlines():
        assert "deb-systemd-invoke" not in line or " stop " in line
    assert script.count('"$1" = remove') == script.count("deb-systemd-invoke")


class Root:
    """A clean Debian in a directory."""

    def __init__(self, path):
        self.path = path

    def run(self, *command, status=0, **environment):
        return run("chroot", self.path, *command, status=status, **environment)

    def files(self):
        """All paths but those that any installation leaves."""
        found = set()
        for directory, names, files in os.walk(self.path):
            place = "/" + os.path.relpath(directory, self.path).removeprefix(".")
            names[:] = [name for name in names if not LEFT.match(os.path.join(place, name))]
            found.update(path for path in (os.path.join(place, name) for name in (*names, *files))
                         if not LEFT.match(path))
        return found

    def read(self, path):
        return (self.path / path.lstrip("/")).read_text()

    def install(self, package):
        shutil.copy(package, self.path / "tmp" / package.name)
        self.run("apt-get", "install", "-y", "-q", "--no-install-recommends", f"/tmp/{package.name}")


def clean_root(release, tmp_path_factory, variant="minbase"):
    """A root of a release in which no service starts; skips the test where none can be made."""
    if os.geteuid() != 0:
        pytest.skip("making a root of its own takes root")
    path = tmp_path_factory.mktemp("root")
    path.parent.chmod(0o755)
    path.chmod(0o755)
    try:
        debootstrap(release, path, variant)
    except AssertionError as error:
        if release == RELEASE:
            raise
        pytest.skip(f"no root of {release} can be made here: {error}")
    (path / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (path / "usr/sbin/policy-rc.d").chmod(0o755)
    shutil.copy("/etc/resolv.conf", path / "etc/resolv.conf")
    (path / "etc/apt/apt.conf.d/50sandbox").write_text('APT::Sandbox::User "root";\n')
    one = Root(path)
    one.run("apt-get", "update", "-q")
    return one


@pytest.fixture(scope="module")
def root(release, deb, tmp_path_factory):
    """A root with what the package depends on, but not the package."""
    one = clean_root(release, tmp_path_factory)
    depends = run("dpkg-deb", "-f", deb, "Depends")
    # Of alternatives the smallest: no service manager is started here.
    names = [re.sub(r"\(.*?\)", "", group).split("|") for group in depends.split(",")]
    names = [next((name.strip() for name in group if "standalone" in name), group[0].strip()) for group in names]
    one.run("apt-get", "install", "-y", "-q", "--no-install-recommends", *names)
    return one


def test_install_upgrade_purge(root, deb, tmp_path):
    """Installed, it runs; upgraded, it keeps what was configured; purged, it leaves nothing, if that is the answer."""
    before = root.files()
    root.install(deb)
    assert root.run("bagelhook", "--version").startswith("bagelhook ")
    assert re.search(r"^bagelhook:x:\d+:\d+:[^:]*:/var/lib/bagelhook:", root.read("/etc/passwd"), re.MULTILINE)
    assert "no signing secret" in root.run("bagelhook", "--check", status=2)
    # As the unit would: the options that the package ships, and the secrets.
    secret = root.path / "etc/bagelhook/secret"
    secret.touch(mode=0o600)
    secret.write_text("secret\n")
    settings = "set -a; . /etc/default/bagelhook; exec bagelhook --check --secret-file /etc/bagelhook/secret"
    assert "failed" in root.run("sh", "-c", settings, status=3)
    wanted = root.path / "etc/systemd/system"
    assert os.path.islink(wanted / "sockets.target.wants/bagelhook.socket")
    assert os.path.islink(wanted / "multi-user.target.wants/bagelhook.service")
    # What shows personal data, or removes it, waits for an administrator.
    assert {path.name for path in wanted.glob("*.wants/bagelhook*")} == {"bagelhook.socket", "bagelhook.service"}

    with open(root.path / "etc/default/bagelhook", "a", encoding="utf-8") as default:
        default.write("BAGELHOOK_THREADS=7\n")
    root.install(newer(deb, tmp_path))
    assert root.run("dpkg-query", "-W", "-f", "${Version}", "bagelhook").endswith("+later")
    assert root.read("/etc/default/bagelhook").endswith("BAGELHOOK_THREADS=7\n")
    assert secret.read_text() == "secret\n" and secret.stat().st_mode & 0o777 == 0o600

    waiting = root.path / "var/lib/bagelhook/spool/new/1"
    waiting.parent.mkdir(parents=True)
    waiting.write_text("an event")
    # Asked and not answered, it keeps what people wrote; with events, it does not even ask.
    answer_purge(root, True)
    assert "events that are not in the database" in root.run("dpkg", "--purge", "bagelhook")
    assert waiting.exists() and secret.exists()
    root.install(deb)
    waiting.unlink()
    (waiting.parent / "lock").touch()
    assert "stay" in root.run("dpkg", "--purge", "bagelhook")
    assert secret.exists() and not (root.path / "etc/default/bagelhook").exists()
    root.install(deb)
    answer_purge(root, True)
    root.run("dpkg", "--purge", "bagelhook")
    assert root.files() == before


def answer_purge(root, remove):
    """Answers the question of the next purge beforehand."""
    root.run("sh", "-c", f"echo bagelhook bagelhook/purge boolean {str(remove).lower()} | debconf-set-selections")


def newer(deb, directory):
    """The same package under a higher version."""
    run("dpkg-deb", "-R", deb, directory / "unpacked")
    control = directory / "unpacked/DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+later", control.read_text(), flags=re.MULTILINE))
    made = pathlib.Path(directory / "bagelhook_later.deb")
    run("dpkg-deb", "--root-owner-group", "-b", directory / "unpacked", made)
    return made


def start_on_a_socket(root, log, user, path, settings, groups=()):
    """A service without its manager: a shell command as a user of the root, the socket it serves as the units say."""
    uid, gid = (int(root.run("id", "-u", "bagelhook")), int(root.run("id", "-g", "www-data")))
    place = root.path / path.lstrip("/")
    place.parent.mkdir(mode=0o755)
    directory = os.open(place.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as listening, open(log, "ab") as output:
        # The path itself may be too long for a socket's address.
        listening.bind(f"/proc/self/fd/{directory}/{place.name}")
        os.close(directory)
        place.chmod(0o660)
        os.chown(place, uid, gid)
        listening.listen(16)
        return subprocess.Popen(["chroot", f"--userspec={user}:{user}", f"--groups={','.join(groups)}", root.path, "sh", "-c", settings],
                                stdin=listening, stdout=output, stderr=output, env=harness.clean_environment())


def start_responder(root, log):
    uid = int(root.run("id", "-u", "bagelhook"))
    credentials = root.path / "run/credentials/bagelhook.service"
    credentials.mkdir(parents=True)
    shutil.copy(root.path / "etc/bagelhook/secret", credentials / "secret")
    (credentials / "secret").chmod(0o400)
    os.chown(credentials / "secret", uid, -1)
    state = root.path / "var/lib/bagelhook"
    state.mkdir(mode=0o700)
    admin = root.path / "run/bagelhook-admin"
    admin.mkdir(mode=0o750)
    for directory in (state, admin):
        os.chown(directory, uid, int(root.run("id", "-g", "bagelhook")))
    return start_on_a_socket(
        root, log, "bagelhook", "/run/bagelhook/bagelhook.sock",
        "set -a; BAGELHOOK_SPOOL=/var/lib/bagelhook/spool;"
        " BAGELHOOK_ADMIN_LISTEN=unix:/run/bagelhook-admin/admin.sock; . /etc/default/bagelhook;"
        " CREDENTIALS_DIRECTORY=/run/credentials/bagelhook.service; exec bagelhook")


def start_console(root, log):
    return start_on_a_socket(root, log, "bagelhook_console", "/run/bagelhook-console/console.sock",
                             "set -a; CONSOLE_ADMIN=unix:/run/bagelhook-admin/admin.sock; . /etc/default/bagelhook-console;"
                             " exec bagelhook-console --admin \"$CONSOLE_ADMIN\" $CONSOLE_OPTIONS", ["bagelhook"])


def ask(port, path, password=None):
    """The status and body of the console's answer to ann."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    if password is not None:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"ann:{password}".encode()).decode())
    try:
        with opener.open(request, timeout=harness.PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Steps:
    """The commands of README.Debian, found by a part of their text."""

    def __init__(self, root):
        self._root, self._ran, self.all = root, set(), []
        for line in root.read("/usr/share/doc/bagelhook/README.Debian").splitlines():
            if line.startswith(" " * 11):
                self.all[-1] += "\n" + line
            elif line.startswith(" " * 7):
                self.all.append(line.strip())

    def run(self, text, replaced=None):
        """Runs the one command that has this text; replaced is what has to be other here: {old: new}."""
        step, = {step for step in self.all if text in step}
        self._ran.add(step)
        for old, new in (replaced or {}).items():
            assert old in step
            step = step.replace(old, new)
        return self._root.run("sh", "-c", step)

    def left(self):
        """Commands that have not been run, without those that need a service manager or a person."""
        return [step for step in self.all if step not in self._ran and not step.startswith(("systemctl ", "editor "))]

    def units(self):
        return {name if "." in name else f"{name}.service" for step in self.all if step.startswith("systemctl ")
                for name in re.findall(r" (bagelhook\S*)", step)}


def replace_once(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new))


def configure_servers(root, steps, ports, consoles):
    """Step 4 of README.Debian for each of the servers, and step 7 for those that have it, on ports that are free here."""
    etc = root.path / "etc"
    (etc / "nginx/sites-enabled/default").unlink()
    (etc / "nginx/conf.d/shop.conf").write_text(
        f"server {{ listen 127.0.0.1:{ports['nginx']}; include /etc/bagelhook/nginx/bagelhook.conf; }}\n")
    steps.run("nginx/bagelhook-upstream.conf")
    (etc / "apache2/ports.conf").write_text(f"Listen 127.0.0.1:{ports['apache']}\nServerName localhost\n")
    (etc / "apache2/sites-available/shop.conf").write_text(
        f"<VirtualHost *:{ports['apache']}>\nInclude /etc/bagelhook/apache/bagelhook-proxy.conf\n</VirtualHost>\n")
    steps.run("a2enmod proxy_fcgi")
    root.run("a2dissite", "000-default")
    root.run("a2ensite", "shop")
    replace_once(etc / "lighttpd/lighttpd.conf", "= 80\n", f'= {ports["lighttpd"]}\nserver.bind = "127.0.0.1"\n')
    replace_once(etc / "lighttpd/lighttpd.conf", 'include_shell "/usr/share/lighttpd/use-ipv6.pl " + server.port\n', "")
    steps.run("conf-available/20-bagelhook.conf")
    steps.run("lighty-enable-mod bagelhook")
    for name, place in (("nginx", "/etc/nginx/conf.d"), ("apache", "/etc/apache2/conf-enabled")):
        # As an administrator edits a conffile.
        file = etc / f"bagelhook/{name}/bagelhook-console.conf"
        text = file.read_text()
        assert "127.0.0.1:8081" in text
        file.write_text(text.replace("127.0.0.1:8081", f"127.0.0.1:{consoles[name]}"))
        steps.run(f"console.conf {place}")
    # HAProxy and Caddy reach a socket that systemd makes.
    for text in ("mkdir -p", "ListenStream=", "SocketGroup=caddy", "EXTRAOPTS"):
        steps.run(text)
    for name, group in (("haproxy", "haproxy"), ("caddy", "caddy")):
        assert f"SocketGroup={group}" in root.read(f"/etc/systemd/system/bagelhook.socket.d/{name}.conf").splitlines()


def test_steps(root, deb, tmp_path):
    """What README.Debian says leads to a customer who is entitled, through each web server, and shows it in the console."""
    root.run("apt-get", "install", "-y", "-q", "--no-install-recommends", "postgresql", "nginx", "apache2", "lighttpd", "sqitch",
             "libdbd-pg-perl", "openssl")
    root.install(deb)
    steps, log = Steps(root), tmp_path / "log"
    for unit in steps.units():
        assert (root.path / "lib/systemd/system" / unit).exists(), unit
    with contextlib.ExitStack() as running:
        # 1: the secret.
        steps.run("/dev/null /etc/bagelhook/secret")
        (root.path / "etc/bagelhook/secret").write_text("secret\n")
        # 2: the database.
        version, name = root.run("pg_lsclusters", "-h").split()[:2]
        root.run("pg_ctlcluster", version, name, "start")
        running.callback(stop_postgres, root.path / "var/lib/postgresql" / version / name / "postmaster.pid")
        for text in ("createdb", "sqitch", "CREATE ROLE bagelhook "):
            steps.run(text)
        # 3: the service, which nobody starts here.
        running.callback(end, start_responder(root, log))
        # 6: the console's role and its password.
        steps.run("CREATE ROLE bagelhook_console")
        steps.run("/dev/null /etc/bagelhook/console.htpasswd")
        steps.run("openssl passwd", replaced={"passwd -6": "passwd -6 'her password'"})
        running.callback(end, start_console(root, log))
        # 4, 7: the web servers.
        ports = {name: harness.free_port() for name in ("nginx", "apache", "lighttpd")}
        consoles = {name: harness.free_port() for name in ("nginx", "apache")}
        configure_servers(root, steps, ports, consoles)
        for command in ("exec nginx -g 'daemon off;'", "exec lighttpd -D -f /etc/lighttpd/lighttpd.conf",
                        ". /etc/apache2/envvars; mkdir -p $APACHE_RUN_DIR $APACHE_LOCK_DIR; exec apache2 -DFOREGROUND"):
            running.callback(end, harness.Process(["chroot", root.path, "sh", "-c", command], log,
                                                  env=harness.clean_environment()).popen)
        # 5: a made-up customer.
        for name, port in ports.items():
            harness.wait_until(lambda port=port: harness.accepts(("127.0.0.1", port)), name, log=log)
            said = steps.run("bagelhook-send", replaced={"https://shop.example": f"http://127.0.0.1:{port}"})
            deliveries = [line.split("\t") for line in said.splitlines() if "\t" in line]
            assert len(deliveries) > 1 and {tuple(one[1:3]) for one in deliveries} == {("200", "applied")}, said
        assert [line.strip() for line in steps.run("is_entitled").splitlines()][2] == "t"
        event = deliveries[0][3]
        for port in consoles.values():
            assert ask(port, "/")[0] == ask(port, "/api/overview", "another")[0] == 401
            assert "<!doctype html>" in ask(port, "/", "her password")[1].lower()
            status, said = ask(port, f"/api/delivery?event={event}", "her password")
            assert (status, json.loads(said)["deliveries"]) == (200, 1)
            assert json.loads(ask(port, "/api/spool", "her password")[1])["files"] == 0
        # Further on: the role and the key of bagelhook-verify.
        steps.run("CREATE ROLE bagelhook_verify")
        steps.run("/dev/null /etc/bagelhook/api-key")
        assert steps.left() == []
        # Without the package, the web servers still start.
        root.run("apt-get", "remove", "-y", "-q", "bagelhook")
        root.run("nginx", "-t")
        root.run("lighttpd", "-tt", "-f", "/etc/lighttpd/lighttpd.conf")
        root.run("apache2ctl", "configtest")


def stop_postgres(pid_file):
    """pg_ctlcluster would do it, but wants a /proc."""
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGINT)
    harness.wait_until(lambda: not pid_file.exists(), "PostgreSQL to end")


def end(process):
    process.terminate()
    process.wait(harness.PATIENCE_S)
