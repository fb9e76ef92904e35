"""The outbox as the relay works at it: whose turn it is to publish, the oldest rows, and their end."""

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
import sqlalchemy as sa

from radloop.errors import Unavailable
from radloop.messages import Record
from radloop.sql.bell import Bell
from radloop.sql.database import Database
from radloop.sql.outages import outage
from radloop.sql.postgresql import PATIENCE, lock_key, parse_url, schema_of

_HUNG_AFTER_S = 7
"""The server ends the session of a relay that has said nothing for so long; its lock goes to another replica."""

_STANDBY_S = 0.5
"""Pause between two looks of a relay that stands by at whether the lock is free."""

# The rows before which fewer than the wanted bytes stand: always the oldest, however large it is.
_OLDEST = """
SELECT id, topic, key, headers, value, created_at FROM (
    SELECT *, sum(length(value)) OVER (ORDER BY id) - length(value) AS bytes_before
    FROM (SELECT * FROM outbox ORDER BY id LIMIT {limit}) AS oldest
) AS measured WHERE bytes_before < {bytes} ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Unsent:
    """A row of the outbox."""

    id: int
    record: Record
    created_at: float
    """Seconds since the epoch at which a handler said it."""


class Outbox(Protocol):
    """What the relay needs of an engine. Rows are chosen by being there, never by a highest id."""

    def is_mine(self) -> bool:
        """Whether this replica is the one to publish; tries to become it."""
        ...

    def oldest(self, limit: int, limit_bytes: int) -> list[Unsent]:
        """Return the oldest rows in order, at most ``limit``, about ``limit_bytes`` of values, at least one if any."""
        ...

    def delete(self, ids: Sequence[int]) -> None:
        """Purge what was published."""
        ...

    def wait(self, timeout_s: float) -> None:
        """Sleep until somebody says something, at most so long."""
        ...

    def close(self) -> None:
        """Let another replica publish."""
        ...


def open_outbox(database: Database) -> Outbox:
    """Return the outbox of a service's database."""
    return SqliteOutbox(database) if database.schema is None else PostgresqlOutbox(database)


def _unsent(rows: Sequence[Any]) -> list[Unsent]:
    return [
        Unsent(number, Record(topic, key, value, json.loads(headers)), created_at)
        for number, topic, key, headers, value, created_at in rows
    ]


class SqliteOutbox:
    """The outbox in a file that one process works with."""

    _oldest = sa.text(_OLDEST.format(limit=":limit", bytes=":bytes"))
    _delete = sa.text("DELETE FROM outbox WHERE id IN :ids").bindparams(sa.bindparam("ids", expanding=True))

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_mine(self) -> bool:
        """Always: the file has no other process."""
        return True

    def oldest(self, limit: int, limit_bytes: int) -> list[Unsent]:
        """Return the oldest rows."""
        self._database.outbox_changed.clear()
        with self._database.begin(read_only=True) as connection:
            return _unsent(connection.execute(self._oldest, {"limit": limit, "bytes": limit_bytes}).all())

    def delete(self, ids: Sequence[int]) -> None:
        """Purge rows, in turn with the writers."""
        with self._database.begin() as connection:
            connection.execute(self._delete, {"ids": list(ids)})

    def wait(self, timeout_s: float) -> None:
        """Sleep until a unit of work of this process rings."""
        self._database.outbox_changed.wait(timeout_s)

    def close(self) -> None:
        """Nothing is held."""


class PostgresqlOutbox:
    """The outbox in a schema that any number of replicas work with, one of which publishes.

    It has a connection of its own. A lock of that session says who publishes: the server frees it when the process dies, and
    ends the session when it hangs. Whoever stands by passes on what its own process says by NOTIFY, so that handlers pay
    nothing for it. Writers' turns do not matter here: nobody else touches a row that was committed.
    """

    def __init__(self, database: Database) -> None:
        url = parse_url(database.engine.url.render_as_string(hide_password=False)).set(drivername="postgresql")
        self._address = url.render_as_string(hide_password=False)
        self._service, self._schema = database.service, schema_of(database.service)
        self._bell: Bell = database.outbox_changed
        self._connection: psycopg.Connection[Any] | None = None
        self._mine = False
        self._spoke_at = 0.0
        self._lock = lock_key(self._schema, "relay")
        self._channel = f"radloop_{self._schema}"
        database.on_close.append(self.close)

    def is_mine(self) -> bool:
        """Whether this session has the lock; after a long silence it asks whether there still is a session."""
        if self._mine and time.monotonic() - self._spoke_at > _HUNG_AFTER_S / 2:
            with contextlib.suppress(Unavailable):
                self._execute("SELECT 1")
        if not self._mine:
            ((self._mine,),) = self._execute("SELECT pg_try_advisory_lock(%s)", (self._lock,))
            if self._mine:
                self._execute(f"LISTEN {self._channel}")
        return self._mine

    def oldest(self, limit: int, limit_bytes: int) -> list[Unsent]:
        """Return the oldest rows; to the server it is also the sign of life."""
        self._bell.clear()
        return _unsent(self._execute(_OLDEST.format(limit="%s", bytes="%s"), (limit, limit_bytes)))

    def delete(self, ids: Sequence[int]) -> None:
        """Purge rows.

        The session, and the lock with it, may have ended while the log took its time. What is published is published,
        whoever publishes next: the rows go by a new session.
        """
        statement, values = "DELETE FROM outbox WHERE id = ANY(%s::bigint[])", (list(ids),)
        try:
            self._execute(statement, values)
        except Unavailable:
            self._execute(statement, values)

    def wait(self, timeout_s: float) -> None:
        """Sleep until this process's bell rings or another process's word comes."""
        if self._connection is not None and self._mine:
            self._bell.wait(timeout_s, or_readable=self._connection.fileno())
        elif self._bell.wait(_STANDBY_S) and self._connection is not None:
            self._bell.clear()
            self._execute(f"NOTIFY {self._channel}")

    def close(self) -> None:
        """End the session and with it the lock."""
        self._mine = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            cursor = self._connection.execute(statement, values, binary=True)  # type: ignore[call-overload]
            self._spoke_at = time.monotonic()
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            self.close()
            if (reason := outage(error)) is not None:
                raise reason from error
            raise

    def _connect(self) -> psycopg.Connection[Any]:
        settings = {
            "search_path": self._schema,
            "idle_session_timeout": f"{_HUNG_AFTER_S}s",
            # A purge that the server forgets in a crash is made up for: the row is published again under the same id.
            "synchronous_commit": "off",
        }
        connection = psycopg.connect(
            self._address,
            autocommit=True,
            options=" ".join(f"-c{name}={value}" for name, value in settings.items()),
            application_name=f"radloop-{self._service}-relay",
            **PATIENCE,
        )
        # A word that comes while a statement runs is read with its answer; the socket will not tell of it any more.
        connection.add_notify_handler(lambda _: self._bell.set())
        return connection
