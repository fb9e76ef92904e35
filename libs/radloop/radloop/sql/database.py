"""One service's database: a file of its own on SQLite, a schema of its own on PostgreSQL."""

import importlib.resources
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from radloop.errors import PermanentError, RadloopError
from radloop.sql.bell import Bell
from radloop.sql.outages import no_connection_free, translate_outages
from radloop.sql.postgresql import open_postgresql, schema_of
from radloop.sql.sqlite import open_sqlite
from radloop.sql.tables import messaging_tables
from radloop.sql.turns import BUSY_TIMEOUT_S, READ_ONLY

POOL_SIZE = 8

_INBOX = messaging_tables(sa.MetaData()).inbox
_NOBODYS_EVENT = {"consumer_group": "", "source": "", "event_id": ""}


def newest_revision(versions: Path) -> str:
    """Return the newest revision of a folder of them: their files are named ``<revision>_<what>.py``, counting up."""
    return max(path.name.partition("_")[0] for path in versions.glob("[0-9]*_*.py"))


class Database:
    """Engine, transactions and migrations of one service.

    Parameters
    ----------
    url : str
        ``sqlite:///<folder>`` (embedded: the file is ``<folder>/<service>.db``) or
        ``postgresql+psycopg://role:password@host:port/database`` (the schema is the service's name).
    service : str
        Name of the service; its file or schema.
    pool_size : int
        Most connections to PostgreSQL at a time, the relay's own not counted. Who finds none free waits, and is told
        `Unavailable` at last.
    busy_timeout_s : float
        Longest wait for the turn to write.

    Raises
    ------
    PermanentError
        ``database-url-unknown``. A database that is away is no error here but at the first transaction.

    Notes
    -----
    On both engines one transaction of a service writes at a time, and readers see what was committed when they began:
    see ``docs/adr/0006-one-writer-per-service.md``. A committed transaction outlives the process and the power.
    """

    def __init__(
        self, url: str, service: str, *, pool_size: int = POOL_SIZE, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> None:
        self.service = service
        self.outbox_changed = Bell()
        self.on_close: list[Callable[[], None]] = []
        """Called by `close`, e.g. to end a session beside the pool."""
        if url.startswith("sqlite:///"):
            self.schema = None
            self.engine = open_sqlite(url.removeprefix("sqlite:///"), service, busy_timeout_s)
        elif url.startswith("postgresql"):
            self.schema = schema_of(service)
            self.engine = open_postgresql(url, service, pool_size, busy_timeout_s)
        else:
            raise PermanentError(
                "database-url-unknown",
                expected="sqlite:///<folder> or postgresql+psycopg://…",
                got=url.split(":", 1)[0] + ":…",
                do="set RADLOOP_DATABASE_URL",
            )
        self._suspect = threading.Event()
        translate_outages(self.engine, self._suspect.set)
        self._reading = self.engine.execution_options(**{READ_ONLY: True})

    @contextmanager
    def begin(self, *, read_only: bool = False) -> Iterator[sa.Connection]:
        """Open a transaction; commit at the end, roll back on an error.

        Raises
        ------
        Unavailable
            The database is away, full or read-only, or others keep it busy.
        """
        with self.connect(read_only=read_only) as connection, connection.begin():
            yield connection

    def connect(self, *, read_only: bool = False) -> sa.Connection:
        """Open a connection whose transaction the caller ends.

        Raises
        ------
        Unavailable
            As `begin`.
        """
        try:
            return (self._reading if read_only else self.engine).connect()
        except sa.exc.TimeoutError as error:
            raise no_connection_free() from error

    def check(self) -> bool | str:
        """Return true when the database can be read, and written since it last failed, else in words why not.

        One that is full or read-only answers every reader: only a write shows that it is over.
        """
        suspect = self._suspect.is_set()
        try:
            with self.begin(read_only=not suspect) as connection:
                connection.execute(sa.text("SELECT 1"))
                if suspect:
                    connection.execute(_INBOX.insert().values(_NOBODYS_EVENT))
                    connection.execute(_INBOX.delete().filter_by(**_NOBODYS_EVENT))
        except RadloopError as error:
            return str(error)
        if suspect:
            self._suspect.clear()
        return True

    def migrate(self, package: str, *, to: str = "head") -> None:
        """Bring the schema up to date by the Alembic revisions in ``<package>/versions``.

        Replicas that start together take turns: the second finds nothing to do.

        Parameters
        ----------
        package : str
            Python package with the revisions.
        to : str
            Revision to stop at; tests of upgrades begin at an older one.

        Raises
        ------
        PermanentError
            When the database was written by a newer release.
        Unavailable
            As `begin`.
        """
        with importlib.resources.as_file(importlib.resources.files(package)) as folder:
            versions = folder / "versions"
            if to == "head" and self._revision() == newest_revision(versions):
                return
            # Loading Alembic takes as long as the rest of a service's database code, and most starts have nothing to migrate.
            from radloop.sql.migrating import migrate

            with self.begin() as connection:
                if self.schema is not None:
                    # An index over a million rows takes longer than any statement of a handler may.
                    connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
                migrate(connection, versions, self.service, to)

    def _revision(self) -> str | None:
        """Return the revision the schema has, None where nothing was ever migrated."""
        with self.begin(read_only=True) as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()

    def close(self) -> None:
        """Give all connections back."""
        for call in self.on_close:
            call()
        self.engine.dispose()
        self.outbox_changed.close()
