"""A database server of a hosting service, as docs/managed.md has it: TLS, passwords, and no superuser."""

import subprocess

import psycopg
import pytest

import bodies
import harness


@pytest.fixture(scope="module")
def service():
    """A server with an administrator who may create roles, and whose database has an application's tables."""
    with harness.RemoteCluster(migrated=False) as server:
        with server.connect() as superuser:
            superuser.execute("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
            superuser.execute(f"CREATE ROLE admin LOGIN CREATEROLE PASSWORD '{server.password}'")
            superuser.execute("CREATE DATABASE shop OWNER admin")
        yield server


def environment(service, path):
    """What the page exports, for the administrator."""
    path.touch(mode=0o600)
    path.write_text(f"localhost:{service.port}:shop:*:{service.password}\n")
    return {"PGHOST": "localhost", "PGPORT": service.port, "PGUSER": "admin", "PGPASSFILE": path,
            "PGSSLMODE": "verify-full", "PGSSLROOTCERT": service.authority.certificate}


@pytest.mark.long
def test_without_superuser(service, tmp_path):
    """The administrator deploys beside the application's tables; events arrive, and the application asks for its users."""
    variables = environment(service, tmp_path / "passwords")
    for command in ("deploy", "verify"):
        done = service.sqitch(command, "shop", **variables)
        assert done.returncode == 0, done.stdout

    def connect(user):
        return psycopg.connect(service.remote_dsn("shop"), user=user, password=service.password, autocommit=True)

    with connect("admin") as admin:
        admin.execute("CREATE TABLE public.users (id bigint PRIMARY KEY, name text)")
        admin.execute("INSERT INTO public.users VALUES (42, 'Ann'), (43, 'Bob')")
        for role, group in (("bagelhook", "bagelpay_ingest"), ("shop", "bagelpay_app")):
            admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{service.password}' IN ROLE {group}")
        admin.execute("GRANT SELECT ON public.users TO shop")

    passwords = {"PGPASSFILE": tmp_path / "passwords"}
    with harness.Responder(service.remote_dsn("shop"), "--spool", tmp_path / "spool", environment=passwords) as responder:
        nginx = harness.Nginx(responder.socket_path)
        try:
            answer = harness.deliver(nginx.url, responder.secret, bodies.payment(metadata={"order_id": "o1", "user_id": 42}))
        finally:
            nginx.close()
        assert (answer.status, answer.json["outcome"]) == (200, "applied")
        done = subprocess.run([harness.BUILD / "bagelhook", "--check", "--listen", f"unix:{tmp_path}/socket", "--database",
                               service.remote_dsn("shop"), "--secret-file", responder.secret_path],
                              env=harness.clean_environment(**passwords), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    with connect("shop") as shop:
        product, mode = shop.execute("SELECT product_id, mode FROM bagelpay.items").fetchone()
        assert shop.execute("SELECT u.name FROM public.users AS u WHERE bagelpay.is_user_entitled(u.id, %s, %s)",
                            (product, mode)).fetchall() == [("Ann",)]
        assert shop.execute("SELECT entitled FROM bagelpay.entitlement(%s, %s)", ("nobody", product)).fetchone() == (False,)
    with connect("admin") as admin:
        # What settings and retention need.
        admin.execute("SET ROLE bagelpay_owner")
        assert admin.execute("SELECT bagelpay.rebuild()").fetchone() == (0,)
        admin.execute("UPDATE bagelpay.settings SET grace = '2 days'")
        admin.execute("CALL bagelpay.forget_all('1 year')")
        admin.execute("RESET ROLE")
    done = service.sqitch("revert", "shop", "-y", **variables)
    assert done.returncode != 0 and "events" in done.stdout
    with connect("admin") as admin:
        assert admin.execute("SELECT count(*) FROM public.users").fetchone() == (2,)
