"""One PostgreSQL server on the loopback address, its superuser ``postgres``."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from radloop.errors import PermanentError
from standalone.engines.installation import postgresql
from standalone.supervisor.process import Program

HOST = "127.0.0.1"
SUPERUSER = "postgres"
# Nothing a platform of one machine commits may be lost, so fsync stays on; tests that never lose power turn it off.
_OPTIONS = {"shared_buffers": "64MB", "max_connections": "120", "listen_addresses": HOST, "unix_socket_directories": ""}
# What is in the tables is not for the log: no DETAIL with a row's values, no CONTEXT with a piece of JSON, no statement, no parameter.
_OPTIONS |= {
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
}


@dataclass(frozen=True)
class PostgresqlServer:
    """A server to be: its folder, port, superuser's password and options beside our own.

    As root the server runs as ``nobody``, because PostgreSQL refuses root; every parent of the folder must be
    searchable by that user then.
    """

    folder: Path
    port: int
    password: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def url(self) -> str:
        """The superuser's SQLAlchemy URL of the database ``postgres``."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the superuser's SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://{SUPERUSER}:{self.password}@{HOST}:{self.port}/{database}"

    def prepare(self) -> None:
        """Make the database cluster; one that is there stays.

        Raises
        ------
        PermanentError
            When initdb failed, with its words.
        """
        if (self.folder / "data" / "PG_VERSION").exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o600)
        if os.geteuid() == 0:
            for owned in (self.folder, secret):
                os.chown(owned, _nobody().pw_uid, _nobody().pw_gid)
        command = [postgresql("initdb"), "-D", self.folder / "data", "-U", SUPERUSER, "--pwfile", secret]
        command += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]
        done = subprocess.run([*_as_nobody(), *map(str, command)], cwd="/", capture_output=True, text=True, check=False)
        if done.returncode:
            raise PermanentError(
                "postgresql-not-made",
                expected=f"initdb to make a database cluster in {self.folder}",
                got=done.stderr.strip()[-400:],
                do="choose a folder whose parents every user may search, or do not run as root",
            )

    def program(self) -> Program:
        """Describe the server process."""
        options = {**_OPTIONS, **dict(self.options), "port": str(self.port)}
        arguments = [str(postgresql("postgres")), "-D", str(self.folder / "data")]
        for name, value in options.items():
            arguments += ["-c", f"{name}={value}"]
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}
        return Program("postgresql", [*_as_nobody(), *arguments], environment, self.answers)

    def answers(self) -> bool:
        """Whether a connection can be opened."""
        import psycopg

        address = f"host={HOST} port={self.port} user={SUPERUSER} password={self.password} dbname=postgres"
        try:
            psycopg.connect(address, connect_timeout=2).close()
        except psycopg.Error:
            return False
        return True


def _nobody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def _as_nobody() -> list[str]:
    if os.geteuid() != 0:
        return []
    # A change of user makes the kernel forget who ends this process with its parent; setpriv says it again.
    user = _nobody()
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", *ids, "--pdeathsig", "TERM", "--"]
