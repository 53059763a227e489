"""The images of contrib/container: built on a clean Debian without a registry, and run as the compose file runs them."""

import os
import re
import shutil

import pytest
import yaml

import bodies
import harness
from debian import RELEASE, mirror, run

CONTAINER = harness.SOURCE / "contrib" / "container"
# The user of the images.
USER = 10001


class Images:
    """Images and containers in a storage of their own."""

    def __init__(self, directory):
        self.directory = directory
        self._storage = ["--root", directory / "storage", "--runroot", directory / "run", "--storage-driver", "overlay"]

    def buildah(self, *arguments):
        return run("buildah", *self._storage, *arguments, cwd=harness.SOURCE)

    def podman_command(self, *arguments):
        # runc: crun refuses hosts that have cgroups of both versions.
        return ["podman", "--runtime", "/usr/sbin/runc", "--cgroup-manager", "cgroupfs", *self._storage, *arguments]

    def podman(self, *arguments, status=0):
        return run(*self.podman_command(*arguments), status=status)

    def run_command(self, image, *arguments):
        """What podman is told to run an image as the compose file does, without a network."""
        # Limits that need no privilege of the tests' host.
        return ["run", "--rm", "--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--network", "none",
                "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", *arguments, f"localhost/{image}"]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("making a clean Debian takes root")
    made = Images(tmp_path_factory.mktemp("images"))
    try:
        run("debootstrap", "--variant=minbase", RELEASE, made.directory / "base", mirror())
        container = made.buildah("from", "scratch").strip()
        made.buildah("add", "--quiet", container, made.directory / "base", "/")
        made.buildah("commit", "--quiet", container, "localhost/base")
        made.podman("run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096",
                    "localhost/base", "/bin/true")
    except (AssertionError, FileNotFoundError) as error:
        # Nothing of ours is in that image.
        pytest.skip(f"this machine runs no container of a clean Debian: {error}")
    for target, name in (("responder", "bagelhook"), ("migrations", "bagelhook-migrations")):
        # Only this format has a HEALTHCHECK.
        made.buildah("build", "--isolation", "chroot", "--layers", "--format", "docker", "--build-arg", "BASE=localhost/base",
                     "--target", target, "--tag", f"localhost/{name}", "--file", CONTAINER / "Containerfile", ".")
    yield made
    shutil.rmtree(made.directory)


@pytest.fixture
def secrets(tmp_path):
    """The files of the compose file's secrets, which the images' user can read."""
    made = tmp_path / "secrets"
    made.mkdir()
    for name, text in (("database_password", "administrator"), ("bagelhook_pgpass", "*:*:*:bagelhook:its \'password"),
                       ("bagelhook_secret", "secret_of_the_container")):
        (made / name).touch(mode=0o600)
        (made / name).write_text(f"{text}\n")
        shutil.chown(made / name, USER, USER)
    return made


def test_delivery(images, secrets, tmp_path):
    """Migrated by one image, served by the other; it is healthy, cannot write to its root, and ends with 0."""
    with harness.Cluster(migrated=False) as cluster:
        with cluster.connect() as connection:
            connection.execute("CREATE DATABASE bagelpay TEMPLATE template0")
        shared = ["--volume", f"{cluster.host}:/run/postgresql", "--volume", f"{secrets}:/run/secrets:ro",
                  "--env", "PGHOST=/run/postgresql", "--env", f"PGPORT={cluster.port}", "--env", "PGDATABASE=bagelpay"]
        migrate = images.run_command(
            "bagelhook-migrations", *shared, "--env", "PGUSER=postgres", "--env", "PGPASSWORD_FILE=/run/secrets/database_password",
            "--env", "RESPONDER_PASSFILE=/run/secrets/bagelhook_pgpass", "--tmpfs", "/tmp")
        for _ in range(2):
            images.podman(*migrate)
        with cluster.connect("bagelpay") as connection:
            stored, = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'bagelhook'").fetchone()
            assert stored.startswith("SCRAM-SHA-256$")

        volumes = []
        for name in ("/run/bagelhook", "/var/lib/bagelhook"):
            path = harness.make_directory("volume")
            shutil.chown(path, USER, USER)
            volumes.append(path)
        serve = images.run_command(
            "bagelhook", *shared, "--env", "BAGELHOOK_ADMIN_LISTEN=0.0.0.0:9465", "--env", "PGUSER=bagelhook",
            "--env", "PGPASSFILE=/run/secrets/bagelhook_pgpass",
            "--volume", f"{volumes[0]}:/run/bagelhook", "--volume", f"{volumes[1]}:/var/lib/bagelhook", "--name", "responder")
        process = harness.Process(images.podman_command(*serve), tmp_path / "log")
        try:
            harness.wait_until(lambda: harness.accepts(volumes[0] / "bagelhook.sock"), "the socket", process=process, log=tmp_path / "log")
            nginx = harness.Nginx(volumes[0] / "bagelhook.sock")
            try:
                body = bodies.payment()
                assert harness.deliver(nginx.url, "secret_of_the_container", body).json["outcome"] == "applied"
                with cluster.connect() as connection:
                    connection.execute("ALTER ROLE bagelhook NOLOGIN")
                    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bagelhook'")
                assert harness.deliver(nginx.url, "secret_of_the_container", bodies.payment()).json["spooled"]
            finally:
                nginx.close()
            images.podman("healthcheck", "run", "responder")
            # A file that replaces the one of secrets.
            (secrets / "new").touch(mode=0o600)
            (secrets / "new").write_text("another_secret_of_the_container\n")
            shutil.chown(secrets / "new", USER, USER)
            (secrets / "new").rename(secrets / "bagelhook_secret")
            nginx = harness.Nginx(volumes[0] / "bagelhook.sock")
            try:
                harness.wait_until(lambda: harness.deliver(nginx.url, "another_secret_of_the_container", bodies.payment()).status != 401,
                                   "the new secret")
            finally:
                nginx.close()
            assert images.podman("exec", "responder", "id", "-u").strip() == str(USER)
            assert "Read-only file system" in images.podman("exec", "responder", "touch", "/file", status=1)
            images.podman("stop", "--time", "40", "responder")
            assert process.popen.wait(harness.PATIENCE_S) == 0
        finally:
            if process.poll() is None:
                process.end()
            for path in volumes:
                shutil.rmtree(path)


def test_compose():
    """Each file, target and volume that the compose file names is there."""
    compose = yaml.safe_load((CONTAINER / "compose.yaml").read_text())
    targets = set(re.findall(r"^FROM .* AS (\w+)$", (CONTAINER / "Containerfile").read_text(), re.MULTILINE))
    for service in compose["services"].values():
        if "build" in service:
            assert service["build"]["target"] in targets
            assert (CONTAINER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            # The secrets are made by hand.
            assert source in compose["volumes"] or source == "./secrets/responder" or (CONTAINER / source).is_file(), source
