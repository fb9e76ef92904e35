"""One service's database: a file of its own on SQLite, a schema of its own on PostgreSQL."""

import importlib.resources
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory

from radloop.errors import PermanentError, TemporaryError
from radloop.sql.turns import Turns

BUSY_TIMEOUT_S = 30
_READ_ONLY = {"radloop_read_only": True}
_HAS_TURN = "radloop_has_turn"


class Database:
    """Engine, transactions and migrations of one service.

    Parameters
    ----------
    url : str
        ``sqlite:///<folder>`` (embedded: the file is ``<folder>/<service>.db``) or an SQLAlchemy URL of PostgreSQL.
    service : str
        Name of the service; its file or schema.

    Notes
    -----
    SQLite runs in WAL mode with ``synchronous=FULL``: a committed transaction outlives the process and the power.
    Writers begin with BEGIN IMMEDIATE, so that a transaction never fails half-way for want of the lock.
    """

    def __init__(self, url: str, service: str) -> None:
        self.service = service
        self.outbox_changed = threading.Event()
        if url.startswith("sqlite:///"):
            folder = Path(url.removeprefix("sqlite:///"))
            folder.mkdir(parents=True, exist_ok=True)
            self.engine = sa.create_engine(
                f"sqlite:///{folder / service}.db", connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
            )
            _prepare_sqlite(self.engine)
        elif url.startswith("postgresql"):
            self.engine = sa.create_engine(
                url,
                pool_pre_ping=True,
                connect_args={"options": f"-csearch_path={service.replace('-', '_')}"},
            )
        else:
            raise PermanentError(
                "database-url-unknown",
                expected="sqlite:///<folder> or postgresql+psycopg://…",
                got=url.split(":", 1)[0] + ":…",
                do="set RADLOOP_DATABASE_URL",
            )

    @contextmanager
    def begin(self, *, read_only: bool = False) -> Iterator[sa.Connection]:
        """Open a transaction; commit at the end, roll back on an error."""
        engine = self.engine.execution_options(**_READ_ONLY) if read_only else self.engine
        with engine.begin() as connection:
            yield connection

    def connect(self, *, read_only: bool = False) -> sa.Connection:
        """Open a connection whose transaction the caller ends."""
        engine = self.engine.execution_options(**_READ_ONLY) if read_only else self.engine
        return engine.connect()

    def migrate(self, package: str) -> None:
        """Bring the schema up to date by the Alembic revisions in ``<package>/versions``.

        Raises
        ------
        PermanentError
            When the database was written by a newer release.
        """
        with importlib.resources.as_file(importlib.resources.files(package)) as folder, self.begin() as connection:
            script = ScriptDirectory(str(folder), version_locations=[str(folder / "versions")])
            known = {revision.revision for revision in script.walk_revisions()}

            def upgrade(revision: Any, context: Any) -> Any:
                for current in revision:
                    if current not in known:
                        raise PermanentError(
                            "database-too-new",
                            expected=f"a revision of {self.service} up to {script.get_current_head()}",
                            got=str(current),
                            do="start the release that wrote this database, or a newer one",
                        )
                return script._upgrade_revs("head", revision)  # the call Alembic's own env.py makes

            context = MigrationContext.configure(connection, opts={"fn": upgrade, "script": script})
            with Operations.context(context):
                context.run_migrations()

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def _prepare_sqlite(engine: sa.Engine) -> None:
    turns = Turns()

    @sa.event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's documented way to take BEGIN into one's own hands
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("radloop_read_only", False):
            connection.exec_driver_sql("BEGIN")
            return
        if not turns.take(BUSY_TIMEOUT_S):
            raise TemporaryError("database-busy", expected="a turn to write", got=f"none in {BUSY_TIMEOUT_S} s")
        connection.info[_HAS_TURN] = True
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except BaseException:
            pass_on(connection)
            raise

    # SQLAlchemy calls both just before the transaction ends; the next writer waits that long for SQLite's own lock.
    @sa.event.listens_for(engine, "commit")
    @sa.event.listens_for(engine, "rollback")
    def pass_on(connection: sa.Connection) -> None:
        if connection.info.pop(_HAS_TURN, False):
            turns.give()
