"""PostgreSQL as one reaches it over a network: by host name, with TLS, and with passwords."""

import os
import pathlib
import pwd
import secrets
import shutil
import subprocess

from .cluster import Cluster
from .process import HarnessError, free_port, make_directory


class Authority:
    """A certificate authority of our own, in a directory that goes with close()."""

    def __init__(self, name="bagelhook's tests"):
        self.directory = make_directory("authority")
        self.certificate, self._key = self.directory / "ca.crt", self.directory / "ca.key"
        self._openssl(self._key, self.certificate, "-subj", f"/CN={name}")

    def issue(self, host, owner=None):
        """A server's certificate for a host name and its key, which only the owner may read: two paths."""
        certificate, key = self.directory / f"{host}.crt", self.directory / f"{host}.key"
        self._openssl(key, certificate, "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}",
                      "-addext", "basicConstraints=critical,CA:FALSE", "-CA", self.certificate, "-CAkey", self._key)
        key.chmod(0o600)
        if owner is not None:
            shutil.chown(key, owner)
        return certificate, key

    @staticmethod
    def _openssl(key, certificate, *more):
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc",
                   "-days", "2", "-keyout", key, "-out", certificate, *more]
        done = subprocess.run([os.fspath(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise HarnessError(f"openssl failed:\n{done.stderr}")

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)


class RemoteCluster(Cluster):
    """A cluster that, besides its Unix socket, serves localhost with TLS only, and asks everybody there for a password."""

    def __init__(self, **settings):
        user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.authority = Authority()
        self.password = secrets.token_urlsafe(24)
        certificate, key = self.authority.issue("localhost", user)
        access = self.authority.directory / "pg_hba.conf"
        access.write_text("local all all trust\nhostssl all all samehost scram-sha-256\n")
        super().__init__(port=free_port(), listen_addresses="localhost", ssl="on", ssl_cert_file=certificate,
                         ssl_key_file=key, hba_file=access, password_encryption="scram-sha-256", **settings)

    def create_database(self, migrated=True, name=None):
        """As of any cluster; the role bagelhook then has the password."""
        name = super().create_database(migrated, name)
        if migrated:
            with self.connect() as connection:
                connection.execute(f"ALTER ROLE bagelhook PASSWORD '{self.password}'")
        return name

    def remote_dsn(self, db, host="localhost", authority=None):
        """The connection string of the documentation, for the responder's role, without a password."""
        root = (authority or self.authority).certificate
        return f"host={host} port={self.port} dbname={db} user=bagelhook sslmode=verify-full sslrootcert={root}"

    def write_password(self, path, db="*"):
        """Writes a password file as libpq wants it."""
        path = pathlib.Path(path)
        path.touch(mode=0o600)
        path.write_text(f"*:{self.port}:{db}:bagelhook:{self.password}\n")
        return path

    def close(self):
        super().close()
        self.authority.close()
