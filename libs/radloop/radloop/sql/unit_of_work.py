"""The unit of work on SQL. A service subclasses it and sets its repositories when the transaction begins."""

import json
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from radloop.crash import crash_point
from radloop.messages import Envelope, Message, Record
from radloop.sql.database import Database
from radloop.sql.tables import messaging_tables
from radloop.wire import Wire

_TABLES = messaging_tables(sa.MetaData())


class SqlUnitOfWork:
    """State, outbox rows and inbox row of one message in one database transaction.

    Parameters
    ----------
    database : Database
        The service's own.
    wire : Wire
        Turns what handlers return into outbox rows.
    source : str
        CloudEvents source of what is said: ``/<site>/<service>``.
    cause : Envelope, optional
        Envelope of the event being handled.
    read_only : bool
        For queries: does not wait for writers.
    """

    def __init__(
        self, database: Database, wire: Wire, *, source: str, cause: Envelope | None = None, read_only: bool = False
    ) -> None:
        self._database, self._wire, self._source = database, wire, source
        self.cause, self._read_only = cause, read_only
        self.connection: sa.Connection
        self._said = False
        self.woke = False
        """Whether events that were parked wait for their turn since this transaction."""

    def __enter__(self) -> Self:
        self.connection = self._database.connect(read_only=self._read_only)
        try:
            self.connection.begin()
        except BaseException:
            self.connection.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()  # rolls back what was not committed

    def publish(self, *messages: Message) -> None:
        """Put messages into the outbox, in order."""
        if not messages:
            return
        rows = [self._wire.encode(message, source=self._source, cause=self.cause) for message in messages]
        self.connection.execute(
            _TABLES.outbox.insert(),
            [
                {
                    "topic": row.topic,
                    "key": row.key,
                    "headers": json.dumps(dict(row.headers)),
                    "value": row.value,
                    "created_at": time.time(),
                }
                for row in rows
            ],
        )
        self._said = True

    def seen(self, envelope: Envelope) -> bool:
        """Whether this service has handled the event before."""
        inbox = _TABLES.inbox
        query = sa.select(inbox.c.event_id).where(
            inbox.c.consumer_group == self._wire.group,
            inbox.c.source == envelope.source,
            inbox.c.event_id == envelope.id,
        )
        return self.connection.execute(query).first() is not None

    def mark_seen(self, envelope: Envelope) -> None:
        """Remember that the event was handled, in the same transaction as its effects."""
        self.connection.execute(
            _TABLES.inbox.insert().values(consumer_group=self._wire.group, source=envelope.source, event_id=envelope.id)
        )

    def park(self, record: Record, envelope: Envelope, token: str) -> None:
        """Keep an event that came too early; a repeat of it changes nothing."""
        upsert(
            self.connection,
            _TABLES.parked,
            {
                "token": token,
                "source": envelope.source,
                "event_id": envelope.id,
                "topic": record.topic,
                "key": record.key,
                "headers": json.dumps(dict(record.headers)),
                "value": record.value,
                "ready": False,
                "parked_at": time.time(),
            },
            keys=("source", "event_id"),
        )

    def arrived(self, token: str) -> None:
        """Wake the events parked under ``token`` once this transaction commits."""
        parked = _TABLES.parked
        woken = self.connection.execute(parked.update().where(parked.c.token == token).values(ready=True))
        self.woke = self.woke or woken.rowcount > 0

    def audit(self, subject: str, action: str, target: str) -> None:
        """Append to the audit trail."""
        self.connection.execute(
            _TABLES.audit.insert().values(at=time.time(), subject=subject, action=action, target=target)
        )

    def commit(self) -> None:
        """Make everything durable and wake the relay."""
        crash_point("before-commit")
        self.connection.commit()
        if self._said:
            crash_point("after-commit")
            self._database.outbox_changed.set()


def upsert(
    connection: sa.Connection, table: sa.Table, values: Mapping[str, Any], keys: Sequence[str], *, update: bool = True
) -> None:
    """Insert a row, or update the row with the same ``keys`` (with ``update=False``: leave it as it is)."""
    connection.execute(_upsert(connection.dialect.name, table, tuple(values), tuple(keys), update), dict(values))


@lru_cache(maxsize=512)  # to build a statement takes as long as to run it
def _upsert(dialect: str, table: sa.Table, names: tuple[str, ...], keys: tuple[str, ...], update: bool) -> Any:
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    statement = insert(table)
    rest = {name: statement.excluded[name] for name in names if name not in keys}
    if update and rest:
        return statement.on_conflict_do_update(index_elements=list(keys), set_=rest)
    return statement.on_conflict_do_nothing(index_elements=list(keys))
